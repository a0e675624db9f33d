import { availableExchangesFetcher } from "../_shared/fetchers/available_exchanges.ts";
import {
  createLegacyListEndpoint,
  type LegacyListDefinition,
} from "../_shared/legacy_list_endpoint.ts";

type Exchanges = Parameters<typeof availableExchangesFetcher.toRows>[0];

/** Refreshes `available_exchanges`. */
export const availableExchangesEndpoint: LegacyListDefinition<Exchanges> = {
  name: "fetch-fmp-available-exchanges",
  fetcher: availableExchangesFetcher,
  pacingMs: 0,
  table: "available_exchanges",
  conflictColumns: "exchange",
  counts: (written) => ({ upsertedCount: written }),
};

export default { fetch: createLegacyListEndpoint(availableExchangesEndpoint) };
