import { alone, type Benchmark } from "../benchmark.ts";
import { batchesOf } from "../contender.ts";
import { enqueue, symbolsFrom } from "../contenders/switchyard.ts";
import { formatNumber, median } from "../statistics.ts";

const MOST_MS = 1_000;
const ROUNDS = 5;
const QUICK_JOBS = 10_000;
const JOBS = 100_000;

export const rollbackBenchmark: Benchmark = {
  name: "rollback",
  title: "Rolling a data type back, one UPDATE",
  method:
    "Quotes are live and both flags on, so that the legacy jobs rest, and 100,000 jobs of theirs are " +
    "pending. Then one UPDATE turns use_queue_for_quote off: its commit lets the legacy jobs run again, " +
    "cancels the pending jobs and writes the event. The median of five counts, commit included.",
  usesPeers: false,
  async run(workbench) {
    const bench = await workbench.server();
    const { admin } = bench;
    const jobs = workbench.quick ? QUICK_JOBS : JOBS;
    await admin`
      update public.feature_flags set enabled = true where flag_name = 'use_new_staleness_check'`;
    const times: number[] = [];
    try {
      for (let round = 0; round < ROUNDS; round++) {
        workbench.signal.throwIfAborted();
        for (const { from, to } of batchesOf(jobs)) {
          await enqueue(admin, symbolsFrom(from, to));
        }
        await bench.tidy();
        const started = performance.now();
        await admin`
          update public.feature_flags set enabled = false where flag_name = 'use_queue_for_quote'`;
        times.push(performance.now() - started);
        const [event] = await admin<[{ cancelled: number }]>`
          select (detail ->> 'cancelled_jobs')::int as cancelled
            from switchyard.migration_events order by id desc limit 1`;
        if (event.cancelled !== jobs) {
          throw new Error(
            `Cannot measure a rollback: ${event.cancelled} of ${jobs} jobs were cancelled`,
          );
        }
        await admin`select switchyard.set_stage('quote', 'live')`;
      }
    } finally {
      await admin`
        update public.feature_flags set enabled = false where flag_name = 'use_new_staleness_check'`;
    }
    workbench.progress(times.map((ms) => `${formatNumber(ms)} ms`).join(", "));
    return {
      results: [
        alone({ name: "rollback", value: median(times), unit: "ms" }, {
          text: `<= ${MOST_MS}`,
          isMet: (value) => value <= MOST_MS,
        }),
      ],
      details: [
        `${formatNumber(jobs)} pending jobs; rounds: ${
          times.map((ms) => formatNumber(ms)).join(", ")
        } ms.`,
      ],
    };
  },
};
