import assert from "node:assert/strict";
import type { LegacyEndpointDefinition } from "../../supabase/functions/_shared/legacy_endpoint.ts";
import { dividendHistoryEndpoint } from "../../supabase/functions/fetch-fmp-dividend-history/index.ts";
import { exchangeVariantsEndpoint } from "../../supabase/functions/fetch-fmp-exchange-variants/index.ts";
import { gradesHistoricalEndpoint } from "../../supabase/functions/fetch-fmp-grades-historical/index.ts";
import { ratiosTtmEndpoint } from "../../supabase/functions/fetch-fmp-ratios-ttm/index.ts";
import { revenueSegmentationEndpoint } from "../../supabase/functions/fetch-fmp-revenue-segmentation/index.ts";
import { call, vendorExcept } from "./legacy_endpoint_support.ts";

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
