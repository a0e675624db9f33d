import assert from "node:assert/strict";
import { type Answer, call, fetchAnswer, start } from "./fmp_client.ts";
import { documented, fixtures, folderExists, readRows } from "./fmp_examples.ts";

Deno.test("each documented error has its status and body, labelled as JSON", async () => {
  await using simulator = await start({});
  const origin = new URL(simulator.url).origin;
  const key = `apikey=${simulator.apiKey}`;
  const answers: Record<string, () => Promise<Answer>> = {
    "missing or invalid key": () => fetchAnswer(`${simulator.url}/quote?symbol=AAPL&apikey=wrong`),
    "throttled bulk download": () => {
      simulator.setFault("profile", { kind: "error-object", times: 1 });
      return call(simulator, "profile?symbol=AAPL");
    },
    "endpoint not in the plan": () => {
      simulator.setFault("batch-quote", { kind: "status", status: 402, times: 1 });
      return call(simulator, "batch-quote?symbols=AAPL");
    },
    "retired v3/v4 endpoint": () => fetchAnswer(`${origin}/api/v3/profile/AAPL?${key}`),
    "required parameter missing, empty or malformed": () => call(simulator, "quote?symbol="),
    "unknown exchange code on exchange-market-hours / holidays-by-exchange": () =>
      call(simulator, "holidays-by-exchange?exchange=NOWHERE"),
    "symbol, period or from value outside the plan": () => {
      simulator.setPlan("starter");
      return call(simulator, "profile?symbol=VFV.TO");
    },
    "limit value outside the plan": () => {
      simulator.setPlan("free");
      return call(simulator, "income-statement?symbol=AAPL&limit=6");
    },
    "endpoint not in the plan, JSON wording": () => {
      simulator.setPlan("premium");
      return call(simulator, "batch-forex-quotes");
    },
    "unknown path": () => call(simulator, "company-symbol-list"),
    "unknown symbol on any per-symbol endpoint": () => call(simulator, "profile?symbol=NOSUCH"),
    "call quota or rate limit reached": async () => {
      await using closed = await start({ callsPerMinute: 0 });
      return await call(closed, "profile?symbol=AAPL");
    },
  };
  for (const row of readRows(`${fixtures}/error-bodies.json`)) {
    simulator.reset();
    const answer = await answers[String(row.case)]?.();
    assert.ok(answer, `no request for "${row.case}"`);
    assert.deepEqual([answer.status, answer.body], [row.status, row.body], String(row.case));
    assert.match(answer.contentType, /^application\/json/);
  }
});

Deno.test("the error fixtures repeat the documented bodies", {
  ignore: !folderExists(documented),
}, () => {
  const known = new Map(
    readRows(`${documented}/../error-bodies.json`).map((row) => [row.case, row]),
  );
  for (const row of readRows(`${fixtures}/error-bodies.json`)) {
    const { evidence: _evidence, ...expected } = known.get(String(row.case)) ?? {};
    assert.deepEqual(row, expected);
  }
});

Deno.test("the key is accepted as a query parameter or a header and nothing else", async () => {
  await using simulator = await start({});
  const path = `${simulator.url}/quote?symbol=AAPL`;
  const headers = { apikey: simulator.apiKey };
  assert.equal((await fetchAnswer(path, { headers })).status, 200);
  assert.equal((await fetchAnswer(`${path}&apikey=${simulator.apiKey}`)).status, 200);
  assert.equal((await fetchAnswer(path)).status, 401);
  assert.ok(!JSON.stringify(simulator.ledger).includes(simulator.apiKey));
});

Deno.test("required parameters are reported one at a time", async () => {
  await using simulator = await start({});
  for (const [path, name] of [["batch-quote", "symbols"], ["exchange-market-hours", "exchange"]]) {
    const { status, body } = await call(simulator, path ?? "");
    assert.equal(status, 400);
    assert.equal(body, `Query Error: Invalid or missing query parameter - ${name}`);
  }
});
