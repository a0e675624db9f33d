import assert from "node:assert/strict";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import type { Sql } from "postgres";
import type { Stack } from "../../local/stack.ts";
import { callFunction, withStack } from "./with_stack.ts";
import { eventually } from "../eventually.ts";

/** Vendor calls a minute, and those of them that the endpoints are guaranteed. */
const LIMIT = 200;
const ENDPOINT_SHARE = 60;

const MOST_PENDING = 40;

/** One that needs no key, two that work on symbols, one that fetches a list. */
const FLOODED = [
  "fetch-fmp-exchange-prices-api",
  "fetch-fmp-quote-indicators",
  "fetch-fmp-profiles",
  "fetch-fmp-available-exchanges",
];

/** What strangers put in a body. */
const BODIES = [
  "",
  "not json",
  '{"symbols": 7}',
  '{"symbols": [null, {"a": 1}]}',
  JSON.stringify({ symbols: Array.from({ length: 2_000 }, (_, index) => `NO-SUCH-${index}`) }),
  `"${"x".repeat(100_000)}"`,
];

const STACK = {
  cron: false,
  net: false,
  activeSymbols: 40,
  simulator: { callsPerMinute: LIMIT, symbols: 600, latencyMs: 5 },
  // The queue is to be at work all the time, also where the flood takes minutes.
  functionEnv: { FMP_LEGACY_PACING_MS: "0", PROCESSOR_BUDGET_MS: "375000" },
};

Deno.test("a hostile anonymous caller leaves demand, queue and limits bounded, and the queue its calls", () => {
  const logged: string[] = [];
  return withStack({ ...STACK, log: (line) => logged.push(line) }, async ({ stack, sql }) => {
    await switchOn(stack, sql);
    const anonymous = connect(stack, stack.keys.publishableKey);
    const simulator = stack.simulator!;

    // An endpoint is in use and the queue has more to do than the vendor allows.
    assert.equal((await callFunction(stack, "fetch-fmp-available-exchanges", "")).status, 200);
    const symbols = simulator.symbols;
    await sql`select switchyard.enqueue_jobs(
      ${symbols}::text[], array_fill('shares-float'::text, array[${symbols.length}::int]),
      array_fill(500, array[${symbols.length}::int]), 'scheduled')`;
    const run = await callFunction(stack, "queue-processor-v2", { reason: "test" });
    assert.equal(run.status, 202, await run.text());
    await eventually("the processor's first calls", () => simulator.calls > 1 || undefined);

    const flood = new AbortController();
    const statuses = new Map<string, number>();
    const flooding = floodEndpoints(stack, 3_000, flood.signal, (status) => {
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    });
    const refusals = await floodRest(anonymous, 400);
    assert.deepEqual(refusals, { refused: 400, done: 0 });
    await flooding.sent;

    // Both get what they may have in a minute, and not one call more.
    await eventually("a minute's calls", async () => {
      const [row] = await sql`
        select sum(calls - endpoint_calls)::int as queue, sum(endpoint_calls)::int as endpoints
          from switchyard.call_grants where provider = 'fmp'`;
      const { queue, endpoints } = row!;
      return (queue >= LIMIT - ENDPOINT_SHARE && endpoints >= ENDPOINT_SHARE) || undefined;
    });
    // On a slow machine the flood may outlast the queue's work: then endpoints may have more.
    const [most] = await sql`
      select max(queue)::int as queue, max(endpoints)::int as endpoints
        from (
          select sum(calls - endpoint_calls) over minute as queue, sum(endpoint_calls) over minute as endpoints
            from switchyard.call_grants
           where provider = 'fmp'
             and bucket <= (select max(bucket) from switchyard.call_grants where calls > endpoint_calls)
          window minute as (order by bucket range between interval '1 minute' preceding and current row)
        ) as of_minute`;
    assert.ok(most!.queue <= LIMIT - ENDPOINT_SHARE, `${most!.queue} calls of the queue`);
    assert.ok(most!.endpoints <= ENDPOINT_SHARE, `${most!.endpoints} calls of endpoints`);
    assert.equal(simulator.violations, 0);

    // A flood of calls is one run of each endpoint.
    const runs = await sql`select endpoint, finished_at is not null as finished
                             from switchyard.endpoint_runs order by endpoint`;
    assert.deepEqual(runs.map(({ endpoint }) => endpoint), FLOODED.toSorted());
    const calls = countBy(simulator.ledger, ({ endpoint }) => endpoint);
    // Where the database does not answer within seconds, as on a slow machine, they run as they always did.
    const unasked = (name: string) =>
      logged.filter((line) =>
        line.includes(name) && line.includes("cannot tell whether another run")
      )
        .length;
    const prices = calls.get("batch-exchange-quote") ?? 0;
    const mostPrices = 2 * (1 + unasked("fetch-fmp-exchange-prices-api"));
    assert.ok(prices <= mostPrices, `two exchanges, once: ${prices} calls, at most ${mostPrices}`);
    const lists = calls.get("available-exchanges") ?? 0;
    const mostLists = 2 + unasked("fetch-fmp-available-exchanges");
    assert.ok(lists <= mostLists, `by us, and once more: ${lists} calls, at most ${mostLists}`);
    assert.deepEqual(
      [...statuses.keys()].filter((status) => !["200", "207", "401"].includes(status)),
      [],
      JSON.stringify([...statuses]),
    );
    const answered = [...statuses.values()].reduce((sum, count) => sum + count, 0);
    assert.ok(answered >= 2_900, `${answered} were answered at once`);
    flood.abort();
    await flooding.ended;

    await hasNoTraceIn(sql);
    const [jobs] = await sql`
      select count(*)::int as live, count(*) filter (where source <> 'scheduled')::int as others
        from switchyard.api_call_queue_v2_live`;
    assert.ok(jobs!.live <= symbols.length, `${jobs!.live} jobs`);
    assert.equal(jobs!.others, 0, "strangers queued nothing");

    await subscribesToEverything(stack, sql);
  });
});

Deno.test("a hostile signed-in caller with many accounts leaves demand, queue and limits bounded", () =>
  withStack(STACK, async ({ stack, sql }) => {
    await switchOn(stack, sql);
    const accounts = await Promise.all(
      Array.from({ length: 12 }, (_, index) => signUp(stack, `viewer-${index}@example.com`)),
    );
    const known = stack.simulator!.symbols.slice(0, 40);
    const dataTypes = ["quote", "profile", "shares-float", "ratios-ttm"];

    const outcomes = new Map<string, number>();
    const note = (outcome: string) => {
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    };
    const atOnce = 16;
    const asked = 3_000;
    const start = performance.now();
    await inParallel(atOnce, asked, async (turn) => {
      const client = accounts[turn % accounts.length]!;
      const isKnown = turn % 3 === 0;
      const { data, error } = await client.rpc("check_and_queue_stale_batch_v2", {
        p_symbol: isKnown ? known[turn % known.length] : `NO-SUCH-${turn}'; drop table profiles`,
        p_data_types: isKnown ? dataTypes : Array.from({ length: 200 }, () => "quote"),
        p_priority: [9_999, -1, 2_147_483_647, 8_999][turn % 4],
      });
      if (error !== null) return note(error.code);
      for (const { queued, reason } of data) note(queued ? "queued" : reason);
    });
    // Sixty checks a minute and account, also in the minutes in which it begins and ends.
    const minutes = Math.floor((performance.now() - start) / 60_000) + 2;
    const refused = outcomes.get("SY014") ?? 0;
    assert.ok(
      refused >= Math.max(1, asked - minutes * 60 * accounts.length),
      JSON.stringify([...outcomes]),
    );
    assert.deepEqual(
      [...outcomes.keys()].filter((code) => /^[0-9A-Z]{5}$/.test(code) && code !== "SY014"),
      [],
    );
    const [queue] = await sql`
      select count(*)::int as pending, max(priority) as highest,
             count(*) filter (where symbol like 'NO-SUCH%')::int as unknown
        from switchyard.api_call_queue_v2_live where status = 'pending'`;
    assert.ok(queue!.pending > 0, "who asks for known symbols is heard");
    // Those that look at the same time see the same room, and each may ask for several types.
    assert.ok(
      queue!.pending < MOST_PENDING + atOnce * dataTypes.length,
      `${queue!.pending} pending`,
    );
    assert.ok(queue!.highest <= 1_100, `priority ${queue!.highest}`);
    assert.equal(queue!.unknown, 0);
    const [checks] = await sql`select count(*)::int as rows from switchyard.caller_checks`;
    assert.ok(checks!.rows <= 2 * accounts.length, `${checks!.rows} rows to count callers`);

    const [attacker] = accounts;
    assert.deepEqual(await floodRest(attacker!, 200), { refused: 200, done: 0 });
    await hasNoTraceIn(sql);

    // Being signed in opens no door of a function.
    const { data } = await attacker!.auth.getSession();
    const headers = {
      authorization: `Bearer ${data.session!.access_token}`,
      "x-switchyard-granted-calls": "1000",
    };
    for (const name of ["fetch-fmp-quote-indicators", "queue-processor-v2"]) {
      assert.equal((await callFunction(stack, name, {}, headers)).status, 401, name);
    }
    assert.equal(stack.simulator!.calls, 0);

    // Two hundred calls with the public key are one run, and a header is no grant.
    const statuses = new Map<string, number>();
    await inParallel(20, 200, async () => {
      const { status, text } = await post(stack, "fetch-fmp-quote-indicators", '{"symbols": 1}', {
        ...headers,
        apikey: stack.keys.publishableKey,
      });
      assert.ok(!text.includes("vendorCalls"));
      statuses.set(`${status}`, (statuses.get(`${status}`) ?? 0) + 1);
    });
    assert.deepEqual([...statuses].sort(), [["200", 1], ["207", 199]]);
    assert.equal(stack.simulator!.calls, 40);
    assert.equal(stack.simulator!.violations, 0);
    const [books] = await sql`
      select calls::int, failed_calls::int, bytes > 0 as has_bytes
        from public.api_data_usage_v2 where data_type = 'quote'`;
    assert.deepEqual({ ...books }, { calls: 40, failed_calls: 0, has_bytes: true });
    const [granted] = await sql`
      select sum(endpoint_calls)::int as calls from switchyard.call_grants`;
    assert.equal(granted!.calls, 40);
  }));

async function switchOn(stack: Stack, sql: Sql): Promise<void> {
  await sql`update public.api_providers_v2 set calls_per_minute = ${LIMIT} where provider = 'fmp'`;
  await sql`update switchyard.settings set value = to_jsonb(${MOST_PENDING}::int)
             where name = 'most_pending_jobs'`;
  // Of each endpoint one run by strangers, however long the flood takes.
  await sql`update switchyard.settings set value = '3600' where name = 'endpoint_pause_seconds'`;
  await sql`update public.data_type_registry_v2 set condition_function = null`;
  await sql`select switchyard.set_stage(data_type, 'live') from public.data_type_registry_v2`;
  await sql`update public.feature_flags set enabled = true
             where flag_name in ('use_queue_system', 'use_new_staleness_check')`;
  const [row] = await sql`select switchyard.endpoint_calls('fmp')::int as share`;
  assert.equal(row!.share, ENDPOINT_SHARE);
  assert.equal(stack.simulator!.calls, 0);
}

/** Demand by row-change subscriptions, which anybody may open: thousands of them, for anything. */
async function subscribesToEverything(stack: Stack, sql: Sql): Promise<void> {
  await sql`delete from switchyard.api_call_queue_v2_live`;
  const symbols = stack.simulator!.symbols.slice(0, 40);
  await sql`
    insert into realtime.subscription (subscription_id, entity, filters, claims)
    select gen_random_uuid(), 'public.profiles'::regclass,
           array[row('symbol', 'in', case when n % 2 = 0 then format('{NO-SUCH-%s,"%s"}', n, repeat('Y', 500))
                                          else ${`{${symbols.join(",")}}`} end
                , false)::realtime.user_defined_filter],
           '{"role": "anon"}'
      from generate_series(1, 4000) as n`;
  for (let pass = 0; pass < 3; pass++) {
    await sql`select * from public.check_and_queue_stale_data_from_presence_v2()`;
  }
  const [demand] = await sql`
    select count(*)::int as pending, coalesce(max(priority), 0) as highest,
           count(*) filter (where symbol <> all (${symbols}::text[]))::int as strange
      from switchyard.api_call_queue_v2_live where source = 'demand'`;
  assert.ok(demand!.pending > 0 && demand!.pending <= MOST_PENDING, `${demand!.pending} pending`);
  assert.ok(demand!.highest <= 1_099, `a hundred subscriptions count, not ${demand!.highest}`);
  assert.equal(demand!.strange, 0);
}

/**
 * Calls endpoints in turn; `sent` resolves when all but the few that run are answered, `ended` when
 * all are or the signal has aborted.
 */
function floodEndpoints(
  stack: Stack,
  count: number,
  signal: AbortSignal,
  onAnswer: (status: string) => void,
): { sent: Promise<void>; ended: Promise<void> } {
  const keys = [stack.keys.publishableKey, stack.keys.anonKey, ""];
  let answered = 0;
  const enough = Promise.withResolvers<void>();
  const ended = inParallel(40, count, async (turn) => {
    const name = FLOODED[turn % FLOODED.length]!;
    const key = keys[turn % 16 === 15 ? 2 : turn % 2]!;
    try {
      const { status } = await post(stack, name, BODIES[turn % BODIES.length]!, {
        ...(key === "" ? {} : { apikey: key }),
        "x-switchyard-granted-calls": "1000",
      }, signal);
      onAnswer(`${status}`);
    } catch (error) {
      if (!signal.aborted) onAnswer(String(error));
    }
    answered += 1;
    // Those that started a run hear of it when it ends.
    if (answered >= count - FLOODED.length) enough.resolve();
  });
  return { sent: enough.promise, ended };
}

/** Tries to read, write and call what belongs to the queue. */
async function floodRest(
  client: SupabaseClient,
  count: number,
): Promise<{ refused: number; done: number }> {
  const outcome = { refused: 0, done: 0 };
  const tries = [
    () => client.from("active_subscriptions_v2").insert({ symbol: "X", data_type: "quote" }),
    () => client.from("api_call_queue_v2").insert({ symbol: "X", data_type: "quote" }),
    () =>
      client.from("feature_flags").update({ enabled: false }).eq("flag_name", "use_queue_system"),
    () =>
      client.from("api_providers_v2").update({ calls_per_minute: 1_000_000 }).neq("provider", ""),
    () => client.rpc("get_queue_batch_v2", { p_batch_size: 1000 }),
    () => client.rpc("take_vendor_calls_v2", { p_provider: "fmp", p_calls: 1000 }),
    () => client.rpc("start_endpoint_run_v2", { p_endpoint: "x", p_run_id: crypto.randomUUID() }),
    () =>
      client.rpc("book_endpoint_usage_v2", {
        p_provider: "fmp",
        p_data_type: "quote",
        p_calls: 1,
        p_failed_calls: 0,
        p_bytes: 1e15,
      }),
  ];
  await inParallel(8, count, async (turn) => {
    const { error } = await tries[turn % tries.length]!();
    if (error === null) outcome.done += 1;
    else outcome.refused += 1;
  });
  return outcome;
}

async function hasNoTraceIn(sql: Sql): Promise<void> {
  const [demand] = await sql`select count(*)::int as rows from public.active_subscriptions_v2`;
  assert.equal(demand!.rows, 0);
  const [limits] = await sql`
    select calls_per_minute from public.api_providers_v2 where provider = 'fmp'`;
  assert.equal(limits!.calls_per_minute, LIMIT);
  const [strange] = await sql`
    select (select count(*) from switchyard.api_call_queue_v2_live where symbol = 'X')::int as jobs,
           (select count(*) from switchyard.endpoint_runs where endpoint = 'x')::int as runs`;
  assert.deepEqual({ ...strange }, { jobs: 0, runs: 0 });
}

function connect(stack: Stack, key: string): SupabaseClient {
  return createClient(stack.apiUrl, key, {
    auth: { autoRefreshToken: false, persistSession: false },
  });
}

async function signUp(stack: Stack, email: string): Promise<SupabaseClient> {
  const client = connect(stack, stack.keys.publishableKey);
  const { error } = await client.auth.signUp({ email, password: "correct horse battery" });
  assert.equal(error, null);
  return client;
}

async function post(
  stack: Stack,
  name: string,
  body: string,
  headers: Record<string, string>,
  signal?: AbortSignal,
): Promise<{ status: number; text: string }> {
  const response = await fetch(`${stack.functionsUrl}/${name}`, {
    method: "POST",
    headers,
    body,
    ...(signal === undefined ? {} : { signal }),
  });
  return { status: response.status, text: await response.text() };
}

async function inParallel(
  width: number,
  count: number,
  work: (turn: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: width }, async () => {
    while (next < count) await work(next++);
  }));
}

function countBy<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, number> {
  return new Map(
    [...Map.groupBy(items, keyOf)].map(([key, group]) => [key, group.length]),
  );
}
