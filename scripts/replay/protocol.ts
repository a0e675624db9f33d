/** What the command and its worker process say to each other: a line of JSON each. */
import type { Contents } from "./contents.ts";
import type { Unit } from "./plan.ts";

/** Where the scratch stack is. */
export interface Scratch {
  databaseUrl: string;
  apiUrl: string;
  secretKey: string;
}

export type Request =
  | { kind: "inspect"; path: string }
  | { kind: "replay"; unit: Unit; scratch: Scratch };

/** Why jobs failed; class and code as in the queue. */
export interface ReplayError {
  class: string;
  code: string;
  message: string;
}

/** What became of the jobs of a unit. */
export interface UnitResult {
  completed: number;
  empty: number;
  failed: number;
  /** Of the first failed job. */
  error: ReplayError | null;
  rowsWritten: number;
  /** Columns that are null in every written row, in the order of the table. */
  columnsLeftNull: string[];
  warnings: string[];
  warningsLeftOut: number;
}

export type Reply<Result> = { result: Result } | { problem: string };
export type InspectReply = Reply<Contents>;
export type ReplayReply = Reply<UnitResult>;

/** The lines of a byte stream, without their ends. */
export async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let parts: string[] = [];
  for await (const chunk of stream) {
    const [end = "", ...begun] = decoder.decode(chunk, { stream: true }).split("\n");
    parts.push(end);
    for (const begin of begun) {
      yield parts.join("");
      parts = [begin];
    }
  }
}

/** A message as the line that carries it. */
export function lineOf(message: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${JSON.stringify(message)}\n`);
}

/** The text of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
