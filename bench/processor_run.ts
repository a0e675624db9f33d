import type { Stack } from "../local/stack.ts";
import { fetchers } from "../supabase/functions/_shared/fetchers/index.ts";
import { runProcessor } from "../supabase/functions/_shared/processor/run_processor.ts";
import { createQueueClient } from "../supabase/functions/_shared/queue_client.ts";

const HALF_AN_HOUR_MS = 30 * 60_000;

/** One run of the real processor in this process, until its queue stays empty or the signal aborts. */
export async function processOn(stack: Stack, signal: AbortSignal, lingerMs = HALF_AN_HOUR_MS) {
  const queue = createQueueClient({
    url: stack.apiUrl,
    key: stack.keys.secretKey,
  });
  const runId = crypto.randomUUID();
  const { started: isStarted, reason } = await queue.startRun(runId, false, {
    until: Date.now() + 15_000,
  });
  if (!isStarted) throw new Error(`Cannot start a processor: ${reason}`);
  return await runProcessor({
    queue,
    runId,
    fetchers,
    context: {
      fetch: globalThis.fetch,
      baseUrl: stack.fmpUrl,
      apiKey: stack.simulator!.apiKey,
      timeoutMs: 10_000,
      now: () => new Date(),
    },
    budgetMs: HALF_AN_HOUR_MS,
    batchSize: 400,
    lingerMs,
    signal,
  });
}
