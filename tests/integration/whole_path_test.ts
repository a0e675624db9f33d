import assert from "node:assert/strict";
import { withStack } from "./with_stack.ts";
import { eventually } from "../eventually.ts";

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
        // Real pg_cron starts the job at the next full minute.
      }, 400_000);
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
