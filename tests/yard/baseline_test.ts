import assert from "node:assert/strict";
import { join } from "node:path";
import type { Sql } from "postgres";
import { compareFingerprints, fingerprint } from "../../local/fingerprint.ts";
import { applyMigrations, CHECKOUT } from "../../local/migrations.ts";
import { applyLegacyBaseline } from "../../local/platform/apply.ts";
import { eachMinute } from "../../scripts/yard/baseline.ts";
import { withFolder, withPlatform } from "./projects.ts";
import { yard, yardJson } from "./yard.ts";
import { eventually } from "../eventually.ts";

async function makeOldWorld(url: string, sql: Sql): Promise<void> {
  await applyLegacyBaseline(url);
  await sql`insert into public.supported_symbols (symbol, is_active)
            values ('AAPL', true), ('MSFT', true), ('NONE', true), ('OFF', false)`;
  await sql`insert into public.profiles (symbol, modified_at)
            values ('AAPL', now() - interval '10 minutes'), ('MSFT', now() - interval '5 hours'),
                   ('OFF', now() - interval '1 year')`;
  await sql`insert into cron.job_run_details (jobid, runid, command, status, start_time, end_time)
            select jobid, n, command, case when n = 1 then 'failed' else 'succeeded' end,
                   now() - make_interval(hours => 5 - n), now() - make_interval(hours => 5 - n)
              from cron.job cross join generate_series(1, 3) as n
             where jobname = 'hourly-fetch-fmp-profiles'`;
}

Deno.test("before anything is installed the old world goes into a file, and nothing into the database", () =>
  withFolder((folder) =>
    withPlatform(async ({ url, sql }) => {
      await makeOldWorld(url, sql);
      const before = await fingerprint(sql);
      const { baseline, leftOut } = await yardJson(["baseline", "--db-url", url], { cwd: folder });
      assert.deepEqual(compareFingerprints(before, await fingerprint(sql)), []);
      assert.deepEqual(
        JSON.parse(await Deno.readTextFile(join(folder, "switchyard-baseline.json"))),
        baseline,
      );
      assert.deepEqual(leftOut, ["fetch-fmp-exchange-prices-api"]);
      assert.ok(!JSON.stringify(baseline).includes("postgres:postgres"), "no password");

      assert.equal(baseline.jobs.length, 13);
      const job = baseline.jobs.find(({ subject }: { subject: string }) =>
        subject === "hourly-fetch-fmp-profiles"
      );
      assert.deepEqual(
        [
          job.value.schedule,
          job.value.active,
          job.value.runs,
          job.value.failures,
          job.value.last_status,
        ],
        ["0 * * * *", true, 3, 1, "succeeded"],
      );
      assert.deepEqual(job.value.functions, ["fetch-fmp-profiles"]);
      const rows = baseline.rows.find(({ subject }: { subject: string }) => subject === "profiles");
      assert.deepEqual(rows.value, { rows: 3 });
      const { value } = baseline.freshness.find(({ table }: { table: string }) =>
        table === "profiles"
      );
      assert.deepEqual(
        [value.symbols_known, value.rows, value.stale_rows, value.very_stale_rows],
        [3, 2, 2, 1],
      );
      assert.ok(Math.abs(value.p50_age_seconds - 600) < 60);
      assert.ok(Math.abs(value.max_age_seconds - 18_000) < 60);
      const empty = baseline.freshness.find(({ table }: { table: string }) =>
        table === "exchange_rates"
      );
      assert.deepEqual(
        [empty.value.rows, empty.value.stale_rows, empty.value.max_age_seconds],
        [0, 1, null],
      );

      const again = await yard(["baseline", "--db-url", url], { cwd: folder });
      assert.equal(again.code, 1);
      assert.match(again.stderr, /it exists/);
      assert.match(again.stderr, /Next: pass another --out/);
      const dry = await yardJson(["baseline", "--db-url", url, "--out", "dry.json", "--dry-run"], {
        cwd: folder,
      });
      assert.equal(dry.baseline.jobs.length, 13);
      assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), [
        "switchyard-baseline.json",
      ]);
    })
  ));

Deno.test("after the install the file is imported, once, under the registry's names; then the database records", () =>
  withFolder((folder) =>
    withPlatform(async ({ url, sql }) => {
      await makeOldWorld(url, sql);
      const { baseline: file } = await yardJson(
        ["baseline", "--db-url", url, "--notes", "monday"],
        {
          cwd: folder,
        },
      );
      const args = ["baseline", "--db-url", url, "--import", "switchyard-baseline.json"];
      const early = await yard(args, { cwd: folder });
      assert.equal(early.code, 1);
      assert.match(early.stderr, /Cannot find Switchyard/);

      await applyMigrations({
        databaseUrl: url,
        secrets: { SWITCHYARD_SECRET_KEY: "sb_secret_test" },
      });
      const dry = await yardJson([...args, "--dry-run"], { cwd: folder });
      const [none] = await sql`select count(*)::int as count from switchyard.baseline`;
      assert.equal(none!.count, 0);
      const first = await yardJson(args, { cwd: folder });
      assert.deepEqual([first.imported, first.leftOut], [dry.imported, []]);
      assert.equal(first.imported, file.jobs.length + file.rows.length + file.freshness.length);
      const again = await yardJson(args, { cwd: folder });
      assert.deepEqual([again.imported, again.thereAlready], [0, first.imported]);

      const subjects = await sql`
        select b.subject, (b.value ->> 'data_type') as named, b.notes,
               exists (select from data_type_registry_v2 as r where r.data_type = b.subject) as is_type
          from switchyard.baseline as b where b.kind = 'freshness'`;
      assert.ok(
        subjects.every(({ subject, named, is_type, notes }) =>
          subject === named && is_type && notes === "monday"
        ),
      );
      assert.ok(subjects.some(({ subject }) => subject === "profile"));
      const [known] =
        await sql`select max_age_seconds, samples from switchyard.baseline_freshness('profile')`;
      assert.equal(known!.samples, 1);
      assert.ok(Math.abs(known!.max_age_seconds - 18_000) < 60);

      const vain = await yardJson(["baseline", "--db-url", url, "--dry-run"]);
      assert.ok(vain.recorded.length > 20);
      const [count] = await sql`select count(*)::int as count from switchyard.baseline`;
      assert.equal(count!.count, first.imported);
      const { recorded } = await yardJson(["baseline", "--db-url", url, "--notes", "installed"]);
      const [after] = await sql`
        select count(*)::int as count from switchyard.baseline where notes = 'installed'`;
      assert.equal(after!.count, recorded.length);
      const [setting] = await sql`
        select value from switchyard.settings where name = 'freshness_sampling'`;
      assert.equal(setting!.value, 1);
      const late = await yard(["baseline", "--db-url", url, "--minutes", "5"]);
      assert.equal(late.code, 2);
      assert.match(late.stderr, /samples each minute/);
    })
  ));

Deno.test("Ctrl-C during a long recording ends with status 130 and keeps what was sampled", () =>
  withFolder((folder) =>
    withPlatform(async ({ url, sql }) => {
      await makeOldWorld(url, sql);
      const path = join(folder, "long.json");
      const child = new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "-A",
          join(CHECKOUT, "scripts/yard.ts"),
          "baseline",
          "--db-url",
          url,
          "--out",
          path,
          "--minutes",
          "5",
        ],
        cwd: CHECKOUT,
        env: { INIT_CWD: folder },
        stdout: "null",
        stderr: "piped",
      }).spawn();
      await eventually("the first sample", () =>
        [...Deno.readDirSync(folder)].some(({ name }) => name === "long.json") || undefined);
      child.kill("SIGINT");
      const { code, stderr } = await child.output();
      assert.equal(code, 130);
      assert.match(new TextDecoder().decode(stderr), /Interrupted/);
      const { freshness } = JSON.parse(await Deno.readTextFile(path));
      assert.equal(freshness.length, 12);
    })
  ));

Deno.test("samples are taken at once and each minute after, by the clock", async () => {
  const waits: number[] = [];
  const taken: number[] = [];
  await eachMinute(
    3,
    (moment) => {
      waits.push(moment);
      return Promise.resolve();
    },
    (number) => {
      taken.push(number);
      return Promise.resolve();
    },
  );
  assert.deepEqual(taken, [0, 1, 2, 3]);
  assert.deepEqual(waits.map((moment) => Math.round(moment - waits[0]!)), [
    0,
    60_000,
    120_000,
    180_000,
  ]);
});

Deno.test("what is no baseline is not imported", () =>
  withFolder(async (folder) => {
    const args = [
      "baseline",
      "--db-url",
      "postgresql://u:p@127.0.0.1:1/x",
      "--import",
      "some.json",
    ];
    const missing = await yard(args, { cwd: folder });
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /there is no such file/);
    for (const text of ["{", "[]", '{"format": "switchyard-baseline-1"}']) {
      await Deno.writeTextFile(join(folder, "some.json"), text);
      const { code, stderr } = await yard(args, { cwd: folder });
      assert.equal(code, 1);
      assert.match(stderr, /Cannot import ".*some\.json": it is no baseline/);
    }
  }));
