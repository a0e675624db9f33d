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

/** Turns symbols of one data type into vendor calls and rows. */
export interface Fetcher<Payload = unknown> {
  readonly dataType: string;
  /** Symbols that share one vendor call. */
  readonly maxSymbolsPerCall: number;
  /** Vendor calls made for one such group. */
  readonly callsPerBatch: number;
  /** Milliseconds for one group; default: the time of its calls. */
  readonly timeoutMs?: number;
  /** Asks the vendor; pure but for `context.fetch`. Throws {@linkcode VendorError}. */
  request(symbols: readonly string[], context: FetchContext): Promise<VendorAnswer<unknown>>;
  /** The complete check of the payload. Its messages say what was wanted, such as `a number`. */
  readonly schema: z.ZodType<Payload>;
  /** Makes rows. Throws {@linkcode VendorError} when a value is implausible or about another symbol. */
  toRows(payload: Payload, symbols: readonly string[], receivedAt: Date): FetchedRows;
}
