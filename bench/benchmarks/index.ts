import type { Benchmark } from "../benchmark.ts";
import { batchQuotesBenchmark } from "./batch_quotes.ts";
import { claimSettleBenchmark } from "./claim_settle.ts";
import { cpuBenchmark } from "./cpu.ts";
import { enqueueBenchmark } from "./enqueue.ts";
import { latencyBenchmark } from "./latency.ts";
import { limitsBenchmark } from "./limits.ts";
import { millionBenchmark } from "./million.ts";
import { rollbackBenchmark } from "./rollback.ts";
import { snapshotBenchmark } from "./snapshot.ts";
import { stalenessBenchmark } from "./staleness.ts";

/** Those on the durable server first, then those that start a local stack of their own. */
export const serverBenchmarks: readonly Benchmark[] = [
  enqueueBenchmark,
  claimSettleBenchmark,
  snapshotBenchmark,
  millionBenchmark,
  rollbackBenchmark,
  stalenessBenchmark,
];

export const stackBenchmarks: readonly Benchmark[] = [
  limitsBenchmark,
  batchQuotesBenchmark,
  latencyBenchmark,
  cpuBenchmark,
];
