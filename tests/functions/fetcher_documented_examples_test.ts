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
  assert.deepEqual(Object.keys(fetchers).toSorted(), [
    "dividend-history",
    "exchange-variants",
    "financial-statements",
    "grades-historical",
    "profile",
    "quote",
    "ratios-ttm",
    "revenue-segmentation",
  ]);
  for (const [dataType, fetcher] of Object.entries(fetchers)) {
    assert.equal(fetcher.dataType, dataType);
    assert.equal(fetcher.maxSymbolsPerCall, 1);
    assert.equal(fetcher.callsPerBatch, dataType === "financial-statements" ? 3 : 1);
  }
});

function readRows(url: URL): { symbol: string }[] {
  return JSON.parse(Deno.readTextFileSync(url));
}
