import assert from "node:assert/strict";
import { fakeFetcher, FakeQueue, run, vendorAccess, VirtualClock } from "./processor_fakes.ts";

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
      api_calls_per_batch: 2,
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
  assert.equal(requests[0]!.headers.get("x-switchyard-granted-calls"), "2");
  assert.deepEqual(await requests[0]!.json(), { symbols: ["A", "B", "C"] });
  const outcomes = queue.settles.flatMap(({ results }) => results.map(({ outcome }) => outcome));
  assert.deepEqual(outcomes, ["completed", "failed", "completed"]);
  assert.match(queue.jobs[1]!.error!.message, /"B": no such thing/);
  assert.deepEqual([report.vendorCalls, report.bytes], [2, 700]);
});

for (
  const [name, answer, code] of [
    ["500", () => new Response("broken", { status: 500 }), "edge_function_500"],
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

for (const status of [401, 403]) {
  Deno.test(`an Edge Function that refuses our key with ${status} burns no attempt`, async () => {
    const clock = new VirtualClock();
    const queue = new FakeQueue(clock, [{
      symbol: "A",
      data_type: "made-up",
      fetcher: "edge-function",
      edge_function_name: "fetch-made-up",
    }]);
    const context = vendorAccess(clock, {
      fetch: () => Promise.resolve(new Response("{}", { status })),
    });
    const edgeFunctions = { url: "http://project.invalid", key: "sb_secret_x" };
    const report = await run(clock, queue, {}, { context, edgeFunctions });
    const [error] = report.errors;
    assert.deepEqual([error?.class, error?.code], ["auth", `edge_function_${status}`]);
    assert.match(error!.message, /check that it takes the project's secret key$/);
    assert.deepEqual([queue.jobs[0]!.status, queue.jobs[0]!.attempts], ["pending", 0]);
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
