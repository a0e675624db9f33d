import assert from "node:assert/strict";
import { fetchSymbols, type Parts } from "../../supabase/functions/_shared/fetchers/contract.ts";
import { sharesFloatAllFetcher } from "../../supabase/functions/_shared/fetchers/shares_float_all.ts";
import { errorBodies, sharesFloatAllExample, sharesFloatExample } from "./fetcher_examples.ts";
import { contextFor, type FakeVendor, vendorErrorOf } from "./fetcher_support.ts";

/** A market of so many symbols, served in pages of at most `largestPage`. */
function market(symbols: number, largestPage = Infinity): FakeVendor {
  return (_path, query) => {
    const size = Math.min(Number(query.get("limit")), largestPage);
    const first = Number(query.get("page")) * size;
    return Response.json(
      Array.from({ length: Math.max(0, Math.min(size, symbols - first)) }, (_, index) => ({
        ...sharesFloatAllExample,
        symbol: String(first + index).padStart(6, "0"),
      })),
    );
  };
}

async function walk(vendor: FakeVendor) {
  const { context, asked } = contextFor(vendor);
  const outcome = await fetchSymbols(sharesFloatAllFetcher, ["GLOBAL"], context);
  assert.equal(outcome.calls, asked.length);
  return { asked, outcome, rows: outcome.rows.get("GLOBAL") ?? [] };
}

Deno.test("pages are asked for until one is short", async () => {
  const { asked, rows, outcome } = await walk(market(12_000));
  assert.deepEqual(asked, [0, 1, 2].map((page) => `shares-float-all?page=${page}&limit=5000`));
  assert.equal(rows.length, 12_000);
  assert.deepEqual(outcome.warnings, []);
});

Deno.test("pages are asked for until one is empty", async () => {
  const { asked, rows } = await walk(market(10_000));
  assert.equal(asked.length, 3);
  assert.equal(rows.length, 10_000);
});

Deno.test("a page limit of the vendor's own does not end the walk early", async () => {
  const { asked, rows } = await walk(market(4_500, 1_000));
  assert.equal(asked.length, 5);
  assert.equal(rows.length, 4_500);
});

Deno.test("a market that fits one page costs one more call, to know that it does", async () => {
  const { asked, rows } = await walk(market(300));
  assert.equal(asked.length, 2);
  assert.equal(rows.length, 300);
});

Deno.test("an empty market is empty after one call", async () => {
  const { asked, outcome } = await walk(market(0));
  assert.equal(asked.length, 1);
  assert.equal(outcome.rows.size, 0);
});

Deno.test("the walk ends after two hundred pages, with a warning", async () => {
  const { asked, rows, outcome } = await walk(market(1_000, 2));
  assert.equal(asked.length, 200);
  assert.equal(rows.length, 400);
  assert.match(outcome.warnings.join(), /stopped after 200 pages, though there may be more/);
});

Deno.test("a part is one page, and its cursor is all that the next one needs", async () => {
  const { context, asked } = contextFor(market(12_000));
  const { parts } = sharesFloatAllFetcher;
  assert.ok(parts);
  const pages: number[] = [];
  let from = "null";
  do {
    // The cursor as text, as the queue keeps it.
    const part: Awaited<ReturnType<Parts["request"]>> = await parts.request(
      JSON.parse(from),
      context,
    );
    const { entries } = part.payload as { entries: unknown[] };
    assert.equal(part.calls, 1);
    pages.push(entries.length);
    from = JSON.stringify(part.next);
  } while (from !== "null");
  assert.deepEqual(pages, [5_000, 5_000, 2_000]);
  assert.equal(asked.length, 3);
});

Deno.test("a cursor of another version begins at the first page", async () => {
  const { context, asked } = contextFor(market(12_000));
  await sharesFloatAllFetcher.parts?.request({ offset: 3 }, context);
  assert.deepEqual(asked, ["shares-float-all?page=0&limit=5000"]);
});

Deno.test("the registry counts the calls of a claim for as long as they may start", () => {
  assert.equal(sharesFloatAllFetcher.callsPerBatch, 10);
  assert.ok((sharesFloatAllFetcher.parts?.startWithinMs ?? Infinity) <= 19_500);
});

Deno.test("a vendor that ignores the page is asked twice", async () => {
  const { asked, rows } = await walk(() => Response.json([sharesFloatAllExample]));
  assert.equal(asked.length, 2);
  assert.equal(rows.length, 1);
});

Deno.test("a page above the vendor's ceiling is the end", async () => {
  const ceiling = errorBodies.find(({ case: name }) => name.startsWith("page number above"));
  assert.ok(ceiling);
  const pages = market(1_000, 10);
  const { asked, rows } = await walk((path, query, request) =>
    query.get("page") === "3"
      ? new Response(ceiling.body, { status: ceiling.status })
      : pages(path, query, request)
  );
  assert.equal(asked.length, 4);
  assert.equal(rows.length, 30);
});

Deno.test("a failed page fails the refresh, with the calls and bytes of all pages", async () => {
  const pages = market(12_000);
  const { context, asked } = contextFor((path, query, request) =>
    query.get("page") === "1" ? new Response("down", { status: 503 }) : pages(path, query, request)
  );
  const error = await vendorErrorOf(fetchSymbols(sharesFloatAllFetcher, ["GLOBAL"], context));
  assert.equal(error.code, "http_503");
  assert.match(error.message, /page 1/);
  assert.equal(error.calls, 2);
  assert.equal(asked.length, 2);
  assert.ok(error.bytes > 100_000);
});

Deno.test("entries without symbol or date are skipped with a warning", async () => {
  const { outcome, rows } = await walk((_path, query) =>
    Response.json(
      query.get("page") !== "0" ? [] : [
        sharesFloatAllExample,
        { ...sharesFloatAllExample, symbol: null },
        { ...sharesFloatAllExample, date: "" },
        { ...sharesFloatAllExample, symbol: "A", date: "soon" },
      ],
    )
  );
  assert.equal(rows.length, 1);
  assert.equal(outcome.skipped, 3);
  assert.match(outcome.warnings.join(), /skipped 3 of 4 entries/);
});

Deno.test("the zeros of an ETF, which mean not computed, are stored as sent", async () => {
  const etf = { ...sharesFloatExample, symbol: "SPY", freeFloat: 0, floatShares: 0, source: null };
  const { rows } = await walk((_path, query) =>
    Response.json(query.get("page") === "0" ? [etf] : [])
  );
  assert.deepEqual(rows, [{
    symbol: "SPY",
    date: "2026-06-05",
    free_float: 0,
    float_shares: 0,
    outstanding_shares: 14687356000,
  }]);
});
