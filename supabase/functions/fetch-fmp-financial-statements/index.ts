import { statementsLimit } from "../_shared/env.ts";
import {
  createFinancialStatementsFetcher,
  type StatementsPayload,
} from "../_shared/fetchers/financial_statements.ts";
import {
  createLegacyEndpoint,
  type LegacyEndpointDefinition,
  upsertRows,
} from "../_shared/legacy_endpoint.ts";

/**
 * Refreshes `financial_statements` for the active symbols, and notes the time of that in
 * `supported_symbols`. One failed call of the three does not keep the other two from being stored.
 */
export const statementsEndpoint: LegacyEndpointDefinition<StatementsPayload> = {
  name: "fetch-fmp-financial-statements",
  fetcher: createFinancialStatementsFetcher({
    limit: () => statementsLimit(Deno.env),
    onFailedStatement: "skip",
  }),
  pacingMs: 300,
  emptyIsFailure: false,
  partialStatus: 200,
  async write(database, symbol, rows, now) {
    await upsertRows(database, "financial_statements", rows, "symbol,date,period");
    const { error } = await database.from("supported_symbols")
      .update({ last_processed_at: now.toISOString() }).eq("symbol", symbol);
    if (error !== null) {
      throw new Error(
        `Cannot note the refresh of "${symbol}" in supported_symbols: ${error.message}`,
      );
    }
  },
  totals: (results) => ({
    totalUpserted: results.reduce((total, result) => total + result.written, 0),
  }),
};

export default { fetch: createLegacyEndpoint(statementsEndpoint) };
