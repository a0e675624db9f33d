import assert from "node:assert/strict";
import type { Sql } from "postgres";
import type { Stack } from "../../local/stack.ts";
import { DATA_TABLES, type DataTable, readTable, type TableRow } from "./data_tables.ts";
import { processManually, type RunningStack, withStack } from "./with_stack.ts";

const HOLIDAY_EXCHANGES = ["NYSE", "NASDAQ"];

/** What each legacy job writes, and the jobs of the queue that write the same. */
const CASES: readonly {
  cronJob: string;
  table: DataTable;
  dataType: string;
  /** Default: the active symbols. */
  symbols?: (legacy: readonly TableRow[]) => string[];
  /** Of the legacy endpoint's answer; default 200. */
  status?: number;
  /** Columns in which the rows have to agree only where `where` is true. */
  partly?: { columns: readonly string[]; where: (row: TableRow) => boolean };
}[] = [
  { cronJob: "hourly-fetch-fmp-profiles", table: "profiles", dataType: "profile" },
  {
    cronJob: "minute-fetch-fmp-quote-indicators",
    table: "live_quote_indicators",
    dataType: "quote",
  },
  {
    cronJob: "minute-fetch-fmp-exchange-prices-api",
    table: "live_quote_indicators",
    dataType: "quote",
    symbols: (legacy) => legacy.map(({ symbol }) => String(symbol)),
  },
  {
    cronJob: "monthly-fetch-fmp-financial-statements",
    table: "financial_statements",
    dataType: "financial-statements",
  },
  {
    cronJob: "daily-fetch-fmp-ratios-ttm",
    table: "ratios_ttm",
    dataType: "ratios-ttm",
    // Funds have no ratios: a failed symbol there, an empty job here.
    status: 207,
  },
  {
    cronJob: "quarterly-fetch-fmp-dividend-history",
    table: "dividend_history",
    dataType: "dividend-history",
  },
  {
    cronJob: "yearly-fetch-fmp-revenue-segmentation",
    table: "revenue_product_segmentation",
    dataType: "revenue-segmentation",
  },
  {
    cronJob: "monthly-fetch-fmp-grades-historical",
    table: "grades_historical",
    dataType: "grades-historical",
  },
  {
    cronJob: "daily-fetch-fmp-exchange-variants",
    table: "exchange_variants",
    dataType: "exchange-variants",
  },
  {
    cronJob: "daily-fetch-fmp-shares-float",
    table: "shares_float",
    dataType: "shares-float-all",
    symbols: () => ["GLOBAL"],
  },
  {
    cronJob: "daily-fetch-fmp-shares-float",
    table: "shares_float",
    dataType: "shares-float",
    symbols: (legacy) => legacy.map(({ symbol }) => String(symbol)),
  },
  {
    cronJob: "hourly-fetch-fmp-available-exchanges",
    table: "available_exchanges",
    dataType: "available-exchanges",
    symbols: () => ["GLOBAL"],
  },
  {
    cronJob: "hourly-fetch-fmp-all-exchange-market-status",
    table: "exchange_market_status",
    dataType: "exchange-market-status",
    symbols: () => ["GLOBAL"],
    // The queue fetches the holidays of two exchanges; the endpoint those of all, a call for each.
    partly: {
      columns: [
        "raw_holidays_json",
        "current_day_is_holiday",
        "current_holiday_name",
        "status_message",
      ],
      where: ({ exchange_code }) => HOLIDAY_EXCHANGES.includes(String(exchange_code)),
    },
  },
  {
    cronJob: "daily-fetch-exchange-rates",
    table: "exchange_rates",
    dataType: "exchange-rates",
    symbols: () => ["GLOBAL"],
  },
];

Deno.test("the legacy endpoints and the queue write the same rows for the same vendor state", async (test) => {
  // No examples: those give a symbol other values on one path of the vendor than on another.
  const noExamples = await Deno.makeTempDir({ prefix: "switchyard-no-examples-" });
  const at = new Date();
  try {
    await withStack({
      cron: false,
      net: false,
      activeSymbols: 8,
      simulator: { now: () => at, symbols: 40, latencyMs: 0, examplesDir: noExamples },
      functionEnv: {
        FMP_LEGACY_PACING_MS: "0",
        PROCESSOR_LINGER_MS: "0",
        MARKET_HOLIDAY_EXCHANGES: HOLIDAY_EXCHANGES.join(","),
      },
    }, async (running) => {
      const { sql } = running;
      // Another listing of an active company: whoever comes last has its row of exchange_variants.
      await sql`update public.supported_symbols set is_active = false where symbol = 'APC.DE'`;
      const active = (await sql`select symbol from public.supported_symbols where is_active`)
        .map(({ symbol }) => String(symbol));
      // More than one minute of calls.
      await sql`update public.api_providers_v2 set calls_per_minute = 10000`;
      for (const { cronJob, table, dataType, ...rest } of CASES) {
        const { symbols = () => active, status = 200, partly } = rest;
        await test.step(`${dataType} and ${cronJob}`, async () => {
          await sql`delete from public.${sql(table)}`;
          assert.equal(await statusOfCronCall(running, cronJob), status);
          const legacy = await readTable(sql, table);
          assert.ok(legacy.length >= 1, `${cronJob} wrote nothing`);

          // First over what is there: nothing may change …
          await runJobs(running, dataType, symbols(legacy));
          assert.deepEqual(await readTable(sql, table), legacy);
          // … then into the empty table.
          await sql`delete from public.${sql(table)}`;
          await runJobs(running, dataType, symbols(legacy));
          const comparable = (rows: readonly TableRow[]) =>
            rows.map((row) => partly?.where(row) === false ? without(row, partly.columns) : row);
          assert.deepEqual(comparable(await readTable(sql, table)), comparable(legacy));
        });
      }
      const tables = new Set(CASES.map(({ table }) => table));
      assert.deepEqual([...tables].sort(), Object.keys(DATA_TABLES).sort());
    });
  } finally {
    await Deno.remove(noExamples);
  }
});

/** Sends the request that the command of a legacy cron job queues, and waits for its answer. */
async function statusOfCronCall(
  { stack, sql }: RunningStack,
  cronJob: string,
): Promise<number> {
  const [job] = await sql`select command from cron.job where jobname = ${cronJob}`;
  assert.ok(job, `no cron job ${cronJob}`);
  const request = await queuedRequest(stack, sql, job.command);
  const response = await fetch(request.url, {
    method: request.method,
    headers: request.headers,
    ...(request.body === null ? {} : { body: request.body }),
  });
  await response.body?.cancel();
  return response.status;
}

interface HttpRequest {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string | null;
}

/** Runs a command whose request no worker takes, and takes it. */
async function queuedRequest(stack: Stack, sql: Sql, command: string): Promise<HttpRequest> {
  assert.equal(stack.net, undefined);
  const [queued] = await sql.unsafe(command);
  const [request] = await sql<[HttpRequest?]>`
    select method, url, headers, convert_from(body, 'utf8') as body
      from net.http_request_queue where id = ${queued!.request_id}`;
  assert.ok(request, "the command queues a request");
  return request;
}

async function runJobs(
  { stack, sql }: RunningStack,
  dataType: string,
  symbols: readonly string[],
): Promise<void> {
  await sql`insert into public.api_call_queue_v2 (symbol, data_type)
    select distinct symbol, ${dataType} from unnest(${[...symbols]}::text[]) as symbol`;
  const report = await processManually(stack);
  assert.deepEqual(report.errors, []);
  const open = await sql`select from public.api_call_queue_v2 where status <> 'completed'`;
  assert.equal(open.length, 0, JSON.stringify(report));
}

function without(row: TableRow, columns: readonly string[]): TableRow {
  return Object.fromEntries(Object.entries(row).filter(([column]) => !columns.includes(column)));
}
