import type { Sql } from "postgres";
import {
  DATA_TABLES,
  type DataTable,
  dataTables,
  readTable,
  type TableRow,
} from "./data_tables.ts";

/** A value that the vendor does not send, so that a refresh always has something to change. */
export const MARKS: Record<DataTable, readonly [column: string, value: string | number]> = {
  profiles: ["ceo", "of old"],
  live_quote_indicators: ["exchange", "OLD"],
  financial_statements: ["cik", "of old"],
  ratios_ttm: ["current_ratio_ttm", -1],
  dividend_history: ["frequency", "of old"],
  revenue_product_segmentation: ["reported_currency", "OLD"],
  grades_historical: ["analyst_ratings_buy", -1],
  exchange_variants: ["range", "of old"],
  shares_float: ["free_float", -1],
  available_exchanges: ["name", "of old"],
  exchange_market_status: ["name", "of old"],
  exchange_rates: ["rate", -1],
};

/** The rows of each table, by their keys. */
export type Tables = Map<DataTable, Map<string, TableRow>>;

export async function readTables(sql: Sql): Promise<Tables> {
  return new Map(
    await Promise.all(dataTables.map(async (table) => {
      const rows = await readTable(sql, table, []);
      const byKey = rows.map((row): [string, TableRow] => [
        DATA_TABLES[table].key.map((column) => row[column]).join(" "),
        row,
      ]);
      return [table, new Map(byKey)] as const;
    })),
  );
}

/** A row without what the database sets. */
export function content(table: DataTable, row: TableRow | undefined): TableRow | undefined {
  if (row === undefined) return undefined;
  const hidden: readonly string[] = DATA_TABLES[table].setByDatabase;
  return Object.fromEntries(Object.entries(row).filter(([column]) => !hidden.includes(column)));
}

export function mapRow(row: TableRow | undefined, map: (row: TableRow) => TableRow) {
  return row === undefined ? undefined : map(row);
}

/** Keeps a copy of the tables for {@linkcode restore}. */
export async function keepTables(sql: Sql): Promise<void> {
  await sql`create schema kept`;
  for (const table of dataTables) {
    await sql`create table kept.${sql(table)} as table public.${sql(table)}`;
  }
}

/** Brings back the tables that were kept, an empty queue and providers that nothing has happened to. */
export async function restore(sql: Sql): Promise<void> {
  await sql.begin(async (sql) => {
    await sql.unsafe(`truncate ${dataTables.map((table) => `public.${table}`).join(", ")}`);
    for (const table of dataTables) {
      await sql`insert into public.${sql(table)} select * from kept.${sql(table)}`;
    }
    await sql`delete from public.api_call_queue_v2`;
    await sql`truncate switchyard.refresh_state, switchyard.failed_attempts`;
    await sql`update public.api_providers_v2
                 set hold_until = null, hold_reason = null, breaker_state = 'closed'`;
    await sql`update public.data_type_registry_v2 set batch_size = 100 where data_type = 'quote'`;
  });
}
