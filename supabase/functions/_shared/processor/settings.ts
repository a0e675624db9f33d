import { type Env, wholeNumberEnv } from "../env.ts";
import type { ProcessorOptions } from "./options.ts";

/** What operators may change about a run. */
export type ProcessorSettings = Required<
  Pick<
    ProcessorOptions,
    "budgetMs" | "mostJobs" | "lingerMs" | "batchSize" | "concurrency" | "leaseSeconds"
  >
>;

/**
 * Settings from the environment, each with a default:
 *
 * | variable | default | |
 * |---|---|---|
 * | `PROCESSOR_BUDGET_MS` | 120,000 | claims no more after it; 25 seconds less than the platform's wall clock (150 s on the free plan, 400 s on paid ones) leave time to finish |
 * | `PROCESSOR_MOST_JOBS` | 1,500 | claims no more after so many jobs, a hundred rows of a job in parts counting as one: the platform allows a worker two seconds of CPU time |
 * | `PROCESSOR_LINGER_MS` | 2,000 | how long an empty queue is watched |
 * | `PROCESSOR_CONCURRENCY` | 8 | groups of jobs fetched at once |
 * | `PROCESSOR_BATCH_SIZE` | 400 | most jobs per round trip; types with a batch endpoint fill it |
 * | `PROCESSOR_LEASE_SECONDS` | 120 | how long a claim holds its jobs |
 *
 * Throws EnvError for a value out of bounds.
 */
export function processorSettings(env: Env): ProcessorSettings {
  return {
    budgetMs: wholeNumberEnv(env, "PROCESSOR_BUDGET_MS", {
      default: 120_000,
      min: 1_000,
      max: 375_000,
    }),
    mostJobs: wholeNumberEnv(env, "PROCESSOR_MOST_JOBS", {
      default: 1_500,
      min: 1,
      max: 1_000_000,
    }),
    lingerMs: wholeNumberEnv(env, "PROCESSOR_LINGER_MS", { default: 2_000, min: 0, max: 60_000 }),
    batchSize: wholeNumberEnv(env, "PROCESSOR_BATCH_SIZE", { default: 400, min: 1, max: 1_000 }),
    concurrency: wholeNumberEnv(env, "PROCESSOR_CONCURRENCY", { default: 8, min: 1, max: 100 }),
    leaseSeconds: wholeNumberEnv(env, "PROCESSOR_LEASE_SECONDS", {
      default: 120,
      min: 60,
      max: 3_600,
    }),
  };
}
