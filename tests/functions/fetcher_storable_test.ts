import assert from "node:assert/strict";
import type { JsonValue } from "../../supabase/functions/_shared/fetchers/contract.ts";
import { VendorError } from "../../supabase/functions/_shared/fetchers/errors.ts";
import { storableRows } from "../../supabase/functions/_shared/fetchers/storable.ts";
import { API_KEY } from "./fetcher_support.ts";

const storable = (data: JsonValue) =>
  storableRows(new Map([["AAPL", [{ symbol: "AAPL", data }]]]), 'revenue for "AAPL"', API_KEY);

function nested(levels: number): JsonValue {
  let value: JsonValue = "\0";
  for (let level = 0; level < levels; level++) value = level % 2 === 0 ? [value] : { value };
  return value;
}

Deno.test("a value nested a hundred deep is cleaned to its bottom", () => {
  const { rows, warnings } = storable(nested(100));
  assert.ok(!JSON.stringify(rows.get("AAPL")).includes("u0000"));
  assert.equal(warnings.length, 1);
});

for (const levels of [101, 100_000]) {
  Deno.test(`a value nested ${levels} deep is refused with its column`, () => {
    assert.throws(() => storable(nested(levels)), (error) => {
      assert.ok(error instanceof VendorError);
      assert.equal(error.code, "nested_too_deep");
      assert.equal(
        error.message,
        'revenue for "AAPL": column "data" is nested more than 100 deep; wanted less',
      );
      return true;
    });
  });
}

Deno.test("cleaned columns are named up to twenty, then counted", () => {
  const rows = Array.from({ length: 50 }, () => ({ symbol: "AAPL\0" }));
  const { warnings } = storableRows(new Map([["AAPL", rows]]), "profile", API_KEY);
  assert.equal(warnings.length, 21);
  assert.match(warnings.at(-1) ?? "", /30 more values were cleaned/);
});
