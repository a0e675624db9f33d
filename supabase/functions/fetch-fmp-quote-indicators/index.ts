import { quoteFetcher } from "../_shared/fetchers/quote.ts";
import {
  createLegacyEndpoint,
  type LegacyEndpointDefinition,
  upsertRows,
} from "../_shared/legacy_endpoint.ts";

type Quotes = Parameters<typeof quoteFetcher.toRows>[0];

/** Refreshes `live_quote_indicators` for the active symbols. */
export const quoteEndpoint: LegacyEndpointDefinition<Quotes> = {
  name: "fetch-fmp-quote-indicators",
  fetcher: quoteFetcher,
  pacingMs: 250,
  emptyIsFailure: true,
  partialStatus: 207,
  write: (database, _symbol, rows) => upsertRows(database, "live_quote_indicators", rows, "symbol"),
  totals: (results) => ({
    totalProcessed: results.length,
    totalSucceeded: results.filter((result) => result.success).length,
  }),
};

export default { fetch: createLegacyEndpoint(quoteEndpoint) };
