import { createClient, type SupabaseClient } from "npm:@supabase/supabase-js@2.109.0";
import { callerHasAnonKey, callerHasSecretKey } from "./auth.ts";
import { grantedCallsOf } from "./call_grant.ts";
import { createEndpointRuns, type Entry } from "./endpoint_runs.ts";
import { createEndpointUsage, type EndpointUsage } from "./endpoint_usage.ts";
import {
  type Env,
  fetchContextFromEnv,
  legacyPacingMs,
  publicKeys,
  secretKeys,
  supabaseUrl,
} from "./env.ts";
import {
  type FetchContext,
  type Fetcher,
  type FetchOutcome,
  fetchSymbols,
  VendorError,
} from "./fetchers/contract.ts";
import { redact } from "./http.ts";
import { createPace, sleep } from "./pacing.ts";
import { createSharedLedger } from "./shared_ledger.ts";

/** Milliseconds for one call to the database's REST interface. */
const DATABASE_TIMEOUT_MS = 30_000;

/** Characters of a request body that are read: every symbol there is takes an eighth of it. */
const LONGEST_BODY = 1_000_000;

const CORS_HEADERS = {
  "access-control-allow-origin": "*",
  "access-control-allow-headers": "authorization, x-client-info, apikey, content-type",
  "access-control-allow-methods": "GET, POST, OPTIONS",
};

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
  /** Fetches by the path that the queue takes, and books what it cost while the queue is on. */
  fetch<Payload>(fetcher: Fetcher<Payload>, symbols: readonly string[]): Promise<FetchOutcome>;
  /** Logs a line under the name of the function, without keys. */
  log(line: string): void;
  /** The message of a thrown value, without keys. */
  describe(error: unknown): string;
}

/** An answer before it is JSON. */
export interface LegacyAnswer {
  status: number;
  body: Record<string, unknown>;
}

/** Who asks for a run, and for what. */
export interface LegacyCall {
  /** The symbols in the body of a caller with a secret key; undefined when it names none. */
  symbols: readonly string[] | undefined;
}

/** What an endpoint does. */
export interface LegacyWork {
  /** What its vendor calls are booked as. */
  dataType: string;
  /** Whether `{symbols}` in the body of a caller with a secret key restricts it. Default: the body is ignored. */
  takesSymbols?: true;
  /** The answer but for `message` when nothing was done: 207 where the endpoint has a status for "not all". */
  nothing(): LegacyAnswer;
  run(access: LegacyAccess, call: LegacyCall): Promise<LegacyAnswer>;
}

/** What an endpoint takes from its surroundings. */
export interface LegacySurroundings {
  env: Env;
  fetch: typeof fetch;
  now(): Date;
  log(line: string): void;
  /** Keeps the worker alive until the promise settles, also when the caller has hung up. */
  waitUntil(promise: Promise<unknown>): void;
}

declare const EdgeRuntime: { waitUntil(promise: Promise<unknown>): void } | undefined;

/**
 * Answers `OPTIONS`, strangers and failures; keeps the worker alive while the run goes on.
 *
 * While the queue is on, one run goes on at a time over all workers. The queue's own requests are
 * no runs in this sense: they name their symbols or the calls that they were granted.
 */
export function serveLegacy(
  service: LegacyService,
  surroundings: LegacySurroundings,
  work: LegacyWork,
): (request: Request) => Promise<Response> {
  const { env } = surroundings;
  const runs = createEndpointRuns(service.name);
  const failure = (status: number, message: string) =>
    answer(status, {
      message,
      ...(service.failureKey === undefined ? {} : { [service.failureKey]: message }),
    });

  async function serve(request: Request): Promise<LegacyAnswer> {
    const isTrusted = callerHasSecretKey(request, env);
    const grantedCalls = isTrusted ? grantedCallsOf(request) : undefined;
    const run = legacyRun(service, surroundings, work.dataType, grantedCalls);
    // A stranger's body is never read: one that asks for nothing, or never ends, would hold the place of
    // the legacy job, which has no other key.
    const symbols = isTrusted && work.takesSymbols ? await symbolsAskedFor(request) : undefined;
    if (symbols === "malformed") {
      return {
        status: 400,
        body: { message: "Cannot read symbols: wanted an array of non-empty texts" },
      };
    }
    const isOfQueue = grantedCalls !== undefined || symbols !== undefined;
    const { database, log } = run.access;
    const entry: Entry = isOfQueue
      ? { kind: "unknown" }
      : await runs.enter({ database, isTrusted, log });
    if (entry.kind === "refused") {
      const { status, body } = work.nothing();
      return { status, body: { message: `Nothing was done: ${entry.reason}`, ...body } };
    }
    try {
      run.follow(entry);
      const { status, body } = await work.run(run.access, { symbols });
      if (grantedCalls === undefined) return { status, body };
      const { calls, bytes } = run.usage.total;
      return { status, body: { ...body, vendorCalls: Math.min(calls, grantedCalls), bytes } };
    } finally {
      await run.usage.flush();
      if (entry.kind === "started") await entry.leave();
    }
  }

  return async (request) => {
    if (request.method === "OPTIONS") return new Response("ok", { headers: CORS_HEADERS });
    try {
      if (service.callers !== "anyone" && !callerHasAnonKey(request, env)) {
        return failure(401, "Unauthorized: send the project's anon or a secret key");
      }
      const running = serve(request);
      // pg_net hangs up after five seconds, and a worker with nothing pending is ended.
      surroundings.waitUntil(Promise.allSettled([running]));
      const { status, body } = await running;
      return answer(status, body);
    } catch (error) {
      const message = redact(messageOf(error), secretsOf(env));
      surroundings.log(`${service.name}: ${message}`);
      return failure(500, message);
    }
  };
}

/** Access to vendor and database for one run. Throws EnvError when a setting is missing. */
function legacyRun(
  service: LegacyService,
  surroundings: LegacySurroundings,
  dataType: string,
  grantedCalls: number | undefined,
): { access: LegacyAccess; usage: EndpointUsage; follow(entry: Entry): void } {
  const { env } = surroundings;
  const secrets = secretsOf(env);
  const database = serviceClient(surroundings);
  const log = (line: string) => surroundings.log(`${service.name}: ${redact(line, secrets)}`);
  const shared = {
    database,
    provider: service.provider ?? "fmp",
    log,
    ...(grantedCalls === undefined ? {} : { grantedCalls }),
  };
  const ledger = createSharedLedger({
    ...shared,
    pace: createPace(legacyPacingMs(env, service.pacingMs)),
    clock: { now: () => performance.now(), sleep },
  });
  const usage = createEndpointUsage({ ...shared, dataType, isOn: () => ledger.isOn });
  // Each vendor call has its own deadline, and a run goes on when its caller hangs up.
  const context = fetchContextFromEnv(env, new AbortController().signal, {
    fetch: surroundings.fetch,
    now: surroundings.now,
    pace: ledger.pace,
    ...(service.vendorKeyIsOptional ? { apiKey: env.get("FMP_API_KEY") ?? "" } : {}),
  });
  const access: LegacyAccess = {
    context,
    database,
    async fetch(fetcher, symbols) {
      try {
        const outcome = await fetchSymbols(fetcher, symbols, context);
        await usage.add({ calls: outcome.calls, failedCalls: 0, bytes: outcome.bytes });
        return outcome;
      } catch (error) {
        if (error instanceof VendorError) {
          await usage.add({ calls: error.calls, failedCalls: error.calls, bytes: error.bytes });
        }
        throw error;
      }
    },
    log,
    describe: (error) => redact(messageOf(error), secrets),
  };
  return { access, usage, follow: ledger.follow };
}

/** The symbols in the body; undefined when it names none, as with the legacy callers. */
async function symbolsAskedFor(request: Request): Promise<string[] | "malformed" | undefined> {
  const text = await bodyOf(request);
  if (text === undefined) return "malformed";
  const body = parseJson(text);
  if (typeof body !== "object" || body === null || !("symbols" in body)) return undefined;
  const { symbols } = body;
  if (!Array.isArray(symbols)) return "malformed";
  if (!symbols.every((symbol) => typeof symbol === "string" && symbol !== "")) return "malformed";
  return [...new Set<string>(symbols)];
}

/** Undefined when it is too long to be a list of symbols. */
async function bodyOf(request: Request): Promise<string | undefined> {
  let text = "";
  for await (const part of request.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += part;
    if (text.length > LONGEST_BODY) return undefined;
  }
  return text;
}

function serviceClient(surroundings: LegacySurroundings): SupabaseClient {
  const { env, fetch } = surroundings;
  return createClient(supabaseUrl(env), secretKeys(env).own, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: {
      fetch: (input, init) =>
        fetch(input, { ...init, signal: init?.signal ?? AbortSignal.timeout(DATABASE_TIMEOUT_MS) }),
    },
  });
}

/** The surroundings of a deployed function. */
export function platform(): LegacySurroundings {
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
function answer(status: number, body: Record<string, unknown>): Response {
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
