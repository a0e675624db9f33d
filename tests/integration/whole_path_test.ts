import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { callFunction, eventually, processManually, withStack } from "./with_stack.ts";

Deno.test("jobs by hand, with every flag off, bring the documented answers into the tables", () =>
  withStack({ cron: false, net: false, simulator: { frozen: true } }, async ({ stack, sql }) => {
    const examples = stack.simulator!.examplesDir;
    const example = (name: string) =>
      JSON.parse(readFileSync(join(examples, `${name}.json`), "utf8"))
        .find((row: { symbol: string }) => row.symbol === "AAPL");
    const jobsBefore = await sql`select * from cron.job order by jobid`;

    await sql`insert into public.api_call_queue_v2 (symbol, data_type)
              values ('AAPL', 'financial-statements'), ('AAPL', 'quote'), ('AAPL', 'profile'),
                     ('NO-SUCH', 'quote')`;
    const report = await processManually(stack);
    assert.equal(report.jobs.completed, 3, JSON.stringify(report));
    assert.equal(report.jobs.empty, 1);
    assert.deepEqual(report.errors, []);

    const quote = example("quote");
    const [quoteRow] = await sql`
      select current_price, change_percentage, day_change, volume::float8, day_low, day_high,
             market_cap::float8, day_open, previous_close, api_timestamp::float8, sma_50d, sma_200d,
             year_high, year_low, exchange, fetched_at > now() - interval '1 minute' as is_new
        from public.live_quote_indicators where symbol = 'AAPL'`;
    assert.deepEqual({ ...quoteRow }, {
      current_price: quote.price,
      change_percentage: quote.changePercentage,
      day_change: quote.change,
      volume: Math.trunc(quote.volume),
      day_low: quote.dayLow,
      day_high: quote.dayHigh,
      market_cap: Math.trunc(quote.marketCap),
      day_open: quote.open,
      previous_close: quote.previousClose,
      api_timestamp: quote.timestamp,
      sma_50d: quote.priceAvg50,
      sma_200d: quote.priceAvg200,
      year_high: quote.yearHigh,
      year_low: quote.yearLow,
      exchange: quote.exchange,
      is_new: true,
    });

    const profile = example("profile");
    const [profileRow] = await sql`
      select company_name, display_company_name, cik, isin, currency, country, ceo, sector, website,
             full_time_employees::float8, ipo_date::text, is_etf, is_actively_trading, price,
             market_cap::float8
        from public.profiles where symbol = 'AAPL'`;
    assert.deepEqual({ ...profileRow }, {
      company_name: profile.companyName,
      display_company_name: profile.companyName,
      cik: profile.cik,
      isin: profile.isin,
      currency: profile.currency,
      country: profile.country,
      ceo: profile.ceo,
      sector: profile.sector,
      website: profile.website,
      full_time_employees: Number(profile.fullTimeEmployees),
      ipo_date: profile.ipoDate,
      is_etf: profile.isEtf,
      is_actively_trading: profile.isActivelyTrading,
      price: profile.price,
      market_cap: Math.trunc(profile.marketCap),
    });

    const income = example("income-statement");
    const [statement] = await sql`
      select reported_currency, cik, filing_date::text, fiscal_year, income_statement_payload,
             balance_sheet_payload, cash_flow_payload
        from public.financial_statements
       where symbol = 'AAPL' and date = ${income.date} and period = ${income.period}`;
    assert.ok(statement, "the documented statement is there");
    assert.equal(statement.reported_currency, income.reportedCurrency);
    assert.equal(statement.cik, income.cik);
    assert.equal(statement.filing_date, income.filingDate);
    assert.equal(statement.fiscal_year, income.fiscalYear);
    assert.equal(statement.income_statement_payload.revenue, income.revenue);
    assert.equal(
      statement.balance_sheet_payload.totalAssets,
      example("balance-sheet-statement").totalAssets,
    );
    assert.equal(
      statement.cash_flow_payload.freeCashFlow,
      example("cash-flow-statement").freeCashFlow,
    );

    assert.equal((await sql`select from public.live_quote_indicators`).length, 1);
    const [empty] = await sql`select empty_until > now() as is_remembered
      from switchyard.refresh_state where symbol = 'NO-SUCH' and data_type = 'quote'`;
    assert.equal(empty?.is_remembered, true);

    const booked = await sql`select sum(calls)::int as calls from public.api_data_usage_v2`;
    assert.equal(booked[0]!.calls, stack.simulator!.calls, "the books agree with the vendor's");
    assert.deepEqual(await sql`select * from cron.job order by jobid`, jobsBefore);
    const flags = await sql`select from public.feature_flags where enabled`;
    assert.equal(flags.length, 0);
  }));

Deno.test("with use_queue_system on, cron drives the processor until the queue is empty", () => {
  const started = Date.now();
  return withStack(
    // Six times as fast: a minute of cron takes ten seconds.
    { cronNow: () => new Date(started + (Date.now() - started) * 6), activeSymbols: 8 },
    async ({ stack, sql }) => {
      await sql`select public.queue_refresh_if_not_exists_v2(symbol, data_type)
        from public.supported_symbols
       cross join unnest(array['quote', 'profile', 'financial-statements']) as data_type
       where is_active`;
      assert.equal((await sql`select from public.api_call_queue_v2`).length, 24);
      await sql`update public.feature_flags set enabled = true where flag_name = 'use_queue_system'`;
      await eventually("the queue to be empty", async () => {
        const live = await sql`select from public.api_call_queue_v2 where finished_at = 'infinity'`;
        return live.length === 0 ? true : undefined;
      });
      const finished = await sql`
        select status, count(*)::int as jobs from public.api_call_queue_v2 group by status`;
      assert.deepEqual(finished.map((row) => ({ ...row })), [{ status: "completed", jobs: 24 }]);
      const [run] = await eventually("the run to end", async () => {
        const runs = await sql`
          select report from switchyard.processor_runs where not manual and finished_at is not null`;
        return runs.length > 0 ? runs : undefined;
      });
      // Funds have no statements: those jobs are completed, their outcome is empty.
      const { completed, empty } = run!.report.jobs;
      assert.equal(completed + empty, 24);
      const cronRuns = await sql`
        select d.status from cron.job_run_details as d join cron.job as j using (jobid)
         where j.jobname = 'invoke-queue-processor-v2'`;
      assert.ok(cronRuns.some(({ status }) => status === "succeeded"));
      assert.ok(stack.functions.workers().some(({ name }) => name === "queue-processor-v2"));
    },
  );
});

Deno.test("an enqueue wakes the processor without waiting for cron", () =>
  withStack({ cron: false, activeSymbols: 2 }, async ({ sql }) => {
    await sql`update public.feature_flags set enabled = true where flag_name = 'use_queue_system'`;
    const [symbol] = await sql`select symbol from public.supported_symbols where is_active limit 1`;
    await sql`select public.queue_refresh_if_not_exists_v2(${symbol!.symbol}, 'quote')`;
    await eventually("the quote", async () => {
      const rows = await sql`select from public.live_quote_indicators where symbol = ${
        symbol!.symbol
      }`;
      return rows.length === 1 ? true : undefined;
    });
  }));

Deno.test("the legacy endpoint and the queue write the same rows for the same vendor state", () =>
  withStack(
    { cron: false, net: false, activeSymbols: 6, simulator: { frozen: true, now: fixedClock() } },
    async ({ stack, sql }) => {
      const compared = {
        live_quote_indicators: "id, fetched_at",
        profiles: "id, modified_at",
        financial_statements: "fetched_at, updated_at",
      };
      const read = async () => {
        const tables: Record<string, unknown[]> = {};
        for (const [table, left] of Object.entries(compared)) {
          const rows = await sql.unsafe(
            `select to_jsonb(t) - array['${left.replaceAll(", ", "','")}'] as row
               from public.${table} as t order by t.symbol, t::text`,
          );
          tables[table] = rows.map(({ row }) => JSON.stringify(row)).sort();
        }
        return tables;
      };
      const anon = { authorization: `Bearer ${stack.keys.anonKey}` };
      for (const name of ["profiles", "quote-indicators", "financial-statements"]) {
        const response = await callFunction(stack, `fetch-fmp-${name}`, {}, anon);
        assert.equal(response.status, 200, `${name}: ${await response.clone().text()}`);
        await response.body?.cancel();
      }
      const legacy = await read();
      assert.equal(legacy.profiles!.length, 6);

      await sql`truncate public.live_quote_indicators, public.profiles cascade`;
      await sql`insert into public.api_call_queue_v2 (symbol, data_type)
        select symbol, data_type from public.supported_symbols
         cross join unnest(array['quote', 'profile', 'financial-statements']) as data_type
         where is_active`;
      const report = await processManually(stack);
      assert.equal(report.jobs.failed, 0, JSON.stringify(report.errors));
      assert.deepEqual(await read(), legacy);
    },
  ));

function fixedClock(): () => Date {
  const at = new Date();
  return () => at;
}
