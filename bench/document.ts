import type { Benchmark, Findings } from "./benchmark.ts";
import { cellsOf, TITLES } from "./table.ts";

/** What the document is written from. */
export interface Report {
  command: string;
  date: Date;
  machine: readonly (readonly [string, string])[];
  measured: readonly { benchmark: Benchmark; findings: Findings }[];
}

/** docs/benchmarks.md, whole. */
export function benchmarkDocument(report: Report): string {
  const { command, date, machine, measured } = report;
  const results = measured.flatMap(({ findings }) => findings.results);
  return [
    "# Benchmarks",
    "",
    `Written by \`${command}\` on ${
      date.toISOString().slice(0, 10)
    }; every number is from that run.`,
    "`npm ci --prefix bench` installs the peers first.",
    "",
    ...table(TITLES, results.map(cellsOf)),
    "",
    "## Machine",
    "",
    ...table(["what", "found"], machine),
    "",
    "## Fairness",
    "",
    "- Queues are measured on one server in one run, in turns, with every commit flushed to disk.",
    "  Settings are PostgreSQL's defaults but for `wal_level = logical`, as on the platform.",
    "- The peers are used through their own libraries, at the batch setting that was fastest here,",
    "  with their maintenance off where it has a switch. Their versions want Node.js 22; they run",
    "  under Deno, as our workers do, in the same process.",
    "- Our jobs do more: one live job per symbol and data type, leases, limits, and a record of when",
    "  each symbol was last asked for. Nothing of that is switched off.",
    "",
    ...measured.flatMap(({ benchmark, findings }) => [
      `## ${benchmark.title}`,
      "",
      `\`npm run bench -- --only ${benchmark.name}\``,
      "",
      benchmark.method,
      "",
      ...findings.details.map((detail) => `- ${detail}`),
      "",
    ]),
  ].join("\n");
}

function table(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
): string[] {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(titles), line(titles.map(() => "---")), ...rows.map(line)];
}
