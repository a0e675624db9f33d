import type { BatchSetting, Contender } from "./contender.ts";
import type { BenchServer } from "./server.ts";
import { formatNumber } from "./statistics.ts";
import { steadyRate, type Timeline } from "./timeline.ts";
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

/** Fills a tidied queue and drains it; `before` runs between the two. */
export async function fillAndDrain(
  contender: Contender,
  setting: BatchSetting,
  jobs: number,
  bench: BenchServer,
  workbench: Workbench,
  before: () => Promise<void> = () => Promise.resolve(),
): Promise<Timeline> {
  await contender.fill(jobs, workbench.signal);
  await bench.tidy();
  await before();
  const signal = AbortSignal.any([
    workbench.signal,
    AbortSignal.timeout(DRAIN_DEADLINE_MS),
  ]);
  return await setting.drain(jobs, signal);
}

/** Tries the batch settings of a contender, each twice, in turn; the better of the two counts. */
export async function calibrate(
  contender: Contender,
  bench: BenchServer,
  workbench: Workbench,
): Promise<Calibrated> {
  const jobs = workbench.quick ? 8_000 : 20_000;
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
