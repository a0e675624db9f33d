import {
  createExchangeMarketStatusFetcher,
  type MarketStatusPayload,
} from "../_shared/fetchers/exchange_market_status.ts";
import {
  createLegacyListEndpoint,
  type LegacyListDefinition,
} from "../_shared/legacy_list_endpoint.ts";

/** Refreshes `exchange_market_status`, with the holidays of every exchange. */
export const marketStatusEndpoint: LegacyListDefinition<MarketStatusPayload> = {
  name: "fetch-fmp-all-exchange-market-status",
  fetcher: createExchangeMarketStatusFetcher({ holidayExchanges: "listed" }),
  pacingMs: 0,
  failureKey: "error",
  table: "exchange_market_status",
  conflictColumns: "exchange_code",
  counts: () => ({}),
};

export default { fetch: createLegacyListEndpoint(marketStatusEndpoint) };
