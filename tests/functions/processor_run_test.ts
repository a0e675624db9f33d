import assert from "node:assert/strict";
import { type ErrorClass, VendorError } from "../../supabase/functions/_shared/fetchers/errors.ts";
import type { Fetcher } from "../../supabase/functions/_shared/fetchers/contract.ts";
import {
  type ProcessorOptions,
  runProcessor,
} from "../../supabase/functions/_shared/processor/run_processor.ts";
import { createQueueClient, QueueError } from "../../supabase/functions/_shared/queue_client.ts";
import {
  fakeFetcher,
  FakeQueue,
  restStub,
  seeds,
  vendorAccess,
  VirtualClock,
} from "./processor_fakes.ts";

function run(
  clock: VirtualClock,
  queue: ProcessorOptions["queue"],
  fetchers: Record<string, Fetcher>,
  options: Partial<ProcessorOptions> = {},
) {
  return clock.drive(runProcessor({
    queue,
    fetchers,
    context: vendorAccess(clock),
    runId: crypto.randomUUID(),
    clock,
    ...options,
  }));
}

const queueDown = () =>
  new QueueError("Cannot settle jobs: the connection failed (network)", {
    action: "settle jobs",
    code: "network",
    transient: true,
  });

Deno.test("a run drains the queue with one claim and one settle per batch", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(30));
  const report = await run(clock, queue, { quote: fakeFetcher() }, {
    batchSize: 10,
    concurrency: 10,
  });

  assert.equal(queue.count("completed"), 30);
  assert.deepEqual(queue.claims.filter(({ given }) => given > 0).map(({ given }) => given), [
    10,
    10,
    10,
  ]);
  assert.deepEqual(queue.settles.map(({ results }) => results.length), [10, 10, 10]);
  assert.equal(report.endedBy, "idle");
  assert.equal(report.claims, queue.claims.length);
  assert.equal(report.settles, 3);
  assert.equal(report.rowsWritten, 30);
  assert.equal(report.vendorCalls, 30);
  assert.equal(report.bytes, 3000);
  assert.deepEqual(report.jobs, {
    claimed: 30,
    completed: 30,
    empty: 0,
    rescheduled: 0,
    failed: 0,
    released: 0,
    leaseLost: 0,
    unsettled: 0,
  });
  assert.deepEqual(queue.reports, [report]);
});

Deno.test("an empty queue is polled each 500 ms for the linger time, then the run is idle", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock);
  const report = await run(clock, queue, {});

  assert.equal(report.endedBy, "idle");
  assert.deepEqual(queue.claims.map(({ at }) => at - queue.claims[0]!.at), [0, 500, 1000, 1500]);
  assert.equal(clock.elapsed, 2000);
  assert.equal(report.latencyMs, null);
});

Deno.test("a run stays while jobs wait for the vendor's next minute, and claims each second at most", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock);
  const begun = clock.now();
  queue.nextClaims.push(...Array.from({ length: 20 }, () => 30_000));
  queue.onClaim = () => {
    if (clock.now() - begun >= 20_000 && queue.jobs.length === 0) queue.add({ symbol: "S1" });
  };
  const report = await run(clock, queue, { quote: fakeFetcher() });

  assert.equal(queue.count("completed"), 1);
  assert.equal(report.endedBy, "idle");
  const waiting = queue.claims.filter(({ given, at }) => given === 0 && at - begun < 20_000);
  assert.equal(waiting.length, 20);
});

Deno.test("a run that waits for calls ends with its budget", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock);
  queue.nextClaims.push(...Array.from({ length: 100 }, () => 400));
  const report = await run(clock, queue, { quote: fakeFetcher() }, { budgetMs: 10_000 });

  assert.equal(report.endedBy, "budget");
  assert.ok(queue.claims.length <= 21, `${queue.claims.length} claims in ten seconds`);
});

Deno.test("work that arrives while the run lingers is done, and the linger time starts anew", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock);
  void clock.sleep(1800).then(() => queue.add({ symbol: "LATE" }));
  await run(clock, queue, { quote: fakeFetcher() }, { lingerMs: 3000 });

  assert.equal(queue.count("completed"), 1);
  assert.equal(clock.elapsed, 5000);
});

Deno.test("a claim asks for no more jobs than there are free slots", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(20));
  const fetcher = fakeFetcher({ onCall: () => clock.sleep(300) });
  await run(clock, queue, { quote: fetcher }, { concurrency: 4, batchSize: 50 });

  assert.ok(queue.claims.every(({ asked }) => asked <= 4), JSON.stringify(queue.claims));
  assert.equal(queue.count("completed"), 20);
});

Deno.test("no more groups are fetched at once than the concurrency allows", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(25));
  const fetcher = fakeFetcher({
    onCall: ([symbol]) => clock.sleep(50 + 37 * (symbol!.length + symbol!.charCodeAt(1) % 5)),
  });
  await run(clock, queue, { quote: fetcher }, { concurrency: 3 });

  assert.equal(fetcher.mostAtOnce, 3);
  assert.equal(queue.count("completed"), 25);
});

Deno.test("slow calls in most slots do not keep a new job from a free one", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(5));
  const startedAt = new Map<string, number>();
  const fetcher = fakeFetcher({
    onCall: ([symbol]) => {
      startedAt.set(symbol!, clock.elapsed);
      return clock.sleep(9000);
    },
  });
  void clock.sleep(2000).then(() => queue.add({ symbol: "NEW" }));
  await run(clock, queue, { quote: fetcher }, { concurrency: 6 });

  assert.ok(startedAt.get("NEW")! <= 2500, `started after ${startedAt.get("NEW")} ms`);
});

Deno.test("jobs of one type share a call up to the smaller of batch size and fetcher limit", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [
    ...seeds(6, { data_type: "many", fetcher: "many", batch_size: 3 }),
    ...seeds(2),
  ]);
  const many = fakeFetcher({ dataType: "many", maxSymbolsPerCall: 100 });
  const quote = fakeFetcher();
  const report = await run(clock, queue, { many, quote }, { concurrency: 8 });

  assert.deepEqual(many.calls, [["S1", "S2", "S3"], ["S4", "S5", "S6"]]);
  assert.deepEqual(quote.calls, [["S1"], ["S2"]]);
  const booked = queue.settles.flatMap(({ results }) => results).map(({ calls }) => calls);
  assert.equal(booked.reduce((sum, calls) => sum + calls, 0), 4);
  assert.deepEqual(
    queue.settles[0]!.results.filter(({ job_id }) => job_id <= 3).map(({ calls, bytes }) => [
      calls,
      bytes,
    ]),
    [[1, 100], [0, 0], [0, 0]],
  );
  assert.equal(report.byDataType["many"]!.vendorCalls, 2);
  assert.equal(report.byDataType["many"]!.completed, 6);
});

Deno.test("claims of a type with a batch endpoint grow until they fill the slots", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(400, { batch_size: 50 }));
  const fetcher = fakeFetcher({ maxSymbolsPerCall: 50 });
  await run(clock, queue, { quote: fetcher }, { concurrency: 4, batchSize: 200 });

  assert.deepEqual(queue.claims.slice(0, 4).map(({ given }) => given), [4, 150, 200, 46]);
  assert.equal(fetcher.calls.length, 9);
});

Deno.test("jobs beyond the granted calls are given back when the registry promises too large groups", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(4, { batch_size: 10 }));
  const fetcher = fakeFetcher({ maxSymbolsPerCall: 1 });
  const report = await run(clock, queue, { quote: fetcher }, { concurrency: 4 });

  assert.equal(queue.count("completed"), 4);
  assert.equal(fetcher.calls.length, 4);
  const granted = queue.claims.filter(({ given }) => given > 0).length;
  assert.ok(fetcher.calls.length <= granted, `${fetcher.calls.length} calls, ${granted} granted`);
  assert.equal(report.warnings.length, 1);
  assert.match(report.warnings[0]!, /"quote" has batch_size 10.* set .*batch_size to 1/);
});

Deno.test("a symbol without rows is settled as empty", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [{ symbol: "NONE1" }, { symbol: "AAPL" }]);
  const report = await run(clock, queue, { quote: fakeFetcher() });

  assert.equal(report.jobs.empty, 1);
  assert.equal(report.jobs.completed, 1);
});

const CLASSES: ErrorClass[] = [
  "retryable",
  "rate_limited",
  "quota",
  "auth",
  "permanent",
  "dependency",
];
for (const errorClass of CLASSES) {
  Deno.test(`a vendor error of class ${errorClass} reaches the queue with code, cost and wait`, async () => {
    const clock = new VirtualClock();
    const queue = new FakeQueue(clock, [{ symbol: "AAPL" }]);
    let fails = true;
    const fetcher = fakeFetcher({
      onCall: () => {
        if (!fails) return;
        fails = false;
        throw new VendorError('Cannot fetch quote for "AAPL": as told', {
          errorClass,
          code: "told",
          calls: 1,
          bytes: 7,
          retryAfterSeconds: 1.5,
        });
      },
    });
    const report = await run(clock, queue, { quote: fetcher });

    const result = queue.settles[0]!.results[0]!;
    assert.equal(result.outcome, "failed");
    assert.deepEqual(result.error, {
      class: errorClass,
      code: "told",
      message: 'Cannot fetch quote for "AAPL": as told',
      retry_after_seconds: 2,
    });
    assert.equal(result.calls, 1);
    assert.equal(result.bytes, 7);
    assert.deepEqual(report.errors, [{
      dataType: "quote",
      symbol: "AAPL",
      class: errorClass,
      code: "told",
      message: 'Cannot fetch quote for "AAPL": as told',
    }]);
  });
}

Deno.test("after a 429 the queue hears of it before the next claim", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(3));
  let held = false;
  queue.onSettle = (results) => {
    held ||= results.some(({ error }) => error?.class === "rate_limited");
    if (held) queue.jobs.forEach((job) => job.fetcher = "held");
    return clock.sleep(50);
  };
  const claimedAfterHold: boolean[] = [];
  queue.onClaim = () => void claimedAfterHold.push(held);
  const fetcher = fakeFetcher({
    onCall: async ([symbol]) => {
      if (symbol !== "S1") return await clock.sleep(5000);
      throw new VendorError("Cannot fetch: the vendor answered 429", {
        errorClass: "rate_limited",
        code: "http_429",
        calls: 1,
      });
    },
  });
  await run(clock, queue, { quote: fetcher }, { concurrency: 3 });

  assert.equal(queue.settles[0]!.results.length, 1);
  assert.ok(queue.settles[0]!.at - queue.claims[0]!.at < 50, "the 429 waited for other results");
  assert.deepEqual(claimedAfterHold.slice(0, 2), [false, true]);
});

Deno.test("a fetcher that throws something unexpected fails its own job only", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [...seeds(3), { symbol: "BOOM", max_attempts: 1 }]);
  const fetcher = fakeFetcher({
    onCall: ([symbol]) => {
      if (symbol === "BOOM") throw new TypeError("x is undefined, key vendor-key-of-the-tests");
    },
  });
  const report = await run(clock, queue, { quote: fetcher });

  assert.equal(queue.count("completed"), 3);
  const boom = queue.jobs.find(({ symbol }) => symbol === "BOOM")!;
  assert.equal(boom.status, "failed");
  assert.equal(boom.error?.class, "retryable");
  assert.equal(boom.error?.code, "unexpected");
  assert.match(boom.error!.message, /quote for "BOOM".*TypeError: x is undefined, key /);
  assert.doesNotMatch(boom.error!.message, /vendor-key-of-the-tests/);
  assert.equal(report.jobs.failed, 1);
});

Deno.test("one bad symbol of a shared call ends alone, the others are completed", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [
    ...seeds(5, { batch_size: 8 }),
    { symbol: "BAD", batch_size: 8 },
    { symbol: "S7", batch_size: 8 },
  ]);
  const fetcher = fakeFetcher({
    maxSymbolsPerCall: 8,
    onCall: (symbols) => {
      if (!symbols.includes("BAD")) return;
      throw new VendorError("Cannot fetch quote: bad symbol", {
        errorClass: "permanent",
        code: "http_400",
        calls: 1,
      });
    },
  });
  const report = await run(clock, queue, { quote: fetcher }, { concurrency: 8 });

  assert.equal(queue.count("completed"), 6);
  assert.equal(queue.jobs.find(({ symbol }) => symbol === "BAD")!.status, "failed");
  assert.equal(report.jobs.failed, 1);
  assert.equal(report.vendorCalls, fetcher.calls.length);
});

Deno.test("a fetcher that ignores its signal is given up after the timeout of its calls", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [{ symbol: "HANG", max_attempts: 1 }]);
  const fetcher = fakeFetcher({ onCall: () => new Promise(() => {}) });
  const report = await run(clock, queue, { quote: fetcher });

  assert.equal(queue.jobs[0]!.error?.code, "timeout");
  assert.equal(queue.jobs[0]!.status, "failed");
  assert.equal(report.latencyMs?.max, 11_000);
});

Deno.test("the calls of a fetcher that broke off are counted", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [{ symbol: "AAPL", max_attempts: 1 }]);
  const fetcher = fakeFetcher({
    callsPerBatch: 3,
    onCall: async (_symbols, context) => {
      await context.fetch("http://vendor.invalid/1");
      await context.fetch("http://vendor.invalid/2");
      throw new RangeError("broke off");
    },
  });
  const context = vendorAccess(clock, { fetch: () => Promise.resolve(new Response("[]")) });
  const report = await run(clock, queue, { quote: fetcher }, { context });

  assert.equal(queue.settles[0]!.results[0]!.calls, 2);
  assert.equal(report.vendorCalls, 2);
});

Deno.test("a job whose type has no fetcher fails for good with the names that exist", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [
    { symbol: "AAPL", data_type: "ratios", fetcher: "toString" },
    { symbol: "AAPL" },
  ]);
  await run(clock, queue, { quote: fakeFetcher() });

  assert.equal(queue.jobs[0]!.status, "failed");
  assert.equal(queue.jobs[0]!.error?.code, "unknown_fetcher");
  assert.match(queue.jobs[0]!.error!.message, /no fetcher "toString"; set .* to one of "quote"/);
  assert.equal(queue.jobs[1]!.status, "completed");
});

Deno.test("a type that an Edge Function fetches is driven by posting its symbols there", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(
    clock,
    ["A", "B", "C"].map((symbol) => ({
      symbol,
      data_type: "made-up",
      fetcher: "edge-function",
      edge_function_name: "fetch-made-up",
      batch_size: 10,
      max_attempts: 1,
    })),
  );
  const requests: Request[] = [];
  const context = vendorAccess(clock, {
    fetch: (input, init) => {
      requests.push(new Request(input, init));
      return Promise.resolve(Response.json({
        message: "some failed",
        details: [
          { symbol: "A", success: true },
          { symbol: "B", success: false, message: "no such thing" },
        ],
        vendorCalls: 2,
        bytes: 700,
      }, { status: 207 }));
    },
  });
  const edgeFunctions = { url: "http://project.invalid/", key: "sb_secret_x", anonKey: "anon" };
  const report = await run(clock, queue, {}, { context, edgeFunctions });

  assert.equal(requests.length, 1);
  assert.equal(requests[0]!.url, "http://project.invalid/functions/v1/fetch-made-up");
  assert.equal(requests[0]!.headers.get("apikey"), "sb_secret_x");
  assert.equal(requests[0]!.headers.get("authorization"), "Bearer anon");
  assert.deepEqual(await requests[0]!.json(), { symbols: ["A", "B", "C"] });
  const outcomes = queue.settles.flatMap(({ results }) => results.map(({ outcome }) => outcome));
  assert.deepEqual(outcomes, ["completed", "failed", "completed"]);
  assert.match(queue.jobs[1]!.error!.message, /"B": no such thing/);
  assert.deepEqual([report.vendorCalls, report.bytes], [2, 700]);
});

for (
  const [name, answer, code] of [
    ["500", () => new Response("broken", { status: 500 }), "edge_function_500"],
    ["401", () => new Response("{}", { status: 401 }), "edge_function_401"],
    ["text that is not JSON", () => new Response("fine"), "not_json"],
    ["JSON of another shape", () => Response.json({ details: "all" }), "schema_mismatch"],
    ["no answer", () => Promise.reject(new TypeError("connection refused")), "network"],
  ] as const
) {
  Deno.test(`an Edge Function that gives ${name} fails the attempt`, async () => {
    const clock = new VirtualClock();
    const queue = new FakeQueue(clock, [{
      symbol: "A",
      data_type: "made-up",
      fetcher: "edge-function",
      edge_function_name: "fetch-made-up",
      max_attempts: 1,
    }]);
    const context = vendorAccess(clock, { fetch: () => Promise.resolve(answer()) });
    const edgeFunctions = { url: "http://project.invalid", key: "sb_secret_x" };
    await run(clock, queue, {}, { context, edgeFunctions });
    assert.equal(queue.jobs[0]!.error?.class, "retryable");
    assert.equal(queue.jobs[0]!.error?.code, code);
  });
}

Deno.test("what an Edge Function answers shows no part of a key, wherever it is cut", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [{
    symbol: "A",
    data_type: "made-up",
    fetcher: "edge-function",
    edge_function_name: "fetch-made-up",
    max_attempts: 1,
  }]);
  const keys = ["vendor-key-of-the-tests", "sb_secret_of_the_tests", "anon-key-of-the-tests"];
  const context = vendorAccess(clock, {
    fetch: () =>
      Promise.resolve(
        new Response(`${"x".repeat(150)} ${keys.join(" ")} ${"y".repeat(100)}`, { status: 500 }),
      ),
  });
  const edgeFunctions = { url: "http://project.invalid", key: keys[1]!, anonKey: keys[2]! };
  await run(clock, queue, {}, { context, edgeFunctions });
  const { message } = queue.jobs[0]!.error!;
  assert.match(message, /x \*\*\* \*\*\*/);
  for (const key of keys) assert.ok(!message.includes(key.slice(0, 8)), message);
});

Deno.test("a job that an Edge Function would fetch is refused by name without access to it", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [{
    symbol: "AAPL",
    data_type: "custom",
    fetcher: "edge-function",
    edge_function_name: "fetch-custom",
  }]);
  await run(clock, queue, { quote: fakeFetcher() });
  assert.equal(queue.jobs[0]!.error?.class, "permanent");
  assert.match(queue.jobs[0]!.error!.message, /Edge Function "fetch-custom"/);
});

Deno.test("a type whose fetcher makes more calls than the registry grants is refused with the number", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(1, { api_calls_per_batch: 1 }));
  const fetcher = fakeFetcher({ callsPerBatch: 3 });
  await run(clock, queue, { quote: fetcher });
  assert.equal(fetcher.calls.length, 0);
  assert.equal(queue.jobs[0]!.error?.code, "calls_not_granted");
  assert.match(queue.jobs[0]!.error!.message, /makes 3 vendor calls, .* grants 1; set .* to 3$/);
});

Deno.test("a group that may take longer than its lease gets a longer one, and is settled under it", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(1));
  const fetcher = fakeFetcher({ callsPerBatch: 20, onCall: () => clock.sleep(150_000) });
  const report = await run(clock, queue, { quote: fetcher }, {
    leaseSeconds: 120,
    budgetMs: 300_000,
  });
  assert.deepEqual(queue.extensions, [231]);
  assert.equal(report.jobs.completed, 1);
});

Deno.test("a plan that takes one symbol per call is told to the queue once, at the cost of no attempt", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(6, { batch_size: 6 }));
  queue.onSettle = (results) => {
    if (results.some(({ error }) => error?.class === "batch_refused")) {
      for (const job of queue.jobs) job.batch_size = 1;
    }
  };
  const fetcher = fakeFetcher({
    maxSymbolsPerCall: 6,
    onCall: (symbols) => {
      if (symbols.length > 1) {
        throw new VendorError("Cannot fetch quote: the plan lacks batch-quote", {
          errorClass: "batch_refused",
          code: "batch_refused",
          calls: 1,
        });
      }
    },
  });
  const report = await run(clock, queue, { quote: fetcher });

  assert.deepEqual(fetcher.calls.map((symbols) => symbols.length), [6, 1, 1, 1, 1, 1, 1]);
  assert.equal(report.jobs.completed, 6);
  assert.ok(queue.jobs.every(({ attempts }) => attempts === 0));
});

Deno.test("at the end of the budget jobs in flight are finished and unstarted ones given back", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(40));
  // The first claim is answered at once, the second only when the time is up.
  queue.onClaim = () => queue.claims.length === 1 ? clock.sleep(700) : undefined;
  const fetcher = fakeFetcher({ onCall: ([symbol]) => clock.sleep(symbol === "S1" ? 2000 : 100) });
  const report = await run(clock, queue, { quote: fetcher }, { budgetMs: 500, concurrency: 4 });

  assert.equal(report.endedBy, "budget");
  assert.equal(queue.claims.length, 2);
  assert.equal(report.jobs.completed, 4);
  assert.equal(report.jobs.released, queue.claims[1]!.given);
  assert.equal(fetcher.calls.length, 4);
  assert.equal(queue.count("processing"), 0);
  assert.equal(queue.count("pending"), 36);
});

Deno.test("a run claims no more jobs than it may and leaves the rest pending", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(40));
  const report = await run(clock, queue, { quote: fakeFetcher() }, { mostJobs: 20 });

  assert.equal(report.endedBy, "budget");
  assert.equal(report.jobs.completed, 20);
  assert.equal(queue.count("pending"), 20);
});

Deno.test("claimed jobs that find no free slot within 500 ms are given back", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [
    ...seeds(2, { data_type: "many", fetcher: "many", batch_size: 10 }),
    ...seeds(15),
  ]);
  const many = fakeFetcher({ dataType: "many", maxSymbolsPerCall: 10 });
  const quote = fakeFetcher({ onCall: () => clock.sleep(3000) });
  const report = await run(clock, queue, { many, quote }, { concurrency: 2, budgetMs: 2500 });

  const [overclaim] = queue.claims.filter(({ given }) => given > 2);
  assert.ok(overclaim!.given > 2, "the claim expected jobs that share calls");
  const givenBack = queue.settles.filter(({ results }) =>
    results.every(({ outcome }) => outcome === "released")
  );
  assert.equal(givenBack[0]!.results.length, overclaim!.given - 2);
  assert.equal(givenBack[0]!.at - overclaim!.at, 700);
  assert.equal(report.jobs.released, report.jobs.claimed - report.jobs.completed);
  assert.equal(queue.count("processing"), 0);
});

Deno.test("jobs of a claim that was answered too late are given back, not fetched", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(3));
  let slow = true;
  queue.onClaim = async () => {
    if (slow) await clock.sleep(800);
    slow = false;
  };
  const report = await run(clock, queue, { quote: fakeFetcher() });

  assert.equal(
    report.jobs.released,
    3,
    "the calls would fall out of the minute they were granted in",
  );
  assert.equal(report.jobs.completed, 3, "the next claim brings them");
  assert.match(report.warnings.join(), /claim took too long/);
});

Deno.test("jobs still in flight after the grace time are ended and given back with their cost", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(2));
  const fetcher = fakeFetcher({
    callsPerBatch: 10,
    onCall: async (_symbols, context) => {
      await context.fetch("http://vendor.invalid/1");
      await new Promise(() => {});
    },
  });
  const context = vendorAccess(clock, { fetch: () => Promise.resolve(new Response("[]")) });
  const report = await run(clock, queue, { quote: fetcher }, { context, budgetMs: 1000 });

  assert.equal(report.endedBy, "budget");
  assert.equal(report.jobs.released, 2);
  assert.equal(report.vendorCalls, 2);
  assert.equal(queue.count("pending"), 2);
  assert.equal(clock.elapsed, 16_000);
});

Deno.test("an abort stops the claims, finishes what is in flight and settles all", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(100));
  const shutdown = new AbortController();
  const fetcher = fakeFetcher({ onCall: () => clock.sleep(400) });
  void clock.sleep(1000).then(() => shutdown.abort());
  const report = await run(clock, queue, { quote: fetcher }, { signal: shutdown.signal });

  assert.equal(report.endedBy, "shutdown");
  assert.ok(queue.claims.every(({ at }) => at - queue.claims[0]!.at <= 1000));
  assert.equal(queue.count("processing"), 0);
  assert.equal(report.jobs.completed, fetcher.calls.length);
  assert.equal(report.jobs.claimed, report.jobs.completed);
  assert.equal(queue.reports.length, 1);
});

Deno.test("an abort during the grace time of the budget shortens it", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(1));
  const shutdown = new AbortController();
  const fetcher = fakeFetcher({ callsPerBatch: 10, onCall: () => new Promise(() => {}) });
  void clock.sleep(2000).then(() => shutdown.abort());
  const report = await run(clock, queue, { quote: fetcher }, {
    signal: shutdown.signal,
    budgetMs: 1000,
    shutdownGraceMs: 500,
  });

  assert.equal(clock.elapsed, 2500);
  assert.equal(report.jobs.released, 1);
});

Deno.test("a run whose signal has aborted before it begins claims nothing", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(1));
  const report = await run(clock, queue, { quote: fakeFetcher() }, { signal: AbortSignal.abort() });

  assert.equal(report.endedBy, "shutdown");
  assert.equal(queue.claims.length, 0);
  assert.equal(queue.reports.length, 1);
});

Deno.test("a settle that fails for a while is tried again and loses nothing", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(12));
  let failures = 3;
  const fetch = restStub(queue, (name) => {
    if (name !== "settle_queue_batch_v2" || failures-- <= 0) return undefined;
    if (failures === 1) throw new TypeError("connection reset");
    return Response.json({ message: "restarting", code: "57P01" }, { status: 503 });
  });
  const client = createQueueClient({ url: "http://rest.invalid", key: "secret", fetch, clock });
  const report = await run(clock, client, { quote: fakeFetcher() });

  assert.equal(queue.count("completed"), 12);
  assert.equal(report.jobs.completed, 12);
  assert.equal(report.jobs.unsettled, 0);
});

Deno.test("a settle whose answer got lost is reported as such when its retry finds no lease", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(2));
  let lost = false;
  const stub = restStub(queue);
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const answer = await stub(input, init);
    if (!new Request(input).url.includes("settle") || lost) return answer;
    lost = true;
    throw new TypeError("connection reset");
  };
  const client = createQueueClient({ url: "http://rest.invalid", key: "secret", fetch, clock });
  const report = await run(clock, client, { quote: fakeFetcher() });

  assert.equal(queue.count("completed"), 2);
  assert.equal(report.jobs.leaseLost, 2);
  assert.match(report.warnings[0]!, /an earlier try of the same call may have settled it/);
});

Deno.test("what cannot be settled at all is left to its lease and reported", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(2));
  queue.onSettle = () => {
    throw queueDown();
  };
  const report = await run(clock, queue, { quote: fakeFetcher() });

  assert.equal(queue.count("processing"), 2);
  assert.equal(report.jobs.unsettled, 2);
  assert.equal(report.errors.filter(({ code }) => code === "network").length, 2);
  assert.equal(queue.reports.length, 1);
});

Deno.test("settles go on only until the last grace time when the run ends", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(2));
  const fetch = restStub(
    queue,
    (name) =>
      name === "settle_queue_batch_v2"
        ? Response.json({ message: "down", code: "PGRST001" }, { status: 503 })
        : undefined,
  );
  const client = createQueueClient({ url: "http://rest.invalid", key: "secret", fetch, clock });
  const report = await run(clock, client, { quote: fakeFetcher() }, { budgetMs: 10_000 });

  assert.equal(report.endedBy, "budget");
  assert.equal(report.jobs.unsettled, 2);
  assert.equal(clock.elapsed, 15_000);
});

Deno.test("one result that the queue refuses does not sink its batch", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, [...seeds(7), { symbol: "POISON", max_attempts: 1 }]);
  queue.onSettle = (results) => {
    if (!results.some(({ rows }) => rows.some((row) => row["symbol"] === "POISON"))) return;
    throw new QueueError("Cannot settle jobs: unsupported Unicode escape sequence (22P05)", {
      action: "settle jobs",
      code: "22P05",
      status: 400,
      transient: false,
    });
  };
  const report = await run(clock, queue, { quote: fakeFetcher() });

  assert.equal(queue.count("completed"), 7);
  const poison = queue.jobs.find(({ symbol }) => symbol === "POISON")!;
  assert.equal(poison.status, "failed");
  assert.equal(poison.error?.code, "settle_refused");
  assert.match(poison.error!.message, /unsupported Unicode/);
  assert.equal(report.jobs.failed, 1);
  assert.equal(report.vendorCalls, 8);
  assert.equal(
    queue.settles.at(-1)!.results.at(-1)!.calls + report.jobs.completed,
    8,
    "the cost of the refused result is booked",
  );
});

Deno.test("a refused key does not make the settler split its batches", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(8));
  queue.onSettle = () => {
    throw new QueueError("Cannot settle jobs: permission denied (42501)", {
      action: "settle jobs",
      code: "42501",
      status: 403,
      transient: false,
    });
  };
  const report = await run(clock, queue, { quote: fakeFetcher() });

  assert.equal(queue.settles.length, 1);
  assert.equal(report.jobs.unsettled, 8);
});

Deno.test("a run ends in error when the queue accepts no result, before it fetches the whole queue", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(100));
  queue.onSettle = () => {
    throw new QueueError("Cannot settle jobs: the payload is string (SY012)", {
      action: "settle jobs",
      code: "SY012",
      status: 400,
      transient: false,
    });
  };
  const report = await run(clock, queue, { quote: fakeFetcher() });

  assert.equal(report.endedBy, "error");
  assert.ok(report.jobs.claimed <= 60, `${report.jobs.claimed} jobs claimed`);
  assert.equal(report.jobs.unsettled, report.jobs.claimed);
  assert.ok(report.settles < report.jobs.claimed, `${report.settles} settles`);
});

Deno.test("results whose lease is lost are counted and nothing else happens to them", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(3));
  queue.onSettle = () => {
    queue.jobs[1]!.lease_token = "another";
  };
  const report = await run(clock, queue, { quote: fakeFetcher() });

  assert.equal(report.jobs.leaseLost, 1);
  assert.equal(report.jobs.completed, 2);
  assert.equal(queue.jobs[1]!.status, "processing");
  assert.match(report.warnings[0]!, /Job 2 \(quote for "S2"\) lost its lease/);
});

Deno.test("a result waits at most 200 ms for others", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(2));
  const fetcher = fakeFetcher({ onCall: ([symbol]) => clock.sleep(symbol === "S1" ? 100 : 5000) });
  await run(clock, queue, { quote: fetcher });

  assert.equal(queue.settles[0]!.at - queue.claims[0]!.at, 300);
  assert.equal(queue.settles[0]!.results.length, 1);
});

Deno.test("heartbeats come every five seconds while the run lasts", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(1));
  const fetcher = fakeFetcher({ callsPerBatch: 3, onCall: () => clock.sleep(21_000) });
  await run(clock, queue, { quote: fetcher });

  const first = queue.claims[0]!.at;
  assert.deepEqual(queue.heartbeats.map((at) => at - first), [5000, 10_000, 15_000, 20_000]);
});

Deno.test("a claim that fails for a while is tried again", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(2));
  let failures = 3;
  queue.onClaim = () => {
    if (failures-- > 0) throw queueDown();
  };
  const report = await run(clock, queue, { quote: fakeFetcher() });

  assert.equal(report.endedBy, "idle");
  assert.equal(queue.count("completed"), 2);
  assert.equal(report.errors.length, 3);
});

Deno.test("a run ends in error when claims keep failing, after settling what it holds", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(8));
  queue.onClaim = () => {
    if (queue.claims.length > 0) throw queueDown();
  };
  const fetcher = fakeFetcher({ onCall: () => clock.sleep(100) });
  const report = await run(clock, queue, { quote: fetcher }, { concurrency: 4 });

  assert.equal(report.endedBy, "error");
  assert.equal(report.jobs.completed, 4);
  assert.equal(queue.count("processing"), 0);
  assert.equal(queue.reports.length, 1);
});

Deno.test("a run whose report cannot be stored still returns it, with the error", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(1));
  queue.onFinish = () => {
    throw queueDown();
  };
  const report = await run(clock, queue, { quote: fakeFetcher() });

  assert.equal(report.jobs.completed, 1);
  assert.equal(report.errors[0]?.code, "network");
});
