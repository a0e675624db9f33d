import { type Benchmark, beside } from "../benchmark.ts";
import { type Calibrated, fillAndDrain } from "../calibration.ts";
import { runWorkers } from "../contenders/switchyard.ts";
import { formatNumber, median } from "../statistics.ts";
import { steadyRate } from "../timeline.ts";
import type { Workbench } from "../workbench.ts";

const TARGET_RATIO = 1.3;

export const claimSettleBenchmark: Benchmark = {
  name: "claim-settle",
  title: "Claim and settle without vendor, 4 workers",
  method: "Four workers per queue, in one process, handle jobs with a handler that does nothing. " +
    "Every queue first tries several batch settings and keeps the fastest. Then rounds take " +
    "turns on the same server: fill, vacuum, analyze, checkpoint, drain. The rate leaves out the first " +
    "tenth of each drain, and its end, where workers run out of jobs; the medians count.",
  usesPeers: true,
  async run(workbench) {
    const bench = await workbench.server();
    const contenders = await workbench.contenders();
    const jobs = workbench.quick ? 20_000 : 100_000;
    const rounds = 3;
    const rates = new Map(
      contenders.map(({ contender }) => [contender.name, [] as number[]]),
    );
    for (let round = 0; round < rounds; round++) {
      for (const { contender, best } of contenders) {
        const timeline = await fillAndDrain(
          contender,
          best,
          jobs,
          bench,
          workbench,
        );
        rates.get(contender.name)!.push(steadyRate(timeline));
      }
      workbench.progress(
        `round ${round + 1}: ` +
          [...rates].map(([name, all]) => `${name} ${formatNumber(all.at(-1)!)}/s`).join(", "),
      );
    }
    const medians = [...rates].map(([name, all]) => ({
      name,
      value: median(all),
    }));
    const ours = medians.find(({ name }) => name === "switchyard")!;
    return {
      results: medians.filter((each) => each !== ours).map((peer) =>
        beside(peer, {
          name: `claim-settle/${peer.name}`,
          value: ours.value,
          unit: "jobs/s",
        }, {
          text: `>= ${TARGET_RATIO} x peer`,
          isMet: (_, ratio) => ratio >= TARGET_RATIO,
        })
      ),
      details: [
        `${formatNumber(jobs)} jobs a round.`,
        ...contenders.map((each) => describe(each, rates.get(each.contender.name)!)),
        await withUsage(jobs, contenders, workbench),
      ],
    };
  },
};

function describe(
  { contender, best, tried }: Calibrated,
  rates: readonly number[],
): string {
  return `${contender.name}: ${contender.description} Best with ${best.label}; tried: ` +
    tried.map(({ label, rate }) => `${label} ${formatNumber(rate)}/s`).join(
      ", ",
    ) +
    `. Rounds: ${rates.map(formatNumber).join(", ")}.`;
}

/** One more drain of ours in which every job books a vendor call, as jobs with a vendor do. */
async function withUsage(
  jobs: number,
  contenders: readonly Calibrated[],
  workbench: Workbench,
): Promise<string> {
  const bench = await workbench.server();
  const { contender } = contenders.find(({ contender }) => contender.name === "switchyard")!;
  const batch = 100;
  const timeline = await fillAndDrain(
    contender,
    {
      label: "with usage",
      drain: (timeline, signal) =>
        runWorkers({
          url: bench.database.url,
          batch,
          timeline,
          signal,
          booked: { calls: 1, bytes: 500 },
        }),
    },
    jobs,
    bench,
    workbench,
  );
  return `With one vendor call of 500 bytes booked per job, in batches of ${batch}, ` +
    `switchyard settles ${formatNumber(steadyRate(timeline))} jobs/s (one round).`;
}
