import {
  backoffMs,
  type ClaimedJob,
  type Queue,
  QueueError,
  type SettleAnswer,
  type SettleResult,
} from "../queue_client.ts";
import type { Afterwork } from "./afterwork.ts";
import { type Clock, createBell } from "./clock.ts";
import { createCrew } from "./crew.ts";
import { type JobGroup, planGroups } from "./groups.ts";
import type { ProcessorOptions } from "./options.ts";
import { QUEUE_CALL_MS, queueProblem } from "./queue_problem.ts";
import type { EndedBy, Tally } from "./report.ts";
import { failedResult, releasedResult } from "./results.ts";
import { groupTimeoutMs, runGroup } from "./run_group.ts";
import { hasParts, type PartedFetcher, runParts } from "./run_parts.ts";
import { createSettler } from "./settler.ts";

/** Claims that fail one after the other before the run gives up. */
const MOST_CLAIM_FAILURES = 5;

/** Milliseconds between claims, at most, while the vendor's minute is used up: other work may come in. */
const LONGEST_POLL_MS = 1_000;

/** Milliseconds after a claim before a few free slots are worth another one. */
const GATHER_SLOTS_MS = 200;

/** Batches in a row of which the queue accepts nothing before the run gives up. */
const MOST_SETTLE_FAILURES = 3;

/** Unsettled results, in batches, that stop further claims: the database is behind. */
const MOST_BACKLOG_BATCHES = 4;

/** Milliseconds of a lease that are left for the settle. */
const SETTLE_MARGIN_MS = 30_000;

/** Rows of a part that take as much CPU time as one job: 5,000 took 15 to 30 ms. */
const ROWS_LIKE_A_JOB = 100;

/** Error classes that end the claims of a provider; the queue must hear of them before the next. */
const URGENT_CLASSES = ["rate_limited", "quota", "auth", "batch_refused"];

/** The claims, fetches and settles of a run. */
export interface Work {
  /** Works until there is a reason to stop; claims nothing after that. */
  untilStop(): Promise<EndedBy>;
  /** Waits for what is in flight, at most so long (the second: once the signal has aborted). */
  wait(graceMs?: number, shutdownGraceMs?: number): Promise<void>;
  settleRest(): Promise<void>;
}

/** Begins with a run; nothing happens before `untilStop`. */
export function startWork(
  options: ProcessorOptions,
  run: {
    clock: Clock;
    tally: Tally;
    startedAt: number;
    signal: AbortSignal;
    afterwork: Afterwork;
  },
  vendorEnd: AbortController,
  settleSignal: AbortSignal,
): Work {
  const { queue, runId, manual = false, batchSize = 50, concurrency = 8 } = options;
  const { leaseSeconds = 120, lingerMs = 2_000, pollMs = 500, mostJobs = Infinity } = options;
  const { clock, tally, signal } = run;
  const budgetEnd = run.startedAt + (options.budgetMs ?? 120_000);

  const bell = createBell(clock);
  const settler = createSettler({
    queue,
    tally,
    clock,
    batchSize,
    delayMs: options.settleDelayMs ?? 200,
    signal: settleSignal,
    onCompleted: (job, { rows }) => {
      const fetcher = options.fetchers[job.fetcher];
      if (fetcher !== undefined) run.afterwork.add(fetcher, job.symbol, rows);
    },
    onSettled: (accepted) => {
      settleFailures = accepted ? 0 : settleFailures + 1;
      settles += 1;
      // Jobs that went back to the queue can be claimed again.
      foundNothing = false;
      bell.ring();
    },
  });
  const crew = createCrew(concurrency, fetchGroup, () => {
    lastWorkAt = clock.now();
    // Nothing else is coming that these results could wait for.
    if (crew.busy === 0) settler.flush();
    bell.ring();
  });
  const leaseEnds = new Map<number, number>();
  /** Jobs that failed in company, and how large their next group may be. */
  const largestGroups = new Map<number, number>();
  /** Data types that the vendor's plan serves one symbol at a time. */
  const ungrouped = new Set<string>();
  const warned = new Set<string>();

  let stopped = false;
  let claiming = false;
  let foundNothing = false;
  let waitsForCalls = false;
  let claimedJobs = 0;
  let rowsInParts = 0;
  let claimFailures = 0;
  let settles = 0;
  let settleFailures = 0;
  let cannotClaim = false;
  let claimNotBefore = run.startedAt;
  let lastClaimAt = run.startedAt;
  let lastWorkAt = run.startedAt;
  let jobsPerGroup = 1;

  async function fetchGroup(group: JobGroup): Promise<void> {
    await extendLeaseOf(group);
    const { fetcher, jobs: [job] } = group;
    if (hasParts(fetcher) && job !== undefined) return await fetchParts(fetcher, job);
    const outcome = await runGroup(group, {
      access: options.context,
      clock,
      signal: vendorEnd.signal,
    });
    tally.fetched(group.dataType, outcome.calls, outcome.bytes, outcome.durationMs);
    outcome.warnings.forEach(tally.warning);
    if (outcome.takesNoGroups) ungrouped.add(group.dataType);
    if (outcome.splitBecause !== undefined) {
      const { class: errorClass, code, message } = outcome.splitBecause;
      tally.error({ dataType: group.dataType, symbol: null, class: errorClass, code, message });
      const half = Math.floor(group.jobs.length / 2);
      for (const job of group.jobs) largestGroups.set(job.id, half);
    }
    settle(group.jobs.map((job, index) => ({ job, result: outcome.results[index]! })));
  }

  async function fetchParts(fetcher: PartedFetcher, job: ClaimedJob): Promise<void> {
    let from: Awaited<ReturnType<Queue["progressOf"]>>;
    try {
      from = await queue.progressOf(job, {
        until: clock.now() + QUEUE_CALL_MS,
        signal: vendorEnd.signal,
      });
    } catch (error) {
      tally.error(queueProblem(error));
      return release([job]);
    }
    const outcome = await runParts(fetcher, job, {
      access: options.context,
      clock,
      signal: vendorEnd.signal,
      from,
      leaseSeconds,
      settle: (result) => settlePart(job, result),
      isStopped: () => stopped || workDone() >= mostJobs,
    });
    tally.fetched(job.data_type, outcome.calls, outcome.bytes, outcome.durationMs);
    outcome.warnings.forEach(tally.warning);
    settle(outcome.results.map((result) => ({ job, result })));
  }

  /** Settles a part at once; its fetcher waits for that. */
  function settlePart(job: ClaimedJob, result: SettleResult): Promise<SettleAnswer | undefined> {
    const answered = Promise.withResolvers<SettleAnswer | undefined>();
    const leaseEndsAt = leaseEnds.get(job.id) ?? clock.now();
    // By the time before the call, so that the lease ends no earlier than we think.
    leaseEnds.set(job.id, Math.max(leaseEndsAt, clock.now() + leaseSeconds * 1000));
    rowsInParts += result.rows.length;
    settler.add([{ job, result, leaseEndsAt, onAnswer: answered.resolve }]);
    settler.flush();
    return answered.promise;
  }

  /** In jobs. */
  function workDone(): number {
    return claimedJobs + Math.floor(rowsInParts / ROWS_LIKE_A_JOB);
  }

  /** Lets the lease last as long as the group may take. */
  async function extendLeaseOf(group: JobGroup): Promise<void> {
    const [first] = group.jobs;
    const neededMs = groupTimeoutMs(group.fetcher, options.context) + SETTLE_MARGIN_MS;
    if (first === undefined || (leaseEnds.get(first.id) ?? 0) - clock.now() >= neededMs) return;
    const leaseEndsAt = clock.now() + neededMs;
    try {
      await queue.extendLease(first.lease_token, Math.ceil(neededMs / 1000), {
        until: clock.now() + QUEUE_CALL_MS,
        signal: vendorEnd.signal,
      });
      for (const job of group.jobs) leaseEnds.set(job.id, leaseEndsAt);
    } catch (error) {
      // The group goes on under the lease it has; a late settle then changes nothing.
      tally.error(queueProblem(error));
    }
  }

  function settle(
    results: readonly { job: ClaimedJob; result: ReturnType<typeof releasedResult> }[],
  ): void {
    let urgent = false;
    for (const { job, result } of results) {
      if (result.error === null) continue;
      urgent ||= URGENT_CLASSES.includes(result.error.class);
      tally.error({
        dataType: job.data_type,
        symbol: job.symbol,
        class: result.error.class,
        code: result.error.code,
        message: result.error.message,
      });
    }
    settler.add(
      results.map(({ job, result }) => {
        const leaseEndsAt = leaseEnds.get(job.id) ?? clock.now();
        leaseEnds.delete(job.id);
        return { job, result, leaseEndsAt };
      }),
      urgent,
    );
  }

  function release(jobs: readonly ClaimedJob[]): void {
    settle(jobs.map((job) => ({ job, result: releasedResult(job) })));
  }

  function accept(jobs: readonly ClaimedJob[], startBy: number): void {
    // The database was slow to answer: a call made now might fall out of its grant's minute.
    if (clock.now() > startBy) {
      if (jobs.length > 0) tally.warning("Jobs were given back because their claim took too long");
      release(jobs);
      settler.flush();
      return;
    }
    const plan = planGroups(
      jobs,
      options.fetchers,
      (job) => ungrouped.has(job.data_type) ? 1 : largestGroups.get(job.id) ?? Infinity,
      options.edgeFunctions,
    );
    for (const sentence of plan.warnings) {
      if (!warned.has(sentence)) tally.warning(sentence);
      warned.add(sentence);
    }
    jobsPerGroup = plan.jobsPerGroup;
    release(plan.surplus);
    settle(plan.refused.map(({ job, error }) => ({ job, result: failedResult(job, error) })));
    crew.take(plan.groups, startBy);
    if (crew.busy === 0) settler.flush();
  }

  /** Epoch milliseconds; Infinity while something has to happen first. */
  function nextClaimAt(): number {
    const blocked = claiming || crew.free === 0 || crew.waiting > 0 || settler.hasUrgent ||
      settler.backlog >= MOST_BACKLOG_BATCHES * batchSize;
    if (blocked) return Infinity;
    // Slots are gathered for a moment, or a busy queue would cost one round trip per job.
    const hasRoom = crew.busy === 0 || crew.free * 2 >= concurrency;
    return hasRoom ? claimNotBefore : Math.max(claimNotBefore, lastClaimAt + GATHER_SLOTS_MS);
  }

  async function claim(): Promise<void> {
    const fitting = Math.max(1, Math.floor(crew.free * jobsPerGroup));
    const asked = Math.min(batchSize, fitting, mostJobs - workDone());
    claiming = true;
    // By the time before the call, so that no lease ends earlier than we think.
    const askedAt = clock.now();
    const settlesBefore = settles;
    const leaseEndsAt = askedAt + leaseSeconds * 1000;
    try {
      const jobs = await queue.claim(
        { runId, manual, batchSize: asked, leaseSeconds },
        { until: clock.now() + QUEUE_CALL_MS, signal: vendorEnd.signal },
      );
      tally.claimed(jobs);
      claimedJobs += jobs.length;
      for (const job of jobs) leaseEnds.set(job.id, leaseEndsAt);
      claimFailures = 0;
      foundNothing = jobs.length === 0 && settles === settlesBefore;
      waitsForCalls = false;
      if (jobs.length > 0) lastWorkAt = clock.now();
      else if (lingerMs > 0 && !stopped) await askWhenToClaim();
      if (!waitsForCalls) claimNotBefore = clock.now() + (jobs.length < asked ? pollMs : 0);
      if (stopped) release(jobs);
      else accept(jobs, askedAt + (options.startWithinMs ?? 500));
    } catch (error) {
      claimFailures += 1;
      foundNothing = false;
      tally.error(queueProblem(error));
      const transient = error instanceof QueueError && error.transient;
      cannotClaim = !transient || claimFailures >= MOST_CLAIM_FAILURES;
      claimNotBefore = clock.now() + backoffMs(claimFailures);
    } finally {
      claiming = false;
      lastClaimAt = clock.now();
      bell.ring();
    }
  }

  async function askWhenToClaim(): Promise<void> {
    const inMs = await queue.nextClaimIn(manual, {
      until: clock.now() + QUEUE_CALL_MS,
      signal: vendorEnd.signal,
    });
    if (inMs === null) return;
    waitsForCalls = true;
    lastWorkAt = clock.now();
    claimNotBefore = clock.now() + Math.min(Math.max(inMs, pollMs), LONGEST_POLL_MS);
  }

  function isAtRest(): boolean {
    return foundNothing && !waitsForCalls && !claiming && crew.busy === 0 && crew.waiting === 0 &&
      settler.backlog === 0;
  }

  function reasonToStop(now: number): EndedBy | undefined {
    if (signal.aborted) return "shutdown";
    if (cannotClaim || settleFailures >= MOST_SETTLE_FAILURES) return "error";
    if (now >= budgetEnd || workDone() >= mostJobs) return "budget";
    if (isAtRest() && now - lastWorkAt >= lingerMs) return "idle";
    return undefined;
  }

  signal.addEventListener("abort", bell.ring);
  return {
    async untilStop() {
      while (true) {
        const now = clock.now();
        const reason = reasonToStop(now);
        if (reason !== undefined) {
          stopped = true;
          release(crew.giveBack().flatMap((group) => group.jobs));
          settler.flush();
          return reason;
        }
        release(crew.giveBack(now).flatMap((group) => group.jobs));
        if (now >= nextClaimAt()) void claim();
        const nextAt = Math.min(
          budgetEnd,
          nextClaimAt(),
          isAtRest() ? lastWorkAt + lingerMs : Infinity,
          crew.nextStartBy ?? Infinity,
        );
        await bell.wait(nextAt - now);
      }
    },

    async wait(graceMs = Infinity, shutdownGraceMs = Infinity) {
      let end = clock.now() + graceMs;
      let hurried = false;
      while (crew.busy > 0 || claiming) {
        if (signal.aborted && !hurried) {
          hurried = true;
          end = Math.min(end, clock.now() + shutdownGraceMs);
        }
        const left = end - clock.now();
        if (left <= 0) return;
        await bell.wait(left === Infinity ? undefined : left);
      }
    },

    async settleRest() {
      await settler.close();
      signal.removeEventListener("abort", bell.ring);
    },
  };
}
