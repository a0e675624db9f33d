import type { Sql, TransactionSql } from "postgres";
import { formatCount } from "../format.ts";
import type { BaselineFile } from "./baseline_file.ts";
import type { Answer } from "./command.ts";
import { inVain } from "./database.ts";

/** Puts a file into `switchyard.baseline`. Doing it twice adds nothing. */
export async function importBaseline(
  sql: Sql,
  suffix: string,
  file: BaselineFile,
  path: string,
  isDryRun: boolean,
): Promise<Answer> {
  const types = await readTypes(sql, suffix);
  const leftOut = new Set<string>();
  const freshness = file.freshness.flatMap((sample) => {
    const dataType = findType(types, sample);
    if (dataType === undefined) {
      leftOut.add(sample.dataType);
      return [];
    }
    return [{
      recorded_at: sample.recordedAt,
      kind: "freshness",
      subject: dataType,
      value: { ...sample.value, data_type: dataType },
    }];
  });
  const rows = [
    ...file.jobs.map((row) => ({ recorded_at: file.recordedAt, kind: "job", ...row })),
    ...file.rows.map((row) => ({ recorded_at: file.recordedAt, kind: "rows", ...row })),
    ...freshness,
  ];
  const notes = file.notes ?? `imported from ${path.split(/[\\/]/).at(-1)}`;
  const insert = async (tx: Sql | TransactionSql) => {
    const inserted = await tx`
      insert into switchyard.baseline (recorded_at, kind, subject, value, notes)
      select r.recorded_at, r.kind, r.subject, r.value, ${notes}::text
        from jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb)
          as r (recorded_at timestamptz, kind text, subject text, value jsonb)
          on conflict do nothing`;
    return inserted.count;
  };
  const count = isDryRun ? await inVain(sql, insert) : await insert(sql);
  const json = {
    dryRun: isDryRun,
    imported: count,
    thereAlready: rows.length - count,
    leftOut: [...leftOut],
  };
  return {
    json,
    lines: [
      `${isDryRun ? "Would import" : "Imported"} ${formatCount(count)} of ${
        formatCount(rows.length)
      } rows; the others are there already`,
      ...(leftOut.size === 0 ? [] : [
        `Left out, as the registry has no data type that reads the same columns: ${
          [...leftOut].join(", ")
        }`,
      ]),
      ...(isDryRun
        ? []
        : ["Next: npm run yard -- baseline, to have freshness sampled from now on"]),
    ],
  };
}

interface RegisteredType {
  dataType: string;
  functions: (string | null)[];
  table: string;
  symbolColumn: string | null;
  timestampColumn: string;
}

async function readTypes(sql: Sql, suffix: string): Promise<RegisteredType[]> {
  const rows = await sql<RegisteredType[]>`
    select r.data_type as "dataType",
           jsonb_build_array(r.edge_function_name) || to_jsonb(r.legacy_functions) as functions,
           r.table_name as "table", r.symbol_column as "symbolColumn",
           r.timestamp_column as "timestampColumn"
      from public.${sql(`data_type_registry${suffix}`)} as r
     order by r.data_type`;
  return [...rows];
}

/** The type of the registry that a sample is about, whatever discover called it. */
function findType(
  types: readonly RegisteredType[],
  sample: BaselineFile["freshness"][number],
): string | undefined {
  const same = types.filter((type) =>
    type.table === sample.table && type.symbolColumn === sample.symbolColumn &&
    type.timestampColumn === sample.timestampColumn
  );
  const byFunction = same.filter(({ functions }) => functions.includes(sample.functionName));
  return (byFunction.length > 0 ? byFunction : same).length === 1
    ? (byFunction[0] ?? same[0])!.dataType
    : byFunction[0]?.dataType;
}
