import { dividendHistoryFetcher } from "../_shared/fetchers/dividend_history.ts";
import {
  createLegacyEndpoint,
  type LegacyEndpointDefinition,
  totalsOfRows,
  upsertRows,
} from "../_shared/legacy_endpoint.ts";

type Dividends = Parameters<typeof dividendHistoryFetcher.toRows>[0];

/** Refreshes `dividend_history` for the active symbols. */
export const dividendHistoryEndpoint: LegacyEndpointDefinition<Dividends> = {
  name: "fetch-fmp-dividend-history",
  fetcher: dividendHistoryFetcher,
  pacingMs: 300,
  emptyIsFailure: false,
  partialStatus: 207,
  write: (database, _symbol, rows) => upsertRows(database, "dividend_history", rows, "symbol,date"),
  totals: totalsOfRows("Dividends"),
};

export default { fetch: createLegacyEndpoint(dividendHistoryEndpoint) };
