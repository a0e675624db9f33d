import type { Table } from "./catalog.ts";
import type { Context } from "./context.ts";
import type { Cadence, CronJob } from "./jobs.ts";
import { judgeMovement } from "./movement.ts";
import type { Guess } from "./proposal.ts";
import type { FunctionCode } from "./sources.ts";
import { likeness, wordsOf } from "./words.ts";

export interface Candidate {
  table: Table;
  /** 0 to 1. */
  score: number;
  reasons: string[];
}

const LEAST_SCORE = 0.3;

export function rankTables(
  functionName: string,
  jobs: readonly CronJob[],
  cadence: Cadence | undefined,
  context: Context,
  code: FunctionCode | undefined,
): Candidate[] {
  const candidates = context.tables.flatMap((table): Candidate[] => {
    const written = code?.writes.filter((write) => write.table === table.name) ?? [];
    const byName = scoreName(functionName, table, context);
    const byJob = Math.max(
      0,
      ...jobs.map(({ jobname }) => scoreName(jobname ?? "", table, context).score * 0.9),
    );
    const reasons = [...byName.reasons];
    let { score } = byName;
    if (byJob > score) {
      score = byJob;
      reasons.push("the name of its job is like it");
    }
    if (written.length > 0 && table.schema === "public") {
      reasons.unshift(`its code writes to it (${written[0]!.where})`);
      // Where it writes to several, the name decides.
      score = 0.85 + score * 0.15;
    }
    const moved = judgeMovement(table, cadence, context.catalog.now);
    if (moved !== undefined && score > 0) {
      score = Math.min(1, score * moved.factor);
      reasons.push(moved.reason);
    }
    return score >= LEAST_SCORE ? [{ table, score, reasons }] : [];
  });
  return candidates.sort((one, other) => other.score - one.score);
}

/** How well a table's name, and the names of its columns, meet a function's. */
function scoreName(
  name: string,
  table: Table,
  { functionWeight, tableWeight }: Context,
): { score: number; reasons: string[] } {
  const wanted = wordsOf(name);
  const found = wordsOf(table.name);
  if (wanted.length === 0) return { score: 0, reasons: [] };
  if (wanted.join("") === found.join("")) {
    return { score: 1, reasons: [`its name says "${found.join(" ")}", as the table's does`] };
  }
  const columnWords = new Set(table.columns.flatMap((column) => wordsOf(column.name)));
  let met = 0;
  let total = 0;
  const shared: string[] = [];
  const inColumns: string[] = [];
  for (const word of wanted) {
    const weight = functionWeight(word);
    total += weight;
    const like = Math.max(0, ...found.map((other) => likeness(word, other)));
    if (like > 0) shared.push(word);
    else if (columnWords.has(word)) inColumns.push(word);
    met += weight * (like > 0 ? like : columnWords.has(word) ? 0.5 : 0);
  }
  const ofTable = found.map((word) => ({
    weight: tableWeight(word),
    like: Math.max(0, ...wanted.map((other) => likeness(word, other))),
  }));
  const sum = (values: readonly number[]) => values.reduce((one, other) => one + other, 0);
  const precision = sum(ofTable.map(({ weight, like }) => weight * like)) /
    sum(ofTable.map(({ weight }) => weight));
  const reasons = [
    ...(shared.length === 0 ? [] : [`both names have ${listed(shared)}`]),
    ...(inColumns.length === 0 ? [] : [`it has columns named for ${listed(inColumns)}`]),
  ];
  return { score: 0.6 * (met / total) + 0.4 * precision, reasons };
}

export function tableGuessOf(candidates: readonly Candidate[]): Guess<string> {
  const [best, second] = candidates;
  const { score, table, reasons } = best!;
  const margin = score - (second?.score ?? 0);
  const near = candidates.slice(1).filter((other) => score - other.score < 0.15).slice(0, 3);
  return {
    value: table.name,
    confidence: score >= 0.7 && margin >= 0.15
      ? "high"
      : score >= 0.5 && margin >= 0.08
      ? "medium"
      : "low",
    reasons,
    alternatives: near.map((other) => other.table.name),
  };
}

function listed(words: readonly string[]): string {
  return words.map((word) => `"${word}"`).join(", ");
}
