import { gradesHistoricalFetcher } from "../_shared/fetchers/grades_historical.ts";
import {
  createLegacyEndpoint,
  type LegacyEndpointDefinition,
  totalsOfRows,
  upsertRows,
} from "../_shared/legacy_endpoint.ts";

type Grades = Parameters<typeof gradesHistoricalFetcher.toRows>[0];

/** Refreshes `grades_historical` for the active symbols. */
export const gradesHistoricalEndpoint: LegacyEndpointDefinition<Grades> = {
  name: "fetch-fmp-grades-historical",
  fetcher: gradesHistoricalFetcher,
  pacingMs: 350,
  emptyIsFailure: false,
  partialStatus: 207,
  write: (database, _symbol, rows) =>
    upsertRows(database, "grades_historical", rows, "symbol,date"),
  totals: totalsOfRows("Grades"),
};

export default { fetch: createLegacyEndpoint(gradesHistoricalEndpoint) };
