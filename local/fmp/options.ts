import { z } from "zod";
import type { JsonValue } from "./json.ts";
import type { Latency } from "./latency.ts";
import type { Plan } from "./plans.ts";

/** Settings of a simulator; every one has a default. */
export interface FmpSimulatorOptions {
  /** Port on 127.0.0.1. Default 0: a free one. */
  port?: number;
  /** Securities in the universe. Default 300; ten thousand take a tenth of a second. */
  symbols?: number;
  /** Part of the invented securities that have stopped trading, 0 to 1. Default 0: none. */
  dormantShare?: number;
  /** Calls with a valid key in any 60 seconds. Default null: no limit; 0 refuses every call. */
  callsPerMinute?: number | null;
  /**
   * Calls with a valid key in any 24 hours; when the vendor's day begins is not known. Default
   * null: no limit; 0 refuses every call.
   */
  callsPerDay?: number | null;
  /**
   * Send Retry-After with a 429 of either limit: true for whole seconds, or a date. Default false.
   */
  retryAfter?: boolean | "http-date";
  /**
   * Bytes of answer bodies in 30 trailing UTC days. The call that goes over it is still answered
   * whole, those after it are refused. Default null: no limit; 0 refuses every call.
   */
  dataAllowanceBytes?: number | null;
  /**
   * The answer when the data allowance is used up; the vendor's is not known. A text is sent as it
   * is, anything else as JSON. Default: 429 with the `Error Message` object of the rate limit.
   */
  dataQuotaAnswer?: { status: number; body: JsonValue };
  /** What is answered and what is a 402. Default null: everything is answered. */
  plan?: Plan | null;
  /** The only key that is accepted. Default "simulator-key". */
  apiKey?: string;
  /**
   * Folder with recorded answers. Default, and when it does not exist: the project's fixtures.
   * A recorded row gives the constant values of its symbol (names, ids, filed statements); prices,
   * volumes and times keep moving.
   */
  examplesDir?: string;
  /**
   * Answers recorded rows as they are, moving values included. The other symbols keep moving;
   * `now` can stop them. Default false.
   */
  frozen?: boolean;
  /** Chooses the invented securities, every walk, wait and share. Default 1. */
  seed?: number;
  /** Mean wait before an answer in milliseconds, with a quarter of jitter. Default 20; 0: none. */
  latencyMs?: number;
  /** Distribution of the wait before an answer, in place of `latencyMs`. */
  latency?: Latency;
  /** Calls that stay in the ledger. Default 100 000; older ones are only counted. */
  ledgerSize?: number;
  /** The clock of prices, limits and ledger. Default the system's. Latency is always real time. */
  now?: () => Date;
  /** Stops the simulator. */
  signal?: AbortSignal;
}

/** Throws with the option's name unless its value is one that the schema takes. */
export function checkOption<Value>(name: string, schema: z.ZodType<Value>, value: unknown): Value {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Error(
    `Cannot use ${name} ${JSON.stringify(value)} in the FMP simulator: ${
      z.prettifyError(parsed.error)
    }`,
  );
}
