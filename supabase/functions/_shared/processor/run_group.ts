import { type FetchContext, type Fetcher, fetchSymbols } from "../fetchers/contract.ts";
import { VendorError } from "../fetchers/errors.ts";
import { subjectOf } from "../fetchers/validation.ts";
import type { JobError, SettleResult } from "../queue_client.ts";
import { type Clock, unlessAborted, withDeadline } from "./clock.ts";
import type { JobGroup } from "./groups.ts";
import { failedResult, jobErrorOf, releasedResult } from "./results.ts";

/** Milliseconds that a fetcher may take beyond the timeouts of its calls. */
const FETCHER_MARGIN_MS = 1_000;

/** Access to the vendor; the signal comes from the run. */
export type VendorAccess = Omit<FetchContext, "signal">;

export interface GroupOutcome {
  /** One per job of the group, in its order. */
  results: SettleResult[];
  calls: number;
  bytes: number;
  durationMs: number;
  warnings: string[];
  /** Set when the jobs are released to be tried again in smaller groups. */
  splitBecause?: JobError;
  /** Set when the plan takes one symbol per call only. */
  takesNoGroups?: true;
}

/**
 * Fetches one group of jobs. Never rejects: what the fetcher throws becomes the jobs' result.
 *
 * - Ended by `signal`: the jobs are released.
 * - A failure that one symbol of several may have caused: the jobs are released, to be tried in
 *   smaller groups until the culprit is alone.
 * - Any other failure: every job of the group fails with it.
 *
 * A fetcher that ignores its signal is left behind one second after its calls should have ended.
 */
export async function runGroup(
  group: JobGroup,
  run: { access: VendorAccess; clock: Clock; signal: AbortSignal },
): Promise<GroupOutcome> {
  const { access, clock, signal } = run;
  const { fetcher, jobs } = group;
  const startedAt = clock.now();
  let started = 0;
  const countingFetch: typeof fetch = (input, init) => {
    started += 1;
    return access.fetch(input, init);
  };
  const symbols = jobs.map((job) => job.symbol);
  const timeoutMs = groupTimeoutMs(fetcher, access);
  try {
    const outcome = await withDeadline(clock, timeoutMs, signal, (ended) =>
      unlessAborted(
        fetchSymbols(fetcher, symbols, { ...access, fetch: countingFetch, signal: ended }),
        ended,
      ));
    const { calls, bytes, warnings } = outcome;
    const durationMs = clock.now() - startedAt;
    const results = jobs.map((job): SettleResult => {
      const failure = outcome.failures?.get(job.symbol);
      if (failure !== undefined) {
        const subject = subjectOf(group.dataType, [job.symbol]);
        return failedResult(job, jobErrorOf(failure, subject, [access.apiKey]));
      }
      const rows = outcome.rows.get(job.symbol) ?? [];
      const isDone = rows.length > 0 || outcome.written?.has(job.symbol);
      return { ...releasedResult(job), outcome: isDone ? "completed" : "empty", rows };
    });
    return {
      results: booked(results, calls, bytes, durationMs),
      calls,
      bytes,
      durationMs,
      warnings,
    };
  } catch (thrown) {
    const failure = failureOf(thrown, fetcher, symbols, timeoutMs, signal);
    // A fetcher that broke off has not said how many calls it made.
    const calls = Math.max(failure instanceof VendorError ? failure.calls : 0, started);
    const bytes = failure instanceof VendorError ? failure.bytes : 0;
    const durationMs = clock.now() - startedAt;
    const error = jobErrorOf(failure, subjectOf(group.dataType, symbols), [access.apiKey]);
    const ended = signal.aborted && ["aborted", "unexpected", "timeout"].includes(error.code);
    const split = !ended && jobs.length > 1 && mayBeOneSymbol(error);
    const results = jobs.map((job, index) =>
      // One job is enough to tell the queue that the plan takes no groups.
      ended || split || (error.class === "batch_refused" && index > 0)
        ? releasedResult(job)
        : failedResult(job, error)
    );
    return {
      results: booked(results, calls, bytes, durationMs),
      calls,
      bytes,
      durationMs,
      warnings: [],
      ...(split ? { splitBecause: error } : {}),
      ...(error.class === "batch_refused" ? { takesNoGroups: true } : {}),
    };
  }
}

/** Milliseconds after which a group, or one part of it, is given up. */
export function groupTimeoutMs(
  fetcher: Pick<Fetcher, "timeoutMs" | "callsPerBatch" | "parts">,
  access: Pick<VendorAccess, "timeoutMs">,
): number {
  const calls = fetcher.parts === undefined ? Math.max(1, fetcher.callsPerBatch) : 1;
  return fetcher.timeoutMs ?? access.timeoutMs * calls + FETCHER_MARGIN_MS;
}

/** The thrown value, or what is meant by the abort that it stands for. */
export function failureOf(
  thrown: unknown,
  fetcher: Fetcher,
  symbols: readonly string[],
  timeoutMs: number,
  signal: AbortSignal,
): unknown {
  const subject = subjectOf(fetcher.dataType, symbols);
  if (signal.aborted && thrown === signal.reason) {
    return new VendorError(`Cannot fetch ${subject}: the run ended before the answer`, {
      errorClass: "retryable",
      code: "aborted",
    });
  }
  if (thrown instanceof DOMException && thrown.name === "TimeoutError") {
    return new VendorError(`Cannot fetch ${subject}: not done within ${timeoutMs} ms`, {
      errorClass: "retryable",
      code: "timeout",
    });
  }
  return thrown;
}

/**
 * Not the plan's refusals: those hold for every symbol. Nor an answer that is too large: to find whose
 * it is would cost as much again and again.
 */
function mayBeOneSymbol(error: JobError): boolean {
  if (["plan_endpoint", "plan_limit", "answer_too_large"].includes(error.code)) return false;
  return error.class === "permanent" || error.code === "schema_mismatch" ||
    error.code === "unexpected";
}

/** Books the shared calls and bytes on the first job. */
function booked(
  results: SettleResult[],
  calls: number,
  bytes: number,
  durationMs: number,
): SettleResult[] {
  return results.map((result, index) => ({
    ...result,
    duration_ms: Math.round(durationMs),
    ...(index === 0 ? { calls, bytes } : {}),
  }));
}
