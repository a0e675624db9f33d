import type { ErrorClass } from "../fetchers/contract.ts";
import type { ClaimedJob, SettleAnswer } from "../queue_client.ts";

/** Errors and warnings that a report lists; the rest is counted. */
const LONGEST_LIST = 100;

/** Why a run ended: nothing to do, its time or jobs were used up, the worker is shut down, or it cannot go on. */
export type EndedBy = "idle" | "budget" | "shutdown" | "error";

/** Claimed jobs by what became of them. The others add up to `claimed`. */
export interface JobCounts {
  claimed: number;
  completed: number;
  empty: number;
  rescheduled: number;
  failed: number;
  released: number;
  leaseLost: number;
  /** Could not be settled; they go back to pending when their leases expire. */
  unsettled: number;
}

/** An error of a run; class `queue` means our own database, whatever the vendor said. */
export interface ReportedError {
  dataType: string | null;
  /** Null when the error is not about one symbol. */
  symbol: string | null;
  class: ErrorClass | "queue";
  code: string;
  message: string;
}

export interface DataTypeReport extends JobCounts {
  rowsWritten: number;
  vendorCalls: number;
  bytes: number;
}

/** What a processor run did. */
export interface ProcessorReport {
  runId: string;
  manual: boolean;
  startedAt: string;
  finishedAt: string;
  endedBy: EndedBy;
  /** Round trips that claimed, those that found nothing included, and that settled. */
  claims: number;
  settles: number;
  jobs: JobCounts;
  rowsWritten: number;
  vendorCalls: number;
  bytes: number;
  /** Milliseconds from the start of a group of jobs to its rows; null when none was fetched. */
  latencyMs: { p50: number; p95: number; max: number } | null;
  errors: ReportedError[];
  errorsLeftOut: number;
  warnings: string[];
  warningsLeftOut: number;
  byDataType: Record<string, DataTypeReport>;
}

/** Counts what a run does. */
export interface Tally {
  claimed(jobs: readonly ClaimedJob[]): void;
  settleCalled(): void;
  fetched(dataType: string, calls: number, bytes: number, durationMs: number): void;
  settled(job: ClaimedJob, answer: SettleAnswer): void;
  unsettled(job: ClaimedJob): void;
  error(error: ReportedError): void;
  warning(sentence: string): void;
  report(
    run: { runId: string; manual: boolean; startedAt: number; finishedAt: number },
    endedBy: EndedBy,
  ): ProcessorReport;
}

/** A part leaves its job where it was, so that it counts none. */
const COUNT_OF_OUTCOME = {
  completed: "completed",
  empty: "empty",
  rescheduled: "rescheduled",
  failed: "failed",
  released: "released",
  lease_lost: "leaseLost",
  malformed: "unsettled",
} as const satisfies Record<Exclude<SettleAnswer["outcome"], "progress">, keyof JobCounts>;

export function createTally(): Tally {
  const total = emptyCounts();
  const types = new Map<string, DataTypeReport>();
  const durations: number[] = [];
  const errors: ReportedError[] = [];
  const warnings: string[] = [];
  let claims = 0;
  let settles = 0;
  let errorCount = 0;
  let warningCount = 0;

  const typeOf = (dataType: string): DataTypeReport => {
    const found = types.get(dataType) ?? emptyCounts();
    types.set(dataType, found);
    return found;
  };
  const count = (job: ClaimedJob, key: keyof JobCounts) => {
    total[key] += 1;
    typeOf(job.data_type)[key] += 1;
  };

  return {
    claimed(jobs) {
      claims += 1;
      for (const job of jobs) count(job, "claimed");
    },
    settleCalled() {
      settles += 1;
    },
    fetched(dataType, calls, bytes, durationMs) {
      durations.push(durationMs);
      for (const counts of [total, typeOf(dataType)]) {
        counts.vendorCalls += calls;
        counts.bytes += bytes;
      }
    },
    settled(job, answer) {
      if (answer.outcome !== "progress") count(job, COUNT_OF_OUTCOME[answer.outcome]);
      total.rowsWritten += answer.rows_written;
      typeOf(job.data_type).rowsWritten += answer.rows_written;
    },
    unsettled(job) {
      count(job, "unsettled");
    },
    error(error) {
      errorCount += 1;
      if (errors.length < LONGEST_LIST) errors.push(error);
    },
    warning(sentence) {
      warningCount += 1;
      if (warnings.length < LONGEST_LIST) warnings.push(sentence);
    },
    report(run, endedBy) {
      const { rowsWritten, vendorCalls, bytes, ...jobs } = total;
      return {
        runId: run.runId,
        manual: run.manual,
        startedAt: new Date(run.startedAt).toISOString(),
        finishedAt: new Date(run.finishedAt).toISOString(),
        endedBy,
        claims,
        settles,
        jobs,
        rowsWritten,
        vendorCalls,
        bytes,
        latencyMs: latencyOf(durations),
        errors: [...errors],
        errorsLeftOut: errorCount - errors.length,
        warnings: [...warnings],
        warningsLeftOut: warningCount - warnings.length,
        byDataType: Object.fromEntries(
          [...types].sort(([left], [right]) => left < right ? -1 : 1),
        ),
      };
    },
  };
}

function emptyCounts(): DataTypeReport {
  return {
    claimed: 0,
    completed: 0,
    empty: 0,
    rescheduled: 0,
    failed: 0,
    released: 0,
    leaseLost: 0,
    unsettled: 0,
    rowsWritten: 0,
    vendorCalls: 0,
    bytes: 0,
  };
}

function latencyOf(durations: readonly number[]): ProcessorReport["latencyMs"] {
  const sorted = [...durations].sort((left, right) => left - right);
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  return sorted.length === 0 ? null : { p50: at(0.5), p95: at(0.95), max: at(1) };
}
