import assert from "node:assert/strict";
import postgres from "postgres";
import { eventually } from "../eventually.ts";
import { applyMigrations } from "../../local/migrations.ts";
import { applyLegacyBaseline } from "../../local/platform/apply.ts";
import { type ScratchDatabase, withPlatform } from "./projects.ts";
import { yard, yardJson } from "./yard.ts";

function withInstalled(work: (scratch: ScratchDatabase) => Promise<void>): Promise<void> {
  return withPlatform(async (scratch) => {
    await applyLegacyBaseline(scratch.url);
    await applyMigrations({
      databaseUrl: scratch.url,
      secrets: { SWITCHYARD_SECRET_KEY: "sb_secret_test" },
    });
    await work(scratch);
  });
}

Deno.test("a data type goes on and back from the command line: refused, forced, rolled back, and each dry run in vain", () =>
  withInstalled(async ({ url, sql }) => {
    const env = { SUPABASE_DB_URL: url };
    const state = async () => {
      const rows = await sql`
        select r.data_type, r.stage, f.enabled,
               (select count(*)::int from switchyard.gate_verdicts) as verdicts,
               (select count(*)::int from switchyard.migration_events) as events,
               (select string_agg(format('%s %s', j.jobname, j.active), ',' order by j.jobid) from cron.job as j) as jobs
          from data_type_registry_v2 as r
          join feature_flags as f on f.flag_name = 'use_queue_for_' || r.data_type
         order by 1`;
      return rows.map((row) => ({ ...row }));
    };
    const stage = async () => {
      const [row] = await sql`select stage from data_type_registry_v2 where data_type = 'profile'`;
      return row!.stage;
    };

    const overview = await yardJson(["status"], { env });
    assert.equal(overview.dataTypes.length, 13);
    assert.ok(overview.dataTypes.every((type: { stage: string }) => type.stage === "legacy"));
    assert.ok(overview.flags.every((flag: { enabled: boolean }) => !flag.enabled));
    const spoken = await yard(["status"], { env });
    assert.match(spoken.stdout, /^On: no flag; off: use_new_staleness_check, /);
    assert.match(spoken.stdout, /\nprofile +legacy +\S+ \S+ +legacy jobs +1 of 1 /);
    assert.ok(!spoken.stdout.includes("\x1b"), "no colour in a pipe");

    const before = await state();
    const dry = await yardJson(["advance", "profile", "--dry-run"], { env });
    assert.equal(dry.wouldMove, true);
    assert.deepEqual(await state(), before);
    const moved = await yardJson(["advance", "profile", "shadow"], { env });
    assert.deepEqual([moved.fromStage, moved.toStage], ["legacy", "shadow"]);
    const again = await yard(["advance", "profile", "shadow"], { env });
    assert.deepEqual([again.code, again.stdout], [0, '"profile" is in shadow; nothing changed\n']);

    const refused = await yard(["advance", "profile", "canary"], { env });
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^Cannot move "profile" to canary: \d+ gates do not hold\n/);
    assert.match(refused.stderr, /soak_time: /);
    assert.match(refused.stderr, /\nNext: npm run yard -- advance profile canary --dry-run\n/);
    const inJson = await yard(["advance", "profile", "canary", "--json"], { env });
    assert.equal(JSON.parse(inJson.stdout).error.code, "SY024");
    const dryRefused = await yard(["advance", "profile", "canary", "--dry-run"], { env });
    assert.equal(dryRefused.code, 1);
    assert.match(dryRefused.stdout, /would not be moved/);
    assert.equal(await stage(), "shadow");

    const unreasoned = await yard(["advance", "profile", "canary", "--force"], { env });
    assert.equal(unreasoned.code, 2);
    assert.equal(await stage(), "shadow");
    const forced = await yardJson([
      "advance",
      "profile",
      "canary",
      "--force",
      "--reason",
      "a drill",
    ], {
      env,
    });
    assert.ok(forced.overridden.includes("soak_time"));
    assert.equal(await stage(), "canary");

    const details = await yardJson(["status", "profile"], { env });
    assert.equal(details.stage, "canary");
    assert.ok(details.gates.length > 3);
    assert.deepEqual(
      details.moves.map((
        move: Record<string, unknown>,
      ) => [move.toStage, move.forced, move.reason]),
      [["canary", true, "a drill"], ["shadow", false, null]],
    );

    const behind = await yard(["advance", "profile", "shadow"], { env });
    assert.equal(behind.code, 1);
    assert.match(behind.stderr, /rollback_migration_v2/);

    await sql`insert into public.supported_symbols (symbol) values ('AAPL')`;
    await sql`select queue_refresh_if_not_exists_v2('AAPL', 'profile')`;
    const canary = await state();
    const wouldRollBack = await yardJson(
      ["rollback", "profile", "--reason", "a drill", "--dry-run"],
      { env },
    );
    assert.deepEqual([wouldRollBack.fromStage, wouldRollBack.cancelledJobs], ["canary", 1]);
    assert.deepEqual(await state(), canary);
    const back = await yardJson(["rollback", "profile", "--reason", "the drill is over"], { env });
    assert.deepEqual([back.fromStage, back.cancelledJobs], ["canary", 1]);
    assert.equal(await stage(), "legacy");
    const twice = await yard(["rollback", "profile", "--reason", "again"], { env });
    assert.deepEqual([twice.code, twice.stdout], [0, '"profile" is in legacy; nothing changed\n']);
  }));

Deno.test("data types that do not exist, stages that do not exist, reasons that are missing", () =>
  withInstalled(async ({ url }) => {
    const env = { DATABASE_URL: url };
    const status = await yard(["status", "profiles"], { env });
    assert.equal(status.code, 1);
    assert.match(
      status.stderr,
      /Cannot show "profiles": no such data type\n {2}registered are .*profile/,
    );
    const unknown = await yard(["advance", "profiles"], { env });
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /unknown data type/);
    const nowhere = await yard(["advance", "profile", "production"], { env });
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.stderr, /production/);
    const silent = await yard(["rollback", "profile"], { env });
    assert.equal(silent.code, 2);
    assert.match(silent.stderr, /wanted --reason/);
    const hostile = await yard(["rollback", "x'); drop table profiles; --", "--reason", "no"], {
      env,
    });
    assert.equal(hostile.code, 1);
    assert.match(hostile.stderr, /unknown data type/);
    const other = new URL(url);
    other.username = "authenticator";
    const denied = await yard(["status", "--db-url", other.href]);
    assert.equal(denied.code, 1);
    assert.match(
      denied.stderr,
      /^Cannot status: permission denied for [^\n]*\nNext: connect as role postgres\n$/,
    );
  }));

Deno.test("a rollback after which nothing refreshes the data type says so", () =>
  withInstalled(async ({ url, sql }) => {
    await sql`select cron.alter_job(jobid, active := false) from cron.job
               where jobname = 'hourly-fetch-fmp-all-exchange-market-status'`;
    await sql`update feature_flags set enabled = true
               where flag_name in ('use_queue_system', 'use_new_staleness_check')`;
    await sql`select switchyard.set_stage('exchange-market-status', 'live', 'test')`;
    const back = await yard(["rollback", "exchange-market-status", "--reason", "a drill"], {
      env: { SUPABASE_DB_URL: url },
    });
    assert.equal(back.code, 0);
    assert.match(
      back.stderr,
      /Nothing refreshes "exchange-market-status": none of its legacy jobs is active/,
    );
  }));

Deno.test("a rollback that has to wait says for whom", () =>
  withInstalled(async ({ url, sql }) => {
    const holder = postgres(url, {
      max: 1,
      connection: { application_name: "forgotten window" },
    });
    try {
      await holder`begin`;
      await holder`update feature_flags set metadata = '{}' where flag_name = 'use_presence_tracking'`;
      const waiting = yard(["rollback", "profile", "--reason", "a drill"], {
        env: { SUPABASE_DB_URL: url },
      });
      await eventually("somebody to wait", async () => {
        const [lock] = await sql`
          select from pg_locks where locktype = 'advisory' and not granted`;
        return lock;
      });
      await holder`rollback`;
      const { code, stdout, stderr } = await waiting;
      assert.equal(code, 0, stderr);
      assert.match(stdout, /is in legacy; nothing changed/);
      assert.match(
        stderr,
        /^Waiting for the end of a transaction that changes flags or stages, of session \d+ \(postgres, forgotten window\): idle in transaction for \d+ s\n {2}If it was forgotten: select pg_terminate_backend\(\d+\)\n$/,
      );
    } finally {
      await holder.end();
    }
  }));
