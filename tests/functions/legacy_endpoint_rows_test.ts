import assert from "node:assert/strict";
import type { LegacyEndpointDefinition } from "../../supabase/functions/_shared/legacy_endpoint.ts";
import { quoteEndpoint } from "../../supabase/functions/fetch-fmp-quote-indicators/index.ts";
import { profileEndpoint } from "../../supabase/functions/fetch-fmp-profiles/index.ts";
import { statementsEndpoint } from "../../supabase/functions/fetch-fmp-financial-statements/index.ts";
import { dividendHistoryEndpoint } from "../../supabase/functions/fetch-fmp-dividend-history/index.ts";
import { dividendExample } from "./fetcher_examples.ts";
import { API_KEY, NOW } from "./fetcher_support.ts";
import { call, documentedVendor, EXAMPLES, vendorExcept } from "./legacy_endpoint_support.ts";
import { ANON_KEY, SECRET_KEY, SETTINGS } from "./legacy_support.ts";

Deno.test("quotes of all active symbols are stored and answered with 200", async () => {
  const answer = await call(quoteEndpoint, { active: ["AAPL", "MSFT", "NVDA"] });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.json, {
    message: "Processed 3 symbols: 3 succeeded, 0 failed",
    details: ["AAPL", "MSFT", "NVDA"].map((symbol) => ({
      symbol,
      success: true,
      message: "Stored 1 row",
    })),
    totalProcessed: 3,
    totalSucceeded: 3,
  });
  assert.equal(answer.headers.get("access-control-allow-origin"), "*");
  assert.equal(answer.writes.length, 3);
  const [write] = answer.writes;
  assert.equal(write?.method, "POST");
  assert.equal(write?.path, "live_quote_indicators");
  assert.equal(write?.query.get("on_conflict"), "symbol");
  const [row] = write?.body as Record<string, unknown>[];
  assert.equal(row?.current_price, 232.8);
  assert.equal(row?.fetched_at, NOW.toISOString());
});

Deno.test("one failed symbol turns quotes into 207 and leaves the others", async () => {
  const answer = await call(quoteEndpoint, {
    vendor: vendorExcept("MSFT", () => new Response("down", { status: 503 })),
  });
  assert.equal(answer.status, 207);
  assert.equal(answer.json.totalProcessed, 2);
  assert.equal(answer.json.totalSucceeded, 1);
  assert.deepEqual(answer.json.details[1], {
    symbol: "MSFT",
    success: false,
    message: 'Cannot fetch quote for "MSFT": the vendor answered 503 with "down"',
  });
  assert.equal(answer.writes.length, 1);
});

Deno.test("an empty answer is a failure for quotes and profiles, as it always was", async () => {
  for (const endpoint of [quoteEndpoint, profileEndpoint]) {
    const answer = await call(endpoint as LegacyEndpointDefinition<unknown>, {
      vendor: vendorExcept("MSFT", () => Response.json([])),
    });
    assert.equal(answer.status, 207);
    assert.match(
      answer.json.details[1]?.message ?? "",
      /The vendor has no (quote|profile) for "MSFT"/,
    );
    assert.equal(answer.json.details[1]?.success, false);
  }
});

Deno.test("profiles are stored through upsert_profile with the display name", async () => {
  const answer = await call(profileEndpoint);
  assert.equal(answer.status, 200);
  assert.deepEqual(Object.keys(answer.json), [
    "message",
    "details",
    "totalProcessed",
    "totalSucceeded",
    "totalUpserted",
  ]);
  assert.equal(answer.json.totalUpserted, 2);
  assert.deepEqual(answer.writes.map((write) => write.path), [
    "rpc/upsert_profile",
    "rpc/upsert_profile",
  ]);
  const body = answer.writes[0]?.body as { profile_data: Record<string, unknown> };
  assert.equal(body.profile_data.display_company_name, "Apple Inc.");
  assert.equal(body.profile_data.full_time_employees, 164000);
});

Deno.test("statements are stored and the symbol is marked as processed", async () => {
  const answer = await call(statementsEndpoint, { active: ["AAPL"] });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.json, {
    message: "Processed 1 symbols: 1 succeeded, 0 failed",
    details: [{ symbol: "AAPL", success: true, message: "Stored 1 row" }],
    totalUpserted: 1,
  });
  const [statement, mark] = answer.writes;
  assert.equal(statement?.query.get("on_conflict"), "symbol,date,period");
  assert.equal(mark?.method, "PATCH");
  assert.equal(mark?.path, "supported_symbols");
  assert.equal(mark?.query.get("symbol"), "eq.AAPL");
  assert.deepEqual(mark?.body, { last_processed_at: NOW.toISOString() });
});

Deno.test("failed symbols leave financial statements at 200, as they always did", async () => {
  const answer = await call(statementsEndpoint, {
    vendor: vendorExcept("MSFT", () => new Response("down", { status: 500 })),
  });
  assert.equal(answer.status, 200);
  assert.equal(answer.json.details[1]?.success, false);
  assert.equal(answer.json.totalUpserted, 1);
});

Deno.test("one failed statement of three does not touch its stored payload", async () => {
  const answer = await call(statementsEndpoint, {
    active: ["AAPL"],
    vendor: (path, query) =>
      path === "cash-flow-statement"
        ? new Response("down", { status: 500 })
        : documentedVendor(path, query),
  });
  assert.equal(answer.json.details[0]?.success, true);
  assert.match(
    answer.json.details[0]?.message ?? "",
    /Stored 1 row; Cannot fetch cash-flow-statement/,
  );
  const [row] = answer.writes[0]?.body as Record<string, unknown>[];
  assert.ok(row !== undefined && !("cash_flow_payload" in row));
});

Deno.test("statement rows with different columns are not mixed in one write", async () => {
  const answer = await call(statementsEndpoint, {
    active: ["AAPL"],
    vendor: (path) =>
      Response.json(
        path === "income-statement"
          ? [EXAMPLES[path], { ...EXAMPLES[path], date: "2023-09-30" }]
          : [EXAMPLES[path]],
      ),
  });
  const upserts = answer.writes.filter((write) => write.path === "financial_statements");
  assert.deepEqual(upserts.map((write) => (write.body as unknown[]).length), [1, 1]);
  assert.equal(answer.json.totalUpserted, 2);
});

Deno.test("a symbol without statements is a success without rows or mark", async () => {
  const answer = await call(statementsEndpoint, {
    active: ["SPY"],
    vendor: () => Response.json([]),
  });
  assert.equal(answer.json.details[0]?.success, true);
  assert.deepEqual(answer.writes, []);
});

Deno.test("rows that were fetched but could not be written are counted as fetched only", async () => {
  const answer = await call(dividendHistoryEndpoint, {
    active: ["AAPL"],
    vendor: () => Response.json([dividendExample, { ...dividendExample, date: "2026-02-09" }]),
    database: ({ method }) =>
      method === "POST" ? Response.json({ message: "no room" }, { status: 500 }) : undefined,
  });
  assert.equal(answer.status, 207);
  assert.equal(answer.json.totalDividendsFetched, 2);
  assert.equal(answer.json.totalDividendsUpserted, 0);
});

Deno.test("a write that the database refuses fails that symbol alone", async () => {
  const answer = await call(quoteEndpoint, {
    database: ({ method, body }) =>
      method === "POST" && JSON.stringify(body).includes('"MSFT"')
        ? Response.json({ message: `no room for ${SECRET_KEY}`, code: "53100" }, { status: 500 })
        : undefined,
  });
  assert.equal(answer.status, 207);
  assert.equal(
    answer.json.details[1]?.message,
    "Cannot write live_quote_indicators: no room for ***",
  );
  assert.equal(answer.writes.length, 1);
});

Deno.test("no active symbol is a success with nothing done", async () => {
  const answer = await call(quoteEndpoint, { active: [] });
  assert.equal(answer.status, 200);
  assert.equal(answer.json.totalProcessed, 0);
  assert.deepEqual(answer.vendorCalls, []);
});

for (const name of ["FMP_API_KEY", "SUPABASE_URL", "SUPABASE_SECRET_KEYS", "SUPABASE_ANON_KEY"]) {
  Deno.test(`without ${name} the answer is 500 and names it`, async () => {
    const answer = await call(quoteEndpoint, { settings: { [name]: undefined } });
    assert.equal(answer.status, 500);
    assert.match(answer.json.message, new RegExp(name.replace("ANON_KEY", "(PUBLISHABLE_KEYS)?")));
    for (const secret of Object.values(SETTINGS)) {
      if (secret.length > 8) assert.ok(!answer.text.includes(secret), answer.text);
    }
  });
}

Deno.test("an unreadable list of symbols is 500", async () => {
  const answer = await call(quoteEndpoint, {
    database: ({ method }) =>
      method === "GET"
        ? Response.json({ message: `denied for ${SECRET_KEY}` }, { status: 403 })
        : undefined,
  });
  assert.equal(answer.status, 500);
  assert.equal(answer.json.message, "Cannot read supported_symbols: denied for ***");
});

Deno.test("no key is in any answer or log line, even when the vendor echoes it", async () => {
  const answer = await call(quoteEndpoint, {
    settings: { ENV_CONTEXT: "DEV" },
    vendor: (_path, _query, request) =>
      new Response(`Invalid ${request.headers.get("apikey")}`, { status: 401 }),
  });
  assert.equal(answer.status, 207);
  for (const text of [answer.text, ...answer.logged]) {
    for (const key of [API_KEY, SECRET_KEY, ANON_KEY]) assert.ok(!text.includes(key), text);
  }
});
