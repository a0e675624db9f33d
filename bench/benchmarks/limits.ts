import postgres from "postgres";
import { type FmpCall, type FmpSimulator } from "../../local/fmp/simulator.ts";
import { runProcessorOn } from "../../local/processor_run.ts";
import { type Stack, startStack } from "../../local/stack.ts";
import { started, waitFor } from "../abort.ts";
import { alone, type Benchmark, type Findings } from "../benchmark.ts";
import { batchesOf } from "../contender.ts";
import { enqueue } from "../contenders/switchyard.ts";
import { makeDataDir } from "../server.ts";
import { formatNumber } from "../statistics.ts";
import type { Workbench } from "../workbench.ts";

const LIMITS = [300, 3_000];
const PROCESSORS = 4;
const LEAST_PERCENT = 98;
const WINDOW_MS = 60_000;
const HALF_AN_HOUR_MS = 30 * 60_000;
/** Longest time for one window's worth of calls before the benchmark gives up. */
const FILL_DEADLINE_MS = 75_000;

export const limitsBenchmark: Benchmark = {
  name: "limits",
  title: "Use of the vendor's limit with a backlog, 4 processors",
  method:
    "Four runs of the real processor work on a backlog of quotes over REST on the local stack; the " +
    "vendor simulator admits no more than the limit in any 60 seconds and counts what comes " +
    "beyond as violations. The first fill of the window is left out. After it the time is taken " +
    "for whole multiples of the limit, from the first call of one to the first call after the last: " +
    "the share of the limit that was used does not depend on where in a burst the clock starts.",
  usesPeers: false,
  async run(workbench) {
    const all: Findings = { results: [], details: [] };
    for (const limit of LIMITS) {
      const { results, details } = await measure(limit, workbench);
      all.results.push(...results);
      all.details.push(...details);
    }
    return all;
  },
};

async function measure(limit: number, workbench: Workbench): Promise<Findings> {
  const { signal, progress } = workbench;
  // Windows measured after the first fill.
  const windows = workbench.quick ? 1 : 2;
  const wanted = limit * (windows + 1) + 1;
  const dataDir = await makeDataDir();
  let stack: Stack | undefined;
  try {
    stack = await started(signal, (starting) =>
      startStack({
        dataDir: dataDir.path,
        cron: false,
        net: false,
        // More than will be called: the backlog must last.
        simulator: { callsPerMinute: limit, symbols: wanted + limit },
        signal: starting,
      }));
    const simulator = stack.simulator!;
    await fillBacklog(stack, limit);
    progress(
      `${limit} calls/min: ${windows + 1} windows, about ${windows + 1} minutes`,
    );
    const stop = new AbortController();
    const runs = Array.from(
      { length: PROCESSORS },
      () =>
        runProcessorOn(stack!, {
          budgetMs: HALF_AN_HOUR_MS,
          lingerMs: HALF_AN_HOUR_MS,
          batchSize: 400,
          signal: AbortSignal.any([signal, stop.signal]),
        }),
    );
    let calls: FmpCall[];
    try {
      const waiting = waitFor(
        `${wanted} admitted calls at ${limit} calls/min`,
        FILL_DEADLINE_MS * (windows + 1),
        250,
        signal,
        () => admitted(simulator).length >= wanted ? true : undefined,
      );
      await Promise.race([
        waiting,
        ...runs.map(async (run) => {
          const report = await run;
          throw new Error(
            `A processor ended by "${report.endedBy}" before the backlog was done: ` +
              JSON.stringify(report.errors.slice(0, 3)),
          );
        }),
      ]);
      calls = admitted(simulator);
    } finally {
      stop.abort();
      await Promise.allSettled(runs);
    }
    const first = calls[limit]!;
    const last = calls[limit * (windows + 1)]!;
    const elapsedMs = last.time - first.time;
    const percent = 100 * windows * WINDOW_MS / elapsedMs;
    const violations = simulator.violations;
    progress(
      `${limit} calls/min: ${formatNumber(percent)} % used over ${
        formatNumber(elapsedMs / 1_000)
      } s, ${violations} violations`,
    );
    return {
      results: [
        alone({
          name: `limits/${limit}`,
          value: percent,
          unit: "% of the allowed calls",
        }, {
          text: `>= ${LEAST_PERCENT}`,
          isMet: (value) => value >= LEAST_PERCENT,
        }),
        alone({
          name: `limits/${limit}/violations`,
          value: violations,
          unit: "calls",
        }, {
          text: "= 0",
          isMet: (value) => value === 0,
        }),
      ],
      details: [
        `${limit} calls/min: ${formatNumber(windows * limit)} calls after the first fill took ${
          (elapsedMs / 1_000).toFixed(2)
        } s; the simulator saw ${formatNumber(simulator.calls)} calls in all.`,
      ],
    };
  } finally {
    await stack?.stop();
    await dataDir.remove();
  }
}

function admitted(simulator: FmpSimulator): FmpCall[] {
  return simulator.ledger.filter((call) => !call.violation);
}

async function fillBacklog(stack: Stack, limit: number): Promise<void> {
  const sql = postgres(stack.databaseUrl, { max: 1, onnotice: () => {} });
  try {
    await sql`update public.api_providers_v2 set calls_per_minute = ${limit} where provider = 'fmp'`;
    // A call for each quote.
    await sql`update public.data_type_registry_v2 set batch_size = 1`;
    await sql`select switchyard.set_stage('quote', 'live')`;
    await sql`
      update public.feature_flags set enabled = true where flag_name = 'use_queue_system'`;
    const symbols = stack.simulator!.symbols;
    for (const { from, to } of batchesOf(symbols.length)) {
      await enqueue(sql, symbols.slice(from, to));
    }
  } finally {
    await sql.end({ timeout: 5 });
  }
}
