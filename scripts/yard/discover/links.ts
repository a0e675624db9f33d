import type { Catalog, Table } from "./catalog.ts";
import { isPlain } from "./context.ts";
import { activeColumn } from "./guess_symbol.ts";
import type { KnownSymbols, Proposal } from "./proposal.ts";

/** What can be said only with all proposals at hand. */
export function linkProposals(proposals: readonly Proposal[], tables: readonly Table[]): void {
  for (const proposal of proposals) {
    const table = tables.find(({ schema, name }) =>
      schema === "public" && name === proposal.table.value
    )!;
    const foreign = table.foreignKeys.find(({ column }) => column === proposal.symbolColumn.value);
    const parent = proposals.find((other) =>
      other !== proposal && `public.${other.table.value}` === foreign?.table &&
      other.symbolColumn.value !== null
    );
    if (parent !== undefined) {
      proposal.dependsOn = parent.dataType;
      proposal.notes.push(`Rows of ${parent.table.value} must be there first (a foreign key)`);
    }
    for (const other of proposals) {
      if (other === proposal || other.table.value !== proposal.table.value) continue;
      proposal.notes.push(
        `${other.functionName} seems to write the same table: where both fill the same columns, make ` +
          `it one data type with legacy_functions '{${other.functionName}}'`,
      );
    }
  }
}

/** The table that lists what the types with symbols are about. */
export function guessKnownSymbols(
  proposals: readonly Proposal[],
  { tables, knownSymbolsTable }: Catalog,
): KnownSymbols | undefined {
  if (knownSymbolsTable !== undefined) return undefined;
  const votes = new Map<string, { known: KnownSymbols; score: number }>();
  for (const { table: { value }, symbolColumn } of proposals) {
    if (symbolColumn.value === null) continue;
    const table = tables.find(({ schema, name }) => schema === "public" && name === value)!;
    const foreign = table.foreignKeys.find(({ column }) => column === symbolColumn.value);
    for (const list of tables) {
      if (list.schema !== "public" || list === table || !isPlain(list.name)) continue;
      const refers = foreign?.table === `public.${list.name}`;
      const column = refers ? foreign!.foreignColumn : symbolColumn.value;
      const isKey = list.keys.some(({ columns }) => columns.length === 1 && columns[0] === column);
      if (!isKey) continue;
      const active = activeColumn(list) ?? null;
      const vote = votes.get(list.name) ??
        { known: { table: list.name, column, activeColumn: active, reasons: [] }, score: 0 };
      vote.score += (refers ? 1 : 0.5) + (active === null ? 0 : 1);
      const reason = refers
        ? `${value}.${symbolColumn.value} refers to it`
        : `${value} has its key`;
      if (!vote.known.reasons.includes(reason)) vote.known.reasons.push(reason);
      votes.set(list.name, vote);
    }
  }
  return [...votes.values()].sort((one, other) => other.score - one.score)[0]?.known;
}
