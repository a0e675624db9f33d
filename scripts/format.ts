/** Text for people: aligned tables, durations, sizes. */

/** A column of a table; numbers read best on the right. */
export interface Column {
  title: string;
  align?: "left" | "right";
}

/** Lines of a table with a head and a rule, columns two spaces apart, without trailing space. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string[] {
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...rows.map((row) => (row[index] ?? "").length))
  );
  const line = (cells: readonly string[]) =>
    columns.map(({ align }, index) => {
      const cell = cells[index] ?? "";
      const width = widths[index] ?? 0;
      return align === "right" ? cell.padStart(width) : cell.padEnd(width);
    }).join("  ").trimEnd();
  return [
    line(columns.map(({ title }) => title)),
    widths.map((width) => "─".repeat(width)).join("  "),
    ...rows.map(line),
  ];
}

/** `850 ms`, `12.3 s`, `4 min 05 s`. */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
}

/** `512 B`, `3.1 kB`, `20.0 MB`; thousands, as vendors count. */
export function formatBytes(bytes: number): string {
  if (bytes < 1_000) return `${bytes} B`;
  if (bytes < 1_000_000) return `${(bytes / 1_000).toFixed(1)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** `12,345`. */
export function formatCount(count: number): string {
  return count.toLocaleString("en-US");
}
