import type { SupabaseClient } from "npm:@supabase/supabase-js@2.109.0";

/** Calls and time after which usage is booked though the run goes on: a worker may end before its run. */
const CALLS_PER_BOOKING = 50;
const BOOKING_EVERY_MS = 15_000;

/** What was used of a vendor. */
export interface Used {
  /** Vendor calls, the failed ones included. */
  calls: number;
  failedCalls: number;
  bytes: number;
}

export interface EndpointUsageOptions {
  database: SupabaseClient;
  provider: string;
  dataType: string;
  /** Calls that the queue books, together with the bytes of all: it drives this run. Default: none. */
  grantedCalls?: number;
  /** Whether anything is to be booked: the queue is on. */
  isOn(): boolean;
  log(line: string): void;
  now?(): number;
}

/** What a run uses, booked in the queue's tables in few calls. */
export interface EndpointUsage {
  add(used: Used): Promise<void>;
  /** Books what is not booked yet. Never rejects: a run is worth more than its books. */
  flush(): Promise<void>;
  /** All that was used so far. */
  readonly total: Used;
}

export function createEndpointUsage(options: EndpointUsageOptions): EndpointUsage {
  const { database, grantedCalls, now = () => performance.now() } = options;
  const total: Used = { calls: 0, failedCalls: 0, bytes: 0 };
  const booked: Used = { calls: 0, failedCalls: 0, bytes: 0 };
  let lastBookingAt = now();

  function unbooked(): Used {
    const calls = Math.max(0, total.calls - (grantedCalls ?? 0) - booked.calls);
    return {
      calls,
      failedCalls: Math.min(calls, total.failedCalls - booked.failedCalls),
      bytes: grantedCalls === undefined ? total.bytes - booked.bytes : 0,
    };
  }

  async function flush(): Promise<void> {
    lastBookingAt = now();
    const used = unbooked();
    if (!options.isOn() || (used.calls === 0 && used.bytes === 0)) return;
    move(booked, used, 1);
    const { error } = await database.rpc("book_endpoint_usage_v2", {
      p_provider: options.provider,
      p_data_type: options.dataType,
      p_calls: used.calls,
      p_failed_calls: used.failedCalls,
      p_bytes: used.bytes,
    });
    if (error === null) return;
    // To be booked with what comes next.
    move(booked, used, -1);
    options.log(`${used.calls} calls and ${used.bytes} bytes are not booked: ${error.message}`);
  }

  return {
    total,
    flush,
    async add(used) {
      move(total, used, 1);
      const isDue = unbooked().calls >= CALLS_PER_BOOKING ||
        now() - lastBookingAt >= BOOKING_EVERY_MS;
      if (isDue) await flush();
    },
  };
}

function move(counts: Used, by: Used, sign: 1 | -1): void {
  counts.calls += sign * by.calls;
  counts.failedCalls += sign * by.failedCalls;
  counts.bytes += sign * by.bytes;
}
