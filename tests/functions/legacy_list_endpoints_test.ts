import assert from "node:assert/strict";
import {
  createLegacyListEndpoint,
  type LegacyListDefinition,
} from "../../supabase/functions/_shared/legacy_list_endpoint.ts";
import { exchangeRatesEndpoint } from "../../supabase/functions/fetch-exchange-rates/index.ts";
import { marketStatusEndpoint } from "../../supabase/functions/fetch-fmp-all-exchange-market-status/index.ts";
import { availableExchangesEndpoint } from "../../supabase/functions/fetch-fmp-available-exchanges/index.ts";
import { createExchangePricesEndpoint } from "../../supabase/functions/fetch-fmp-exchange-prices-api/index.ts";
import { createSharesFloatEndpoint } from "../../supabase/functions/fetch-fmp-shares-float/index.ts";
import {
  availableExchangeExample,
  holidayExample,
  marketHoursExample,
  quoteExample,
  sharesFloatAllExample,
} from "./fetcher_examples.ts";
import { API_KEY, type FakeVendor, without } from "./fetcher_support.ts";
import {
  ANON_KEY,
  type Answer,
  callEndpoint,
  type DatabaseCall,
  SECRET_KEY,
  type World,
} from "./legacy_support.ts";

const latestRates = JSON.parse(
  await Deno.readTextFile(
    new URL("../fixtures/exchangerate-api/latest-usd.json", import.meta.url),
  ),
);

/** Answers the documented examples; pages after the first are empty. */
const documentedVendor: FakeVendor = (path, query) => {
  switch (path) {
    case "available-exchanges":
      return Response.json([
        availableExchangeExample,
        { ...availableExchangeExample, exchange: "ASX", symbolSuffix: ".AX" },
      ]);
    case "all-exchange-market-hours":
      return Response.json([marketHoursExample, { ...marketHoursExample, exchange: "NYSE" }]);
    case "holidays-by-exchange":
      return Response.json([{ ...holidayExample, exchange: query.get("exchange") }]);
    case "batch-exchange-quote":
      return Response.json([quoteExample, { ...quoteExample, symbol: "MSFT" }]);
    case "shares-float-all":
      return Response.json(query.get("page") === "0" ? [sharesFloatAllExample] : []);
    case "/v6/latest/USD":
      return Response.json(latestRates);
    default:
      return Response.json([], { status: 404 });
  }
};

const down: FakeVendor = () => new Response("down", { status: 503 });

function callList(
  definition: LegacyListDefinition<unknown>,
  world: Partial<World> = {},
  init: RequestInit = {},
): Promise<Answer> {
  return callEndpoint(
    (surroundings) => createLegacyListEndpoint(definition, surroundings),
    { vendor: documentedVendor, ...world },
    init,
  );
}

function callPrices(world: Partial<World> = {}, init: RequestInit = {}): Promise<Answer> {
  return callEndpoint(createExchangePricesEndpoint, { vendor: documentedVendor, ...world }, init);
}

function callSharesFloat(world: Partial<World> = {}, init: RequestInit = {}): Promise<Answer> {
  return callEndpoint(createSharesFloatEndpoint, { vendor: documentedVendor, ...world }, init);
}

function rowsOf({ body }: DatabaseCall): Record<string, unknown>[] {
  return body as Record<string, unknown>[];
}

const LISTS = [
  {
    definition: availableExchangesEndpoint as LegacyListDefinition<unknown>,
    table: "available_exchanges",
    conflict: "exchange",
    written: 2,
    counts: { upsertedCount: 2 },
    calls: ["/stable/available-exchanges"],
    failureKeys: ["message"],
  },
  {
    definition: exchangeRatesEndpoint as LegacyListDefinition<unknown>,
    table: "exchange_rates",
    conflict: "base_code,target_code",
    written: 5,
    counts: { upsertedCount: 5 },
    calls: ["/v6/latest/USD"],
    failureKeys: ["message"],
  },
  {
    definition: marketStatusEndpoint as LegacyListDefinition<unknown>,
    table: "exchange_market_status",
    conflict: "exchange_code",
    written: 2,
    counts: {},
    calls: [
      "/stable/all-exchange-market-hours",
      "/stable/holidays-by-exchange?exchange=NASDAQ&from=2025-10-23&to=2026-10-25",
      "/stable/holidays-by-exchange?exchange=NYSE&from=2025-10-23&to=2026-10-25",
    ],
    failureKeys: ["message", "error"],
  },
] as const;

for (const { definition, table, conflict, written, counts, calls, failureKeys } of LISTS) {
  Deno.test(`${definition.name} stores the whole list in one write`, async () => {
    const answer = await callList(definition);
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.json, { message: `Stored ${written} rows`, ...counts });
    assert.deepEqual(answer.vendorCalls, calls);
    const [write, ...others] = answer.writes;
    assert.ok(write !== undefined && others.length === 0);
    assert.deepEqual(
      [write.method, write.path, write.query.get("on_conflict")],
      ["POST", table, conflict],
    );
    assert.equal(rowsOf(write).length, written);
    assert.equal(answer.waitedUntil.length, 1);
    assert.equal(definition.pacingMs, 0);
  });

  Deno.test(`${definition.name} answers 500 when vendor or database fail`, async () => {
    const refused: Partial<World> = {
      database: () => Response.json({ message: `no room for ${SECRET_KEY}` }, { status: 500 }),
    };
    for (const world of [{ vendor: down }, refused]) {
      const answer = await callList(definition, world);
      assert.equal(answer.status, 500);
      assert.deepEqual(Object.keys(answer.json), failureKeys);
      assert.match(
        answer.json.message,
        /the vendor answered 503|Cannot write \w+: no room for \*{3}/,
      );
      assert.deepEqual(answer.writes, []);
    }
  });

  Deno.test(`${definition.name} wants the anon key and answers preflights without it`, async () => {
    const stranger = await callList(definition, {}, { headers: {} });
    assert.equal(stranger.status, 401);
    assert.deepEqual(stranger.vendorCalls, []);
    assert.equal((await callList(definition, {}, { method: "OPTIONS", headers: {} })).status, 200);
    assert.equal((await callList(definition, {}, { headers: { apikey: SECRET_KEY } })).status, 200);
  });

  Deno.test(`${definition.name} ignores the request body`, async () => {
    for (const body of ["", "{}", "not json", '{"symbols":["AAPL"]}', '{"symbols":3}']) {
      assert.equal((await callList(definition, {}, { body })).status, 200, body);
    }
  });
}

Deno.test("an empty list of exchanges is a success without rows", async () => {
  const answer = await callList(availableExchangesEndpoint as LegacyListDefinition<unknown>, {
    vendor: () => Response.json([]),
  });
  assert.deepEqual([answer.status, answer.json.upsertedCount], [200, 0]);
  assert.deepEqual(answer.writes, []);
});

Deno.test("exchange rates need no vendor key, and the provider is sent none", async () => {
  const definition = exchangeRatesEndpoint as LegacyListDefinition<unknown>;
  const seen: string[] = [];
  const vendor: FakeVendor = (path, query, request) => {
    seen.push(JSON.stringify([...request.headers]));
    return documentedVendor(path, query, request);
  };
  assert.equal((await callList(definition, { vendor })).status, 200);
  const answer = await callList(definition, { vendor, settings: { FMP_API_KEY: undefined } });
  assert.equal(answer.status, 200);
  for (const headers of seen) assert.ok(!headers.includes(API_KEY) && !headers.includes("apikey"));
  const other = await callList(marketStatusEndpoint as LegacyListDefinition<unknown>, {
    settings: { FMP_API_KEY: undefined },
  });
  assert.equal(other.status, 500);
});

Deno.test("one exchange's failed holidays do not keep the market status from being stored", async () => {
  const answer = await callList(marketStatusEndpoint as LegacyListDefinition<unknown>, {
    vendor: (path, query, request) =>
      query.get("exchange") === "NYSE"
        ? new Response("down", { status: 503 })
        : documentedVendor(path, query, request),
  });
  assert.equal(answer.status, 200);
  const rows = answer.writes.flatMap(rowsOf);
  assert.deepEqual(
    rows.map((row) => [row.exchange_code, "raw_holidays_json" in row]).toSorted(),
    [["NASDAQ", true], ["NYSE", false]],
  );
});

Deno.test("prices of both exchanges are stored, whoever calls", async () => {
  for (const headers of [{}, { authorization: `Bearer ${ANON_KEY}` }] as HeadersInit[]) {
    const answer = await callPrices({}, { headers });
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.json, {
      message: "Processed 2 exchanges: 2 succeeded, 0 failed",
      details: ["NYSE", "NASDAQ"].map((exchange) => ({
        exchange,
        success: true,
        message: "Stored 2 rows",
        recordsProcessed: 2,
      })),
      totalProcessed: 2,
      totalSucceeded: 2,
    });
    assert.deepEqual(
      answer.vendorCalls,
      ["NYSE", "NASDAQ"].map((exchange) =>
        `/stable/batch-exchange-quote?exchange=${exchange}&short=false`
      ),
    );
    for (const write of answer.writes) {
      assert.equal(write.path, "live_quote_indicators");
      assert.equal(write.query.get("on_conflict"), "symbol");
    }
  }
});

Deno.test("prices are written five hundred rows at a time", async () => {
  const answer = await callPrices({
    vendor: () =>
      Response.json(
        Array.from({ length: 1_201 }, (_, index) => ({ ...quoteExample, symbol: `S${index}` })),
      ),
  });
  assert.deepEqual(answer.writes.map((write) => rowsOf(write).length), [
    500,
    500,
    201,
    500,
    500,
    201,
  ]);
});

Deno.test("an exchange that fails, or has no quotes, turns prices into 207", async () => {
  for (const failure of [() => new Response("down", { status: 503 }), () => Response.json([])]) {
    const answer = await callPrices({
      vendor: (path, query, request) =>
        query.get("exchange") === "NYSE" ? failure() : documentedVendor(path, query, request),
    });
    assert.equal(answer.status, 207);
    assert.deepEqual(answer.json.details.map(({ success }) => success), [false, true]);
    assert.deepEqual([answer.json.totalProcessed, answer.json.totalSucceeded], [2, 1]);
    assert.equal(answer.writes.length, 1);
  }
});

Deno.test("prices that the database refuses are not counted as processed", async () => {
  const answer = await callPrices({
    database: ({ method }) =>
      method === "POST" ? Response.json({ message: "no room" }, { status: 500 }) : undefined,
  });
  assert.equal(answer.status, 207);
  assert.deepEqual(answer.json.details[0], {
    exchange: "NYSE",
    success: false,
    message: "Cannot write live_quote_indicators: no room",
    recordsProcessed: 0,
  });
});

Deno.test("prices without settings are 500, and a preflight is 200", async () => {
  assert.equal((await callPrices({ settings: { FMP_API_KEY: undefined } })).status, 500);
  assert.equal((await callPrices({}, { method: "OPTIONS" })).status, 200);
});

Deno.test("shares float is stored page by page", async () => {
  const pages = [["A", "B"], ["C", "D"], ["E"]];
  const answer = await callSharesFloat({
    vendor: (_path, query) =>
      Response.json(
        (pages[Number(query.get("page"))] ?? [])
          .map((symbol) => ({ ...sharesFloatAllExample, symbol })),
      ),
  });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.json, {
    message: "Processed 3 pages: 3 succeeded, 0 failed",
    details: [2, 2, 1].map((rows, page) => ({
      page,
      fetchedCount: rows,
      upsertedCount: rows,
      skippedCount: 0,
      success: true,
      message: `Stored ${rows} rows`,
    })),
    totalPagesProcessed: 3,
    totalRecordsFetched: 5,
    totalRecordsUpserted: 5,
    totalRecordsSkipped: 0,
  });
  assert.deepEqual(answer.vendorCalls[0], "/stable/shares-float-all?page=0&limit=5000");
  assert.deepEqual(answer.writes.map((write) => [write.path, write.query.get("on_conflict")]), [
    ["shares_float", "symbol,date"],
    ["shares_float", "symbol,date"],
    ["shares_float", "symbol,date"],
  ]);
});

Deno.test("the empty page at the end of the market is not counted", async () => {
  const answer = await callSharesFloat();
  assert.deepEqual(
    [answer.status, answer.vendorCalls.length, answer.json.totalPagesProcessed],
    [200, 2, 1],
  );
});

Deno.test("a skipped entry turns shares float into 207, and the others are stored", async () => {
  const answer = await callSharesFloat({
    vendor: (_path, query) =>
      Response.json(
        query.get("page") === "0"
          ? [sharesFloatAllExample, { ...sharesFloatAllExample, symbol: null }]
          : [],
      ),
  });
  assert.equal(answer.status, 207);
  assert.deepEqual(
    ["Fetched", "Upserted", "Skipped"].map((count) => answer.json[`totalRecords${count}`]),
    [2, 1, 1],
  );
});

Deno.test("a failed page turns shares float into 207, and the next page is fetched", async () => {
  const answer = await callSharesFloat({
    vendor: (_path, query) =>
      query.get("page") === "1" ? new Response("down", { status: 503 }) : Response.json(
        query.get("page") === "3"
          ? []
          : [{ ...sharesFloatAllExample, symbol: `P${query.get("page")}` }],
      ),
  });
  assert.equal(answer.status, 207);
  assert.deepEqual(answer.json.details.map(({ success }) => success), [true, false, true]);
  assert.equal(answer.json.totalRecordsUpserted, 2);
});

Deno.test("a page of another shape, or that the database refuses, fails alone", async () => {
  const broken = await callSharesFloat({
    vendor: (_path, query) =>
      Response.json(query.get("page") === "0" ? [without(sharesFloatAllExample, "freeFloat")] : []),
  });
  assert.equal(broken.status, 207);
  assert.match(
    broken.json.details[0]?.message ?? "",
    /key "freeFloat" of entries row 1 is missing/,
  );
  const refused = await callSharesFloat({
    database: () => Response.json({ message: `no room for ${SECRET_KEY}` }, { status: 500 }),
  });
  assert.equal(refused.status, 207);
  assert.deepEqual(
    refused.json.details.map(({ message }) => message),
    ["Cannot write shares_float: no room for ***"],
  );
  assert.equal(refused.json.totalRecordsFetched, 1);
  assert.equal(refused.json.totalRecordsUpserted, 0);
});

Deno.test("a refused key, or two failed pages in a row, end the walk", async () => {
  const refused = await callSharesFloat({ vendor: () => new Response(API_KEY, { status: 401 }) });
  assert.deepEqual([refused.status, refused.vendorCalls.length], [207, 1]);
  assert.ok(!refused.text.includes(API_KEY));
  const failing = await callSharesFloat({ vendor: down });
  assert.deepEqual([failing.status, failing.vendorCalls.length], [207, 2]);
});

Deno.test("shares float wants the anon key", async () => {
  const answer = await callSharesFloat({}, { headers: {} });
  assert.equal(answer.status, 401);
  assert.deepEqual(answer.vendorCalls, []);
  assert.equal((await callSharesFloat({ settings: { SUPABASE_URL: undefined } })).status, 500);
});
