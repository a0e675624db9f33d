import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { endpoints } from "../../local/fmp/endpoints/index.ts";
import { call, clock, fetchAnswer, oneRow, type Row, rowsOf, start, until } from "./fmp_client.ts";
import { examplesDir, fixtures, readRows } from "./fmp_examples.ts";

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
