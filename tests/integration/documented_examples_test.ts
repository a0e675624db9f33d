import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Sql } from "postgres";
import {
  availableExchangesColumns,
  DOCUMENTED,
  type DocumentedColumns,
  documentedRow,
  quoteColumns,
  sharesFloatColumns,
  type VendorRow,
} from "../functions/documented_columns.ts";
import { FOLDERS } from "../functions/example_folders.ts";
import { DATA_TABLES, type DataTable, readTable, type TableRow } from "./data_tables.ts";
import { processManually, type RunningStack, withStack } from "./with_stack.ts";

const STATEMENTS = {
  "income-statement.json": "income_statement_payload",
  "balance-sheet-statement.json": "balance_sheet_payload",
  "cash-flow-statement.json": "cash_flow_payload",
};

const TABLE_OF: Readonly<Record<string, DataTable>> = {
  "profile": "profiles",
  "ratios-ttm": "ratios_ttm",
  "dividend-history": "dividend_history",
  "revenue-segmentation": "revenue_product_segmentation",
  "grades-historical": "grades_historical",
  "shares-float": "shares_float",
  "exchange-variants": "exchange_variants",
};

/** Example files that become rows; a test below goes over each. */
const STORED = [
  ...DOCUMENTED.map(({ file }) => file),
  ...Object.keys(STATEMENTS),
  "quote.json",
  "quote-forex.json",
  "batch-quote.json",
  "batch-forex-quotes.json",
  "shares-float-all.json",
  "available-exchanges.json",
  "all-exchange-market-hours.json",
  "holidays-by-exchange.json",
];

/** Example files of which no data type makes a row. */
const NOT_STORED = [
  // The hours come from all-exchange-market-hours, currencies from the symbols of their pairs.
  "exchange-market-hours.json",
  "forex-list.json",
  "discounted-cash-flow.json",
  "dividends-calendar.json",
  "error-bodies.json",
  "insider-trading-statistics.json",
  "market-risk-premium.json",
  "price-target-consensus.json",
  "treasury-rates.json",
];

const LATEST_RATES = "/v6/latest/USD";

for (const folder of FOLDERS) {
  const ignore = !existsSync(folder.url);
  const read = (file: string): VendorRow[] =>
    JSON.parse(Deno.readTextFileSync(new URL(file, folder.url)));
  const withDocuments = (
    functionEnv: Record<string, string>,
    test: (running: RunningStack) => Promise<void>,
  ) =>
    withStack({
      cron: false,
      net: false,
      activeSymbols: 0,
      functionEnv: { PROCESSOR_LINGER_MS: "0", ...functionEnv },
      simulator: {
        frozen: true,
        latencyMs: 0,
        symbols: 60,
        examplesDir: fileURLToPath(folder.url),
      },
    }, test);

  Deno.test({
    name: `${folder.what}: each file is one that becomes rows, or one that none is made of`,
    ignore,
    fn() {
      const known = [...STORED, ...NOT_STORED];
      const files = readdirSync(folder.url).filter((file) => file.endsWith(".json"));
      assert.deepEqual(files.filter((file) => !known.includes(file)), []);
      assert.deepEqual(STORED.filter((file) => !files.includes(file)), []);
    },
  });

  Deno.test({
    name: `${folder.what}: jobs by hand, with every flag off, bring each value into its column`,
    ignore,
    fn: () =>
      withDocuments({ MARKET_HOLIDAY_EXCHANGES: "NASDAQ" }, async (running) => {
        const { stack, sql } = running;
        const simulator = stack.simulator!;
        const jobsBefore = await sql`select * from cron.job order by jobid`;

        const serve = (endpoint: string, body: VendorRow[] | VendorRow, symbols?: string[]) =>
          simulator.setFault(endpoint, {
            kind: "status",
            status: 200,
            body,
            ...(symbols === undefined ? {} : { symbols }),
          });
        // What the simulator does not answer as it stands in the documents.
        const holidays = read("holidays-by-exchange.json")
          .filter(({ date }) => date !== todayInNewYork());
        const rates: VendorRow = JSON.parse(Deno.readTextFileSync(
          new URL("../fixtures/exchangerate-api/latest-usd.json", import.meta.url),
        ));
        serve("search-exchange-variants", read("search-exchange-variants.json"), ["AAPL"]);
        serve("shares-float-all", read("shares-float-all.json"));
        serve("holidays-by-exchange", holidays);
        serve(LATEST_RATES, rates);

        const quotes = [...read("quote.json"), ...read("quote-forex.json")];
        const symbolsOf = new Map<string, string[]>([
          ["quote", symbolsIn(quotes)],
          ["financial-statements", symbolsIn(read("income-statement.json"))],
          ...DOCUMENTED.map(({ dataType, file }): [string, string[]] => [
            dataType,
            dataType === "exchange-variants" ? ["AAPL"] : symbolsIn(read(file)),
          ]),
        ]);
        // The other tables want a profile for each of their symbols.
        const withProfile = [...symbolsOf].flatMap(([dataType, symbols]) =>
          dataType === "quote" || dataType === "shares-float" ? [] : symbols
        );
        await queue(sql, "profile", withProfile);
        await queue(sql, "quote", ["NO-SUCH"]);
        await expectAllDone(running, { empty: 1 });

        // One symbol per call, so that these come from "quote" and not from "batch-quote".
        await sql`update public.data_type_registry_v2 set batch_size = 1 where data_type = 'quote'`;
        for (const [dataType, symbols] of symbolsOf) {
          if (dataType !== "profile") await queue(sql, dataType, symbols);
        }
        const globals = [
          "available-exchanges",
          "exchange-market-status",
          "exchange-rates",
          "shares-float-all",
        ];
        for (const dataType of globals) await queue(sql, dataType, ["GLOBAL"]);
        await expectAllDone(running);

        await expectRows(sql, "live_quote_indicators", rowsOf(quotes, quoteColumns));
        await expectRows(sql, "financial_statements", await statementRows(sql, read));
        for (const { dataType, file, columns } of DOCUMENTED) {
          await expectRows(sql, TABLE_OF[dataType]!, rowsOf(read(file), columns));
        }
        await expectRows(
          sql,
          "shares_float",
          rowsOf(read("shares-float-all.json"), sharesFloatColumns),
        );
        await expectRows(
          sql,
          "available_exchanges",
          rowsOf(read("available-exchanges.json"), availableExchangesColumns),
        );
        await expectRows(
          sql,
          "exchange_market_status",
          read("all-exchange-market-hours.json").map((hours) => marketStatusRow(hours, holidays)),
        );
        const status = await readTable(sql, "exchange_market_status");
        assert.deepEqual(
          status.filter((row) => row.raw_holidays_json !== null)
            .map((row) => [row.exchange_code, row.raw_holidays_json]),
          [["NASDAQ", holidays]],
          "those of another exchange are left out",
        );
        await expectRows(
          sql,
          "exchange_rates",
          await Promise.all(
            Object.entries(rates.rates as Record<string, number>).map(async ([code, rate]) => ({
              base_code: "USD",
              target_code: code,
              rate,
              last_updated_at: await asJson(
                sql`select to_jsonb(to_timestamp(${Number(rates.time_last_update_unix)})) as value`,
              ),
            })),
          ),
        );

        // Nothing but what was asked for.
        const stored = await readTable(sql, "live_quote_indicators");
        assert.deepEqual(stored.map(({ symbol }) => symbol).sort(), symbolsIn(quotes).sort());
        const [empty] = await sql`select empty_until > now() as is_remembered
          from switchyard.refresh_state where symbol = 'NO-SUCH' and data_type = 'quote'`;
        assert.equal(empty?.is_remembered, true);
        const [booked] = await sql`select sum(calls)::int as calls from public.api_data_usage_v2`;
        assert.equal(booked!.calls, simulator.calls, "the books agree with the vendor's");
        assert.deepEqual(await sql`select * from cron.job order by jobid`, jobsBefore);
        const flags = await sql`select from public.feature_flags where enabled`;
        assert.equal(flags.length, 0);

        await sql`truncate public.live_quote_indicators`;
        await sql`update public.data_type_registry_v2 set batch_size = 100 where data_type = 'quote'`;
        const batch = read("batch-quote.json");
        serve("batch-quote", batch);
        await queue(sql, "quote", [...symbolsIn(batch), "AMZN"]);
        await expectAllDone(running, { empty: 1 });
        assert.equal(simulator.ledger.at(-1)!.endpoint, "batch-quote");
        await expectRows(sql, "live_quote_indicators", rowsOf(batch, quoteColumns));
        assert.equal((await sql`select from public.live_quote_indicators`).length, batch.length);
      }),
  });

  Deno.test({
    name: `${folder.what}: exchange rates from the vendor's pairs with the US dollar`,
    ignore,
    fn: () =>
      withDocuments({ EXCHANGE_RATES_SOURCE: "fmp" }, async (running) => {
        const { stack, sql } = running;
        const pairs = read("batch-forex-quotes.json");
        const ofDollar = pairs.filter(({ symbol }) => /^USD|USD$/.test(String(symbol)));
        stack.simulator!.setFault("batch-forex-quotes", {
          kind: "status",
          status: 200,
          body: pairs,
        });
        await queue(sql, "exchange-rates", ["GLOBAL"]);
        const report = await processManually(stack);
        if (ofDollar.length === 0) {
          assert.equal(report.jobs.rescheduled, 1);
          assert.match(report.errors[0]!.message, /wanted pairs with USD/);
        } else {
          assert.equal(report.jobs.completed, 1, JSON.stringify(report));
        }
        const rows = await readTable(sql, "exchange_rates", ["fetched_at", "last_updated_at"]);
        assert.deepEqual(
          rows,
          ofDollar.length === 0 ? [] : [
            ...ofDollar.map(({ symbol, price }) => ({
              base_code: "USD",
              target_code: String(symbol).replace("USD", ""),
              rate: String(symbol).startsWith("USD") ? Number(price) : 1 / Number(price),
            })),
            { base_code: "USD", target_code: "USD", rate: 1 },
          ],
        );
        const fresh = await sql`
          select from public.exchange_rates where last_updated_at > now() - interval '1 minute'`;
        assert.equal(fresh.length, rows.length, "short pairs are of the moment of arrival");
      }),
  });
}

async function queue(sql: Sql, dataType: string, symbols: readonly string[]): Promise<void> {
  await sql`insert into public.api_call_queue_v2 (symbol, data_type)
    select distinct symbol, ${dataType} from unnest(${[...symbols]}::text[]) as symbol`;
}

/** Processes what is queued; all jobs have to end without an error, and `empty` of them empty. */
async function expectAllDone(
  { stack, sql }: RunningStack,
  { empty = 0 }: { empty?: number } = {},
): Promise<void> {
  const report = await processManually(stack);
  assert.deepEqual(report.errors, []);
  assert.equal(report.jobs.empty, empty, JSON.stringify(report));
  const open = await sql`
    select data_type, symbol from public.api_call_queue_v2 where status <> 'completed'`;
  assert.deepEqual(open.map((job) => ({ ...job })), []);
}

function rowsOf(documents: readonly VendorRow[], columns: DocumentedColumns["columns"]) {
  return documents.map((document) => documentedRow(columns, document));
}

/** Each row has to be in the table and be told for every column that the database does not set. */
async function expectRows(sql: Sql, table: DataTable, wanted: readonly TableRow[]): Promise<void> {
  assert.ok(wanted.length >= 1, table);
  const stored = await readTable(sql, table);
  const { key } = DATA_TABLES[table];
  for (const row of wanted) {
    const found = stored.find((other) => key.every((column) => other[column] === row[column]));
    assert.deepEqual(found, row, table);
  }
  const { setByDatabase } = DATA_TABLES[table];
  const times = setByDatabase.filter((column) => column.endsWith("_at"));
  for (const time of times) {
    const old = await sql`
      select from public.${sql(table)} where ${sql(time)} < now() - interval '2 minutes'`;
    assert.equal(old.length, 0, `${table}.${time} is of now`);
  }
}

/** The three documents of a fiscal year make one row; only years are asked for. */
async function statementRows(sql: Sql, read: (file: string) => VendorRow[]): Promise<TableRow[]> {
  const years = read("income-statement.json").filter(({ period }) => period === "FY");
  return await Promise.all(years.map(async (income): Promise<TableRow> => {
    const payloads = Object.entries(STATEMENTS).map(([file, column]) => [
      column,
      read(file).find((row) =>
        row.symbol === income.symbol && row.date === income.date && row.period === income.period
      ) ?? null,
    ]);
    return {
      symbol: income.symbol!,
      date: income.date!,
      period: income.period!,
      reported_currency: income.reportedCurrency!,
      cik: income.cik!,
      filing_date: income.filingDate!,
      accepted_date: await asJson(
        sql`select to_jsonb(${String(income.acceptedDate)}::text::timestamp
                            at time zone 'America/New_York') as value`,
      ),
      fiscal_year: income.fiscalYear!,
      ...Object.fromEntries(payloads),
    };
  }));
}

/** A row by the hours alone: no documented holiday is today. */
function marketStatusRow(hours: VendorRow, holidays: readonly VendorRow[]): TableRow {
  const isClosedToday = hours.openingHour === "CLOSED";
  const openness = hours.isMarketOpen ? "Market open" : "Market closed";
  const lunch = hours.openingAdditional === undefined
    ? ""
    : `; lunch break from ${hours.closingHour} to ${hours.openingAdditional}`;
  return {
    exchange_code: hours.exchange!,
    name: hours.name!,
    opening_time_local: hours.openingHour!,
    closing_time_local: hours.closingAdditional ?? hours.closingHour!,
    timezone: hours.timezone!,
    is_market_open: hours.isMarketOpen!,
    status_message: isClosedToday ? "Closed today" : `${openness}${lunch}`,
    current_day_is_holiday: false,
    current_holiday_name: null,
    raw_holidays_json: hours.exchange === "NASDAQ" ? [...holidays] : null,
  };
}

async function asJson(query: PromiseLike<readonly { value?: string }[]>): Promise<string> {
  const [row] = await query;
  assert.ok(row?.value);
  return row.value;
}

function symbolsIn(documents: readonly VendorRow[]): string[] {
  return [...new Set(documents.map(({ symbol }) => String(symbol)))];
}

function todayInNewYork(): string {
  return new Intl.DateTimeFormat("en-CA", { timeZone: "America/New_York" }).format(new Date());
}
