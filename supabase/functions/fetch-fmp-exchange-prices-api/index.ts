import { exchangeQuotesFetcher } from "../_shared/fetchers/exchange_quotes.ts";
import { upsertRows } from "../_shared/legacy_endpoint.ts";
import {
  type LegacyAccess,
  type LegacyService,
  type LegacySurroundings,
  platform,
  serveLegacy,
} from "../_shared/legacy_service.ts";

const EXCHANGES = ["NYSE", "NASDAQ"];

const ROWS_PER_WRITE = 500;

const service: LegacyService = {
  name: "fetch-fmp-exchange-prices-api",
  pacingMs: 0,
  callers: "anyone",
};

interface ExchangeResult {
  exchange: string;
  success: boolean;
  message: string;
  /** Rows written. */
  recordsProcessed: number;
}

/**
 * Refreshes `live_quote_indicators` for every symbol of two exchanges, one after the other: 200, 207
 * when an exchange failed, 500 when nothing could be tried. Anyone may call it.
 */
export function createExchangePricesEndpoint(
  surroundings: LegacySurroundings = platform(),
): (request: Request) => Promise<Response> {
  return serveLegacy(service, surroundings, {
    dataType: "quote",
    nothing: () => ({
      status: 207,
      body: { details: [], totalProcessed: 0, totalSucceeded: 0 },
    }),
    async run(access) {
      const details: ExchangeResult[] = [];
      for (const exchange of EXCHANGES) details.push(await refreshExchange(exchange, access));
      const succeeded = details.filter(({ success }) => success).length;
      const failed = details.length - succeeded;
      const message =
        `Processed ${details.length} exchanges: ${succeeded} succeeded, ${failed} failed`;
      access.log(message);
      return {
        status: failed === 0 ? 200 : 207,
        body: { message, details, totalProcessed: details.length, totalSucceeded: succeeded },
      };
    },
  });
}

async function refreshExchange(exchange: string, access: LegacyAccess): Promise<ExchangeResult> {
  const { fetch, database, log, describe } = access;
  let recordsProcessed = 0;
  try {
    const outcome = await fetch(exchangeQuotesFetcher, [exchange]);
    for (const warning of outcome.warnings) log(warning);
    const rows = outcome.rows.get(exchange) ?? [];
    if (rows.length === 0) {
      const message = `The vendor has no quotes of "${exchange}"`;
      return { exchange, success: false, message, recordsProcessed };
    }
    for (let start = 0; start < rows.length; start += ROWS_PER_WRITE) {
      const part = rows.slice(start, start + ROWS_PER_WRITE);
      await upsertRows(database, "live_quote_indicators", part, "symbol");
      recordsProcessed += part.length;
    }
    const warnings = outcome.warnings.length === 0 ? "" : `; ${outcome.warnings.join("; ")}`;
    const message = `Stored ${rows.length} ${rows.length === 1 ? "row" : "rows"}${warnings}`;
    return { exchange, success: true, message, recordsProcessed };
  } catch (error) {
    return { exchange, success: false, message: describe(error), recordsProcessed };
  }
}

export default { fetch: createExchangePricesEndpoint() };
