import { ratiosTtmFetcher } from "../_shared/fetchers/ratios_ttm.ts";
import {
  createLegacyEndpoint,
  type LegacyEndpointDefinition,
  totalsOfSymbols,
  upsertRows,
} from "../_shared/legacy_endpoint.ts";

type Ratios = Parameters<typeof ratiosTtmFetcher.toRows>[0];

/** Refreshes `ratios_ttm` for the active symbols. */
export const ratiosTtmEndpoint: LegacyEndpointDefinition<Ratios> = {
  name: "fetch-fmp-ratios-ttm",
  fetcher: ratiosTtmFetcher,
  pacingMs: 250,
  emptyIsFailure: true,
  partialStatus: 207,
  write: (database, _symbol, rows) => upsertRows(database, "ratios_ttm", rows, "symbol"),
  totals: totalsOfSymbols,
};

export default { fetch: createLegacyEndpoint(ratiosTtmEndpoint) };
