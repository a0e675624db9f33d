import assert from "node:assert/strict";
import { type ErrorClass, VendorError } from "../../supabase/functions/_shared/fetchers/errors.ts";
import {
  fakeFetcher,
  FakeQueue,
  run,
  seeds,
  vendorAccess,
  VirtualClock,
} from "./processor_fakes.ts";

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
