import { QueueError } from "../queue_client.ts";
import { messageText } from "./results.ts";

/** Milliseconds for one claim, heartbeat or lease. */
export const QUEUE_CALL_MS = 10_000;

/** A call to the queue that failed, as an error of the report. */
export function queueProblem(error: unknown) {
  return {
    dataType: null,
    symbol: null,
    class: "queue" as const,
    code: error instanceof QueueError ? error.code : "unexpected",
    message: messageText(error instanceof Error ? error.message : String(error), []),
  };
}
