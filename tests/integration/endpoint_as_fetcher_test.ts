import assert from "node:assert/strict";
import { processManually, withStack } from "./with_stack.ts";

Deno.test("a data type that one of our own endpoints fetches is counted and booked once", () =>
  withStack({ cron: false, net: false, activeSymbols: 8 }, async ({ stack, sql }) => {
    await sql`update public.feature_flags set enabled = true where flag_name = 'use_queue_system'`;
    await sql`
      update public.data_type_registry_v2
         set fetcher = 'edge-function', edge_function_name = 'fetch-fmp-quote-indicators',
             batch_size = 5, api_calls_per_batch = 4, calls_spread_seconds = 60
       where data_type = 'quote'`;
    const symbols = await sql`
      select public.queue_refresh_if_not_exists_v2(s.symbol, 'quote'), s.symbol
        from (select symbol from public.supported_symbols where is_active order by symbol limit 5) as s`;

    const report = await processManually(stack);
    assert.deepEqual([report.jobs.completed, report.errors], [5, []]);
    const [written] = await sql`select count(*)::int as rows from public.live_quote_indicators`;
    assert.equal(written!.rows, symbols.length);

    // Four calls were granted with the claim, the fifth was taken by the endpoint.
    assert.equal(stack.simulator!.calls, 5);
    const [granted] = await sql`
      select sum(calls)::int as calls, sum(endpoint_calls)::int as beyond from switchyard.call_grants`;
    // One claim; more on a machine so slow that it came too late, and was given back.
    const claims = report.jobs.claimed! / 5;
    assert.deepEqual({ ...granted }, { calls: 4 * claims + 1, beyond: 1 });
    const [books] = await sql`
      select sum(calls)::int as calls, sum(bytes)::int as bytes from public.api_data_usage_v2`;
    assert.equal(books!.calls, 5);
    assert.equal(
      books!.bytes,
      stack.simulator!.ledger.reduce((sum, { bytes }) => sum + bytes, 0),
      "the books agree with the vendor's",
    );
    const runs = await sql`select endpoint from switchyard.endpoint_runs`;
    assert.deepEqual([...runs], [], "the queue's requests hold up nobody");
  }));
