/** Which rule refused a call: the key, a limit on calls, the data allowance, or the plan. */
export type Refusal = "key" | "minute" | "day" | "data" | "plan";

/** One call that reached the simulator. Never holds the key or the query text. */
export interface FmpCall {
  /** 1 for the first call since the start or the last reset. */
  id: number;
  /** Arrival by the simulator's clock, milliseconds since 1970. */
  time: number;
  /** Path below /stable, or the whole path when it lies elsewhere. */
  endpoint: string;
  /** Symbols named by `symbol` or `symbols`; empty for endpoints without either. */
  symbols: string[];
  /** Status sent, or null while in flight and when no status line was ever sent. */
  status: number | null;
  /** Body bytes sent. */
  bytes: number;
  /** Real time from arrival to the end of the answer, or null while in flight. */
  durationMs: number | null;
  /** The call came when the window of calls per minute was full. */
  violation: boolean;
  /** What refused it, or null; null also where a fault took the refusal's place. */
  refusal: Refusal | null;
  /** Kind of the fault that answered, or null. */
  fault: string | null;
}

/** Keeps the newest calls, oldest first, and counts all of them. */
export class Ledger {
  readonly calls: FmpCall[] = [];
  #keep: number;
  #total = 0;

  /** `keep`: how many calls stay readable. */
  constructor(keep: number) {
    this.#keep = keep;
  }

  /** Calls since the start or the last reset, forgotten ones included. */
  get total(): number {
    return this.#total;
  }

  /** Writes down a call at its arrival; the caller completes the returned entry. */
  open(time: number, endpoint: string, symbols: string[]): FmpCall {
    const call: FmpCall = {
      id: ++this.#total,
      time,
      endpoint,
      symbols,
      status: null,
      bytes: 0,
      durationMs: null,
      violation: false,
      refusal: null,
      fault: null,
    };
    this.calls.push(call);
    // Dropping in blocks keeps a long run from shifting the whole array on every call.
    if (this.calls.length > this.#keep * 1.1) {
      this.calls.splice(0, this.calls.length - this.#keep);
    }
    return call;
  }

  /** Forgets every call. */
  reset(): void {
    this.calls.length = 0;
    this.#total = 0;
  }
}
