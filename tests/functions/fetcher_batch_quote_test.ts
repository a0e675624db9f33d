import assert from "node:assert/strict";
import { fetchSymbols } from "../../supabase/functions/_shared/fetchers/contract.ts";
import { exchangeQuotesFetcher } from "../../supabase/functions/_shared/fetchers/exchange_quotes.ts";
import { quoteFetcher } from "../../supabase/functions/_shared/fetchers/quote.ts";
import { errorBodies, quoteExample } from "./fetcher_examples.ts";
import {
  API_KEY,
  contextFor,
  type FakeVendor,
  fetchJson,
  NOW,
  onlyRow,
  vendorErrorOf,
  without,
} from "./fetcher_support.ts";

/** The documented quote as another symbol's. */
function quoteOf(symbol: string, changes: Record<string, unknown> = {}) {
  return { ...quoteExample, symbol, ...changes };
}

function fetchSeveral(symbols: readonly string[], vendor: FakeVendor) {
  return fetchSymbols(quoteFetcher, symbols, contextFor(vendor).context);
}

Deno.test("several symbols share one call of batch-quote, and are matched by symbol", async () => {
  const { context, asked } = contextFor(() =>
    Response.json([quoteOf("MSFT", { price: 2 }), quoteOf("^GSPC", { price: 3 }), quoteOf("AAPL")])
  );
  const outcome = await fetchSymbols(quoteFetcher, ["AAPL", "MSFT", "^GSPC"], context);
  assert.deepEqual(asked, ["batch-quote?symbols=AAPL%2CMSFT%2C%5EGSPC"]);
  assert.equal(new URL(`http://vendor/${asked[0]}`).searchParams.get("symbols"), "AAPL,MSFT,^GSPC");
  assert.deepEqual(
    ["AAPL", "MSFT", "^GSPC"].map((symbol) => onlyRow(outcome, symbol).current_price),
    [232.8, 2, 3],
  );
  assert.equal(outcome.calls, 1);
  assert.deepEqual(outcome.warnings, []);
  assert.equal(outcome.failures, undefined);
});

Deno.test("a symbol that the vendor drops from a batch is empty", async () => {
  const outcome = await fetchSeveral(["NOPE", "AAPL"], () => Response.json([quoteExample]));
  assert.deepEqual([...outcome.rows.keys()], ["AAPL"]);
});

Deno.test("quotes that are repeated in a batch are written once", async () => {
  const outcome = await fetchSeveral(
    ["MSFT", "AAPL"],
    () => Response.json([quoteExample, quoteOf("MSFT"), quoteExample]),
  );
  assert.equal(onlyRow(outcome, "AAPL").symbol, "AAPL");
  assert.equal(onlyRow(outcome, "MSFT").symbol, "MSFT");
});

for (const name of ["endpoint not in the plan", "endpoint not in the plan, JSON wording"]) {
  Deno.test(`a batch is refused by the plan: ${name}`, async () => {
    const answer = errorBodies.find((each) => each.case === name);
    assert.ok(answer);
    const refuse: FakeVendor = () => new Response(answer.body, { status: answer.status });
    const error = await vendorErrorOf(fetchSeveral(["AAPL", "MSFT"], refuse));
    assert.equal(error.errorClass, "batch_refused");
    assert.equal(error.code, "batch_refused");
    assert.equal(error.calls, 1);
    assert.ok(error.bytes > 0);
    const single = await vendorErrorOf(fetchSeveral(["AAPL"], refuse));
    assert.deepEqual([single.errorClass, single.code], ["permanent", "plan_endpoint"]);
  });
}

Deno.test("other refusals of a batch keep their class", async () => {
  for (
    const [name, errorClass, code] of [
      ["symbol, period or from value outside the plan", "permanent", "plan_parameter"],
      ["call quota or rate limit reached", "rate_limited", "http_429"],
      ["missing or invalid key", "auth", "http_401"],
    ] as const
  ) {
    const answer = errorBodies.find((each) => each.case === name);
    assert.ok(answer);
    const error = await vendorErrorOf(
      fetchSeveral(["A", "B"], () => new Response(answer.body, { status: answer.status })),
    );
    assert.deepEqual([error.errorClass, error.code], [errorClass, code]);
  }
});

Deno.test("a broken entry fails its symbol alone, with the key's name", async () => {
  const outcome = await fetchSeveral(["AAPL", "MSFT", "NVDA", "F"], () =>
    Response.json([
      quoteExample,
      without(quoteOf("MSFT"), "price"),
      quoteOf("NVDA", { timestamp: 0 }),
      quoteOf("F", { volume: `many ${API_KEY}` }),
    ]));
  assert.deepEqual([...outcome.rows.keys()], ["AAPL"]);
  const failures = [...outcome.failures ?? []].map(([symbol, failure]) => {
    assert.equal(failure.code, "schema_mismatch");
    return [symbol, failure.message.replace(/ between .*/, "")];
  });
  assert.deepEqual(Object.fromEntries(failures), {
    MSFT: 'quote for "MSFT": key "price" is missing; wanted a number',
    NVDA: 'quote for "NVDA": key "timestamp" is 0; wanted Unix seconds',
    F: 'quote for "F": key "volume" is the text "many ***"; wanted a number or null',
  });
});

Deno.test("a key that is gone from a whole batch fails each symbol with its name", async () => {
  const outcome = await fetchSeveral(
    ["AAPL", "MSFT"],
    () =>
      Response.json(["AAPL", "MSFT"].map((symbol) => without(quoteOf(symbol), "previousClose"))),
  );
  assert.equal(outcome.rows.size, 0);
  assert.deepEqual([...outcome.failures?.keys() ?? []], ["AAPL", "MSFT"]);
  for (const failure of outcome.failures?.values() ?? []) {
    assert.match(failure.message, /key "previousClose" is missing/);
  }
});

Deno.test("a broken entry of a symbol nobody asked for fails nothing", async () => {
  const outcome = await fetchSeveral(
    ["AAPL", "MSFT"],
    () => Response.json([without(quoteOf("EVIL"), "price"), quoteExample]),
  );
  assert.deepEqual([...outcome.rows.keys()], ["AAPL"]);
  assert.equal(outcome.failures?.size ?? 0, 0);
});

Deno.test("an entry without a symbol fails the whole batch", async () => {
  const error = await vendorErrorOf(
    fetchSeveral(
      ["AAPL", "MSFT"],
      () => Response.json([quoteExample, without(quoteExample, "symbol")]),
    ),
  );
  assert.match(error.message, /^quote for "AAPL", "MSFT": key "symbol" of row 2 is missing/);
});

Deno.test("quotes of an exchange are asked for in the long form and hold all its symbols", async () => {
  const { context, asked } = contextFor(() => Response.json([quoteOf("MSFT"), quoteExample]));
  const outcome = await fetchSymbols(exchangeQuotesFetcher, ["NASDAQ"], context);
  assert.deepEqual(asked, ["batch-exchange-quote?exchange=NASDAQ&short=false"]);
  const rows = outcome.rows.get("NASDAQ") ?? [];
  assert.deepEqual(rows.map((row) => row.symbol), ["AAPL", "MSFT"]);
  const single = await fetchJson(quoteFetcher, "AAPL", [quoteExample]);
  assert.deepEqual(rows[0], onlyRow(single, "AAPL"));
  assert.equal(rows[0]?.fetched_at, NOW.toISOString());
  assert.equal(outcome.skipped, 0);
});

Deno.test("quotes of an exchange without price or time are skipped, not refused", async () => {
  const outcome = await fetchJson(exchangeQuotesFetcher, "NYSE", [
    quoteExample,
    quoteOf("A", { price: null }),
    quoteOf("B", { timestamp: null }),
    quoteOf("C", { timestamp: 0 }),
  ]);
  assert.deepEqual(outcome.rows.get("NYSE")?.map((row) => row.symbol), ["AAPL"]);
  assert.equal(outcome.skipped, 3);
  assert.match(outcome.warnings.join(), /skipped 3 of 4 quotes/);
});

Deno.test("the short form of an exchange's quotes is refused with a key's name", async () => {
  const { symbol, price, change, volume } = quoteExample;
  const error = await vendorErrorOf(
    fetchJson(exchangeQuotesFetcher, "NYSE", [{ symbol, price, change, volume }]),
  );
  assert.match(error.message, /^exchange-quotes for "NYSE": key "changePercentage" is missing/);
});
