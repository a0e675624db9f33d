import type { Timeline } from "./timeline.ts";

/** A queue whose claims and completions are measured, with four workers whose handlers do nothing. */
export interface Contender {
  /** As results name it. */
  name: string;
  /** What it is and how it is set up, for the document. */
  description: string;
  /** Batch settings that are tried; the best one is used. */
  settings: readonly BatchSetting[];
  /** Puts jobs into the empty queue. */
  fill(jobs: number, signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

export interface BatchSetting {
  /** For the document: `batches of 100`. */
  label: string;
  /** Does all the jobs of the timeline; they are in the queue. Begins it when it is ready. */
  drain(timeline: Timeline, signal: AbortSignal): Promise<void>;
}

/** Jobs in one enqueue of every contender. */
export const FILL_BATCH = 1_000;

export const WORKERS = 4;

/** The sizes of the batches that together make `jobs`. */
export function* batchesOf(
  jobs: number,
  size = FILL_BATCH,
): Generator<{ from: number; to: number }> {
  for (let from = 0; from < jobs; from += size) {
    yield { from, to: Math.min(jobs, from + size) };
  }
}
