import assert from "node:assert/strict";
import {
  fakeFetcher,
  FakeQueue,
  queueDown,
  run,
  seeds,
  vendorAccess,
  VirtualClock,
} from "./processor_fakes.ts";

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

Deno.test("a run whose claim finds nothing while jobs are on their way back claims once more", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(3));
  let slow = true;
  queue.onClaim = async () => {
    if (slow) await clock.sleep(800);
    slow = false;
  };
  queue.onSettle = () => clock.sleep(700);
  const report = await run(clock, queue, { quote: fakeFetcher() }, { lingerMs: 0 });

  assert.deepEqual(queue.claims.slice(0, 3).map(({ given }) => given), [3, 0, 3]);
  assert.equal(report.jobs.completed, 3);
  assert.equal(report.endedBy, "idle");
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
