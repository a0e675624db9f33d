import { fetchContextFromEnv } from "../supabase/functions/_shared/env.ts";
import { fetchers } from "../supabase/functions/_shared/fetchers/index.ts";
import type { ProcessorOptions } from "../supabase/functions/_shared/processor/options.ts";
import type { ProcessorReport } from "../supabase/functions/_shared/processor/report.ts";
import { runProcessor } from "../supabase/functions/_shared/processor/run_processor.ts";
import { createQueueClient } from "../supabase/functions/_shared/queue_client.ts";
import type { Stack } from "./stack.ts";

const START_WITHIN_MS = 15_000;

/** Options of a run on a local stack: those of the processor, and how it calls the database. */
export interface ProcessorRunOptions
  extends Partial<Omit<ProcessorOptions, "queue" | "context" | "runId">> {
  /** URL of the project's API; default: the stack's. */
  apiUrl?: string;
  /** Milliseconds for one call of the database; default: the queue client's. */
  callTimeoutMs?: number;
}

/**
 * One run of the real processor in this process, with the deployed fetchers unless others are given.
 * Throws when the queue refuses the run.
 */
export async function runProcessorOn(
  stack: Stack,
  { apiUrl = stack.apiUrl, callTimeoutMs, ...options }: ProcessorRunOptions = {},
): Promise<ProcessorReport> {
  if (!stack.simulator) throw new Error("Cannot run a processor: the stack has no simulator");
  const env = new Map([
    ["FMP_API_KEY", stack.simulator.apiKey],
    ["FMP_BASE_URL", stack.fmpUrl],
  ]);
  const queue = createQueueClient({
    url: apiUrl,
    key: stack.keys.secretKey,
    ...(callTimeoutMs === undefined ? {} : { callTimeoutMs }),
  });
  const runId = crypto.randomUUID();
  const { started, reason } = await queue.startRun(runId, false, {
    until: Date.now() + START_WITHIN_MS,
  });
  if (!started) throw new Error(`Cannot start a processor: ${reason}`);
  return await runProcessor({
    queue,
    runId,
    fetchers,
    context: fetchContextFromEnv(
      { get: (name) => env.get(name) },
      options.signal ?? new AbortController().signal,
    ),
    ...options,
  });
}
