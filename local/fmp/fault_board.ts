import { z } from "zod";
import { type Fault, faultKinds, faultSchema } from "./fault_kinds.ts";
import { uniform } from "./random.ts";

/** What is put on an endpoint: one fault, or several of which the first that matches answers. */
export type FaultSetting = Fault | readonly Fault[];

/** The faults in force, by endpoint, and for all ("*"). */
export class FaultBoard {
  #entries = new Map<string, Entry[]>();
  #endpoints: ReadonlySet<string>;
  #seed: number;

  constructor(endpoints: ReadonlySet<string>, seed: number) {
    this.#endpoints = endpoints;
    this.#seed = seed;
  }

  /**
   * Puts faults in force in place of those that were there: one, an array, or null for none. Throws on an unknown endpoint or a bad fault, and then changes nothing.
   */
  set(endpoint: string, setting: unknown): void {
    if (endpoint !== "*" && !this.#endpoints.has(endpoint)) {
      const known = [...this.#endpoints].sort().join(", ");
      throw new Error(`Cannot set a fault on "${endpoint}": use "*" or one of ${known}`);
    }
    const faults = setting === null ? [] : Array.isArray(setting) ? setting : [setting];
    const entries = faults.map((each, index): Entry => {
      const fault = parseFault(endpoint, each);
      return { fault, left: fault.times ?? Infinity, draw: `${endpoint}:${index}` };
    });
    if (entries.length === 0) this.#entries.delete(endpoint);
    else this.#entries.set(endpoint, entries);
  }

  /**
   * The fault for a call, if any, and uses it up once. The endpoint's own go before those of "*".
   * `callId` decides whether the call falls into a share.
   */
  take(endpoint: string, symbols: readonly string[], callId: number): Fault | null {
    for (const key of [endpoint, "*"]) {
      const entries = this.#entries.get(key) ?? [];
      const entry = entries.find((each) => this.#matches(each, symbols, callId));
      if (!entry) continue;
      if (--entry.left <= 0) {
        const rest = entries.filter((each) => each !== entry);
        if (rest.length === 0) this.#entries.delete(key);
        else this.#entries.set(key, rest);
      }
      return entry.fault;
    }
    return null;
  }

  /** Faults in force, by endpoint: one as it is, several as an array. */
  list(): Record<string, FaultSetting> {
    return Object.fromEntries(
      [...this.#entries].map(([key, entries]) => {
        const faults = entries.map(({ fault }) => fault);
        const [first] = faults;
        return [key, first && faults.length === 1 ? first : faults];
      }),
    );
  }

  reset(): void {
    this.#entries.clear();
  }

  #matches({ fault, draw }: Entry, symbols: readonly string[], callId: number): boolean {
    const { symbols: wanted, share = 1 } = fault;
    if (wanted && !symbols.some((symbol) => wanted.includes(symbol))) return false;
    return share === 1 || uniform(this.#seed, "share", draw, callId) < share;
  }
}

interface Entry {
  fault: Fault;
  /** Calls it still answers. */
  left: number;
  /** Sets its share apart from those of other faults. */
  draw: string;
}

function parseFault(endpoint: string, fault: unknown): Fault {
  const parsed = faultSchema.safeParse(fault);
  if (parsed.success) return parsed.data;
  const kind = typeof fault === "object" && fault !== null && "kind" in fault ? fault.kind : null;
  const why = typeof kind === "string" && faultKinds.includes(kind)
    ? z.prettifyError(parsed.error)
    : `its kind is ${JSON.stringify(kind)}; wanted one of ${faultKinds.join(", ")}`;
  throw new Error(`Cannot set a fault on "${endpoint}": ${why}`);
}
