import postgres from "postgres";
import { runProcessorOn } from "../../local/processor_run.ts";
import { type Stack, startStack } from "../../local/stack.ts";
import { started } from "../abort.ts";
import { alone, type Benchmark } from "../benchmark.ts";
import { batchesOf } from "../contender.ts";
import { enqueue } from "../contenders/switchyard.ts";
import { makeDataDir } from "../server.ts";
import { formatNumber } from "../statistics.ts";

const CALLS_PER_MINUTE = 300;
const LEAST_PER_MINUTE = 5_000;
const HALF_AN_HOUR_MS = 30 * 60_000;

export const batchQuotesBenchmark: Benchmark = {
  name: "batch-quotes",
  title: "Quotes refreshed a minute at 300 vendor calls a minute",
  method:
    "One run of the real processor refreshes a backlog of quotes over REST on the local stack, a " +
    "hundred to a call through batch-quote; the vendor simulator admits 300 calls a minute. The time " +
    "goes from the first call to the last settled job.",
  usesPeers: false,
  async run(workbench) {
    const { quick, signal, progress } = workbench;
    const jobs = quick ? 2_000 : 20_000;
    const dataDir = await makeDataDir();
    let stack: Stack | undefined;
    try {
      stack = await started(signal, (starting) =>
        startStack({
          dataDir: dataDir.path,
          cron: false,
          net: false,
          simulator: { callsPerMinute: CALLS_PER_MINUTE, symbols: jobs },
          signal: starting,
        }));
      const sql = postgres(stack.databaseUrl, { max: 1, onnotice: () => {} });
      try {
        await sql`select switchyard.set_stage('quote', 'live')`;
        await sql`update public.feature_flags set enabled = true where flag_name = 'use_queue_system'`;
        const symbols = stack.simulator!.symbols;
        for (const { from, to } of batchesOf(symbols.length)) {
          await enqueue(sql, symbols.slice(from, to));
        }
        const report = await runProcessorOn(stack, {
          budgetMs: HALF_AN_HOUR_MS,
          batchSize: 400,
          lingerMs: 1_000,
          signal,
        });
        const [done] = await sql<[{ jobs: number; ended: Date }]>`
          select count(*)::int as jobs, max(finished_at) as ended
            from public.api_call_queue_v2 where status = 'completed'`;
        const calls = stack.simulator!.ledger;
        if (done.jobs !== symbols.length) {
          throw new Error(
            `Cannot measure: ${done.jobs} of ${symbols.length} quotes were refreshed; ` +
              JSON.stringify(report.errors.slice(0, 3)),
          );
        }
        const minutes = (done.ended.getTime() - calls[0]!.time) / 60_000;
        progress(`${formatNumber(done.jobs / minutes)} quotes a minute, ${calls.length} calls`);
        return {
          results: [
            alone(
              { name: "batch-quotes", value: done.jobs / minutes, unit: "quotes/min" },
              {
                text: `>= ${LEAST_PER_MINUTE}`,
                isMet: (value) => value >= LEAST_PER_MINUTE,
              },
            ),
            alone(
              { name: "batch-quotes/calls", value: calls.length / done.jobs, unit: "calls/quote" },
              { text: "<= 0.02", isMet: (value) => value <= 0.02 },
            ),
          ],
          details: [
            `${formatNumber(done.jobs)} quotes took ${calls.length} calls and ` +
            `${formatNumber(60 * minutes)} s.`,
          ],
        };
      } finally {
        await sql.end({ timeout: 5 });
      }
    } finally {
      await stack?.stop();
      await dataDir.remove();
    }
  },
};
