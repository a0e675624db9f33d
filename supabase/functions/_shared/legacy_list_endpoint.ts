import { type Fetcher, fetchSymbols } from "./fetchers/contract.ts";
import { GLOBAL } from "./fetchers/global_rows.ts";
import {
  answer,
  legacyAccess,
  type LegacyEndpointSurroundings,
  type LegacyService,
  platform,
  serveLegacy,
  upsertRows,
} from "./legacy_endpoint.ts";

/** How one of the existing endpoints that refresh one whole list differs from the others. */
export interface LegacyListDefinition<Payload> extends LegacyService {
  fetcher: Fetcher<Payload>;
  table: string;
  conflictColumns: string;
  /** The answer beside `message`, for a number of rows written. */
  counts(written: number): Record<string, number>;
}

/** An endpoint that fetches a list and upserts it: 200, or 401, or 500 when anything failed. */
export function createLegacyListEndpoint<Payload>(
  definition: LegacyListDefinition<Payload>,
  surroundings: LegacyEndpointSurroundings = platform(),
): (request: Request) => Promise<Response> {
  return serveLegacy(definition, surroundings, async () => {
    const { context, database, log } = legacyAccess(definition, surroundings);
    const outcome = await fetchSymbols(definition.fetcher, [GLOBAL], context);
    for (const warning of outcome.warnings) log(warning);
    const rows = outcome.rows.get(GLOBAL) ?? [];
    await upsertRows(database, definition.table, rows, definition.conflictColumns);
    const message = `Stored ${rows.length} ${rows.length === 1 ? "row" : "rows"}`;
    log(message);
    return answer(200, { message, ...definition.counts(rows.length) });
  });
}
