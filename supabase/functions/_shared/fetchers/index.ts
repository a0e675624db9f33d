/** The fetchers that the queue knows, and everything needed to run them. */
import { statementsLimit } from "../env.ts";
import type { Fetcher } from "./contract.ts";
import { dividendHistoryFetcher } from "./dividend_history.ts";
import { exchangeVariantsFetcher } from "./exchange_variants.ts";
import { createFinancialStatementsFetcher } from "./financial_statements.ts";
import { gradesHistoricalFetcher } from "./grades_historical.ts";
import { profileFetcher } from "./profile.ts";
import { quoteFetcher } from "./quote.ts";
import { ratiosTtmFetcher } from "./ratios_ttm.ts";
import { revenueSegmentationFetcher } from "./revenue_segmentation.ts";

export * from "./contract.ts";

/** Fetchers by data type. The row limit of statements is the setting `FMP_STATEMENTS_LIMIT`. */
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
  ] as Fetcher[]).map((fetcher) => [fetcher.dataType, fetcher]),
);
