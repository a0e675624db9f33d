import type { SupabaseClient } from "npm:@supabase/supabase-js@2.109.0";
import { z } from "npm:zod@4.6.7";

/** Milliseconds to ask whether a run may start; after that it starts as it always did. */
const ASK_TIMEOUT_MS = 5_000;

/** Milliseconds for which a refusal is repeated without asking again. */
const REFUSAL_LASTS_MS = 1_000;

/** What PostgREST says when the function is not there: Switchyard is not installed. */
const NO_SUCH_FUNCTION = "PGRST202";

const startSchema = z.object({
  started: z.boolean(),
  reason: z.string().nullish(),
}).nullable();

/**
 * Whether a run may go on.
 *
 * - `started`: it is the only one, until `leave` is called
 * - `refused`: another one is in progress or was a moment ago
 * - `off`: `use_queue_system` is off or Switchyard is not installed: runs start as they like
 * - `unknown`: the database could not be asked: as with `off`, for the old system must not depend on
 *   the new
 */
export type Entry =
  | { kind: "started"; runId: string; leave(): Promise<void> }
  | { kind: "refused"; reason: string }
  | { kind: "off" }
  | { kind: "unknown" };

/** Who wants to start a run. */
export interface EndpointCaller {
  database: SupabaseClient;
  /** Carries a secret key. */
  isTrusted: boolean;
  log(line: string): void;
}

/** The runs of one endpoint: one at a time over all workers, while the queue is on. */
export interface EndpointRuns {
  enter(caller: EndpointCaller): Promise<Entry>;
}

/**
 * Keeps the runs of an endpoint to one at a time. However many callers come to this worker, the
 * database is asked about once a second for all of them that carry no secret key.
 */
export function createEndpointRuns(
  endpoint: string,
  now: () => number = () => performance.now(),
): EndpointRuns {
  const inProgress = { kind: "refused", reason: "a run is in progress" } as const;
  let refusal: { entry: Entry; until: number } | undefined;
  let asking: Promise<Entry> | undefined;
  let running = 0;

  async function ask({ database, isTrusted, log }: EndpointCaller): Promise<Entry> {
    const runId = crypto.randomUUID();
    const { data, error } = await database.rpc("start_endpoint_run_v2", {
      p_endpoint: endpoint,
      p_run_id: runId,
      p_is_trusted: isTrusted,
    }).abortSignal(AbortSignal.timeout(ASK_TIMEOUT_MS));
    if (error?.code === NO_SUCH_FUNCTION) return { kind: "off" };
    const answer = startSchema.safeParse(data);
    if (error !== null || !answer.success) {
      log(`cannot tell whether another run is in progress: ${error?.message ?? "odd answer"}`);
      return { kind: "unknown" };
    }
    if (answer.data === null) return { kind: "off" };
    if (!answer.data.started) {
      return { kind: "refused", reason: answer.data.reason ?? inProgress.reason };
    }
    running += 1;
    return {
      kind: "started",
      runId,
      leave: async () => {
        running -= 1;
        const { error } = await database.rpc("finish_endpoint_run_v2", {
          p_endpoint: endpoint,
          p_run_id: runId,
        });
        if (error !== null) log(`the end of the run is not noted: ${error.message}`);
      },
    };
  }

  return {
    async enter(caller) {
      if (caller.isTrusted) return await ask(caller);
      if (running > 0) return inProgress;
      if (refusal !== undefined && now() < refusal.until) return refusal.entry;
      if (asking !== undefined) {
        const entry = await asking;
        return entry.kind === "started" ? inProgress : entry;
      }
      asking = ask(caller);
      try {
        const entry = await asking;
        if (entry.kind === "refused") refusal = { entry, until: now() + REFUSAL_LASTS_MS };
        return entry;
      } finally {
        asking = undefined;
      }
    },
  };
}
