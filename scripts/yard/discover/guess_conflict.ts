import type { Table, UniqueKey } from "./catalog.ts";
import { isPlain } from "./context.ts";
import type { Guess } from "./proposal.ts";

/** The unique key that the function's upserts meet. */
export function guessConflict(
  table: Table,
  symbol: string | null,
  onConflict: readonly string[] | undefined,
): Guess<string[]> | undefined {
  const generated = new Set(
    table.columns.filter(({ isGenerated }) => isGenerated).map(({ name }) => name),
  );
  const isNatural = ({ columns }: UniqueKey) => !columns.some((name) => generated.has(name));
  const plain = table.keys.filter(({ columns }) => columns.every(isPlain));
  const natural = plain.filter(isNatural);
  const named = plain.find(({ columns }) =>
    onConflict !== undefined && isSame(columns, onConflict)
  );
  if (named !== undefined) {
    return {
      value: named.columns,
      confidence: "high",
      reasons: ["its code names it as onConflict"],
      alternatives: [],
    };
  }
  if (natural.length === 0) {
    const [only] = plain;
    return only === undefined ? undefined : {
      value: only.columns,
      confidence: "low",
      reasons: [
        "the database makes the values of the only unique key, so a refresh always adds rows",
        "make a unique index on what tells two rows apart",
      ],
      alternatives: [],
    };
  }
  const rank = (key: UniqueKey) =>
    (symbol !== null && key.columns.includes(symbol) ? 2 : 0) + (key.isPrimary ? 1 : 0);
  const [best, ...rest] = [...natural].sort((one, other) => rank(other) - rank(one));
  const isOnly = rest.length === 0;
  return {
    value: best!.columns,
    confidence: isOnly ? "high" : "medium",
    reasons: [
      best!.isPrimary
        ? "it is the primary key"
        : isOnly
        ? "it is the only unique key whose values the database does not make"
        : "it is a unique key",
    ],
    alternatives: rest.map(({ columns }) => columns.join(", ")),
  };
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((name) => other.includes(name));
}
