import type { Column, Table } from "./catalog.ts";
import { type Context, isPlain } from "./context.ts";
import type { Guess } from "./proposal.ts";

const TEXT = /^(text|character varying(\(\d+\))?)$/;

const SYMBOL_NAME = /^(symbol|ticker)$/;

const NO_SYMBOL =
  /(^|_)(date|day|month|year|period|season|currency|type|kind|status|language|locale|country|name|unit|source|provider|exchange)($|_)/;

const GENERIC_KEY = /^(id|uuid|name|date|day|code|key|slug|type)$/;

/** The column that says what a row is about, or null for a table that is refreshed as one. */
export function guessSymbol(table: Table, context: Context): Guess<string | null> {
  const keyColumns = new Set(table.keys.flatMap(({ columns }) => columns));
  const scored = table.columns.map((column) => ({
    column,
    ...scoreSymbol(column, table, keyColumns, context),
  }))
    .filter(({ score }) => score > 0)
    .sort((one, other) => other.score - one.score);
  const best = scored.find(({ column }) => TEXT.test(column.type) && isPlain(column.name));
  const other = scored.find(({ column }) => !TEXT.test(column.type));
  if (best !== undefined && best.score >= 0.45) {
    return {
      value: best.column.name,
      confidence: best.score >= 0.7 ? "high" : "medium",
      reasons: best.reasons,
      alternatives: scored.filter((entry) => entry !== best && best.score - entry.score < 0.2)
        .map(({ column }) => column.name),
    };
  }
  if (other !== undefined && other.score >= 0.45) {
    return {
      value: null,
      confidence: "low",
      reasons: [
        `"${other.column.name}" would be it, but is of type ${other.column.type}, and symbols are text`,
        "so it is proposed as global: one job refreshes all, as its cron job does",
      ],
      alternatives: [other.column.name],
    };
  }
  const doubtful = best !== undefined && best.score >= 0.3;
  return {
    value: null,
    confidence: doubtful ? "low" : "medium",
    reasons: [
      "no column of its key names a thing that other tables are about too",
      "so it is global: one job refreshes all, as its cron job does",
    ],
    alternatives: doubtful ? [best.column.name] : [],
  };
}

function scoreSymbol(
  column: Column,
  table: Table,
  keyColumns: ReadonlySet<string>,
  { tables, keyNames }: Context,
): { score: number; reasons: string[] } {
  const { name } = column;
  const reasons: string[] = [];
  let score = 0;
  const isKey = keyColumns.has(name);
  const foreign = table.foreignKeys.find((key) => key.column === name);
  if (column.isGenerated) return { score, reasons };
  if (SYMBOL_NAME.test(name)) {
    score += 0.5;
    reasons.push("it is called so");
  } else if (NO_SYMBOL.test(name)) {
    score -= 0.4;
  }
  if (foreign !== undefined && (isKey || column.isRequired)) {
    score += 0.45;
    reasons.push(`it refers to ${foreign.table}`);
  }
  const others = (keyNames.get(name) ?? 0) - (isKey ? 1 : 0);
  if (others >= 1 && (isKey || column.isRequired) && !GENERIC_KEY.test(name)) {
    score += others >= 2 ? 0.35 : 0.25;
    reasons.push(
      `${others === 1 ? "another table has" : `${others} other tables have`} it in a key`,
    );
  }
  const list = tables.find((other) => other !== table && isListOf(other, name));
  if (list !== undefined && isKey) {
    score += 0.2;
    reasons.push(`${list.name} lists its values`);
  }
  if (isKey) {
    score += 0.1;
    const first = table.keys.some(({ columns }) => columns[0] === name);
    if (first) score += 0.05;
    if (score > 0.2) reasons.push("it is part of the key");
  }
  return { score, reasons };
}

/** Whether a table lists things by a column: its only key, with a flag that says which are in use. */
function isListOf(table: Table, column: string): boolean {
  return table.keys.some(({ columns }) => columns.length === 1 && columns[0] === column) &&
    activeColumn(table) !== undefined;
}

export function activeColumn(table: Table): string | undefined {
  return table.columns.find(({ name, type }) =>
    type === "boolean" && /^(is_)?(active|enabled|tracked|in_use)$/.test(name)
  )?.name;
}
