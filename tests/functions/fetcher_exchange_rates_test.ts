import assert from "node:assert/strict";
import { fetchSymbols } from "../../supabase/functions/_shared/fetchers/contract.ts";
import {
  createExchangeRatesFetcher,
  type ExchangeRatesOptions,
} from "../../supabase/functions/_shared/fetchers/exchange_rates.ts";
import { exchangeRatesSource, exchangeRatesUrl } from "../../supabase/functions/_shared/env.ts";
import { forexQuoteExample, quoteExample, shortForexExample } from "./fetcher_examples.ts";
import { API_KEY, contextFor, type FakeVendor, NOW, vendorErrorOf } from "./fetcher_support.ts";

const RATES_URL = "http://rates.test/v6/latest/USD";
const NOW_SECONDS = NOW.getTime() / 1000;
const DAY = 86_400;

const latest = JSON.parse(
  await Deno.readTextFile(
    new URL("../fixtures/exchangerate-api/latest-usd.json", import.meta.url),
  ),
);

function fetcherWith(options: Partial<ExchangeRatesOptions> = {}) {
  return createExchangeRatesFetcher({
    source: () => "exchangerate-api",
    url: () => RATES_URL,
    ...options,
  });
}

function fetchLatest(vendor: FakeVendor, options: Partial<ExchangeRatesOptions> = {}) {
  return fetchSymbols(fetcherWith(options), ["GLOBAL"], contextFor(vendor).context);
}

function fetchPairs(quotes: unknown[]) {
  return fetchLatest(() => Response.json(quotes), { source: () => "fmp" });
}

/** The documented long row as another pair's. */
function pair(symbol: string, price: number | null, ageSeconds = 0) {
  return { ...forexQuoteExample, symbol, price, timestamp: NOW_SECONDS - ageSeconds };
}

Deno.test("the other provider's rates fill every column that a fetch sets", async () => {
  const { context, asked } = contextFor(() => Response.json(latest));
  const outcome = await fetchSymbols(fetcherWith(), ["GLOBAL"], context);
  assert.deepEqual(
    outcome.rows.get("GLOBAL"),
    Object.entries(latest.rates).map(([code, rate]) => ({
      base_code: "USD",
      target_code: code,
      rate,
      last_updated_at: "2025-10-25T00:02:31.000Z",
    })),
  );
  assert.deepEqual(asked, ["/v6/latest/USD"]);
  assert.equal(outcome.calls, 1);
  assert.deepEqual(outcome.warnings, []);
});

Deno.test("the other provider is asked at its own address and never gets the vendor's key", async () => {
  const requests: Request[] = [];
  await fetchLatest((_path, _query, request) => {
    requests.push(request);
    return Response.json(latest);
  });
  const [request] = requests;
  assert.equal(request?.url, RATES_URL);
  const sent = JSON.stringify([request?.url, ...request?.headers ?? []]);
  assert.ok(!sent.includes(API_KEY) && !sent.includes("apikey"), sent);
});

Deno.test("a refusal of the other provider names its setting, not the vendor's key", async () => {
  const error = await vendorErrorOf(fetchLatest(() => new Response("no", { status: 403 })));
  assert.equal(error.errorClass, "auth");
  assert.match(error.message, /check EXCHANGE_RATES_URL$/);
  const moved = await vendorErrorOf(fetchLatest(() => new Response(null, { status: 301 })));
  assert.match(moved.message, /check EXCHANGE_RATES_URL$/);
});

for (
  const [type, errorClass, code] of [
    ["quota-reached", "quota", "quota_reached"],
    ["invalid-key", "auth", "invalid_key"],
    ["unsupported-code", "permanent", "error_message"],
    ["something-new", "retryable", "error_message"],
  ] as const
) {
  Deno.test(`the provider's error "${type}" is ${errorClass}`, async () => {
    const error = await vendorErrorOf(
      fetchLatest(() => Response.json({ result: "error", "error-type": type })),
    );
    assert.deepEqual([error.errorClass, error.code, error.calls], [errorClass, code, 1]);
    assert.match(error.message, new RegExp(`the provider answered with the error "${type}"`));
  });
}

Deno.test("an error with a status is judged by that, and its words are told", async () => {
  const error = await vendorErrorOf(
    fetchLatest(() =>
      Response.json({ result: "error", "error-type": "unsupported-code" }, { status: 404 })
    ),
  );
  assert.equal(error.code, "http_404");
  assert.match(error.message, /unsupported-code/);
});

for (
  const [what, changes, message] of [
    ["no rate", { rates: {} }, /key "rates" of answer is an object; wanted at least one rate/],
    [
      "a rate of zero",
      { rates: { EUR: 0 } },
      /key "EUR" of answer rates is 0; wanted a number above 0/,
    ],
    [
      "another base",
      { base_code: "EUR" },
      /key "base_code" of answer is the text "EUR"; wanted USD/,
    ],
    [
      "a time in milliseconds",
      { time_last_update_unix: 1761350551000 },
      /key "time_last_update_unix"/,
    ],
    [
      "no time",
      { time_last_update_unix: 0 },
      /key "time_last_update_unix" is 0; wanted Unix seconds/,
    ],
  ] as const
) {
  Deno.test(`an answer with ${what} is refused`, async () => {
    const error = await vendorErrorOf(fetchLatest(() => Response.json({ ...latest, ...changes })));
    assert.equal(error.code, "schema_mismatch");
    assert.match(error.message, message);
  });
}

Deno.test("pairs of the vendor become rates of the dollar, with their own times", async () => {
  const outcome = await fetchPairs([
    pair("EURUSD", 1.25, 60),
    pair("USDJPY", 150, 30),
    pair("EURJPY", 187.5),
    pair("BTCUSDT", 1),
  ]);
  const at = (age: number) => new Date(NOW.getTime() - age * 1000).toISOString();
  assert.deepEqual(outcome.rows.get("GLOBAL"), [
    { base_code: "USD", target_code: "EUR", rate: 0.8, last_updated_at: at(60) },
    { base_code: "USD", target_code: "JPY", rate: 150, last_updated_at: at(30) },
    { base_code: "USD", target_code: "USD", rate: 1, last_updated_at: at(30) },
  ]);
  assert.deepEqual(outcome.warnings, []);
});

Deno.test("the vendor is asked for the long form, with its key", async () => {
  const keys: (string | null)[] = [];
  const { context, asked } = contextFor((_path, _query, request) => {
    keys.push(request.headers.get("apikey"));
    return Response.json([pair("EURUSD", 1.25)]);
  });
  await fetchSymbols(fetcherWith({ source: () => "fmp" }), ["GLOBAL"], context);
  assert.deepEqual(asked, ["batch-forex-quotes?short=false"]);
  assert.deepEqual(keys, [API_KEY]);
});

Deno.test("a pair that begins with the dollar is preferred, wherever it stands", async () => {
  for (
    const quotes of [[pair("USDEUR", 0.9), pair("EURUSD", 2)], [
      pair("EURUSD", 2),
      pair("USDEUR", 0.9),
    ]]
  ) {
    const { rows } = await fetchPairs(quotes);
    assert.equal(rows.get("GLOBAL")?.find((row) => row.target_code === "EUR")?.rate, 0.9);
  }
});

Deno.test("pairs older than seven days, or without price, are skipped with a warning", async () => {
  const outcome = await fetchPairs([
    pair("EURUSD", 1.25),
    pair("USDARS", 1490, 7 * DAY + 1),
    pair("USDCLP", 940, 7 * DAY),
    pair("USDVND", null),
    pair("USDPKR", 0),
    pair("USDISK", 122, -2 * DAY),
  ]);
  assert.deepEqual(outcome.rows.get("GLOBAL")?.map((row) => row.target_code), [
    "EUR",
    "CLP",
    "USD",
  ]);
  assert.deepEqual(outcome.warnings, [
    'exchange-rates for "GLOBAL": skipped pairs without a price of the last seven days: USDARS, USDVND, USDPKR, USDISK',
  ]);
});

Deno.test("the short form has no times: that of the arrival is taken, with a warning", async () => {
  const outcome = await fetchPairs([{ ...shortForexExample, symbol: "USDAED", price: 3.6725 }]);
  assert.deepEqual(outcome.rows.get("GLOBAL")?.[0], {
    base_code: "USD",
    target_code: "AED",
    rate: 3.6725,
    last_updated_at: NOW.toISOString(),
  });
  assert.match(outcome.warnings.join(), /the prices have no times/);
});

Deno.test("pairs that leave nothing are refused, an empty answer is empty", async () => {
  const stale = await vendorErrorOf(fetchPairs([pair("EURUSD", 1.25, 30 * DAY)]));
  assert.match(stale.message, /key "timestamp" is \d+; wanted a time in the last seven days/);
  const others = await vendorErrorOf(fetchPairs([{ ...quoteExample, symbol: "EURJPY" }]));
  assert.match(others.message, /key "symbol" is the text "EURJPY"; wanted pairs with USD/);
  assert.equal((await fetchPairs([])).rows.size, 0);
});

Deno.test("the settings of exchange rates have defaults and say how they are set", () => {
  const envOf = (values: Record<string, string>) => ({ get: (name: string) => values[name] });
  assert.equal(exchangeRatesUrl(envOf({})), "https://open.er-api.com/v6/latest/USD");
  assert.equal(exchangeRatesUrl(envOf({ EXCHANGE_RATES_URL: RATES_URL })), RATES_URL);
  assert.throws(() => exchangeRatesUrl(envOf({ EXCHANGE_RATES_URL: "x" })), /EXCHANGE_RATES_URL/);
  assert.equal(exchangeRatesSource(envOf({})), "exchangerate-api");
  assert.equal(exchangeRatesSource(envOf({ EXCHANGE_RATES_SOURCE: "fmp" })), "fmp");
  assert.throws(
    () => exchangeRatesSource(envOf({ EXCHANGE_RATES_SOURCE: "ecb" })),
    /found "ecb", wanted exchangerate-api or fmp/,
  );
});

Deno.test("an unreadable setting fails before any call", async () => {
  const { context, asked } = contextFor(() => Response.json(latest));
  const fetcher = fetcherWith({
    url: () => {
      throw new Error("Cannot read EXCHANGE_RATES_URL");
    },
  });
  const error = await vendorErrorOf(fetchSymbols(fetcher, ["GLOBAL"], context));
  assert.equal(error.code, "configuration");
  assert.deepEqual(asked, []);
});
