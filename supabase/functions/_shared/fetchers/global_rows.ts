import type { FetchedRows, Row } from "./contract.ts";

/** The symbol of jobs that are not about a symbol. */
export const GLOBAL = "GLOBAL";

/** Rows of a data type that is not about symbols. */
export function globalRows(rows: Row[], warnings: string[]): FetchedRows {
  return { rows: new Map(rows.length === 0 ? [] : [[GLOBAL, rows]]), warnings };
}
