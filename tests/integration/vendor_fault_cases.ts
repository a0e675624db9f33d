import type { Fault } from "../../local/fmp/simulator.ts";
import type { TableRow } from "./data_tables.ts";
import { type Subject, subjects } from "./vendor_fault_subjects.ts";

const LATEST_RATES = "/v6/latest/USD";

/** What becomes of the jobs of a type, and of its rows. */
export interface Outcome {
  /** `kept`: not even their times have moved. */
  rows: "kept" | "right";
  status: "completed" | "failed" | "pending";
  attempts: number;
  /** Error class and code of the last error; absent: none. */
  error?: string;
  /** In the last error's message. */
  names?: string;
}

const right: Outcome = { rows: "right", status: "completed", attempts: 0 };
const empty: Outcome = { rows: "kept", status: "completed", attempts: 0 };
const retryable = (code: string, key?: string): Outcome => ({
  rows: "kept",
  status: "pending",
  attempts: 1,
  error: `retryable ${code}`,
  ...(key === undefined ? {} : { names: JSON.stringify(key) }),
});
const permanent = (code: string): Outcome => ({
  rows: "kept",
  status: "failed",
  attempts: 1,
  error: `permanent ${code}`,
});
/** Given back without an attempt: it says nothing about the job. */
const givenBack = (error: string): Outcome => ({
  rows: "kept",
  status: "pending",
  attempts: 0,
  error,
});
const mismatch = "schema_mismatch";

export interface Case {
  name: string;
  /** By endpoint. */
  faults: Record<string, Fault>;
  /** By subject; `*` for those that are not named. Subjects without an outcome are not queued. */
  outcomes: Partial<Record<Subject | "*", Outcome>>;
  /** By symbol, in place of that of its subject. */
  ofSymbol?: Record<string, Outcome>;
  /** Makes rows comparable where the fault changes what is right. */
  comparable?: (row: TableRow) => TableRow;
  /** State of both providers afterwards. */
  provider?: { holdSeconds: [least: number, most: number] } | { breaker: "open" };
}

const everywhere = (
  name: string,
  fault: Fault,
  outcome: Outcome,
  more: Partial<Case> = {},
): Case => ({
  name,
  faults: { "*": fault },
  ...more,
  outcomes: { "*": outcome, ...more.outcomes },
});

/** The same outcome for all subjects but some. */
function all(outcome: Outcome, ...but: Subject[]): Case["outcomes"] {
  return Object.fromEntries(
    subjects.filter((subject) => !but.includes(subject)).map((subject) => [subject, outcome]),
  );
}

const HTML = "<!doctype html><title>Bad gateway</title>";

export const ANSWERS: readonly Case[] = [
  ...[500, 503, 408].map((status) =>
    everywhere(
      `status ${status}`,
      { kind: "status", status, body: HTML, headers: { "content-type": "text/html" } },
      retryable(`http_${status}`),
    )
  ),
  everywhere(
    "a redirect, which is not followed",
    { kind: "status", status: 302, headers: { location: "http://127.0.0.1:9/" } },
    retryable("unexpected_redirect"),
  ),
  everywhere("429", { kind: "rate-limit" }, givenBack("rate_limited http_429"), {
    provider: { holdSeconds: [50, 60] },
  }),
  everywhere(
    "429 with Retry-After in seconds",
    { kind: "rate-limit", retryAfterSeconds: 300 },
    givenBack("rate_limited http_429"),
    { provider: { holdSeconds: [290, 300] } },
  ),
  everywhere(
    "429 with Retry-After as a date",
    { kind: "rate-limit", retryAfterSeconds: 3_600, retryAfterAs: "http-date" },
    givenBack("rate_limited http_429"),
    { provider: { holdSeconds: [3_400, 3_600] } },
  ),
  everywhere(
    "200 with the error object of the rate limit",
    { kind: "error-object" },
    givenBack("rate_limited limit_reach"),
    { provider: { holdSeconds: [50, 60] } },
  ),
  everywhere(
    "200 with an error object of other words",
    { kind: "error-object", message: "Something went wrong" },
    retryable("error_message"),
  ),
  ...[401, 403].map((status) =>
    everywhere(`status ${status}`, { kind: "status", status }, givenBack(`auth http_${status}`), {
      provider: { breaker: "open" },
    })
  ),
  everywhere(
    "200 with the error object of a refused key",
    { kind: "error-object", message: "Invalid API KEY. Feel free to create a Free API Key" },
    givenBack("auth invalid_key"),
    { provider: { breaker: "open" } },
  ),
  ...(["restricted-endpoint", "exclusive-endpoint"] as const).map((spelling) =>
    everywhere(`402, ${spelling}`, { kind: "payment", spelling }, permanent("plan_endpoint"))
  ),
  everywhere("402, symbol", { kind: "payment", spelling: "symbol" }, permanent("plan_parameter")),
  {
    name: "402 for other parameters",
    faults: {
      "profile": { kind: "payment", spelling: "period" },
      "dividends": { kind: "payment", spelling: "period-object" },
      "grades-historical": { kind: "payment", spelling: "from" },
      "ratios-ttm": { kind: "status", status: 402, body: "Pay first" },
    },
    outcomes: {
      "profile": permanent("plan_parameter"),
      "dividend-history": permanent("plan_parameter"),
      "grades-historical": permanent("plan_parameter"),
      "ratios-ttm": permanent("http_402"),
    },
  },
  ...[400, 404].map((status): Case => ({
    name: `status ${status}`,
    faults: { "*": { kind: "status", status } },
    // Batches that are refused are split, which the last part of the table is about.
    outcomes: all(permanent(`http_${status}`), "quote"),
  })),
  everywhere("plain text", { kind: "not-json" }, retryable("not_json")),
  everywhere("an empty body", { kind: "not-json", body: "" }, retryable("not_json")),
  everywhere("an HTML page", { kind: "content-type", body: HTML }, retryable("not_json")),
  everywhere("JSON under another content type", { kind: "content-type" }, right),
  everywhere("JSON cut short", { kind: "truncated" }, retryable("truncated_json")),
  everywhere(
    "a connection closed early",
    { kind: "truncated", closeEarly: true },
    retryable("network"),
  ),
  everywhere("a reset connection", { kind: "reset" }, retryable("network")),
  everywhere("a slow answer", { kind: "slow", delayMs: 200 }, right),
  {
    name: "no answer, and one that stops in its middle",
    faults: {
      "*": { kind: "timeout" },
      ...Object.fromEntries(
        ["batch-quote", "dividends", "ratios-ttm", LATEST_RATES, "all-exchange-market-hours"]
          .map((endpoint) => [endpoint, { kind: "timeout", afterHead: true }]),
      ),
    },
    outcomes: { "*": retryable("timeout") },
  },
];

export const ROWS: readonly Case[] = [
  everywhere("no rows", { kind: "empty" }, empty, {
    outcomes: { "exchange-rates": retryable(mismatch) },
  }),
  everywhere("rows twice", { kind: "duplicate-rows", copies: 2 }, right, {
    comparable: withSortedHolidays,
  }),
  everywhere("rows reversed", { kind: "reorder-rows", order: "reversed" }, right, {
    comparable: withSortedHolidays,
  }),
  everywhere("rows shuffled", { kind: "reorder-rows", order: "shuffled" }, right, {
    comparable: withSortedHolidays,
  }),
  everywhere(
    "further keys",
    { kind: "wrong-shape", retype: { novelty: { nested: [1] } } },
    right,
    { comparable: withoutNovelty },
  ),
  {
    name: "a row without its array",
    faults: { "*": { kind: "wrong-shape", unwrap: true } },
    outcomes: { ...all(retryable(mismatch), "quote"), "exchange-rates": right },
  },
  {
    name: "rows about another symbol",
    faults: { "*": { kind: "other-symbol", symbol: "NO-SUCH" } },
    outcomes: {
      // The rows of the whole market are those of its symbols.
      ...all(permanent("symbol_mismatch"), "quote", "shares-float-all"),
      "available-exchanges": right,
      "exchange-market-status": right,
      "exchange-rates": right,
    },
  },
  {
    name: "rows about another symbol after the right ones",
    faults: { "*": { kind: "other-symbol", symbol: "NO-SUCH", append: true } },
    // Listings have symbols of their own.
    outcomes: all(right, "exchange-variants", "shares-float-all"),
    comparable: withSortedHolidays,
  },
  {
    name: "answers of half a year ago never overwrite what is newer at the source",
    faults: { "*": { kind: "stale", ageSeconds: 180 * 86_400 } },
    outcomes: { "quote": empty, "single-quote": empty, "exchange-rates": empty },
  },
];

/** Endpoint and subject of keys that rows need, two for each. */
const KEYS: readonly { subject: Subject; endpoint: string; keys: readonly [string, string] }[] = [
  { subject: "quote", endpoint: "batch-quote", keys: ["price", "volume"] },
  { subject: "single-quote", endpoint: "quote", keys: ["timestamp", "marketCap"] },
  { subject: "profile", endpoint: "profile", keys: ["symbol", "companyName"] },
  { subject: "financial-statements", endpoint: "cash-flow-statement", keys: ["date", "netIncome"] },
  { subject: "ratios-ttm", endpoint: "ratios-ttm", keys: ["symbol", "ebtPerEbitTTM"] },
  { subject: "dividend-history", endpoint: "dividends", keys: ["date", "adjDividend"] },
  {
    subject: "revenue-segmentation",
    endpoint: "revenue-product-segmentation",
    keys: ["fiscalYear", "data"],
  },
  {
    subject: "grades-historical",
    endpoint: "grades-historical",
    keys: ["date", "analystRatingsHold"],
  },
  {
    subject: "exchange-variants",
    endpoint: "search-exchange-variants",
    keys: ["exchangeShortName", "mktCap"],
  },
  { subject: "shares-float", endpoint: "shares-float", keys: ["date", "floatShares"] },
  { subject: "shares-float-all", endpoint: "shares-float-all", keys: ["freeFloat", "floatShares"] },
  {
    subject: "available-exchanges",
    endpoint: "available-exchanges",
    keys: ["exchange", "countryCode"],
  },
  {
    subject: "exchange-market-status",
    endpoint: "all-exchange-market-hours",
    keys: ["timezone", "openingHour"],
  },
  {
    subject: "exchange-rates",
    endpoint: LATEST_RATES,
    keys: ["rates", "time_last_update_unix"],
  },
];

/** The same drift on one key of each type. */
function drift(name: string, which: 0 | 1, faultOf: (key: string) => Fault): Case {
  return {
    name,
    faults: Object.fromEntries(KEYS.map(({ endpoint, keys }) => [endpoint, faultOf(keys[which])])),
    outcomes: Object.fromEntries(
      KEYS.map(({ subject, keys }) => [subject, retryable(mismatch, keys[which])]),
    ),
  };
}

export const SCHEMA: readonly Case[] = [
  ...([0, 1] as const).flatMap((which) => [
    drift(`a key is missing (${which + 1})`, which, (key) => ({
      kind: "wrong-shape",
      drop: [key],
    })),
    drift(`a key has another name (${which + 1})`, which, (key) => ({
      kind: "rename-key",
      from: key,
      to: `${key}New`,
    })),
    drift(`a value is of another type (${which + 1})`, which, (key) => ({
      kind: "wrong-shape",
      retype: { [key]: true },
    })),
  ]),
  {
    name: "values that cannot be true",
    faults: {
      "batch-quote": { kind: "wrong-shape", retype: { price: -1 } },
      "quote": { kind: "wrong-shape", retype: { timestamp: 1_790_000_000_000 } },
      "profile": { kind: "wrong-shape", retype: { marketCap: 1e30 } },
      "balance-sheet-statement": { kind: "wrong-shape", retype: { acceptedDate: "soon" } },
      "dividends": { kind: "wrong-shape", retype: { date: "2026-02-30" } },
      "revenue-product-segmentation": { kind: "wrong-shape", retype: { fiscalYear: 0 } },
      "grades-historical": { kind: "wrong-shape", retype: { analystRatingsBuy: -2 } },
      "search-exchange-variants": { kind: "wrong-shape", retype: { price: -1 } },
      "shares-float": { kind: "wrong-shape", retype: { date: "0000-00-00" } },
      "shares-float-all": { kind: "wrong-shape", retype: { outstandingShares: -1 } },
      "holidays-by-exchange": { kind: "wrong-shape", retype: { date: "Friday" } },
      [LATEST_RATES]: { kind: "wrong-shape", retype: { time_last_update_unix: 0 } },
    },
    outcomes: {
      "quote": retryable(mismatch, "price"),
      "single-quote": retryable(mismatch, "timestamp"),
      "profile": retryable(mismatch, "marketCap"),
      "financial-statements": retryable(mismatch, "acceptedDate"),
      "dividend-history": retryable(mismatch, "date"),
      "revenue-segmentation": retryable(mismatch, "fiscalYear"),
      "grades-historical": retryable(mismatch, "analystRatingsBuy"),
      "exchange-variants": retryable(mismatch, "price"),
      "shares-float": retryable(mismatch, "date"),
      "shares-float-all": retryable(mismatch, "outstandingShares"),
      "exchange-market-status": retryable(mismatch, "date"),
      "exchange-rates": retryable(mismatch, "time_last_update_unix"),
    },
  },
];

export const PARTS: readonly Case[] = [
  {
    name: "one symbol of a batch is broken",
    faults: { "batch-quote": { kind: "wrong-shape", drop: ["price"], symbols: ["MSFT"] } },
    outcomes: { quote: right },
    ofSymbol: { MSFT: retryable(mismatch, "price") },
  },
  {
    name: "the plan lacks the batch path: single calls",
    faults: { "batch-quote": { kind: "payment", spelling: "restricted-endpoint" } },
    outcomes: { quote: right },
    // The first of the batch has told the queue.
    ofSymbol: { AAPL: { ...right, error: "batch_refused batch_refused" } },
  },
  {
    name: "a batch is refused for one of its symbols: smaller groups",
    faults: { "batch-quote": { kind: "status", status: 400, symbols: ["MSFT"] } },
    outcomes: { quote: right },
  },
  {
    name: "one call of several fails",
    faults: {
      "income-statement": { kind: "status", status: 500 },
      "holidays-by-exchange": { kind: "status", status: 503 },
    },
    outcomes: {
      "financial-statements": retryable("http_500"),
      "exchange-market-status": retryable("http_503"),
    },
  },
  {
    name: "one statement of three has no rows, and the plan lacks holidays",
    faults: {
      "cash-flow-statement": { kind: "empty" },
      "holidays-by-exchange": { kind: "payment", spelling: "restricted-endpoint" },
    },
    outcomes: { "financial-statements": right, "exchange-market-status": right },
    comparable: ({
      cash_flow_payload: _1,
      raw_holidays_json: _2,
      current_day_is_holiday: _3,
      current_holiday_name: _4,
      status_message: _5,
      ...row
    }) => row,
  },
  {
    name: "the plan gives five rows of a statement",
    faults: { "income-statement": { kind: "payment", spelling: "limit", times: 1 } },
    outcomes: { "financial-statements": right },
    // The older years are not in the answer, and keep their mark.
    comparable: ({ cik: _, ...row }) => row,
  },
  // Last, since the processor remembers for as long as it runs that it may not ask for more.
  everywhere("402, limit", { kind: "payment", spelling: "limit" }, permanent("plan_limit")),
];

/** Statements and holidays are stored as sent, further keys included. */
function withoutNovelty(row: TableRow): TableRow {
  return JSON.parse(
    JSON.stringify(row, (key, value) => key === "novelty" ? undefined : value),
  );
}

/** Holidays are stored as sent, in whatever order and however often. */
function withSortedHolidays(row: TableRow): TableRow {
  const holidays = row.raw_holidays_json;
  if (!Array.isArray(holidays)) return row;
  const texts = new Set(holidays.map((holiday) => JSON.stringify(holiday)));
  return { ...row, raw_holidays_json: [...texts].sort() };
}
