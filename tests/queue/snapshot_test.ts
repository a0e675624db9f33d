import assert from "node:assert/strict";
import postgres from "postgres";
import { withStack } from "../integration/with_stack.ts";

Deno.test("claims stay in order and complete while an old snapshot keeps vacuum away", () =>
  withStack({ cron: false, net: false }, async ({ stack, sql }) => {
    await sql`update public.api_providers_v2
                 set calls_per_minute = 100000000, bytes_per_30_days = 1000000000000000`;
    await sql`update public.feature_flags set enabled = true where flag_name = 'use_queue_system'`;
    await sql`select 1 from switchyard.enqueue_jobs(
      (select array_agg('S' || n) from generate_series(1, 30000) as n),
      (select array_agg('quote'::text) from generate_series(1, 30000) as n),
      (select array_agg(1000 + n % 7) from generate_series(1, 30000) as n), 'demand')`;
    const holder = postgres(stack.databaseUrl, { max: 1 });
    await holder.begin("isolation level repeatable read", async (old) => {
      await old`select count(*) from public.api_call_queue_v2`;
      // As after a slow scan: claims go on from where the last one stopped.
      let claimed = 0;
      while (true) {
        const jobs = await sql<{ id: string; lease_token: string }[]>`
          select id::text, lease_token from public.get_queue_batch_v2(1000)`;
        if (jobs.length === 0) {
          const [left] =
            await sql`select from public.api_call_queue_v2 where status = 'pending' limit 1`;
          if (left === undefined) break;
          // The cursor has passed them; the next pass begins at the head.
          await sql`update switchyard.claim_cursors set next_pass_at = now()`;
          continue;
        }
        claimed += jobs.length;
        await sql`select from public.settle_queue_batch_v2(${
          sql.json(
            jobs.map(({ id, lease_token }) => ({
              job_id: Number(id),
              lease_token,
              outcome: "empty",
            })),
          )
        })`;
        // Every other claim in the mode of slow scans, from the last job on.
        await sql`
          insert into switchyard.claim_cursors (provider, rank, job_id, oldest_id, next_pass_at)
          values ('fmp', -1006, 0, 0, clock_timestamp() + interval '1 second')
          on conflict (provider) do update
            set next_pass_at = case when random() < 0.5 then clock_timestamp() + interval '1 second'
                                    else clock_timestamp() end`;
      }
      assert.equal(claimed, 30_000);
    });
    await holder.end();
    const [left] = await sql`
      select count(*)::int as jobs from public.api_call_queue_v2 where finished_at = 'infinity'`;
    assert.equal(left!.jobs, 0);
  }));
