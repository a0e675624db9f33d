import { type Fetcher, fetchSymbols, type JsonValue, type Row } from "../fetchers/contract.ts";
import { VendorError } from "../fetchers/errors.ts";
import { subjectOf } from "../fetchers/validation.ts";
import type { ClaimedJob, SettleAnswer, SettleResult } from "../queue_client.ts";
import { type Clock, unlessAborted, withDeadline } from "./clock.ts";
import { failedResult, jobErrorOf, releasedResult } from "./results.ts";
import { failureOf, type GroupOutcome, groupTimeoutMs, type VendorAccess } from "./run_group.ts";

/** Rows that are settled at once: a tenth of a second for the database. */
const MOST_ROWS = 5_000;

/** A fetcher whose refreshes come in parts. */
export type PartedFetcher = Fetcher & Required<Pick<Fetcher, "parts">>;

/** What the parts of one claim work with. */
export interface PartsRun {
  access: VendorAccess;
  clock: Clock;
  signal: AbortSignal;
  /** Where an earlier claim of the job has got to; null at the beginning. */
  from: JsonValue | null;
  /** Seconds that the lease is to last after each part. */
  leaseSeconds: number;
  /** Settles some rows; undefined when that was not possible. */
  settle(result: SettleResult): Promise<SettleAnswer | undefined>;
  /** Whether no further part should begin. */
  isStopped(): boolean;
}

/** Outcome of the parts of one claim; no result when the job was settled with one of them. */
export type PartsOutcome = Omit<GroupOutcome, "splitBecause" | "takesNoGroups">;

export function hasParts(fetcher: Fetcher): fetcher is PartedFetcher {
  return fetcher.parts !== undefined;
}

/**
 * Fetches a job part by part and settles each with its rows before the next is asked for, so that no
 * more than one part is in memory. Never rejects.
 *
 * After the last part the job is completed. It is released, to go on where it was in a later claim,
 * when the calls granted or the time for them are used up, when the run ends, or when a part could
 * not be settled. What the vendor or the fetcher throws fails the attempt; the next one goes on too.
 */
export async function runParts(
  fetcher: PartedFetcher,
  job: ClaimedJob,
  run: PartsRun,
): Promise<PartsOutcome> {
  const { clock, signal } = run;
  const startedAt = clock.now();
  const total = { calls: 0, bytes: 0, warnings: [] as string[] };
  let from = run.from;
  let hasRows = from !== null;
  const end = (results: SettleResult[]) => ({
    ...total,
    results: results.map((result) => ({
      ...result,
      duration_ms: Math.round(clock.now() - startedAt),
    })),
    durationMs: clock.now() - startedAt,
  });

  for (let part = 0; part < fetcher.callsPerBatch; part++) {
    const isLate = part > 0 && clock.now() - startedAt >= fetcher.parts.startWithinMs;
    if (isLate || run.isStopped()) break;
    const fetched = await fetchPart(fetcher, job, from, run);
    total.calls += fetched.calls;
    total.bytes += fetched.bytes;
    if ("failure" in fetched) {
      const { calls, bytes } = fetched;
      const error = jobErrorOf(fetched.failure, subjectOf(fetcher.dataType, [job.symbol]), [
        run.access.apiKey,
      ]);
      const isEnded = signal.aborted && ["aborted", "unexpected", "timeout"].includes(error.code);
      const result = isEnded ? releasedResult(job) : failedResult(job, error);
      return end([{ ...result, calls, bytes }]);
    }
    total.warnings.push(...fetched.warnings);
    const isLast = fetched.next === null;
    const chunks = chunksOf(fetched.rows);
    for (const [index, rows] of chunks.entries()) {
      const isWhole = index === chunks.length - 1;
      const answer = await run.settle({
        ...releasedResult(job),
        outcome: "progress",
        rows,
        // Those of the call are booked once.
        ...(index === 0 ? { calls: fetched.calls, bytes: fetched.bytes } : {}),
        progress: {
          settle_id: crypto.randomUUID(),
          cursor: isWhole && !isLast ? fetched.next : from,
          lease_seconds: run.leaseSeconds,
        },
      });
      if (answer?.outcome !== "progress") return end([]);
      hasRows ||= rows.length > 0;
    }
    if (isLast) {
      return end([
        hasRows
          ? { ...releasedResult(job), outcome: "completed", progress: {} }
          : { ...releasedResult(job), outcome: "empty" },
      ]);
    }
    from = fetched.next;
  }
  return end([releasedResult(job)]);
}

interface FetchedPart {
  calls: number;
  bytes: number;
  rows: Row[];
  warnings: string[];
  next: JsonValue | null;
}

async function fetchPart(
  fetcher: PartedFetcher,
  job: ClaimedJob,
  from: JsonValue | null,
  { access, clock, signal }: PartsRun,
): Promise<FetchedPart | { failure: unknown; calls: number; bytes: number }> {
  let started = 0;
  const countingFetch: typeof fetch = (input, init) => {
    started += 1;
    return access.fetch(input, init);
  };
  let next: JsonValue | null = null;
  const onePart: Fetcher = {
    ...fetcher,
    async request(_symbols, context) {
      const answer = await fetcher.parts.request(from, context);
      ({ next } = answer);
      return answer;
    },
  };
  const timeoutMs = groupTimeoutMs({ callsPerBatch: 1 }, access);
  try {
    const outcome = await withDeadline(clock, timeoutMs, signal, (ended) =>
      unlessAborted(
        fetchSymbols(onePart, [job.symbol], { ...access, fetch: countingFetch, signal: ended }),
        ended,
      ));
    const { calls, bytes, warnings } = outcome;
    return { calls, bytes, warnings, next, rows: outcome.rows.get(job.symbol) ?? [] };
  } catch (thrown) {
    const failure = failureOf(thrown, fetcher, [job.symbol], timeoutMs, signal);
    const told = failure instanceof VendorError ? failure : { calls: 0, bytes: 0 };
    return { failure, calls: Math.max(told.calls, started), bytes: told.bytes };
  }
}

/** At least one, since a part without rows has calls to book and a cursor to keep. */
function chunksOf(rows: readonly Row[]): Row[][] {
  const chunks: Row[][] = [];
  for (let start = 0; start === 0 || start < rows.length; start += MOST_ROWS) {
    chunks.push(rows.slice(start, start + MOST_ROWS));
  }
  return chunks;
}
