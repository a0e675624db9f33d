import assert from "node:assert/strict";
import { quoteEndpoint } from "../../supabase/functions/fetch-fmp-quote-indicators/index.ts";
import { call } from "./legacy_endpoint_support.ts";
import { SECRET_KEY } from "./legacy_support.ts";

Deno.test("preflight is answered without a key", async () => {
  const answer = await call(quoteEndpoint, {}, { method: "OPTIONS", headers: {} });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("access-control-allow-origin"), "*");
  assert.match(answer.headers.get("access-control-allow-headers") ?? "", /authorization/);
});

Deno.test("a caller without the anon key gets 401 and nothing runs", async () => {
  for (const headers of [{}, { authorization: "Bearer other" }] as Record<string, string>[]) {
    const answer = await call(quoteEndpoint, {}, { headers });
    assert.equal(answer.status, 401);
    assert.ok(answer.json.message);
    assert.deepEqual(answer.vendorCalls, []);
    assert.deepEqual(answer.writes, []);
  }
});

Deno.test("bodies that legacy callers send are ignored", async () => {
  for (const body of ["", "{}", "[]", "null", "not json", '{"other":1}']) {
    const answer = await call(quoteEndpoint, {}, { body });
    assert.equal(answer.status, 200, body);
    assert.equal(answer.json.totalProcessed, 2, body);
  }
});

Deno.test("an anon caller's symbols are ignored, as legacy did, also a list of none", async () => {
  for (const symbols of [["MSFT", "EVIL"], []]) {
    const answer = await call(quoteEndpoint, {}, { body: JSON.stringify({ symbols }) });
    assert.equal(answer.status, 200);
    assert.equal(answer.json.totalProcessed, 2);
  }
});

Deno.test("a secret caller's symbols are refreshed as given", async () => {
  const answer = await call(quoteEndpoint, {}, {
    headers: { apikey: SECRET_KEY },
    body: JSON.stringify({ symbols: ["NVDA"] }),
  });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.vendorCalls, ["/stable/quote?symbol=NVDA"]);
});

Deno.test("symbols that are no list of texts are ignored, as legacy did, but of a secret caller 400", async () => {
  const long = JSON.stringify({ symbols: ["AAPL"], padding: "x".repeat(1_000_000) });
  const bodies = ["AAPL", [1], [""], {}, null].map((symbols) => JSON.stringify({ symbols }));
  for (const body of [...bodies, long]) {
    const ignored = await call(quoteEndpoint, {}, { body });
    assert.equal(ignored.status, 200);
    assert.equal(ignored.json.totalProcessed, 2);
    const answer = await call(quoteEndpoint, {}, { headers: { apikey: SECRET_KEY }, body });
    assert.equal(answer.status, 400);
    assert.deepEqual(answer.vendorCalls, []);
  }
});

Deno.test("the run is kept alive for a caller who hangs up", async () => {
  const answer = await call(quoteEndpoint);
  assert.equal(answer.waitedUntil.length, 1);
});
