import postgres from "postgres";
import { pause } from "../abort.ts";
import { alone, type Benchmark } from "../benchmark.ts";
import { FILL_BATCH } from "../contender.ts";
import { connect, enqueue, runWorkers, symbolsFrom } from "../contenders/switchyard.ts";
import { formatNumber } from "../statistics.ts";
import { startTimeline, type Timeline } from "../timeline.ts";

/** Jobs that wait or are being done while the feeder feeds. */
const BACKLOG = 10_000;
/** Each comes up again long after its job has finished. */
const SYMBOLS = 50_000;
const BATCH = 100;
/** Milliseconds between the calls of the cron job. */
const COMPACT_EVERY_MS = 60_000;
const MOST_MB = 20;
const LEAST_PERCENT = 95;

export const millionBenchmark: Benchmark = {
  name: "million",
  title: "After a million jobs",
  method:
    "One connection queues jobs in batches of 1,000 so that about 10,000 wait, for 50,000 symbols " +
    "in turn, while four workers claim and settle batches of 100, until a million jobs have passed. " +
    "Each minute, as cron does, and once after the last job compact_queue_v2 is called. " +
    "The size is that of the live partition with its indexes after that (pg_total_relation_size), " +
    "the rate that of the last tenth as a share of the first.",
  usesPeers: false,
  async run(workbench) {
    const bench = await workbench.server();
    const jobs = workbench.quick ? 100_000 : 1_000_000;
    await bench.admin`truncate switchyard.api_call_queue_v2_live`;
    await bench.tidy();
    const vacuumsBefore = await autovacuums(bench.admin);
    const feeder = createFeeder(bench.database.url);
    const ending = new AbortController();
    const signal = AbortSignal.any([workbench.signal, ending.signal]);
    const sizes: number[] = [];
    await feeder.fillTo(BACKLOG, signal);
    const timeline = startTimeline(jobs);
    const tasks = [
      feeder.follow(timeline, signal),
      runWorkers({ url: bench.database.url, batch: BATCH, timeline, signal }),
      watch(bench.database.adminUrl, timeline, sizes, signal),
    ];
    try {
      await Promise.all(tasks);
    } finally {
      ending.abort(new Error("Another part of the benchmark failed"));
      await Promise.allSettled(tasks);
    }
    const size = await compact(bench.admin, sizes);
    const vacuums = await autovacuums(bench.admin) - vacuumsBefore;
    await bench.admin`truncate switchyard.api_call_queue_v2_live`;
    const tenths = Array.from(
      { length: 10 },
      (_, tenth) => timeline.rate(tenth / 10, (tenth + 1) / 10),
    );
    const percent = 100 * tenths.at(-1)! / tenths[0]!;
    workbench.progress(
      `tenths: ${tenths.map(formatNumber).join(", ")} jobs/s; ` +
        `live partition ${formatNumber(size / 1e6)} MB, at most ${
          formatNumber(Math.max(size, ...sizes) / 1e6)
        } MB, ${vacuums} autovacuums`,
    );
    return {
      results: [
        alone({ name: "million/size", value: size / 1e6, unit: "MB" }, {
          text: `<= ${MOST_MB}`,
          isMet: (value) => value <= MOST_MB,
        }),
        alone({
          name: "million/rate",
          value: percent,
          unit: "% of the first tenth's rate",
        }, {
          text: `>= ${LEAST_PERCENT}`,
          isMet: (value) => value >= LEAST_PERCENT,
        }),
      ],
      details: [
        `${formatNumber(jobs)} jobs; jobs/s by tenths: ${tenths.map(formatNumber).join(", ")}.`,
        `The live partition was at most ${
          formatNumber(Math.max(size, ...sizes) / 1e6)
        } MB (looked at once a second); autovacuum came ${vacuums} times.`,
      ],
    };
  },
};

interface Feeder {
  /** Queues jobs until so many have been queued in all. */
  fillTo(jobs: number, signal: AbortSignal): Promise<void>;
  /** Keeps the backlog up until all jobs of the timeline are done, then closes the connection. */
  follow(timeline: Timeline, signal: AbortSignal): Promise<void>;
}

function createFeeder(url: string): Feeder {
  const sql = connect(url);
  let made = 0;
  let next = 0;
  const fillTo = async (jobs: number, signal: AbortSignal) => {
    while (made < jobs) {
      signal.throwIfAborted();
      const to = Math.min(next + FILL_BATCH, SYMBOLS);
      made += await enqueue(sql, symbolsFrom(next, to));
      next = to % SYMBOLS;
    }
  };
  return {
    fillTo,
    async follow(timeline, signal) {
      try {
        while (timeline.done < timeline.total) {
          if (made < timeline.done + BACKLOG) {
            await fillTo(timeline.done + BACKLOG, signal);
          } else await pause(1, signal);
        }
      } finally {
        await sql.end({ timeout: 5 });
      }
    },
  };
}

/** Returns the size after a compaction and notes the one before. */
async function compact(sql: postgres.Sql, sizes: number[]): Promise<number> {
  sizes.push(await liveSize(sql));
  await sql`select public.compact_queue_v2()`;
  return await liveSize(sql);
}

async function watch(
  url: string,
  timeline: Timeline,
  sizes: number[],
  signal: AbortSignal,
): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  let compactedAt = performance.now();
  try {
    while (timeline.done < timeline.total) {
      sizes.push(await liveSize(sql));
      if (performance.now() - compactedAt >= COMPACT_EVERY_MS) {
        compactedAt = performance.now();
        await compact(sql, sizes);
      }
      await pause(1_000, signal);
    }
  } finally {
    await sql.end({ timeout: 5 });
  }
}

async function liveSize(sql: postgres.Sql): Promise<number> {
  const [row] = await sql<[{ bytes: string }]>`
    select pg_total_relation_size('switchyard.api_call_queue_v2_live') as bytes`;
  return Number(row.bytes);
}

/** How often autovacuum has been through the live partition. */
async function autovacuums(sql: postgres.Sql): Promise<number> {
  const [row] = await sql<[{ count: string }]>`
    select pg_stat_get_autovacuum_count('switchyard.api_call_queue_v2_live'::regclass) as count`;
  return Number(row.count);
}
