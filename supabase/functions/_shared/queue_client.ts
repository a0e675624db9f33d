import { createClient } from "npm:@supabase/supabase-js@2.109.0";
import { z } from "npm:zod@4.6.7";
import type { ErrorClass, JsonValue, Row } from "./fetchers/contract.ts";
import { redact } from "./http.ts";
import { type Clock, systemClock, withDeadline } from "./processor/clock.ts";

/** Milliseconds for one round trip to the database. */
const DEFAULT_CALL_TIMEOUT_MS = 10_000;

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

/** Ids are far below 2^53, but some gateways send bigint as text. */
const jobId = z.coerce.number().int().positive();

const claimedJobSchema = z.object({
  id: jobId,
  symbol: z.string().min(1),
  data_type: z.string().min(1),
  priority: z.number().int(),
  attempts: z.number().int().nonnegative(),
  max_attempts: z.number().int().positive(),
  lease_token: z.string().min(1),
  lease_expires_at: z.string().min(1),
  batch_size: z.number().int().positive(),
  api_calls_per_batch: z.number().int().positive(),
  fetcher: z.string().min(1),
  edge_function_name: z.string().nullable(),
});

const settleAnswerSchema = z.object({
  job_id: z.union([z.null(), jobId]),
  outcome: z.enum([
    "completed",
    "empty",
    "rescheduled",
    "released",
    "failed",
    "progress",
    "lease_lost",
    "malformed",
  ]),
  rows_written: z.number().int().nonnegative().nullable().transform((count) => count ?? 0),
  detail: z.string().nullable(),
});

const runStartSchema = z.object({
  started: z.boolean(),
  reason: z.string().nullish().transform((reason) => reason ?? null),
});

/** A row of `get_queue_batch_v2`. */
export type ClaimedJob = z.infer<typeof claimedJobSchema>;

/** A row of `settle_queue_batch_v2`; `job_id` is null where the result named none. */
export type SettleAnswer = z.infer<typeof settleAnswerSchema>;

/** Why an attempt failed. */
export interface JobError {
  class: ErrorClass;
  code: string;
  message: string;
  /** Whole seconds that the vendor asks us to wait; null when it does not say. */
  retry_after_seconds: number | null;
}

/** What became of one claimed job. */
export interface SettleResult {
  job_id: number;
  lease_token: string;
  /** `progress`: a part of the rows; the job goes on under its lease. */
  outcome: "completed" | "empty" | "failed" | "released" | "progress";
  rows: Row[];
  /** Bytes and vendor calls; those of a shared call are on one of its jobs, 0 on the others. */
  bytes: number;
  calls: number;
  duration_ms: number;
  error: JobError | null;
  /**
   * With `progress`: a UUID of this settle, so that a second try books and writes nothing again, where
   * the next part begins, and seconds that the lease lasts from now. With `completed`: earlier parts
   * had rows.
   */
  progress?: { settle_id?: string; cursor?: JsonValue; lease_seconds?: number };
}

/** How long a call may go on. */
export interface CallLimits {
  /** Epoch milliseconds of the client's clock after which no try begins and none goes on. */
  until: number;
  /** Ends the call; it then fails with code `aborted`. */
  signal?: AbortSignal;
}

/** The queue's functions. Every method throws {@linkcode QueueError}. */
export interface Queue {
  /** Registers a run; not started when the queue is switched off. */
  startRun(
    runId: string,
    manual: boolean,
    limits: CallLimits,
  ): Promise<{ started: boolean; reason: string | null }>;
  /** Shows that a run is alive; false when it is unknown or finished. Tried once. */
  heartbeat(runId: string, limits: CallLimits): Promise<boolean>;
  /** Takes jobs. Tried once: a second try would take other jobs, not those of a lost answer. */
  claim(
    claim: { runId: string; manual: boolean; batchSize: number; leaseSeconds: number },
    limits: CallLimits,
  ): Promise<ClaimedJob[]>;
  /**
   * Milliseconds after which a claim that found nothing may find something; null when only new work
   * can change that. Tried once.
   */
  nextClaimIn(manual: boolean, limits: CallLimits): Promise<number | null>;
  /** Makes a lease last for so many seconds from now; returns the jobs it still holds. */
  extendLease(leaseToken: string, leaseSeconds: number, limits: CallLimits): Promise<number>;
  /** Where the next part of a claimed job begins; null at the beginning. */
  progressOf(
    job: Pick<ClaimedJob, "id" | "lease_token">,
    limits: CallLimits,
  ): Promise<JsonValue | null>;
  /**
   * Reports results. After more than one try `lease_lost` may mean that an earlier one got through
   * and only its answer was lost.
   */
  settle(
    results: readonly SettleResult[],
    limits: CallLimits,
  ): Promise<{ answers: SettleAnswer[]; tries: number }>;
  /** Ends a run; false when it is unknown or finished already. */
  finishRun(runId: string, report: unknown, limits: CallLimits): Promise<boolean>;
}

/** A call to the queue that failed. The message never holds the key. */
export class QueueError extends Error {
  override readonly name = "QueueError";
  /** What was tried, such as `claim jobs`. */
  readonly action: string;
  /**
   * SQLSTATE, PostgREST code, `http_<status>`, `network`, `timeout`, `aborted`, `unreadable_answer`
   * (a success that is not JSON) or `unexpected_answer` (JSON of another shape).
   */
  readonly code: string;
  readonly hint: string | null;
  /** HTTP status; 0 without an answer. */
  readonly status: number;
  /** Whether the same call may well succeed a little later. */
  readonly transient: boolean;

  constructor(
    message: string,
    details: {
      action: string;
      code: string;
      hint?: string | null;
      status?: number;
      transient: boolean;
    },
  ) {
    super(message);
    this.action = details.action;
    this.code = details.code;
    this.hint = details.hint ?? null;
    this.status = details.status ?? 0;
    this.transient = details.transient;
  }
}

/** Where and how to reach the queue. */
export interface QueueClientOptions {
  /** API URL of the project. */
  url: string;
  /** Secret key or legacy service role key. */
  key: string;
  /** Default: the global one. */
  fetch?: typeof fetch;
  clock?: Clock;
  /** Milliseconds for one try; default 10,000. */
  callTimeoutMs?: number;
}

/**
 * Talks to the queue's functions over REST. Transient failures (no connection, 5xx, a restarting
 * database) are tried again with growing pauses until the limit of the call.
 */
export function createQueueClient(options: QueueClientOptions): Queue {
  const { key, clock = systemClock, callTimeoutMs = DEFAULT_CALL_TIMEOUT_MS } = options;
  const fetchIt = options.fetch ?? globalThis.fetch;
  const client = createClient(options.url, key, {
    auth: { autoRefreshToken: false, persistSession: false, detectSessionInUrl: false },
    global: { fetch: (input, init) => fetchIt(input, withoutBearerKey(init, key)) },
  });

  async function tryOnce(
    action: string,
    name: string,
    parameters: Record<string, unknown>,
    limits: CallLimits,
  ): Promise<unknown> {
    const timeoutMs = Math.max(0, Math.min(callTimeoutMs, limits.until - clock.now()));
    return await withDeadline(clock, timeoutMs, limits.signal, async (signal) => {
      const { data, error, status } = await client.rpc(name, parameters).abortSignal(signal);
      if (error === null) return data as unknown;
      throw queueError(action, error, status, signal, key);
    });
  }

  async function tryUntil<Answer>(
    limits: CallLimits,
    attempt: () => Promise<Answer>,
  ): Promise<{ answer: Answer; tries: number }> {
    for (let tries = 1;; tries++) {
      try {
        return { answer: await attempt(), tries };
      } catch (error) {
        if (!(error instanceof QueueError) || !error.transient) throw error;
        const pause = backoffMs(tries);
        if (clock.now() + pause >= limits.until) throw error;
        await clock.sleep(pause, limits.signal);
        if (limits.signal?.aborted) throw error;
      }
    }
  }

  return {
    async startRun(runId, manual, limits) {
      const action = "start the processor run";
      const { answer } = await tryUntil(limits, async () => {
        try {
          const data = await tryOnce(action, "start_processor_run_v2", {
            p_run_id: runId,
            p_manual: manual,
          }, limits);
          return parseAnswer(runStartSchema, action, data);
        } catch (error) {
          // The id is ours alone, so an earlier try got through.
          if (error instanceof QueueError && error.code === "23505") {
            return { started: true, reason: null };
          }
          throw error;
        }
      });
      return answer;
    },

    async heartbeat(runId, limits) {
      const action = "send the heartbeat of the processor run";
      const parameters = { p_run_id: runId };
      const data = await tryOnce(action, "heartbeat_processor_run_v2", parameters, limits);
      return parseAnswer(z.boolean(), action, data);
    },

    async claim(claim, limits) {
      const action = "claim jobs";
      const data = await tryOnce(action, "get_queue_batch_v2", {
        p_batch_size: claim.batchSize,
        p_run_id: claim.runId,
        p_manual: claim.manual,
        p_lease_seconds: claim.leaseSeconds,
      }, limits);
      return parseAnswer(z.array(claimedJobSchema), action, data);
    },

    async nextClaimIn(manual, limits) {
      const action = "ask when to claim again";
      const data = await tryOnce(action, "next_claim_in_v2", { p_manual: manual }, limits);
      return parseAnswer(z.number().int().nullable(), action, data);
    },

    async extendLease(leaseToken, leaseSeconds, limits) {
      const action = "extend a lease";
      const parameters = { p_lease_token: leaseToken, p_lease_seconds: leaseSeconds };
      const { answer } = await tryUntil(
        limits,
        () => tryOnce(action, "extend_leases_v2", parameters, limits),
      );
      return parseAnswer(z.number().int().nonnegative(), action, answer);
    },

    async progressOf(job, limits) {
      const action = "ask how far a job has got";
      const parameters = { p_job_id: job.id, p_lease_token: job.lease_token };
      const { answer } = await tryUntil(
        limits,
        () => tryOnce(action, "job_progress_v2", parameters, limits),
      );
      return parseAnswer(z.json(), action, answer ?? null);
    },

    async settle(results, limits) {
      const action = "settle jobs";
      const { answer, tries } = await tryUntil(
        limits,
        () => tryOnce(action, "settle_queue_batch_v2", { p_results: results }, limits),
      );
      return { answers: parseAnswer(z.array(settleAnswerSchema), action, answer), tries };
    },

    async finishRun(runId, report, limits) {
      const action = "finish the processor run";
      const parameters = { p_run_id: runId, p_report: report };
      const { answer } = await tryUntil(
        limits,
        () => tryOnce(action, "finish_processor_run_v2", parameters, limits),
      );
      return parseAnswer(z.boolean(), action, answer);
    },
  };
}

/** Milliseconds before the next try: doubling from 100 to 5,000, half to one and a half of it. */
export function backoffMs(tries: number): number {
  const pause = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(tries - 1, 20), LONGEST_PAUSE_MS);
  return Math.round(pause * (0.5 + Math.random()));
}

/** The new keys are no tokens: they go in `apikey`, and the library would send them as bearer too. */
function withoutBearerKey(init: RequestInit | undefined, key: string): RequestInit {
  const headers = new Headers(init?.headers);
  if (key.startsWith("sb_") && headers.get("authorization") === `Bearer ${key}`) {
    headers.delete("authorization");
  }
  return { ...init, headers };
}

function queueError(
  action: string,
  error: { message: string; code?: string; hint?: string | null },
  status: number,
  signal: AbortSignal,
  key: string,
): QueueError {
  if (signal.aborted) {
    const timedOut = signal.reason instanceof DOMException && signal.reason.name === "TimeoutError";
    return timedOut
      ? new QueueError(`Cannot ${action}: ${signal.reason.message}`, {
        action,
        code: "timeout",
        status,
        transient: true,
      })
      : new QueueError(`Cannot ${action}: the caller ended the call`, {
        action,
        code: "aborted",
        status,
        transient: true,
      });
  }
  const isSuccess = status >= 200 && status < 300;
  const code = error.code ||
    (status === 0 ? "network" : isSuccess ? "unreadable_answer" : `http_${status}`);
  const hint = error.hint ? redact(error.hint, [key]) : null;
  // The library gives a body that is not JSON as the message: a page of some gateway, or half an
  // answer, which tells no more than its status.
  const isBody = code === "unreadable_answer" || error.message.trimStart().startsWith("<");
  const problem = isBody
    ? `the answer with status ${status} is not JSON`
    : redact(error.message || `the answer has status ${status}`, [key]);
  const sentence = problem.startsWith("Cannot ") ? problem : `Cannot ${action}: ${problem}`;
  return new QueueError(`${sentence} (${code})${hint === null ? "" : `; ${hint}`}`, {
    action,
    code,
    hint,
    status,
    transient: isTransient(code, status),
  });
}

/**
 * By SQLSTATE where there is one, since gateways give the same status to a full disk and to a
 * refused value. A cancelled statement (57014) was too slow and would be so again.
 */
function isTransient(code: string, status: number): boolean {
  if (/^PGRST\d+$/.test(code)) return code.startsWith("PGRST00");
  if (/^[0-9A-Z]{5}$/.test(code)) {
    return /^(08|40|53|58|57P|XX)/.test(code) || code === "55P03";
  }
  if (code === "unreadable_answer") return true;
  return status === 0 || status === 408 || status === 425 || status === 429 || status >= 500;
}

function parseAnswer<Answer>(schema: z.ZodType<Answer>, action: string, data: unknown): Answer {
  const parsed = schema.safeParse(data);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = issue === undefined || issue.path.length === 0
    ? "the answer"
    : `"${issue.path.join(".")}" of the answer`;
  throw new QueueError(
    `Cannot ${action}: ${place} has an unexpected shape (${issue?.message ?? "unknown"}); ` +
      "check that functions and migrations are of one version",
    { action, code: "unexpected_answer", status: 200, transient: false },
  );
}
