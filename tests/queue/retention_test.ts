import assert from "node:assert/strict";
import postgres from "postgres";
import { withStack } from "../integration/with_stack.ts";

Deno.test("maintenance prunes the run details of its own cron jobs and no others", () =>
  withStack({ cron: false, net: false }, async ({ stack, sql }) => {
    // Only pg_cron itself, or a superuser, writes them.
    const admin = postgres(stack.adminUrl, { max: 1, onnotice: () => {} });
    try {
      await admin`
        insert into cron.job_run_details
          (jobid, runid, job_pid, database, username, command, status, start_time, end_time)
        select j.jobid, 1000000 + row_number() over (), 1, j.database, j.username, j.command,
               'succeeded', now() - age, now() - age
          from cron.job as j cross join unnest(array[interval '1 day', interval '4 days']) as age
         where j.jobname in ('invoke-queue-processor-v2', 'hourly-fetch-fmp-profiles')`;
    } finally {
      await admin.end();
    }
    await sql`select * from public.prune_queue_history_v2()`;
    const left = await sql`
      select j.jobname, d.end_time < now() - interval '2 days' as is_old
        from cron.job_run_details as d join cron.job as j using (jobid)
       where d.runid > 1000000 order by 1, 2`;
    assert.deepEqual(left.map((row) => ({ ...row })), [
      { jobname: "hourly-fetch-fmp-profiles", is_old: false },
      { jobname: "hourly-fetch-fmp-profiles", is_old: true },
      { jobname: "invoke-queue-processor-v2", is_old: false },
    ]);
  }));

Deno.test("compaction waits 200 ms for a partition in use, then leaves it for the next run", () =>
  withStack({ cron: false, net: false }, async ({ stack, sql }) => {
    await sql`
      select switchyard.enqueue_jobs(
        array_agg('CO-' || n), array_agg('quote'::text), array_agg(100), 'scheduled')
        from generate_series(1, 45000) as n`;
    await sql`delete from switchyard.api_call_queue_v2_live where id % 100 <> 0`;
    const user = postgres(stack.databaseUrl, { max: 1 });
    try {
      await user.begin(async (transaction) => {
        await transaction`
          update public.api_call_queue_v2 set priority = 200
           where id = (select min(id) from switchyard.api_call_queue_v2_live)`;
        const [answer] = await sql`select public.compact_queue_v2() as compacted`;
        assert.equal(answer!.compacted, false);
      });
    } finally {
      await user.end();
    }
    const events = await sql`select kind from switchyard.queue_events where kind like 'compacted%'`;
    assert.deepEqual(events.map(({ kind }) => kind), [
      "compacted later: lock not available",
    ]);

    await assert.rejects(
      sql.begin("isolation level repeatable read", async (transaction) => {
        await transaction`select count(*) from public.api_call_queue_v2`;
        await transaction`select public.compact_queue_v2()`;
      }),
      /Cannot compact the queue: the transaction is repeatable read, wanted read committed/,
      "jobs committed since its snapshot would be lost",
    );

    // An old snapshot that keeps vacuum away keeps this from nothing.
    const old = postgres(stack.databaseUrl, { max: 1 });
    try {
      await old.begin("isolation level repeatable read", async (transaction) => {
        await transaction`select count(*) from public.feature_flags`;
        const [answer] = await sql`select public.compact_queue_v2() as compacted`;
        assert.equal(answer!.compacted, true);
      });
    } finally {
      await old.end();
    }
    const [left] = await sql`
      select count(*)::int as jobs, max(priority) as priority from public.api_call_queue_v2`;
    assert.deepEqual({ ...left }, { jobs: 450, priority: 200 });
  }));

Deno.test("a day partition that somebody reads is left for the next run and reported", () =>
  withStack({ cron: false, net: false }, async ({ stack, sql }) => {
    // Days ahead are made here: a stack may be older than midnight UTC, and lack one.
    await sql`select * from public.maintain_queue_partitions_v2()`;
    // Days ahead are made here: a stack may be older than midnight UTC, and lack one.
    await sql`select * from public.maintain_queue_partitions_v2()`;
    const [partition] = await sql<[{ name: string }]>`
      select switchyard.queue_partition_name((now() - interval '40 days')::date) as name,
             switchyard.make_queue_partition((now() - interval '40 days')::date)`;
    const reader = postgres(stack.databaseUrl, { max: 1 });
    try {
      await reader.begin(async (transaction) => {
        await transaction`select from ${transaction(`switchyard.${partition.name}`)}`;
        const actions = await sql`
          select action, partition_name from public.maintain_queue_partitions_v2()`;
        assert.deepEqual(actions.map((row) => ({ ...row })), [
          { action: "dropped later: lock not available", partition_name: partition.name },
        ]);
      });
    } finally {
      await reader.end();
    }
    const actions = await sql`select action from public.maintain_queue_partitions_v2()`;
    assert.deepEqual(actions.map(({ action }) => action), ["dropped"]);
  }));
