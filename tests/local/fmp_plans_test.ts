import assert from "node:assert/strict";
import { call, rowsOf, start, until } from "./fmp_client.ts";

const opening = (body: string) => body.slice(0, body.indexOf(":"));

Deno.test("without a plan everything is answered", async () => {
  await using simulator = await start({});
  for (
    const path of [
      "batch-forex-quotes",
      "batch-quote?symbols=VFV.TO",
      "income-statement?symbol=AAPL&limit=40&period=quarter",
    ]
  ) assert.ok((await rowsOf(simulator, path)).length > 0, path);
});

Deno.test("each endpoint is refused below its plan in its own spelling and answered from it on", async () => {
  await using simulator = await start({});
  for (
    const [path, before, plan, words] of [
      ["batch-quote?symbols=AAPL", "free", "starter", "Restricted Endpoint"],
      ["available-exchanges", "free", "starter", "Restricted Endpoint"],
      ["search-exchange-variants?symbol=AAPL", "free", "starter", "Restricted Endpoint"],
      ["batch-exchange-quote?exchange=NYSE", "premium", "ultimate", "Exclusive Endpoint"],
      ["batch-forex-quotes", "premium", "ultimate", "Exclusive Endpoint"],
    ] as const
  ) {
    simulator.setPlan(before);
    const refused = await call(simulator, path);
    assert.equal(refused.status, 402, path);
    assert.ok(refused.body.includes(words), refused.body);
    simulator.setPlan(plan);
    assert.ok((await rowsOf(simulator, path)).length > 0, path);
  }
});

Deno.test("the free plan has well-known American symbols only, unknown ones are a 402 too", async () => {
  await using simulator = await start({ plan: "free", symbols: 500 });
  const invented = simulator.symbolsOf("stock").at(-1) ?? "";
  assert.equal((await rowsOf(simulator, "profile?symbol=AAPL")).length, 1);
  assert.equal((await rowsOf(simulator, "quote?symbol=EURUSD")).length, 1);
  for (const symbol of [invented, "NOSUCH", "VFV.TO"]) {
    const refused = await call(simulator, `profile?symbol=${symbol}`);
    assert.deepEqual([refused.status, opening(refused.body)], [402, "Premium Query Parameter"]);
    assert.match(refused.body, /Special Endpoint : This value set for 'symbol'/);
  }
  await until(() => simulator.ledger.every((each) => each.durationMs !== null));
  assert.deepEqual(
    simulator.ledger.map((each) => each.refusal),
    [null, null, "plan", "plan", "plan"],
  );
});

Deno.test("the free plan gives at most five years of a statement and no quarters", async () => {
  await using simulator = await start({ plan: "free" });
  const path = "balance-sheet-statement?symbol=MSFT";
  assert.equal((await rowsOf(simulator, path)).length, 5);
  assert.equal((await rowsOf(simulator, `${path}&limit=5`)).length, 5);
  const limit = await call(simulator, `${path}&limit=6`);
  assert.equal(limit.status, 402);
  assert.match(limit.body, /Special Parameters : The values for 'limit'/);
  const period = await call(simulator, `${path}&period=quarter`);
  assert.equal(period.status, 402);
  assert.match(JSON.parse(period.body)["Error Message"], /Special Endpoint .* 'period'/);
});

Deno.test("larger plans cover more countries, and know an unknown American ticker as unknown", async () => {
  await using simulator = await start({});
  const statuses = async () => {
    const answers = [];
    for (const symbol of ["NOSUCH", "VOD.L", "SAP.DE", "NOSUCH.DE"]) {
      answers.push((await call(simulator, `quote?symbol=${symbol}`)).status);
    }
    return answers;
  };
  simulator.setPlan("starter");
  assert.deepEqual(await statuses(), [200, 402, 402, 402]);
  simulator.setPlan("premium");
  assert.deepEqual(await statuses(), [200, 200, 402, 402]);
  simulator.setPlan("ultimate");
  assert.deepEqual(await statuses(), [200, 200, 200, 200]);
});

Deno.test("lists leave out what the plan does not cover", async () => {
  await using simulator = await start({ plan: "starter" });
  const batch = await rowsOf(simulator, "batch-quote?symbols=AAPL,SAP.DE,MSFT");
  assert.deepEqual(batch.map((row) => row.symbol), ["AAPL", "MSFT"]);
  const floats = await rowsOf(simulator, "shares-float-all?limit=1000");
  assert.ok(floats.length > 0 && floats.every((row) => !String(row.symbol).includes(".")));
  assert.ok(floats.length < simulator.symbols.length);
});

Deno.test("reset brings back the plan and the allowance of the start", async () => {
  await using simulator = await start({ plan: "free", dataAllowanceBytes: 1_000_000 });
  simulator.setPlan(null);
  simulator.setDataAllowance(0);
  assert.equal((await call(simulator, "available-exchanges")).status, 429);
  simulator.reset();
  assert.equal((await call(simulator, "available-exchanges")).status, 402);
});

Deno.test("options that make no sense are refused by name", async () => {
  const bad = (options: Parameters<typeof start>[0], words: RegExp) =>
    assert.rejects(start(options), words);
  await bad(
    JSON.parse('{"plan":"gold"}'),
    /Cannot use plan "gold".*\n?.*wanted null or one of free/,
  );
  await bad({ latency: { shape: "fixed", ms: -1 } }, /Cannot use latency/);
  await bad({ dataQuotaAnswer: { status: 99, body: "" } }, /Cannot use dataQuotaAnswer.status 99/);
  await bad({ dormantShare: 2 }, /Cannot make 2 of the symbols dormant/);
  await bad({ dataAllowanceBytes: 1.5 }, /Cannot limit data: 1.5/);
});
