import assert from "node:assert/strict";
import type { z } from "zod";
import {
  fiscalYear,
  optionalBigint,
  optionalBigintText,
  optionalCount,
  optionalDate,
  optionalText,
  requiredUtcDay,
  rowsOf,
  rowsOrEmptyObject,
  textAsSent,
} from "../../supabase/functions/_shared/fetchers/fields.ts";

/** What a value becomes, or the words for what is wanted in its place. */
function read(field: z.ZodType, value: unknown): unknown {
  const parsed = field.safeParse(value);
  return parsed.success ? parsed.data : `wanted ${parsed.error.issues[0]?.message}`;
}

for (
  const [name, field, cases] of [
    ["text", optionalText(), [
      ["Apple", "Apple"],
      [" Apple ", " Apple "],
      ["", null],
      ["N/A", null],
      ["None", null],
      [" None ", null],
      ["Nonesuch Ltd", "Nonesuch Ltd"],
      [null, null],
      [5, "wanted text or null"],
      [undefined, "wanted text or null"],
    ]],
    ["text as sent", textAsSent(), [["None", "None"], ["", ""], [null, null]]],
    ["a date", optionalDate(), [
      ["2024-09-28", "2024-09-28"],
      ["None", null],
      ["N/A", null],
      ["", null],
      ["2024-02-30", "wanted a date like 2024-09-28, empty text or null"],
      ["0000-00-00", "wanted a date like 2024-09-28, empty text or null"],
    ]],
    ["a count as text", optionalBigintText(), [
      ["164000", 164000],
      ["164,000", 164000],
      ["1,64,000", "wanted numeric text, a number or null"],
      ["12.7", 12],
      ["None", null],
      ["", null],
      [164000.9, 164000],
      ["-5", "wanted numeric text, a number or null"],
      ["9223372036854775808", "wanted a number within the range of bigint"],
      ["1e5", "wanted numeric text, a number or null"],
    ]],
    ["a whole number", optionalBigint(), [
      [1.9, 1],
      [-1.9, -1],
      [-0.5, 0],
      [2 ** 63, "wanted a number within the range of bigint"],
      [-(2 ** 63), -(2 ** 63)],
      ["1", "wanted a number or null"],
    ]],
    ["a count", optionalCount(), [
      [2.9, 2],
      [-1, "wanted a number of at least 0"],
      [2 ** 31, "wanted a number within the range of integer"],
    ]],
    ["a year", fiscalYear(), [
      ["2024", 2024],
      [2024, 2024],
      ["24", "wanted a year like 2024"],
      [999, "wanted a year like 2024"],
      [2024.5, "wanted a year like 2024"],
    ]],
    ["a day of a time", requiredUtcDay(), [
      ["2026-06-05 08:13:10", "2026-06-05"],
      ["2026-06-05", "2026-06-05"],
      ["2026-06-05 24:00:00", "wanted a time like 2026-06-05 08:13:10"],
      ["2026-13-05 08:00:00", "wanted a time like 2026-06-05 08:13:10"],
    ]],
  ] as [string, z.ZodType, [unknown, unknown][]][]
) {
  Deno.test(`${name} is read as the vendor writes it`, () => {
    for (const [value, wanted] of cases) {
      const shown = JSON.stringify(value);
      assert.deepEqual(
        Object.is(read(field, value), -0) ? "-0" : read(field, value),
        wanted,
        shown,
      );
    }
  });
}

Deno.test("an empty object is another spelling of no rows only where that is said", () => {
  assert.deepEqual(read(rowsOrEmptyObject(optionalText()), {}), []);
  assert.equal(read(rowsOf(optionalText()), {}), "wanted an array");
  assert.equal(read(rowsOrEmptyObject(optionalText()), { error: "no" }), "wanted an array");
});

Deno.test("of an answer that is all wrong a thousand rows are told", () => {
  const parsed = rowsOf(optionalText()).safeParse(Array.from({ length: 5_000 }, (_, n) => n));
  assert.equal(parsed.error?.issues.length, 1_000);
});
