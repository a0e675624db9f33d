import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import { z } from "zod";
import { control, controlPrefix, type SimulatorState } from "./control.ts";
import type { World } from "./endpoints/endpoint.ts";
import { endpoints } from "./endpoints/index.ts";
import { findExamples } from "./examples.ts";
import { exchangeRatesPath } from "./exchange_rates.ts";
import { FaultBoard, type FaultSetting } from "./fault_board.ts";
import { forexPairs } from "./forex.ts";
import { deliver, listen, readBody } from "./http.ts";
import { basePath, judge, type Rules } from "./judge.ts";
import { imagesPath, sendImage } from "./images.ts";
import { latencySchema, waitOf } from "./latency.ts";
import { type FmpCall, Ledger } from "./ledger.ts";
import { SlidingWindow } from "./limiter.ts";
import { Market } from "./market.ts";
import { checkOption, type FmpSimulatorOptions } from "./options.ts";
import { type Plan, planSchema } from "./plans.ts";
import { DataQuota } from "./quota.ts";
import { errorBodies, textReply } from "./replies.ts";
import { type SymbolKind, symbolsByKind } from "./symbol_kinds.ts";
import { buildUniverse } from "./universe.ts";

export type { FaultSetting } from "./fault_board.ts";
export type { Fault } from "./fault_kinds.ts";
export type { Latency } from "./latency.ts";
export type { FmpCall, Refusal } from "./ledger.ts";
export type { FmpSimulatorOptions } from "./options.ts";
export type { Plan } from "./plans.ts";
export type { SymbolKind } from "./symbol_kinds.ts";

const dayMs = 86_400_000;

/** A running simulator. */
export interface FmpSimulator {
  /** Base of the endpoints with /stable and no slash at the end. */
  url: string;
  /** Base of the control paths; see `control`. */
  controlUrl: string;
  /** Where the other provider, who wants no key, gives the exchange rates of the US dollar. */
  exchangeRatesUrl: string;
  /** What stands for the vendor's image host; its calls are no calls of the interface. */
  imagesUrl: string;
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
  /** Calls that came when the window of calls per minute was full. */
  readonly violations: number;
  /** Bytes booked in the window of the data allowance. */
  readonly dataBytes: number;
  /** Symbols of each kind, "index" and "unknown" ones beyond `symbols` included. */
  symbolsOf(kind: SymbolKind): readonly string[];
  /**
   * Puts a fault in force for an endpoint or for all ("*"), or several, of which the first that
   * matches a call answers it; null removes them.
   */
  setFault(endpoint: string, fault: FaultSetting | null): void;
  /** Changes the plan; null answers everything. */
  setPlan(plan: Plan | null): void;
  /** Changes the data allowance in bytes; null takes it away. */
  setDataAllowance(bytes: number | null): void;
  /**
   * Forgets calls, violations, faults and bytes, empties the windows, and brings back the plan and
   * the allowance of the start.
   */
  reset(): void;
  /** Closes every connection, answered or not. Calling it again changes nothing. */
  stop(): Promise<void>;
}

/**
 * Starts a stand-in for the vendor's stable REST interface on 127.0.0.1, and for the provider of
 * exchange rates beside it, whose calls are in the ledger and outside every limit. `judge` tells in
 * which order a call is judged. Throws on options that make no sense.
 */
export async function startFmpSimulator(options: FmpSimulatorOptions = {}): Promise<FmpSimulator> {
  const {
    port = 0,
    symbols = 300,
    dormantShare = 0,
    callsPerMinute = null,
    callsPerDay = null,
    retryAfter = false,
    dataAllowanceBytes = null,
    dataQuotaAnswer = { status: 429, body: errorBodies.limitReached },
    plan = null,
    apiKey = "simulator-key",
    frozen = false,
    seed = 1,
    latencyMs = 20,
    latency = { shape: "uniform", minMs: latencyMs * 0.75, maxMs: latencyMs * 1.25 },
    ledgerSize = 100_000,
    now = () => new Date(),
    signal,
  } = options;
  signal?.throwIfAborted();

  const waits = checkOption("latency", latencySchema, latency);
  const universe = buildUniverse(seed, symbols, dormantShare);
  const examples = await findExamples(options.examplesDir);
  const market = new Market(seed);
  const forex = forexPairs();
  const ledger = new Ledger(ledgerSize);
  const { body } = dataQuotaAnswer;
  const status = checkOption(
    "dataQuotaAnswer.status",
    z.int().min(200).max(599),
    dataQuotaAnswer.status,
  );
  const rules: Rules = {
    apiKey,
    perMinute: new SlidingWindow(callsPerMinute),
    perDay: new SlidingWindow(callsPerDay, dayMs),
    retryAfterAs: retryAfter === true ? "seconds" : retryAfter === false ? null : retryAfter,
    data: new DataQuota(dataAllowanceBytes),
    dataQuotaAnswer: textReply(status, typeof body === "string" ? body : JSON.stringify(body)),
    plan: checkOption("plan", planSchema, plan),
    faults: new FaultBoard(new Set([...endpoints.keys(), exchangeRatesPath]), seed),
    seed,
  };
  const stopping = new AbortController();

  const setPlan = (wanted: Plan | null) => {
    rules.plan = checkOption("plan", planSchema, wanted);
  };
  const setDataAllowance = (bytes: number | null) => rules.data.allow(bytes);
  const reset = () => {
    ledger.reset();
    rules.perMinute.reset();
    rules.perDay.reset();
    rules.data.reset();
    rules.faults.reset();
    setPlan(plan);
    setDataAllowance(dataAllowanceBytes);
  };
  const state = (): SimulatorState => ({
    calls: ledger.total,
    violations: rules.perMinute.violations,
    plan: rules.plan,
    data: {
      usedBytes: rules.data.usedBytes(now().getTime()),
      allowanceBytes: rules.data.allowanceBytes,
    },
  });
  const byKind = () => symbolsByKind(universe, seed, now());

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const started = performance.now();
    const at = now();
    const url = new URL(request.url ?? "/", "http://127.0.0.1");
    if (url.pathname.startsWith(controlPrefix)) {
      const reply = control(request.method ?? "GET", url, await readBody(request), {
        faults: rules.faults,
        ledger,
        state,
        symbols: byKind,
        setPlan,
        setDataAllowance,
        reset,
      });
      await deliver(reply, response);
      return;
    }
    if (url.pathname.startsWith(`${imagesPath}/`)) {
      sendImage(url.pathname.slice(imagesPath.length), universe, response);
      return;
    }
    const call = ledger.open(at.getTime(), endpointName(url), symbolsOf(url));
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const { headers: { apikey }, method = "GET" } = request;
    const headerKey = typeof apikey === "string" ? apikey : undefined;
    const world: World = { universe, market, forex, examples, frozen, now: at };
    const { reply, extraMs } = judge({ method, url, headerKey }, call, world, rules);
    const waited = await pause(
      waitOf(waits, seed, "latency", call.id) + extraMs,
      AbortSignal.any([gone.signal, stopping.signal]),
    );
    if (waited) {
      const sent = await deliver(reply, response);
      call.status = sent.status;
      call.bytes = sent.bytes;
      if (isVendors(url) && call.refusal === null) rules.data.book(call.time, sent.bytes);
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
    imagesUrl: `${origin}${imagesPath}`,
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
      return rules.perMinute.violations;
    },
    get dataBytes() {
      return state().data.usedBytes;
    },
    symbolsOf: (kind) => byKind()[kind],
    setFault: (endpoint, fault) => rules.faults.set(endpoint, fault),
    setPlan,
    setDataAllowance,
    reset,
    stop,
  };
}

/** Whether a path is the vendor's, not the other provider's. */
function isVendors(url: URL): boolean {
  return url.pathname.startsWith(basePath);
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
