import assert from "node:assert/strict";
import { call, fetchAnswer, rowsOf, start, steer } from "./fmp_client.ts";

Deno.test("other processes set faults, read the ledger and reset over HTTP", async () => {
  await using simulator = await start({});
  const post = (path: string, body: string) =>
    fetchAnswer(`${simulator.controlUrl}/${path}`, { method: "POST", body });
  const fault = { kind: "status", status: 500, times: 1 };
  const set = await post("faults", JSON.stringify({ endpoint: "quote", fault }));
  assert.deepEqual([set.status, JSON.parse(set.body)], [200, { quote: fault }]);
  assert.equal((await call(simulator, "quote?symbol=AAPL")).status, 500);
  await call(simulator, "quote?symbol=MSFT");
  const all = JSON.parse((await fetchAnswer(`${simulator.controlUrl}/ledger`)).body);
  assert.deepEqual([all.calls, all.violations, all.ledger.length], [2, 0, 2]);
  const later = JSON.parse((await fetchAnswer(`${simulator.controlUrl}/ledger?after=1`)).body);
  assert.deepEqual(later.ledger.map((each: { symbols: string[] }) => each.symbols), [["MSFT"]]);
  assert.equal((await post("faults", "{")).status, 400);
  assert.equal((await post("faults", '{"endpoint":"quote","fault":{"kind":"odd"}}')).status, 400);
  assert.equal((await post("faults", '{"endpoint":"x","fault":null}')).status, 400);
  assert.equal((await post("elsewhere", "")).status, 404);
  assert.equal((await post("reset", "")).status, 200);
  assert.equal(simulator.calls, 0);
});

Deno.test("several faults can be posted at once and removed by null", async () => {
  await using simulator = await start({});
  const fault = [{ kind: "reset", share: 0.1 }, { kind: "empty" }];
  const set = await steer(simulator, "faults", { endpoint: "*", fault });
  assert.deepEqual([set.status, JSON.parse(set.body)], [200, { "*": fault }]);
  await steer(simulator, "faults", { endpoint: "*", fault: null });
  assert.deepEqual(JSON.parse((await steer(simulator, "faults")).body), {});
});

Deno.test("other processes change the plan and the allowance, and read state and symbols", async () => {
  await using simulator = await start({});
  const answer = await steer(simulator, "plan", { plan: "free" });
  assert.deepEqual(JSON.parse(answer.body), {
    calls: 0,
    violations: 0,
    plan: "free",
    data: { usedBytes: 0, allowanceBytes: null },
  });
  assert.equal((await call(simulator, "available-exchanges")).status, 402);
  await steer(simulator, "plan", { plan: null });
  assert.ok((await rowsOf(simulator, "available-exchanges")).length > 0);
  await steer(simulator, "data", { allowanceBytes: 0 });
  assert.equal((await call(simulator, "available-exchanges")).status, 429);
  assert.equal(JSON.parse((await steer(simulator, "state")).body).data.allowanceBytes, 0);
  const symbols = JSON.parse((await steer(simulator, "symbols")).body);
  assert.deepEqual(symbols.etf, simulator.symbolsOf("etf"));
});

Deno.test("the ledger is read in pages", async () => {
  await using simulator = await start({});
  for (let index = 0; index < 5; index++) await call(simulator, "quote?symbol=AAPL");
  const page = JSON.parse((await steer(simulator, "ledger?after=1&limit=2")).body);
  assert.deepEqual(page.ledger.map(({ id }: { id: number }) => id), [2, 3]);
  assert.equal(page.calls, 5);
});

const kinds = "wanted one of status, rate-limit, payment";
const refused: [string, unknown, string][] = [
  ["faults", "{", "Cannot set a fault: the body is not JSON"],
  ["faults", "", "Cannot set a fault: the body is not JSON"],
  ["faults", "[]", "Cannot set a fault: "],
  ["faults", { endpoint: "quote" }, "wanted a fault, an array of faults, or null"],
  ["faults", { endpoint: "quote", fault: "reset" }, "wanted a fault, an array of faults, or null"],
  ["faults", { fault: null }, "endpoint"],
  ["faults", { endpoint: "quote", fault: {} }, `its kind is null; ${kinds}`],
  ["faults", { endpoint: "quote", fault: { kind: "odd" } }, `its kind is "odd"; ${kinds}`],
  ["faults", { endpoint: "quotes", fault: { kind: "reset" } }, 'on "quotes": use "*" or one of'],
  ["faults", { endpoint: "quote", fault: { kind: "reset", often: 2 } }, '"often"'],
  ["faults", { endpoint: "quote", fault: { kind: "reset", share: 0 } }, "share"],
  ["faults", { endpoint: "quote", fault: { kind: "reset", times: 0 } }, "times"],
  ["faults", { endpoint: "quote", fault: { kind: "status", status: 99 } }, "status"],
  [
    "faults",
    { endpoint: "quote", fault: { kind: "status", status: 500, headers: { "a b": "1" } } },
    "names and values that HTTP allows",
  ],
  ["faults", { endpoint: "quote", fault: { kind: "payment", spelling: "no" } }, "spelling"],
  ["faults", { endpoint: "quote", fault: { kind: "slow" } }, "either delayMs or latency"],
  ["faults", { endpoint: "quote", fault: { kind: "slow", delayMs: 1e12 } }, "delayMs"],
  [
    "faults",
    {
      endpoint: "quote",
      fault: { kind: "slow", latency: { shape: "uniform", minMs: 9, maxMs: 1 } },
    },
    "minMs is above maxMs",
  ],
  ["faults", { endpoint: "quote", fault: { kind: "stale" } }, "ageSeconds"],
  ["plan", { plan: "gold" }, "wanted null or one of free, starter, premium, ultimate"],
  ["data", { allowanceBytes: -1 }, "allowanceBytes"],
  ["faults", JSON.stringify("x".repeat(1_100_000)), "longer than a megabyte"],
];

Deno.test("each bad control message is a 400 that says what was wanted, and changes nothing", async () => {
  await using simulator = await start({ plan: "starter" });
  const before = [{ kind: "empty" }];
  await steer(simulator, "faults", { endpoint: "quote", fault: before });
  for (const [path, body, words] of refused) {
    const answer = await steer(simulator, path, body);
    const what = `${path} ${JSON.stringify(body).slice(0, 100)}: ${answer.body}`;
    assert.equal(answer.status, 400, what);
    const { error } = JSON.parse(answer.body);
    assert.ok(error.startsWith("Cannot ") && error.includes(words), what);
  }
  for (const path of ["ledger?after=x", "ledger?limit=-1"]) {
    const answer = await steer(simulator, path);
    assert.equal(answer.status, 400);
    assert.match(JSON.parse(answer.body).error, /wanted a whole number/);
  }
  assert.deepEqual(JSON.parse((await steer(simulator, "faults")).body), { quote: before[0] });
  assert.equal(JSON.parse((await steer(simulator, "state")).body).plan, "starter");
});
