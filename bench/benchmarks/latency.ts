import postgres from "postgres";
import { type Stack, startStack } from "../../local/stack.ts";
import { pause, started, waitFor } from "../abort.ts";
import { alone, type Benchmark } from "../benchmark.ts";
import { makeDataDir } from "../server.ts";
import { formatNumber, percentile } from "../statistics.ts";

const P50_MS = 150;
const P99_MS = 1_000;
const PROCESSOR = "queue-processor-v2";
/** Every so many samples the processor's worker has been let go before. */
const COLD_EVERY = 10;

interface Sample {
  ms: number;
  cold: boolean;
}

export const latencyBenchmark: Benchmark = {
  name: "latency",
  title: "From the staleness check to the vendor call, idle system",
  method:
    "The local stack with pg_net's stand-in and the processor as Edge Function, flags on, quotes " +
    "live. For one stale symbol after the other check_and_queue_stale_batch_v2 is called when no " +
    "processor is alive and the queue is empty, one to two seconds after that began. The time runs " +
    "from before that call to the arrival of the vendor call at the simulator. In every tenth " +
    "sample, the first one included, the platform has let the function's worker go, and it has to " +
    "boot. Percentiles are samples, not interpolated. The processor's linger is set to 0.1 s so " +
    "that the system is idle again sooner.",
  usesPeers: false,
  async run({ quick, signal, progress }) {
    const count = quick ? 10 : 50;
    const dataDir = await makeDataDir();
    let stack: Stack | undefined;
    const samples: Sample[] = [];
    try {
      stack = await started(signal, (starting) =>
        startStack({
          dataDir: dataDir.path,
          cron: false,
          activeSymbols: count,
          functionEnv: { PROCESSOR_LINGER_MS: "100" },
          signal: starting,
        }));
      const sql = postgres(stack.databaseUrl, { max: 1, onnotice: () => {} });
      try {
        await sql`select switchyard.set_stage('quote', 'live')`;
        await sql`update public.feature_flags set enabled = true
                   where flag_name in ('use_queue_system', 'use_new_staleness_check')`;
        const symbols = await sql<{ symbol: string }[]>`
          select symbol from public.supported_symbols where is_active order by symbol`;
        for (const [index, { symbol }] of symbols.entries()) {
          const cold = index % COLD_EVERY === 0;
          await becomeIdle(stack, sql, cold, signal);
          samples.push({ ms: await sample(stack, sql, symbol, signal), cold });
        }
      } finally {
        await sql.end({ timeout: 5 });
      }
    } finally {
      await stack?.stop();
      await dataDir.remove();
    }
    const all = samples.map(({ ms }) => ms);
    const warm = samples.filter(({ cold }) => !cold).map(({ ms }) => ms);
    const cold = samples.filter(({ cold }) => cold).map(({ ms }) => ms);
    const p50 = percentile(all, 0.5);
    const p99 = percentile(all, 0.99);
    progress(`p50 ${p50} ms, p99 ${p99} ms; cold: ${cold.join(", ")} ms`);
    return {
      results: [
        alone({ name: "latency/p50", value: p50, unit: "ms" }, {
          text: `<= ${P50_MS}`,
          isMet: (value) => value <= P50_MS,
        }),
        alone({ name: "latency/p99", value: p99, unit: "ms" }, {
          text: `<= ${P99_MS}`,
          isMet: (value) => value <= P99_MS,
        }),
      ],
      details: [
        `${all.length} samples. With a warm worker: p50 ${
          formatNumber(percentile(warm, 0.5))
        } ms, ` +
        `p90 ${formatNumber(percentile(warm, 0.9))} ms, most ${
          formatNumber(Math.max(...warm))
        } ms. With a worker that had to boot: ${cold.join(", ")} ms.`,
      ],
    };
  },
};

/** Waits until nothing runs and, for a cold start, until the processor's worker is gone. */
async function becomeIdle(
  stack: Stack,
  sql: postgres.Sql,
  cold: boolean,
  signal: AbortSignal,
): Promise<void> {
  await waitFor("the system to be idle", 60_000, 50, signal, async () => {
    const [row] = await sql<[{ idle: boolean }]>`
      select not exists (select from switchyard.processor_runs where finished_at is null)
         and not exists (select from switchyard.api_call_queue_v2_live) as idle`;
    return row.idle ? true : undefined;
  });
  if (cold) {
    await waitFor(
      "the processor's worker to be let go",
      60_000,
      100,
      signal,
      () => {
        const isThere = stack.functions.workers().some(({ name }) => name === PROCESSOR);
        return isThere ? undefined : true;
      },
    );
  }
  // Wakes are a second apart at least, and so are the batches of pg_net: the next one is due at any
  // point of that second.
  await pause(1_000 + Math.random() * 1_000, signal);
}

async function sample(
  stack: Stack,
  sql: postgres.Sql,
  symbol: string,
  signal: AbortSignal,
): Promise<number> {
  const simulator = stack.simulator!;
  const before = simulator.calls;
  const started = Date.now();
  const [row] = await sql<
    [{ answer: { queued: boolean; reason: string | null }[] }]
  >`
    select public.check_and_queue_stale_batch_v2(${symbol}, array['quote']) as answer`;
  if (row.answer[0]?.queued !== true) {
    throw new Error(
      `Cannot take a sample: "${symbol}" was not queued: ${row.answer[0]?.reason}`,
    );
  }
  const call = await waitFor(
    `the vendor call for "${symbol}"`,
    30_000,
    5,
    signal,
    () =>
      simulator.ledger.slice(-5).find((call) => call.id > before && call.symbols.includes(symbol)),
  );
  return call.time - started;
}
