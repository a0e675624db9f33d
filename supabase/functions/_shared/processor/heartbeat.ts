import type { Queue } from "../queue_client.ts";
import type { Clock } from "./clock.ts";
import { QUEUE_CALL_MS, queueProblem } from "./queue_problem.ts";
import type { Tally } from "./report.ts";

/** Milliseconds between heartbeats; a run counts as dead after 20,000 without one. */
const HEARTBEAT_MS = 5_000;

/** Shows that a run is alive until the signal aborts; what goes wrong is a warning. */
export async function beat(
  queue: Queue,
  runId: string,
  clock: Clock,
  tally: Tally,
  signal: AbortSignal,
): Promise<void> {
  while (true) {
    await clock.sleep(HEARTBEAT_MS, signal);
    if (signal.aborted) return;
    try {
      const alive = await queue.heartbeat(runId, { until: clock.now() + QUEUE_CALL_MS, signal });
      if (!alive) tally.warning(`The queue does not know processor run ${runId} as running`);
    } catch (error) {
      if (!signal.aborted) tally.warning(queueProblem(error).message);
    }
  }
}
