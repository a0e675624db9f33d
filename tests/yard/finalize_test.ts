import assert from "node:assert/strict";
import { join } from "node:path";
import { createClient } from "@supabase/supabase-js";
import type { Sql } from "postgres";
import { compareFingerprints, fingerprint } from "../../local/fingerprint.ts";
import { CHECKOUT } from "../../local/migrations.ts";
import { runPgtap } from "../../local/pgtap.ts";
import type { Stack } from "../../local/stack.ts";
import { makeFinalizedCopy } from "../../scripts/test/finalized_copy.ts";
import { eventually } from "../eventually.ts";
import { withStack } from "../integration/with_stack.ts";
import { breaksOff, deploy, retireAll, suffixed, tree, withInstalled } from "./finalizing.ts";
import { commit, cronJobs, fail, pushed, pushTo } from "./installed_project.ts";
import { withFolder } from "./projects.ts";
import { discover, yard, yardJson } from "./yard.ts";

Deno.test("names lose their suffix under a working processor, in an order without any gap", () =>
  withInstalled(
    { activeSymbols: 40, simulator: { latencyMs: 100, callsPerMinute: 3_000 } },
    async (finalizing) => {
      const { stack, sql, folder, deployed, finalize } = finalizing;
      await retireAll(sql);
      await sql`update api_providers_v2 set calls_per_minute = 3000 where provider = 'fmp'`;
      const jobs = await cronJobs(sql);
      const before = await tree(folder);
      const dry = await finalize("--dry-run");
      assert.equal(dry.dryRun, true);
      assert.deepEqual(await tree(folder), before, "a dry run writes nothing");
      const { migrations, files } = await finalize();
      assert.equal(migrations.length, 1);
      assert.ok(
        files.some(({ to }: { to: string }) =>
          to === "supabase/functions/queue-processor/index.ts"
        ),
      );
      assert.match(
        await Deno.readTextFile(join(folder, "supabase", "config.toml")),
        /^\[functions\.queue-processor\]$/m,
      );
      await commit(folder);
      assert.deepEqual((await finalize()).migrations, [], "a second run changes nothing");

      await underLoad(sql, () => pushed(folder, stack));

      const renamed = await cronJobs(sql);
      assert.deepEqual(
        [...renamed.values()].map(({ jobname, active }) => [jobname, active]).sort(),
        [...jobs.values()].map(({ jobname, active }) => [jobname!.replace(/-v2$/, ""), active])
          .sort(),
      );
      await oldNamesWork(stack);
      const [flags] = await sql`
      select count(*)::int as count from feature_flags where flag_name like 'use_queue_for_%'`;
      assert.equal(flags!.count, 0, "they decide nothing any more");

      const early = await fail(
        yard(["finalize", "--drop-old-names", "--workdir", folder, "--db-url", stack.databaseUrl]),
      );
      assert.match(early, /they do not seem deployed\n.*queue-processor answers 404/);
      await deploy(folder, deployed);
      const second = await finalize("--drop-old-names");
      assert.equal(second.migrations.length, 2);
      await commit(folder);
      await sql`select public.start_processor_run_v2(gen_random_uuid())`;
      const refused = await fail(pushTo(stack, folder));
      assert.match(refused, /Cannot drop the old names: processors use them that started before/);
      await oldNamesWork(stack);
      await eventually("the old processors to end", async () => {
        const alive = await sql`select from switchyard.processor_runs where finished_at is null`;
        return alive.length === 1 ? true : undefined;
      });
      await sql`update switchyard.processor_runs set finished_at = now() where finished_at is null`;
      await sql.unsafe(`
        create function public.my_count() returns bigint language plpgsql set search_path = '' as
          $$ begin return (select count(*) from public.api_call_queue_v2); end $$`);
      const named = /function [^\n]*my_count\(\)/.exec(await fail(pushTo(stack, folder)))?.[0];
      assert.ok(named !== undefined, "the function that goes by an old name is named");
      const accepted = await finalize("--drop-old-names", "--accept", named);
      assert.deepEqual(accepted.migrations, [second.migrations[1]], "the same migration anew");
      await pushed(folder, stack);
      await sql`drop function public.my_count()`;
      assert.deepEqual(await suffixed(sql), []);
      assert.deepEqual(
        (await finalize("--drop-old-names", "--accept", named)).migrations,
        [],
        "once it is applied nothing is left to accept",
      );
      const url = stack.databaseUrl;
      const found = await discover(folder, url);
      assert.deepEqual(
        [found.proposals, found.unproposed, found.otherJobs],
        [[], [], 0],
        "its own jobs are none of the user's",
      );
      await sql`create table public.weather_reports (symbol text primary key, updated_at timestamptz)`;
      await sql`
        select cron.schedule('weather', '*/5 * * * *',
          'select net.http_post(''https://x.supabase.co/functions/v1/fetch-weather-reports'')')`;
      const { migration } = await discover(folder, url, "--write");
      assert.match(migration.sql, /insert into public\.data_type_registry \(/);
      await pushed(folder, stack);
      const [weather] = await sql`
        select stage from data_type_registry where table_name = 'weather_reports'`;
      assert.equal(weather?.stage, "legacy");

      // The new processor under the new names, woken by the database.
      await stack.gateway.reload();
      await sql`
      select queue_refresh_if_not_exists(symbol, 'quote') from supported_symbols
       where is_active limit 1`;
      await eventually("the job to be done", async () => {
        const live = await sql`select from api_call_queue where finished_at = 'infinity'`;
        return live.length === 0 ? true : undefined;
      });
      assert.ok(stack.functions.workers().some(({ name }) => name === "queue-processor"));

      // The way back of a data type is what it was.
      await sql`select rollback_migration('profile', 'test')`;
      const [legacy] = await sql`
      select active from cron.job where jobname = 'hourly-fetch-fmp-profiles'`;
      assert.equal(legacy!.active, true);

      await yardJson(["uninstall", "--workdir", folder]);
      await pushed(folder, stack);
      const left = (await fingerprint(sql)).filter(({ identity, definition }) =>
        /switchyard|feature_flag|[_-]v2\b|api_call_queue/.test(identity + definition)
      );
      assert.deepEqual(left, [], "and it can be uninstalled");
      const { removedKeys } = await yardJson(["install", "--workdir", folder]);
      assert.deepEqual(removedKeys, ["functions.queue-processor.verify_jwt"]);
      assert.ok(
        !Object.keys(await tree(folder)).some((path) => path.includes("/queue-processor/")),
        "and installed again, under the names that it has then",
      );
    },
  ));

/** Jobs come in and are processed while something happens; none may fail, or be tried twice. */
async function underLoad(sql: Sql, work: () => Promise<unknown>): Promise<void> {
  let isDone = false;
  let enqueued = 0;
  const enqueue = async () => {
    // By the names of callers who know nothing of it, in the order in which all take the queue's rows.
    while (!isDone) {
      await sql`
        select public.queue_refresh_if_not_exists_v2(symbol, data_type)
          from (select symbol from public.supported_symbols
                 where is_active order by symbol limit 3) as few
         cross join unnest(array['quote', 'profile']) as data_type
         order by data_type, symbol`;
      enqueued += 1;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const workMeanwhile = async () => {
    try {
      await eventually("the processor to work", async () => {
        const rows = await sql`select from public.api_call_queue_v2 where status = 'completed'`;
        return rows.length > 0 ? true : undefined;
      });
      await work();
    } finally {
      isDone = true;
    }
  };
  await Promise.all([enqueue(), enqueue(), enqueue(), workMeanwhile()]);
  await eventually("the queue to be empty", async () => {
    const live = await sql`select from public.api_call_queue_v2 where finished_at = 'infinity'`;
    return live.length === 0 ? true : undefined;
  });
  const outcomes = await sql`
    select status, attempts, errors from public.api_call_queue_v2
     where status <> 'completed' or errors <> '[]'`;
  assert.deepEqual([...outcomes], []);
  assert.ok(enqueued > 10);
}

/** Deployed code and front ends call what they always called, with the same rights. */
async function oldNamesWork(stack: Stack): Promise<void> {
  await stack.gateway.reload();
  const service = createClient(stack.apiUrl, stack.keys.secretKey);
  const claimed = await service.rpc("get_queue_batch_v2", { p_batch_size: 1, p_manual: true });
  assert.equal(claimed.error, null);
  assert.deepEqual(claimed.data, []);
  const read = await service.from("data_type_registry_v2").select("data_type");
  assert.equal(read.error, null);
  assert.equal(read.data!.length, 13);
  const browser = createClient(stack.apiUrl, stack.keys.publishableKey);
  const denied = await browser.rpc("get_queue_batch_v2", { p_batch_size: 1 });
  assert.notEqual(denied.error, null);
  const hidden = await browser.from("api_providers_v2").select("*");
  assert.notEqual(hidden.error, null);
}

Deno.test("undo_finalize.sql brings back every name, and the history of migrations", () =>
  withInstalled({ net: false, activeSymbols: 3 }, async ({ stack, sql, folder, finalize }) => {
    await retireAll(sql);
    const before = await fingerprint(sql);
    const texts = await ownTexts(sql, "_v2");
    const { migrations, undo } = await finalize();
    await pushed(folder, stack);
    assert.deepEqual(
      (await suffixed(sql)).filter((name) =>
        !/^(function|relation|column) (public\.|switchyard\.api_call_queue)\w*_v2|^The old name|queue-processor-v2|post_to_processor|processor_runs|old_names/
          .test(name)
      ),
      [],
    );
    // A partition that is made meanwhile.
    const [made] = await sql`select switchyard.make_queue_partition('2030-01-01')`;
    assert.equal(made!.make_queue_partition, true);

    // Also when the database calls the new Edge Functions already.
    const script = await Deno.readTextFile(join(folder, undo));
    await commit(folder);
    await breaksOff(folder, "supabase/switchyard.json", [
      "--db-url",
      stack.databaseUrl,
      "--drop-old-names",
      "--deployed",
    ]);
    const [switching] = (await finalize("--drop-old-names", "--deployed")).migrations;
    await sql.unsafe(await Deno.readTextFile(join(folder, switching))).simple();
    await sql.unsafe(script).simple();

    const named2030 = ({ object }: { object: { identity: string } }) =>
      object.identity.includes("20300101");
    const differences = compareFingerprints(before, await fingerprint(sql))
      .filter(({ object }) => object.kind !== "cron job");
    assert.deepEqual(differences.filter((difference) => !named2030(difference)), []);
    assert.ok(
      differences.filter(named2030).every(({ object }) =>
        object.identity.includes("api_call_queue_v2_20300101") ||
        !object.identity.replace("switchyard.", "").startsWith("api_call_queue")
      ),
    );
    assert.deepEqual(await ownTexts(sql, "_v2"), texts);
    for (const name of [...migrations, ...await dropping(folder)]) {
      await Deno.remove(join(folder, name));
    }
    assert.match(await pushed(folder, stack), /up to date/);
  }));

/** The migrations of `--drop-old-names`. */
async function dropping(folder: string): Promise<string[]> {
  return Object.keys(await tree(folder)).filter((path) =>
    /_switchyard_(switch_functions|drop_old_names)\.sql$/.test(path)
  );
}

/** What stands in comments, flags and settings. */
async function ownTexts(sql: Sql, suffix: string): Promise<unknown> {
  const comments = await sql`
    select o.type, o.identity, d.description
      from pg_description as d
     cross join lateral pg_identify_object(d.classoid, d.objoid, d.objsubid) as o
     where o.schema in ('public', 'switchyard') order by 1, 2, 3`;
  const rows = await sql`
    select (select jsonb_agg(to_jsonb(f) - 'updated_at' order by flag_name) from feature_flags as f) as flags,
           (select jsonb_agg(s order by name) from switchyard.settings as s) as settings,
           (select jsonb_agg(j order by job_name) from switchyard.cron_jobs as j) as jobs,
           (select jsonb_agg(to_jsonb(r) - 'updated_at' order by data_type)
              from public.${sql(`data_type_registry${suffix}`)} as r) as registry,
           (select jsonb_agg(jsonb_build_array(jobname, schedule, command, active) order by jobname)
              from cron.job) as cron`;
  return { comments: [...comments], rows: [...rows] };
}

/** Files that go through most of the names; `npm test -- --finalized` runs all tests. */
const SOME_DATABASE_TESTS = [
  "claim.sql",
  "enqueue.sql",
  "feature_flags.sql",
  "privileges.sql",
  "registry.sql",
  "runbook.sql",
  "settle_rows.sql",
  "staleness_check.sql",
];

Deno.test("database tests pass on the names without suffix, in a database made anew", () =>
  withFolder(async (folder) => {
    await makeFinalizedCopy(CHECKOUT, folder);
    const tests = join(folder, "some_tests");
    await Deno.mkdir(tests);
    for (const file of SOME_DATABASE_TESTS) {
      await Deno.copyFile(join(folder, "supabase", "tests", file), join(tests, file));
    }
    await withStack({ projectDir: folder, cron: false, net: false }, async ({ stack, sql }) => {
      assert.deepEqual(await suffixed(sql), []);
      const report = await runPgtap(stack.databaseUrl, tests);
      const problems = report.files.flatMap(({ file, problems }) =>
        problems.map((problem) => `${file}: ${problem}`)
      );
      assert.deepEqual([...problems, ...report.problems], []);
      assert.ok(report.passed > 100);
    });
  }));
