/** What the window says about one call. */
export interface Admission {
  admitted: boolean;
  /** Milliseconds until a call would be admitted; 0 when this one was. */
  retryAfterMs: number;
}

/**
 * A strict sliding window: at most `limit` admitted calls in any `windowMs` milliseconds.
 *
 * A call exactly `windowMs` after another no longer shares a window with it. Refused calls are
 * counted as violations and take no place in the window. `limit` null admits everything, 0 nothing.
 */
export class SlidingWindow {
  #limit: number | null;
  #windowMs: number;
  #admittedAt: number[] = [];
  #head = 0;
  #violations = 0;

  constructor(limit: number | null, windowMs = 60_000) {
    if (limit !== null && (!Number.isInteger(limit) || limit < 0)) {
      throw new Error(`Cannot limit calls: ${limit} is not a whole number of calls, or null`);
    }
    this.#limit = limit;
    this.#windowMs = windowMs;
  }

  /** Calls that came when the window was full. */
  get violations(): number {
    return this.#violations;
  }

  /** Admits or refuses a call that arrives at `atMs` (milliseconds since 1970). */
  admit(atMs: number): Admission {
    if (this.#limit === null) return { admitted: true, retryAfterMs: 0 };
    let oldest = this.#admittedAt[this.#head];
    while (oldest !== undefined && oldest <= atMs - this.#windowMs) {
      oldest = this.#admittedAt[++this.#head];
    }
    if (this.#head > 1024 && this.#head * 2 > this.#admittedAt.length) {
      this.#admittedAt = this.#admittedAt.slice(this.#head);
      this.#head = 0;
    }
    if (this.#admittedAt.length - this.#head < this.#limit) {
      this.#admittedAt.push(atMs);
      return { admitted: true, retryAfterMs: 0 };
    }
    this.#violations++;
    const leavesAt = (oldest ?? atMs) + this.#windowMs;
    return { admitted: false, retryAfterMs: leavesAt - atMs };
  }

  /** Empties the window and forgets the violations. */
  reset(): void {
    this.#admittedAt = [];
    this.#head = 0;
    this.#violations = 0;
  }
}
