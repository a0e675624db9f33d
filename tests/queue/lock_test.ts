import assert from "node:assert/strict";
import postgres, { type Sql } from "postgres";
import { withStack } from "../integration/with_stack.ts";
import { eventually } from "../eventually.ts";

const ROUNDS_MS = 6_000;

Deno.test("sessions that enqueue, claim, settle, cancel and redrive at random go on without a deadlock", () =>
  withStack({ cron: false, net: false }, async ({ stack, sql }) => {
    await sql`update public.api_providers_v2 set calls_per_minute = 100000000`;
    await sql`update switchyard.settings set value = 'null' where name = 'known_symbols_table'`;
    await sql`update public.feature_flags set enabled = true where flag_name = 'use_queue_system'`;
    const end = performance.now() + ROUNDS_MS;
    const names = () =>
      Array.from({ length: 30 }, () => `L${Math.floor(Math.random() * 60)}`)
        .sort(() => Math.random() - 0.5);
    const works: ((own: Sql) => Promise<unknown>)[] = [
      (own) => {
        const symbols = names();
        return own`select switchyard.enqueue_jobs(${symbols},
          ${symbols.map((_, index) => ["quote", "profile", "financial-statements"][index % 3]!)},
          ${symbols.map(() => 1_000 + Math.floor(Math.random() * 5_000))}, 'demand')`;
      },
      async (own) => {
        // Nearly always more than there is, so that claims meet the end of the queue.
        const jobs = await own<{ id: number; symbol: string; lease_token: string }[]>`
          select id::int, symbol, lease_token from public.get_queue_batch_v2(20)`;
        const outcomes = ["empty", "dependency", "rate_limited", "released", "retryable"];
        await own`select from public.settle_queue_batch_v2(${
          own.json(
            jobs.map((job, index) => {
              const outcome = outcomes[index % outcomes.length]!;
              const isError = !["empty", "released"].includes(outcome);
              return {
                job_id: job.id,
                lease_token: job.lease_token,
                outcome: isError ? "failed" : outcome,
                error: isError
                  ? { class: outcome, code: "test", message: "test", retry_after_seconds: 0 }
                  : null,
              };
            }).sort(() => Math.random() - 0.5),
          )
        })`;
      },
      (own) => own`select public.cancel_jobs_v2(p_data_type := 'quote')`,
      (own) => own`select public.retry_failed_jobs_v2()`,
      (own) => own`select public.recover_stuck_jobs_v2()`,
    ];
    const deadlocks: string[] = [];
    const sessions = [0, 0, 1, 1, 1, 1, 2, 3, 4].map((work) => ({
      own: postgres(stack.databaseUrl, { max: 1, onnotice: () => {} }),
      work: works[work]!,
    }));
    try {
      const rounds = await Promise.all(sessions.map(async ({ own, work }) => {
        let count = 0;
        while (performance.now() < end) {
          try {
            await work(own);
            count++;
          } catch (error) {
            // What a processor asks again after: see the lock timeout of switchyard.mark_jobs.
            if (!(error instanceof postgres.PostgresError)) throw error;
            if (error.code === "40P01") deadlocks.push(error.message);
            else if (error.code !== "55P03") throw error;
          }
        }
        return count;
      }));
      assert.ok(rounds.every((count) => count > 10), `all took part: ${rounds}`);
      // The timeout leaves a tenth of a chance that the other one is chosen first.
      assert.ok(deadlocks.length <= 1, `deadlocks: ${deadlocks}`);
    } finally {
      await Promise.all(sessions.map(({ own }) => own.end()));
    }
    const [twice] = await sql`
      select count(*)::int - count(distinct id)::int as jobs from public.api_call_queue_v2`;
    assert.equal(twice!.jobs, 0);
  }));

Deno.test("two claims at once grant no call twice, also when jobs share calls", () =>
  withStack({ cron: false, net: false }, async ({ stack, sql }) => {
    await sql`update public.api_providers_v2 set calls_per_minute = 1`;
    await sql`update switchyard.settings set value = '50' where name = 'oldest_slots_percent'`;
    await sql`update public.data_type_registry_v2 set batch_size = 10 where data_type = 'quote'`;
    await sql`insert into public.api_call_queue_v2 (symbol, data_type, priority)
      select 'Q' || n, 'quote', 9000 + n from generate_series(1, 10) as n`;
    const first = postgres(stack.databaseUrl, { max: 1 });
    try {
      let second: Promise<readonly unknown[]> | undefined;
      await first.begin(async (transaction) => {
        const held = await transaction`select id from public.get_queue_batch_v2(3, null, true)`;
        assert.equal(held.length, 3, "three jobs share the one call");
        second = sql`select id from public.get_queue_batch_v2(10, null, true)`.then((rows) => rows);
        // It has marked its jobs and waits for the ledger.
        // Asked outside of the transaction, which would see the sessions as they were at first.
        await eventually("the second claim to wait", async () => {
          const waiting = await sql`
            select from pg_stat_activity
             where wait_event_type = 'Lock' and query like '%get_queue_batch_v2(10%'`;
          return waiting.length > 0 ? true : undefined;
        });
      });
      assert.equal((await second!).length, 0, "the second finds the call used up");
    } finally {
      await first.end();
    }
    const [granted] = await sql`select sum(calls)::int as calls from switchyard.call_grants`;
    assert.equal(granted!.calls, 1);
    const [pending] = await sql`
      select count(*)::int as jobs from public.api_call_queue_v2 where status = 'pending'`;
    assert.equal(pending!.jobs, 7, "what it had marked is pending again");
  }));
