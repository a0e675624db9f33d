import assert from "node:assert/strict";
import { createQueueClient, QueueError } from "../../supabase/functions/_shared/queue_client.ts";
import {
  fakeFetcher,
  FakeQueue,
  queueDown,
  restStub,
  run,
  seeds,
  VirtualClock,
} from "./processor_fakes.ts";

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
