import assert from "node:assert/strict";
import type { Sql } from "postgres";
import type { Stack } from "../../local/stack.ts";
import { withStack } from "../integration/with_stack.ts";
import { drainQueue, switchOn } from "./queue_run.ts";

const ACTIVE = 20;
const LEGACY_JOB = "hourly-fetch-fmp-profiles";

Deno.test("a vendor that begins to fail rolls a canary and a live type back by itself", (test) =>
  withStack({ cron: false, net: false, activeSymbols: ACTIVE }, async ({ stack, sql }) => {
    await prepare(sql);
    for (const stage of ["canary", "live"] as const) {
      await test.step(stage, async () => {
        await enter(sql, stage);
        assert.equal(await legacyIsActive(sql), stage === "canary");
        await refreshAll(stack, sql);
        assert.deepEqual(await guard(sql), [], "nothing to do while all is well");
        assert.equal(await stageOf(sql), stage);

        stack.simulator!.setFault("profile", { kind: "status", status: 500 });
        await makeDue(sql);
        await refreshAll(stack, sql);
        stack.simulator!.setFault("profile", null);

        await guard(sql);
        await assertRolledBack(sql, stage, /error_rate/);
      });
    }

    await test.step("a vendor that has nothing any more for what has rows does too", async () => {
      await enter(sql, "live");
      stack.simulator!.setFault("profile", { kind: "empty" });
      await makeDue(sql);
      await refreshAll(stack, sql);
      stack.simulator!.setFault("profile", null);
      for (let minute = 0; minute < 5; minute++) await sample(sql);
      assert.deepEqual(await guard(sql), [], "not before it has been there for breach_minutes");
      await enteredBefore(sql, "6 minutes");
      await guard(sql);
      await assertRolledBack(
        sql,
        "live",
        /empty_rate: 100.0 % \(20 of 20 symbols\) that have rows/,
      );
      const [rows] = await sql`select count(*)::int as left from public.profiles`;
      assert.equal(rows!.left, ACTIVE, "and its rows stay");
    });

    await test.step("with auto_rollback off there is an alert alone", async () => {
      await enter(sql, "canary");
      await sql`update public.data_type_registry_v2
        set gate_settings = '{"auto_rollback": false}' where data_type = 'profile'`;
      stack.simulator!.setFault("profile", { kind: "status", status: 500 });
      await makeDue(sql);
      await refreshAll(stack, sql);
      stack.simulator!.setFault("profile", null);
      await guard(sql);
      assert.equal(await stageOf(sql), "canary");
      const alerts = await openAlerts(sql);
      assert.deepEqual(alerts.map(({ severity }) => severity), ["critical"]);
    });
  }));

Deno.test("a canary whose rows go stale is rolled back by itself, though legacy refreshes them", () =>
  withStack({ cron: false, net: false, activeSymbols: ACTIVE }, async ({ stack, sql }) => {
    await prepare(sql);
    await enter(sql, "canary");
    await refreshAll(stack, sql);
    for (let minute = 0; minute < 5; minute++) await sample(sql);
    assert.deepEqual(await guard(sql), [], "nothing to do while all is fresh");

    // No processor has come for three hours; legacy goes on.
    await enteredBefore(sql, "4 hours");
    // The queue has been on for as long.
    await sql`update switchyard.migration_events
      set occurred_at = occurred_at - interval '4 hours' where kind = 'flags'`;
    await sql`update switchyard.refresh_state set last_checked_at = now() - interval '3 hours'`;
    await sql`update public.profiles set company_name = company_name`;
    for (let minute = 0; minute < 4; minute++) await sample(sql);
    assert.deepEqual(await guard(sql), [], "some samples were good until lately");
    assert.equal(await stageOf(sql), "canary");

    await sql`delete from switchyard.freshness_samples where very_stale_rows = 0`;
    await guard(sql);
    await assertRolledBack(sql, "canary", /freshness/);
  }));

Deno.test("a live type that only fails goes back by itself behind an open breaker, as everything is set at first", () =>
  withStack({ cron: false, net: false, activeSymbols: ACTIVE }, async ({ stack, sql }) => {
    await switchOn(sql);
    await enter(sql, "live");
    await refreshAll(stack, sql);
    stack.simulator!.setFault("profile", { kind: "status", status: 500 });
    await makeDue(sql);
    await refreshAll(stack, sql);
    const [provider] = await sql`
      select breaker_state, breaker_data_types from public.api_providers_v2 where provider = 'fmp'`;
    assert.deepEqual({ ...provider }, { breaker_state: "open", breaker_data_types: ["profile"] });
    const outcomes = await sql`select from switchyard.job_outcomes where failed > 0`;
    assert.deepEqual([...outcomes], [], "no job has come to its end");
    assert.deepEqual(await guard(sql), [], "not before it has lasted");

    await enteredBefore(sql, "6 minutes");
    await sql`update switchyard.api_call_queue_v2_live set errors = (
      select jsonb_agg(e.item || jsonb_build_object('at', (e.item ->> 'at')::timestamptz - interval '6 minutes'))
        from jsonb_array_elements(errors) as e (item)),
      run_after = now(), delayed = false
      where errors <> '[]'`;
    await sql`update switchyard.job_outcomes set finished_at = finished_at - interval '6 minutes'`;
    assert.deepEqual(await guard(sql), [], "what has only waited since says nothing");

    await sql`update public.api_providers_v2
      set breaker_changed_at = breaker_changed_at - interval '6 minutes'`;
    await drainQueue(stack);
    await guard(sql);
    await assertRolledBack(
      sql,
      "live",
      /error_rate: 20 jobs fail without an end, and none was completed for 5 min/,
    );
    assert.match((await openAlerts(sql))[0]!.message, /; the last failure: .*500/);
  }));

async function prepare(sql: Sql): Promise<void> {
  await switchOn(sql);
  // One attempt each, so that no test waits for the backoff.
  await sql`update public.data_type_registry_v2 set max_attempts = 1`;
  // The breaker would stop the claims of a vendor that only fails; that is not what is tried here.
  await sql`update switchyard.settings set value = '1000000' where name = 'breaker_least_failures'`;
}

/** All symbols, looked at by somebody, with nothing left of an earlier stage. */
async function enter(sql: Sql, stage: "canary" | "live"): Promise<void> {
  await sql`select switchyard.set_stage('profile', 'legacy', 'test')`;
  await sql`update switchyard.alerts set resolved_at = clock_timestamp() where resolved_at is null`;
  await sql`delete from switchyard.refresh_state`;
  await sql`delete from switchyard.job_outcomes`;
  await sql`update public.data_type_registry_v2
    set canary_percent = 100 where data_type = 'profile'`;
  await sql`select switchyard.set_stage('profile', ${stage}, 'test')`;
  await sql`insert into public.active_subscriptions_v2
      (symbol, data_type, source, viewers, last_seen_at)
    select symbol, 'profile', 'presence', 1, now() + interval '1 hour'
      from public.supported_symbols where is_active
        on conflict do nothing`;
}

/** As if the stage, and its share, had been so for this much longer. */
async function enteredBefore(sql: Sql, interval: string): Promise<void> {
  await sql.begin(async (transaction) => {
    await transaction`select set_config('switchyard.moves_stage', 'profile', true)`;
    await transaction`update public.data_type_registry_v2
      set stage_entered_at = stage_entered_at - ${interval}::interval,
          share_changed_at = share_changed_at - ${interval}::interval
       where data_type = 'profile'`;
  });
}

async function makeDue(sql: Sql): Promise<void> {
  await sql`update switchyard.refresh_state
    set last_checked_at = now() - interval '61 minutes', failing_until = null`;
  await sql`alter table public.profiles disable trigger handle_modified_at`;
  await sql`update public.profiles set modified_at = now() - interval '61 minutes'`;
  await sql`alter table public.profiles enable trigger handle_modified_at`;
}

async function refreshAll(stack: Stack, sql: Sql): Promise<void> {
  await sql`select public.check_and_queue_stale_data_from_presence_v2()`;
  const [queued] = await sql`select count(*)::int as jobs from switchyard.api_call_queue_v2_live`;
  assert.equal(queued!.jobs, ACTIVE);
  await drainQueue(stack);
}

/** What the cron job of this name does. */
async function runCronJob(sql: Sql, name: string): Promise<Record<string, unknown>[]> {
  const [job] = await sql`select command, active from cron.job where jobname = ${name}`;
  assert.ok(job?.active, `cron job ${name} is not active`);
  const results = await sql.unsafe(job.command);
  return [...results.flat()].map((row) => ({ ...row }));
}

const sample = (sql: Sql) => runCronJob(sql, "sample-freshness-v2");
const guard = (sql: Sql) => runCronJob(sql, "guard-migrations-v2");

async function assertRolledBack(sql: Sql, from: string, why: RegExp): Promise<void> {
  assert.equal(await stageOf(sql), "legacy");
  assert.ok(await legacyIsActive(sql), "the legacy job runs");
  const [flag] = await sql`
    select enabled from public.feature_flags where flag_name = 'use_queue_for_profile'`;
  assert.equal(flag!.enabled, false);
  const [event] = await sql`
    select from_stage, to_stage, automatic, reason
      from switchyard.migration_events where kind = 'stage' order by id desc limit 1`;
  assert.deepEqual([event!.from_stage, event!.to_stage, event!.automatic], [from, "legacy", true]);
  assert.match(event!.reason, why);
  const alerts = await openAlerts(sql);
  assert.deepEqual(alerts.map(({ severity }) => severity), ["critical"]);
  assert.match(alerts[0]!.message, why);
}

async function stageOf(sql: Sql): Promise<string> {
  const [type] = await sql`
    select stage from public.data_type_registry_v2 where data_type = 'profile'`;
  return type!.stage;
}

async function legacyIsActive(sql: Sql): Promise<boolean> {
  const [job] = await sql`select active from cron.job where jobname = ${LEGACY_JOB}`;
  return job!.active;
}

function openAlerts(sql: Sql): Promise<{ severity: string; message: string }[]> {
  return sql<{ severity: string; message: string }[]>`
    select severity, message from switchyard.alerts
     where resolved_at is null and data_type = 'profile'`;
}
