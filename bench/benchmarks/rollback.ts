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
    "cancels the pending jobs and writes the event. The median of five counts, commit included: once after " +
    "VACUUM ANALYZE of the full queue, once after that of the queue as it was emptied before it filled again.",
  usesPeers: false,
  async run(workbench) {
    const bench = await workbench.server();
    const { admin } = bench;
    const jobs = workbench.quick ? QUICK_JOBS : JOBS;
    await admin`
      update public.feature_flags set enabled = true where flag_name = 'use_new_staleness_check'`;
    const fill = async () => {
      for (const { from, to } of batchesOf(jobs)) {
        await enqueue(admin, symbolsFrom(from, to));
      }
    };
    const measure = async () => {
      const started = performance.now();
      await admin`
        update public.feature_flags set enabled = false where flag_name = 'use_queue_for_quote'`;
      const ms = performance.now() - started;
      const [event] = await admin<[{ cancelled: number }]>`
        select (detail ->> 'cancelled_jobs')::int as cancelled
          from switchyard.migration_events order by id desc limit 1`;
      if (event.cancelled !== jobs) {
        throw new Error(
          `Cannot measure a rollback: ${event.cancelled} of ${jobs} jobs were cancelled`,
        );
      }
      await admin`select switchyard.set_stage('quote', 'live')`;
      return ms;
    };
    const known: number[] = [];
    const unknown: number[] = [];
    try {
      for (let round = 0; round < ROUNDS; round++) {
        workbench.signal.throwIfAborted();
        await fill();
        await bench.tidy();
        known.push(await measure());
        await fill();
        await admin`delete from public.api_call_queue_v2 where finished_at = 'infinity'`;
        await bench.tidy();
        await fill();
        unknown.push(await measure());
      }
    } finally {
      await admin`
        update public.feature_flags set enabled = false where flag_name = 'use_new_staleness_check'`;
    }
    const inWords = (times: readonly number[]) => times.map((ms) => formatNumber(ms)).join(", ");
    workbench.progress(
      `${inWords(known)} ms; statistics of an empty queue: ${inWords(unknown)} ms`,
    );
    const target = { text: `<= ${MOST_MS}`, isMet: (value: number) => value <= MOST_MS };
    return {
      results: [
        alone({ name: "rollback", value: median(known), unit: "ms" }, target),
        alone({ name: "rollback/old statistics", value: median(unknown), unit: "ms" }, target),
      ],
      details: [
        `${formatNumber(jobs)} pending jobs; rounds: ${
          inWords(known)
        } ms; with the statistics of an empty queue: ${inWords(unknown)} ms.`,
      ],
    };
  },
};
