import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { control, controlPrefix } from "./control.ts";
import type { Endpoint, World } from "./endpoints/endpoint.ts";
import { endpoints } from "./endpoints/index.ts";
import { Examples, loadExamples } from "./examples.ts";
import { exchangeRatesPath, exchangeRatesPrefix, latestRates } from "./exchange_rates.ts";
import { applyFault, type Fault, FaultBoard } from "./faults.ts";
import { forexPairs } from "./forex.ts";
import { deliver, listen, readBody } from "./http.ts";
import { type FmpCall, Ledger } from "./ledger.ts";
import { SlidingWindow } from "./limiter.ts";
import { Market } from "./market.ts";
import { uniform } from "./random.ts";
import { errorBodies, missingParameter, type Reply, rowsReply, textReply } from "./replies.ts";
import { buildUniverse } from "./universe.ts";

export type { Fault } from "./faults.ts";
export type { FmpCall } from "./ledger.ts";

/** Settings of a simulator; every one has a default. */
export interface FmpSimulatorOptions {
  /** Port on 127.0.0.1. Default 0: a free one. */
  port?: number;
  /** Securities in the universe. Default 300. */
  symbols?: number;
  /** Calls with a valid key in any 60 seconds. Default null: no limit; 0 refuses every call. */
  callsPerMinute?: number | null;
  /** Send Retry-After (whole seconds) with a 429 of the limiter. Default false. */
  retryAfter?: boolean;
  /** The only key that is accepted. Default "simulator-key". */
  apiKey?: string;
  /**
   * Folder with recorded answers. Default, and when it does not exist: the project's fixtures.
   * A recorded row gives the constant values of its symbol (names, ids, filed statements); prices,
   * volumes and times keep moving.
   */
  examplesDir?: string;
  /**
   * Answers recorded rows as they are, moving values included. The other symbols keep moving;
   * `now` can stop them. Default false.
   */
  frozen?: boolean;
  /** Chooses the invented securities and every walk. Default 1. */
  seed?: number;
  /** Mean wait before an answer in milliseconds, with a quarter of jitter. Default 20; 0: none. */
  latencyMs?: number;
  /** Calls that stay in the ledger. Default 100 000; older ones are only counted. */
  ledgerSize?: number;
  /** The clock of prices, limiter and ledger. Default the system's. Latency is always real time. */
  now?: () => Date;
  /** Stops the simulator. */
  signal?: AbortSignal;
}

/** A running simulator. */
export interface FmpSimulator {
  /** Base of the endpoints with /stable and no slash at the end. */
  url: string;
  /** Base of the control paths: faults, ledger, reset. */
  controlUrl: string;
  /** Where the other provider, who wants no key, gives the exchange rates of the US dollar. */
  exchangeRatesUrl: string;
  apiKey: string;
  port: number;
  /** Folder that the recorded rows came from. */
  examplesDir: string;
  /** Securities with a profile, well-known ones first. */
  symbols: readonly string[];
  /** The newest calls, oldest first; an entry is completed when its answer is over. */
  readonly ledger: readonly FmpCall[];
  /** Calls since the start or the last reset. */
  readonly calls: number;
  /** Calls that came when the limiter's window was full. */
  readonly violations: number;
  /** Puts a fault in force for an endpoint or for all ("*"); null removes it. */
  setFault(endpoint: string, fault: Fault | null): void;
  /** Forgets calls, violations and faults, and empties the limiter's window. */
  reset(): void;
  /** Closes every connection, answered or not. Calling it again changes nothing. */
  stop(): Promise<void>;
}

const ownExamples = fileURLToPath(new URL("../../tests/fixtures/fmp", import.meta.url));
const basePath = "/stable/";

/**
 * Starts a stand-in for the vendor's stable REST interface on 127.0.0.1, and for the provider of
 * exchange rates beside it, whose calls are in the ledger and outside the limiter.
 *
 * A call is judged in this order: method, key (401), rate limit (429), retired path (403), unknown
 * path (404), fault, required parameters (400), rows. Only calls with a valid key take a place in
 * the limiter's window.
 */
export async function startFmpSimulator(options: FmpSimulatorOptions = {}): Promise<FmpSimulator> {
  const {
    port = 0,
    symbols = 300,
    callsPerMinute = null,
    retryAfter = false,
    apiKey = "simulator-key",
    frozen = false,
    seed = 1,
    latencyMs = 20,
    ledgerSize = 100_000,
    now = () => new Date(),
    signal,
  } = options;
  signal?.throwIfAborted();

  const universe = buildUniverse(seed, symbols);
  const examples = await findExamples(options.examplesDir);
  const market = new Market(seed);
  const forex = forexPairs();
  const limiter = new SlidingWindow(callsPerMinute);
  const ledger = new Ledger(ledgerSize);
  const faults = new FaultBoard(new Set([...endpoints.keys(), exchangeRatesPath]));
  const stopping = new AbortController();

  const reset = () => {
    ledger.reset();
    limiter.reset();
    faults.reset();
  };

  /** The answer to a call and how much longer than usual it takes. */
  function decide(request: IncomingMessage, url: URL, call: FmpCall, at: Date): Decision {
    if (request.method !== "GET") return { reply: textReply(405, ""), extraMs: 0 };
    const key = url.searchParams.get("apikey") ?? request.headers.apikey;
    const world: World = { universe, market, forex, examples, frozen, now: at };
    if (url.pathname.startsWith(exchangeRatesPrefix)) {
      const base = url.pathname.slice(exchangeRatesPrefix.length);
      return withFault(call, latestRates(base, key !== undefined, world));
    }
    if (key !== apiKey) return { reply: textReply(401, errorBodies.invalidKey), extraMs: 0 };
    const { admitted, retryAfterMs } = limiter.admit(at.getTime());
    if (!admitted) {
      call.violation = true;
      const headers: Record<string, string> = retryAfter
        ? { "retry-after": String(Math.ceil(retryAfterMs / 1000)) }
        : {};
      return { reply: textReply(429, errorBodies.limitReached, headers), extraMs: 0 };
    }
    if (/^\/api\/v[34]\//.test(url.pathname)) {
      return { reply: textReply(403, errorBodies.legacyEndpoint), extraMs: 0 };
    }
    const endpoint = url.pathname.startsWith(basePath) ? endpoints.get(call.endpoint) : undefined;
    if (!endpoint) return { reply: textReply(404, errorBodies.unknownPath), extraMs: 0 };
    return withFault(call, answer(endpoint, url.searchParams, world));
  }

  function withFault(call: FmpCall, right: Reply): Decision {
    const fault = faults.take(call.endpoint, call.symbols);
    if (!fault) return { reply: right, extraMs: 0 };
    call.fault = fault.kind;
    return {
      reply: applyFault(fault, right),
      extraMs: fault.kind === "slow" ? fault.delayMs : 0,
    };
  }

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const started = performance.now();
    const at = now();
    const url = new URL(request.url ?? "/", "http://127.0.0.1");
    if (url.pathname.startsWith(controlPrefix)) {
      const body = await readBody(request);
      const reply = control(request.method ?? "GET", url, body, {
        faults,
        ledger: { calls: ledger.calls, total: ledger.total },
        violations: limiter.violations,
        reset,
      });
      await deliver(reply, response);
      return;
    }
    const call = ledger.open(at.getTime(), endpointName(url), symbolsOf(url));
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const { reply, extraMs } = decide(request, url, call, at);
    const jitter = 0.75 + 0.5 * uniform(seed, "latency", call.id);
    const waited = await pause(
      latencyMs * jitter + extraMs,
      AbortSignal.any([gone.signal, stopping.signal]),
    );
    if (waited) {
      const sent = await deliver(reply, response);
      call.status = sent.status;
      call.bytes = sent.bytes;
    }
    call.durationMs = performance.now() - started;
  }

  const server = await listen(port, handle);
  const origin = `http://127.0.0.1:${server.port}`;

  let stopped: Promise<void> | null = null;
  const stop = () => {
    stopped ??= (() => {
      signal?.removeEventListener("abort", stop);
      stopping.abort();
      return server.close();
    })();
    return stopped;
  };
  signal?.addEventListener("abort", stop);
  // The signal may have fired while the port was being opened.
  if (signal?.aborted) await stop();
  signal?.throwIfAborted();

  return {
    url: `${origin}/stable`,
    controlUrl: `${origin}/_simulator`,
    exchangeRatesUrl: `${origin}${exchangeRatesPath}`,
    apiKey,
    port: server.port,
    examplesDir: examples.folder,
    symbols: universe.listings.map((listing) => listing.symbol),
    get ledger() {
      return ledger.calls;
    },
    get calls() {
      return ledger.total;
    },
    get violations() {
      return limiter.violations;
    },
    setFault: (endpoint, fault) => faults.set(endpoint, fault),
    reset,
    stop,
  };
}

interface Decision {
  reply: Reply;
  extraMs: number;
}

/** The right answer of an endpoint. An empty required parameter counts as missing. */
function answer(endpoint: Endpoint, query: URLSearchParams, world: World): Reply {
  const missing = endpoint.required.find((name) => !query.get(name));
  if (missing !== undefined) return missingParameter(missing);
  const rows = endpoint.answer(query, world);
  return Array.isArray(rows) ? rowsReply(rows) : rows;
}

function endpointName(url: URL): string {
  const { pathname } = url;
  return pathname.startsWith(basePath) ? pathname.slice(basePath.length) : pathname;
}

function symbolsOf(url: URL): string[] {
  const symbol = url.searchParams.get("symbol");
  if (symbol) return [symbol];
  return (url.searchParams.get("symbols") ?? "").split(",").map((each) => each.trim())
    .filter((each) => each !== "");
}

/** Waits in real time; false when the signal fired first. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<boolean> {
  if (milliseconds <= 0) return !signal.aborted;
  try {
    await wait(milliseconds, undefined, { signal });
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    throw error;
  }
}

async function findExamples(folder: string | undefined): Promise<Examples> {
  for (const candidate of [folder, ownExamples]) {
    if (candidate !== undefined && await isFolder(candidate)) return await loadExamples(candidate);
  }
  return new Examples(ownExamples, new Map());
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
