import assert from "node:assert/strict";
import { processManually, withStack } from "./with_stack.ts";

const PAGES = 200;
const PAGE_SIZE = 40;
const CALLS_PER_CLAIM = 10;
const API_KEY = "key-of-the-whole-market";

/** A vendor whose market has exactly so many pages, each full; its pages are smaller than asked for. */
function startMarket(): { url: string; pages: number[]; stop(): Promise<void> } {
  const pages: number[] = [];
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    const page = Number(new URL(request.url).searchParams.get("page"));
    pages.push(page);
    const size = page < PAGES ? PAGE_SIZE : 0;
    return Response.json(Array.from({ length: size }, (_, row) => ({
      symbol: `M${page * PAGE_SIZE + row}`,
      date: "2026-11-20 08:13:10",
      freeFloat: 99.5,
      floatShares: 1_000_000 + row,
      outstandingShares: 2_000_000,
      source: null,
    })));
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}/stable`,
    pages,
    stop: () => server.shutdown(),
  };
}

Deno.test("a market of two hundred pages is refreshed to its end, within the limits, and not again symbol by symbol", async () => {
  const market = startMarket();
  try {
    await withStack(
      {
        cron: false,
        net: false,
        activeSymbols: 0,
        fmp: { apiKey: API_KEY, baseUrl: market.url },
      },
      async ({ stack, sql }) => {
        await sql`insert into public.supported_symbols (symbol) values ('M1'), ('M7999'), ('M8000')`;
        await sql`select public.queue_refresh_if_not_exists_v2('GLOBAL', 'shares-float-all')`;
        const report = await processManually(stack);
        assert.deepEqual(report.errors, []);
        assert.equal(report.vendorCalls, PAGES);
        assert.equal(report.rowsWritten, PAGES * PAGE_SIZE);
        assert.deepEqual(market.pages, Array.from({ length: PAGES }, (_, page) => page));

        const [stored] = await sql`
          select count(*)::int as rows, count(distinct symbol)::int as symbols from public.shares_float`;
        assert.deepEqual({ ...stored }, { rows: 8_000, symbols: 8_000 });
        const jobs = await sql`
          select status, attempts, rows_written, vendor_calls from public.api_call_queue_v2`;
        assert.deepEqual(jobs.map((job) => ({ ...job })), [
          { status: "completed", attempts: 0, rows_written: 8_000, vendor_calls: PAGES },
        ]);
        const [granted] = await sql`select sum(calls)::int as calls from switchyard.call_grants`;
        // Twenty claims of ten calls; more on a machine so slow that calls of one came too late.
        const claims = report.jobs.claimed!;
        assert.ok(claims >= PAGES / CALLS_PER_CLAIM, `${claims} claims`);
        assert.equal(granted?.calls, claims * CALLS_PER_CLAIM);

        await sql`select switchyard.set_stage('shares-float', 'live')`;
        await sql`
          update public.feature_flags set enabled = true
           where flag_name in ('use_queue_system', 'use_new_staleness_check')`;
        await sql`
          insert into public.active_subscriptions_v2 (symbol, data_type, source, viewers)
          select unnest(array['M1', 'M7999', 'M8000']), 'shares-float', 'presence', 1`;
        await sql`select public.check_and_queue_stale_data_from_presence_v2()`;
        const asked = await sql`
          select symbol from public.api_call_queue_v2
           where data_type = 'shares-float' and finished_at = 'infinity'`;
        assert.deepEqual(asked.map(({ symbol }) => symbol), ["M8000"]);
      },
    );
  } finally {
    await market.stop();
  }
});
