import assert from "node:assert/strict";
import fc from "fast-check";
import type { Sql } from "postgres";
import { withStack } from "../integration/with_stack.ts";

/** What is known of the jobs from outside: held ones with their tokens, and how many were made. */
interface Model {
  made: number;
  held: { id: number; symbol: string; token: string; expired: boolean }[];
  settledIds: Set<number>;
}

const symbol = fc.constantFrom("A", "B", "C", "D", "E");
const operation = fc.oneof(
  fc.record({
    kind: fc.constant("enqueue" as const),
    symbol,
    priority: fc.integer({ min: 9000, max: 9999 }),
  }),
  fc.record({ kind: fc.constant("claim" as const), size: fc.integer({ min: 1, max: 4 }) }),
  fc.record({
    kind: fc.constant("settle" as const),
    pick: fc.nat(),
    outcome: fc.constantFrom(
      "completed",
      "empty",
      "released",
      "retryable",
      "permanent",
      "rate_limited",
    ),
  }),
  fc.record({ kind: fc.constant("settle stale" as const), pick: fc.nat() }),
  fc.record({ kind: fc.constant("expire" as const), pick: fc.nat() }),
  fc.record({ kind: fc.constant("recover" as const) }),
  fc.record({ kind: fc.constant("reset" as const), pick: fc.nat() }),
  fc.record({ kind: fc.constant("cancel" as const), symbol }),
  fc.record({ kind: fc.constant("retry" as const) }),
  fc.record({ kind: fc.constant("come due" as const) }),
);
type Operation = typeof operation extends fc.Arbitrary<infer Value> ? Value : never;

Deno.test("random sequences of operations keep the invariants of docs/queue.md", () =>
  withStack({ cron: false, net: false }, async ({ sql }) => {
    await sql`update switchyard.settings set value = 'null' where name = 'known_symbols_table'`;
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 5, maxLength: 40 }), async (operations) => {
        await sql`truncate public.api_call_queue_v2`;
        const model: Model = { made: 0, held: [], settledIds: new Set() };
        for (const next of operations) {
          await apply(sql, model, next);
          await checkInvariants(sql, model);
        }
      }),
      { numRuns: 40 },
    );
  }));

async function apply(sql: Sql, model: Model, operation: Operation): Promise<void> {
  await sql`update public.api_providers_v2
               set hold_until = null, breaker_state = 'closed', calls_per_minute = 100000000`;
  switch (operation.kind) {
    case "enqueue": {
      const [before] = await sql`select count(*)::int as jobs from public.api_call_queue_v2`;
      await sql`select public.queue_refresh_if_not_exists_v2(${operation.symbol}, 'quote', ${operation.priority})`;
      const [after] = await sql`select count(*)::int as jobs from public.api_call_queue_v2`;
      model.made += after!.jobs - before!.jobs;
      break;
    }
    case "claim": {
      const jobs = await sql<{ id: number; symbol: string; lease_token: string }[]>`
        select id::int, symbol, lease_token from public.get_queue_batch_v2(${operation.size}, null, true)`;
      for (const job of jobs) {
        assert.ok(!model.settledIds.has(job.id), "a finished job is never claimed again");
        assert.ok(
          !model.held.some(({ id, expired }) => id === job.id && !expired),
          "no job is held twice",
        );
        model.held = model.held.filter(({ id }) => id !== job.id);
        model.held.push({ id: job.id, symbol: job.symbol, token: job.lease_token, expired: false });
      }
      break;
    }
    case "settle": {
      const job = model.held[operation.pick % Math.max(1, model.held.length)];
      if (job === undefined) return;
      const isError = ["retryable", "permanent", "rate_limited"].includes(operation.outcome);
      const [answer] = await sql`
        select outcome from public.settle_queue_batch_v2(${
        sql.json([{
          job_id: job.id,
          lease_token: job.token,
          outcome: isError ? "failed" : operation.outcome,
          rows: [{ symbol: job.symbol, current_price: 1, api_timestamp: Date.now() }],
          error: isError ? { class: operation.outcome, code: "test", message: "test" } : null,
        }])
      })`;
      if (job.expired) assert.equal(answer!.outcome, "lease_lost");
      if (["completed", "empty", "failed"].includes(answer!.outcome)) model.settledIds.add(job.id);
      model.held = model.held.filter((held) => held !== job);
      break;
    }
    case "settle stale": {
      const job = model.held[operation.pick % Math.max(1, model.held.length)];
      if (job === undefined) return;
      const [before] =
        await sql`select to_jsonb(q) as job from public.api_call_queue_v2 as q where id = ${job.id}`;
      const [answer] = await sql`
        select outcome from public.settle_queue_batch_v2(${
        sql.json([{ job_id: job.id, lease_token: crypto.randomUUID(), outcome: "empty" }])
      })`;
      assert.equal(answer!.outcome, "lease_lost");
      const [after] =
        await sql`select to_jsonb(q) as job from public.api_call_queue_v2 as q where id = ${job.id}`;
      assert.deepEqual(after, before);
      break;
    }
    case "expire": {
      const job = model.held[operation.pick % Math.max(1, model.held.length)];
      if (job === undefined) return;
      await sql`update public.api_call_queue_v2 set lease_expires_at = clock_timestamp()
                 where id = ${job.id} and status = 'processing'`;
      job.expired = true;
      break;
    }
    case "recover":
      await sql`select public.recover_stuck_jobs_v2()`;
      break;
    case "reset": {
      const job = model.held[operation.pick % Math.max(1, model.held.length)];
      if (job === undefined) return;
      await sql`select public.reset_job_immediate_v2(${job.id})`;
      job.expired = true;
      break;
    }
    case "cancel":
      await sql`select public.cancel_jobs_v2(p_symbol := ${operation.symbol})`;
      for (const job of model.held) if (job.symbol === operation.symbol) job.expired = true;
      break;
    case "retry": {
      const [answer] = await sql`select public.retry_failed_jobs_v2() as made`;
      model.made += answer!.made;
      break;
    }
    case "come due":
      await sql`update public.api_call_queue_v2 set run_after = clock_timestamp()
                 where status = 'pending'`;
      break;
  }
}

async function checkInvariants(sql: Sql, model: Model): Promise<void> {
  const [counts] = await sql`
    select count(*)::int as jobs,
           count(distinct id)::int as ids,
           count(*) filter (where finished_at = 'infinity')::int as live,
           count(distinct symbol) filter (where finished_at = 'infinity')::int as live_symbols,
           count(*) filter (where status = 'failed' and attempts > 5)::int as overtried
      from public.api_call_queue_v2`;
  assert.equal(counts!.jobs, model.made, "no job is lost and none is made up");
  assert.equal(counts!.ids, counts!.jobs, "no job is in two places");
  assert.equal(counts!.live, counts!.live_symbols, "one live job per symbol and data type");
  assert.equal(counts!.overtried, 0, "no job is tried more often than max_attempts");
  const held = await sql<{ id: number; lease_token: string }[]>`
    select id::int, lease_token from public.api_call_queue_v2
     where status = 'processing' and lease_expires_at > clock_timestamp()`;
  assert.deepEqual(
    held.map(({ id, lease_token }) => `${id} ${lease_token}`).sort(),
    model.held.filter(({ expired }) => !expired).map(({ id, token }) => `${id} ${token}`).sort(),
    "exactly the claimed and unsettled jobs are held, each by the last claim",
  );
}
