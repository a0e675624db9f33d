import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { withStack } from "../integration/with_stack.ts";
import { drainQueue, fetchersWith, switchOn, tally } from "./queue_run.ts";

const ACTIVE = 40;

/** Rows are told apart by who wrote them. */
const marked = fetchersWith("profile", (row) => ({ ...row, company_name: "by the queue" }));

Deno.test("a canary writes its share alone, and a growing share reshuffles nothing", (test) =>
  withStack({ cron: false, net: false, activeSymbols: ACTIVE }, async ({ stack, sql }) => {
    await switchOn(sql);
    const symbols = (await sql`select symbol from public.supported_symbols where is_active`)
      .map(({ symbol }) => String(symbol));
    assert.equal(symbols.length, ACTIVE);
    await sql`insert into public.profiles (symbol, company_name)
      select symbol, 'by legacy' from unnest(${symbols}::text[]) as symbol`;
    await sql`select switchyard.set_stage('profile', 'canary', 'test')`;
    // Somebody looks at all of them, so that one pass queues whatever is stale.
    await sql`insert into public.active_subscriptions_v2
      (symbol, data_type, source, viewers, last_seen_at)
      select symbol, 'profile', 'presence', 1, now() + interval '1 hour'
        from unnest(${symbols}::text[]) as symbol`;

    /** Lets all that is due be refreshed; returns the symbols whose row the queue wrote. */
    const refresh = async (): Promise<string[]> => {
      await everythingIsDue(sql);
      await sql`select public.check_and_queue_stale_data_from_presence_v2()`;
      const queued = await sql`select symbol from switchyard.api_call_queue_v2_live`;
      const report = await drainQueue(stack, marked);
      assert.deepEqual(report.errors, []);
      const written = await writtenByQueue(sql);
      assert.deepEqual(queued.map(({ symbol }) => symbol).sort(), written, "queued and written");
      return written;
    };

    const shares = new Map<number, string[]>();
    for (const percent of [0, 10, 35, 70, 100]) {
      await test.step(`${percent} %`, async () => {
        await sql`update public.data_type_registry_v2
          set canary_percent = ${percent} where data_type = 'profile'`;
        const share = await shareOf(sql);
        assert.deepEqual(await refresh(), share);
        shares.set(percent, share);
      });
    }
    const inOrder = [...shares.values()];
    assert.deepEqual([inOrder[0]!.length, inOrder.at(-1)!.length], [0, ACTIVE]);
    for (const [index, share] of inOrder.entries()) {
      const larger = inOrder[index + 1] ?? share;
      assert.ok(share.every((symbol) => larger.includes(symbol)), "a symbol left the share");
    }
    const half = shares.get(35)!.length;
    assert.ok(half > 0 && half < ACTIVE, `${half} of ${ACTIVE} at 35 %`);

    await test.step("a smaller share is the one of before", async () => {
      await forgetWrites(sql);
      await sql`update public.data_type_registry_v2
        set canary_percent = 35 where data_type = 'profile'`;
      assert.deepEqual(await refresh(), shares.get(35));
    });

    await test.step("symbols in the metadata of the flag are in it", async () => {
      await forgetWrites(sql);
      const listed = shares.get(70)!.filter((symbol) => !shares.get(35)!.includes(symbol))
        .slice(0, 2);
      assert.equal(listed.length, 2);
      await sql`update public.feature_flags
        set metadata = metadata || ${sql.json({ symbols: listed })}
        where flag_name = 'use_queue_for_profile'`;
      assert.deepEqual(await refresh(), [...shares.get(35)!, ...listed].sort());
      const [answers] = await sql`
        select public.is_feature_enabled_for('use_queue_for_profile', ${listed[0]!}) as listed,
               public.is_feature_enabled_for('use_queue_for_profile', 'NOT-LISTED-AT-ALL') as other,
               switchyard.is_in_share('profile', 'NOT-LISTED-AT-ALL', 35) as by_bucket`;
      assert.deepEqual([answers!.listed, answers!.other], [true, answers!.by_bucket]);
    });

    await test.step("what comes in for a symbol outside of it is compared, not written", async () => {
      await forgetWrites(sql);
      const [outside] = symbols.filter((symbol) => !shares.get(70)!.includes(symbol));
      await sql`select switchyard.enqueue_jobs(
        array[${outside!}], array['profile'], array[0], 'scheduled')`;
      await drainQueue(stack, marked);
      assert.deepEqual(await writtenByQueue(sql), []);
      assert.equal((await tally(sql, "profile")).mismatches, 1);
      const state = await sql`select from switchyard.refresh_state
        where data_type = 'profile' and symbol = ${outside!}`;
      assert.equal(state.length, 1, "only what the share of 100 % left");
    });
  }));

Deno.test("a global type is in the share of a canary as a whole", () =>
  withStack({ cron: false, net: false, activeSymbols: 1 }, async ({ stack, sql }) => {
    await switchOn(sql);
    await sql`select switchyard.set_stage('available-exchanges', 'canary', 'test')`;
    const rowsAt = async (percent: number): Promise<number> => {
      await sql`update public.data_type_registry_v2
        set canary_percent = ${percent} where data_type = 'available-exchanges'`;
      await sql`select public.queue_scheduled_refreshes_v2()`;
      await drainQueue(stack);
      const [count] = await sql`select count(*)::int as rows from public.available_exchanges`;
      return count!.rows;
    };
    assert.equal(await rowsAt(0), 0);
    assert.ok(await rowsAt(1) > 0);
  }));

function everythingIsDue(sql: Sql) {
  return sql`update switchyard.refresh_state
    set last_checked_at = last_checked_at - interval '1 day', failing_until = null`;
}

function forgetWrites(sql: Sql) {
  return sql`update public.profiles set company_name = 'by legacy'`;
}

async function writtenByQueue(sql: Sql): Promise<string[]> {
  const rows = await sql`
    select symbol from public.profiles where company_name = 'by the queue'`;
  return rows.map(({ symbol }) => String(symbol)).sort();
}

async function shareOf(sql: Sql): Promise<string[]> {
  const rows = await sql`
    select k.symbol
      from public.supported_symbols as k
      join public.data_type_registry_v2 as r on r.data_type = 'profile'
     where k.is_active and switchyard.is_in_share('profile', k.symbol, r.canary_percent)`;
  return rows.map(({ symbol }) => String(symbol)).sort();
}
