import type { Sql, TransactionSql } from "postgres";
import { formatTable } from "../format.ts";
import type { Paint } from "./command.ts";

/** A row of `migration_gates_v2`. */
export interface Gate {
  gate: string;
  holds: boolean;
  found: string;
  wanted: string;
  hint: string | null;
}

/** The gates before a stage of a data type, the next one by default. Their verdicts are kept. */
export async function readGates(
  sql: Sql | TransactionSql,
  suffix: string,
  dataType: string,
  stage: string | null,
): Promise<Gate[]> {
  const gates = await sql<Gate[]>`
    select gate, holds, found, wanted, hint
      from public.${sql(`migration_gates${suffix}`)}(${dataType}::text, ${stage}::text)`;
  return [...gates];
}

/** A table of gates, those that do not hold marked. */
export function formatGates(gates: readonly Gate[], paint: Paint): string[] {
  const lines = formatTable(
    [{ title: "gate" }, { title: "holds" }, { title: "found" }, { title: "wanted" }],
    gates.map(({ gate, holds, found, wanted }) => [gate, holds ? "yes" : "no", found, wanted]),
  );
  const hints = gates.flatMap(({ gate, holds, hint }) =>
    holds || hint === null ? [] : [`  ${gate}: ${hint}`]
  );
  return [
    ...lines.slice(0, 2).map((line) => paint.dim(line)),
    ...lines.slice(2).map((line, index) => gates[index]?.holds ? line : paint.yellow(line)),
    ...hints,
  ];
}
