import assert from "node:assert/strict";
import { startFmpSimulator } from "../../local/fmp/simulator.ts";
import { authorised, call, clock, start, until } from "./fmp_client.ts";

Deno.test("the ledger has one entry for each call with symbols, status, bytes and time", async () => {
  await using simulator = await start({});
  const answer = await call(simulator, "batch-quote?symbols=AAPL,MSFT");
  await call(simulator, "nowhere");
  await until(() => simulator.ledger.every((each) => each.durationMs !== null));
  assert.equal(simulator.calls, 2);
  const [first, second] = simulator.ledger;
  assert.deepEqual(
    [first?.endpoint, first?.symbols, first?.status, first?.bytes, first?.time],
    [
      "batch-quote",
      ["AAPL", "MSFT"],
      200,
      new TextEncoder().encode(answer.body).length,
      clock().getTime(),
    ],
  );
  assert.deepEqual([second?.endpoint, second?.status], ["nowhere", 404]);
  simulator.reset();
  assert.deepEqual([simulator.calls, simulator.ledger.length], [0, 0]);
});

Deno.test("the ledger keeps the newest calls and counts all of them", async () => {
  await using simulator = await start({ ledgerSize: 10 });
  for (let index = 0; index < 25; index++) await call(simulator, "quote?symbol=AAPL");
  assert.equal(simulator.calls, 25);
  assert.ok(simulator.ledger.length <= 11);
  assert.equal(simulator.ledger.at(-1)?.id, 25);
});

Deno.test("stop closes calls that were never answered and may be called twice", async () => {
  const simulator = await startFmpSimulator({ latencyMs: 0 });
  simulator.setFault("quote", { kind: "timeout" });
  const waiting = fetch(authorised(simulator, "quote?symbol=AAPL"));
  const outcome = assert.rejects(waiting, TypeError);
  await until(() => simulator.ledger.length === 1);
  await simulator.stop();
  await outcome;
  await simulator.stop();
  await assert.rejects(fetch(simulator.url), TypeError);
});

Deno.test("an aborted signal stops the simulator and forbids starting one", async () => {
  const owner = new AbortController();
  const simulator = await startFmpSimulator({ signal: owner.signal });
  owner.abort();
  await simulator.stop();
  await assert.rejects(fetch(simulator.url), TypeError);
  await assert.rejects(startFmpSimulator({ signal: owner.signal }), { name: "AbortError" });
});
