import postgres from "postgres";
import { startStack } from "../../local/stack.ts";
import type { Contents } from "./contents.ts";
import { RECORDED_URL } from "./fetcher.ts";
import { type Inspected, planUnits } from "./plan.ts";
import type { Scratch, UnitResult } from "./protocol.ts";
import type { Recording } from "./recordings.ts";
import { endpointOf } from "./endpoints.ts";
import { type FileReport, fileReport, type Replayed } from "./report.ts";
import { liftLimits } from "./scratch_queue.ts";
import { openWorker, type WorkerProcess } from "./worker_process.ts";

const INSPECT_TIMEOUT_MS = 120_000;
const REPLAY_TIMEOUT_MS = 900_000;

/** What a replay of a folder came to. */
export interface Replay {
  /** One per recording, in their order. */
  reports: FileReport[];
  /** Rows that were written; those that several recordings made together count once. */
  rowsWritten: number;
}

export interface ReplayOptions {
  signal: AbortSignal;
  /** Told what is going on, in a few words. */
  progress(text: string): void;
}

/** Replays recordings on a scratch stack of their own, which is stopped at the end. */
export async function replayRecordings(
  recordings: readonly Recording[],
  { signal, progress }: ReplayOptions,
): Promise<Replay> {
  await using parts = new AsyncDisposableStack();
  const worker = parts.adopt(openWorker(signal), (worker) => worker.close());
  const problems = new Map<string, string>();
  const inspected: Inspected[] = [];
  for (const [index, recording] of recordings.entries()) {
    progress(`reading ${index + 1} of ${recordings.length}`);
    const reply = await worker.ask<Contents>(
      { kind: "inspect", path: recording.path },
      INSPECT_TIMEOUT_MS,
    );
    if ("result" in reply) inspected.push({ ...recording, contents: reply.result });
    else problems.set(recording.file, reply.problem);
  }
  const { units, skipped } = planUnits(inspected);
  const replayed: Replayed[] = [];
  if (units.length > 0) {
    progress("starting a scratch stack");
    const scratch = await startScratch(signal, parts);
    for (const [index, unit] of units.entries()) {
      progress(`replaying ${index + 1} of ${units.length}: ${unit.dataType}`);
      replayed.push({ unit, reply: await replay(worker, unit, scratch) });
    }
  }
  const reports = recordings.map((recording) => {
    const endpoint = endpointOf(recording.endpoint);
    return fileReport(recording, {
      dataType: typeof endpoint === "string" ? null : endpoint.dataType,
      problem: problems.get(recording.file),
      skipped: skipped.get(recording.file),
      replayed: replayed.filter(({ unit }) =>
        unit.answers.some(({ file, isBorrowed }) => file === recording.file && !isBorrowed)
      ),
    });
  });
  const rowsWritten = replayed.reduce(
    (total, { reply }) => total + ("result" in reply ? reply.result.rowsWritten : 0),
    0,
  );
  return { reports, rowsWritten };
}

function replay(worker: WorkerProcess, unit: Replayed["unit"], scratch: Scratch) {
  return worker.ask<UnitResult>({ kind: "replay", unit, scratch }, REPLAY_TIMEOUT_MS);
}

async function startScratch(signal: AbortSignal, parts: AsyncDisposableStack): Promise<Scratch> {
  const stack = await startStack({
    cron: false,
    net: false,
    activeSymbols: 0,
    fmp: { apiKey: "recorded", baseUrl: RECORDED_URL },
    signal,
  });
  parts.defer(() => stack.stop());
  const sql = postgres(stack.adminUrl, { max: 1, onnotice: () => {} });
  try {
    await liftLimits(sql);
    await stack.gateway.reload();
  } finally {
    await sql.end();
  }
  return {
    databaseUrl: stack.databaseUrl,
    apiUrl: stack.apiUrl,
    secretKey: stack.keys.secretKey,
  };
}
