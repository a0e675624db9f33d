import { statementsLimit } from "../env.ts";
import { z } from "npm:zod@4.6.7";
import { getVendorJson } from "../http.ts";
import type {
  FetchContext,
  FetchedRows,
  Fetcher,
  JsonValue,
  Row,
  VendorAnswer,
} from "./contract.ts";
import { easternTimestamp } from "./eastern_time.ts";
import { type ErrorClass, VendorError } from "./errors.ts";
import { readSetting } from "./setting.ts";
import { StatementLimit } from "./statement_limit.ts";
import { balanceSheets, cashFlows, incomeStatements, type Statement } from "./statement_schemas.ts";
import { entriesAskedFor } from "./symbol_rows.ts";
import { describeMismatch, subjectOf } from "./validation.ts";
import { queueTypeOf } from "./queue_type.ts";

const DATA_TYPE = "financial-statements";

/** The three vendor calls of one symbol: payload key, path, column and check of each. */
const STATEMENTS = [
  {
    key: "income",
    path: "income-statement",
    column: "income_statement_payload",
    schema: incomeStatements,
  },
  {
    key: "balanceSheet",
    path: "balance-sheet-statement",
    column: "balance_sheet_payload",
    schema: balanceSheets,
  },
  {
    key: "cashFlow",
    path: "cash-flow-statement",
    column: "cash_flow_payload",
    schema: cashFlows,
  },
] as const;

type StatementKind = (typeof STATEMENTS)[number];

/** When several calls fail, the error that says most about what to do next is the one thrown. */
const TELLING_FIRST: readonly ErrorClass[] = [
  "auth",
  "rate_limited",
  "quota",
  "permanent",
  "dependency",
  "retryable",
];

const payloadSchema = z.object({
  income: incomeStatements.nullable(),
  balanceSheet: balanceSheets.nullable(),
  cashFlow: cashFlows.nullable(),
  warnings: z.array(z.string()),
}, { error: "an object" });

/** The three lists of one symbol; null stands for a call that failed and was skipped. */
export type StatementsPayload = z.infer<typeof payloadSchema>;

/** How a financial statements fetcher behaves. */
export interface FinancialStatementsOptions {
  /** Rows wanted per statement; asked at each request. Without a limit the vendor sends only 5. */
  limit(): number;
  /**
   * What happens when one or two of the three calls fail.
   *
   * - `fail`: the whole request fails with that error. The queue does this: a completed job says
   *   that all three are fresh, and its retry refreshes all three.
   * - `skip`: the others are still returned, with a warning. The endpoint does this, as it always has.
   */
  onFailedStatement: "fail" | "skip";
}

/**
 * Annual statements for `financial_statements`: three concurrent vendor calls per symbol, merged
 * into one row per date and period.
 *
 * A statement that the vendor does not have for a period leaves its column out of the row, so that
 * a stored payload is never overwritten with null. A plan that refuses the limit costs one extra
 * call, once per process.
 */
export function createFinancialStatementsFetcher(
  options: FinancialStatementsOptions,
): Fetcher<StatementsPayload> {
  const limit = new StatementLimit();
  return {
    dataType: DATA_TYPE,
    maxSymbolsPerCall: 1,
    callsPerBatch: STATEMENTS.length,
    schema: payloadSchema,
    request: (symbols, context) => requestStatements(symbols, context, options, limit),
    toRows: mergeStatements,
  };
}

async function requestStatements(
  symbols: readonly string[],
  context: FetchContext,
  options: FinancialStatementsOptions,
  limit: StatementLimit,
): Promise<VendorAnswer<unknown>> {
  const wanted = readSetting(subjectOf(DATA_TYPE, symbols), options.limit);
  const results = await Promise.allSettled(
    STATEMENTS.map((kind) => requestStatement(kind, symbols, context, wanted, limit, options)),
  );
  const answers = results.map((result) => result.status === "fulfilled" ? result.value : null);
  const failures = results.flatMap((result) =>
    result.status === "rejected" ? [asVendorError(result.reason)] : []
  );
  const calls = sum([...answers, ...failures].map((part) => part?.calls ?? 0));
  const bytes = sum([...answers, ...failures].map((part) => part?.bytes ?? 0));
  const tolerated = options.onFailedStatement === "skip" && failures.length < STATEMENTS.length;
  if (failures.length > 0 && !tolerated) throw mostTelling(failures).with({ calls, bytes });
  const payload = Object.fromEntries(
    STATEMENTS.map((kind, index) => [kind.key, answers[index]?.payload ?? null]),
  );
  return {
    payload: { ...payload, warnings: failures.map((failure) => failure.message) },
    calls,
    bytes,
  };
}

async function requestStatement(
  kind: StatementKind,
  symbols: readonly string[],
  context: FetchContext,
  wanted: number,
  limit: StatementLimit,
  options: FinancialStatementsOptions,
): Promise<VendorAnswer<unknown>> {
  const subject = subjectOf(kind.path, symbols);
  const { answer, refusedCalls, refusedBytes } = await limit.call(
    wanted,
    (rows) =>
      getVendorJson({
        path: kind.path,
        query: { symbol: symbols.join(","), limit: rows },
        subject,
      }, context),
  );
  const calls = answer.calls + refusedCalls;
  const bytes = answer.bytes + refusedBytes;
  if (options.onFailedStatement === "skip") {
    const parsed = kind.schema.safeParse(answer.payload);
    if (!parsed.success) {
      throw new VendorError(
        describeMismatch(subject, answer.payload, parsed.error, context.apiKey),
        {
          errorClass: "retryable",
          code: "schema_mismatch",
          calls,
          bytes,
        },
      );
    }
  }
  return { payload: answer.payload, calls, bytes };
}

function mergeStatements(payload: StatementsPayload, symbols: readonly string[]): FetchedRows {
  const warnings = [...payload.warnings];
  const [symbol] = symbols;
  if (symbol === undefined) return { rows: new Map(), warnings };
  const merged = new Map<string, { row: Row; latest: string }>();
  for (const { key, path, column } of STATEMENTS) {
    const asked = entriesAskedFor(path, payload[key] ?? [], symbols);
    warnings.push(...asked.warnings);
    for (const statement of asked.wanted) {
      const period = `${statement.date} ${statement.period}`;
      const entry = merged.get(period) ?? { row: { symbol }, latest: "" };
      merged.set(period, entry);
      if (column in entry.row) {
        warnings.push(
          `${subjectOf(path, symbols)}: more than one row for ${period}; the first was kept`,
        );
        continue;
      }
      const acceptedDate = statement.acceptedDate ?? "";
      // The three normally agree; when they differ the latest filing describes the row.
      if (entry.latest === "" || acceptedDate > entry.latest) {
        entry.latest = acceptedDate;
        Object.assign(entry.row, headerColumns(statement));
      }
      entry.row[column] = statement as JsonValue;
    }
  }
  const rows = [...merged.values()].map(({ row }) => row);
  return { rows: new Map(rows.length === 0 ? [] : [[symbol, rows]]), warnings };
}

function headerColumns(statement: Statement): Row {
  return {
    date: statement.date,
    period: statement.period,
    reported_currency: textOrNull(statement.reportedCurrency),
    cik: textOrNull(statement.cik),
    filing_date: textOrNull(statement.filingDate),
    accepted_date: statement.acceptedDate === null || statement.acceptedDate === ""
      ? null
      : easternTimestamp(statement.acceptedDate),
    fiscal_year: textOrNull(statement.fiscalYear),
  };
}

function textOrNull(value: string | number | null): string | null {
  return value === null || value === "" ? null : String(value);
}

function asVendorError(reason: unknown): VendorError {
  if (reason instanceof VendorError) return reason;
  throw reason;
}

function mostTelling(failures: readonly VendorError[]): VendorError {
  const [first] = failures.toSorted((left, right) =>
    TELLING_FIRST.indexOf(left.errorClass) - TELLING_FIRST.indexOf(right.errorClass)
  );
  if (first === undefined) throw new RangeError("Cannot choose an error: found none");
  return first;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** In the queue, with `FMP_STATEMENTS_LIMIT` rows per statement. */
export const queueType = queueTypeOf(
  createFinancialStatementsFetcher({
    limit: () => statementsLimit(Deno.env),
    onFailedStatement: "fail",
  }),
  {
    "income-statement": { symbols: "label", joined: "statements" },
    "balance-sheet-statement": { symbols: "label", joined: "statements" },
    "cash-flow-statement": { symbols: "label", joined: "statements" },
  },
);
