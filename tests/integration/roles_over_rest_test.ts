import assert from "node:assert/strict";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { withStack } from "./with_stack.ts";

const TABLES = [
  "feature_flags",
  "data_type_registry_v2",
  "api_call_queue_v2",
  "api_data_usage_v2",
  "api_providers_v2",
  "active_subscriptions_v2",
  "registry_problems_v2",
];

for (const defaultPrivileges of ["legacy", "none"] as const) {
  Deno.test(`over REST, anon and signed-in users reach nothing of the queue (default privileges: ${defaultPrivileges})`, () =>
    withStack({ cron: false, net: false, defaultPrivileges }, async ({ stack, sql }) => {
      const connect = (key: string) =>
        createClient(stack.apiUrl, key, {
          auth: { autoRefreshToken: false, persistSession: false },
        });
      const anon = connect(stack.keys.publishableKey);
      const user = connect(stack.keys.publishableKey);
      const signUp = await user.auth.signUp({
        email: "viewer@example.com",
        password: "correct horse battery",
      });
      assert.equal(signUp.error, null);
      const service = connect(stack.keys.secretKey);

      for (const [who, client] of [["anon", anon], ["authenticated", user]] as const) {
        await reachesNothing(client, who, sql);
      }
      const denied = await anon.rpc("check_and_queue_stale_batch_v2", {
        p_symbol: "AAPL",
        p_data_types: ["quote"],
      });
      assert.equal(denied.error?.code, "42501");
      const asked = await user.rpc("check_and_queue_stale_batch_v2", {
        p_symbol: "AAPL",
        p_data_types: ["quote"],
      });
      assert.equal(asked.error, null);
      assert.deepEqual(asked.data, [{
        data_type: "quote",
        stale: true,
        queued: false,
        reason: "use_queue_system is off",
      }]);
      const unknown = await user.rpc("check_and_queue_stale_batch_v2", {
        p_symbol: "AAPL'; drop table profiles; --",
        p_data_types: ["quote"],
      });
      assert.equal(unknown.error, null);
      assert.equal(unknown.data[0].queued, false);
      assert.match(unknown.data[0].reason, /unknown symbol/);

      const read = await service.from("api_call_queue_v2").select("id");
      assert.equal(read.error, null);
      const claimed = await service.rpc("get_queue_batch_v2", { p_batch_size: 1, p_manual: true });
      assert.equal(claimed.error, null);
      assert.deepEqual(claimed.data, []);
    }));
}

async function reachesNothing(
  client: SupabaseClient,
  who: string,
  sql: { unsafe(query: string): PromiseLike<readonly Record<string, unknown>[]> },
): Promise<void> {
  for (const table of TABLES) {
    const read = await client.from(table).select("*").limit(1);
    assert.equal(read.error?.code, "42501", `${who} reads ${table}`);
    const written = await client.from(table).insert({});
    assert.notEqual(written.error, null, `${who} writes ${table}`);
    const deleted = await client.from(table).delete().neq("created_at", "2000-01-01");
    assert.notEqual(deleted.error, null, `${who} deletes from ${table}`);
  }
  const functions = await sql.unsafe(`
    select p.proname as name from pg_proc as p
     where p.pronamespace = 'public'::regnamespace
       and (p.proname ~ '_v2$' or p.proname = 'is_feature_enabled')
       and p.proname <> 'check_and_queue_stale_batch_v2'`);
  assert.ok(functions.length > 15);
  for (const { name } of functions) {
    const called = await client.rpc(String(name), {});
    assert.notEqual(called.error, null, `${who} calls ${name}`);
  }
  const hidden = await client.schema("switchyard").from("settings").select("*");
  assert.notEqual(hidden.error, null, `${who} reads the private schema`);
}
