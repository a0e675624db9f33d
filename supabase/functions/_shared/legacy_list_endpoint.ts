import type { Fetcher } from "./fetchers/contract.ts";
import { GLOBAL } from "./fetchers/global_rows.ts";
import { upsertRows } from "./legacy_endpoint.ts";
import {
  type LegacyService,
  type LegacySurroundings,
  platform,
  serveLegacy,
} from "./legacy_service.ts";

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
  surroundings: LegacySurroundings = platform(),
): (request: Request) => Promise<Response> {
  return serveLegacy(definition, surroundings, {
    dataType: definition.fetcher.dataType,
    nothing: () => ({ status: 200, body: definition.counts(0) }),
    async run({ database, fetch, log }) {
      const outcome = await fetch(definition.fetcher, [GLOBAL]);
      for (const warning of outcome.warnings) log(warning);
      const rows = outcome.rows.get(GLOBAL) ?? [];
      await upsertRows(database, definition.table, rows, definition.conflictColumns);
      const message = `Stored ${rows.length} ${rows.length === 1 ? "row" : "rows"}`;
      log(message);
      return { status: 200, body: { message, ...definition.counts(rows.length) } };
    },
  });
}
