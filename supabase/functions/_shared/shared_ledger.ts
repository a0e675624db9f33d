import type { SupabaseClient } from "npm:@supabase/supabase-js@2.109.0";
import { VendorError } from "./fetchers/errors.ts";
import type { Pace } from "./pacing.ts";

/** Milliseconds that a call waits for its turn before it is given up. */
const LONGEST_WAIT_MS = 30_000;

/** What PostgREST says when the function is not there: Switchyard is not installed. */
const NO_SUCH_FUNCTION = "PGRST202";

export interface SharedLedgerOptions {
  database: SupabaseClient;
  /** Whose limit the calls count against. */
  provider: string;
  /** What each call waits for besides. */
  pace: Pace;
  log(line: string): void;
  clock: { now(): number; sleep(ms: number, signal: AbortSignal): Promise<void> };
}

/**
 * A pace that counts each call in the ledger of the queue while `use_queue_system` is on, so that
 * endpoints and queue together keep the vendor's limit. With the flag off, and where the ledger
 * cannot be asked, calls are paced as they always were: the old system must not depend on the new.
 *
 * Rejects with VendorError of class `rate_limited` when no call came free in 30 seconds.
 */
export function createSharedLedgerPace(options: SharedLedgerOptions): Pace {
  const { database, provider, pace, log, clock } = options;
  let isOff = false;
  return async (signal) => {
    await pace(signal);
    const giveUpAt = clock.now() + LONGEST_WAIT_MS;
    while (!isOff) {
      const { data, error } = await database.rpc("take_vendor_calls_v2", {
        p_provider: provider,
        p_calls: 1,
      });
      if (error !== null || data === null) {
        isOff = true;
        if (error !== null && error.code !== NO_SUCH_FUNCTION) {
          log(`calls are not counted in the queue's ledger: ${error.message}`);
        }
        return;
      }
      const waitMs = Number(data);
      if (waitMs <= 0) return;
      if (clock.now() + waitMs > giveUpAt) {
        throw new VendorError(
          `Cannot call ${provider}: its limit is used up for another ${
            Math.ceil(waitMs / 1000)
          } s; the queue and this endpoint share it`,
          { errorClass: "rate_limited", code: "limit_shared" },
        );
      }
      await clock.sleep(waitMs, signal);
    }
  };
}
