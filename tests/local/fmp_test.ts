import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import {
  type Fault,
  type FmpSimulator,
  type FmpSimulatorOptions,
  startFmpSimulator,
} from "../../local/fmp/simulator.ts";
import { endpoints } from "../../local/fmp/endpoints/index.ts";
import { SlidingWindow } from "../../local/fmp/limiter.ts";

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
type Row = Record<string, Json>;

const fixtures = fileURLToPath(new URL("../fixtures/fmp", import.meta.url));
const documented = fileURLToPath(new URL("../../../shared/fmp/examples", import.meta.url));
const examplesDir = folderExists(documented) ? documented : fixtures;
const clock = () => new Date("2026-06-08T15:04:05Z");

/** Keys that live answers carry and the documented examples lack. */
const liveOnly = ["capitalLeaseObligationsNonCurrent", "dividendPerShareTTM"];

/** A request that covers each example file's rows. */
const requests: Record<string, string> = {
  "quote": "quote?symbol=AAPL",
  "quote-forex": "quote?symbol=EURUSD",
  "batch-quote": "batch-quote?symbols=AAPL",
  "profile": "profile?symbol=AAPL",
  "income-statement": "income-statement?symbol=AAPL",
  "balance-sheet-statement": "balance-sheet-statement?symbol=AAPL",
  "cash-flow-statement": "cash-flow-statement?symbol=AAPL",
  "ratios-ttm": "ratios-ttm?symbol=AAPL",
  "dividends": "dividends?symbol=AAPL",
  "shares-float": "shares-float?symbol=AAPL",
  "shares-float-all": "shares-float-all",
  "revenue-product-segmentation": "revenue-product-segmentation?symbol=AAPL",
  "grades-historical": "grades-historical?symbol=AAPL",
  "search-exchange-variants": "search-exchange-variants?symbol=AAPL",
  "available-exchanges": "available-exchanges",
  "all-exchange-market-hours": "all-exchange-market-hours",
  "exchange-market-hours": "exchange-market-hours?exchange=NASDAQ",
  "holidays-by-exchange": "holidays-by-exchange?exchange=NASDAQ",
  "batch-forex-quotes": "batch-forex-quotes",
  "forex-list": "forex-list",
};

Deno.test("every example file has a request and every endpoint is requested", () => {
  // The vendor documents no example of this one.
  const requested = new Set(["batch-exchange-quote"]);
  for (const path of Object.values(requests)) requested.add(path.split("?")[0] ?? "");
  assert.deepEqual([...endpoints.keys()].filter((name) => !requested.has(name)), []);
});

for (const [file, path] of Object.entries(requests)) {
  Deno.test(`${file} has the keys and JSON types of its example`, async () => {
    await using simulator = await start({ examplesDir });
    const [example] = readRows(`${examplesDir}/${file}.json`);
    assert.ok(example, `no example row in ${file}.json`);
    const rows = await rowsOf(simulator, path);
    const row = rows.find((each) => sameSubject(each, example));
    assert.ok(row, `no row for the example's subject in ${path}`);
    assert.deepEqual(shape(row, example), shape(example, row));
  });
}

Deno.test("a frozen simulator answers the documented rows as they are", async () => {
  await using simulator = await start({ examplesDir, frozen: true });
  for (const [file, path] of Object.entries(requests)) {
    const [example] = readRows(`${examplesDir}/${file}.json`);
    const rows = await rowsOf(simulator, path);
    assert.ok(rows.some((row) => isDeepStrictEqual(row, example)), `${file} is not as documented`);
  }
});

Deno.test("constant values come from the example while the price moves with the clock", async () => {
  let now = clock().getTime();
  await using simulator = await start({ examplesDir, now: () => new Date(now) });
  const [example] = readRows(`${examplesDir}/profile.json`);
  const first = await oneRow(simulator, "quote?symbol=AAPL");
  now += 60_000;
  const second = await oneRow(simulator, "quote?symbol=AAPL");
  assert.equal(second.timestamp, Math.floor(now / 1000));
  assert.notEqual(second.price, first.price);
  const profile = await oneRow(simulator, "profile?symbol=AAPL");
  assert.equal(profile.price, second.price);
  assert.equal(profile.description, example?.description);
  now -= 60_000;
  assert.deepEqual(await oneRow(simulator, "quote?symbol=AAPL"), first);
});

Deno.test("without an examples folder the project's fixtures are used", async () => {
  await using simulator = await start({ examplesDir: `${fixtures}/absent` });
  assert.equal(simulator.examplesDir, fixtures);
  const [fixture] = readRows(`${fixtures}/profile.json`);
  assert.equal((await oneRow(simulator, "profile?symbol=AAPL")).phone, fixture?.phone);
});

Deno.test("the same seed gives the same universe and the size only cuts it", async () => {
  await using small = await start({ symbols: 70 });
  await using large = await start({ symbols: 400 });
  assert.equal(large.symbols.length, 400);
  assert.equal(new Set(large.symbols).size, 400);
  assert.deepEqual(small.symbols, large.symbols.slice(0, 70));
  const last = small.symbols[69] ?? "";
  assert.deepEqual(
    await rowsOf(small, `profile?symbol=${last}`),
    await rowsOf(large, `profile?symbol=${last}`),
  );
});

Deno.test("the universe shows the vendor's oddities", async () => {
  await using simulator = await start({});
  const profiles: Row[] = [];
  for (const symbol of simulator.symbols) {
    profiles.push(await oneRow(simulator, `profile?symbol=${encodeURIComponent(symbol)}`));
  }
  const some = (what: string, test: (row: Row) => boolean) =>
    assert.ok(profiles.some(test), `no profile with ${what}`);
  some("a fractional marketCap", (row) => !Number.isInteger(row.marketCap));
  some("a fractional volume", (row) => !Number.isInteger(row.volume));
  some("a fractional averageVolume", (row) => !Number.isInteger(row.averageVolume));
  some("employees as text", (row) => /^\d+$/.test(String(row.fullTimeEmployees)));
  some("employees null", (row) => row.fullTimeEmployees === null);
  some("an empty ipoDate", (row) => row.ipoDate === "");
  some("an empty ceo", (row) => row.ceo === "");
  some("currency GBp", (row) => row.currency === "GBp");
  some("a null currency", (row) => row.currency === null);
  some("an ETF without website", (row) => row.isEtf === true && row.website === null);
  some("a fund that is no ETF", (row) => row.isFund === true && row.isEtf === false);
  some("an ADR", (row) => row.isAdr === true);
  assert.ok(profiles.every((row) => String(row.currency ?? "").length <= 3));
});

Deno.test("live-only keys appear for some symbols and not for others", async () => {
  await using simulator = await start({});
  for (const endpoint of ["balance-sheet-statement", "ratios-ttm"]) {
    const seen = new Set<boolean>();
    for (const symbol of simulator.symbols.slice(0, 40)) {
      const [row] = await rowsOf(simulator, `${endpoint}?symbol=${symbol}`);
      if (row) seen.add(liveOnly.some((key) => key in row));
    }
    assert.equal(seen.size, 2, endpoint);
  }
});

Deno.test("a comma list, a dot ticker and an unknown symbol on quote answer an empty array", async () => {
  await using simulator = await start({});
  for (const symbol of ["AAPL,MSFT", "BRK.B", "NOSUCH", "aapl"]) {
    assert.deepEqual(await rowsOf(simulator, `quote?symbol=${symbol}`), []);
  }
  assert.equal((await oneRow(simulator, "quote?symbol=BRK-B")).symbol, "BRK-B");
});

Deno.test("batch-quote drops unknown symbols and repeats repeated ones", async () => {
  await using simulator = await start({});
  const rows = await rowsOf(simulator, "batch-quote?symbols=MSFT,NOSUCH,AAPL,MSFT,EURUSD");
  assert.deepEqual(rows.map((row) => row.symbol), ["MSFT", "AAPL", "MSFT", "EURUSD"]);
});

Deno.test("batch-exchange-quote gives the quotes of an exchange, in the short form by default", async () => {
  await using simulator = await start({});
  const rows = await rowsOf(simulator, "batch-exchange-quote?exchange=nasdaq&short=false");
  const apple = rows.find((row) => row.symbol === "AAPL");
  assert.deepEqual(apple, await oneRow(simulator, "quote?symbol=AAPL"));
  assert.ok(rows.length > 10 && rows.every((row) => row.exchange === "NASDAQ"));
  const short = await rowsOf(simulator, "batch-exchange-quote?exchange=NASDAQ");
  assert.equal(short.length, rows.length);
  assert.deepEqual(Object.keys(short[0] ?? {}), ["symbol", "price", "change", "volume"]);
  assert.deepEqual(await rowsOf(simulator, "batch-exchange-quote?exchange=NOWHERE"), []);
});

Deno.test("the other provider gives the day's exchange rates without a key or a limit", async () => {
  await using simulator = await start({ callsPerMinute: 0 });
  const answer = await fetchAnswer(simulator.exchangeRatesUrl);
  assert.equal(answer.status, 200);
  const { result, base_code, time_last_update_unix, rates } = JSON.parse(answer.body);
  assert.deepEqual([result, base_code, rates.USD], ["success", "USD", 1]);
  assert.equal(time_last_update_unix, Date.parse("2026-06-08T00:00:01Z") / 1000);
  assert.ok(rates.EUR > 0.5 && rates.EUR < 1.2);
  await until(() => simulator.ledger.every((each) => each.durationMs !== null));
  assert.deepEqual(
    simulator.ledger.map((each) => [each.endpoint, each.status, each.violation]),
    [["/v6/latest/USD", 200, false]],
  );
  assert.equal(simulator.violations, 0);
});

Deno.test("the other provider refuses unknown currencies and the vendor's key, and can be faulty", async () => {
  await using simulator = await start({});
  const url = simulator.exchangeRatesUrl;
  assert.equal((await fetchAnswer(url.replace("USD", "XXX"))).status, 404);
  const withKey = await fetchAnswer(url, { headers: { apikey: simulator.apiKey } });
  assert.equal(withKey.status, 400);
  simulator.setFault("/v6/latest/USD", { kind: "rename-key", from: "rates", to: "quotes" });
  const { rates, quotes } = JSON.parse((await fetchAnswer(url)).body);
  assert.deepEqual([rates, quotes.USD], [undefined, 1]);
});

Deno.test("quote knows indices, crypto and pairs, of which some are months stale", async () => {
  await using simulator = await start({});
  assert.equal((await oneRow(simulator, "quote?symbol=%5EGSPC")).marketCap, null);
  assert.ok(!Number.isInteger((await oneRow(simulator, "quote?symbol=BTCUSD")).volume));
  const pairs = await rowsOf(simulator, "batch-forex-quotes?short=false");
  const seconds = Math.floor(clock().getTime() / 1000);
  const ages = pairs.map((row) => seconds - Number(row.timestamp));
  assert.equal(Math.min(...ages), 0);
  assert.ok(Math.max(...ages) > 60 * 86_400);
});

Deno.test("statements come newest first, five without a limit", async () => {
  await using simulator = await start({});
  const path = "income-statement?symbol=MSFT";
  assert.equal((await rowsOf(simulator, path)).length, 5);
  assert.equal((await rowsOf(simulator, `${path}&limit=2`)).length, 2);
  const all = await rowsOf(simulator, `${path}&limit=1000`);
  assert.ok(all.length > 20);
  assert.ok(all.every((row) => row.period === "FY" && typeof row.fiscalYear === "string"));
  const dates = all.map((row) => String(row.date));
  assert.deepEqual(dates, dates.toSorted().toReversed());
});

Deno.test("period chooses years or quarters and an unknown one means years", async () => {
  await using simulator = await start({});
  const periods = async (period: string) =>
    (await rowsOf(simulator, `cash-flow-statement?symbol=MSFT&period=${period}&limit=8`))
      .map((row) => row.period);
  assert.deepEqual(new Set(await periods("annual")), new Set(["FY"]));
  assert.deepEqual(new Set(await periods("FY")), new Set(["FY"]));
  assert.deepEqual(new Set(await periods("weekly")), new Set(["FY"]));
  assert.deepEqual(new Set(await periods("Q2")), new Set(["Q2"]));
  assert.deepEqual(new Set(await periods("quarter")), new Set(["Q1", "Q2", "Q3", "Q4"]));
  const refused = await call(simulator, "cash-flow-statement?symbol=MSFT&period=Q9");
  assert.equal(refused.status, 400);
});

Deno.test("a year and its fourth quarter share the date and the balance adds up", async () => {
  await using simulator = await start({});
  const path = "balance-sheet-statement?symbol=MSFT&limit=1";
  const year = await oneRow(simulator, path);
  const [quarter] = (await rowsOf(simulator, `${path}00&period=Q4`))
    .filter((row) => row.fiscalYear === year.fiscalYear);
  assert.equal(quarter?.date, year.date);
  const total = Number(year.totalLiabilities) + Number(year.totalEquity);
  assert.equal(total, year.totalAssets);
});

Deno.test("funds, ETFs and shells have a profile and no statements, ratios or segments", async () => {
  await using simulator = await start({});
  for (const symbol of ["SPY", "FXAIX", "NWSH", "VFV.TO"]) {
    assert.equal((await rowsOf(simulator, `profile?symbol=${symbol}`)).length, 1);
    for (
      const endpoint of [
        "income-statement",
        "balance-sheet-statement",
        "cash-flow-statement",
        "ratios-ttm",
        "revenue-product-segmentation",
      ]
    ) {
      assert.deepEqual(await rowsOf(simulator, `${endpoint}?symbol=${symbol}`), [], endpoint);
    }
  }
});

Deno.test("shares-float-all pages through the whole market in symbol order", async () => {
  await using simulator = await start({});
  const seen: string[] = [];
  for (let page = 0;; page++) {
    const rows = await rowsOf(simulator, `shares-float-all?page=${page}&limit=100`);
    if (rows.length === 0) break;
    seen.push(...rows.map((row) => String(row.symbol)));
  }
  assert.equal(seen[0], "000001.SZ");
  assert.deepEqual(seen, simulator.symbols.toSorted());
});

Deno.test("dividends give the whole history with empty texts for missing dates", async () => {
  await using simulator = await start({});
  const rows = await rowsOf(simulator, "dividends?symbol=KO");
  assert.ok(rows.length > 100);
  assert.ok(rows.some((row) => row.declarationDate === "" && row.recordDate !== ""));
  assert.equal((await rowsOf(simulator, "dividends?symbol=KO&limit=3")).length, 3);
  assert.deepEqual(await rowsOf(simulator, "dividends?symbol=TSLA"), []);
});

Deno.test("market hours say CLOSED on a Sunday and show a lunch break only where there is one", async () => {
  await using simulator = await start({});
  const hours = (exchange: string, at: string) =>
    oneRow(
      simulator,
      `exchange-market-hours?exchange=${exchange}&timestamp=${Date.parse(at) / 1000}`,
    );
  assert.equal((await hours("nyse", "2026-06-07T15:00:00Z")).openingHour, "CLOSED");
  const open = await hours("NYSE", "2026-06-08T15:00:00Z");
  assert.deepEqual(
    [open.openingHour, open.isMarketOpen, "openingAdditional" in open],
    ["09:30 AM -04:00", true, false],
  );
  const lunch = await hours("JPX", "2026-06-08T03:00:00Z");
  assert.deepEqual([lunch.isMarketOpen, lunch.openingAdditional], [false, "12:30 PM +09:00"]);
});

Deno.test("holidays leave out the day of from, keep the day of to, and mark early closes", async () => {
  await using simulator = await start({});
  const path = "holidays-by-exchange?exchange=NASDAQ&from=2026-11-26&to=2026-12-25";
  const rows = await rowsOf(simulator, path);
  assert.deepEqual(rows.map((row) => row.date), ["2026-12-25", "2026-11-27"]);
  assert.deepEqual([rows[1]?.isClosed, rows[1]?.isFullyClosed], [null, false]);
});

Deno.test("each documented error has its status and body, labelled as JSON", async () => {
  await using simulator = await start({});
  const origin = new URL(simulator.url).origin;
  const key = `apikey=${simulator.apiKey}`;
  const answers: Record<string, () => Promise<Answer>> = {
    "missing or invalid key": () => fetchAnswer(`${simulator.url}/quote?symbol=AAPL&apikey=wrong`),
    "throttled bulk download": () => {
      simulator.setFault("profile", { kind: "error-object", times: 1 });
      return call(simulator, "profile?symbol=AAPL");
    },
    "endpoint not in the plan": () => {
      simulator.setFault("batch-quote", { kind: "status", status: 402, times: 1 });
      return call(simulator, "batch-quote?symbols=AAPL");
    },
    "retired v3/v4 endpoint": () => fetchAnswer(`${origin}/api/v3/profile/AAPL?${key}`),
    "required parameter missing, empty or malformed": () => call(simulator, "quote?symbol="),
    "unknown exchange code on exchange-market-hours / holidays-by-exchange": () =>
      call(simulator, "holidays-by-exchange?exchange=NOWHERE"),
    "unknown path": () => call(simulator, "company-symbol-list"),
    "unknown symbol on any per-symbol endpoint": () => call(simulator, "profile?symbol=NOSUCH"),
    "call quota or rate limit reached": async () => {
      await using closed = await start({ callsPerMinute: 0 });
      return await call(closed, "profile?symbol=AAPL");
    },
  };
  for (const row of readRows(`${fixtures}/error-bodies.json`)) {
    const answer = await answers[String(row.case)]?.();
    assert.ok(answer, `no request for "${row.case}"`);
    assert.deepEqual([answer.status, answer.body], [row.status, row.body], String(row.case));
    assert.match(answer.contentType, /^application\/json/);
  }
});

Deno.test("the error fixtures repeat the documented bodies", {
  ignore: !folderExists(documented),
}, () => {
  const known = new Map(
    readRows(`${documented}/../error-bodies.json`).map((row) => [row.case, row]),
  );
  for (const row of readRows(`${fixtures}/error-bodies.json`)) {
    const { evidence: _evidence, ...expected } = known.get(String(row.case)) ?? {};
    assert.deepEqual(row, expected);
  }
});

Deno.test("the key is accepted as a query parameter or a header and nothing else", async () => {
  await using simulator = await start({});
  const path = `${simulator.url}/quote?symbol=AAPL`;
  const headers = { apikey: simulator.apiKey };
  assert.equal((await fetchAnswer(path, { headers })).status, 200);
  assert.equal((await fetchAnswer(`${path}&apikey=${simulator.apiKey}`)).status, 200);
  assert.equal((await fetchAnswer(path)).status, 401);
  assert.ok(!JSON.stringify(simulator.ledger).includes(simulator.apiKey));
});

Deno.test("required parameters are reported one at a time", async () => {
  await using simulator = await start({});
  for (const [path, name] of [["batch-quote", "symbols"], ["exchange-market-hours", "exchange"]]) {
    const { status, body } = await call(simulator, path ?? "");
    assert.equal(status, 400);
    assert.equal(body, `Query Error: Invalid or missing query parameter - ${name}`);
  }
});

Deno.test("the window admits exactly its limit and reopens at the sixtieth second", () => {
  const window = new SlidingWindow(3);
  const admitted = (at: number) => window.admit(at).admitted;
  assert.deepEqual([0, 10, 20].map(admitted), [true, true, true]);
  assert.deepEqual([20, 59_999].map(admitted), [false, false]);
  assert.deepEqual(window.admit(59_999), { admitted: false, retryAfterMs: 1 });
  assert.deepEqual([60_000, 60_009, 60_010, 60_019, 60_020].map(admitted), [
    true,
    false,
    true,
    false,
    true,
  ]);
  assert.equal(window.violations, 5);
});

Deno.test("no sixty seconds ever hold more admitted calls than the limit", () => {
  const limit = 7;
  const window = new SlidingWindow(limit);
  const admitted: number[] = [];
  let at = 0;
  for (let step = 0; step < 20_000; step++) {
    at += (step * 7919) % 4_001;
    if (window.admit(at).admitted) admitted.push(at);
  }
  for (const [index, time] of admitted.entries()) {
    const later = admitted[index + limit];
    assert.ok(later === undefined || later - time >= 60_000);
  }
});

Deno.test("a limit of zero refuses every call and a bad limit is an error", () => {
  assert.equal(new SlidingWindow(0).admit(0).admitted, false);
  assert.throws(() => new SlidingWindow(1.5), /Cannot limit calls: 1\.5/);
});

Deno.test("the served limiter follows the injected clock and counts violations", async () => {
  let now = clock().getTime();
  await using simulator = await start({
    callsPerMinute: 2,
    retryAfter: true,
    now: () => new Date(now),
  });
  const status = async () => (await call(simulator, "quote?symbol=AAPL")).status;
  assert.deepEqual([await status(), await status(), await status()], [200, 200, 429]);
  now += 59_000;
  const refused = await call(simulator, "quote?symbol=AAPL");
  assert.deepEqual([refused.status, refused.retryAfter], [429, "1"]);
  assert.equal(simulator.violations, 2);
  now += 1_000;
  assert.equal(await status(), 200);
  assert.deepEqual(simulator.ledger.map((each) => each.violation), [
    false,
    false,
    true,
    true,
    false,
  ]);
});

Deno.test("a call without a valid key takes no place in the window", async () => {
  await using simulator = await start({ callsPerMinute: 1 });
  assert.equal((await fetchAnswer(`${simulator.url}/quote?symbol=AAPL`)).status, 401);
  assert.equal((await call(simulator, "quote?symbol=AAPL")).status, 200);
  assert.equal(simulator.violations, 0);
});

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
    return JSON.parse((await call(simulator, "quote?symbol=AAPL")).body);
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

Deno.test("answers wait for the latency and a slow fault adds to it", async () => {
  await using simulator = await start({ latencyMs: 40 });
  simulator.setFault("quote", { kind: "slow", delayMs: 60, times: 1 });
  await call(simulator, "quote?symbol=AAPL");
  await call(simulator, "quote?symbol=AAPL");
  await until(() => simulator.ledger.every((each) => each.durationMs !== null));
  const [slow, usual] = simulator.ledger.map((each) => each.durationMs ?? 0);
  assert.ok((slow ?? 0) >= 89, `the slow call took ${slow} ms`);
  assert.ok((usual ?? 0) >= 29, `the usual call took ${usual} ms`);
});

Deno.test("an unknown endpoint or a bad fault is refused with the reason", async () => {
  await using simulator = await start({});
  assert.throws(() => simulator.setFault("quotes", { kind: "empty" }), /on "quotes": use "\*" or/);
  assert.throws(
    () => simulator.setFault("quote", { kind: "wrong-shape" }),
    /wants drop, retype or unwrap/,
  );
});

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

interface Answer {
  status: number;
  body: string;
  contentType: string;
  retryAfter: string | null;
}

/** A simulator without latency and with a clock that stands still, stopped at the end of a scope. */
async function start(options: FmpSimulatorOptions): Promise<FmpSimulator & AsyncDisposable> {
  const simulator = await startFmpSimulator({ latencyMs: 0, now: clock, ...options });
  // Object.assign would read the getters once; a prototype keeps them alive.
  return Object.create(simulator, {
    [Symbol.asyncDispose]: { value: () => simulator.stop() },
  });
}

function authorised(simulator: FmpSimulator, path: string): string {
  return `${simulator.url}/${path}${path.includes("?") ? "&" : "?"}apikey=${simulator.apiKey}`;
}

async function fetchAnswer(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init);
  return {
    status: response.status,
    body: await response.text(),
    contentType: response.headers.get("content-type") ?? "",
    retryAfter: response.headers.get("retry-after"),
  };
}

function call(simulator: FmpSimulator, path: string): Promise<Answer> {
  return fetchAnswer(authorised(simulator, path));
}

async function rowsOf(simulator: FmpSimulator, path: string): Promise<Row[]> {
  const answer = await call(simulator, path);
  assert.equal(answer.status, 200, `${path}: ${answer.body}`);
  return JSON.parse(answer.body);
}

async function oneRow(simulator: FmpSimulator, path: string): Promise<Row> {
  const [row, ...more] = await rowsOf(simulator, path);
  assert.ok(row && more.length === 0, `${path} does not answer one row`);
  return row;
}

function readRows(path: string): Row[] {
  return JSON.parse(Deno.readTextFileSync(path));
}

function folderExists(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** A row about the example's symbol or exchange, of the same period where there are periods. */
function sameSubject(row: Row, example: Row): boolean {
  return ["symbol", "exchange", "fiscalYear", "period"].every((key) => row[key] === example[key]);
}

/** Type of each value; a key that is null on either side says nothing about the type. */
function shape(row: Row, other: Row): Record<string, string> {
  const types = Object.entries(row)
    .filter(([key]) => !liveOnly.includes(key))
    .map(([key, value]) => [
      key,
      value === null || other[key] === null ? "any" : typeof value,
    ]);
  return Object.fromEntries(types);
}

function isRow(value: Json | undefined): value is Row {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Waits until a condition holds; fails after two seconds. */
async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 2_000;
  while (!condition()) {
    assert.ok(performance.now() < deadline, `the condition never held: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
