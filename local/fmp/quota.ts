import { isoDate } from "./calendar.ts";

const dayMs = 86_400_000;

/** A data allowance over trailing days: bytes are booked on the UTC day they were sent. */
export class DataQuota {
  #allowanceBytes: number | null;
  #days: number;
  /** Bytes by UTC day, oldest first; never more days than the window has. */
  #sent = new Map<string, number>();

  /** `allowanceBytes` null admits everything, 0 nothing. */
  constructor(allowanceBytes: number | null, days = 30) {
    this.#allowanceBytes = checked(allowanceBytes);
    this.#days = days;
  }

  get allowanceBytes(): number | null {
    return this.#allowanceBytes;
  }

  /** Changes the allowance; what was sent stays booked. Throws on anything but whole bytes. */
  allow(bytes: number | null): void {
    this.#allowanceBytes = checked(bytes);
  }

  /** Whether the allowance is used up at an instant (milliseconds since 1970). */
  isUsedUp(atMs: number): boolean {
    return this.#allowanceBytes !== null && this.usedBytes(atMs) >= this.#allowanceBytes;
  }

  /** Bytes booked on the day of an instant and the days of the window before it. */
  usedBytes(atMs: number): number {
    const first = isoDate(new Date(atMs - (this.#days - 1) * dayMs));
    for (const day of this.#sent.keys()) {
      if (day < first) this.#sent.delete(day);
    }
    return this.#sent.values().reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Books bytes at an instant. */
  book(atMs: number, bytes: number): void {
    const day = isoDate(new Date(atMs));
    this.#sent.set(day, (this.#sent.get(day) ?? 0) + bytes);
  }

  /** Forgets what was sent. */
  reset(): void {
    this.#sent.clear();
  }
}

function checked(bytes: number | null): number | null {
  if (bytes === null || (Number.isInteger(bytes) && bytes >= 0)) return bytes;
  throw new Error(`Cannot limit data: ${bytes} is not a whole number of bytes, or null`);
}
