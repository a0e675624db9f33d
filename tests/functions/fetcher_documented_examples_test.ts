import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import {
  fetchers,
  type FetchOutcome,
  fetchSymbols,
} from "../../supabase/functions/_shared/fetchers/index.ts";
import { FOLDERS } from "./example_folders.ts";
import { contextFor } from "./fetcher_support.ts";

const CASES = [
  { dataType: "quote", files: { quote: "quote.json" } },
  { dataType: "quote", files: { quote: "batch-quote.json" } },
  { dataType: "quote", files: { quote: "quote-forex.json" } },
  { dataType: "profile", files: { profile: "profile.json" } },
  {
    dataType: "financial-statements",
    files: {
      "income-statement": "income-statement.json",
      "balance-sheet-statement": "balance-sheet-statement.json",
      "cash-flow-statement": "cash-flow-statement.json",
    },
  },
  { dataType: "ratios-ttm", files: { "ratios-ttm": "ratios-ttm.json" } },
  { dataType: "dividend-history", files: { dividends: "dividends.json" } },
  {
    dataType: "revenue-segmentation",
    files: { "revenue-product-segmentation": "revenue-product-segmentation.json" },
  },
  { dataType: "grades-historical", files: { "grades-historical": "grades-historical.json" } },
  {
    dataType: "shares-float",
    files: { "shares-float": "shares-float.json" },
  },
  {
    dataType: "exchange-variants",
    files: { "search-exchange-variants": "search-exchange-variants.json" },
  },
];

for (const folder of FOLDERS) {
  for (const { dataType, files } of CASES) {
    const names = Object.values(files);
    Deno.test({
      name: `${folder.what}: ${names.join(", ")} give rows of ${dataType} without a warning`,
      ignore: !names.every((name) => existsSync(new URL(name, folder.url))),
      async fn() {
        const fetcher = fetchers[dataType];
        assert.ok(fetcher);
        const answers = new Map(
          Object.entries(files).map(([path, name]) => [path, readRows(new URL(name, folder.url))]),
        );
        const symbols = new Set([...answers.values()].flat().map((row) => row.symbol));
        assert.ok(symbols.size >= 1);
        for (const symbol of symbols) {
          const { context } = contextFor(
            (path) => Response.json(answers.get(path)?.filter((row) => row.symbol === symbol)),
            { now: () => new Date("2030-01-01T00:00:00Z") },
          );
          const outcome: FetchOutcome = await fetchSymbols(fetcher, [symbol], context);
          assert.ok((outcome.rows.get(symbol) ?? []).length >= 1, symbol);
          assert.deepEqual(outcome.warnings, []);
        }
      },
    });
  }
}

Deno.test("the registry has a fetcher under each of its data types", () => {
  const symbolsAndCalls = Object.fromEntries(
    Object.entries(fetchers).map(([dataType, fetcher]) => {
      assert.equal(fetcher.dataType, dataType);
      return [dataType, [fetcher.maxSymbolsPerCall, fetcher.callsPerBatch]];
    }),
  );
  assert.deepEqual(symbolsAndCalls, {
    "available-exchanges": [1, 1],
    "dividend-history": [1, 1],
    "exchange-market-status": [1, 11],
    "exchange-rates": [1, 1],
    "exchange-variants": [1, 1],
    "financial-statements": [1, 3],
    "grades-historical": [1, 1],
    "profile": [1, 1],
    "quote": [100, 1],
    "ratios-ttm": [1, 1],
    "revenue-segmentation": [1, 1],
    "shares-float": [1, 1],
    "shares-float-all": [1, 10],
  });
});

function readRows(url: URL): { symbol: string }[] {
  return JSON.parse(Deno.readTextFileSync(url));
}
