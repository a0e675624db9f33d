import assert from "node:assert/strict";
import { waitOf } from "../../local/fmp/latency.ts";
import { type Fault, type FmpSimulator } from "../../local/fmp/simulator.ts";
import {
  authorised,
  call,
  clock,
  fetchAnswer,
  isRow,
  type Json,
  jsonOf,
  oneRow,
  type Row,
  rowsOf,
  start,
  until,
} from "./fmp_client.ts";

Deno.test("a status fault sends its body and headers as often as it says", async () => {
  await using simulator = await start({});
  simulator.setFault("quote", {
    kind: "status",
    status: 503,
    body: "Busy",
    headers: { "retry-after": "7" },
    times: 2,
  });
  for (let index = 0; index < 2; index++) {
    const answer = await call(simulator, "quote?symbol=AAPL");
    assert.deepEqual([answer.status, answer.body, answer.retryAfter], [503, "Busy", "7"]);
  }
  assert.equal((await call(simulator, "quote?symbol=AAPL")).status, 200);
  assert.deepEqual(simulator.ledger.map((each) => each.fault), ["status", "status", null]);
});

Deno.test("a fault for some symbols leaves the others alone, also within one answer", async () => {
  await using simulator = await start({});
  simulator.setFault("quote", { kind: "status", status: 500, symbols: ["MSFT"] });
  assert.equal((await call(simulator, "quote?symbol=AAPL")).status, 200);
  assert.equal((await call(simulator, "quote?symbol=MSFT")).status, 500);
  simulator.setFault("batch-quote", { kind: "wrong-shape", drop: ["price"], symbols: ["MSFT"] });
  const [apple, microsoft] = await rowsOf(simulator, "batch-quote?symbols=AAPL,MSFT");
  assert.deepEqual(["price" in (apple ?? {}), "price" in (microsoft ?? {})], [true, false]);
});

Deno.test("shape faults drop, retype, rename and unwrap", async () => {
  await using simulator = await start({});
  const one = async (fault: Fault): Promise<Json> => {
    simulator.setFault("quote", { ...fault, times: 1 });
    return await jsonOf(simulator, "quote?symbol=AAPL");
  };
  const first = (value: Json): Row => {
    assert.ok(Array.isArray(value) && isRow(value[0]));
    return value[0];
  };
  const right = await oneRow(simulator, "quote?symbol=AAPL");
  const { timestamp: _timestamp, ...dropped } = right;
  assert.deepEqual(first(await one({ kind: "wrong-shape", drop: ["timestamp"] })), dropped);
  assert.equal(
    first(await one({ kind: "wrong-shape", retype: { price: "12.5" } })).price,
    "12.5",
  );
  assert.deepEqual(await one({ kind: "wrong-shape", unwrap: true }), right);
  const renamed = first(await one({ kind: "rename-key", from: "price", to: "lastPrice" }));
  assert.deepEqual([renamed.lastPrice, "price" in renamed], [right.price, false]);
  assert.deepEqual(await one({ kind: "empty" }), []);
  assert.deepEqual(await one({ kind: "error-object", message: "No" }), { "Error Message": "No" });
});

Deno.test("truncated and bare text answers are not JSON", async () => {
  await using simulator = await start({});
  simulator.setFault("quote", { kind: "truncated", times: 1 });
  const cut = await call(simulator, "quote?symbol=AAPL");
  assert.equal(cut.status, 200);
  assert.throws(() => JSON.parse(cut.body), SyntaxError);
  simulator.setFault("quote", { kind: "truncated", closeEarly: true, times: 1 });
  await assert.rejects(call(simulator, "quote?symbol=AAPL"), TypeError);
  simulator.setFault("quote", { kind: "not-json", times: 1 });
  const bare = await call(simulator, "quote?symbol=AAPL");
  assert.throws(() => JSON.parse(bare.body), SyntaxError);
  assert.equal((await call(simulator, "quote?symbol=AAPL")).status, 200);
});

Deno.test("a reset fault breaks the connection before any status", async () => {
  await using simulator = await start({});
  simulator.setFault("*", { kind: "reset" });
  await assert.rejects(call(simulator, "quote?symbol=AAPL"), TypeError);
  await until(() => simulator.ledger.at(-1)?.durationMs !== null);
  assert.equal(simulator.ledger.at(-1)?.status, null);
  simulator.setFault("*", null);
  assert.equal((await call(simulator, "quote?symbol=AAPL")).status, 200);
});

Deno.test("a timeout fault never answers and the ledger notes when the client gives up", async () => {
  await using simulator = await start({});
  simulator.setFault("quote", { kind: "timeout" });
  const client = new AbortController();
  const waiting = fetch(authorised(simulator, "quote?symbol=AAPL"), { signal: client.signal });
  await until(() => simulator.ledger.length === 1);
  client.abort();
  await assert.rejects(waiting, { name: "AbortError" });
  await until(() => simulator.ledger[0]?.durationMs !== null);
  assert.deepEqual([simulator.ledger[0]?.status, simulator.ledger[0]?.bytes], [null, 0]);
});

Deno.test("answers wait for the latency and a slow fault adds to it", async () => {
  await using simulator = await start({ latencyMs: 40 });
  simulator.setFault("quote", { kind: "slow", delayMs: 60, times: 1 });
  await call(simulator, "quote?symbol=AAPL");
  await call(simulator, "quote?symbol=AAPL");
  const [slow, usual] = await durations(simulator);
  assert.ok((slow ?? 0) >= 89, `the slow call took ${slow} ms`);
  assert.ok((usual ?? 0) >= 29, `the usual call took ${usual} ms`);
});

Deno.test("an unknown endpoint or a bad fault is refused with the reason", async () => {
  await using simulator = await start({});
  assert.throws(() => simulator.setFault("quotes", { kind: "empty" }), /on "quotes": use "\*" or/);
  assert.throws(
    () => simulator.setFault("quote", { kind: "wrong-shape" }),
    /wants drop, rename, retype, retypeTo or unwrap/,
  );
});

Deno.test("schema drift renames, retypes by value, adds and drops keys of every row", async () => {
  await using simulator = await start({});
  const right = await rowsOf(simulator, "batch-quote?symbols=AAPL,MSFT");
  simulator.setFault("batch-quote", {
    kind: "wrong-shape",
    drop: ["open"],
    rename: { price: "lastPrice" },
    retype: { delayed: true },
    retypeTo: { timestamp: "string", volume: "null", name: "number", change: "array" },
  });
  const drifted = await rowsOf(simulator, "batch-quote?symbols=AAPL,MSFT");
  assert.equal(drifted.length, 2);
  for (const [at, row] of drifted.entries()) {
    const { price, open: _open, ...rest } = right[at] ?? {};
    assert.deepEqual(row, {
      ...rest,
      lastPrice: price,
      delayed: true,
      timestamp: String(rest.timestamp),
      volume: null,
      name: 0,
      change: [rest.change],
    });
  }
});

Deno.test("a share of the calls is faulty, the same ones for the same seed", async () => {
  const faulty = async (seed: number) => {
    await using simulator = await start({ seed });
    simulator.setFault("quote", { kind: "status", status: 503, share: 0.25 });
    for (let index = 0; index < 200; index++) await call(simulator, "quote?symbol=AAPL");
    return simulator.ledger.filter((each) => each.fault).map((each) => each.id);
  };
  const first = await faulty(1);
  assert.ok(first.length > 30 && first.length < 70, `${first.length} of 200`);
  assert.deepEqual(await faulty(1), first);
  assert.notDeepEqual(await faulty(2), first);
});

Deno.test("of several faults on an endpoint the first that matches answers", async () => {
  await using simulator = await start({});
  simulator.setFault("quote", [
    { kind: "status", status: 500, times: 1 },
    { kind: "status", status: 503, symbols: ["MSFT"] },
    { kind: "empty", share: 0.5 },
  ]);
  const status = async (symbol: string) => (await call(simulator, `quote?symbol=${symbol}`)).status;
  assert.deepEqual([await status("MSFT"), await status("MSFT")], [500, 503]);
  const bodies = new Set<string>();
  for (let index = 0; index < 40; index++) {
    bodies.add((await call(simulator, "quote?symbol=AAPL")).body.slice(0, 2));
  }
  assert.deepEqual(bodies, new Set(["[]", "[{"]));
  simulator.setFault("quote", null);
  assert.equal(await status("MSFT"), 200);
});

Deno.test("a rate-limit fault asks to come back in seconds, by a date, or not at all", async () => {
  await using simulator = await start({});
  const refused = async (fault: Omit<Extract<Fault, { kind: "rate-limit" }>, "kind">) => {
    simulator.setFault("quote", { kind: "rate-limit", ...fault });
    const { status, body, retryAfter } = await call(simulator, "quote?symbol=AAPL");
    assert.equal(status, 429);
    assert.match(JSON.parse(body)["Error Message"], /^Limit Reach/);
    return retryAfter;
  };
  assert.equal(await refused({}), null);
  assert.equal(await refused({ retryAfterSeconds: 90 }), "90");
  assert.equal(
    await refused({ retryAfterSeconds: 90, retryAfterAs: "http-date" }),
    "Mon, 08 Jun 2026 15:05:35 GMT",
  );
  assert.equal(simulator.violations, 0);
});

Deno.test("a payment fault has each spelling, as text or as an object", async () => {
  await using simulator = await start({});
  const words: Record<Extract<Fault, { kind: "payment" }>["spelling"], RegExp> = {
    "restricted-endpoint": /^Restricted Endpoint: /,
    "exclusive-endpoint": /^{"Error Message":"Exclusive Endpoint : /,
    "symbol": /^Premium Query Parameter: 'Special Endpoint : .* 'symbol' /,
    "period": /^Premium Query Parameter: 'Special Endpoint : .* 'period' /,
    "period-object": /^{"Error Message":"Premium Query Parameter: 'Special Endpoint : .* 'period' /,
    "from": /^Premium Query Parameter: 'Special Endpoint : .* 'from' /,
    "limit": /^Premium Query Parameter: 'Special Parameters : /,
  };
  for (const [spelling, pattern] of Object.entries(words)) {
    simulator.setFault("*", { kind: "payment", spelling: spelling as keyof typeof words });
    const { status, body } = await call(simulator, "profile?symbol=AAPL");
    assert.equal(status, 402);
    assert.match(body, pattern);
  }
});

Deno.test("a stale answer is the one of that long ago, recorded or not", async () => {
  let now = clock().getTime();
  await using simulator = await start({ now: () => new Date(now), frozen: true });
  simulator.setFault("quote", { kind: "stale", ageSeconds: 7_200 });
  const apple = await oneRow(simulator, "quote?symbol=AAPL");
  assert.equal(apple.timestamp, now / 1000 - 7_200);
  const stale = await oneRow(simulator, "quote?symbol=NVDA");
  simulator.setFault("quote", null);
  now -= 7_200_000;
  assert.deepEqual(await oneRow(simulator, "quote?symbol=NVDA"), stale);
});

Deno.test("stale rows can be those of some symbols within one answer, and rates can be stale", async () => {
  await using simulator = await start({});
  simulator.setFault("batch-quote", { kind: "stale", ageSeconds: 3_600, symbols: ["MSFT"] });
  const rows = await rowsOf(simulator, "batch-quote?symbols=AAPL,MSFT");
  const seconds = clock().getTime() / 1000;
  assert.deepEqual(
    rows.map((row) => [row.symbol, row.timestamp]),
    [["AAPL", seconds], ["MSFT", seconds - 3_600]],
  );
  simulator.setFault("/v6/latest/USD", { kind: "stale", ageSeconds: 86_400 });
  const rates = JSON.parse((await fetchAnswer(simulator.exchangeRatesUrl)).body);
  assert.equal(rates.time_last_update_unix, Date.parse("2026-06-07T00:00:01Z") / 1000);
});

Deno.test("rows come twice, backwards, or shuffled, and none is lost", async () => {
  await using simulator = await start({});
  const path = "dividends?symbol=KO&limit=12";
  const right = await rowsOf(simulator, path);
  const faulty = (fault: Fault) => {
    simulator.setFault("dividends", fault);
    return rowsOf(simulator, path);
  };
  assert.deepEqual(await faulty({ kind: "duplicate-rows" }), [...right, ...right]);
  assert.equal((await faulty({ kind: "duplicate-rows", copies: 3 })).length, 48);
  assert.deepEqual(
    await faulty({ kind: "reorder-rows", order: "reversed" }),
    right.toReversed(),
  );
  const shuffled = await faulty({ kind: "reorder-rows", order: "shuffled" });
  assert.notDeepEqual(shuffled, right);
  const byDate = (left: Row, other: Row) => String(other.date) < String(left.date) ? -1 : 1;
  assert.deepEqual(shuffled.toSorted(byDate), right.toSorted(byDate));
});

Deno.test("rows about another symbol take the right ones' place or follow them", async () => {
  await using simulator = await start({});
  const right = await oneRow(simulator, "quote?symbol=AAPL");
  simulator.setFault("quote", { kind: "other-symbol", symbol: "MSFT" });
  assert.deepEqual(await rowsOf(simulator, "quote?symbol=AAPL"), [{ ...right, symbol: "MSFT" }]);
  simulator.setFault("quote", { kind: "other-symbol", append: true });
  const [first, second] = await rowsOf(simulator, "quote?symbol=AAPL");
  assert.deepEqual(first, right);
  assert.notEqual(second?.symbol, "AAPL");
  assert.ok(simulator.symbols.includes(String(second?.symbol)));
});

Deno.test("row faults leave errors and empty answers as they are", async () => {
  await using simulator = await start({});
  for (
    const fault of [
      { kind: "duplicate-rows" },
      { kind: "other-symbol", append: true },
      { kind: "rename-key", from: "price", to: "cost" },
    ] as const
  ) {
    simulator.setFault("*", fault);
    assert.equal((await call(simulator, "quote")).status, 400);
    assert.deepEqual(await rowsOf(simulator, "quote?symbol=NOSUCH"), []);
  }
});

Deno.test("a content-type fault labels the right answer or a page as something else", async () => {
  await using simulator = await start({});
  const right = await oneRow(simulator, "quote?symbol=AAPL");
  simulator.setFault("quote", { kind: "content-type" });
  const answer = await call(simulator, "quote?symbol=AAPL");
  assert.deepEqual([answer.contentType, JSON.parse(answer.body)], ["text/html", [right]]);
  const body = "<!doctype html><title>Just a moment</title>";
  simulator.setFault("quote", { kind: "content-type", contentType: "text/plain", body });
  const page = await call(simulator, "quote?symbol=AAPL");
  assert.deepEqual([page.status, page.contentType, page.body], [200, "text/plain", body]);
});

Deno.test("a timeout after the head sends the status and half of the body, then nothing", async () => {
  await using simulator = await start({});
  simulator.setFault("quote", { kind: "timeout", afterHead: true });
  const client = new AbortController();
  const response = await fetch(authorised(simulator, "quote?symbol=AAPL"), {
    signal: client.signal,
  });
  assert.equal(response.status, 200);
  const reading = assert.rejects(response.text(), { name: "AbortError" });
  client.abort();
  await reading;
  await until(() => simulator.ledger[0]?.durationMs !== null);
  const [entry] = simulator.ledger;
  assert.equal(entry?.status, 200);
  assert.ok((entry?.bytes ?? 0) > 100);
});

Deno.test("latencies have their distribution and are drawn from their parts", () => {
  const sample = (latency: Parameters<typeof waitOf>[0]) =>
    Array.from({ length: 4_000 }, (_, id) => waitOf(latency, 1, id)).sort((a, b) => a - b);
  assert.deepEqual(new Set(sample({ shape: "fixed", ms: 5 })), new Set([5]));
  const even = sample({ shape: "uniform", minMs: 10, maxMs: 30 });
  assert.ok((even[0] ?? 0) >= 10 && (even.at(-1) ?? 0) < 30);
  assert.ok(Math.abs((even[2_000] ?? 0) - 20) < 1);
  const tail = sample({ shape: "long-tail", medianMs: 100, p99Ms: 2_000, maxMs: 5_000 });
  assert.ok(Math.abs((tail[2_000] ?? 0) - 100) < 15, `median ${tail[2_000]}`);
  assert.ok(Math.abs((tail[3_960] ?? 0) - 2_000) < 600, `p99 ${tail[3_960]}`);
  assert.ok((tail.at(-1) ?? 0) <= 5_000 && (tail[0] ?? 0) > 0);
  assert.equal(
    waitOf({ shape: "uniform", minMs: 0, maxMs: 9 }, 1, 7),
    waitOf({ shape: "uniform", minMs: 0, maxMs: 9 }, 1, 7),
  );
});

Deno.test("a distribution can be the wait of every answer and of a slow fault", async () => {
  await using simulator = await start({ latency: { shape: "fixed", ms: 15 } });
  simulator.setFault("quote", { kind: "slow", latency: { shape: "fixed", ms: 30 }, times: 1 });
  await call(simulator, "quote?symbol=AAPL");
  await call(simulator, "quote?symbol=AAPL");
  const [slow, usual] = await durations(simulator);
  assert.ok((slow ?? 0) >= 44, `the slow call took ${slow} ms`);
  assert.ok((usual ?? 0) >= 14, `the usual call took ${usual} ms`);
});

async function durations(simulator: FmpSimulator): Promise<number[]> {
  await until(() => simulator.ledger.every((each) => each.durationMs !== null));
  return simulator.ledger.map((each) => each.durationMs ?? 0);
}
