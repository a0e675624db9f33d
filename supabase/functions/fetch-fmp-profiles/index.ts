import { profileFetcher } from "../_shared/fetchers/profile.ts";
import {
  createLegacyEndpoint,
  type LegacyEndpointDefinition,
  totalsOfSymbols,
} from "../_shared/legacy_endpoint.ts";

type Profiles = Parameters<typeof profileFetcher.toRows>[0];

/** Refreshes `profiles` for the active symbols, through the SQL function `upsert_profile`. */
export const profileEndpoint: LegacyEndpointDefinition<Profiles> = {
  name: "fetch-fmp-profiles",
  fetcher: profileFetcher,
  pacingMs: 250,
  emptyIsFailure: true,
  partialStatus: 207,
  async write(database, symbol, rows) {
    for (const row of rows) {
      const { error } = await database.rpc("upsert_profile", { profile_data: row });
      if (error !== null) {
        throw new Error(`Cannot write profiles for "${symbol}": ${error.message}`);
      }
    }
  },
  totals: totalsOfSymbols,
};

export default { fetch: createLegacyEndpoint(profileEndpoint) };
