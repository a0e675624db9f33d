import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import type { Sql } from "postgres";
import type { Fault } from "../../local/fmp/simulator.ts";
import {
  DATA_TABLES,
  type DataTable,
  dataTables,
  readTable,
  type TableRow,
} from "./data_tables.ts";
import { processManually, type RunningStack, withStack } from "./with_stack.ts";

const DAY_MS = 86_400_000;
const LATEST_RATES = "/v6/latest/USD";

/** What is refreshed in each case, all at once. */
const SUBJECTS = {
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

type Subject = keyof typeof SUBJECTS;

const subjects = Object.keys(SUBJECTS) as Subject[];

/** A value that the vendor does not send, so that a refresh always has something to change. */
const MARKS: Record<DataTable, readonly [column: string, value: string | number]> = {
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

/** What becomes of the jobs of a type, and of its rows. */
interface Outcome {
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

interface Case {
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

const ANSWERS: readonly Case[] = [
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

const ROWS: readonly Case[] = [
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

const SCHEMA: readonly Case[] = [
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

const PARTS: readonly Case[] = [
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

Deno.test("each fault of the vendor leads to its outcome, and never to a wrong row", async (test) => {
  // No examples: those do not change with time.
  const noExamples = await Deno.makeTempDir({ prefix: "switchyard-no-examples-" });
  let at = new Date(Date.now() - 100 * DAY_MS);
  try {
    await withStack({
      cron: false,
      net: false,
      activeSymbols: 0,
      simulator: { now: () => at, symbols: 30, latencyMs: 0, examplesDir: noExamples },
      functionEnv: { PROCESSOR_LINGER_MS: "0", PROCESSOR_CONCURRENCY: "40" },
    }, async (running) => {
      const { stack, sql } = running;
      await prepareRegistry(sql);
      await sql`insert into public.api_call_queue_v2 (symbol, data_type) values ('AAPL', 'profile')`;
      await processManually(stack);
      await runClean(running);
      for (const [table, [column, value]] of Object.entries(MARKS)) {
        await sql`update public.${sql(table)} set ${sql({ [column]: value })}`;
      }
      await keepTables(sql);
      const before = await readTables(sql);

      at = new Date();
      await runClean(running);
      const after = await readTables(sql);
      for (const table of dataTables) {
        assert.notDeepEqual(after.get(table), before.get(table), table);
      }

      for (const each of [...ANSWERS, ...ROWS, ...SCHEMA, ...PARTS]) {
        await test.step(each.name, () => expectOutcomes(running, each, before, after));
      }
    });
  } finally {
    await Deno.remove(noExamples);
  }
});

async function expectOutcomes(
  running: RunningStack,
  each: Case,
  before: Tables,
  after: Tables,
): Promise<void> {
  const { stack, sql } = running;
  const simulator = stack.simulator!;
  await restore(sql);
  simulator.reset();
  for (const [endpoint, fault] of Object.entries(each.faults)) simulator.setFault(endpoint, fault);

  const outcomes = new Map(subjects.flatMap((subject) => {
    const outcome = each.outcomes[subject] ?? each.outcomes["*"];
    return outcome === undefined ? [] : [[subject, outcome] as const];
  }));
  const outcomeOf = (subject: Subject, symbol: string) =>
    (subject === "quote" ? each.ofSymbol?.[symbol] : undefined) ?? outcomes.get(subject);
  await queue(sql, [...outcomes.keys()]);
  const report = await processManually(stack);
  const { leaseLost, unsettled } = report.jobs;
  assert.deepEqual([leaseLost, unsettled], [0, 0], JSON.stringify(report));

  const jobs = await readJobs(sql);
  const wanted = subjects.flatMap((subject) =>
    SUBJECTS[subject].symbols.flatMap((symbol) => {
      const outcome = outcomeOf(subject, symbol);
      if (outcome === undefined) return [];
      const { status, attempts, error = null } = outcome;
      return [{ job: `${subject} ${symbol}`, status, attempts, error }];
    })
  );
  assert.deepEqual(jobs.map(({ message: _, ...job }) => job), sorted(wanted));
  for (const { job, message } of jobs) {
    const [subject, symbol] = job.split(" ") as [Subject, string];
    const names = outcomeOf(subject, symbol)?.names;
    if (names !== undefined) assert.ok(message?.includes(names), `${job}: ${message}`);
  }

  const comparable = each.comparable ?? ((row) => row);
  const found = await readTables(sql);
  for (const table of dataTables) {
    for (const key of new Set([...before.get(table)!.keys(), ...found.get(table)!.keys()])) {
      const [old, now] = [before.get(table)!.get(key), found.get(table)!.get(key)];
      const fresh = after.get(table)!.get(key);
      // Two types write the shares in free float of a symbol: either may have. Nobody's stay.
      const owners = ownersOf(table, now ?? old!);
      const states = owners.length === 0
        ? ["kept"]
        : owners.map((subject) =>
          outcomeOf(subject, String(now?.symbol ?? old?.symbol))?.rows ?? "kept"
        );
      const allowed = states.map((state) => state === "right" ? content(table, fresh) : old);
      const isAllowed = states.some((state, index) =>
        isDeepStrictEqual(
          state === "right" ? mapRow(content(table, now), comparable) : now,
          state === "right" ? mapRow(allowed[index], comparable) : allowed[index],
        )
      );
      if (!isAllowed) {
        assert.deepEqual(
          states[0] === "right" ? content(table, now) : now,
          allowed[0],
          `${table}, row ${key}`,
        );
      }
    }
    if (
      subjects.some((subject) =>
        SUBJECTS[subject].table === table && outcomes.get(subject)?.rows === "right"
      )
    ) {
      const gone = [...after.get(table)!].filter(([key, row]) =>
        !found.get(table)!.has(key) &&
        ownersOf(table, row).every((subject) => outcomes.get(subject)?.rows === "right")
      );
      assert.deepEqual(gone.map(([key]) => key), [], table);
    }
  }
  await expectProviders(sql, each);
}

type Tables = Map<DataTable, Map<string, TableRow>>;

async function readTables(sql: Sql): Promise<Tables> {
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
function content(table: DataTable, row: TableRow | undefined): TableRow | undefined {
  if (row === undefined) return undefined;
  const hidden: readonly string[] = DATA_TABLES[table].setByDatabase;
  return Object.fromEntries(Object.entries(row).filter(([column]) => !hidden.includes(column)));
}

function mapRow(row: TableRow | undefined, map: (row: TableRow) => TableRow) {
  return row === undefined ? undefined : map(row);
}

/** The subjects that write a row. */
function ownersOf(table: DataTable, row: TableRow): Subject[] {
  return subjects.filter((subject) => {
    const symbols: readonly string[] = SUBJECTS[subject].symbols;
    return SUBJECTS[subject].table === table &&
      (symbols.includes("GLOBAL") || symbols.includes(String(row.symbol)));
  });
}

async function queue(sql: Sql, wanted: readonly Subject[]): Promise<void> {
  const jobs = wanted.flatMap((data_type) =>
    SUBJECTS[data_type].symbols.map((symbol) => ({ data_type, symbol }))
  );
  await sql`insert into public.api_call_queue_v2 ${sql(jobs)}`;
}

interface Job {
  job: string;
  status: string;
  attempts: number;
  error: string | null;
  message: string | null;
}

async function readJobs(sql: Sql): Promise<Job[]> {
  const jobs = await sql<Job[]>`
    select data_type || ' ' || symbol as job, status, attempts::int,
           (errors -> -1 ->> 'class') || ' ' || (errors -> -1 ->> 'code') as error,
           last_error as message
      from public.api_call_queue_v2`;
  return sorted(jobs.map((job) => ({ ...job })));
}

function sorted<Item extends { job: string }>(items: readonly Item[]): Item[] {
  return items.toSorted((left, right) => left.job < right.job ? -1 : 1);
}

async function expectProviders(sql: Sql, { provider }: Case): Promise<void> {
  const states = await sql`
    select breaker_state, coalesce(extract(epoch from hold_until - now()), 0)::float8 as held
      from public.api_providers_v2`;
  assert.equal(states.length, 2);
  for (const { breaker_state, held } of states) {
    const [least, most] = provider !== undefined && "holdSeconds" in provider
      ? provider.holdSeconds
      : [0, 0];
    assert.ok(held >= least && held <= most, `held for ${held} s, wanted ${least} to ${most}`);
    const isOpen = provider !== undefined && "breaker" in provider;
    assert.equal(breaker_state, isOpen ? "open" : "closed");
  }
}

async function prepareRegistry(sql: Sql): Promise<void> {
  await sql`create table public.single_quote (like public.data_type_registry_v2 including all)`;
  await sql`insert into public.single_quote select * from public.data_type_registry_v2
             where data_type = 'quote'`;
  await sql`update public.single_quote
               set data_type = 'single-quote', batch_size = 1, legacy_cron_jobs = '{}'`;
  await sql`insert into public.data_type_registry_v2 select * from public.single_quote`;
  await sql`drop table public.single_quote`;
  // Neither the vendor's limit nor the breaker's count is what is tested here.
  await sql`update public.api_providers_v2 set calls_per_minute = 1000000`;
  await sql`update switchyard.settings set value = '1000000'
             where name = 'breaker_least_failures'`;
}

/** Refreshes all subjects from a vendor without faults. */
async function runClean({ stack, sql }: RunningStack): Promise<void> {
  await sql`delete from public.api_call_queue_v2`;
  await queue(sql, subjects);
  const report = await processManually(stack);
  assert.deepEqual(report.errors, []);
  assert.equal(report.jobs.completed, report.jobs.claimed, JSON.stringify(report));
}

/** Keeps a copy of the tables for {@linkcode restore}. */
async function keepTables(sql: Sql): Promise<void> {
  await sql`create schema kept`;
  for (const table of dataTables) {
    await sql`create table kept.${sql(table)} as table public.${sql(table)}`;
  }
}

/** Brings back the tables that were kept, an empty queue and providers that nothing has happened to. */
async function restore(sql: Sql): Promise<void> {
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
