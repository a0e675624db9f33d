import type { AfterAccess, Fetcher, Row } from "../fetchers/contract.ts";
import { type Clock, createBell } from "./clock.ts";
import type { Tally } from "./report.ts";
import { messageText } from "./results.ts";

/** Symbols handed over at once. */
const MOST_AT_ONCE = 100;

/** Symbols that wait at most; their next refresh brings those that found no room. */
const MOST_WAITING = 500;

/** Work of fetchers on rows that are written, beside the run and never in its way. */
export interface Afterwork {
  add(fetcher: Fetcher, symbol: string, rows: readonly Row[]): void;
  /** Takes nothing more; resolves when all is done or the access's signal has aborted. */
  close(): Promise<void>;
}

/** Best effort: what fails is a warning, and without access nothing is done. */
export function createAfterwork(
  access: AfterAccess | undefined,
  surroundings: { clock: Clock; tally: Tally; secrets: readonly string[] },
): Afterwork {
  const { clock, tally, secrets } = surroundings;
  const bell = createBell(clock);
  const waiting = new Map<Fetcher, Map<string, readonly Row[]>>();
  let closed = access === undefined;
  const done = access === undefined ? Promise.resolve() : work(access);
  access?.signal.addEventListener("abort", bell.ring);

  async function work(access: AfterAccess): Promise<void> {
    while (!access.signal.aborted) {
      const [next] = waiting;
      if (next === undefined) {
        if (closed) return;
        await bell.wait();
        continue;
      }
      const [fetcher, rows] = next;
      const some = new Map([...rows].slice(0, MOST_AT_ONCE));
      for (const symbol of some.keys()) rows.delete(symbol);
      if (rows.size === 0) waiting.delete(fetcher);
      try {
        const warnings = await fetcher.afterwards?.(some, access) ?? [];
        for (const warning of warnings) tally.warning(messageText(warning, secrets));
      } catch (error) {
        tally.warning(messageText(`${fetcher.dataType}: ${error}`, secrets));
      }
    }
  }

  return {
    add(fetcher, symbol, rows) {
      if (closed || fetcher.afterwards === undefined) return;
      const ofFetcher = waiting.get(fetcher) ?? new Map<string, readonly Row[]>();
      if (ofFetcher.size >= MOST_WAITING) return;
      waiting.set(fetcher, ofFetcher.set(symbol, rows));
      bell.ring();
    },
    async close() {
      closed = true;
      bell.ring();
      await done;
      access?.signal.removeEventListener("abort", bell.ring);
    },
  };
}
