import type postgres from "postgres";
import { type Benchmark, beside } from "../benchmark.ts";
import { batchesOf, FILL_BATCH } from "../contender.ts";
import { connect, enqueue, symbolsFrom } from "../contenders/switchyard.ts";
import { formatNumber, median } from "../statistics.ts";

const TARGET_PER_SECOND = 100_000;

export const enqueueBenchmark: Benchmark = {
  name: "enqueue",
  title: "Enqueue, set-based, through the unique key",
  method:
    "One connection queues new jobs with switchyard.enqueue_jobs in batches of 1,000, each batch " +
    "a transaction. Beside it the same connection inserts as many rows in the same batches into a " +
    "table with the same columns and defaults that has nothing but a primary key on id. Both start " +
    "empty; rounds take turns and the medians count.",
  usesPeers: false,
  async run(workbench) {
    const { quick, signal, progress } = workbench;
    const bench = await workbench.server();
    const jobs = quick ? 20_000 : 100_000;
    const rounds = quick ? 3 : 5;
    const { admin } = bench;
    await admin`create table switchyard.bench_bare (
      like switchyard.api_call_queue_v2_live including defaults)`;
    await admin`alter table switchyard.bench_bare add primary key (id)`;
    await admin`grant insert on switchyard.bench_bare to service_role`;
    const sql = connect(bench.database.url);
    const ours: number[] = [];
    const bare: number[] = [];
    try {
      for (let round = 0; round < rounds; round++) {
        await empty(admin);
        await bench.tidy();
        ours.push(
          await rate(
            jobs,
            signal,
            async (symbols) => await enqueue(sql, symbols),
          ),
        );
        await bench.tidy();
        bare.push(
          await rate(
            jobs,
            signal,
            async (symbols) => await insertBare(sql, symbols),
          ),
        );
        progress(
          `round ${round + 1}: enqueue ${formatNumber(ours.at(-1)!)}/s, ` +
            `bare insert ${formatNumber(bare.at(-1)!)}/s`,
        );
      }
      await empty(admin);
    } finally {
      await sql.end({ timeout: 5 });
      await admin`drop table switchyard.bench_bare`;
    }
    return {
      results: [beside(
        { name: "bare insert", value: median(bare) },
        { name: "enqueue", value: median(ours), unit: "jobs/s" },
        {
          text: `>= ${TARGET_PER_SECOND}`,
          isMet: (value) => value >= TARGET_PER_SECOND,
        },
      )],
      details: [
        `${formatNumber(jobs)} jobs a round; rounds of enqueue: ${
          ours.map(formatNumber).join(", ")
        }; of the bare insert: ${bare.map(formatNumber).join(", ")}.`,
      ],
    };
  },
};

async function empty(admin: postgres.Sql): Promise<void> {
  await admin`truncate switchyard.api_call_queue_v2_live, switchyard.bench_bare`;
}

async function rate(
  jobs: number,
  signal: AbortSignal,
  insert: (symbols: string[]) => Promise<number>,
): Promise<number> {
  // The first batch opens the connection and plans the statement.
  await insert(symbolsFrom(jobs, jobs + FILL_BATCH));
  const batches = [...batchesOf(jobs)].map(({ from, to }) => symbolsFrom(from, to));
  const started = performance.now();
  let made = 0;
  for (const symbols of batches) {
    signal.throwIfAborted();
    made += await insert(symbols);
  }
  const seconds = (performance.now() - started) / 1_000;
  if (made !== jobs) {
    throw new Error(
      `Cannot measure the enqueue: ${made} of ${jobs} rows are new`,
    );
  }
  return jobs / seconds;
}

async function insertBare(
  sql: postgres.Sql,
  symbols: string[],
): Promise<number> {
  const { count } = await sql`
    insert into switchyard.bench_bare (symbol, data_type, provider, source, priority)
    select symbol, data_type, 'fmp', 'demand', priority
      from unnest(
        ${symbols}::text[],
        ${symbols.map(() => "quote")}::text[],
        ${symbols.map(() => 1_000)}::int[]) as job (symbol, data_type, priority)`;
  return count;
}
