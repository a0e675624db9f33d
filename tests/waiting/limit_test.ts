import assert from "node:assert/strict";
import { runProcessorOn } from "../../local/processor_run.ts";
import { withStack } from "../integration/with_stack.ts";
import { eventually } from "../eventually.ts";

for (const limit of [300, 3_000]) {
  Deno.test(`four processors with a backlog never pass a strict sliding limit of ${limit}, over two windows`, () =>
    keepsLimit(limit));
}

const keepsLimit = (limit: number) =>
  withStack(
    {
      cron: false,
      net: false,
      activeSymbols: 0,
      simulator: { callsPerMinute: limit, symbols: limit * 2 + 300 },
    },
    async ({ stack, sql }) => {
      await sql`update public.api_providers_v2 set calls_per_minute = ${limit}`;
      // A call for each quote.
      await sql`update public.data_type_registry_v2 set batch_size = 1`;
      await sql`update public.feature_flags set enabled = true where flag_name = 'use_queue_system'`;
      const symbols = stack.simulator!.symbols;
      await sql`insert into public.api_call_queue_v2 (symbol, data_type)
                select symbol, 'quote' from unnest(${symbols}::text[]) as symbol`;
      await sql`insert into public.api_call_queue_v2 (symbol, data_type)
                select symbol, 'financial-statements' from unnest(${
        symbols.slice(0, 30)
      }::text[]) as symbol`;
      await sql`insert into public.profiles (symbol) select unnest(${symbols}::text[])`;

      const shutdown = new AbortController();
      const process = () => runProcessorOn(stack, { lingerMs: 120_000, signal: shutdown.signal });
      // A run that has used its time is followed by another, as cron has it.
      const runs = Array.from({ length: 4 }, async () => {
        const reports = [];
        while (!shutdown.signal.aborted) reports.push(await process());
        return reports;
      });
      await eventually(
        "a window and a half of calls",
        () => Promise.resolve(stack.simulator!.calls >= limit * 1.5 ? true : undefined),
        600_000,
      );
      shutdown.abort();
      const reports = await Promise.all(runs);

      assert.equal(stack.simulator!.violations, 0);
      const statuses = new Set(stack.simulator!.ledger.map(({ status }) => status));
      assert.deepEqual([...statuses], [200]);
      assert.ok(
        reports.filter((own) => own.some(({ jobs }) => jobs.completed > 0)).length > 1,
        "several took part",
      );
      const [books] = await sql`select sum(calls)::int as calls from public.api_data_usage_v2`;
      assert.equal(books!.calls, stack.simulator!.calls, "the books agree with the vendor's");
    },
  );
