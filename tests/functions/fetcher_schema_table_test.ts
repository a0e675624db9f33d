import assert from "node:assert/strict";
import { type Fetcher, fetchSymbols } from "../../supabase/functions/_shared/fetchers/contract.ts";
import { dividendHistoryFetcher } from "../../supabase/functions/_shared/fetchers/dividend_history.ts";
import { exchangeVariantsFetcher } from "../../supabase/functions/_shared/fetchers/exchange_variants.ts";
import { gradesHistoricalFetcher } from "../../supabase/functions/_shared/fetchers/grades_historical.ts";
import { ratiosTtmFetcher } from "../../supabase/functions/_shared/fetchers/ratios_ttm.ts";
import { revenueSegmentationFetcher } from "../../supabase/functions/_shared/fetchers/revenue_segmentation.ts";
import { sharesFloatFetcher } from "../../supabase/functions/_shared/fetchers/shares_float.ts";
import {
  dividendExample,
  gradesExample,
  segmentationExample,
  sharesFloatExample,
  variantExample,
} from "./fetcher_examples.ts";
import { ratiosExample } from "./statement_examples.ts";
import {
  contextFor,
  fetchJson,
  onlyRow,
  otherTypes,
  vendorErrorOf,
  without,
} from "./fetcher_support.ts";

/** What is the same for each type whose rows come from one vendor call about one symbol. */
interface Case {
  fetcher: Fetcher;
  example: Record<string, unknown>;
  /** Keys that no row needs. */
  ignored: readonly string[];
  /** Keys without which the table cannot have a row: null is refused. */
  required: readonly string[];
  /** The call for the symbol `^A/B`. */
  call: string;
  /** Whether `{}` is another spelling of `[]`. */
  emptyObjectIsEmpty: boolean;
}

const CASES: readonly Case[] = [
  {
    fetcher: ratiosTtmFetcher as Fetcher,
    example: { ...ratiosExample, dividendPerShareTTM: 1.04 },
    ignored: [],
    required: ["symbol"],
    call: "ratios-ttm?symbol=%5EA%2FB",
    emptyObjectIsEmpty: false,
  },
  {
    fetcher: dividendHistoryFetcher as Fetcher,
    example: dividendExample,
    ignored: [],
    required: ["symbol", "date"],
    call: "dividends?symbol=%5EA%2FB",
    emptyObjectIsEmpty: true,
  },
  {
    fetcher: revenueSegmentationFetcher as Fetcher,
    example: segmentationExample,
    ignored: [],
    required: ["symbol", "fiscalYear", "period", "date", "data"],
    call: "revenue-product-segmentation?symbol=%5EA%2FB&period=annual&structure=flat",
    emptyObjectIsEmpty: true,
  },
  {
    fetcher: gradesHistoricalFetcher as Fetcher,
    example: gradesExample,
    ignored: [],
    required: ["symbol", "date"],
    call: "grades-historical?symbol=%5EA%2FB",
    emptyObjectIsEmpty: true,
  },
  {
    fetcher: sharesFloatFetcher as Fetcher,
    example: sharesFloatExample,
    ignored: ["source"],
    required: ["symbol", "date"],
    call: "shares-float?symbol=%5EA%2FB",
    emptyObjectIsEmpty: false,
  },
  {
    fetcher: exchangeVariantsFetcher as Fetcher,
    example: variantExample,
    ignored: [
      "companyName",
      "industry",
      "website",
      "description",
      "ceo",
      "sector",
      "country",
      "fullTimeEmployees",
      "phone",
      "address",
      "city",
      "state",
      "zip",
      "isEtf",
      "isAdr",
      "isFund",
    ],
    required: ["symbol", "exchangeShortName"],
    call: "search-exchange-variants?symbol=%5EA%2FB",
    emptyObjectIsEmpty: false,
  },
];

/** Keys that are not in every answer. */
const OPTIONAL = ["dividendPerShareTTM"];

for (
  const { fetcher, example, ignored, required, call, emptyObjectIsEmpty } of CASES
) {
  const { dataType } = fetcher;
  const needed = Object.keys(example).filter((key) => !ignored.includes(key));

  for (const key of needed) {
    Deno.test(`${dataType} whose "${key}" is missing, renamed or of another type fails with its name`, async () => {
      const gone = [without(example, key), { ...without(example, key), [`${key}New`]: 1 }];
      const retyped = otherTypes(example[key]).map((value) => ({ ...example, [key]: value }));
      for (const row of [...(OPTIONAL.includes(key) ? [] : gone), ...retyped]) {
        const error = await vendorErrorOf(fetchJson(fetcher, "AAPL", [row]));
        assert.match(
          error.message,
          new RegExp(`^${dataType} for "AAPL": key ("${key}"|"nested" of row 1 ${key}) is `),
        );
        assert.equal(error.errorClass, "retryable");
        assert.equal(error.code, "schema_mismatch");
        assert.equal(error.calls, 1);
        assert.ok(error.bytes > 0);
      }
    });
  }

  Deno.test(`${dataType} may have null for all but what the table cannot do without`, async () => {
    const nulls = Object.fromEntries(
      Object.keys(example).map((key) => [key, required.includes(key) ? example[key] : null]),
    );
    const row = onlyRow(await fetchJson(fetcher, "AAPL", [nulls]), "AAPL");
    assert.ok(Object.values(row).filter((value) => value === null).length >= needed.length - 5);
    for (const key of required) {
      const error = await vendorErrorOf(fetchJson(fetcher, "AAPL", [{ ...example, [key]: null }]));
      assert.ok(error.message.includes(`key "${key}" is null; wanted `), error.message);
    }
  });

  Deno.test(`${dataType}: keys that no row needs may change, and the order of keys too`, async () => {
    const wanted = onlyRow(await fetchJson(fetcher, "AAPL", [example]), "AAPL");
    const kept = Object.entries(example).filter(([key]) => !ignored.includes(key));
    const row = { novelty: { a: 1 }, ...Object.fromEntries(kept.toReversed()) };
    assert.deepEqual(onlyRow(await fetchJson(fetcher, "AAPL", [row]), "AAPL"), wanted);
  });

  Deno.test(`${dataType}: an empty array means that the vendor has nothing`, async () => {
    const outcome = await fetchJson(fetcher, "NOPE", []);
    assert.equal(outcome.rows.size, 0);
    assert.deepEqual(outcome.warnings, []);
    assert.equal(outcome.calls, 1);
  });

  Deno.test(`${dataType}: an empty object is ${emptyObjectIsEmpty ? "an empty array" : "refused"}`, async () => {
    if (emptyObjectIsEmpty) {
      assert.equal((await fetchJson(fetcher, "NOPE", {})).rows.size, 0);
    } else {
      const error = await vendorErrorOf(fetchJson(fetcher, "NOPE", {}));
      assert.equal(
        error.message,
        `${dataType} for "NOPE": the answer is an object; wanted an array`,
      );
    }
  });

  Deno.test(`${dataType}: an answer that is no array is refused`, async () => {
    for (const answer of [{ symbol: "AAPL" }, null, 3, "text", [[]], ["AAPL"], [null]]) {
      const error = await vendorErrorOf(fetchJson(fetcher, "AAPL", answer));
      assert.match(error.message, /wanted an (array|object)$/);
      assert.equal(error.code, "schema_mismatch");
    }
  });

  Deno.test(`${dataType} of another symbol fails for good`, async () => {
    const error = await vendorErrorOf(fetchJson(fetcher, "MSFT", [example]));
    assert.equal(error.errorClass, "permanent");
    assert.equal(error.code, "symbol_mismatch");
    assert.ok(
      error.message.startsWith(`${dataType} for "MSFT": the answer is about "AAPL"; wanted `),
    );
  });

  Deno.test(`${dataType}: a row that is repeated is written once, with a warning`, async () => {
    const outcome = await fetchJson(fetcher, "AAPL", [example, example]);
    assert.equal(outcome.rows.get("AAPL")?.length, 1);
    assert.equal(outcome.warnings.length, 1);
    assert.ok(outcome.warnings[0]?.startsWith(`${dataType} for "AAPL": more than one row`));
  });

  Deno.test(`${dataType} asks the vendor once, with the symbol URL-encoded`, async () => {
    const { context, asked } = contextFor(() => Response.json([]));
    await fetchSymbols(fetcher, ["^A/B"], context);
    assert.deepEqual(asked, [call]);
  });
}

Deno.test("of millions of wrong entries a thousand are told apart, and the job fails in a sentence", async () => {
  const before = Deno.memoryUsage().heapUsed;
  const error = await vendorErrorOf(
    fetchJson(gradesHistoricalFetcher, "AAPL", new Array(2_000_000).fill(1)),
  );
  assert.match(error.message, /row 1 is 1; wanted an object \(and 999 more problems\)/);
  assert.ok(Deno.memoryUsage().heapUsed - before < 100_000_000);
});

Deno.test("symbols that nobody asked for are named up to twenty, then counted", async () => {
  const rows = Array.from({ length: 1_000 }, (_, place) => ({
    ...gradesExample,
    symbol: `X${place}`,
  }));
  const { warnings } = await fetchJson(gradesHistoricalFetcher, "AAPL", [
    gradesExample,
    ...rows,
  ]);
  assert.equal(warnings.length, 21);
  assert.match(warnings.at(-1) ?? "", /980 more symbols/);
});
