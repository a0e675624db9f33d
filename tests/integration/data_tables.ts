import type { Sql } from "postgres";
import type { JsonValue } from "../../supabase/functions/_shared/fetchers/index.ts";

export type TableRow = Record<string, JsonValue>;

/** The tables of the data types: their keys, and the columns that no document can tell. */
export const DATA_TABLES = {
  profiles: { key: ["symbol"], setByDatabase: ["id", "modified_at"] },
  live_quote_indicators: { key: ["symbol"], setByDatabase: ["id", "fetched_at"] },
  financial_statements: {
    key: ["symbol", "date", "period"],
    setByDatabase: ["fetched_at", "updated_at"],
  },
  ratios_ttm: { key: ["symbol"], setByDatabase: ["fetched_at", "updated_at"] },
  dividend_history: { key: ["symbol", "date"], setByDatabase: ["fetched_at", "updated_at"] },
  revenue_product_segmentation: {
    key: ["symbol", "fiscal_year", "period", "date"],
    setByDatabase: ["fetched_at", "updated_at"],
  },
  grades_historical: { key: ["symbol", "date"], setByDatabase: ["fetched_at", "updated_at"] },
  exchange_variants: {
    key: ["symbol_variant", "exchange_short_name"],
    setByDatabase: ["fetched_at", "updated_at"],
  },
  shares_float: { key: ["symbol", "date"], setByDatabase: ["fetched_at", "updated_at"] },
  available_exchanges: { key: ["exchange"], setByDatabase: ["fetched_at", "updated_at"] },
  exchange_market_status: { key: ["exchange_code"], setByDatabase: ["last_fetched_at"] },
  exchange_rates: { key: ["base_code", "target_code"], setByDatabase: ["fetched_at"] },
} as const satisfies Record<string, { key: readonly string[]; setByDatabase: readonly string[] }>;

export type DataTable = keyof typeof DATA_TABLES;

export const dataTables = Object.keys(DATA_TABLES) as DataTable[];

/** All rows of a table in the order of its key, as JSON, without the columns named. */
export async function readTable(
  sql: Sql,
  table: DataTable,
  without: readonly string[] = DATA_TABLES[table].setByDatabase,
): Promise<TableRow[]> {
  const rows = await sql<{ row: TableRow }[]>`
    select to_jsonb(t) - ${[...without]}::text[] as row
      from public.${sql(table)} as t`;
  const keyOf = (row: TableRow) =>
    JSON.stringify(DATA_TABLES[table].key.map((column) => row[column]));
  return rows.map(({ row }) => row).sort((left, right) => keyOf(left) < keyOf(right) ? -1 : 1);
}

/** Empties the tables. */
export async function truncateTables(
  sql: Sql,
  tables: readonly DataTable[] = dataTables,
): Promise<void> {
  await sql.unsafe(`truncate ${tables.map((table) => `public.${table}`).join(", ")} cascade`);
}
