/** What a function worker is told when it starts, as JSON in the environment variable below. */
export interface WorkerSetup {
  /** Port of 127.0.0.1 on which the host awaits the worker's control connection. */
  controlPort: number;
  /** First line of the control connection, so that the host knows who called. */
  token: string;
  /** Module of the function, a file URL. */
  entrypoint: string;
  /** Names of the environment variables that the function may see. */
  environment: string[];
}

export const SETUP_VARIABLE = "SWITCHYARD_WORKER_SETUP";

/** Lines of JSON from the worker to the host. */
export type WorkerMessage =
  | { type: "ready"; port: number }
  | { type: "boot-error"; message: string }
  /** Requests and `waitUntil` promises that are not finished; sent when it turns to or from zero. */
  | { type: "pending"; count: number };

/** Lines of JSON from the host to the worker. */
export type HostMessage = { type: "retire"; reason: RetireReason };

/** The reasons of the platform's `beforeunload` event, spelled as edge-runtime does. */
export type RetireReason = "early_drop" | "wall_clock" | "termination";

/** Splits a stream into lines of JSON. */
export async function* readMessages<Message>(
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<Message> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield JSON.parse(line) as Message;
  }
}

/** One message as a line. */
export function encodeMessage(message: WorkerMessage | HostMessage): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(message) + "\n");
}
