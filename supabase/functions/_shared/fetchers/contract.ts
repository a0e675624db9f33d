import type { SupabaseClient } from "npm:@supabase/supabase-js@2.109.0";
import type { z } from "npm:zod@4.6.7";
import type { VendorError } from "./errors.ts";

export { type ErrorClass, VendorError, type VendorErrorDetails } from "./errors.ts";
export { fetchSymbols } from "./fetch_symbols.ts";

/** A value that survives `JSON.stringify`. */
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | JsonValue[]
  | { [key: string]: JsonValue };

/**
 * One row of a data table: column name → value typed for the column.
 * A column that is absent keeps what is stored; null overwrites it.
 */
export type Row = Record<string, JsonValue>;

/** What a fetcher needs from its surroundings. */
export interface FetchContext {
  fetch: typeof fetch;
  /** Vendor base URL including the version part, such as `https://financialmodelingprep.com/stable`. */
  baseUrl: string;
  apiKey: string;
  /** Ends waiting and running calls; a call ended by it fails with code `aborted`. */
  signal: AbortSignal;
  /** Milliseconds for one vendor call from its start to the last byte; must be positive. */
  timeoutMs: number;
  /** Bytes of one answer, after decompression, beyond which it is not read on; default 20,000,000. */
  mostAnswerBytes?: number;
  now(): Date;
  /** Resolves when the next vendor call may start; waiting here does not use up the call's timeout. */
  pace?(signal: AbortSignal): Promise<void>;
}

/** An answer of the vendor with what it cost. */
export interface VendorAnswer<T> {
  payload: T;
  /** Vendor calls made. */
  calls: number;
  /** Bytes of the answer bodies after decompression. */
  bytes: number;
}

/** Rows made from an answer. */
export interface FetchedRows {
  /** Symbol as asked for → its rows. No entry, or an empty one, means that the vendor has nothing. */
  rows: Map<string, Row[]>;
  /** Oddities that did not stop the refresh, a sentence each. */
  warnings: string[];
  /** Symbols whose rows were written elsewhere: done, though they have none in `rows`. */
  written?: ReadonlySet<string>;
  /** Symbols that failed alone, where the answer tells them apart. */
  failures?: ReadonlyMap<string, VendorError>;
  /** Entries of the answer that make no row and were left out; default 0. */
  skipped?: number;
}

/** Rows with what they cost. */
export interface FetchOutcome extends FetchedRows {
  calls: number;
  bytes: number;
}

/** What work on written rows is done with. */
export interface AfterAccess {
  fetch: typeof fetch;
  /** Ends the work. */
  signal: AbortSignal;
  /** The project, with the service role. */
  database: SupabaseClient;
  /** Base URL that stands for the vendor's image host; absent: the host itself. */
  imagesUrl?: string;
}

/** A refresh too large for one settle, which comes in parts that are settled one by one. */
export interface Parts {
  /**
   * Asks for one part, with one vendor call. `from` is what the part before gave as `next`, null for
   * the first one; parts of one refresh may be hours apart and in another process. Bounded text: the
   * queue keeps it. `next` is null when this part is the last.
   */
  request(
    from: JsonValue | null,
    context: FetchContext,
  ): Promise<VendorAnswer<unknown> & { next: JsonValue | null }>;
  /**
   * Milliseconds after the claim within which the last of its calls starts; the registry's
   * `calls_spread_seconds` is at least that and half a second.
   */
  readonly startWithinMs: number;
}

/** Turns symbols of one data type into vendor calls and rows. */
export interface Fetcher<Payload = unknown> {
  readonly dataType: string;
  /** Symbols that share one vendor call. */
  readonly maxSymbolsPerCall: number;
  /** Vendor calls made for one such group; with `parts`, the parts of one claim. */
  readonly callsPerBatch: number;
  /** Takes the place of `request` in the queue, for one symbol per group. */
  readonly parts?: Parts;
  /** Milliseconds for one group; default: the time of its calls. */
  readonly timeoutMs?: number;
  /** Asks the vendor; pure but for `context.fetch`. Throws {@linkcode VendorError}. */
  request(symbols: readonly string[], context: FetchContext): Promise<VendorAnswer<unknown>>;
  /** The complete check of the payload. Its messages say what was wanted, such as `a number`. */
  readonly schema: z.ZodType<Payload>;
  /** Makes rows. Throws {@linkcode VendorError} when a value is implausible or about another symbol. */
  toRows(payload: Payload, symbols: readonly string[], receivedAt: Date): FetchedRows;
  /**
   * Work beside the rows once they are written, such as copying files: best effort, bounded in time
   * and cost. Returns warnings; never fails a job.
   */
  afterwards?(
    written: ReadonlyMap<string, readonly Row[]>,
    access: AfterAccess,
  ): Promise<string[]>;
}
