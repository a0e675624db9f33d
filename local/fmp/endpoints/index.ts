import { dividends } from "./dividends.ts";
import type { Endpoint } from "./endpoint.ts";
import {
  allExchangeMarketHours,
  availableExchanges,
  exchangeMarketHours,
  holidaysByExchange,
} from "./exchanges.ts";
import { gradesHistorical } from "./grades.ts";
import { profile } from "./profile.ts";
import { batchExchangeQuote, batchForexQuotes, batchQuote, forexList, quote } from "./quote.ts";
import { ratiosTtm } from "./ratios.ts";
import { revenueProductSegmentation } from "./segmentation.ts";
import { sharesFloat, sharesFloatAll } from "./shares_float.ts";
import { balanceSheetStatement, cashFlowStatement, incomeStatement } from "./statements.ts";
import { searchExchangeVariants } from "./variants.ts";

/** Every endpoint by its path below /stable. A further one is a file beside this and a line here. */
export const endpoints: ReadonlyMap<string, Endpoint> = new Map(
  [
    quote,
    batchQuote,
    batchExchangeQuote,
    profile,
    incomeStatement,
    balanceSheetStatement,
    cashFlowStatement,
    ratiosTtm,
    dividends,
    sharesFloat,
    sharesFloatAll,
    revenueProductSegmentation,
    gradesHistorical,
    searchExchangeVariants,
    availableExchanges,
    allExchangeMarketHours,
    exchangeMarketHours,
    holidaysByExchange,
    batchForexQuotes,
    forexList,
  ].map((endpoint) => [endpoint.name, endpoint]),
);
