import assert from "node:assert/strict";
import { fetchSymbols } from "../../supabase/functions/_shared/fetchers/contract.ts";
import { ratiosTtmFetcher } from "../../supabase/functions/_shared/fetchers/ratios_ttm.ts";
import { ratiosExample } from "./statement_examples.ts";
import { contextFor, fetchJson, onlyRow, vendorErrorOf } from "./fetcher_support.ts";

Deno.test("the documented ratios fill their columns, the only live one with null", async () => {
  const row = onlyRow(await fetchJson(ratiosTtmFetcher, "AAPL", [ratiosExample]), "AAPL");
  assert.equal(Object.keys(row).length, 60);
  assert.equal(row.gross_profit_margin_ttm, 0.46518849807964424);
  assert.equal(row.working_capital_turnover_ratio_ttm, -22.92267593397046);
  assert.equal(row.interest_coverage_ratio_ttm, 0);
  assert.equal(row.enterprise_value_ttm, 3216333928000);
  assert.equal(row.net_income_per_ebt_ttm, 0.7646366484818603);
  assert.equal(row.ebt_per_ebit_ttm, 1.0005649492739208);
  assert.equal(row.enterprise_value_multiple_ttm, 23.41672438697653);
  assert.equal(row.dividend_per_share_ttm, null);
});

Deno.test("the dividend per share that only live answers have is stored", async () => {
  const live = { ...ratiosExample, dividendPerShareTTM: 1.04, noveltyTTM: 3 };
  const row = onlyRow(await fetchJson(ratiosTtmFetcher, "AAPL", [live]), "AAPL");
  assert.equal(row.dividend_per_share_ttm, 1.04);
  assert.ok(!("novelty_ttm" in row));
});

Deno.test("two rows of ratios that differ are refused with the column, in any order", async () => {
  const other = { ...ratiosExample, quickRatioTTM: 2 };
  for (const rows of [[ratiosExample, other], [other, ratiosExample]]) {
    const error = await vendorErrorOf(fetchJson(ratiosTtmFetcher, "AAPL", rows));
    assert.equal(
      error.message,
      'ratios-ttm for "AAPL": more than one row, with different values of "quick_ratio_ttm"; wanted one',
    );
    assert.equal(error.errorClass, "retryable");
    assert.equal(error.code, "schema_mismatch");
  }
});

Deno.test("two rows of ratios that differ in unused keys only are one", async () => {
  const outcome = await fetchJson(ratiosTtmFetcher, "AAPL", [
    ratiosExample,
    { ...ratiosExample, noveltyTTM: 3 },
  ]);
  assert.equal(onlyRow(outcome, "AAPL").quick_ratio_ttm, 0.8750666712845911);
  assert.deepEqual(outcome.warnings, [
    'ratios-ttm for "AAPL": more than one row; the first was kept',
  ]);
});

Deno.test("ratios of another symbol beside the right ones are dropped with a warning", async () => {
  const outcome = await fetchJson(ratiosTtmFetcher, "AAPL", [
    { ...ratiosExample, symbol: "MSFT", quickRatioTTM: 2 },
    ratiosExample,
  ]);
  assert.equal(onlyRow(outcome, "AAPL").quick_ratio_ttm, 0.8750666712845911);
  assert.match(outcome.warnings.join(), /dropped rows of symbol "MSFT"/);
});

Deno.test("a ratio beyond the range of doubles is refused", async () => {
  const body = JSON.stringify([ratiosExample]).replace(
    '"cashRatioTTM":',
    '"cashRatioTTM":1e400,"x":',
  );
  const { context } = contextFor(() => new Response(body));
  const error = await vendorErrorOf(fetchSymbols(ratiosTtmFetcher, ["AAPL"], context));
  assert.match(error.message, /key "cashRatioTTM" is Infinity; wanted a number or null/);
});
