import { exchangeOf } from "./exchanges.ts";
import { isDormant } from "./listing.ts";
import { quoteOnly } from "./quote_only.ts";
import { pick } from "./random.ts";
import type { Universe } from "./universe.ts";

/** Kinds of securities that behave differently; each security has exactly one. */
export const symbolKinds = [
  "stock",
  "etf",
  "fund",
  "shell",
  "adr",
  "foreign",
  "index",
  "dormant",
  "unknown",
] as const;
export type SymbolKind = typeof symbolKinds[number];

const unknownCount = 100;

/**
 * Symbols by kind, in the universe's order. A dormant one counts as that, whatever it is; "foreign"
 * is any other security listed outside the US. Indices have a quote and no profile, unknown tickers
 * have nothing: neither is among the simulator's `symbols`.
 */
export function symbolsByKind(
  universe: Universe,
  seed: number,
  now: Date,
): Record<SymbolKind, string[]> {
  const byKind: Record<SymbolKind, string[]> = {
    stock: [],
    etf: [],
    fund: [],
    shell: [],
    adr: [],
    foreign: [],
    index: quoteOnly.values().filter(({ exchange }) => exchange === "INDEX")
      .map(({ symbol }) => symbol).toArray(),
    dormant: [],
    unknown: unknownSymbols(seed),
  };
  for (const listing of universe.listings) {
    const kind = isDormant(listing, now)
      ? "dormant"
      : exchangeOf(listing.exchange).countryCode !== "US"
      ? "foreign"
      : listing.isAdr
      ? "adr"
      : listing.kind;
    byKind[kind].push(listing.symbol);
  }
  return byKind;
}

/** No invented ticker has a Q, and no well-known one has it followed by these letters. */
function unknownSymbols(seed: number): string[] {
  const letters = [..."ABCDEFGHJKLMNPRSTUVWXYZ"];
  const symbols = new Set<string>();
  for (let index = 0; symbols.size < unknownCount; index++) {
    const stem = [0, 1, 2].map((at) => pick(letters, seed, "unknown", index, at)).join("");
    symbols.add(`Q${stem}${pick(["", "", "", ".TO", ".L"], seed, "unknown", index)}`);
  }
  return [...symbols];
}
