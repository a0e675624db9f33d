import assert from "node:assert/strict";
import { symbolKinds } from "../../local/fmp/symbol_kinds.ts";
import { buildUniverse } from "../../local/fmp/universe.ts";
import { clock, oneRow, rowsOf, start } from "./fmp_client.ts";

const large = { symbols: 5_000, dormantShare: 0.03 };
const encode = encodeURIComponent;

Deno.test("a universe of thousands has every kind of symbol, each in one kind only", async () => {
  await using simulator = await start(large);
  const all = symbolKinds.flatMap((kind) => {
    const symbols = simulator.symbolsOf(kind);
    assert.ok(symbols.length >= 5, `${kind}: ${symbols.length}`);
    return symbols;
  });
  assert.equal(new Set(all).size, all.length);
  const beyond = simulator.symbolsOf("index").length + simulator.symbolsOf("unknown").length;
  assert.equal(all.length - beyond, simulator.symbols.length);
});

Deno.test("the kinds are what their profiles say", async () => {
  await using simulator = await start(large);
  const flags = { etf: "isEtf", fund: "isFund", adr: "isAdr" } as const;
  for (const [kind, flag] of Object.entries(flags)) {
    const symbol = simulator.symbolsOf(kind as keyof typeof flags).at(-1) ?? "";
    assert.equal((await oneRow(simulator, `profile?symbol=${symbol}`))[flag], true, kind);
  }
  const foreign = simulator.symbolsOf("foreign");
  assert.ok(foreign.every((symbol) => /\.[A-Z]+$/.test(symbol)));
  assert.ok(new Set(foreign.map((symbol) => symbol.split(".").at(-1))).size > 8);
});

Deno.test("indices have a quote without market value and no profile, unknown symbols have nothing", async () => {
  await using simulator = await start(large);
  for (const symbol of simulator.symbolsOf("index")) {
    const row = await oneRow(simulator, `quote?symbol=${encode(symbol)}`);
    assert.deepEqual([row.exchange, row.marketCap], ["INDEX", null]);
    assert.deepEqual(await rowsOf(simulator, `profile?symbol=${encode(symbol)}`), []);
  }
  const unknown = simulator.symbolsOf("unknown");
  assert.deepEqual(await rowsOf(simulator, `batch-quote?symbols=${unknown.join(",")}`), []);
  assert.deepEqual(await rowsOf(simulator, `profile?symbol=${unknown[0]}`), []);
});

Deno.test("a dormant listing keeps its last price and time and is marked as not trading", async () => {
  let now = clock().getTime();
  await using simulator = await start({ ...large, now: () => new Date(now) });
  const isStock = async (symbol: string) =>
    (await rowsOf(simulator, `income-statement?symbol=${encode(symbol)}`)).length > 0;
  let symbol = "";
  for (const each of simulator.symbolsOf("dormant")) {
    if (await isStock(each)) symbol = each;
  }
  assert.notEqual(symbol, "");
  const path = `quote?symbol=${encode(symbol)}`;
  const quote = await oneRow(simulator, path);
  assert.ok(Number(quote.timestamp) * 1000 < now - 300 * 86_400_000);
  assert.equal(quote.volume, 0);
  now += 86_400_000;
  assert.deepEqual(await oneRow(simulator, path), quote);
  const profile = await oneRow(simulator, `profile?symbol=${encode(symbol)}`);
  assert.deepEqual(
    [profile.isActivelyTrading, profile.price, profile.averageVolume],
    [false, quote.price, 0],
  );
  const [variant] = await rowsOf(simulator, `search-exchange-variants?symbol=${encode(symbol)}`);
  assert.deepEqual(
    [variant?.price, variant?.range, variant?.changes, variant?.mktCap, variant?.volAvg],
    [null, null, null, 0, 0],
  );
  const [filed] = await rowsOf(simulator, `income-statement?symbol=${encode(symbol)}`);
  assert.ok(Date.parse(String(filed?.filingDate)) <= Number(quote.timestamp) * 1000);
});

Deno.test("a dormant share changes nothing about the listings that trade", () => {
  const awake = buildUniverse(1, 1_000).listings;
  const some = buildUniverse(1, 1_000, 0.1).listings;
  assert.ok(awake.every((listing) => listing.lastTradedAt === null));
  assert.deepEqual(some.map(({ symbol }) => symbol), awake.map(({ symbol }) => symbol));
  const changed = some.filter((listing, at) =>
    JSON.stringify(listing) !== JSON.stringify(awake[at])
  );
  assert.ok(changed.length > 50 && changed.length < 150);
  assert.ok(changed.every((listing) => listing.lastTradedAt !== null));
});
