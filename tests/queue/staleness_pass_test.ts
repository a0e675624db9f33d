import assert from "node:assert/strict";
import postgres from "postgres";
import { withStack } from "../integration/with_stack.ts";

Deno.test("two passes of a staleness check never overlap; the second says why it did nothing", () =>
  withStack({ cron: false, net: false, activeSymbols: 3 }, async ({ stack, sql }) => {
    await sql`update public.feature_flags set enabled = true
               where flag_name in ('use_queue_system', 'use_new_staleness_check')`;
    await sql`select switchyard.set_stage('profile', 'live')`;
    const first = postgres(stack.databaseUrl, { max: 1 });
    try {
      await first.begin(async (transaction) => {
        const [made] = await transaction<[{ queued: number }]>`
          select queued from public.queue_scheduled_refreshes_v2()`;
        assert.equal(made.queued, 1, "three profiles an hour are one a pass");
        const second = await sql`select reason from public.queue_scheduled_refreshes_v2()`;
        assert.deepEqual(second.map(({ reason }) => reason), ["another pass is running"]);
        const other = await sql`
          select reason from public.check_and_queue_stale_data_from_presence_v2()`;
        assert.deepEqual(other.map(({ reason }) => reason), [null], "demand has a pass of its own");
      });
    } finally {
      await first.end();
    }
    const third = await sql<{ queued: number }[]>`
      select queued from public.queue_scheduled_refreshes_v2()`;
    assert.deepEqual(third.map(({ queued }) => queued), [1], "the next pass takes the next one");
  }));
