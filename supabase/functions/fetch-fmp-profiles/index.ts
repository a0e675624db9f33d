import { fmpImagesUrl } from "../_shared/env.ts";
import { profileFetcher } from "../_shared/fetchers/profile.ts";
import { copyMissingLogos } from "../_shared/fetchers/profile_logo.ts";
import {
  createLegacyEndpoint,
  type LegacyEndpointDefinition,
  totalsOfSymbols,
} from "../_shared/legacy_endpoint.ts";

type Profiles = Parameters<typeof profileFetcher.toRows>[0];

/** Milliseconds for the logo of one profile, with all that belongs to it. */
const LOGO_MS = 20_000;

/** Refreshes `profiles` for the active symbols, through the SQL function `upsert_profile`, and their logos. */
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
    const imagesUrl = fmpImagesUrl(Deno.env);
    const warnings = await copyMissingLogos(new Map([[symbol, rows]]), {
      fetch,
      database,
      signal: AbortSignal.timeout(LOGO_MS),
      ...(imagesUrl === undefined ? {} : { imagesUrl }),
    });
    for (const warning of warnings) console.warn(`fetch-fmp-profiles: ${warning}`);
  },
  totals: totalsOfSymbols,
};

export default { fetch: createLegacyEndpoint(profileEndpoint) };
