import { createClient, type SupabaseClient } from "npm:@supabase/supabase-js@2.109.0";
import { callerHasAnonKey, callerHasSecretKey } from "./auth.ts";
import {
  type Env,
  fetchContextFromEnv,
  legacyPacingMs,
  publicKeys,
  secretKeys,
  supabaseUrl,
} from "./env.ts";
import { type FetchContext, type Fetcher, fetchSymbols, type Row } from "./fetchers/contract.ts";
import { redact } from "./http.ts";
import { createPace, sleep } from "./pacing.ts";
import { createSharedLedgerPace } from "./shared_ledger.ts";

/** Symbols worked on at once; the pace keeps the vendor calls apart. */
const CONCURRENCY = 4;

/** Rows asked for per page of `supported_symbols`; REST never gives more than its own maximum. */
const SYMBOLS_PER_PAGE = 1000;

/** Milliseconds for one call to the database's REST interface. */
const DATABASE_TIMEOUT_MS = 30_000;

const CORS_HEADERS = {
  "access-control-allow-origin": "*",
  "access-control-allow-headers": "authorization, x-client-info, apikey, content-type",
  "access-control-allow-methods": "GET, POST, OPTIONS",
};

/** What became of one symbol; `fetched` and `written` count rows. */
export interface SymbolResult {
  symbol: string;
  success: boolean;
  message: string;
  fetched: number;
  written: number;
}

/** What the existing endpoints have in common, whatever they work on. */
export interface LegacyService {
  /** Name of the function, for the log. */
  name: string;
  /** Milliseconds between vendor calls unless `FMP_LEGACY_PACING_MS` says otherwise. */
  pacingMs: number;
  /** Who may call; default: who carries the anon or a secret key. */
  callers?: "with-key" | "anyone";
  /** Further key of failing answers that holds the message. */
  failureKey?: "error";
  /** Whose limit its calls count against while the queue is on. Default `fmp`. */
  provider?: string;
  /** Whether the endpoint can do without the vendor's key. Default false. */
  vendorKeyIsOptional?: boolean;
}

/** What a run works with. */
export interface LegacyAccess {
  context: FetchContext;
  database: SupabaseClient;
  /** Logs a line under the name of the function, without keys. */
  log(line: string): void;
  /** The message of a thrown value, without keys. */
  describe(error: unknown): string;
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

/** What an endpoint takes from its surroundings. */
export interface LegacyEndpointSurroundings {
  env: Env;
  fetch: typeof fetch;
  now(): Date;
  log(line: string): void;
  /** Keeps the worker alive until the promise settles, also when the caller has hung up. */
  waitUntil(promise: Promise<unknown>): void;
}

declare const EdgeRuntime: { waitUntil(promise: Promise<unknown>): void } | undefined;

/**
 * An endpoint with the requests and answers of the legacy function of its name.
 *
 * - `OPTIONS` answers 200 with CORS headers; any other method runs.
 * - Callers need the anon or a secret key: else 401.
 * - `{"symbols": [...]}` in the body restricts the run to those of the active symbols; with a
 *   secret key to exactly those, active or not. 400 when it is not an array of texts. Any other
 *   body is ignored.
 * - 200 when all went well, else the definition's status for partial failure; 500 when nothing
 *   could be tried. No message holds a key.
 */
export function createLegacyEndpoint<Payload>(
  definition: LegacyEndpointDefinition<Payload>,
  surroundings: LegacyEndpointSurroundings = platform(),
): (request: Request) => Promise<Response> {
  return serveLegacy(definition, surroundings, async (request) => {
    const asked = await symbolsAskedFor(request);
    if (asked === "malformed") {
      return answer(400, { message: "Cannot read symbols: wanted an array of non-empty texts" });
    }
    const trusted = callerHasSecretKey(request, surroundings.env);
    return await runEndpoint(definition, surroundings, asked, trusted);
  });
}

/** Answers `OPTIONS`, strangers and failures; keeps the worker alive while the run goes on. */
export function serveLegacy(
  service: LegacyService,
  surroundings: LegacyEndpointSurroundings,
  run: (request: Request) => Promise<Response>,
): (request: Request) => Promise<Response> {
  const failure = (status: number, message: string) =>
    answer(status, {
      message,
      ...(service.failureKey === undefined ? {} : { [service.failureKey]: message }),
    });
  return async (request) => {
    if (request.method === "OPTIONS") return new Response("ok", { headers: CORS_HEADERS });
    const { env } = surroundings;
    try {
      if (service.callers !== "anyone" && !callerHasAnonKey(request, env)) {
        return failure(401, "Unauthorized: send the project's anon or a secret key");
      }
      const running = run(request);
      // pg_net hangs up after five seconds, and a worker with nothing pending is ended.
      surroundings.waitUntil(Promise.allSettled([running]));
      return await running;
    } catch (error) {
      const message = redact(messageOf(error), secretsOf(env));
      surroundings.log(`${service.name}: ${message}`);
      return failure(500, message);
    }
  };
}

/** Access to vendor and database for one run. Throws EnvError when a setting is missing. */
export function legacyAccess(
  service: LegacyService,
  surroundings: LegacyEndpointSurroundings,
): LegacyAccess {
  const { env } = surroundings;
  const secrets = secretsOf(env);
  const database = serviceClient(surroundings);
  const log = (line: string) => surroundings.log(`${service.name}: ${redact(line, secrets)}`);
  return {
    // Each vendor call has its own deadline, and a run goes on when its caller hangs up.
    context: fetchContextFromEnv(env, new AbortController().signal, {
      fetch: surroundings.fetch,
      now: surroundings.now,
      pace: createSharedLedgerPace({
        database,
        provider: service.provider ?? "fmp",
        pace: createPace(legacyPacingMs(env, service.pacingMs)),
        log,
        clock: { now: () => performance.now(), sleep },
      }),
      ...(service.vendorKeyIsOptional ? { apiKey: env.get("FMP_API_KEY") ?? "" } : {}),
    }),
    database,
    log,
    describe: (error) => redact(messageOf(error), secrets),
  };
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
  surroundings: LegacyEndpointSurroundings,
  asked: readonly string[] | undefined,
  trusted: boolean,
): Promise<Response> {
  const access = legacyAccess(definition, surroundings);
  const { log } = access;
  const { symbols, refused } = await symbolsToRun(access.database, asked, trusted);
  const worked = await mapBounded(
    symbols,
    CONCURRENCY,
    (symbol) => refreshSymbol(definition, symbol, access),
  );
  const results = [...worked, ...refused];
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
  return answer(failed.length === 0 ? 200 : definition.partialStatus, {
    message,
    details: results.map(({ symbol, success, message }) => ({ symbol, success, message })),
    ...definition.totals(results),
  });
}

async function refreshSymbol<Payload>(
  definition: LegacyEndpointDefinition<Payload>,
  symbol: string,
  { database, context, log, describe }: LegacyAccess,
): Promise<SymbolResult> {
  let fetched = 0;
  try {
    const outcome = await fetchSymbols(definition.fetcher, [symbol], context);
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

async function symbolsToRun(
  database: SupabaseClient,
  asked: readonly string[] | undefined,
  trusted: boolean,
): Promise<{ symbols: readonly string[]; refused: SymbolResult[] }> {
  if (asked !== undefined && trusted) return { symbols: asked, refused: [] };
  const active = await activeSymbols(database);
  if (asked === undefined) return { symbols: active, refused: [] };
  const known = new Set(active);
  return {
    symbols: asked.filter((symbol) => known.has(symbol)),
    refused: asked.filter((symbol) => !known.has(symbol)).map((symbol) => ({
      symbol,
      success: false,
      message: "Not an active row of supported_symbols",
      fetched: 0,
      written: 0,
    })),
  };
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

/** The symbols in the body; undefined when it names none, as with the legacy callers. */
async function symbolsAskedFor(request: Request): Promise<string[] | "malformed" | undefined> {
  const body = parseJson(await request.text());
  if (typeof body !== "object" || body === null || !("symbols" in body)) return undefined;
  const { symbols } = body;
  if (!Array.isArray(symbols)) return "malformed";
  if (!symbols.every((symbol) => typeof symbol === "string" && symbol !== "")) return "malformed";
  return [...new Set<string>(symbols)];
}

function serviceClient(surroundings: LegacyEndpointSurroundings): SupabaseClient {
  const { env, fetch } = surroundings;
  return createClient(supabaseUrl(env), secretKeys(env).own, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: {
      fetch: (input, init) =>
        fetch(input, { ...init, signal: init?.signal ?? AbortSignal.timeout(DATABASE_TIMEOUT_MS) }),
    },
  });
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

/** The surroundings of a deployed function. */
export function platform(): LegacyEndpointSurroundings {
  return {
    env: Deno.env,
    fetch: globalThis.fetch,
    now: () => new Date(),
    log: (line) => console.info(line),
    waitUntil: (promise) => {
      if (typeof EdgeRuntime !== "undefined") EdgeRuntime.waitUntil(promise);
    },
  };
}

/** Every key of the environment, for taking them out of messages; unreadable settings hold none. */
function secretsOf(env: Env): string[] {
  const keysOf = (read: (env: Env) => { accepted: string[] }) => {
    try {
      return read(env).accepted;
    } catch (error) {
      if (error instanceof Error && error.name === "EnvError") return [];
      throw error;
    }
  };
  return [env.get("FMP_API_KEY") ?? "", ...keysOf(secretKeys), ...keysOf(publicKeys)];
}

/** A JSON answer with the CORS headers of the legacy functions. */
export function answer(status: number, body: Record<string, unknown>): Response {
  return Response.json(body, { status, headers: CORS_HEADERS });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Undefined for anything that is not JSON: legacy callers send empty bodies. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
