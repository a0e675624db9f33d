import assert from "node:assert/strict";
import { z } from "zod";
import type {
  Fetcher,
  JsonValue,
  Parts,
  Row,
} from "../../supabase/functions/_shared/fetchers/contract.ts";
import { VendorError } from "../../supabase/functions/_shared/fetchers/errors.ts";
import type { SettleResult } from "../../supabase/functions/_shared/queue_client.ts";
import { FakeQueue, queueDown, run, VirtualClock } from "./processor_fakes.ts";

interface PartsOptions {
  /** Parts of the whole refresh. */
  parts: number;
  /** Rows of each part. Default 2. */
  rows?: number;
  /** Parts per claim. Default 3. */
  perClaim?: number;
  onPart?: (part: number, signal: AbortSignal) => void | Promise<void>;
  startWithinMs?: number;
}

/** A fetcher of one global type in parts, whose cursor is the number of the part. */
function partsFetcher(options: PartsOptions): Fetcher & { asked: number[] } {
  const asked: number[] = [];
  const parts: Parts = {
    startWithinMs: options.startWithinMs ?? 20_000,
    async request(from: JsonValue | null, context) {
      const part = Number(from ?? 0);
      asked.push(part);
      await options.onPart?.(part, context.signal);
      const payload = Array.from({ length: options.rows ?? 2 }, (_, row) => `${part}-${row}`);
      return { payload, calls: 1, bytes: 100, next: part + 1 < options.parts ? part + 1 : null };
    },
  };
  return {
    asked,
    dataType: "whole-market",
    maxSymbolsPerCall: 1,
    callsPerBatch: options.perClaim ?? 3,
    parts,
    schema: z.array(z.string()),
    request: () => Promise.reject(new Error("the queue asks for parts")),
    toRows(payload) {
      const rows = (payload as string[]).map((name): Row => ({ name }));
      return { rows: new Map([["GLOBAL", rows]]), warnings: [] };
    },
  };
}

const job = { symbol: "GLOBAL", data_type: "whole-market", fetcher: "whole-market" };

async function walk(options: PartsOptions, settings: Parameters<typeof run>[3] = {}) {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [job]);
  const fetcher = partsFetcher(options);
  const report = await run(clock, queue, { "whole-market": fetcher }, settings);
  return {
    clock,
    queue,
    fetcher,
    report,
    results: queue.settles.flatMap(({ results }) => results),
  };
}

const outcomesOf = (results: readonly SettleResult[]) => results.map(({ outcome }) => outcome);

Deno.test("each part is settled with its rows, cursor and cost before the next is asked for", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [job]);
  const settledBefore: number[] = [];
  const fetcher = partsFetcher({
    parts: 2,
    onPart: () => void settledBefore.push(queue.settles.length),
  });
  const report = await run(clock, queue, { "whole-market": fetcher });
  assert.deepEqual(settledBefore, [0, 1]);
  const [first, second, last] = queue.settles.flatMap(({ results }) => results);
  assert.deepEqual(first?.rows, [{ name: "0-0" }, { name: "0-1" }]);
  const { settle_id, ...progress } = first?.progress ?? {};
  assert.deepEqual(progress, { cursor: 1, lease_seconds: 120 });
  assert.match(settle_id ?? "", /^[0-9a-f-]{36}$/);
  assert.deepEqual([first?.outcome, first?.calls, first?.bytes], ["progress", 1, 100]);
  assert.deepEqual(second?.rows, [{ name: "1-0" }, { name: "1-1" }]);
  assert.deepEqual([last?.outcome, last?.rows, last?.calls, last?.bytes], ["completed", [], 0, 0]);
  assert.deepEqual(last?.progress, {}, "or the queue would take the job for empty");
  assert.equal(queue.count("completed"), 1);
  assert.deepEqual([report.rowsWritten, report.vendorCalls, report.bytes], [4, 2, 200]);
  assert.deepEqual([report.jobs.claimed, report.jobs.completed], [1, 1]);
});

Deno.test("beyond the calls of one claim the job is given back and goes on with the next", async () => {
  const { fetcher, queue, report } = await walk({ parts: 8, perClaim: 3 });
  assert.deepEqual(fetcher.asked, [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.equal(queue.claims.filter(({ given }) => given === 1).length, 3);
  assert.equal(queue.jobs[0]?.releases, 2);
  assert.equal(queue.jobs[0]?.attempts, 0);
  assert.equal(queue.count("completed"), 1);
  assert.equal(report.vendorCalls, 8);
});

Deno.test("no part of a claim begins later than the fetcher says", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [job]);
  const starts: number[] = [];
  const fetcher = partsFetcher({
    parts: 6,
    perClaim: 10,
    onPart: () => {
      starts.push(clock.now());
      return clock.sleep(8_000);
    },
  });
  await run(clock, queue, { "whole-market": fetcher });
  assert.equal(fetcher.asked.length, 6);
  const claims = queue.claims.filter(({ given }) => given === 1).map(({ at }) => at);
  assert.equal(claims.length, 2);
  for (const start of starts) {
    const claimedAt = claims.findLast((at) => at <= start) ?? NaN;
    assert.ok(start - claimedAt < 20_500, `${start - claimedAt} ms after the claim`);
  }
});

Deno.test("a part of many rows is settled in pieces, and the cursor moves with the last", async () => {
  const { results } = await walk({ parts: 1, rows: 12_000 });
  assert.deepEqual(outcomesOf(results), ["progress", "progress", "progress", "completed"]);
  assert.deepEqual(results.map(({ rows }) => rows.length), [5_000, 5_000, 2_000, 0]);
  assert.deepEqual(results.map(({ calls }) => calls), [1, 0, 0, 0]);
  const ids = results.slice(0, 3).map(({ progress }) => progress?.settle_id);
  assert.equal(new Set(ids).size, 3, "or the queue would take one for another");
});

Deno.test("pieces before the last keep the cursor where it was", async () => {
  const { results } = await walk({ parts: 2, rows: 6_000 });
  const cursors = results.map(({ progress }) => progress?.cursor);
  assert.deepEqual(cursors, [null, 1, 1, 1, undefined]);
});

Deno.test("a failed part fails the attempt, and the next attempt goes on there", async () => {
  let failures = 1;
  const { fetcher, queue, report } = await walk({
    parts: 3,
    onPart: (part) => {
      if (part === 1 && failures-- > 0) {
        throw new VendorError("page 1: down", {
          errorClass: "retryable",
          code: "http_503",
          calls: 1,
        });
      }
    },
  });
  assert.deepEqual(fetcher.asked, [0, 1, 1, 2]);
  assert.equal(queue.jobs[0]?.attempts, 1);
  assert.equal(queue.count("completed"), 1);
  assert.equal(report.vendorCalls, 4);
  assert.match(report.errors[0]?.message ?? "", /page 1: down/);
});

Deno.test("nothing in any part is nothing", async () => {
  const { results, queue } = await walk({ parts: 1, rows: 0 });
  assert.deepEqual(outcomesOf(results), ["progress", "empty"]);
  assert.equal(queue.count("completed"), 1);
});

Deno.test("after a lost lease no further part is asked for", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [job]);
  queue.onSettle = () => {
    queue.jobs[0]!.lease_token = "another";
    queue.onSettle = () => {};
  };
  const fetcher = partsFetcher({ parts: 3 });
  const report = await run(clock, queue, { "whole-market": fetcher });
  assert.deepEqual(fetcher.asked, [0]);
  assert.equal(report.jobs.leaseLost, 1);
  assert.equal(queue.settles.length, 1);
});

Deno.test("a part that cannot be settled ends the claim without another result", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [job]);
  queue.onSettle = () => Promise.reject(queueDown());
  const fetcher = partsFetcher({ parts: 3 });
  const report = await run(clock, queue, { "whole-market": fetcher }, { budgetMs: 10_000 });
  assert.deepEqual(fetcher.asked, [0]);
  assert.equal(report.jobs.unsettled, 1);
});

Deno.test("at the end of the budget the part in flight is settled and the job given back", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [job]);
  const fetcher = partsFetcher({ parts: 9, perClaim: 9, onPart: () => clock.sleep(4_000) });
  const report = await run(clock, queue, { "whole-market": fetcher }, { budgetMs: 10_000 });
  assert.equal(report.endedBy, "budget");
  assert.deepEqual(fetcher.asked, [0, 1, 2]);
  assert.equal(queue.jobs[0]?.progress, 3);
  assert.deepEqual([queue.jobs[0]?.status, queue.jobs[0]?.releases], ["pending", 1]);
});

Deno.test("rows in parts count towards the jobs of a run, since they take its CPU time", async () => {
  const { report, queue } = await walk({ parts: 9, rows: 1_000, perClaim: 9 }, { mostJobs: 32 });
  assert.equal(report.endedBy, "budget");
  assert.equal(report.rowsWritten, 4_000);
  assert.equal(queue.jobs[0]?.status, "pending");
});

Deno.test("a cursor that cannot be read gives the job back", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [job]);
  let failures = 1;
  const progressOf = queue.progressOf.bind(queue);
  queue.progressOf = (asked) => failures-- > 0 ? Promise.reject(queueDown()) : progressOf(asked);
  const report = await run(clock, queue, { "whole-market": partsFetcher({ parts: 1 }) });
  assert.equal(queue.jobs[0]?.releases, 1);
  assert.equal(queue.count("completed"), 1);
  assert.equal(report.errors[0]?.class, "queue");
});
