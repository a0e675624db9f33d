import { z } from "npm:zod@4.6.7";
import type { Fetcher } from "./contract.ts";
import { optionalNumber, requiredText, rowsOf } from "./fields.ts";
import { symbolRequest } from "./symbol_request.ts";
import { oneRowPerSymbol } from "./symbol_rows.ts";
import { queueTypeOf } from "./queue_type.ts";

const DATA_TYPE = "ratios-ttm";

/** Column → the vendor's key, for the ratios that each answer has. */
const RATIOS = {
  gross_profit_margin_ttm: "grossProfitMarginTTM",
  ebit_margin_ttm: "ebitMarginTTM",
  ebitda_margin_ttm: "ebitdaMarginTTM",
  operating_profit_margin_ttm: "operatingProfitMarginTTM",
  pretax_profit_margin_ttm: "pretaxProfitMarginTTM",
  continuous_operations_profit_margin_ttm: "continuousOperationsProfitMarginTTM",
  net_profit_margin_ttm: "netProfitMarginTTM",
  bottom_line_profit_margin_ttm: "bottomLineProfitMarginTTM",
  receivables_turnover_ttm: "receivablesTurnoverTTM",
  payables_turnover_ttm: "payablesTurnoverTTM",
  inventory_turnover_ttm: "inventoryTurnoverTTM",
  fixed_asset_turnover_ttm: "fixedAssetTurnoverTTM",
  asset_turnover_ttm: "assetTurnoverTTM",
  current_ratio_ttm: "currentRatioTTM",
  quick_ratio_ttm: "quickRatioTTM",
  solvency_ratio_ttm: "solvencyRatioTTM",
  cash_ratio_ttm: "cashRatioTTM",
  price_to_earnings_ratio_ttm: "priceToEarningsRatioTTM",
  price_to_earnings_growth_ratio_ttm: "priceToEarningsGrowthRatioTTM",
  forward_price_to_earnings_growth_ratio_ttm: "forwardPriceToEarningsGrowthRatioTTM",
  price_to_book_ratio_ttm: "priceToBookRatioTTM",
  price_to_sales_ratio_ttm: "priceToSalesRatioTTM",
  price_to_free_cash_flow_ratio_ttm: "priceToFreeCashFlowRatioTTM",
  price_to_operating_cash_flow_ratio_ttm: "priceToOperatingCashFlowRatioTTM",
  debt_to_assets_ratio_ttm: "debtToAssetsRatioTTM",
  debt_to_equity_ratio_ttm: "debtToEquityRatioTTM",
  debt_to_capital_ratio_ttm: "debtToCapitalRatioTTM",
  long_term_debt_to_capital_ratio_ttm: "longTermDebtToCapitalRatioTTM",
  financial_leverage_ratio_ttm: "financialLeverageRatioTTM",
  working_capital_turnover_ratio_ttm: "workingCapitalTurnoverRatioTTM",
  operating_cash_flow_ratio_ttm: "operatingCashFlowRatioTTM",
  operating_cash_flow_sales_ratio_ttm: "operatingCashFlowSalesRatioTTM",
  free_cash_flow_operating_cash_flow_ratio_ttm: "freeCashFlowOperatingCashFlowRatioTTM",
  debt_service_coverage_ratio_ttm: "debtServiceCoverageRatioTTM",
  interest_coverage_ratio_ttm: "interestCoverageRatioTTM",
  short_term_operating_cash_flow_coverage_ratio_ttm: "shortTermOperatingCashFlowCoverageRatioTTM",
  operating_cash_flow_coverage_ratio_ttm: "operatingCashFlowCoverageRatioTTM",
  capital_expenditure_coverage_ratio_ttm: "capitalExpenditureCoverageRatioTTM",
  dividend_paid_and_capex_coverage_ratio_ttm: "dividendPaidAndCapexCoverageRatioTTM",
  dividend_payout_ratio_ttm: "dividendPayoutRatioTTM",
  dividend_yield_ttm: "dividendYieldTTM",
  enterprise_value_ttm: "enterpriseValueTTM",
  revenue_per_share_ttm: "revenuePerShareTTM",
  net_income_per_share_ttm: "netIncomePerShareTTM",
  interest_debt_per_share_ttm: "interestDebtPerShareTTM",
  cash_per_share_ttm: "cashPerShareTTM",
  book_value_per_share_ttm: "bookValuePerShareTTM",
  tangible_book_value_per_share_ttm: "tangibleBookValuePerShareTTM",
  shareholders_equity_per_share_ttm: "shareholdersEquityPerShareTTM",
  operating_cash_flow_per_share_ttm: "operatingCashFlowPerShareTTM",
  capex_per_share_ttm: "capexPerShareTTM",
  free_cash_flow_per_share_ttm: "freeCashFlowPerShareTTM",
  net_income_per_ebt_ttm: "netIncomePerEBTTTM",
  ebt_per_ebit_ttm: "ebtPerEbitTTM",
  price_to_fair_value_ttm: "priceToFairValueTTM",
  debt_to_market_cap_ttm: "debtToMarketCapTTM",
  effective_tax_rate_ttm: "effectiveTaxRateTTM",
  enterprise_value_multiple_ttm: "enterpriseValueMultipleTTM",
} as const;

type RatioColumn = keyof typeof RATIOS;
type RatioKey = (typeof RATIOS)[RatioColumn];

const ratioFields = Object.fromEntries(
  Object.values(RATIOS).map((key) => [key, optionalNumber()]),
) as Record<RatioKey, z.ZodType<number | null>>;

const ratiosSchema = rowsOf(z.object({
  symbol: requiredText(),
  ...ratioFields,
  // Live answers have it, the documentation and older recordings do not.
  dividendPerShareTTM: optionalNumber().optional(),
}, { error: "an object" }));

/**
 * Ratios over the last four quarters for `ratios_ttm`, one vendor call per symbol.
 *
 * The vendor's row has no date, so of two rows that differ none can be chosen and the answer is
 * refused.
 */
export const ratiosTtmFetcher: Fetcher<z.infer<typeof ratiosSchema>> = {
  dataType: DATA_TYPE,
  maxSymbolsPerCall: 1,
  callsPerBatch: 1,
  schema: ratiosSchema,
  request: symbolRequest(DATA_TYPE, "ratios-ttm"),

  toRows(entries, symbols) {
    return oneRowPerSymbol(DATA_TYPE, entries, symbols, (ratios) => ({
      symbol: ratios.symbol,
      ...Object.fromEntries(
        Object.entries(RATIOS).map(([column, key]) => [column, ratios[key]]),
      ) as Record<RatioColumn, number | null>,
      dividend_per_share_ttm: ratios.dividendPerShareTTM ?? null,
    }), { onContradiction: "fail" });
  },
};

/** In the queue. */
export const queueType = queueTypeOf(ratiosTtmFetcher, {
  "ratios-ttm": { symbols: "label" },
});
