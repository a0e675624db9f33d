import { exchangeVariantsFetcher } from "../_shared/fetchers/exchange_variants.ts";
import {
  createLegacyEndpoint,
  type LegacyEndpointDefinition,
  totalsOfRows,
  upsertRows,
} from "../_shared/legacy_endpoint.ts";

type Variants = Parameters<typeof exchangeVariantsFetcher.toRows>[0];

/** Refreshes `exchange_variants` for the active symbols. */
export const exchangeVariantsEndpoint: LegacyEndpointDefinition<Variants> = {
  name: "fetch-fmp-exchange-variants",
  fetcher: exchangeVariantsFetcher,
  pacingMs: 150,
  emptyIsFailure: false,
  partialStatus: 207,
  write: (database, _symbol, rows) =>
    upsertRows(database, "exchange_variants", rows, "symbol_variant,exchange_short_name"),
  totals: totalsOfRows("Variants"),
};

export default { fetch: createLegacyEndpoint(exchangeVariantsEndpoint) };
