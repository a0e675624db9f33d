import assert from "node:assert/strict";
import { fakeFetcher, FakeQueue, run, seeds, VirtualClock } from "./processor_fakes.ts";

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

Deno.test("heartbeats come every five seconds while the run lasts", async () => {
  const clock = new VirtualClock();
  const queue = new FakeQueue(clock, seeds(1));
  const fetcher = fakeFetcher({ callsPerBatch: 3, onCall: () => clock.sleep(21_000) });
  await run(clock, queue, { quote: fetcher });

  const first = queue.claims[0]!.at;
  assert.deepEqual(queue.heartbeats.map((at) => at - first), [5000, 10_000, 15_000, 20_000]);
});
