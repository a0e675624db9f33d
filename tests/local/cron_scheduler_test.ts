import assert from "node:assert/strict";
import postgres from "postgres";
import {
  type CronScheduler,
  type CronSchedulerOptions,
  startCronScheduler,
} from "../../local/cron/scheduler.ts";
import { startDatabase } from "../../local/database/embedded.ts";
import { applyPlatform } from "../../local/platform/apply.ts";
import { eventually } from "../eventually.ts";

interface Run {
  jobname: string | null;
  status: string;
  return_message: string | null;
  username: string;
  job_pid: number | null;
  start_time: Date | null;
  end_time: Date | null;
}

const START = new Date("2026-03-01T10:00:30Z");
const at = (time: string) => new Date(`2026-03-01T${time}Z`);

Deno.test("The cron scheduler", async (t) => {
  const database = await startDatabase({ onlyPackage: true });
  await applyPlatform({ adminUrl: database.adminUrl });
  const admin = postgres(database.adminUrl, { max: 1, onnotice: () => {} });
  const sql = postgres(database.url, { max: 2, onnotice: () => {} });
  await sql`create table public.ticks (n int)`;

  const runsOf = (job: string) =>
    sql<Run[]>`
      select j.jobname, d.status, d.return_message, d.username, d.job_pid, d.start_time, d.end_time
      from cron.job_run_details as d left join cron.job as j using (jobid)
      where j.jobname = ${job}
      order by d.runid
    `;
  const schedule = (job: string, text: string, command: string) =>
    sql`select cron.schedule(${job}, ${text}, ${command})`;
  /** Runs with a scheduler whose clock stands at 10:00:30, then forgets the jobs and their runs. */
  const withScheduler = async (
    work: (scheduler: CronScheduler) => Promise<void>,
    options: Partial<CronSchedulerOptions> = {},
  ) => {
    const scheduler = await startCronScheduler({
      adminUrl: database.adminUrl,
      automatic: false,
      now: () => START,
      ...options,
    });
    try {
      await work(scheduler);
    } finally {
      await scheduler.stop();
      await admin`
        select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pg_cron'
      `;
      await admin`select cron.unschedule(jobid) from cron.job`;
      await admin`truncate cron.job_run_details`;
      await admin`truncate public.ticks`;
    }
  };

  try {
    await t.step("a run is recorded as pg_cron records it", async () => {
      const expected: [string, string, string][] = [
        ["select 1", "succeeded", "1 row"],
        ["select generate_series(1, 3)", "succeeded", "3 rows"],
        ["select 1 where false", "succeeded", "0 rows"],
        ["insert into ticks select generate_series(1, 4)", "succeeded", "INSERT 0 4"],
        ["insert into ticks values (1) returning n", "succeeded", "1 row"],
        ["update ticks set n = n where false", "succeeded", "UPDATE 0"],
        ["select 1; set statement_timeout = 0", "succeeded", "SET"],
        ["set statement_timeout = 0; select 1", "succeeded", "1 row"],
        ["drop table if exists nope", "succeeded", "DROP TABLE"],
        ["vacuum ticks", "succeeded", "VACUUM"],
        ["show search_path", "succeeded", "1 row"],
        ["-- nothing", "succeeded", "0 rows"],
        [
          "select * from nope",
          "failed",
          'ERROR:  relation "nope" does not exist\nLINE 1: select * from nope\n                      ^\n',
        ],
        ["select\n  1/0", "failed", "ERROR:  division by zero\n"],
        [
          "do $$ begin raise exception 'x' using detail = 'd', hint = 'h'; end $$",
          "failed",
          "ERROR:  x\nDETAIL:  d\nHINT:  h\nCONTEXT:  PL/pgSQL function inline_code_block line 1 at RAISE\n",
        ],
        ["insert into ticks values (7); select 1/0", "failed", "ERROR:  division by zero\n"],
        ["copy ticks to stdout", "failed", "COPY not supported"],
      ];
      for (const [index, [command]] of expected.entries()) {
        await schedule(`job ${index}`, "* * * * *", command);
      }
      await withScheduler(async (scheduler) => {
        await scheduler.tick(at("10:01:00"));
        await scheduler.idle(AbortSignal.timeout(180_000));
        for (const [index, [command, status, message]] of expected.entries()) {
          const runs = await runsOf(`job ${index}`);
          assert.equal(runs.length, 1, command);
          assert.equal(runs[0]?.status, status, command);
          assert.equal(runs[0]?.return_message, message, command);
          assert.equal(runs[0]?.username, "postgres");
          assert.ok((runs[0]?.job_pid ?? 0) > 0);
          assert.ok(runs[0]?.start_time && runs[0].end_time);
        }
        const [seven] = await sql`select count(*)::int as n from public.ticks where n = 7`;
        assert.equal(seven?.n, 0, "several statements are one transaction");
      });
    });

    await t.step("a command runs as its owner, with the owner's settings", async () => {
      await admin`create table public.seen (who text, session text, timeout text, path text)`;
      await admin`grant insert on public.seen to postgres, authenticator`;
      const command = `insert into public.seen values (
        current_user, session_user, current_setting('statement_timeout'),
        current_setting('search_path')
      )`;
      await schedule("mine", "* * * * *", command);
      await admin`
        select cron.schedule_in_database(
          'theirs', '* * * * *', ${command}, 'postgres', 'authenticator'
        )
      `;
      await withScheduler(async (scheduler) => {
        await scheduler.tick(at("10:01:00"));
        await scheduler.idle(AbortSignal.timeout(180_000));
        const rows = await admin`select * from public.seen order by who`;
        assert.deepEqual(rows.map((row) => ({ ...row })), [
          {
            who: "authenticator",
            session: "authenticator",
            timeout: "8s",
            path: '"$user", public, extensions',
          },
          {
            who: "postgres",
            session: "postgres",
            timeout: "2min",
            path: '"$user", public, extensions',
          },
        ]);
      });
    });

    await t.step("a job runs in the minutes of its schedule, once per minute", async () => {
      await schedule("even", "*/2 * * * *", "insert into public.ticks values (1)");
      await withScheduler(async (scheduler) => {
        for (const time of ["10:00:59", "10:01:00", "10:02:00", "10:02:30", "10:03:00"]) {
          await scheduler.tick(at(time));
          await scheduler.idle(AbortSignal.timeout(180_000));
        }
        assert.equal((await runsOf("even")).length, 1);
      });
    });

    await t.step("a minute schedule queues every missed tick and never overlaps", async () => {
      await schedule("slow", "* * * * *", "select pg_advisory_xact_lock(1)");
      await withScheduler(async (scheduler) => {
        await sql.begin(async (transaction) => {
          await transaction`select pg_advisory_xact_lock(1)`;
          for (const time of ["10:01:00", "10:02:00", "10:03:00", "10:04:00"]) {
            await scheduler.tick(at(time));
          }
          assert.equal((await runsOf("slow")).length, 1);
        });
        await scheduler.idle(AbortSignal.timeout(180_000));
        const runs = await runsOf("slow");
        assert.deepEqual(runs.map(({ status }) => status), Array(4).fill("succeeded"));
        for (const [index, { start_time }] of runs.entries()) {
          const before = runs[index - 1]?.end_time;
          if (before) assert.ok(start_time && start_time >= before, "one run at a time");
        }
      });
    });

    await t.step("a schedule in seconds keeps at most one run pending", async () => {
      await schedule("seconds", "10 seconds", "select pg_advisory_xact_lock(1)");
      await withScheduler(async (scheduler) => {
        await scheduler.tick(at("10:00:39"));
        assert.equal((await runsOf("seconds")).length, 0, "the first interval is not over");
        await sql.begin(async (transaction) => {
          await transaction`select pg_advisory_xact_lock(1)`;
          for (const time of ["10:00:40", "10:00:50", "10:01:00", "10:01:10", "10:01:20"]) {
            await scheduler.tick(at(time));
          }
        });
        await scheduler.idle(AbortSignal.timeout(180_000));
        assert.equal((await runsOf("seconds")).length, 2);
      });
    });

    await t.step("a clock that was put back adds nothing until it has caught up", async () => {
      await schedule("job", "* * * * *", "select 1");
      await withScheduler(async (scheduler) => {
        for (const time of ["10:05:00", "10:03:00", "10:04:00", "10:05:30", "10:06:00"]) {
          await scheduler.tick(at(time));
          await scheduler.idle(AbortSignal.timeout(180_000));
        }
        assert.equal((await runsOf("job")).length, 6);
      });
    });

    await t.step("a paused job does not run, and what it missed is forgotten", async () => {
      await schedule("paused", "* * * * *", "select 1");
      await sql`select cron.alter_job(jobid, active => false) from cron.job`;
      await withScheduler(async (scheduler) => {
        await scheduler.tick(at("10:01:00"));
        await scheduler.tick(at("10:02:00"));
        await sql`select cron.alter_job(jobid, active => true) from cron.job`;
        await scheduler.tick(at("10:02:30"));
        await scheduler.idle(AbortSignal.timeout(180_000));
        assert.equal((await runsOf("paused")).length, 0);
        await scheduler.tick(at("10:03:00"));
        await scheduler.idle(AbortSignal.timeout(180_000));
        assert.equal((await runsOf("paused")).length, 1);
      });
    });

    await t.step("a job paused in its run is cut off", async () => {
      await schedule("long", "* * * * *", "select pg_sleep(60)");
      await withScheduler(async (scheduler) => {
        await scheduler.tick(at("10:01:00"));
        await scheduler.tick(at("10:02:00"));
        await untilRunning(sql, "long");
        await sql`select cron.alter_job(jobid, active => false) from cron.job`;
        await scheduler.tick(at("10:02:30"));
        await scheduler.idle(AbortSignal.timeout(180_000));
        const runs = await runsOf("long");
        assert.equal(runs.length, 1);
        assert.equal(runs[0]?.status, "failed");
        assert.equal(runs[0]?.return_message, "job canceled");
        assert.equal(runs[0]?.end_time, null);
      });
    });

    await t.step("no more jobs run at a time than allowed", async () => {
      for (let i = 1; i <= 3; i++) {
        await schedule(`job ${i}`, "* * * * *", "select pg_advisory_xact_lock_shared(1)");
      }
      await withScheduler(async (scheduler) => {
        await sql.begin(async (transaction) => {
          await transaction`select pg_advisory_xact_lock(1)`;
          await scheduler.tick(at("10:01:00"));
          const rows = await sql`select from cron.job_run_details`;
          assert.equal(rows.length, 2);
        });
        await scheduler.idle(AbortSignal.timeout(180_000));
        const rows = await sql`select from cron.job_run_details where status = 'succeeded'`;
        assert.equal(rows.length, 3);
      }, { maxRunningJobs: 2 });
    });

    await t.step("a run cut off by a restart fails as server restarted", async () => {
      await schedule("long", "* * * * *", "select pg_sleep(60)");
      const first = await startCronScheduler({
        adminUrl: database.adminUrl,
        automatic: false,
        now: () => START,
      });
      await first.tick(at("10:01:00"));
      await untilRunning(sql, "long");
      await first.stop();
      assert.equal((await runsOf("long"))[0]?.status, "running");
      await withScheduler(async () => {
        const [run] = await runsOf("long");
        assert.equal(run?.status, "failed");
        assert.equal(run?.return_message, "server restarted");
        assert.equal(run?.end_time, null);
      });
    });

    await t.step("a role that cannot be become fails the run", async () => {
      await admin`create role passing login`;
      await admin`
        select cron.schedule_in_database('gone', '* * * * *', 'select 1', 'postgres', 'passing')
      `;
      await admin`drop role passing`;
      await withScheduler(async (scheduler) => {
        await scheduler.tick(at("10:01:00"));
        await scheduler.idle(AbortSignal.timeout(180_000));
        const [run] = await runsOf("gone");
        assert.equal(run?.status, "failed");
        assert.equal(run?.return_message, "connection failed");
      });
    });

    await t.step("by itself it sees a new job and runs it", async () => {
      await withScheduler(async () => {
        await schedule("new", "1 second", "insert into public.ticks values (1)");
        await eventually("a run", async () => {
          const ticks = await sql`select from public.ticks`;
          return ticks.length > 0 || undefined;
        });
        const [row] = await sql`
          select count(*)::int as n from pg_stat_activity
          where application_name = 'pg_cron scheduler'
        `;
        assert.ok(row?.n > 0);
      }, { automatic: true, now: () => new Date() });
    });
  } finally {
    await sql.end();
    await admin.end();
    await database.stop();
  }
});

/** Resolves when the job's command has been sent. */
async function untilRunning(sql: postgres.Sql, job: string): Promise<void> {
  await eventually(`job "${job}" to run`, async () => {
    const rows = await sql`
      select from cron.job_run_details join cron.job using (jobid)
      where jobname = ${job} and status = 'running'
    `;
    return rows.length > 0 || undefined;
  });
}
