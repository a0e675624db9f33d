import postgres from "postgres";
import { type Benchmark, beside } from "../benchmark.ts";
import { type Calibrated, fillAndDrain } from "../calibration.ts";
import { formatNumber } from "../statistics.ts";
import { steadyRate } from "../timeline.ts";
import type { Workbench } from "../workbench.ts";

const TARGET_PERCENT = 70;

interface Disturbed {
  name: string;
  undisturbed: number;
  lastTenth: number;
  percent: number;
}

export const snapshotBenchmark: Benchmark = {
  name: "snapshot",
  title: "The same while another session holds a snapshot",
  method:
    "As claim and settle, at the best batch setting, twice per queue: undisturbed, then with a " +
    "session that opens a repeatable-read transaction after the fill and keeps it to the end, so " +
    "that no dead row can be vacuumed. The value is the rate of the last tenth of the second drain " +
    "as a share of the rate of the first one.",
  usesPeers: true,
  async run(workbench) {
    const contenders = await workbench.contenders();
    const jobs = workbench.quick ? 40_000 : 250_000;
    const all: Disturbed[] = [];
    for (const contender of contenders) {
      const disturbed = await disturb(contender, jobs, workbench);
      workbench.progress(
        `${disturbed.name}: undisturbed ${formatNumber(disturbed.undisturbed)}/s, last tenth ` +
          `${formatNumber(disturbed.lastTenth)}/s, ${formatNumber(disturbed.percent)} %`,
      );
      all.push(disturbed);
    }
    const ours = all.find(({ name }) => name === "switchyard")!;
    return {
      results: all.filter((each) => each !== ours).map(({ name, percent }) =>
        beside({ name, value: percent }, {
          name: `snapshot/${name}`,
          value: ours.percent,
          unit: "% of the undisturbed rate",
        }, {
          text: `>= ${TARGET_PERCENT}`,
          isMet: (value) => value >= TARGET_PERCENT,
        })
      ),
      details: [
        `${formatNumber(jobs)} jobs per drain.`,
        ...all.map(({ name, undisturbed, lastTenth }) =>
          `${name}: undisturbed ${formatNumber(undisturbed)} jobs/s, ` +
          `last tenth under the snapshot ${formatNumber(lastTenth)} jobs/s.`
        ),
      ],
    };
  },
};

async function disturb(
  { contender, best }: Calibrated,
  jobs: number,
  workbench: Workbench,
): Promise<Disturbed> {
  const bench = await workbench.server();
  const undisturbed = steadyRate(
    await fillAndDrain(contender, best, jobs, bench, workbench),
  );
  const holder = postgres(bench.database.adminUrl, {
    max: 1,
    onnotice: () => {},
  });
  const release = Promise.withResolvers<void>();
  let holding: Promise<unknown> | undefined;
  try {
    const timeline = await fillAndDrain(
      contender,
      best,
      jobs,
      bench,
      workbench,
      async () => {
        const held = Promise.withResolvers<void>();
        holding = holder.begin(
          "isolation level repeatable read",
          async (transaction) => {
            await transaction`select count(*) from public.feature_flags`;
            held.resolve();
            await release.promise;
          },
        );
        holding.catch(held.reject);
        await held.promise;
      },
    );
    const lastTenth = timeline.rate(0.9, 1);
    return {
      name: contender.name,
      undisturbed,
      lastTenth,
      percent: 100 * lastTenth / undisturbed,
    };
  } finally {
    release.resolve();
    await holding;
    await holder.end({ timeout: 5 });
  }
}
