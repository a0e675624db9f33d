import type { SupabaseClient } from "npm:@supabase/supabase-js@2.109.0";
import type { Entry } from "./endpoint_runs.ts";
import { VendorError } from "./fetchers/errors.ts";
import type { Pace } from "./pacing.ts";

/** Milliseconds that a call waits for its turn: longer than the ledger's window, within which some come free. */
const LONGEST_WAIT_MS = 65_000;

/** The same for calls beyond those granted to the queue's request, which it gives up after 60 seconds. */
const LONGEST_WAIT_OF_QUEUE_MS = 20_000;

/** Milliseconds between two asks for the same call: the queue may run dry before its calls expire. */
const ASK_AGAIN_MS = 2_000;

/** Milliseconds from the ask within which a granted call has to start. */
const START_WITHIN_MS = 2_500;

/** Milliseconds from the arrival of the queue's request within which the calls granted to it are good. */
const GRANT_LASTS_MS = 30_000;

/** Milliseconds for one ask, and before the next one when it failed. */
const ASK_TIMEOUT_MS = 10_000;
const ASK_AFTER_FAILURE_MS = 10_000;

/** What PostgREST says when the function is not there: Switchyard is not installed. */
const NO_SUCH_FUNCTION = "PGRST202";

export interface SharedLedgerOptions {
  database: SupabaseClient;
  /** Whose limit the calls count against. */
  provider: string;
  /** What each call waits for besides. */
  pace: Pace;
  /** Calls that the ledger holds already: the queue drives this run. Default: none. */
  grantedCalls?: number;
  log(line: string): void;
  clock: { now(): number; sleep(ms: number, signal: AbortSignal): Promise<void> };
}

/** The queue's count of vendor calls, as an endpoint sees it. */
export interface SharedLedger {
  /**
   * Waits until the next call may start. Rejects with VendorError of class `rate_limited` when none
   * will come free within 65 seconds (20 in a run that the queue drives).
   */
  pace: Pace;
  /** Takes over what was learned when the run started. */
  follow(entry: Entry): void;
  /** Whether calls are counted: not before the first one, unless `follow` said so. */
  readonly isOn: boolean;
}

/**
 * Counts each call in the ledger of the queue while `use_queue_system` is on, so that endpoints and
 * queue together keep the vendor's limit. With the flag off, and while the ledger cannot be asked,
 * calls are paced as they always were: the old system must not depend on the new.
 */
export function createSharedLedger(options: SharedLedgerOptions): SharedLedger {
  const { database, provider, log, clock } = options;
  const startedAt = clock.now();
  let grantedCalls = options.grantedCalls ?? 0;
  let state: "unknown" | "on" | "off" = "unknown";
  let runId: string | undefined;
  let askNotBefore = -Infinity;

  /** Milliseconds to wait, 0 for none; null when the call is not counted. */
  async function ask(): Promise<number | null> {
    const { data, error } = await database.rpc("take_vendor_calls_v2", {
      p_provider: provider,
      p_calls: 1,
      ...(runId === undefined ? {} : { p_run_id: runId }),
    }).abortSignal(AbortSignal.timeout(ASK_TIMEOUT_MS));
    if (error === null && data !== null) {
      state = "on";
      return Math.max(0, Number(data));
    }
    if (error === null || error.code === NO_SUCH_FUNCTION) {
      state = "off";
    } else {
      askNotBefore = clock.now() + ASK_AFTER_FAILURE_MS;
      log(`calls are not counted in the queue's ledger: ${error.message}`);
    }
    return null;
  }

  return {
    async pace(signal) {
      await options.pace(signal);
      if (grantedCalls > 0 && clock.now() - startedAt < GRANT_LASTS_MS) {
        grantedCalls -= 1;
        return;
      }
      const giveUpAt = clock.now() +
        (options.grantedCalls === undefined ? LONGEST_WAIT_MS : LONGEST_WAIT_OF_QUEUE_MS);
      while (state !== "off" && clock.now() >= askNotBefore) {
        const askedAt = clock.now();
        const waitMs = await ask();
        if (waitMs === null) return;
        // One whose answer came late would fall out of the minute in which it is counted.
        if (waitMs === 0 && clock.now() - askedAt <= START_WITHIN_MS) return;
        if (clock.now() + waitMs > giveUpAt) {
          throw new VendorError(
            `Cannot call ${provider}: no call is free for another ${
              Math.ceil(waitMs / 1000)
            } s; the queue and this endpoint share its limits`,
            { errorClass: "rate_limited", code: "limit_shared" },
          );
        }
        if (waitMs > 0) await clock.sleep(Math.min(waitMs, ASK_AGAIN_MS), signal);
      }
    },
    follow(entry) {
      if (entry.kind === "off") state = "off";
      if (entry.kind !== "started") return;
      state = "on";
      runId = entry.runId;
    },
    get isOn() {
      return state === "on";
    },
  };
}
