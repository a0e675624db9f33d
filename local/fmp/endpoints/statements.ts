import { overlay } from "../examples.ts";
import type { JsonRow, JsonValue } from "../json.ts";
import type { Listing } from "../listing.ts";
import { missingParameter, type Reply } from "../replies.ts";
import { type Statement, statementsOf } from "../statements.ts";
import { type Endpoint, symbolEndpoint, wholeNumber } from "./endpoint.ts";

/** Rows that come without a `limit`. */
const defaultLimit = 5;

/** `income-statement`. */
export const incomeStatement: Endpoint = statementEndpoint("income-statement", (s) => s.income);

/** `balance-sheet-statement`. */
export const balanceSheetStatement: Endpoint = statementEndpoint(
  "balance-sheet-statement",
  (s) => s.balance,
);

/** `cash-flow-statement`. */
export const cashFlowStatement: Endpoint = statementEndpoint("cash-flow-statement", (s) => s.cash);

function statementEndpoint(
  name: string,
  part: (statement: Statement) => Record<string, number>,
): Endpoint {
  return symbolEndpoint(name, (symbol, query, world) => {
    const wanted = periodsOf(query.get("period"));
    if (!Array.isArray(wanted)) return wanted;
    const listing = world.universe.bySymbol.get(symbol);
    if (!listing?.business) return [];
    const examples = world.examples.rowsOf(name, symbol);
    const frozenRows = examples.filter((row) => wanted.includes(String(row.period)));
    if (world.frozen && frozenRows.length > 0) return frozenRows;
    const limit = wholeNumber(query, "limit", defaultLimit);
    const rows = statementsOf(listing, world.now)
      .filter((statement) => wanted.includes(statement.period))
      .take(limit)
      .map((statement) => ({ ...header(listing, statement), ...part(statement) }))
      .toArray();
    return overlay(rows, { examples, key: periodKey, moving: [], verbatim: world.frozen });
  });
}

/** `period` values by the parameter; an unrecognised one means annual, a bad quarter is refused. */
function periodsOf(period: string | null): string[] | Reply {
  if (period === null) return ["FY"];
  if (period === "quarter") return ["Q1", "Q2", "Q3", "Q4"];
  if (/^Q[1-4]$/.test(period)) return [period];
  if (/^Q\d+$/.test(period)) return missingParameter("period");
  return ["FY"];
}

function header(listing: Listing, statement: Statement): Record<string, JsonValue> {
  return {
    date: statement.date,
    symbol: listing.symbol,
    reportedCurrency: listing.business?.currency ?? "",
    cik: listing.cik ?? "0000000000",
    filingDate: statement.filingDate,
    acceptedDate: statement.acceptedDate,
    fiscalYear: String(statement.fiscalYear),
    period: statement.period,
  };
}

function periodKey(row: JsonRow): string {
  return `${row.fiscalYear} ${row.period}`;
}
