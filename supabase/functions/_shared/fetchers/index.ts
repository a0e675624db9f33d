/** The fetchers that the queue knows, and everything needed to run them. */
import {
  exchangeRatesSource,
  exchangeRatesUrl,
  marketHolidayExchanges,
  statementsLimit,
} from "../env.ts";
import { availableExchangesFetcher } from "./available_exchanges.ts";
import type { Fetcher } from "./contract.ts";
import { dividendHistoryFetcher } from "./dividend_history.ts";
import { createExchangeMarketStatusFetcher } from "./exchange_market_status.ts";
import { createExchangeRatesFetcher } from "./exchange_rates.ts";
import { exchangeVariantsFetcher } from "./exchange_variants.ts";
import { createFinancialStatementsFetcher } from "./financial_statements.ts";
import { gradesHistoricalFetcher } from "./grades_historical.ts";
import { profileFetcher } from "./profile.ts";
import { quoteFetcher } from "./quote.ts";
import { ratiosTtmFetcher } from "./ratios_ttm.ts";
import { revenueSegmentationFetcher } from "./revenue_segmentation.ts";
import { sharesFloatFetcher } from "./shares_float.ts";
import { sharesFloatAllFetcher } from "./shares_float_all.ts";

export * from "./contract.ts";

/**
 * Fetchers by data type. Settings: `FMP_STATEMENTS_LIMIT` (rows per statement),
 * `MARKET_HOLIDAY_EXCHANGES`, `EXCHANGE_RATES_SOURCE`, `EXCHANGE_RATES_URL`.
 */
export const fetchers: Record<string, Fetcher> = Object.fromEntries(
  ([
    quoteFetcher,
    profileFetcher,
    createFinancialStatementsFetcher({
      limit: () => statementsLimit(Deno.env),
      onFailedStatement: "fail",
    }),
    ratiosTtmFetcher,
    dividendHistoryFetcher,
    revenueSegmentationFetcher,
    gradesHistoricalFetcher,
    exchangeVariantsFetcher,
    sharesFloatFetcher,
    sharesFloatAllFetcher,
    availableExchangesFetcher,
    createExchangeMarketStatusFetcher({
      holidayExchanges: () => marketHolidayExchanges(Deno.env),
    }),
    createExchangeRatesFetcher({
      source: () => exchangeRatesSource(Deno.env),
      url: () => exchangeRatesUrl(Deno.env),
    }),
  ] as Fetcher[]).map((fetcher) => [fetcher.dataType, fetcher]),
);
