import type { BatchSetting, Contender } from "./contender.ts";
import type { BenchServer } from "./server.ts";
import { formatNumber } from "./statistics.ts";
import { startTimeline, steadyRate, type Timeline } from "./timeline.ts";
import type { Workbench } from "./workbench.ts";

/** A contender with the batch setting that was fastest. */
export interface Calibrated {
  contender: Contender;
  best: BatchSetting;
  /** Every setting that was tried, with its jobs per second. */
  tried: { label: string; rate: number }[];
}

/** Longest wait for one drain: a queue that slows down that much is reported as failed. */
const DRAIN_DEADLINE_MS = 15 * 60_000;

/** Jobs that keep every worker busy at the largest batch until the last measured job is done. */
const SURPLUS = 10_000;

/** Fills the queue, tidies the server and drains the queue; `before` runs before the drain. */
export async function fillAndDrain(
  contender: Contender,
  setting: BatchSetting,
  jobs: number,
  bench: BenchServer,
  workbench: Workbench,
  before: () => Promise<void> = () => Promise.resolve(),
): Promise<Timeline> {
  await contender.fill(jobs + SURPLUS, workbench.signal);
  await bench.tidy();
  await before();
  const signal = AbortSignal.any([
    workbench.signal,
    AbortSignal.timeout(DRAIN_DEADLINE_MS),
  ]);
  const timeline = startTimeline(jobs, SURPLUS);
  await setting.drain(timeline, signal);
  return timeline;
}

/** Tries the batch settings of a contender, each twice, in turn; the better of the two counts. */
export async function calibrate(
  contender: Contender,
  bench: BenchServer,
  workbench: Workbench,
): Promise<Calibrated> {
  const jobs = workbench.quick ? 20_000 : 40_000;
  const tried = contender.settings.map((setting) => ({
    setting,
    label: setting.label,
    rate: 0,
  }));
  for (let round = 0; round < 2; round++) {
    for (const trial of tried) {
      const timeline = await fillAndDrain(
        contender,
        trial.setting,
        jobs,
        bench,
        workbench,
      );
      trial.rate = Math.max(trial.rate, steadyRate(timeline));
    }
  }
  const [first, ...others] = tried;
  if (first === undefined) {
    throw new Error(`Cannot calibrate ${contender.name}: no settings`);
  }
  const best = others.reduce(
    (best, trial) => trial.rate > best.rate ? trial : best,
    first,
  );
  workbench.progress(
    `${contender.name}: ` +
      tried.map(({ label, rate }) => `${label} ${formatNumber(rate)}/s`).join(
        ", ",
      ),
  );
  return {
    contender,
    best: best.setting,
    tried: tried.map(({ label, rate }) => ({ label, rate })),
  };
}
