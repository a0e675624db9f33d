import type { Catalog, Table } from "./catalog.ts";
import { isPlain } from "./context.ts";
import { activeColumn } from "./guess_symbol.ts";
import type { KnownSymbols, Proposal } from "./proposal.ts";

/** The list of symbols that all types share, or why there is none. */
export interface SymbolListGuess {
  /** Null: no table lists the symbols of all types. Undefined: the one that is set stays. */
  known: KnownSymbols | null | undefined;
  notes: string[];
}

/**
 * The table that lists the symbols of every type. There is one setting for all of them: a list that
 * only some types go by would keep the symbols of the others from being refreshed.
 */
export function guessKnownSymbols(
  proposals: readonly Proposal[],
  { tables, knownSymbolsTable }: Catalog,
): SymbolListGuess {
  const withSymbols = proposals.filter(({ symbolColumn }) => symbolColumn.value !== null);
  if (knownSymbolsTable !== undefined) {
    if (knownSymbolsTable !== null) doubtStrangers(withSymbols, tables, knownSymbolsTable);
    return { known: undefined, notes: [] };
  }
  const sure = withSymbols.filter(({ table, symbolColumn }) =>
    table.confidence !== "low" && symbolColumn.confidence !== "low"
  );
  const voters = sure.length > 0 ? sure : withSymbols;
  if (voters.length === 0) return { known: null, notes: [] };
  const lists = tables.flatMap((list) => scoreList(list, voters, tables) ?? []);
  const shared = lists.filter(({ members }) => members.length === voters.length)
    .sort((one, other) => other.score - one.score);
  const [best, next] = shared;
  if (best !== undefined && best.score !== next?.score) return { known: best.known, notes: [] };
  const each = "without one, each type refreshes the symbols that its own table has";
  if (best !== undefined) {
    const names = shared.filter(({ score }) => score === best.score).map(({ known }) =>
      known.table
    );
    return {
      known: null,
      notes: [
        `The symbols may be listed in ${names.join(" or ")}: set known_symbols_table; ${each}`,
      ],
    };
  }
  const some = lists.map(({ known, members }) => `${known.table} (${members.join(", ")})`);
  return {
    known: null,
    notes: [
      some.length === 0
        ? `No table lists the symbols; ${each}`
        : `No table lists the symbols of all types, only of some: ${some.join(", ")}; ${each}`,
    ],
  };
}

/** Types whose symbols are not those of the list that is set become doubtful. */
function doubtStrangers(
  proposals: readonly Proposal[],
  tables: readonly Table[],
  knownSymbolsTable: string,
): void {
  const list = tables.find(({ schema, name }) => schema === "public" && name === knownSymbolsTable);
  if (list === undefined) return;
  const strangers = proposals.filter((proposal) =>
    proposal.table.value !== knownSymbolsTable && reference(proposal, list, tables) === undefined
  );
  for (const stranger of strangers) {
    stranger.confidence = "low";
    stranger.notes.push(
      `Its symbols seem not to be those of ${knownSymbolsTable}, which known_symbols_table names: ` +
        "only symbols of that list are refreshed",
    );
  }
}

interface ScoredList {
  known: KnownSymbols;
  /** Data types whose symbols it lists. */
  members: string[];
  score: number;
}

function scoreList(
  list: Table,
  proposals: readonly Proposal[],
  tables: readonly Table[],
): ScoredList | undefined {
  if (list.schema !== "public" || !isPlain(list.name)) return undefined;
  const active = activeColumn(list) ?? null;
  const members: string[] = [];
  const reasons: string[] = [];
  const columns = new Set<string>();
  let isReferredTo = false;
  let score = 0;
  for (const proposal of proposals) {
    const found = reference(proposal, list, tables);
    if (found === undefined) continue;
    const { value } = proposal.table;
    members.push(proposal.dataType);
    columns.add(found.column);
    isReferredTo ||= found.refers;
    score += (found.refers ? 1 : 0.5) + (active === null ? 0 : 1);
    const reason = found.refers
      ? `${value}.${proposal.symbolColumn.value} refers to it`
      : `${value} has its key`;
    if (!reasons.includes(reason)) reasons.push(reason);
  }
  const [column] = columns;
  // That another table has the same key alone makes it no list of what is in use.
  if (column === undefined || columns.size > 1 || (!isReferredTo && active === null)) {
    return undefined;
  }
  return { known: { table: list.name, column, activeColumn: active, reasons }, members, score };
}

/** The column of a list that holds the symbols of a type, if one does. */
function reference(
  { table: { value }, symbolColumn }: Proposal,
  list: Table,
  tables: readonly Table[],
): { column: string; refers: boolean } | undefined {
  const table = tables.find(({ schema, name }) => schema === "public" && name === value)!;
  if (list === table) return undefined;
  const foreign = table.foreignKeys.find(({ column }) => column === symbolColumn.value);
  const refers = foreign?.table === `public.${list.name}`;
  const column = refers ? foreign!.foreignColumn : symbolColumn.value!;
  const isKey = list.keys.some(({ columns }) => columns.length === 1 && columns[0] === column);
  return isKey ? { column, refers } : undefined;
}
