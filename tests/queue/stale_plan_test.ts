import assert from "node:assert/strict";
import postgres from "postgres";
import { withStack } from "../integration/with_stack.ts";

Deno.test("a session that knew the queue nearly empty claims and settles as well when it is full", () =>
  withStack({ cron: false, net: false }, async ({ stack, sql }) => {
    await sql`update public.api_providers_v2 set calls_per_minute = 100000000`;
    await sql`update public.feature_flags set enabled = true where flag_name = 'use_queue_system'`;
    const enqueue = (from: number, to: number) =>
      sql`select switchyard.enqueue_jobs(
            array_agg('P' || n), array_agg('quote'::text), array_agg(1000), 'demand')
            from generate_series(${from}::int, ${to}::int) as n`;
    const own = postgres(stack.databaseUrl, { max: 1, onnotice: () => {} });
    const work = async (batch: number, outcome: string) => {
      const jobs = await own<{ id: string; lease_token: string }[]>`
        select id::text, lease_token from public.get_queue_batch_v2(${batch})`;
      const error = { class: "retryable", code: "test", message: "test" };
      await own`select from public.settle_queue_batch_v2(${
        own.json(
          jobs.map(({ id, lease_token }) => ({
            job_id: Number(id),
            lease_token,
            outcome,
            error: outcome === "failed" ? error : null,
          })),
        )
      })`;
      return jobs.length;
    };
    try {
      // A loop over the whole queue for each job of a batch takes many times as long.
      await own`set statement_timeout = '5s'`;
      for (let n = 0; n < 12; n++) {
        await enqueue(n, n);
        await work(10, n % 2 === 0 ? "empty" : "failed");
      }
      await enqueue(100, 30_099);
      assert.equal(await work(1_000, "empty"), 1_000);
      assert.equal(await work(1_000, "failed"), 1_000);
      assert.equal(await work(1_000, "released"), 1_000);
    } finally {
      await own.end();
    }
  }));

Deno.test("a data type goes back as fast when the statistics know an empty queue", () =>
  withStack({ cron: false, net: false }, async ({ stack }) => {
    const own = postgres(stack.databaseUrl, { max: 1, onnotice: () => {} });
    const jobs = 60_000;
    const enqueue = () =>
      own`select switchyard.enqueue_jobs(
            array_agg('P' || n), array_agg('quote'::text), array_agg(1000), 'demand')
            from generate_series(1, ${jobs}::int) as n`;
    try {
      await own`select switchyard.set_stage('quote', 'live')`;
      await enqueue();
      await own`insert into public.api_call_queue_v2 (symbol, data_type) values ('P0', 'quote')`;
      await own`delete from public.api_call_queue_v2 where finished_at = 'infinity' and symbol <> 'P0'`;
      await own`vacuum analyze switchyard.api_call_queue_v2_live`;
      await enqueue();
      // A loop over the whole queue for each job takes most of a minute.
      await own`set statement_timeout = '15s'`;
      const [rolledBack] =
        await own`select cancelled_jobs from public.rollback_migration_v2('quote')`;
      assert.equal(rolledBack!.cancelled_jobs, jobs + 1);
    } finally {
      await own.end();
    }
  }));
