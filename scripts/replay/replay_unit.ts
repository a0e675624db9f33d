import type { Sql } from "postgres";
import type { FetchContext } from "../../supabase/functions/_shared/fetchers/contract.ts";
import { systemClock } from "../../supabase/functions/_shared/processor/clock.ts";
import { createTally, type Tally } from "../../supabase/functions/_shared/processor/report.ts";
import { failedResult } from "../../supabase/functions/_shared/processor/results.ts";
import { runGroup } from "../../supabase/functions/_shared/processor/run_group.ts";
import { createSettler } from "../../supabase/functions/_shared/processor/settler.ts";
import type { ClaimedJob, SettleAnswer } from "../../supabase/functions/_shared/queue_client.ts";
import { fetcherOf, RECORDED_URL } from "./fetcher.ts";
import type { Unit } from "./plan.ts";
import type { Scratch, UnitResult } from "./protocol.ts";
import { claimJobs, firstError, nullColumns, openQueue, prepare } from "./scratch_queue.ts";
import { openVendor } from "./vendor.ts";

const FETCH_TIMEOUT_MS = 600_000;
const SETTLE_BATCH = 500;
const MOST_WARNINGS = 100;

/**
 * Replays a unit as the processor would: claims its jobs, fetches them from the recordings, settles
 * them over REST, and looks at what is in the table then. Throws when that cannot be done, which
 * says nothing about the recordings unless a file is gone.
 */
export async function replayUnit(unit: Unit, sql: Sql, scratch: Scratch): Promise<UnitResult> {
  const { dataType, symbols } = unit;
  const fetcher = fetcherOf(unit);
  const groups = chunks(symbols, fetcher.maxSymbolsPerCall);
  const vendor = await openVendor(unit);
  // A recording is judged as of its own time: pairs of old prices are left out.
  const recordedAt = unit.fetcher === "rates from pairs"
    ? vendor.newestTime(new Date())
    : undefined;
  const access: Omit<FetchContext, "signal" | "fetch"> = {
    baseUrl: RECORDED_URL,
    apiKey: "",
    timeoutMs: FETCH_TIMEOUT_MS,
    now: () => recordedAt ?? new Date(),
  };

  await prepare(sql, dataType, symbols);
  const queue = openQueue(scratch);
  const jobOf = new Map(
    (await claimJobs(sql, queue, dataType, symbols)).map((job) => [job.symbol, job]),
  );
  const { signal } = new AbortController();
  const { tally, answers, problems } = collectingTally();
  const settler = createSettler({
    queue,
    tally,
    clock: systemClock,
    batchSize: SETTLE_BATCH,
    delayMs: 0,
    signal,
    onSettled: () => {},
  });
  const warnings = createWarnings(unit.warnings);
  for (const group of groups) await replayGroup(group, groups.length > 1);
  await settler.close();

  /** As the processor does, asks in halves when one symbol of several may have made it fail. */
  async function replayGroup(group: readonly string[], isPart: boolean): Promise<void> {
    const jobs = group.map((symbol) => jobOf.get(symbol)!);
    const outcome = await runGroup({ fetcher, dataType, jobs }, {
      access: { ...access, fetch: isPart ? vendor.fetchPart(group) : vendor.fetchAll },
      clock: systemClock,
      signal,
    });
    for (const warning of outcome.warnings) warnings.add(warning);
    const { splitBecause } = outcome;
    if (splitBecause !== undefined && unit.fetcher !== "exchange quotes") {
      const middle = Math.ceil(group.length / 2);
      await replayGroup(group.slice(0, middle), true);
      await replayGroup(group.slice(middle), true);
      return;
    }
    const results = splitBecause === undefined
      ? outcome.results
      : jobs.map((job) => failedResult(job, splitBecause));
    settler.add(jobs.map((job, index) => ({
      job,
      result: results[index]!,
      leaseEndsAt: Date.parse(job.lease_expires_at),
    })));
  }

  const failed = [...jobOf.values()].filter((job) => !isDone(answers.get(job.id)));
  const unsettled = failed.filter((job) => !answers.has(job.id));
  if (unsettled.length > 0) {
    throw new Error(
      `Cannot settle ${unsettled.length} of ${symbols.length} jobs: ${problems[0] ?? "no reason"}`,
    );
  }
  for (const file of vendor.unasked()) {
    warnings.add(`"${file}" was not used: the fetcher did not ask for it`);
  }
  const settled = [...answers.values()];
  const empty = settled.filter(({ outcome }) => outcome === "empty").length;
  if (symbols.length > 1) {
    if (failed.length > 0) warnings.add(`${failed.length} of ${symbols.length} symbols failed`);
    if (empty > 0) warnings.add(`${empty} of ${symbols.length} symbols have no rows`);
  }
  return {
    completed: settled.filter(({ outcome }) => outcome === "completed").length,
    empty,
    failed: failed.length,
    error: await firstError(sql, failed.map(({ id }) => id)),
    rowsWritten: settled.reduce((total, answer) => total + answer.rows_written, 0),
    columnsLeftNull: await nullColumns(sql, dataType),
    ...warnings.list(),
  };
}

function isDone(answer: SettleAnswer | undefined): boolean {
  return answer?.outcome === "completed" || answer?.outcome === "empty";
}

/** A tally that keeps each answer of the queue; the settler tells nobody else. */
function collectingTally(): {
  tally: Tally;
  answers: Map<number, SettleAnswer>;
  problems: string[];
} {
  const answers = new Map<number, SettleAnswer>();
  const problems: string[] = [];
  const tally: Tally = {
    ...createTally(),
    settled: (job: ClaimedJob, answer: SettleAnswer) => {
      answers.set(job.id, answer);
    },
    error: ({ message }) => {
      problems.push(message);
    },
  };
  return { tally, answers, problems };
}

/** Warnings, each once, with those beyond a bound counted only. */
function createWarnings(first: readonly string[]) {
  const kept = new Set<string>(first);
  let leftOut = 0;
  return {
    add(warning: string) {
      if (kept.size < MOST_WARNINGS) kept.add(warning);
      else if (!kept.has(warning)) leftOut += 1;
    },
    list: () => ({ warnings: [...kept], warningsLeftOut: leftOut }),
  };
}

function chunks(symbols: readonly string[], size: number): string[][] {
  const groups: string[][] = [];
  for (let from = 0; from < symbols.length; from += size) {
    groups.push(symbols.slice(from, from + size));
  }
  return groups;
}
