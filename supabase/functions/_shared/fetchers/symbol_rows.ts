import type { FetchedRows, Row } from "./contract.ts";
import { VendorError } from "./errors.ts";
import { subjectOf } from "./validation.ts";

/**
 * Sorts the vendor's entries to the symbols that were asked for, one row per symbol.
 *
 * The vendor drops unknown symbols and repeats repeated ones, so entries are matched by symbol and
 * never by position. An entry of a symbol nobody asked for is dropped with a warning; when that
 * leaves nothing, throws a {@linkcode VendorError} with code `symbol_mismatch`.
 */
export function oneRowPerSymbol<Entry extends { symbol: string }>(
  dataType: string,
  entries: readonly Entry[],
  symbols: readonly string[],
  toRow: (entry: Entry, warn: (warning: string) => void) => Row,
): FetchedRows {
  const { wanted, warnings } = entriesAskedFor(dataType, entries, symbols);
  const rows = new Map<string, Row[]>();
  for (const entry of wanted) {
    if (rows.has(entry.symbol)) {
      warnings.push(
        `${subjectOf(dataType, [entry.symbol])}: more than one row; the first was kept`,
      );
      continue;
    }
    rows.set(entry.symbol, [toRow(entry, (warning) => warnings.push(warning))]);
  }
  return { rows, warnings };
}

/** Splits off entries of symbols that nobody asked for; see {@linkcode oneRowPerSymbol}. */
export function entriesAskedFor<Entry extends { symbol: string }>(
  dataType: string,
  entries: readonly Entry[],
  symbols: readonly string[],
): { wanted: Entry[]; warnings: string[] } {
  const wanted = entries.filter((entry) => symbols.includes(entry.symbol));
  const others = new Set(
    entries.filter((entry) => !symbols.includes(entry.symbol)).map((entry) => entry.symbol),
  );
  const warnings = [...others].map((other) =>
    `${subjectOf(dataType, symbols)}: dropped rows of symbol ${
      JSON.stringify(other)
    }, which was not asked for`
  );
  if (wanted.length === 0 && others.size > 0) {
    throw new VendorError(
      `${subjectOf(dataType, symbols)}: the answer is about ${
        [...others].slice(0, 3).map((other) => JSON.stringify(other)).join(", ")
      }; wanted the symbol that was asked for`,
      { errorClass: "permanent", code: "symbol_mismatch" },
    );
  }
  return { wanted, warnings };
}
