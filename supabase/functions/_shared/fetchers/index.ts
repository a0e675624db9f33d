/**
 * The data types that the processor fetches by itself. Written by `deno run -A scripts/fetchers.ts`
 * from the files of this folder that export `queueType`.
 */
import type { Fetcher } from "./contract.ts";
import { queueType as availableExchanges } from "./available_exchanges.ts";
import { queueType as dividendHistory } from "./dividend_history.ts";
import { queueType as exchangeMarketStatus } from "./exchange_market_status.ts";
import { queueType as exchangeRates } from "./exchange_rates.ts";
import { queueType as exchangeVariants } from "./exchange_variants.ts";
import { queueType as financialStatements } from "./financial_statements.ts";
import { queueType as gradesHistorical } from "./grades_historical.ts";
import { queueType as profile } from "./profile.ts";
import { queueType as quote } from "./quote.ts";
import { queueType as ratiosTtm } from "./ratios_ttm.ts";
import { queueType as revenueSegmentation } from "./revenue_segmentation.ts";
import { queueType as sharesFloat } from "./shares_float.ts";
import { queueType as sharesFloatAll } from "./shares_float_all.ts";
import type { QueueType } from "./queue_type.ts";

export * from "./contract.ts";

/** By file name. */
export const queueTypes: readonly QueueType[] = [
  availableExchanges,
  dividendHistory,
  exchangeMarketStatus,
  exchangeRates,
  exchangeVariants,
  financialStatements,
  gradesHistorical,
  profile,
  quote,
  ratiosTtm,
  revenueSegmentation,
  sharesFloat,
  sharesFloatAll,
];

/** Fetchers by data type. */
export const fetchers: Record<string, Fetcher> = Object.fromEntries(
  queueTypes.map(({ fetcher }) => [fetcher.dataType, fetcher]),
);
