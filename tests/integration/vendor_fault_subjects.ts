import type { DataTable, TableRow } from "./data_tables.ts";

/** What is refreshed in each case, all at once. */
export const SUBJECTS = {
  "quote": { table: "live_quote_indicators", symbols: ["AAPL", "MSFT", "BRK-B"] },
  // A copy of quote whose jobs go one by one, to the path for one symbol.
  "single-quote": { table: "live_quote_indicators", symbols: ["AMZN"] },
  // Not the symbol of the others, which would wait for their parent's job.
  "profile": { table: "profiles", symbols: ["MSFT"] },
  "financial-statements": { table: "financial_statements", symbols: ["AAPL"] },
  "ratios-ttm": { table: "ratios_ttm", symbols: ["AAPL"] },
  "dividend-history": { table: "dividend_history", symbols: ["AAPL"] },
  "revenue-segmentation": { table: "revenue_product_segmentation", symbols: ["AAPL"] },
  "grades-historical": { table: "grades_historical", symbols: ["AAPL"] },
  "exchange-variants": { table: "exchange_variants", symbols: ["AAPL"] },
  "shares-float": { table: "shares_float", symbols: ["AAPL"] },
  "shares-float-all": { table: "shares_float", symbols: ["GLOBAL"] },
  "available-exchanges": { table: "available_exchanges", symbols: ["GLOBAL"] },
  "exchange-market-status": { table: "exchange_market_status", symbols: ["GLOBAL"] },
  "exchange-rates": { table: "exchange_rates", symbols: ["GLOBAL"] },
} as const satisfies Record<string, { table: DataTable; symbols: readonly string[] }>;

export type Subject = keyof typeof SUBJECTS;

export const subjects = Object.keys(SUBJECTS) as Subject[];

/** The subjects that write a row. */
export function ownersOf(table: DataTable, row: TableRow): Subject[] {
  return subjects.filter((subject) => {
    const symbols: readonly string[] = SUBJECTS[subject].symbols;
    return SUBJECTS[subject].table === table &&
      (symbols.includes("GLOBAL") || symbols.includes(String(row.symbol)));
  });
}
