import type { Table } from "./catalog.ts";
import type { Proposal } from "./proposal.ts";

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
