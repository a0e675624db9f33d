import type { Result } from "./benchmark.ts";
import { formatTable } from "../scripts/format.ts";
import { formatNumber } from "./statistics.ts";

/** The cells of one result, as the table on the terminal and the one in the document show it. */
export function cellsOf(result: Result): string[] {
  return [
    result.name,
    `${formatNumber(result.value)} ${result.unit}`,
    result.target ?? "",
    result.peer === null ? "" : `${result.peer} ${formatNumber(result.peer_value!)}`,
    result.ratio === null ? "" : result.ratio.toFixed(2),
    result.met === null ? "" : result.met ? "met" : "missed",
  ];
}

export const TITLES = [
  "benchmark",
  "measured",
  "target",
  "beside",
  "ratio",
  "verdict",
] as const;

/** Aligned lines for a terminal. */
export function resultTable(results: readonly Result[]): string[] {
  return formatTable(TITLES.map((title) => ({ title })), results.map(cellsOf));
}
