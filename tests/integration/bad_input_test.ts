import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { callFunction, processManually, withStack } from "./with_stack.ts";

/** Queues one quote by hand. */
async function queueQuote(sql: Sql, symbol = "AAPL"): Promise<number> {
  const [row] =
    await sql`select public.queue_refresh_if_not_exists_v2(${symbol}, 'quote')::int as id`;
  return row!.id;
}

Deno.test("a vendor answer of the wrong shape fails the attempt, names the key and writes nothing", () =>
  withStack({ cron: false, net: false }, async ({ stack, sql }) => {
    stack.simulator!.setFault("quote", { kind: "rename-key", from: "price", to: "lastPrice" });
    const id = await queueQuote(sql);
    const report = await processManually(stack);
    assert.equal(report.jobs.rescheduled, 1, JSON.stringify(report));
    const [job] = await sql`
      select status, attempts, last_error from public.api_call_queue_v2 where id = ${id}`;
    assert.equal(job!.status, "pending");
    assert.equal(job!.attempts, 1);
    assert.match(job!.last_error, /AAPL.*"price"/);
    assert.equal((await sql`select from public.live_quote_indicators`).length, 0);

    stack.simulator!.setFault("quote", null);
    await sql`select public.reset_job_immediate_v2(${id})`;
    assert.equal((await processManually(stack)).jobs.completed, 1);
    const [done] = await sql`
      select status, jsonb_array_length(errors) as errors from public.api_call_queue_v2 where id = ${id}`;
    assert.deepEqual({ ...done }, { status: "completed", errors: 1 });
  }));

Deno.test("a 429 holds the provider as long as the vendor asks, and no attempt is counted", () =>
  withStack({ cron: false, net: false }, async ({ stack, sql }) => {
    stack.simulator!.setFault("quote", {
      kind: "status",
      status: 429,
      headers: { "retry-after": "300" },
    });
    const id = await queueQuote(sql);
    const report = await processManually(stack);
    assert.equal(report.jobs.released, 1, JSON.stringify(report));
    const [job] = await sql`
      select status, attempts from public.api_call_queue_v2 where id = ${id}`;
    assert.deepEqual({ ...job }, { status: "pending", attempts: 0 });
    const [provider] = await sql`
      select hold_until > now() + interval '4 minutes' as is_held
        from public.api_providers_v2 where provider = 'fmp'`;
    assert.equal(provider!.is_held, true);
  }));

Deno.test("an unknown symbol that a person inserts is settled as empty and remembered", () =>
  withStack({ cron: false, net: false }, async ({ stack, sql }) => {
    await assert.rejects(queueQuote(sql, "NO-SUCH"), { code: "SY009" });
    await sql`insert into public.api_call_queue_v2 (symbol, data_type) values ('NO-SUCH', 'quote')`;
    assert.equal((await processManually(stack)).jobs.empty, 1);
    assert.equal((await sql`select from public.live_quote_indicators`).length, 0);
  }));

Deno.test("a wrong caller key, a malformed body and another method are refused and claim nothing", () =>
  withStack({ cron: false, net: false }, async ({ stack, sql }) => {
    await queueQuote(sql);
    const body = { manual: true, wait: true };
    const refused = [
      await callFunction(stack, "queue-processor-v2", body, {}),
      await callFunction(stack, "queue-processor-v2", body, { apikey: "sb_secret_guess" }),
      await callFunction(stack, "queue-processor-v2", body, { apikey: stack.keys.publishableKey }),
      await callFunction(stack, "queue-processor-v2", body, {
        authorization: `Bearer ${stack.keys.anonKey}`,
      }),
    ];
    for (const response of refused) {
      assert.equal(response.status, 401);
      assert.match((await response.json()).message, /secret key/);
    }
    const malformed = await callFunction(stack, "queue-processor-v2", '{"manual": "yes"}');
    assert.equal(malformed.status, 400);
    assert.match((await malformed.json()).message, /"manual"/);
    const notJson = await callFunction(stack, "queue-processor-v2", "{");
    assert.equal(notJson.status, 400);
    await notJson.body?.cancel();
    const got = await fetch(`${stack.functionsUrl}/queue-processor-v2`, {
      headers: { apikey: stack.keys.secretKey },
    });
    assert.equal(got.status, 405);
    await got.body?.cancel();
    const jobs = await sql`select status, attempts from public.api_call_queue_v2`;
    assert.deepEqual(jobs.map((job) => ({ ...job })), [{ status: "pending", attempts: 0 }]);
  }));

Deno.test("a missing vendor key is told by name, and nothing is claimed", () =>
  withStack(
    { cron: false, net: false, functionEnv: { FMP_API_KEY: "" } },
    async ({ stack, sql }) => {
      await queueQuote(sql);
      const response = await callFunction(stack, "queue-processor-v2", {
        manual: true,
        wait: true,
      });
      assert.equal(response.status, 500);
      assert.match((await response.json()).message, /FMP_API_KEY.*supabase secrets set/);
      const [job] = await sql`select status from public.api_call_queue_v2`;
      assert.equal(job!.status, "pending");
    },
  ));

Deno.test("a refused vendor key burns no attempt and shows nowhere", () =>
  withStack(
    { cron: false, net: false, functionEnv: { FMP_API_KEY: "wrong-vendor-key" } },
    async ({ stack, sql }) => {
      await queueQuote(sql);
      const report = await processManually(stack);
      assert.equal(report.jobs.released, 1, JSON.stringify(report));
      const [job] = await sql`
        select status, attempts, last_error from public.api_call_queue_v2`;
      assert.equal(job!.status, "pending");
      assert.equal(job!.attempts, 0);
      const written = await sql`
        select (select jsonb_agg(to_jsonb(q)) from public.api_call_queue_v2 as q)::text
               || (select jsonb_agg(to_jsonb(p)) from public.api_providers_v2 as p)::text
               || (select jsonb_agg(to_jsonb(e)) from switchyard.queue_events as e)::text
               || (select jsonb_agg(to_jsonb(r)) from switchyard.processor_runs as r)::text as text`;
      assert.doesNotMatch(written[0]!.text, /wrong-vendor-key/);
      assert.doesNotMatch(JSON.stringify(report), /wrong-vendor-key/);
    },
  ));

Deno.test("over REST, a malformed settle and a wrong lease change nothing", () =>
  withStack({ cron: false, net: false }, async ({ stack, sql }) => {
    const id = await queueQuote(sql);
    const settle = async (results: unknown) => {
      const response = await fetch(`${stack.apiUrl}/rest/v1/rpc/settle_queue_batch_v2`, {
        method: "POST",
        headers: { apikey: stack.keys.secretKey, "content-type": "application/json" },
        body: JSON.stringify({ p_results: results }),
      });
      return { status: response.status, body: await response.json() };
    };
    const notArray = await settle({ job_id: id });
    assert.equal(notArray.body.code, "SY012");
    const claimed = await sql`
      select lease_token from public.get_queue_batch_v2(1, null, true)`;
    const wrong = await settle([
      { job_id: id, lease_token: crypto.randomUUID(), outcome: "empty" },
      { job_id: id, lease_token: claimed[0]!.lease_token, outcome: "finished" },
    ]);
    assert.deepEqual(
      wrong.body.map(({ outcome }: { outcome: string }) => outcome).sort(),
      ["lease_lost", "malformed"],
    );
    const [job] = await sql`select status from public.api_call_queue_v2 where id = ${id}`;
    assert.equal(job!.status, "processing");
  }));
