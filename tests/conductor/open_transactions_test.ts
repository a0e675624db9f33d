import assert from "node:assert/strict";
import postgres, { type Sql } from "postgres";
import { withStack } from "../integration/with_stack.ts";
import { eventually } from "../eventually.ts";

const JOB = "hourly-fetch-fmp-profiles";

Deno.test("somebody's open transaction", (test) =>
  withStack({ cron: false, net: false }, async ({ stack, sql }) => {
    await sql`update public.feature_flags set enabled = true
               where flag_name in ('use_queue_system', 'use_new_staleness_check')`;
    const other = postgres(stack.databaseUrl, {
      max: 1,
      onnotice: () => {},
      connection: { application_name: "forgotten" },
    });
    try {
      await test.step("with a flag in it does not keep the guard from telling of a breach", async () => {
        await sql`select switchyard.set_stage('profile', 'live', 'test')`;
        await sql`insert into switchyard.job_outcomes (data_type, completed, failed) values ('profile', 0, 10)`;
        const [held] = await other`select pg_backend_pid() as pid`;
        await other`begin`;
        await other`update public.feature_flags set metadata = '{"a": 1}' where flag_name = 'use_presence_tracking'`;
        const done = await sql`select * from public.guard_migrations_v2()`;
        assert.deepEqual(done.map((row) => ({ ...row })), [{
          data_type: "profile",
          action: "broken, but another transaction holds the lock on flags and stages",
        }]);
        const [alert] = await alerts(sql, "migration_locked");
        assert.equal(alert!.severity, "critical");
        assert.match(
          alert!.message,
          new RegExp(
            `session ${
              held!.pid
            } \\(postgres, forgotten\\): idle in transaction for \\d+ s; .* select pg_terminate_backend\\(${
              held!.pid
            }\\)`,
          ),
        );
        await other`rollback`;
        const [after] = await sql`select * from public.guard_migrations_v2()`;
        assert.match(after!.action, /^rolled back from live: error_rate/);
        assert.equal((await alerts(sql, "migration_locked")).length, 0, "and resolves its alert");
      });

      await test.step("that pauses a type is named to who rolls it back, and to who waits behind that", async () => {
        await sql`select switchyard.set_stage('profile', 'live', 'test')`;
        const [held] = await other`select pg_backend_pid() as pid`;
        await other`begin`;
        await other`select public.pause_data_type_v2('profile')`;
        const told: string[] = [];
        const tell = ({ message, hint }: postgres.Notice) => {
          told.push(`${message} | ${hint}`);
        };
        const sessions = [1, 2].map(() => postgres(stack.databaseUrl, { max: 1, onnotice: tell }));
        try {
          const rollback = sessions[0]!`select * from public.rollback_migration_v2('profile')`
            .execute();
          await eventually("a notice", async () => await told.length === 1 || undefined);
          const flag = sessions[1]!`update public.feature_flags set metadata = '{"a": 2}'
                                     where flag_name = 'use_presence_tracking'`.execute();
          await eventually("another one", async () => await told.length === 2 || undefined);
          const session = `session ${
            held!.pid
          } \\(postgres, forgotten\\): idle in transaction for \\d+ s`;
          const end = `If it was forgotten: select pg_terminate_backend\\(${held!.pid}\\)$`;
          assert.match(
            told[0]!,
            new RegExp(`^Waiting for .* changes data type "profile", of ${session} \\| ${end}`),
          );
          assert.match(
            told[1]!,
            new RegExp(
              `^Waiting for .* changes flags or stages, of ${session}, for which session \\d+ waits \\| ${end}`,
            ),
          );
          await other`rollback`;
          await Promise.all([rollback, flag]);
        } finally {
          await Promise.all(sessions.map((own) => own.end()));
        }
        assert.equal(await isActive(sql), true);
      });

      await test.step("that locks its row is told from one that has changed another one", async () => {
        const innocent = postgres(stack.databaseUrl, { max: 1, onnotice: () => {} });
        const told: string[] = [];
        const own = postgres(stack.databaseUrl, {
          max: 1,
          onnotice: ({ message, hint }) => told.push(`${message} | ${hint}`),
        });
        try {
          await sql`select switchyard.set_stage('profile', 'live', 'test')`;
          await innocent`begin`;
          await innocent`select public.pause_data_type_v2('quote')`;
          const [held] = await other`select pg_backend_pid() as pid`;
          for (
            const lock of [
              "select from public.data_type_registry_v2 where data_type = 'profile' for update",
              "select from public.data_type_registry_v2 where data_type = 'profile' for share",
              "lock table public.data_type_registry_v2 in exclusive mode",
            ]
          ) {
            if (lock.startsWith("lock")) await innocent`rollback`;
            await other`begin`;
            await other.unsafe(lock);
            const rollback = own`select * from public.rollback_migration_v2('profile')`.execute();
            await eventually("a notice", () => told.length > 0 || undefined);
            assert.match(
              told[0]!,
              /changes data type "profile", of session \d+ \(postgres, forgotten\)/,
            );
            assert.ok(told[0]!.endsWith(`select pg_terminate_backend(${held!.pid})`), told[0]);
            await other`rollback`;
            await rollback;
            told.length = 0;
            await sql`select switchyard.set_stage('profile', 'live', 'test')`;
          }
        } finally {
          await innocent.end();
          await own.end();
        }
        await sql`select switchyard.set_stage('profile', 'legacy', 'test')`;
      });

      await test.step("that resolves an alert does not keep a type from going back", async () => {
        await sql`update switchyard.alerts set resolved_at = null, opened_at = now()
                   where rule = 'automatic_rollback' and data_type = 'profile'`;
        await sql`delete from switchyard.job_outcomes`;
        await sql`select switchyard.set_stage('profile', 'live', 'test')`;
        await sql`insert into switchyard.job_outcomes (data_type, completed, failed) values ('profile', 0, 10)`;
        await other`begin`;
        await other`select public.resolve_alert_v2(id) from switchyard.alerts where resolved_at is null`;
        const [done] = await sql`select * from public.guard_migrations_v2()`;
        assert.match(done!.action, /^rolled back from live: error_rate/);
        await other`rollback`;
        const [event] = await sql`
          select detail ->> 'rule' as rule from switchyard.queue_events where kind = 'alert not opened'`;
        assert.equal(event!.rule, "automatic_rollback");
        assert.equal(await isActive(sql), true);
      });

      await test.step("that holds a table or a legacy job keeps no other type from being looked after", async () => {
        await sql`update switchyard.alerts set resolved_at = now() where resolved_at is null`;
        await sql`delete from switchyard.job_outcomes`;
        await sql`select switchyard.set_stage(data_type, 'live', 'test')
                    from unnest(array['profile', 'ratios-ttm']) as data_type`;
        await sql`insert into switchyard.job_outcomes (data_type, completed, failed)
                  values ('profile', 0, 10), ('ratios-ttm', 0, 10)`;
        await other`begin`;
        await other`lock table public.profiles in access exclusive mode`;
        await other`select cron.alter_job(jobid, schedule := '5 * * * *') from cron.job where jobname = ${JOB}`;
        const sampled = await sql<{ data_type: string; problem: string | null }[]>`
          select data_type, problem from public.sample_freshness_v2()`;
        assert.match(
          sampled.find(({ data_type }) => data_type === "profile")!.problem!,
          /lock timeout/,
        );
        // The exchange of a quote is in profiles; a type in legacy may have had its part of the time.
        assert.deepEqual(
          sampled.filter(({ problem }) => problem !== null).map(({ data_type }) => data_type)
            .filter((dataType) => dataType !== "quote"),
          ["profile"],
        );
        const done = await sql<{ data_type: string; action: string }[]>`
          select data_type, action from public.guard_migrations_v2() where data_type is not null`;
        assert.match(
          done.find(({ data_type }) => data_type === "ratios-ttm")!.action,
          /^rolled back from live/,
        );
        assert.match(
          done.find(({ data_type }) => data_type === "profile")!.action,
          /^failed: Cannot change cron job "hourly-fetch-fmp-profiles": it is held by session \d+ \(postgres, forgotten\)/,
        );
        assert.equal((await alerts(sql, "rollback_failed")).length, 1);
        assert.equal((await alerts(sql, "guard_failed")).length, 1);
        await other`rollback`;
        await sql`select from public.guard_migrations_v2()`;
        assert.equal((await alerts(sql, "rollback_failed")).length, 0);
        assert.equal(await isActive(sql), true);
      });

      await test.step("with a queue that stops in it does not keep the samples from being taken", async () => {
        await sql`delete from switchyard.job_outcomes`;
        await sql`select switchyard.set_stage('profile', 'live', 'test')`;
        await sql`select cron.alter_job(jobid, active := false)
                    from cron.job where jobname = 'invoke-queue-processor-v2'`;
        await other`begin`;
        await other`update public.feature_flags set metadata = '{"a": 1}' where flag_name = 'use_presence_tracking'`;
        const sampled = await sql<{ data_type: string; problem: string | null }[]>`
          select data_type, problem from public.sample_freshness_v2()`;
        assert.ok(
          sampled.some(({ data_type, problem }) => data_type === "profile" && problem === null),
          JSON.stringify(sampled),
        );
        assert.equal((await alerts(sql, "migration_locked")).length, 1);
        assert.equal(await isActive(sql), false, "the legacy job still rests");
        await other`rollback`;
        await sql`select from public.sample_freshness_v2()`;
        assert.equal(await isActive(sql), true, "it runs once the transaction has ended");
        await sql`select switchyard.schedule_cron_jobs()`;
        await sql`select switchyard.set_stage('profile', 'legacy', 'test')`;
      });

      await test.step("that pauses a job is waited for, and the job stays paused", async () => {
        await other`begin`;
        await other`select cron.alter_job(jobid, active := false) from cron.job where jobname = ${JOB}`;
        const told: string[] = [];
        const own = postgres(stack.databaseUrl, {
          max: 1,
          onnotice: ({ message }) => told.push(message!),
        });
        const moved = own`select switchyard.set_stage('profile', 'live', 'test')`.execute();
        await eventually("a notice", async () => await told.length > 0 || undefined);
        assert.match(
          told[0]!,
          /^Waiting for .* changes cron job "hourly-fetch-fmp-profiles", of session \d+ \(postgres, forgotten\)/,
        );
        await other`commit`;
        await moved;
        await own.end();
        const [saved] = await sql`
          select found_active from switchyard.saved_cron_jobs where job_name = ${JOB} and released_at is null`;
        assert.equal(saved!.found_active, false);
        await sql`select switchyard.set_stage('profile', 'legacy', 'test')`;
        assert.equal(await isActive(sql), false, "as somebody wanted it");
        await sql`select cron.alter_job(jobid, active := true) from cron.job where jobname = ${JOB}`;
      });

      await test.step("that makes a held job do nothing is waited for, and the saved one comes back", async () => {
        await sql`select switchyard.set_stage('profile', 'live', 'test')`;
        await other`begin`;
        await other`select cron.alter_job(jobid, command := 'select 1') from cron.job where jobname = ${JOB}`;
        const moved = sql`select switchyard.set_stage('profile', 'legacy', 'test')`;
        moved.catch(() => {});
        await waitingForOther(stack.databaseUrl);
        await other`commit`;
        await moved;
        const jobs = await sql`
          select jobname, active from cron.job where jobname like ${JOB + "%"} order by jobid`;
        assert.deepEqual(jobs.map(({ active }) => active), [false, true]);
        assert.match(jobs[1]!.jobname, /-restored-\d+$/);
      });

      await test.step("that moves a type on leaves it in that stage, whoever waits to move it on too", async () => {
        await other`begin`;
        await other`select * from public.advance_migration_v2('grades-historical', null, true, 'test')`;
        const warnings: string[] = [];
        const own = postgres(stack.databaseUrl, {
          max: 1,
          onnotice: ({ severity, message }) => {
            if (severity === "WARNING") warnings.push(message!);
          },
        });
        const move = own`
          select from_stage, to_stage, moved
            from public.advance_migration_v2('grades-historical', null, true, 'test')`;
        move.catch(() => {});
        await waitingForOther(stack.databaseUrl);
        await other`commit`;
        const [moved] = await move;
        await own.end();
        assert.deepEqual({ ...moved }, {
          from_stage: "shadow",
          to_stage: "shadow",
          moved: false,
        });
        assert.deepEqual(warnings, [
          '"grades-historical" stays in shadow: another session has just moved it there from legacy',
        ]);
      });

      await test.step("that removes a legacy job is waited for, and the job does not count any more", async () => {
        await other`begin`;
        await other`select cron.unschedule('monthly-fetch-fmp-grades-historical')`;
        const move = sql`
          select moved, overridden
            from public.advance_migration_v2('grades-historical', 'live', true, 'test')`;
        move.catch(() => {});
        await waitingForOther(stack.databaseUrl);
        await other`commit`;
        const [moved] = await move;
        assert.equal(moved!.moved, true, "it was forced");
        assert.ok(moved!.overridden.includes("legacy_jobs"), `${moved!.overridden}`);
        assert.equal((await alerts(sql, "legacy_job")).length, 0);
      });
    } finally {
      await other.end();
    }
  }));

function alerts(sql: Sql, rule: string) {
  return sql<{ severity: string; message: string }[]>`
    select severity, message from switchyard.alerts where rule = ${rule} and resolved_at is null`;
}

async function isActive(sql: Sql): Promise<boolean> {
  const [job] = await sql`select active from cron.job where jobname = ${JOB}`;
  return job!.active;
}

/** Resolves when a session waits for a lock that another one holds. */
async function waitingForOther(url: string): Promise<void> {
  const observer = postgres(url, { max: 1, onnotice: () => {} });
  try {
    await eventually("a session to wait for the other one's lock", async () => {
      const [blocked] = await observer`
        select count(*)::int as sessions from pg_stat_activity where cardinality(pg_blocking_pids(pid)) > 0`;
      return blocked!.sessions > 0 ? true : undefined;
    });
  } finally {
    await observer.end();
  }
}
