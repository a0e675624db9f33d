import type { FetchedRows, Row } from "./contract.ts";
import { VendorError } from "./errors.ts";
import { subjectOf } from "./validation.ts";

/** Symbols that nobody asked for which warnings name one by one. */
const MOST_NAMED = 20;

/** How {@linkcode oneRowPerSymbol} treats a second entry of a symbol. */
export interface OneRowOptions {
  /**
   * What happens when the second entry makes another row than the first.
   *
   * - `keep-first`: the first is kept with a warning, as when both are the same
   * - `fail`: the answer is refused, for entries of which nothing says which one is right
   */
  onContradiction: "keep-first" | "fail";
}

/**
 * Sorts the vendor's entries to the symbols that were asked for, one row per symbol.
 *
 * The vendor drops unknown symbols and repeats repeated ones, so entries are matched by symbol and
 * never by position. An entry of a symbol nobody asked for is dropped with a warning; when that
 * leaves nothing, throws a {@linkcode VendorError} with code `symbol_mismatch`. Of several symbols,
 * one whose row cannot be made fails alone.
 */
export function oneRowPerSymbol<Entry extends { symbol: string }>(
  dataType: string,
  entries: readonly Entry[],
  symbols: readonly string[],
  toRow: (entry: Entry, warn: (warning: string) => void) => Row,
  options: OneRowOptions = { onContradiction: "keep-first" },
): FetchedRows {
  const { wanted, warnings } = entriesAskedFor(dataType, entries, symbols);
  const warn = (warning: string) => warnings.push(warning);
  const rows = new Map<string, Row[]>();
  const failures = new Map<string, VendorError>();
  const addRow = (entry: Entry) => {
    const subject = subjectOf(dataType, [entry.symbol]);
    const [kept] = rows.get(entry.symbol) ?? [];
    if (kept === undefined) {
      rows.set(entry.symbol, [toRow(entry, warn)]);
      return;
    }
    if (options.onContradiction === "fail") refuseContradiction(subject, kept, toRow(entry, warn));
    warnings.push(`${subject}: more than one row; the first was kept`);
  };
  for (const entry of wanted) {
    try {
      addRow(entry);
    } catch (error) {
      if (!(error instanceof VendorError) || symbols.length === 1) throw error;
      failures.set(entry.symbol, error);
    }
  }
  return { rows, warnings, ...(failures.size === 0 ? {} : { failures }) };
}

/**
 * Sorts the vendor's entries to the symbols that were asked for, many rows per symbol, newest
 * first. What is not asked for is treated as in {@linkcode oneRowPerSymbol}, what is repeated as in
 * {@linkcode oneRowPerKey}.
 */
export function historyPerSymbol<Entry extends { symbol: string }>(
  dataType: string,
  entries: readonly Entry[],
  symbols: readonly string[],
  keyColumns: readonly string[],
  toRow: (entry: Entry) => Row,
): FetchedRows {
  const { wanted, warnings } = entriesAskedFor(dataType, entries, symbols);
  const rows = new Map<string, Row[]>();
  for (const [symbol, ofSymbol] of Map.groupBy(wanted, (entry) => entry.symbol)) {
    const distinct = oneRowPerKey(subjectOf(dataType, [symbol]), ofSymbol.map(toRow), keyColumns);
    rows.set(symbol, distinct.rows.reverse());
    warnings.push(...distinct.warnings);
  }
  return { rows, warnings };
}

/**
 * One row for each key, in the order of the keys. Of rows with the same key the one with the most
 * values is kept, with a warning: neither the vendor's order nor chance decides what is stored, and
 * an upsert of all of them would be refused as a whole.
 */
export function oneRowPerKey(
  subject: string,
  rows: readonly Row[],
  keyColumns: readonly string[],
): { rows: Row[]; warnings: string[] } {
  const byKey = Map.groupBy(rows, (row) => keyColumns.map((column) => row[column]).join(" "));
  const sorted = [...byKey].toSorted(([left], [right]) => compareTexts(left, right));
  const repeated = sorted.filter(([, same]) => same.length > 1).map(([key]) => key);
  const warnings = repeated.length === 0 ? [] : [
    `${subject}: more than one row for ${repeated.slice(0, 3).join(", ")}${
      repeated.length > 3 ? ` and ${repeated.length - 3} more` : ""
    }; the one with the most values was kept`,
  ];
  return { rows: sorted.flatMap(([, same]) => fullestFirst(same).slice(0, 1)), warnings };
}

/** Splits off entries of symbols that nobody asked for; see {@linkcode oneRowPerSymbol}. */
export function entriesAskedFor<Entry extends { symbol: string }>(
  dataType: string,
  entries: readonly Entry[],
  symbols: readonly string[],
): { wanted: Entry[]; warnings: string[] } {
  const asked = new Set(symbols);
  const wanted = entries.filter((entry) => asked.has(entry.symbol));
  const others = new Set(
    entries.filter((entry) => !asked.has(entry.symbol)).map((entry) => entry.symbol),
  );
  const warnings = [...others].slice(0, MOST_NAMED).map((other) =>
    `${subjectOf(dataType, symbols)}: dropped rows of symbol ${
      JSON.stringify(other)
    }, which was not asked for`
  );
  if (others.size > MOST_NAMED) {
    warnings.push(
      `${subjectOf(dataType, symbols)}: dropped rows of ${
        others.size - MOST_NAMED
      } more symbols, which were not asked for`,
    );
  }
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

function refuseContradiction(subject: string, kept: Row, other: Row): void {
  const column = Object.keys(kept).find((column) =>
    JSON.stringify(kept[column]) !== JSON.stringify(other[column])
  );
  if (column === undefined) return;
  throw new VendorError(
    `${subject}: more than one row, with different values of ${JSON.stringify(column)}; wanted one`,
    { errorClass: "retryable", code: "schema_mismatch" },
  );
}

/** Rows with equally many values are ordered by their text, so that the order is always the same. */
function fullestFirst(rows: readonly Row[]): Row[] {
  const values = (row: Row) => Object.values(row).filter((value) => value !== null).length;
  return rows.toSorted((left, right) =>
    values(right) - values(left) || compareTexts(JSON.stringify(left), JSON.stringify(right))
  );
}

function compareTexts(left: string, right: string): number {
  return left < right ? -1 : Number(left > right);
}
