import type { SupabaseClient } from "npm:@supabase/supabase-js@2.109.0";
import type { Fetcher, Row } from "./fetchers/contract.ts";
import {
  type LegacyAccess,
  type LegacyAnswer,
  type LegacyCall,
  type LegacyService,
  type LegacySurroundings,
  platform,
  serveLegacy,
} from "./legacy_service.ts";

/** Symbols worked on at once; the pace keeps the vendor calls apart. */
const CONCURRENCY = 4;

/** Rows asked for per page of `supported_symbols`; REST never gives more than its own maximum. */
const SYMBOLS_PER_PAGE = 1000;

/** What became of one symbol; `fetched` and `written` count rows. */
export interface SymbolResult {
  symbol: string;
  success: boolean;
  message: string;
  fetched: number;
  written: number;
}

/** How one of the existing endpoints that work on symbols differs from the others. */
export interface LegacyEndpointDefinition<Payload> extends LegacyService {
  fetcher: Fetcher<Payload>;
  /** Whether a symbol that the vendor has nothing for is a failure or a success without rows. */
  emptyIsFailure: boolean;
  /** Status when some symbols failed. */
  partialStatus: 200 | 207;
  /** Writes the rows of one symbol; throws when that fails. */
  write(database: SupabaseClient, symbol: string, rows: readonly Row[], now: Date): Promise<void>;
  /** The counts in the answer, beside `message` and `details`. */
  totals(results: readonly SymbolResult[]): Record<string, number>;
}

/**
 * An endpoint with the requests and answers of the legacy function of its name.
 *
 * - `OPTIONS` answers 200 with CORS headers; any other method runs.
 * - Callers need the anon or a secret key: else 401.
 * - `{"symbols": [...]}` in the body of a caller with a secret key restricts the run to those, active
 *   or not; 400 when it is not an array of texts. Any other body is ignored, as legacy did.
 * - 200 when all went well, else the definition's status for partial failure; 500 when nothing
 *   could be tried. No message holds a key.
 * - While the queue is on, the status for partial failure and no results when another run is in
 *   progress.
 */
export function createLegacyEndpoint<Payload>(
  definition: LegacyEndpointDefinition<Payload>,
  surroundings: LegacySurroundings = platform(),
): (request: Request) => Promise<Response> {
  return serveLegacy(definition, surroundings, {
    dataType: definition.fetcher.dataType,
    takesSymbols: true,
    nothing: () => ({
      status: definition.partialStatus,
      body: { details: [], ...definition.totals([]) },
    }),
    run: (access, call) => runEndpoint(definition, surroundings, access, call),
  });
}

/** The counts of the endpoints that store one row per symbol. */
export function totalsOfSymbols(results: readonly SymbolResult[]): Record<string, number> {
  return {
    totalProcessed: results.length,
    totalSucceeded: results.filter((result) => result.success).length,
    totalUpserted: sumOf(results, "written"),
  };
}

/** The counts of the endpoints that store many rows per symbol, named for what a row is. */
export function totalsOfRows(
  rows: "Dividends" | "SegmentationRecords" | "Grades" | "Variants",
): (results: readonly SymbolResult[]) => Record<string, number> {
  return (results) => ({
    totalSymbolsProcessed: results.length,
    [`total${rows}Fetched`]: sumOf(results, "fetched"),
    [`total${rows}Upserted`]: sumOf(results, "written"),
  });
}

/** Upserts rows; those with different columns go in separate calls, since REST fills gaps with null. */
export async function upsertRows(
  database: SupabaseClient,
  table: string,
  rows: readonly Row[],
  conflictColumns: string,
): Promise<void> {
  for (const group of Map.groupBy(rows, (row) => Object.keys(row).sort().join()).values()) {
    const { error } = await database.from(table).upsert(group, { onConflict: conflictColumns });
    if (error !== null) throw new Error(`Cannot write ${table}: ${error.message}`);
  }
}

function sumOf(results: readonly SymbolResult[], count: "fetched" | "written"): number {
  return results.reduce((total, result) => total + result[count], 0);
}

async function runEndpoint<Payload>(
  definition: LegacyEndpointDefinition<Payload>,
  surroundings: LegacySurroundings,
  access: LegacyAccess,
  call: LegacyCall,
): Promise<LegacyAnswer> {
  const { log } = access;
  const symbols = call.symbols ?? await activeSymbols(access.database);
  const results = await mapBounded(
    symbols,
    CONCURRENCY,
    (symbol) => refreshSymbol(definition, symbol, access),
  );
  const failed = results.filter((result) => !result.success);
  const message = results.length === 0
    ? "No active symbols to process"
    : `Processed ${results.length} symbols: ${
      results.length - failed.length
    } succeeded, ${failed.length} failed`;
  log(message);
  if (surroundings.env.get("ENV_CONTEXT") === "DEV") {
    for (const { symbol, message } of results) log(`${symbol}: ${message}`);
  }
  return {
    status: failed.length === 0 ? 200 : definition.partialStatus,
    body: {
      message,
      details: results.map(({ symbol, success, message }) => ({ symbol, success, message })),
      ...definition.totals(results),
    },
  };
}

async function refreshSymbol<Payload>(
  definition: LegacyEndpointDefinition<Payload>,
  symbol: string,
  { database, context, fetch, log, describe }: LegacyAccess,
): Promise<SymbolResult> {
  let fetched = 0;
  try {
    const outcome = await fetch(definition.fetcher, [symbol]);
    for (const warning of outcome.warnings) log(warning);
    const rows = outcome.rows.get(symbol) ?? [];
    fetched = rows.length;
    if (rows.length === 0) {
      return {
        symbol,
        success: !definition.emptyIsFailure,
        message: `The vendor has no ${definition.fetcher.dataType} for "${symbol}"`,
        fetched,
        written: 0,
      };
    }
    await definition.write(database, symbol, rows, context.now());
    const warnings = outcome.warnings.length === 0 ? "" : `; ${outcome.warnings.join("; ")}`;
    return {
      symbol,
      success: true,
      message: `Stored ${rows.length} ${rows.length === 1 ? "row" : "rows"}${warnings}`,
      fetched,
      written: rows.length,
    };
  } catch (error) {
    return { symbol, success: false, message: describe(error), fetched, written: 0 };
  }
}

async function activeSymbols(database: SupabaseClient): Promise<string[]> {
  const symbols: string[] = [];
  while (true) {
    const { data, error } = await database.from("supported_symbols").select("symbol")
      .eq("is_active", true).order("symbol")
      .range(symbols.length, symbols.length + SYMBOLS_PER_PAGE - 1);
    if (error !== null) throw new Error(`Cannot read supported_symbols: ${error.message}`);
    // The server may give fewer rows than a page, so only an empty answer is the end.
    if (data.length === 0) return symbols;
    symbols.push(...data.map((row) => String(row.symbol)));
  }
}

async function mapBounded<Item, Result>(
  items: readonly Item[],
  concurrency: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results = new Array<Result>(items.length);
  const queue = items.entries();
  const worker = async () => {
    for (const [index, item] of queue) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, worker));
  return results;
}
