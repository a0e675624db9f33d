import assert from "node:assert/strict";
import {
  createLegacyEndpoint,
  type LegacyEndpointDefinition,
} from "../../supabase/functions/_shared/legacy_endpoint.ts";
import { createPace } from "../../supabase/functions/_shared/pacing.ts";
import { quoteEndpoint } from "../../supabase/functions/fetch-fmp-quote-indicators/index.ts";
import { profileEndpoint } from "../../supabase/functions/fetch-fmp-profiles/index.ts";
import { statementsEndpoint } from "../../supabase/functions/fetch-fmp-financial-statements/index.ts";
import { dividendHistoryEndpoint } from "../../supabase/functions/fetch-fmp-dividend-history/index.ts";
import { exchangeVariantsEndpoint } from "../../supabase/functions/fetch-fmp-exchange-variants/index.ts";
import { gradesHistoricalEndpoint } from "../../supabase/functions/fetch-fmp-grades-historical/index.ts";
import { ratiosTtmEndpoint } from "../../supabase/functions/fetch-fmp-ratios-ttm/index.ts";
import { revenueSegmentationEndpoint } from "../../supabase/functions/fetch-fmp-revenue-segmentation/index.ts";
import {
  balanceSheetExample,
  cashFlowExample,
  dividendExample,
  gradesExample,
  incomeExample,
  profileExample,
  quoteExample,
  ratiosExample,
  segmentationExample,
  variantExample,
} from "./fetcher_examples.ts";
import { API_KEY, type FakeVendor, NOW } from "./fetcher_support.ts";
import {
  ANON_KEY,
  type Answer,
  callEndpoint,
  SECRET_KEY,
  SETTINGS,
  type World,
} from "./legacy_support.ts";

/** Calls an endpoint that works on symbols. */
function call<Payload>(
  definition: LegacyEndpointDefinition<Payload>,
  world: Partial<World> = {},
  init: RequestInit = {},
): Promise<Answer> {
  return callEndpoint(
    (surroundings) => createLegacyEndpoint(definition, surroundings),
    { vendor: documentedVendor, ...world },
    init,
  );
}

const EXAMPLES: Record<string, Record<string, unknown>> = {
  quote: quoteExample,
  profile: profileExample,
  "income-statement": incomeExample,
  "balance-sheet-statement": balanceSheetExample,
  "cash-flow-statement": cashFlowExample,
  "ratios-ttm": ratiosExample,
  "dividends": dividendExample,
  "revenue-product-segmentation": segmentationExample,
  "grades-historical": gradesExample,
  "search-exchange-variants": variantExample,
};

/** Answers the documented example with the symbol asked for. */
function documentedVendor(path: string, query: URLSearchParams): Response {
  return Response.json([{ ...EXAMPLES[path], symbol: query.get("symbol") }]);
}

/** As documented, save for one symbol. */
function vendorExcept(symbol: string, answer: () => Response): FakeVendor {
  return (path, query) => query.get("symbol") === symbol ? answer() : documentedVendor(path, query);
}

Deno.test("quotes of all active symbols are stored and answered with 200", async () => {
  const answer = await call(quoteEndpoint, { active: ["AAPL", "MSFT", "NVDA"] });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.json, {
    message: "Processed 3 symbols: 3 succeeded, 0 failed",
    details: ["AAPL", "MSFT", "NVDA"].map((symbol) => ({
      symbol,
      success: true,
      message: "Stored 1 row",
    })),
    totalProcessed: 3,
    totalSucceeded: 3,
  });
  assert.equal(answer.headers.get("access-control-allow-origin"), "*");
  assert.equal(answer.writes.length, 3);
  const [write] = answer.writes;
  assert.equal(write?.method, "POST");
  assert.equal(write?.path, "live_quote_indicators");
  assert.equal(write?.query.get("on_conflict"), "symbol");
  const [row] = write?.body as Record<string, unknown>[];
  assert.equal(row?.current_price, 232.8);
  assert.equal(row?.fetched_at, NOW.toISOString());
});

Deno.test("one failed symbol turns quotes into 207 and leaves the others", async () => {
  const answer = await call(quoteEndpoint, {
    vendor: vendorExcept("MSFT", () => new Response("down", { status: 503 })),
  });
  assert.equal(answer.status, 207);
  assert.equal(answer.json.totalProcessed, 2);
  assert.equal(answer.json.totalSucceeded, 1);
  assert.deepEqual(answer.json.details[1], {
    symbol: "MSFT",
    success: false,
    message: 'Cannot fetch quote for "MSFT": the vendor answered 503 with "down"',
  });
  assert.equal(answer.writes.length, 1);
});

Deno.test("an empty answer is a failure for quotes and profiles, as it always was", async () => {
  for (const endpoint of [quoteEndpoint, profileEndpoint]) {
    const answer = await call(endpoint as LegacyEndpointDefinition<unknown>, {
      vendor: vendorExcept("MSFT", () => Response.json([])),
    });
    assert.equal(answer.status, 207);
    assert.match(
      answer.json.details[1]?.message ?? "",
      /The vendor has no (quote|profile) for "MSFT"/,
    );
    assert.equal(answer.json.details[1]?.success, false);
  }
});

Deno.test("profiles are stored through upsert_profile with the display name", async () => {
  const answer = await call(profileEndpoint);
  assert.equal(answer.status, 200);
  assert.deepEqual(Object.keys(answer.json), [
    "message",
    "details",
    "totalProcessed",
    "totalSucceeded",
    "totalUpserted",
  ]);
  assert.equal(answer.json.totalUpserted, 2);
  assert.deepEqual(answer.writes.map((write) => write.path), [
    "rpc/upsert_profile",
    "rpc/upsert_profile",
  ]);
  const body = answer.writes[0]?.body as { profile_data: Record<string, unknown> };
  assert.equal(body.profile_data.display_company_name, "Apple Inc.");
  assert.equal(body.profile_data.full_time_employees, 164000);
});

Deno.test("statements are stored and the symbol is marked as processed", async () => {
  const answer = await call(statementsEndpoint, { active: ["AAPL"] });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.json, {
    message: "Processed 1 symbols: 1 succeeded, 0 failed",
    details: [{ symbol: "AAPL", success: true, message: "Stored 1 row" }],
    totalUpserted: 1,
  });
  const [statement, mark] = answer.writes;
  assert.equal(statement?.query.get("on_conflict"), "symbol,date,period");
  assert.equal(mark?.method, "PATCH");
  assert.equal(mark?.path, "supported_symbols");
  assert.equal(mark?.query.get("symbol"), "eq.AAPL");
  assert.deepEqual(mark?.body, { last_processed_at: NOW.toISOString() });
});

Deno.test("failed symbols leave financial statements at 200, as they always did", async () => {
  const answer = await call(statementsEndpoint, {
    vendor: vendorExcept("MSFT", () => new Response("down", { status: 500 })),
  });
  assert.equal(answer.status, 200);
  assert.equal(answer.json.details[1]?.success, false);
  assert.equal(answer.json.totalUpserted, 1);
});

Deno.test("one failed statement of three does not touch its stored payload", async () => {
  const answer = await call(statementsEndpoint, {
    active: ["AAPL"],
    vendor: (path, query) =>
      path === "cash-flow-statement"
        ? new Response("down", { status: 500 })
        : documentedVendor(path, query),
  });
  assert.equal(answer.json.details[0]?.success, true);
  assert.match(
    answer.json.details[0]?.message ?? "",
    /Stored 1 row; Cannot fetch cash-flow-statement/,
  );
  const [row] = answer.writes[0]?.body as Record<string, unknown>[];
  assert.ok(row !== undefined && !("cash_flow_payload" in row));
});

Deno.test("statement rows with different columns are not mixed in one write", async () => {
  const answer = await call(statementsEndpoint, {
    active: ["AAPL"],
    vendor: (path) =>
      Response.json(
        path === "income-statement"
          ? [EXAMPLES[path], { ...EXAMPLES[path], date: "2023-09-30" }]
          : [EXAMPLES[path]],
      ),
  });
  const upserts = answer.writes.filter((write) => write.path === "financial_statements");
  assert.deepEqual(upserts.map((write) => (write.body as unknown[]).length), [1, 1]);
  assert.equal(answer.json.totalUpserted, 2);
});

Deno.test("a symbol without statements is a success without rows or mark", async () => {
  const answer = await call(statementsEndpoint, {
    active: ["SPY"],
    vendor: () => Response.json([]),
  });
  assert.equal(answer.json.details[0]?.success, true);
  assert.deepEqual(answer.writes, []);
});

/** The endpoints that differ only in what they fetch, where they write it and what they count. */
const SIMPLE_ENDPOINTS = [
  {
    endpoint: ratiosTtmEndpoint,
    pacingMs: 250,
    table: "ratios_ttm",
    conflict: "symbol",
    totals: ["totalProcessed", "totalSucceeded", "totalUpserted"],
    emptyIsFailure: { "[]": true, "{}": true },
  },
  {
    endpoint: dividendHistoryEndpoint,
    pacingMs: 300,
    table: "dividend_history",
    conflict: "symbol,date",
    totals: ["totalSymbolsProcessed", "totalDividendsFetched", "totalDividendsUpserted"],
    emptyIsFailure: { "[]": false, "{}": false },
  },
  {
    endpoint: revenueSegmentationEndpoint,
    pacingMs: 350,
    table: "revenue_product_segmentation",
    conflict: "symbol,fiscal_year,period,date",
    totals: [
      "totalSymbolsProcessed",
      "totalSegmentationRecordsFetched",
      "totalSegmentationRecordsUpserted",
    ],
    emptyIsFailure: { "[]": false, "{}": false },
  },
  {
    endpoint: gradesHistoricalEndpoint,
    pacingMs: 350,
    table: "grades_historical",
    conflict: "symbol,date",
    totals: ["totalSymbolsProcessed", "totalGradesFetched", "totalGradesUpserted"],
    emptyIsFailure: { "[]": false, "{}": false },
  },
  {
    endpoint: exchangeVariantsEndpoint,
    pacingMs: 150,
    table: "exchange_variants",
    conflict: "symbol_variant,exchange_short_name",
    totals: ["totalSymbolsProcessed", "totalVariantsFetched", "totalVariantsUpserted"],
    emptyIsFailure: { "[]": false, "{}": true },
  },
] as const;

for (
  const { endpoint: typed, pacingMs, table, conflict, totals, emptyIsFailure } of SIMPLE_ENDPOINTS
) {
  const endpoint = typed as LegacyEndpointDefinition<unknown>;
  const counts = (...numbers: number[]) =>
    Object.fromEntries(totals.map((name, index) => [name, numbers[index]]));

  Deno.test(`${endpoint.name} stores and counts the rows of all active symbols`, async () => {
    const answer = await call(endpoint);
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.json, {
      message: "Processed 2 symbols: 2 succeeded, 0 failed",
      details: ["AAPL", "MSFT"].map((symbol) => ({
        symbol,
        success: true,
        message: "Stored 1 row",
      })),
      ...counts(2, 2, 2),
    });
    assert.deepEqual(
      answer.writes.map(({ method, path, query }) => [method, path, query.get("on_conflict")]),
      [["POST", table, conflict], ["POST", table, conflict]],
    );
    const symbols = answer.writes.flatMap(({ body }) => body as { symbol: string }[])
      .map((row) => row.symbol);
    assert.deepEqual(symbols.toSorted(), ["AAPL", "MSFT"]);
    assert.equal(endpoint.pacingMs, pacingMs);
  });

  Deno.test(`${endpoint.name} sends no times, which the database sets`, async () => {
    const answer = await call(endpoint);
    for (const { body } of answer.writes) {
      for (const row of body as Record<string, unknown>[]) {
        assert.ok(!("fetched_at" in row) && !("updated_at" in row));
      }
    }
  });

  Deno.test(`${endpoint.name} answers 207 when a symbol failed, and stores the others`, async () => {
    const answer = await call(endpoint, {
      vendor: vendorExcept("MSFT", () => new Response("down", { status: 503 })),
    });
    assert.equal(answer.status, 207);
    assert.equal(answer.json.details[1]?.success, false);
    assert.deepEqual(totals.map((name) => answer.json[name]), [2, 1, 1]);
    assert.equal(answer.writes.length, 1);
  });

  for (const [body, failure] of Object.entries(emptyIsFailure)) {
    Deno.test(`${endpoint.name} takes ${body} for a ${failure ? "failure" : "success without rows"}`, async () => {
      const answer = await call(endpoint, {
        vendor: vendorExcept("MSFT", () => new Response(body)),
      });
      assert.equal(answer.status, failure ? 207 : 200);
      assert.equal(answer.json.details[1]?.success, !failure);
      assert.deepEqual(
        totals.map((name) => answer.json[name]),
        [2, 1, 1],
      );
      assert.equal(answer.writes.length, 1);
    });
  }

  Deno.test(`${endpoint.name} answers 401 to strangers and 500 without its settings`, async () => {
    assert.equal((await call(endpoint, {}, { headers: {} })).status, 401);
    const answer = await call(endpoint, { settings: { FMP_API_KEY: undefined } });
    assert.equal(answer.status, 500);
    assert.match(answer.json.message, /FMP_API_KEY/);
  });
}

Deno.test("rows that were fetched but could not be written are counted as fetched only", async () => {
  const answer = await call(dividendHistoryEndpoint, {
    active: ["AAPL"],
    vendor: () => Response.json([dividendExample, { ...dividendExample, date: "2026-02-09" }]),
    database: ({ method }) =>
      method === "POST" ? Response.json({ message: "no room" }, { status: 500 }) : undefined,
  });
  assert.equal(answer.status, 207);
  assert.equal(answer.json.totalDividendsFetched, 2);
  assert.equal(answer.json.totalDividendsUpserted, 0);
});

Deno.test("a write that the database refuses fails that symbol alone", async () => {
  const answer = await call(quoteEndpoint, {
    database: ({ method, body }) =>
      method === "POST" && JSON.stringify(body).includes('"MSFT"')
        ? Response.json({ message: `no room for ${SECRET_KEY}`, code: "53100" }, { status: 500 })
        : undefined,
  });
  assert.equal(answer.status, 207);
  assert.equal(
    answer.json.details[1]?.message,
    "Cannot write live_quote_indicators: no room for ***",
  );
  assert.equal(answer.writes.length, 1);
});

Deno.test("no active symbol is a success with nothing done", async () => {
  const answer = await call(quoteEndpoint, { active: [] });
  assert.equal(answer.status, 200);
  assert.equal(answer.json.totalProcessed, 0);
  assert.deepEqual(answer.vendorCalls, []);
});

Deno.test("preflight is answered without a key", async () => {
  const answer = await call(quoteEndpoint, {}, { method: "OPTIONS", headers: {} });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("access-control-allow-origin"), "*");
  assert.match(answer.headers.get("access-control-allow-headers") ?? "", /authorization/);
});

Deno.test("a caller without the anon key gets 401 and nothing runs", async () => {
  for (const headers of [{}, { authorization: "Bearer other" }] as Record<string, string>[]) {
    const answer = await call(quoteEndpoint, {}, { headers });
    assert.equal(answer.status, 401);
    assert.ok(answer.json.message);
    assert.deepEqual(answer.vendorCalls, []);
    assert.deepEqual(answer.writes, []);
  }
});

for (const name of ["FMP_API_KEY", "SUPABASE_URL", "SUPABASE_SECRET_KEYS", "SUPABASE_ANON_KEY"]) {
  Deno.test(`without ${name} the answer is 500 and names it`, async () => {
    const answer = await call(quoteEndpoint, { settings: { [name]: undefined } });
    assert.equal(answer.status, 500);
    assert.match(answer.json.message, new RegExp(name.replace("ANON_KEY", "(PUBLISHABLE_KEYS)?")));
    for (const secret of Object.values(SETTINGS)) {
      if (secret.length > 8) assert.ok(!answer.text.includes(secret), answer.text);
    }
  });
}

Deno.test("an unreadable list of symbols is 500", async () => {
  const answer = await call(quoteEndpoint, {
    database: ({ method }) =>
      method === "GET"
        ? Response.json({ message: `denied for ${SECRET_KEY}` }, { status: 403 })
        : undefined,
  });
  assert.equal(answer.status, 500);
  assert.equal(answer.json.message, "Cannot read supported_symbols: denied for ***");
});

Deno.test("bodies that legacy callers send are ignored", async () => {
  for (const body of ["", "{}", "[]", "null", "not json", '{"other":1}']) {
    const answer = await call(quoteEndpoint, {}, { body });
    assert.equal(answer.status, 200, body);
    assert.equal(answer.json.totalProcessed, 2, body);
  }
});

Deno.test("an anon caller's symbols are ignored, as legacy did, also a list of none", async () => {
  for (const symbols of [["MSFT", "EVIL"], []]) {
    const answer = await call(quoteEndpoint, {}, { body: JSON.stringify({ symbols }) });
    assert.equal(answer.status, 200);
    assert.equal(answer.json.totalProcessed, 2);
  }
});

Deno.test("a secret caller's symbols are refreshed as given", async () => {
  const answer = await call(quoteEndpoint, {}, {
    headers: { apikey: SECRET_KEY },
    body: JSON.stringify({ symbols: ["NVDA"] }),
  });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.vendorCalls, ["/stable/quote?symbol=NVDA"]);
});

Deno.test("symbols that are no list of texts are ignored, as legacy did, but of a secret caller 400", async () => {
  const long = JSON.stringify({ symbols: ["AAPL"], padding: "x".repeat(1_000_000) });
  const bodies = ["AAPL", [1], [""], {}, null].map((symbols) => JSON.stringify({ symbols }));
  for (const body of [...bodies, long]) {
    const ignored = await call(quoteEndpoint, {}, { body });
    assert.equal(ignored.status, 200);
    assert.equal(ignored.json.totalProcessed, 2);
    const answer = await call(quoteEndpoint, {}, { headers: { apikey: SECRET_KEY }, body });
    assert.equal(answer.status, 400);
    assert.deepEqual(answer.vendorCalls, []);
  }
});

Deno.test("no key is in any answer or log line, even when the vendor echoes it", async () => {
  const answer = await call(quoteEndpoint, {
    settings: { ENV_CONTEXT: "DEV" },
    vendor: (_path, _query, request) =>
      new Response(`Invalid ${request.headers.get("apikey")}`, { status: 401 }),
  });
  assert.equal(answer.status, 207);
  for (const text of [answer.text, ...answer.logged]) {
    for (const key of [API_KEY, SECRET_KEY, ANON_KEY]) assert.ok(!text.includes(key), text);
  }
});

Deno.test("the run is kept alive for a caller who hangs up", async () => {
  const answer = await call(quoteEndpoint);
  assert.equal(answer.waitedUntil.length, 1);
});

Deno.test("a pace spaces the starts of calls in the order of asking", async () => {
  const waits: number[] = [];
  let now = 1000;
  const pace = createPace(250, {
    now: () => now,
    sleep: (ms) => {
      waits.push(ms);
      return Promise.resolve();
    },
  });
  const { signal } = new AbortController();
  await Promise.all([pace(signal), pace(signal), pace(signal)]);
  assert.deepEqual(waits, [250, 500]);
  now += 10_000;
  await pace(signal);
  assert.deepEqual(waits, [250, 500]);
});

Deno.test("a pace of zero never waits, and an ended signal stops a wait", async () => {
  const unpaced = createPace(0);
  const { signal } = new AbortController();
  await unpaced(signal);
  await unpaced(signal);
  const pace = createPace(60_000);
  const caller = new AbortController();
  await pace(caller.signal);
  const waiting = pace(caller.signal);
  caller.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
});
