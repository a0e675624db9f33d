import assert from "node:assert/strict";
import { join } from "node:path";
import { applyLegacyBaseline } from "../../local/platform/apply.ts";
import { makeNewProject, readTree, withFolder, withPlatform, write } from "./projects.ts";
import { discover, type Guessed, push, yard, yardJson } from "./yard.ts";

Deno.test("an invented project: guesses, doubts and refusals; the migration pushes; then nothing is left to find", () =>
  withFolder((folder) =>
    withPlatform(async ({ url, sql }) => {
      await makeNewProject(folder);
      await yardJson(["install", "--workdir", folder]);
      const harbour = await Deno.readTextFile(new URL("./harbour.sql", import.meta.url));
      await write(join(folder, "supabase/migrations/20240101000000_harbour.sql"), harbour);
      const pushed = await push(folder, url);
      assert.equal(pushed.code, 0, pushed.stderr + pushed.stdout);

      const before = await readTree(folder);
      const found = await discover(folder, url);
      const by = (name: string) =>
        found.proposals.find((guess: Guessed) => guess.functionName === name);
      const columns = (guess: Guessed) => [
        guess.table.value,
        guess.symbolColumn.value,
        guess.timestampColumn.value,
        guess.conflictColumns.value.join(),
        guess.confidence,
      ];
      assert.deepEqual(columns(by("pull-station-readings")), [
        "station_readings",
        "station_code",
        "refreshed_at",
        "station_code,observed_at",
        "high",
      ]);
      assert.equal(by("pull-station-readings").ttlMinutes.value, 10);
      assert.deepEqual(columns(by("get_tide_forecast")).slice(0, 4), [
        "tide_forecast",
        "station_code",
        "updated",
        "station_code,day",
      ]);
      assert.deepEqual(by("get_tide_forecast").jobs, ["tide", "tide-again"]);
      assert.deepEqual(by("get_tide_forecast").legacyCronJobs, ["tide"]);
      assert.match(
        by("get_tide_forecast").notes.join(),
        /tide-again also runs DELETE, so it is left/,
      );
      const standings = by("refresh-league-standings");
      assert.deepEqual(columns(standings).slice(0, 4), [
        "league_standings",
        null,
        "changed",
        "league,season,team",
      ]);
      assert.match(standings.notes.join(), /through public\.call_edge_function/);
      assert.match(standings.notes.join(), /some hours or days only/);
      assert.deepEqual(columns(by("rosters")), [
        "rosters",
        null,
        "updated_at",
        "team_id,player",
        "low",
      ]);
      assert.match(
        by("rosters").symbolColumn.reasons.join(),
        /of type integer, and symbols are text/,
      );
      assert.match(by("rosters").jobs[0], /^#\d+$/);
      const prices = by("update-prices");
      assert.equal(prices.confidence, "low");
      assert.deepEqual(
        [prices.table.value, ...prices.table.alternatives].sort(),
        ["fuel_prices", "ticket_prices"],
      );
      assert.deepEqual(
        Object.fromEntries(
          found.unproposed.map(({ functionName, reason }: Record<string, string>) => [
            functionName,
            reason,
          ]),
        ),
        {
          null: "its command calls an Edge Function whose name it puts together",
          Get_tide: "its name has capital letters, which the registry does not take",
          "sync-match-scores": 'its table seems to be "MatchScores", a name that needs quotes',
          "moon-phases":
            "its table seems to be public.moon_phases, which has no column of type timestamptz; " +
            "the next to look at: public.moon_phase_details",
          "fetch-injuries":
            "its table seems to be sports.injuries, and the queue writes to schema public only",
          "send-weekly-digest":
            'no table is near enough to "send", "digest", by its name or its columns; it may refresh nothing',
        },
      );
      assert.equal(found.otherJobs, 2);
      assert.deepEqual(
        [found.knownSymbols.table, found.knownSymbols.column, found.knownSymbols.activeColumn],
        ["stations", "code", "is_active"],
      );
      assert.deepEqual(await readTree(folder), before, "nothing was written");

      const dry = await yard([
        "discover",
        "--db-url",
        url,
        "--workdir",
        folder,
        "--write",
        "--dry-run",
      ]);
      assert.equal(dry.code, 0, dry.stderr);
      assert.match(dry.stdout, /insert into public\.data_type_registry_v2/);
      assert.deepEqual(await readTree(folder), before, "a dry run writes nothing");

      const { migration } = await discover(folder, url, "--write");
      const names = Object.keys(await readTree(folder)).filter((path) => path.endsWith(".sql"));
      assert.ok(migration.path.endsWith(names.sort().at(-1)!), "it is the newest migration");
      const again = await yard(["discover", "--db-url", url, "--workdir", folder, "--write"]);
      assert.equal(again.code, 1);
      assert.match(again.stderr, /an earlier one is not applied/);

      const second = await push(folder, url);
      assert.equal(second.code, 0, second.stderr + second.stdout);
      const rows =
        await sql`select data_type, stage, legacy_cron_jobs from data_type_registry_v2 order by 1`;
      assert.deepEqual(rows.map(({ data_type }) => data_type), [
        "league-standings",
        "station-readings",
        "tide-forecast",
      ]);
      const problems = await sql`select distinct problem from registry_problems_v2 order by 1`;
      assert.deepEqual(problems.map(({ problem }) => problem.replace(/"[^"]*"/, "…")), [
        "Provider … has no bytes_per_30_days, so no job of it is ever claimed",
        "Provider … has no calls_per_minute, so no job of it is ever claimed",
      ]);
      const [jobs] = await sql`select count(*)::int as count from cron.job where active`;
      assert.equal(jobs!.count, 14, "every job runs as before");
      const [busy] = await sql`
        select data_types, other_work from switchyard.legacy_jobs where job_name = 'tide-again'`;
      assert.deepEqual({ ...busy }, { data_types: ["tide-forecast"], other_work: ["DELETE"] });
      await sql`select queue_refresh_if_not_exists_v2('H1', 'station-readings')`;

      const rest = await discover(folder, url);
      assert.deepEqual(rest.registered.length, 3);
      assert.deepEqual(
        rest.proposals.map(({ functionName }: Guessed) => functionName).sort(),
        ["rosters", "update-prices"],
      );

      await sql.unsafe(`
        create table public.buoys (buoy text primary key, is_active boolean not null default true);
        create table public.buoy_reports (
          buoy text primary key references public.buoys, wave numeric, updated_at timestamptz
        );
        create table public.buoy_alarms (
          station_code text primary key references public.stations, level numeric, updated_at timestamptz
        );
        select cron.schedule('buoys', '*/20 * * * *',
          $job$select net.http_post('https://harbour.supabase.co/functions/v1/pull-buoy-reports')$job$);
        select cron.schedule('alarms', '*/20 * * * *',
          $job$select net.http_post('https://harbour.supabase.co/functions/v1/pull-buoy-alarms')$job$);
      `).simple();
      const later = await discover(folder, url, "--write");
      assert.notEqual(later.migration.path, migration.path, "a second migration follows the first");
      assert.doesNotMatch(
        later.migration.sql,
        /known_symbols_table'/,
        "the list that is set stays",
      );
      const strange = later.proposals.find((guess: Guessed) =>
        guess.functionName === "pull-buoy-reports"
      );
      assert.equal(strange.confidence, "low");
      assert.match(strange.notes.join(), /seem not to be those of stations/);
      const third = await push(folder, url);
      assert.equal(third.code, 0, third.stderr + third.stdout);
      const added = await sql`
        select data_type from data_type_registry_v2 where table_name like 'buoy%' order by 1`;
      assert.deepEqual(added.map(({ data_type }) => data_type), ["buoy-alarms"]);
      const last = await readTree(folder);
      const nothing = await yard(["discover", "--db-url", url, "--workdir", folder, "--write"]);
      assert.equal(nothing.code, 1, nothing.stdout);
      assert.match(
        nothing.stderr,
        /there is nothing new in it\n.*has these guesses of low confidence/,
      );
      assert.deepEqual(await readTree(folder), last);
    })
  ));

Deno.test("two lists of symbols: none is set, and each type goes by its own table", () =>
  withFolder((folder) =>
    withPlatform(async ({ url, sql }) => {
      await makeNewProject(folder);
      await yardJson(["install", "--workdir", folder]);
      assert.equal((await push(folder, url)).code, 0);
      await sql.unsafe(`
        create table public.stations (code text primary key, is_active boolean not null default true);
        create table public.routes (route text primary key, is_active boolean not null default true);
        create table public.station_readings (
          code text primary key references public.stations, value numeric,
          updated_at timestamptz not null default now()
        );
        create table public.route_delays (
          route text primary key references public.routes, minutes numeric,
          updated_at timestamptz not null default now()
        );
        insert into public.stations values ('S1'), ('S2');
        insert into public.routes values ('R1'), ('R2'), ('R3');
        insert into public.station_readings (code) values ('S1');
        insert into public.route_delays (route) values ('R1'), ('R2');
        select cron.schedule('readings', '*/10 * * * *',
          $job$select net.http_post('https://x.supabase.co/functions/v1/pull-station-readings')$job$);
        create function public.go(p_name text) returns bigint language sql set search_path = '' as
          $$ select net.http_post('https://x.supabase.co/functions/v1/' || p_name) $$;
        select cron.schedule('*/10 * * * *', $job$select public.go('pull-route-delays')$job$);
      `).simple();
      const found = await discover(folder, url, "--write");
      assert.equal(found.knownSymbols, null);
      assert.match(found.symbolNotes.join(), /only of some: .*stations \(station-readings\)/);
      assert.match(found.migration.sql, /set value = 'null' where name = 'known_symbols_table'/);
      // Its table and symbols are sure; its job is one that no flag could pause.
      const delays = found.proposals.find(({ dataType }: { dataType: string }) =>
        dataType === "route-delays"
      );
      assert.equal(delays.confidence, "low");
      assert.match(delays.notes.join(), /has no name, and calls it through public\.go, so no flag/);
      await sql`
        select cron.schedule('delays', '*/10 * * * *', command) from cron.job where jobname is null`;
      await sql`select cron.unschedule(jobid) from cron.job where jobname is null`;
      await Deno.remove(found.migration.path);
      const named = await discover(folder, url, "--write");
      assert.match(named.migration.sql, /array\['delays'\]/);
      const pushed = await push(folder, url);
      assert.equal(pushed.code, 0, pushed.stderr + pushed.stdout);
      const problems = await sql`
        select problem from registry_problems_v2 where problem not like 'Provider%'`;
      assert.deepEqual([...problems], []);

      const path = join(folder, "baseline.json");
      await sql`drop schema switchyard cascade`;
      const { baseline } = await yardJson(["baseline", "--db-url", url, "--out", path]);
      const stale = baseline.freshness.map((
        { dataType, value }: { dataType: string; value: Record<string, number> },
      ) => [dataType, value.symbols_known, value.stale_rows]);
      assert.deepEqual(stale.sort(), [["route-delays", 2, 0], ["station-readings", 1, 0]]);
    })
  ));

Deno.test("a role that may not read cron.job, or sees its own jobs only, is told so", () =>
  withPlatform(async ({ url, sql }) => {
    await applyLegacyBaseline(url);
    const other = new URL(url);
    other.username = "authenticator";
    const refused = await yard(["discover", "--db-url", other.href]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^Cannot read cron\.job as role "authenticator"/);
    assert.match(refused.stderr, /Next: connect as postgres/);
    const status = await yard(["status", "--db-url", other.href]);
    assert.match(status.stderr, /^Cannot find Switchyard in authenticator@/);

    await sql`create role onlooker login password 'postgres'`;
    await sql`grant usage on schema cron to onlooker`;
    await sql`grant select on cron.job, cron.job_run_details to onlooker`;
    other.username = "onlooker";
    const { notes } = await yardJson(["discover", "--db-url", other.href]);
    assert.ok(notes.includes('Role "onlooker" sees its own cron jobs only; postgres sees all'));
  }));

Deno.test("without Switchyard in the repository no migration is written", () =>
  withFolder((folder) =>
    withPlatform(async ({ url }) => {
      await makeNewProject(folder);
      await applyLegacyBaseline(url);
      const before = await readTree(folder);
      const { code, stderr } = await yard([
        "discover",
        "--db-url",
        url,
        "--workdir",
        folder,
        "--write",
      ]);
      assert.equal(code, 1);
      assert.match(stderr, /Switchyard is not installed there/);
      assert.match(stderr, /Next: npm run yard -- install --workdir/);
      assert.deepEqual(await readTree(folder), before);
    })
  ));
