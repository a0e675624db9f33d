import { createAfterwork } from "./afterwork.ts";
import { systemClock } from "./clock.ts";
import { beat } from "./heartbeat.ts";
import type { ProcessorOptions } from "./options.ts";
import { queueProblem } from "./queue_problem.ts";
import { createTally, type ProcessorReport } from "./report.ts";
import { startWork } from "./work.ts";

/** Milliseconds to finish the run once all is settled. */
const FINISH_MS = 5_000;

/**
 * Drains the queue: claims what it can start at once, fetches, settles, until the queue stays empty
 * (`idle`; jobs that wait for calls to come free keep it running), the budget of time or jobs is used
 * up (`budget`), the signal aborts (`shutdown`), or claims or settles keep failing (`error`). Then
 * finishes the run with its report.
 *
 * Every claimed job is settled or given back; where the database cannot be reached, its lease
 * expires. Never rejects.
 *
 * Claims ask for no more than fits the free slots, because the vendor's limit is counted when a
 * job is claimed: a call made much later would fall into another minute than its grant.
 */
export async function runProcessor(options: ProcessorOptions): Promise<ProcessorReport> {
  const { queue, runId, manual = false, signal = new AbortController().signal } = options;
  const { clock = systemClock, graceMs = 15_000, shutdownGraceMs = 5_000 } = options;
  const startedAt = clock.now();
  const tally = createTally();
  const vendorEnd = new AbortController();
  const settleEnd = new AbortController();
  const heartEnd = new AbortController();

  const heart = beat(queue, runId, clock, tally, heartEnd.signal);
  const afterwork = createAfterwork(
    options.afterAccess && { ...options.afterAccess, signal: vendorEnd.signal },
    { clock, tally, secrets: [options.context.apiKey] },
  );
  const work = startWork(
    options,
    { clock, tally, startedAt, signal, afterwork },
    vendorEnd,
    settleEnd.signal,
  );
  const endedBy = await work.untilStop();
  await work.wait(graceMs, shutdownGraceMs);
  // What is left of the grace, which is all of it for a run that ended idle.
  const waited = new AbortController();
  await Promise.race([
    afterwork.close(),
    clock.sleep(endedBy === "idle" ? graceMs : 0, AbortSignal.any([signal, waited.signal])),
  ]);
  waited.abort();
  vendorEnd.abort();
  await work.wait();
  void clock.sleep(options.settleGraceMs ?? 5_000, heartEnd.signal).then(() => settleEnd.abort());
  await work.settleRest();
  heartEnd.abort();
  await heart;

  const finishedAt = clock.now();
  const report = tally.report({ runId, manual, startedAt, finishedAt }, endedBy);
  try {
    await queue.finishRun(runId, report, { until: clock.now() + FINISH_MS });
  } catch (error) {
    tally.error(queueProblem(error));
  }
  return tally.report({ runId, manual, startedAt, finishedAt }, endedBy);
}
