import assert from "node:assert/strict";
import { fetchSymbols } from "../../supabase/functions/_shared/fetchers/contract.ts";
import { quoteFetcher } from "../../supabase/functions/_shared/fetchers/quote.ts";
import { forexQuoteExample, quoteExample } from "./fetcher_examples.ts";
import {
  API_KEY,
  contextFor,
  fetchJson,
  NOW,
  onlyRow,
  vendorErrorOf,
  without,
} from "./fetcher_support.ts";

const { name: _unused, ...neededExample } = quoteExample;

Deno.test("the documented quote fills every column of live_quote_indicators", async () => {
  const outcome = await fetchJson(quoteFetcher, "AAPL", [quoteExample]);
  assert.deepEqual(onlyRow(outcome, "AAPL"), {
    symbol: "AAPL",
    current_price: 232.8,
    change_percentage: 2.1008,
    day_change: 4.79,
    volume: 44489128,
    day_low: 226.65,
    day_high: 233.13,
    market_cap: 3500823120000,
    day_open: 227.2,
    previous_close: 228.01,
    api_timestamp: 1738702801,
    sma_50d: 240.2278,
    sma_200d: 219.98755,
    fetched_at: NOW.toISOString(),
    year_high: 260.1,
    year_low: 164.08,
    exchange: "NASDAQ",
  });
  assert.deepEqual(outcome.warnings, []);
});

Deno.test("the documented forex quote has no market cap", async () => {
  const row = onlyRow(await fetchJson(quoteFetcher, "EURUSD", [forexQuoteExample]), "EURUSD");
  assert.deepEqual(row, {
    symbol: "EURUSD",
    current_price: 1.16269,
    change_percentage: 0.07590828,
    day_change: 0.00088191,
    volume: 140619,
    day_low: 1.16009,
    day_high: 1.16503,
    market_cap: null,
    day_open: 1.16168,
    previous_close: 1.16181,
    api_timestamp: 1761350400,
    sma_50d: 1.16975,
    sma_200d: 1.14571,
    fetched_at: NOW.toISOString(),
    year_high: 1.19188,
    year_low: 1.01779,
    exchange: "FOREX",
  });
});

Deno.test("one call and the bytes of its body are counted", async () => {
  const body = JSON.stringify([{ ...quoteExample, name: "Ünïcode" }]);
  const { context, asked } = contextFor(() => new Response(body));
  const outcome = await fetchSymbols(quoteFetcher, ["AAPL"], context);
  assert.equal(outcome.calls, 1);
  assert.equal(outcome.bytes, new TextEncoder().encode(body).byteLength);
  assert.deepEqual(asked, ["quote?symbol=AAPL"]);
});

Deno.test("an empty array means that the vendor has nothing", async () => {
  const outcome = await fetchJson(quoteFetcher, "NOPE", []);
  assert.equal(outcome.rows.size, 0);
  assert.equal(outcome.calls, 1);
});

Deno.test("keys that no row needs may change", async () => {
  const outcome = await fetchJson(quoteFetcher, "AAPL", [{ ...neededExample, novelty: { a: 1 } }]);
  assert.equal(onlyRow(outcome, "AAPL").current_price, 232.8);
});

for (const key of Object.keys(neededExample)) {
  Deno.test(`a quote without "${key}" fails with its name`, async () => {
    const error = await vendorErrorOf(
      fetchJson(quoteFetcher, "AAPL", [without(quoteExample, key)]),
    );
    assert.match(error.message, new RegExp(`^quote for "AAPL": key "${key}" is missing; wanted `));
    assert.equal(error.errorClass, "retryable");
    assert.equal(error.code, "schema_mismatch");
    assert.equal(error.calls, 1);
    assert.ok(error.bytes > 0);
  });

  Deno.test(`a quote whose "${key}" is renamed or of another type fails with its name`, async () => {
    const renamed = { ...without(quoteExample, key), [`${key}New`]: 1 };
    const retyped = [{ ...quoteExample, [key]: { nested: 1 } }, { ...quoteExample, [key]: true }];
    for (const row of [renamed, ...retyped]) {
      const error = await vendorErrorOf(fetchJson(quoteFetcher, "AAPL", [row]));
      assert.ok(error.message.startsWith(`quote for "AAPL": key "${key}" is `), error.message);
    }
  });
}

Deno.test("a number sent as text is refused with what was found", async () => {
  const error = await vendorErrorOf(
    fetchJson(quoteFetcher, "AAPL", [{ ...quoteExample, price: "232.8" }]),
  );
  assert.equal(
    error.message,
    'quote for "AAPL": key "price" is the text "232.8"; wanted a number',
  );
});

for (
  const [what, price, found] of [
    ["null", null, "null; wanted a number"],
    ["negative", -0.01, "-0.01; wanted a number of at least 0"],
  ] as const
) {
  Deno.test(`a ${what} price is refused`, async () => {
    const error = await vendorErrorOf(
      fetchJson(quoteFetcher, "AAPL", [{ ...quoteExample, price }]),
    );
    assert.equal(error.message, `quote for "AAPL": key "price" is ${found}`);
  });
}

Deno.test("a price beyond the range of doubles is refused", async () => {
  const body = JSON.stringify([quoteExample]).replace('"price":232.8', '"price":1e400');
  const { context } = contextFor(() => new Response(body));
  const error = await vendorErrorOf(fetchSymbols(quoteFetcher, ["AAPL"], context));
  assert.match(error.message, /key "price" is Infinity; wanted a number/);
});

const seconds = NOW.getTime() / 1000;
for (
  const [what, timestamp] of [
    ["zero", 0],
    ["before 2000", 946_684_800],
    ["in milliseconds", 1738702801000],
    ["more than a day ahead", seconds + 86_401],
  ] as const
) {
  Deno.test(`a timestamp ${what} is refused`, async () => {
    const error = await vendorErrorOf(
      fetchJson(quoteFetcher, "AAPL", [{ ...quoteExample, timestamp }]),
    );
    assert.match(error.message, /^quote for "AAPL": key "timestamp" is \d+; wanted Unix seconds/);
    assert.equal(error.code, "schema_mismatch");
  });
}

Deno.test("a timestamp within the next day is accepted", async () => {
  const row = { ...quoteExample, timestamp: seconds + 86_400 };
  const outcome = await fetchJson(quoteFetcher, "AAPL", [row]);
  assert.equal(onlyRow(outcome, "AAPL").api_timestamp, seconds + 86_400);
});

Deno.test("fractions are cut off toward zero in bigint columns", async () => {
  const quote = { ...quoteExample, volume: 99.9995, marketCap: -1.9995 };
  const row = onlyRow(await fetchJson(quoteFetcher, "AAPL", [quote]), "AAPL");
  assert.equal(row.volume, 99);
  assert.equal(row.market_cap, -1);
  const tiny = onlyRow(
    await fetchJson(quoteFetcher, "AAPL", [{ ...quote, marketCap: -0.5 }]),
    "AAPL",
  );
  assert.ok(Object.is(tiny.market_cap, 0));
});

Deno.test("a number beyond bigint is refused, the largest below it is not", async () => {
  const error = await vendorErrorOf(
    fetchJson(quoteFetcher, "AAPL", [{ ...quoteExample, marketCap: 2 ** 63 }]),
  );
  assert.match(error.message, /key "marketCap" is \d+; wanted a number within the range of bigint/);
  const largest = 2 ** 63 - 1024;
  const row = onlyRow(
    await fetchJson(quoteFetcher, "AAPL", [{ ...quoteExample, marketCap: largest }]),
    "AAPL",
  );
  assert.ok(BigInt(JSON.stringify(row.market_cap)) < 2n ** 63n);
});

Deno.test("a quote of another symbol fails for good", async () => {
  const error = await vendorErrorOf(fetchJson(quoteFetcher, "MSFT", [quoteExample]));
  assert.equal(error.errorClass, "permanent");
  assert.equal(error.code, "symbol_mismatch");
  assert.match(error.message, /^quote for "MSFT": the answer is about "AAPL"/);
});

Deno.test("a quote of another symbol beside the right one is dropped with a warning", async () => {
  const outcome = await fetchJson(quoteFetcher, "AAPL", [
    { ...quoteExample, symbol: "MSFT", price: 1 },
    quoteExample,
  ]);
  assert.equal(onlyRow(outcome, "AAPL").current_price, 232.8);
  assert.deepEqual([...outcome.rows.keys()], ["AAPL"]);
  assert.match(outcome.warnings.join(), /dropped rows of symbol "MSFT"/);
});

Deno.test("a repeated quote is written once", async () => {
  const outcome = await fetchJson(quoteFetcher, "AAPL", [quoteExample, quoteExample]);
  assert.equal(outcome.rows.get("AAPL")?.length, 1);
  assert.match(outcome.warnings.join(), /more than one row/);
});

Deno.test("an answer that is no array is refused", async () => {
  for (const answer of [{}, null, 3, "text"]) {
    const error = await vendorErrorOf(fetchJson(quoteFetcher, "AAPL", answer));
    assert.match(error.message, /^quote for "AAPL": the answer is .+; wanted an array$/);
    assert.equal(error.code, "schema_mismatch");
  }
});

Deno.test("several problems are counted, and the row is named among several", async () => {
  const error = await vendorErrorOf(
    fetchJson(quoteFetcher, "AAPL", [quoteExample, { symbol: "AAPL" }]),
  );
  assert.match(error.message, /key "price" of row 2 is missing; wanted a number \(and \d+ more/);
});

Deno.test("symbols are URL-encoded", async () => {
  const index = { ...quoteExample, symbol: "^GSPC" };
  const { context, asked } = contextFor(() => Response.json([index]));
  await fetchSymbols(quoteFetcher, ["^GSPC"], context);
  assert.deepEqual(asked, ["quote?symbol=%5EGSPC"]);
});

Deno.test("more symbols than fit a call are refused before any call", async () => {
  const { context, asked } = contextFor(() => Response.json([]));
  const tooMany = Array.from({ length: 101 }, (_, index) => `S${index}`);
  await assert.rejects(fetchSymbols(quoteFetcher, tooMany, context), RangeError);
  await assert.rejects(fetchSymbols(quoteFetcher, [], context), RangeError);
  assert.deepEqual(asked, []);
});

Deno.test("text that Postgres refuses is cleaned and the vendor key taken out of rows", async () => {
  const quote = { ...quoteExample, exchange: `N\0AS\ud800DAQ ${API_KEY}` };
  const outcome = await fetchJson(quoteFetcher, "AAPL", [quote]);
  assert.equal(onlyRow(outcome, "AAPL").exchange, "NAS\ufffdDAQ ***");
  assert.match(outcome.warnings.join(), /column "exchange" held text that cannot be stored/);
});

Deno.test("the vendor key is not in the message about a value that holds it", async () => {
  const error = await vendorErrorOf(
    fetchJson(quoteFetcher, "AAPL", [{ ...quoteExample, price: `for ${API_KEY}` }]),
  );
  assert.ok(!error.message.includes(API_KEY));
  assert.match(error.message, /the text "for \*\*\*"/);
});

Deno.test("a key that straddles the cut of a long value is in no message", async () => {
  for (let padding = 30; padding <= 62; padding++) {
    const price = `${"x".repeat(padding)}${API_KEY}`;
    const error = await vendorErrorOf(
      fetchJson(quoteFetcher, "AAPL", [{ ...quoteExample, price }]),
    );
    assert.ok(!error.message.includes(API_KEY.slice(0, 6)), error.message);
  }
});
