import assert from "node:assert/strict";
import postgres from "postgres";
import { parseSchedule } from "../../local/cron/schedule.ts";
import { startDatabase } from "../../local/database/embedded.ts";
import { applyPlatform } from "../../local/platform/apply.ts";

const VALID = [
  "* * * * *",
  "  */5 0-23/2 1,15 jan-MAR mon,Fri",
  "5-1 * * * *",
  "0 0 $ * *",
  "0 0 1,$ * *",
  "@hourly",
  "@reboot",
  "* * * * * *",
  "*foo * * * *",
  "# comment\n* * * * *",
  "1 second",
  "30 seconds",
  " 59 SECONDS ",
  "5seconds",
];

const INVALID = [
  "",
  "* * * *",
  "60 * * * *",
  "* 24 * * *",
  "* * 0 * *",
  "* * 32 * *",
  "* * * 13 *",
  "* * * * 8",
  "5/2 * * * *",
  "*/0 * * * *",
  "1, * * * *",
  "5x * * * *",
  "* * * * sunday",
  "$ * * * *",
  "@Hourly",
  "0 seconds",
  "60 seconds",
  "5 minutes",
  "5 second ",
];

Deno.test("The cron schema", async (t) => {
  const database = await startDatabase({ onlyPackage: true });
  assert.deepEqual(await applyPlatform({ adminUrl: database.adminUrl }), { cron: "stand-in" });
  const admin = postgres(database.adminUrl, { max: 1, onnotice: () => {} });
  const sql = postgres(database.url, { max: 1, onnotice: () => {} });
  const asRole = (role: string, statement: string) =>
    admin.begin(async (transaction) => {
      await transaction.unsafe(`set local role ${role}`);
      return await transaction.unsafe(statement);
    });
  try {
    await t.step("the server and the scheduler agree on what a schedule is", async () => {
      for (const text of [...VALID, ...INVALID]) {
        const [row] = await admin`select cron._schedule_is_valid(${text}) as valid`;
        assert.equal(row?.valid, VALID.includes(text), `server on ${JSON.stringify(text)}`);
        assert.equal(
          parseSchedule(text) !== undefined,
          VALID.includes(text),
          `scheduler on ${JSON.stringify(text)}`,
        );
      }
    });

    await t.step("a job made by postgres belongs to it, in this database, active", async () => {
      const [row] = await sql`select cron.schedule('job', '* * * * *', 'select 1') as jobid`;
      const [job] = await sql`select * from cron.job`;
      assert.deepEqual({ ...job }, {
        jobid: row?.jobid,
        schedule: "* * * * *",
        command: "select 1",
        nodename: "localhost",
        nodeport: database.port,
        database: "postgres",
        username: "postgres",
        active: true,
        jobname: "job",
      });
    });

    await t.step("scheduling a paused job again changes it and leaves it paused", async () => {
      await sql`select cron.alter_job(jobid, active => false) from cron.job`;
      const before = await sql`select jobid from cron.job`;
      await sql`select cron.schedule('job', '*/2 * * * *', 'select 2')`;
      const after = await sql`select jobid, schedule, command, active from cron.job`;
      assert.deepEqual(after.map((row) => ({ ...row })), [
        { jobid: before[0]?.jobid, schedule: "*/2 * * * *", command: "select 2", active: false },
      ]);
    });

    await t.step("alter_job leaves alone what is null", async () => {
      await sql`select cron.alter_job(jobid, schedule => '0 * * * *') from cron.job`;
      const [job] = await sql`select schedule, command, active from cron.job`;
      assert.deepEqual({ ...job }, { schedule: "0 * * * *", command: "select 2", active: false });
    });

    await t.step("alter_job with nothing to change is refused", async () => {
      await assert.rejects(() => sql`select cron.alter_job(jobid) from cron.job`, {
        message: "no updates specified",
      });
    });

    await t.step("an invalid schedule is refused in pg_cron's words", async () => {
      for (
        const call of [
          sql`select cron.schedule('bad', 'every day', 'x')`,
          sql`select cron.schedule('every day', 'x')`,
          sql`select cron.alter_job(jobid, schedule => 'every day') from cron.job`,
        ]
      ) {
        await assert.rejects(call, {
          code: "22023",
          message: "invalid schedule: every day",
          hint: "Use cron format (e.g. 5 4 * * *), or interval format '[1-59] seconds'",
        });
      }
    });

    await t.step("unscheduling what is not there raises", async () => {
      await assert.rejects(() => sql`select cron.unschedule('nope')`, {
        code: "XX000",
        message: "could not find valid entry for job 'nope'",
      });
      await assert.rejects(() => sql`select cron.unschedule(4711)`, {
        code: "XX000",
        message: "could not find valid entry for job 4711",
      });
      await assert.rejects(() => sql`select cron.alter_job(4711, active => true)`, {
        code: "XX000",
        message: "Job 4711 does not exist or you don't own it",
      });
    });

    await t.step("postgres may read cron.job and not write it", async () => {
      for (
        const statement of [
          "insert into cron.job (schedule, command) values ('* * * * *', 'x')",
          "update cron.job set active = true",
          "delete from cron.job",
        ]
      ) {
        await assert.rejects(() => sql.unsafe(statement), {
          code: "42501",
          message: "permission denied for table job",
        });
      }
      await sql`delete from cron.job_run_details`;
    });

    await t.step("only a superuser may name another role", async () => {
      await assert.rejects(
        () =>
          sql`select cron.schedule_in_database('o', '* * * * *', 'x', 'postgres', 'authenticator')`,
        { message: "must be superuser to create a job for another role" },
      );
      await assert.rejects(
        () => sql`select cron.alter_job(jobid, username => 'authenticator') from cron.job`,
        { message: "must be superuser to alter username" },
      );
      await admin`
        select cron.schedule_in_database(
          'other', '* * * * *', 'x', 'postgres', 'authenticator', false
        )
      `;
      const [job] = await admin`select username, active from cron.job where jobname = 'other'`;
      assert.deepEqual({ ...job }, { username: "authenticator", active: false });
    });

    await t.step("a role sees its own jobs, postgres sees all and changes its own", async () => {
      await admin`grant usage on schema cron to authenticator`;
      const own = await asRole("authenticator", "select jobname from cron.job");
      assert.deepEqual(own.map(({ jobname }) => jobname), ["other"]);
      const all = await sql`select jobname from cron.job order by 1`;
      assert.deepEqual(all.map(({ jobname }) => jobname), ["job", "other"]);
      await assert.rejects(
        () =>
          sql`select cron.alter_job(jobid, active => true) from cron.job where jobname = 'other'`,
        { message: /does not exist or you don't own it$/ },
      );
      await assert.rejects(
        () => sql`select cron.unschedule(jobid) from cron.job where jobname = 'other'`,
        { message: "permission denied for table job" },
      );
      await assert.rejects(() => sql`select cron.unschedule('other')`, {
        message: "could not find valid entry for job 'other'",
      });
    });

    await t.step("a caller cannot pass itself off as another role", async () => {
      await assert.rejects(
        () =>
          asRole(
            "authenticator",
            `insert into cron._call (operation, caller, job_name) values ('unschedule', 'postgres', 'job')`,
          ),
        { code: "42501" },
      );
      await assert.rejects(() => asRole("authenticator", "select cron.unschedule('job')"), {
        message: "could not find valid entry for job 'job'",
      });
      await assert.rejects(
        () => asRole("authenticator", "select cron.alter_job(1, active => false)"),
        { message: "permission denied for function alter_job" },
      );
      await assert.rejects(
        () =>
          asRole(
            "authenticator",
            "insert into cron._call (operation, job_id, active) values ('alter_job', 1, false)",
          ),
        { message: "permission denied for function alter_job" },
      );
    });

    await t.step("a security definer function acts as its owner", async () => {
      await sql`
        create function public.pause_job() returns void language sql security definer
        set search_path = '' as $$
          select cron.alter_job(jobid, active => false) from cron.job where jobname = 'job'
        $$
      `;
      await sql`select cron.alter_job(jobid, active => true) from cron.job where jobname = 'job'`;
      await asRole("anon", "select public.pause_job()");
      const [job] = await sql`select active from cron.job where jobname = 'job'`;
      assert.equal(job?.active, false);
    });

    await t.step("roles without the schema cannot call anything", async () => {
      for (const role of ["anon", "authenticated", "service_role"]) {
        await assert.rejects(() => asRole(role, "select cron.schedule('x', '* * * * *', 'x')"), {
          message: "permission denied for schema cron",
        });
      }
    });

    await t.step("unscheduling removes the job by name and by id", async () => {
      const [first] = await sql`select cron.unschedule('job') as done`;
      assert.equal(first?.done, true);
      const [second] = await admin`select cron.unschedule(jobid) as done from cron.job`;
      assert.equal(second?.done, true);
      const [left] = await admin`select count(*)::int as n from cron.job`;
      assert.equal(left?.n, 0);
    });
  } finally {
    await sql.end();
    await admin.end();
    await database.stop();
  }
});
