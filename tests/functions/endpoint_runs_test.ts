import assert from "node:assert/strict";
import type { SupabaseClient } from "npm:@supabase/supabase-js@2.109.0";
import { createEndpointRuns } from "../../supabase/functions/_shared/endpoint_runs.ts";
import { createEndpointUsage } from "../../supabase/functions/_shared/endpoint_usage.ts";
import { createLegacyEndpoint } from "../../supabase/functions/_shared/legacy_endpoint.ts";
import {
  createLegacyListEndpoint,
  type LegacyListDefinition,
} from "../../supabase/functions/_shared/legacy_list_endpoint.ts";
import { availableExchangesEndpoint } from "../../supabase/functions/fetch-fmp-available-exchanges/index.ts";
import { dividendHistoryEndpoint } from "../../supabase/functions/fetch-fmp-dividend-history/index.ts";
import { createExchangePricesEndpoint } from "../../supabase/functions/fetch-fmp-exchange-prices-api/index.ts";
import { quoteEndpoint } from "../../supabase/functions/fetch-fmp-quote-indicators/index.ts";
import { createSharesFloatEndpoint } from "../../supabase/functions/fetch-fmp-shares-float/index.ts";
import { quoteExample } from "./fetcher_examples.ts";
import { ANON_KEY, callEndpoint, SECRET_KEY, type World } from "./legacy_support.ts";

const quotes: World["vendor"] = (_path, query) =>
  Response.json([{ ...quoteExample, symbol: query.get("symbol")! }]);

/** The queue's functions while it is on and nothing else runs. */
const queueIsOn = {
  start_endpoint_run_v2: () => ({ started: true }),
  take_vendor_calls_v2: () => 0,
  book_endpoint_usage_v2: () => true,
  finish_endpoint_run_v2: () => true,
};
const refused = {
  ...queueIsOn,
  start_endpoint_run_v2: () => ({ started: false, reason: "a run has been in progress for 7 s" }),
};

const callQuotes = (world: Partial<World> = {}, init: RequestInit = {}) =>
  callEndpoint((surroundings) => createLegacyEndpoint(quoteEndpoint, surroundings), {
    vendor: quotes,
    ...world,
  }, init);

const names = (calls: readonly [string, unknown][]) => calls.map(([name]) => name);

Deno.test("while the queue is on a run is registered, its calls are taken, and its usage is booked once", async () => {
  const { status, queueCalls } = await callQuotes({ queue: queueIsOn });
  assert.equal(status, 200);
  const [[, start], [, firstCall]] = queueCalls as [[string, never], [string, never]];
  assert.deepEqual(names(queueCalls), [
    "start_endpoint_run_v2",
    "take_vendor_calls_v2",
    "take_vendor_calls_v2",
    "book_endpoint_usage_v2",
    "finish_endpoint_run_v2",
  ]);
  const { p_run_id: runId } = start as { p_run_id: string };
  assert.deepEqual(start, {
    p_endpoint: "fetch-fmp-quote-indicators",
    p_run_id: runId,
    p_is_trusted: false,
  });
  assert.deepEqual(firstCall, { p_provider: "fmp", p_calls: 1, p_run_id: runId });
  const bytes = 2 * JSON.stringify([{ ...quoteExample, symbol: "AAPL" }]).length;
  assert.deepEqual(queueCalls[3]![1], {
    p_provider: "fmp",
    p_data_type: "quote",
    p_calls: 2,
    p_failed_calls: 0,
    p_bytes: bytes,
  });
  assert.deepEqual(queueCalls[4]![1], {
    p_endpoint: "fetch-fmp-quote-indicators",
    p_run_id: runId,
  });
});

Deno.test("failed calls are booked too, with their bytes", async () => {
  const { status, queueCalls } = await callQuotes({
    queue: queueIsOn,
    vendor: (path, query, request) =>
      query.get("symbol") === "MSFT"
        ? new Response("down", { status: 503 })
        : quotes(path, query, request),
  });
  assert.equal(status, 207);
  const [, usage] = queueCalls.find(([name]) => name === "book_endpoint_usage_v2")!;
  assert.deepEqual([usage.p_calls, usage.p_failed_calls], [2, 1]);
  assert.equal(
    usage.p_bytes,
    JSON.stringify([{ ...quoteExample, symbol: "AAPL" }]).length + "down".length,
  );
});

Deno.test("with the queue off, or Switchyard not installed, one question is all that an endpoint asks", async () => {
  const noFunction = Response.json({ code: "PGRST202", message: "no function" }, { status: 404 });
  for (const queue of [{}, { start_endpoint_run_v2: () => noFunction }]) {
    const { status, queueCalls, json, logged } = await callQuotes({ queue });
    assert.equal(status, 200);
    assert.equal(json.totalSucceeded, 2);
    assert.deepEqual(names(queueCalls), ["start_endpoint_run_v2"]);
    assert.equal(logged.length, 1, logged.join());
  }
});

Deno.test("a database that cannot tell stops no run", async () => {
  const down = () => Response.json({ code: "53300", message: "too many" }, { status: 500 });
  const { status, json, queueCalls, logged } = await callQuotes({
    queue: { start_endpoint_run_v2: down, take_vendor_calls_v2: down },
  });
  assert.equal(status, 200);
  assert.equal(json.totalSucceeded, 2);
  assert.deepEqual(
    [...new Set(names(queueCalls))],
    ["start_endpoint_run_v2", "take_vendor_calls_v2"],
  );
  assert.match(logged.join(), /cannot tell whether another run is in progress: too many/);
});

Deno.test("while another run is in progress every endpoint says so in its own shape, and does nothing", async () => {
  const message = "Nothing was done: a run has been in progress for 7 s";
  const world: World = { vendor: quotes, queue: refused };
  const none = { totalProcessed: 0, totalSucceeded: 0 };
  for (
    const [create, status, rest] of [
      [(s) => createLegacyEndpoint(quoteEndpoint, s), 207, { details: [], ...none }],
      [(s) => createLegacyEndpoint(dividendHistoryEndpoint, s), 207, {
        details: [],
        totalSymbolsProcessed: 0,
        totalDividendsFetched: 0,
        totalDividendsUpserted: 0,
      }],
      [
        (s) =>
          createLegacyListEndpoint(
            availableExchangesEndpoint as LegacyListDefinition<unknown>,
            s,
          ),
        200,
        { upsertedCount: 0 },
      ],
      [createExchangePricesEndpoint, 207, { details: [], ...none }],
      [createSharesFloatEndpoint, 207, {
        details: [],
        totalPagesProcessed: 0,
        totalRecordsFetched: 0,
        totalRecordsUpserted: 0,
        totalRecordsSkipped: 0,
      }],
    ] as [Parameters<typeof callEndpoint>[0], number, Record<string, unknown>][]
  ) {
    const answer = await callEndpoint(create, world);
    assert.equal(answer.status, status);
    assert.deepEqual(answer.json, { message, ...rest });
    assert.deepEqual([answer.vendorCalls, answer.writes], [[], []]);
    assert.deepEqual(names(answer.queueCalls), ["start_endpoint_run_v2"]);
  }
});

Deno.test("a run that fails as a whole gives its place free", async () => {
  const { status, queueCalls } = await callQuotes({
    queue: queueIsOn,
    database: ({ method }) =>
      method === "GET" ? Response.json({ message: "denied" }, { status: 403 }) : undefined,
  });
  assert.equal(status, 500);
  assert.deepEqual(names(queueCalls), ["start_endpoint_run_v2", "finish_endpoint_run_v2"]);
});

Deno.test("without its settings an endpoint answers 500 and takes no place", async () => {
  const { status, queueCalls } = await callQuotes({
    queue: queueIsOn,
    settings: { FMP_API_KEY: undefined },
  });
  assert.equal(status, 500);
  assert.deepEqual(queueCalls, []);
});

Deno.test("the queue's own request is no run, is not counted twice, and hears what it cost", async () => {
  const { status, json, queueCalls } = await callQuotes({ queue: refused }, {
    headers: { apikey: SECRET_KEY, "x-switchyard-granted-calls": "3" },
    body: JSON.stringify({ symbols: ["A", "B"] }),
  });
  assert.equal(status, 200);
  assert.deepEqual([json.totalSucceeded, json.vendorCalls], [2, 2]);
  assert.ok(Number(json.bytes) > 100);
  assert.deepEqual(queueCalls, []);
});

Deno.test("calls of the queue's request beyond its grant are taken and booked, and not reported again", async () => {
  const { json, queueCalls } = await callQuotes({ queue: queueIsOn }, {
    headers: { apikey: SECRET_KEY, "x-switchyard-granted-calls": "1" },
    body: JSON.stringify({ symbols: ["A", "B", "C"] }),
  });
  assert.equal(json.vendorCalls, 1);
  assert.deepEqual(names(queueCalls), [
    "take_vendor_calls_v2",
    "take_vendor_calls_v2",
    "book_endpoint_usage_v2",
  ]);
  const [, usage] = queueCalls[2]!;
  assert.deepEqual([usage.p_calls, usage.p_failed_calls, usage.p_bytes], [2, 0, 0]);
});

Deno.test("nobody else is believed to have been granted calls", async () => {
  for (const headers of [{ authorization: `Bearer ${ANON_KEY}` }, { apikey: ANON_KEY }]) {
    const { json, queueCalls } = await callQuotes({ queue: queueIsOn }, {
      headers: { ...headers, "x-switchyard-granted-calls": "1000" },
    } as RequestInit);
    assert.ok(!("vendorCalls" in json) && !("bytes" in json));
    assert.equal(names(queueCalls).filter((name) => name === "take_vendor_calls_v2").length, 2);
  }
});

/** A database that answers `start_endpoint_run_v2` when it is told to. */
function pendingDatabase() {
  const asked: PromiseWithResolvers<unknown>[] = [];
  const calls: string[] = [];
  const database = {
    rpc: (name: string) => {
      calls.push(name);
      if (name !== "start_endpoint_run_v2") return Promise.resolve({ data: true, error: null });
      const answer = Promise.withResolvers<unknown>();
      asked.push(answer);
      return { abortSignal: () => answer.promise };
    },
  } as unknown as SupabaseClient;
  const answer = (data: unknown) => asked.at(-1)!.resolve({ data, error: null });
  return { database, asked, calls, answer };
}

Deno.test("a thousand callers at once cost one question and start one run", async () => {
  let now = 0;
  const { database, asked, answer } = pendingDatabase();
  const runs = createEndpointRuns("fetch-x", () => now);
  const enter = () => runs.enter({ database, isTrusted: false, log: () => {} });
  const entering = Array.from({ length: 1_000 }, enter);
  answer({ started: true });
  const entries = await Promise.all(entering);
  assert.equal(asked.length, 1);
  const [started, ...others] = entries.filter(({ kind }) => kind === "started");
  assert.ok(started?.kind === "started" && others.length === 0);
  assert.equal(entries.filter(({ kind }) => kind === "refused").length, 999);
  assert.equal((await enter()).kind, "refused");
  assert.equal(asked.length, 1, "nor does who comes later ask");

  await started.leave();
  const next = enter();
  answer({ started: false, reason: "too early" });
  assert.deepEqual(await next, { kind: "refused", reason: "too early" });
  assert.deepEqual(await enter(), { kind: "refused", reason: "too early" });
  assert.equal(asked.length, 2, "a refusal is repeated for a second");
  now += 1_001;
  const later = enter();
  answer(null);
  assert.deepEqual(await later, { kind: "off" });
  assert.equal(asked.length, 3);
});

Deno.test("usage is booked every fifty calls, and what could not be booked is booked later", async () => {
  const booked: unknown[] = [];
  const answers = [{ message: "down" }, null, null];
  const database = {
    rpc: (_name: string, { p_calls, p_bytes }: Record<string, number>) => {
      booked.push([p_calls, p_bytes]);
      return Promise.resolve({ data: true, error: answers[booked.length - 1] ?? null });
    },
  } as unknown as SupabaseClient;
  const logged: string[] = [];
  const usage = createEndpointUsage({
    database,
    provider: "fmp",
    dataType: "quote",
    isOn: () => true,
    log: (line) => logged.push(line),
    now: () => 0,
  });
  for (let call = 0; call < 60; call++) await usage.add({ calls: 1, failedCalls: 0, bytes: 10 });
  assert.deepEqual(booked, [[50, 500], [51, 510]]);
  assert.deepEqual(logged, ["50 calls and 500 bytes are not booked: down"]);
  await usage.flush();
  await usage.flush();
  assert.deepEqual(booked.slice(2), [[9, 90]]);
});
