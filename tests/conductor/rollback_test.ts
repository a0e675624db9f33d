import assert from "node:assert/strict";
import { withStack } from "../integration/with_stack.ts";

const JOBS = 100_000;

Deno.test("one UPDATE takes a data type with 100,000 pending jobs back, and leaves all others alone", () =>
  withStack({ cron: false, net: false }, async ({ sql }) => {
    await sql`update public.api_providers_v2 set calls_per_minute = 100000000`;
    await sql`update switchyard.settings set value = 'null' where name = 'known_symbols_table'`;
    await sql`update public.feature_flags set enabled = true
               where flag_name in ('use_queue_system', 'use_new_staleness_check')`;
    await sql`select switchyard.set_stage(data_type, 'live') from unnest(array['quote', 'shares-float']) as data_type`;
    const fill = (dataType: string, count: number) =>
      sql`select switchyard.enqueue_jobs(
            array_agg('R' || n), array_agg(${dataType}::text), array_agg(1000), 'demand')
            from generate_series(1, ${count}::int) as n`;
    await fill("quote", JOBS);
    await fill("shares-float", 500);
    // Two were tried before; three are in flight.
    await sql`update public.api_call_queue_v2 set attempts = 2, delayed = true, run_after = now() + interval '1 minute',
                errors = '[{"code": "503"}]' where data_type = 'quote' and symbol in ('R7', 'R8')`;
    await sql`update public.api_call_queue_v2 set priority = 8000 where data_type = 'quote' and symbol in ('R1', 'R2', 'R3')`;
    const inFlight = await sql<{ id: number; symbol: string; lease_token: string }[]>`
      select id::int, symbol, lease_token from public.get_queue_batch_v2(3)`;
    assert.deepEqual(inFlight.map(({ symbol }) => symbol).toSorted(), ["R1", "R2", "R3"]);

    await sql`update public.feature_flags set enabled = false where flag_name = 'use_queue_for_quote'`;

    const left = await sql`
      select data_type, status, count(*)::int as jobs from public.api_call_queue_v2
       where finished_at = 'infinity' group by 1, 2 order by 1, 2`;
    assert.deepEqual(left.map((row) => ({ ...row })), [
      { data_type: "quote", status: "processing", jobs: 3 },
      { data_type: "shares-float", status: "pending", jobs: 500 },
    ]);
    const history = await sql`
      select symbol, status, attempts, jsonb_array_length(errors) as errors, errors -> -1 ->> 'code' as code
        from public.api_call_queue_v2 where finished_at < 'infinity' order by symbol`;
    assert.deepEqual(history.map((row) => ({ ...row })), [
      { symbol: "R7", status: "failed", attempts: 2, errors: 2, code: "cancelled" },
      { symbol: "R8", status: "failed", attempts: 2, errors: 2, code: "cancelled" },
    ], "only what was tried before is kept");
    const [event] = await sql`
      select from_stage, to_stage, (detail ->> 'cancelled_jobs')::int as cancelled
        from switchyard.migration_events where data_type = 'quote' order by id desc limit 1`;
    assert.deepEqual({ ...event }, { from_stage: "live", to_stage: "legacy", cancelled: JOBS - 3 });
    const events = await sql`select job_count from switchyard.queue_events where kind = 'cancel'`;
    assert.deepEqual(
      events.map(({ job_count }) => job_count),
      [JOBS - 3],
      "one event for all of them",
    );
    const legacy = await sql`
      select active from cron.job where jobname in
        ('minute-fetch-fmp-quote-indicators', 'minute-fetch-fmp-exchange-prices-api')`;
    assert.deepEqual(legacy.map(({ active }) => active), [true, true]);

    // What was in flight comes to its end and writes nothing.
    const settled = await sql`
      select outcome, rows_written from public.settle_queue_batch_v2(${
      sql.json(inFlight.map((job) => ({
        job_id: job.id,
        lease_token: job.lease_token,
        outcome: "completed",
        calls: 1,
        bytes: 100,
        rows: [{ symbol: job.symbol, current_price: 1, api_timestamp: 1_700_000_000 }],
      })))
    })`;
    assert.deepEqual(
      settled.map((row) => ({ ...row })),
      inFlight.map(() => ({ outcome: "completed", rows_written: 0 })),
    );
    const [written] = await sql`select count(*)::int as rows from public.live_quote_indicators`;
    assert.equal(written!.rows, 0);
    const [booked] = await sql`select sum(calls)::int as calls from public.api_data_usage_v2`;
    assert.equal(booked!.calls, 3, "its calls were made and are booked");
  }));
