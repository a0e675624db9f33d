import assert from "node:assert/strict";
import { easternTimestamp } from "../../supabase/functions/_shared/fetchers/eastern_time.ts";
import { isDateTime } from "../../supabase/functions/_shared/fetchers/fields.ts";

for (
  const [what, text, stamp] of [
    ["summer", "2024-07-01 16:30:00", "2024-07-01T16:30:00-04:00"],
    ["winter", "2024-01-31 18:01:36", "2024-01-31T18:01:36-05:00"],
    ["the minute before clocks go forward", "2024-03-10 01:59:59", "2024-03-10T01:59:59-05:00"],
    ["the hour that is skipped", "2024-03-10 02:30:00", "2024-03-10T02:30:00-05:00"],
    ["the minute after clocks go forward", "2024-03-10 03:00:00", "2024-03-10T03:00:00-04:00"],
    ["the hour that happens twice", "2024-11-03 01:30:00", "2024-11-03T01:30:00-04:00"],
    ["after clocks go back", "2024-11-03 02:00:00", "2024-11-03T02:00:00-05:00"],
    ["spring of 2006, under the older rule", "2006-03-20 12:00:00", "2006-03-20T12:00:00-05:00"],
    ["midnight", "2024-11-01 00:00:00", "2024-11-01T00:00:00-04:00"],
    ["a bare date", "2024-01-31", "2024-01-31T00:00:00-05:00"],
  ] as const
) {
  Deno.test(`Eastern time gets its offset: ${what}`, () => {
    assert.ok(isDateTime(text));
    assert.equal(easternTimestamp(text), stamp);
  });
}

Deno.test("texts that are no existing time are told apart", () => {
  for (
    const text of ["", "2024-02-30 10:00:00", "2024-01-01 24:00:00", "2024-01-01 10:60:00", "now"]
  ) {
    assert.ok(!isDateTime(text), text);
  }
});
