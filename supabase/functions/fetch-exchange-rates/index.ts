import { exchangeRatesSource, exchangeRatesUrl } from "../_shared/env.ts";
import {
  createExchangeRatesFetcher,
  type ExchangeRatesPayload,
} from "../_shared/fetchers/exchange_rates.ts";
import {
  createLegacyListEndpoint,
  type LegacyListDefinition,
} from "../_shared/legacy_list_endpoint.ts";

/** Refreshes `exchange_rates`, with base USD. */
export const exchangeRatesEndpoint: LegacyListDefinition<ExchangeRatesPayload> = {
  name: "fetch-exchange-rates",
  fetcher: createExchangeRatesFetcher({
    source: () => exchangeRatesSource(Deno.env),
    url: () => exchangeRatesUrl(Deno.env),
  }),
  pacingMs: 0,
  get provider() {
    return exchangeRatesSource(Deno.env) === "fmp" ? "fmp" : "exchangerate-api";
  },
  vendorKeyIsOptional: true,
  table: "exchange_rates",
  conflictColumns: "base_code,target_code",
  counts: (written) => ({ upsertedCount: written }),
};

export default { fetch: createLegacyListEndpoint(exchangeRatesEndpoint) };
