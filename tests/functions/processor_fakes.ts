/** Stand-ins for time, queue and vendor, so that processor tests wait for nothing real. */
import { setImmediate } from "node:timers";
import { z } from "zod";
import type { Clock } from "../../supabase/functions/_shared/processor/clock.ts";
import type { VendorAccess } from "../../supabase/functions/_shared/processor/run_group.ts";
import {
  type ClaimedJob,
  type Queue,
  QueueError,
  type SettleAnswer,
  type SettleResult,
} from "../../supabase/functions/_shared/queue_client.ts";
import type {
  FetchContext,
  Fetcher,
  JsonValue,
} from "../../supabase/functions/_shared/fetchers/contract.ts";
import type { ProcessorOptions } from "../../supabase/functions/_shared/processor/options.ts";
import { runProcessor } from "../../supabase/functions/_shared/processor/run_processor.ts";

const START = Date.parse("2026-11-24T10:00:00Z");

/** A clock that stands still until nothing else can happen, then jumps to the next sleeper. */
export class VirtualClock implements Clock {
  #now = START;
  #sleepers = new Set<{ at: number; wake: () => void }>();

  now = () => this.#now;

  /** Milliseconds since the clock was made. */
  get elapsed(): number {
    return this.#now - START;
  }

  sleep = (ms: number, signal?: AbortSignal): Promise<void> => {
    if (signal?.aborted) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const sleeper = {
      at: this.#now + ms,
      wake: () => {
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener("abort", sleeper.wake);
        resolve();
      },
    };
    this.#sleepers.add(sleeper);
    signal?.addEventListener("abort", sleeper.wake);
    return promise;
  };

  /** Moves time on until the work is done. Fails when only things outside of time are awaited. */
  async drive<Result>(work: Promise<Result>): Promise<Result> {
    let done = false;
    const finished = work.finally(() => done = true);
    finished.catch(() => {});
    let idleTurns = 0;
    while (true) {
      // Promises and in-memory streams settle within a few turns of the event loop.
      for (let turn = 0; turn < 5 && !done; turn++) {
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
      if (done) return await finished;
      const next = [...this.#sleepers].sort((left, right) => left.at - right.at)[0];
      if (next === undefined) {
        if (++idleTurns > 200) throw new Error("The work waits for something that never happens");
        continue;
      }
      idleTurns = 0;
      this.#now = Math.max(this.#now, next.at);
      next.wake();
    }
  }
}

/** A job for {@linkcode FakeQueue}; the rest is filled in. */
export type JobSeed = Partial<ClaimedJob> & { symbol: string };

interface StoredJob extends ClaimedJob {
  status: "pending" | "processing" | "completed" | "failed";
  leaseEndsAt: number;
  releases: number;
  error: SettleResult["error"];
  progress: JsonValue | null;
}

/** An in-memory queue with leases, which records every round trip. */
export class FakeQueue implements Queue {
  readonly jobs: StoredJob[] = [];
  readonly claims: { asked: number; given: number; at: number }[] = [];
  readonly settles: { results: SettleResult[]; at: number }[] = [];
  readonly heartbeats: number[] = [];
  readonly starts: { runId: string; manual: boolean }[] = [];
  readonly reports: unknown[] = [];
  /** Seconds of the extensions asked for. */
  readonly extensions: number[] = [];
  /** Answers of `nextClaimIn`, in turn; null after the last one. */
  readonly nextClaims: number[] = [];
  /** Runs before a claim takes anything. */
  onClaim: () => void | Promise<void> = () => {};
  /** Runs before a settle changes anything; what it throws is the answer. */
  onSettle: (results: readonly SettleResult[]) => void | Promise<void> = () => {};
  onFinish: () => void = () => {};
  startAnswer = { started: true, reason: null as string | null };

  constructor(private readonly clock: Clock, seeds: readonly JobSeed[] = []) {
    for (const seed of seeds) this.add(seed);
  }

  add(seed: JobSeed): StoredJob {
    const job: StoredJob = {
      id: this.jobs.length + 1,
      data_type: "quote",
      priority: 9000,
      attempts: 0,
      max_attempts: 3,
      lease_token: "",
      lease_expires_at: "",
      batch_size: 1,
      api_calls_per_batch: 20,
      fetcher: "quote",
      edge_function_name: null,
      ...seed,
      status: "pending",
      leaseEndsAt: 0,
      releases: 0,
      error: null,
      progress: null,
    };
    this.jobs.push(job);
    return job;
  }

  count(status: StoredJob["status"]): number {
    return this.jobs.filter((job) => job.status === status).length;
  }

  startRun(runId: string, manual: boolean) {
    this.starts.push({ runId, manual });
    return Promise.resolve(this.startAnswer);
  }

  heartbeat() {
    this.heartbeats.push(this.clock.now());
    return Promise.resolve(true);
  }

  async claim(claim: { batchSize: number; leaseSeconds: number }): Promise<ClaimedJob[]> {
    await this.onClaim();
    const token = crypto.randomUUID();
    const taken = this.jobs.filter((job) => job.status === "pending").slice(0, claim.batchSize);
    for (const job of taken) {
      job.status = "processing";
      job.lease_token = token;
      job.leaseEndsAt = this.clock.now() + claim.leaseSeconds * 1000;
      job.lease_expires_at = new Date(job.leaseEndsAt).toISOString();
    }
    this.claims.push({ asked: claim.batchSize, given: taken.length, at: this.clock.now() });
    return taken.map((job) => ({ ...job }));
  }

  extendLease(leaseToken: string, leaseSeconds: number): Promise<number> {
    const held = this.jobs.filter((job) =>
      job.status === "processing" && job.lease_token === leaseToken
    );
    for (const job of held) job.leaseEndsAt = this.clock.now() + leaseSeconds * 1000;
    this.extensions.push(leaseSeconds);
    return Promise.resolve(held.length);
  }

  progressOf(job: Pick<ClaimedJob, "id" | "lease_token">): Promise<JsonValue | null> {
    const found = this.jobs.find(({ id }) => id === job.id);
    return Promise.resolve(found?.lease_token === job.lease_token ? found.progress : null);
  }

  nextClaimIn(): Promise<number | null> {
    return Promise.resolve(this.nextClaims.shift() ?? null);
  }

  async settle(results: readonly SettleResult[]) {
    this.settles.push({ results: [...results], at: this.clock.now() });
    await this.onSettle(results);
    return { answers: results.map((result) => this.#settleOne(result)), tries: 1 };
  }

  finishRun(_runId: string, report: unknown) {
    this.onFinish();
    this.reports.push(report);
    return Promise.resolve(true);
  }

  #settleOne(result: SettleResult): SettleAnswer {
    const job = this.jobs.find(({ id }) => id === result.job_id);
    const answer = (outcome: SettleAnswer["outcome"], rows_written = 0): SettleAnswer => ({
      job_id: result.job_id,
      outcome,
      rows_written,
      detail: result.error?.message ?? null,
    });
    const held = job?.status === "processing" && job.lease_token === result.lease_token &&
      job.leaseEndsAt > this.clock.now();
    if (job === undefined || !held) return answer("lease_lost");
    job.error = result.error;
    if (result.outcome === "completed" || result.outcome === "empty") {
      job.status = "completed";
      return answer(result.outcome, result.rows.length);
    }
    if (result.outcome === "progress") {
      job.progress = result.progress?.cursor ?? null;
      job.leaseEndsAt = this.clock.now() + (result.progress?.lease_seconds ?? 120) * 1000;
      return answer("progress", result.rows.length);
    }
    job.status = "pending";
    if (result.outcome === "released") {
      job.releases += 1;
      return answer("released");
    }
    if (result.error?.class === "permanent" || result.error?.class === "retryable") {
      job.attempts += 1;
      const isLast = result.error.class === "permanent" || job.attempts >= job.max_attempts;
      if (isLast) job.status = "failed";
      return answer(isLast ? "failed" : "rescheduled");
    }
    job.releases += 1;
    return answer("released");
  }
}

export interface FakeFetcherOptions {
  dataType?: string;
  maxSymbolsPerCall?: number;
  callsPerBatch?: number;
  /** What a call does besides answering; what it throws is the failure. */
  onCall?: (symbols: readonly string[], context: FetchContext) => void | Promise<void>;
}

/** A fetcher that answers one row per symbol, none for symbols that begin with `NONE`. */
export function fakeFetcher(
  options: FakeFetcherOptions = {},
): Fetcher & { calls: (readonly string[])[]; mostAtOnce: number } {
  let atOnce = 0;
  const fetcher = {
    dataType: options.dataType ?? "quote",
    maxSymbolsPerCall: options.maxSymbolsPerCall ?? 1,
    callsPerBatch: options.callsPerBatch ?? 1,
    schema: z.array(z.string()),
    calls: [] as (readonly string[])[],
    mostAtOnce: 0,
    async request(symbols: readonly string[], context: FetchContext) {
      fetcher.calls.push(symbols);
      atOnce += 1;
      fetcher.mostAtOnce = Math.max(fetcher.mostAtOnce, atOnce);
      try {
        await options.onCall?.(symbols, context);
      } finally {
        atOnce -= 1;
      }
      return {
        payload: symbols.filter((symbol) => !symbol.startsWith("NONE")),
        calls: fetcher.callsPerBatch,
        bytes: 100,
      };
    },
    toRows(payload: unknown) {
      const symbols = payload as string[];
      return {
        rows: new Map(symbols.map((symbol) => [symbol, [{ symbol, price: 1 }]])),
        warnings: [],
      };
    },
  };
  return fetcher;
}

/** Access to a vendor that nobody calls: fake fetchers answer by themselves. */
export function vendorAccess(clock: Clock, changes: Partial<VendorAccess> = {}): VendorAccess {
  return {
    fetch: () => Promise.reject(new TypeError("no vendor in this test")),
    baseUrl: "http://vendor.invalid/stable",
    apiKey: "vendor-key-of-the-tests",
    timeoutMs: 10_000,
    now: () => new Date(clock.now()),
    ...changes,
  };
}

/** Seeds for `count` jobs with symbols `S1`, `S2`, … */
export function seeds(count: number, changes: Partial<ClaimedJob> = {}): JobSeed[] {
  return Array.from({ length: count }, (_, index) => ({ symbol: `S${index + 1}`, ...changes }));
}

/** The queue's REST functions over a fake queue; `intercept` may answer in its place. */
export function restStub(
  queue: FakeQueue,
  intercept: (name: string, request: Request) => Response | undefined = () => undefined,
): typeof fetch & { requests: { name: string; headers: Headers }[] } {
  const requests: { name: string; headers: Headers }[] = [];
  const answer = async (request: Request): Promise<Response> => {
    const name = new URL(request.url).pathname.replace("/rest/v1/rpc/", "");
    requests.push({ name, headers: request.headers });
    const body = await request.clone().json();
    const intercepted = intercept(name, request);
    if (intercepted !== undefined) return intercepted;
    switch (name) {
      case "start_processor_run_v2":
        return Response.json(await queue.startRun(body.p_run_id, body.p_manual));
      case "heartbeat_processor_run_v2":
        return Response.json(await queue.heartbeat());
      case "get_queue_batch_v2":
        return Response.json(
          await queue.claim({ batchSize: body.p_batch_size, leaseSeconds: body.p_lease_seconds }),
        );
      case "extend_leases_v2":
        return Response.json(await queue.extendLease(body.p_lease_token, body.p_lease_seconds));
      case "job_progress_v2":
        return Response.json(
          await queue.progressOf({ id: body.p_job_id, lease_token: body.p_lease_token }),
        );
      case "next_claim_in_v2":
        return Response.json(await queue.nextClaimIn());
      case "settle_queue_batch_v2":
        return Response.json((await queue.settle(body.p_results)).answers);
      case "finish_processor_run_v2":
        return Response.json(await queue.finishRun(body.p_run_id, body.p_report));
      default:
        return Response.json({ message: `no function ${name}`, code: "PGRST202" }, { status: 404 });
    }
  };
  return Object.assign(
    (input: RequestInfo | URL, init?: RequestInit) => answer(new Request(input, init)),
    { requests },
  );
}

/** Runs the processor on the virtual clock to its end. */
export function run(
  clock: VirtualClock,
  queue: ProcessorOptions["queue"],
  fetchers: Record<string, Fetcher>,
  options: Partial<ProcessorOptions> = {},
) {
  return clock.drive(runProcessor({
    queue,
    fetchers,
    context: vendorAccess(clock),
    runId: crypto.randomUUID(),
    clock,
    ...options,
  }));
}

/** What the queue's client throws while the database cannot be reached. */
export const queueDown = () =>
  new QueueError("Cannot settle jobs: the connection failed (network)", {
    action: "settle jobs",
    code: "network",
    transient: true,
  });
