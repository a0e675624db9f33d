import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { availableExchangesFetcher } from "../../supabase/functions/_shared/fetchers/available_exchanges.ts";
import {
  type Fetcher,
  fetchSymbols,
  type JsonValue,
} from "../../supabase/functions/_shared/fetchers/contract.ts";
import { createExchangeMarketStatusFetcher } from "../../supabase/functions/_shared/fetchers/exchange_market_status.ts";
import { exchangeQuotesFetcher } from "../../supabase/functions/_shared/fetchers/exchange_quotes.ts";
import { createExchangeRatesFetcher } from "../../supabase/functions/_shared/fetchers/exchange_rates.ts";
import { sharesFloatAllFetcher } from "../../supabase/functions/_shared/fetchers/shares_float_all.ts";
import { FOLDERS } from "./example_folders.ts";
import {
  availableExchangeExample,
  forexQuoteExample,
  holidayExample,
  marketHoursExample,
  quoteExample,
  sharesFloatAllExample,
  shortForexExample,
} from "./fetcher_examples.ts";
import { contextFor, otherTypes, vendorErrorOf, without } from "./fetcher_support.ts";

const RATES_URL = "http://rates.test/v6/latest/USD";

const latestRates: Record<string, unknown> = JSON.parse(
  await Deno.readTextFile(
    new URL("../fixtures/exchangerate-api/latest-usd.json", import.meta.url),
  ),
);

const marketStatus = createExchangeMarketStatusFetcher({ holidayExchanges: () => ["NASDAQ"] });
const ratesFrom = (source: "exchangerate-api" | "fmp") =>
  createExchangeRatesFetcher({ source: () => source, url: () => RATES_URL });

/** What the schema of each answer has to find out, whatever the answer is about. */
interface Case {
  what: string;
  fetcher: Fetcher;
  symbol: string;
  /** Beginning of the message. */
  subject: string;
  /** The path whose answer is changed. */
  path: string;
  example: Record<string, unknown>;
  /** The answer is the object itself, not an array of such. */
  bare?: boolean;
  ignored: readonly string[];
  /** Keys that not every answer has. */
  optional: readonly string[];
}

const CASES: readonly Case[] = [
  {
    what: "available exchanges",
    fetcher: availableExchangesFetcher as Fetcher,
    symbol: "GLOBAL",
    subject: 'available-exchanges for "GLOBAL"',
    path: "available-exchanges",
    example: availableExchangeExample,
    ignored: [],
    optional: [],
  },
  {
    what: "market hours",
    fetcher: marketStatus as Fetcher,
    symbol: "GLOBAL",
    subject: 'exchange-market-status for "GLOBAL"',
    path: "all-exchange-market-hours",
    example: {
      ...marketHoursExample,
      openingAdditional: "12:30 PM +09:00",
      closingAdditional: "03:30 PM +09:00",
    },
    ignored: [],
    optional: ["openingAdditional", "closingAdditional"],
  },
  {
    what: "holidays",
    fetcher: marketStatus as Fetcher,
    symbol: "GLOBAL",
    subject: 'holidays for "NASDAQ"',
    path: "holidays-by-exchange",
    example: {
      ...holidayExample,
      adjOpenTime: "10:00",
      adjCloseTime: "13:00",
      isFullyClosed: false,
    },
    ignored: [],
    optional: ["isFullyClosed"],
  },
  {
    what: "latest exchange rates",
    fetcher: ratesFrom("exchangerate-api") as Fetcher,
    symbol: "GLOBAL",
    subject: 'exchange-rates for "GLOBAL"',
    path: "/v6/latest/USD",
    example: latestRates,
    bare: true,
    ignored: [
      "provider",
      "documentation",
      "terms_of_use",
      "time_last_update_utc",
      "time_next_update_unix",
      "time_next_update_utc",
      "time_eol_unix",
    ],
    optional: [],
  },
  {
    what: "long currency pairs",
    fetcher: ratesFrom("fmp") as Fetcher,
    symbol: "GLOBAL",
    subject: 'exchange-rates for "GLOBAL"',
    path: "batch-forex-quotes",
    example: forexQuoteExample,
    ignored: Object.keys(forexQuoteExample)
      .filter((key) => !["symbol", "price", "timestamp"].includes(key)),
    optional: [],
  },
  {
    what: "short currency pairs",
    fetcher: ratesFrom("fmp") as Fetcher,
    symbol: "GLOBAL",
    subject: 'exchange-rates for "GLOBAL"',
    path: "batch-forex-quotes",
    example: { ...shortForexExample, symbol: "USDAED" },
    ignored: ["change", "volume"],
    optional: [],
  },
  {
    what: "shares float of the whole market",
    fetcher: sharesFloatAllFetcher as Fetcher,
    symbol: "GLOBAL",
    subject: 'shares-float-all for "GLOBAL"',
    path: "shares-float-all",
    example: sharesFloatAllExample,
    ignored: [],
    optional: [],
  },
  {
    what: "quotes of an exchange",
    fetcher: exchangeQuotesFetcher as Fetcher,
    symbol: "NYSE",
    subject: 'exchange-quotes for "NYSE"',
    path: "batch-exchange-quote",
    example: quoteExample,
    ignored: ["name"],
    optional: [],
  },
];

for (const { what, fetcher, symbol, subject, path, example, bare, ignored, optional } of CASES) {
  const fetchWith = (answer: unknown) => {
    const { context } = contextFor((asked, query) => {
      if (asked === path) return Response.json(answer);
      if (asked === "all-exchange-market-hours") return Response.json([marketHoursExample]);
      assert.equal(asked, "holidays-by-exchange");
      return Response.json([{ ...holidayExample, exchange: query.get("exchange") }]);
    });
    return fetchSymbols(fetcher, [symbol], context);
  };
  const answerOf = (row: unknown) => bare ? row : [row];

  for (const key of Object.keys(example).filter((key) => !ignored.includes(key))) {
    Deno.test(`${what}: "${key}" missing, renamed or of another type fails with its name`, async () => {
      const gone = [without(example, key), { ...without(example, key), [`${key}New`]: 1 }];
      const retyped = otherTypes(example[key]).map((value) => ({ ...example, [key]: value }));
      for (const row of [...(optional.includes(key) ? [] : gone), ...retyped]) {
        const error = await vendorErrorOf(fetchWith(answerOf(row)));
        assert.ok(error.message.startsWith(`${subject}: key "`), error.message);
        assert.ok(error.message.includes(key), error.message);
        assert.equal(error.errorClass, "retryable");
        assert.equal(error.code, "schema_mismatch");
        assert.ok(error.calls >= 1);
        assert.ok(error.bytes > 0);
      }
    });
  }

  Deno.test(`${what}: further keys, and those that no row needs, may change`, async () => {
    const kept = Object.entries(example).filter(([key]) => !ignored.includes(key)).toReversed();
    const { rows } = await fetchWith(
      answerOf({ novelty: { a: 1 }, ...Object.fromEntries(kept) }),
    );
    assert.ok((rows.get(symbol) ?? []).length >= 1);
  });

  Deno.test(`${what}: an answer of another shape is refused`, async () => {
    for (const answer of [null, 3, "text", bare ? [example] : example, bare ? {} : [[]]]) {
      const error = await vendorErrorOf(fetchWith(answer));
      assert.equal(error.code, "schema_mismatch");
      assert.ok(error.message.startsWith(`${subject}: `), error.message);
    }
  });
}

/** Every column of each row, from the vendor's own keys. */
const DOCUMENTED: readonly {
  file: string;
  fetcher: Fetcher;
  key: string;
  vendorKey: string;
  row(entry: Record<string, JsonValue>): Record<string, JsonValue | undefined>;
}[] = [
  {
    file: "available-exchanges.json",
    fetcher: availableExchangesFetcher as Fetcher,
    key: "exchange",
    vendorKey: "exchange",
    row: (entry) => ({
      exchange: entry.exchange,
      name: entry.name,
      country_name: entry.countryName,
      country_code: entry.countryCode,
      symbol_suffix: entry.symbolSuffix === "N/A" ? null : entry.symbolSuffix,
      delay: entry.delay,
    }),
  },
  {
    file: "shares-float-all.json",
    fetcher: sharesFloatAllFetcher as Fetcher,
    key: "symbol",
    vendorKey: "symbol",
    row: (entry) => ({
      symbol: entry.symbol,
      date: String(entry.date).slice(0, 10),
      free_float: entry.freeFloat,
      float_shares: entry.floatShares,
      outstanding_shares: entry.outstandingShares,
    }),
  },
];

for (const folder of FOLDERS) {
  for (const { file, fetcher, key, vendorKey, row } of DOCUMENTED) {
    const url = new URL(file, folder.url);
    Deno.test({
      name: `${folder.what}: each value of ${file} is in its column`,
      ignore: !existsSync(url),
      async fn() {
        const entries: Record<string, JsonValue>[] = JSON.parse(await Deno.readTextFile(url));
        const { context } = contextFor((_path, query) =>
          Response.json((query.get("page") ?? "0") === "0" ? entries : [])
        );
        const outcome = await fetchSymbols(fetcher, ["GLOBAL"], context);
        const rows = outcome.rows.get("GLOBAL") ?? [];
        assert.equal(rows.length, entries.length);
        for (const entry of entries) {
          assert.deepEqual(rows.find((each) => each[key] === entry[vendorKey]), row(entry));
        }
        assert.deepEqual(outcome.warnings, []);
      },
    });
  }
}

Deno.test("an empty list is empty", async () => {
  const { context } = contextFor(() => Response.json([]));
  const outcome = await fetchSymbols(availableExchangesFetcher, ["GLOBAL"], context);
  assert.equal(outcome.rows.size, 0);
});

Deno.test("an exchange that is listed twice is written once", async () => {
  const { context } = contextFor(() =>
    Response.json([availableExchangeExample, { ...availableExchangeExample, delay: null }])
  );
  const outcome = await fetchSymbols(availableExchangesFetcher, ["GLOBAL"], context);
  assert.deepEqual(outcome.rows.get("GLOBAL")?.map((row) => row.delay), ["Real-time"]);
  assert.match(outcome.warnings.join(), /more than one row for AMEX/);
});
