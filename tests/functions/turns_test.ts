import assert from "node:assert/strict";
import { inTurn } from "../../supabase/functions/_shared/fetchers/turns.ts";

const MINUTE_MS = 60_000;
const START = Date.parse("2026-04-01T15:07:00Z");

const named = (count: number) => Array.from({ length: count }, (_, n) => `X${n}`);

/** Refreshes until every item has come, or undefined when some have not after so many. */
function refreshesUntilAll(
  items: readonly string[],
  most: number,
  everyMinutes: number,
  atMost: number,
): number | undefined {
  const missing = new Set(items);
  for (let refresh = 0; refresh < atMost; refresh++) {
    const chosen = inTurn(items, most, new Date(START + refresh * everyMinutes * MINUTE_MS));
    assert.ok(chosen.length <= most);
    for (const item of chosen) missing.delete(item);
    if (missing.size === 0) return refresh + 1;
  }
  return undefined;
}

Deno.test("no more than may come all come each time, in their order", () => {
  assert.deepEqual(inTurn(["B", "A"], 2, new Date(START)), ["B", "A"]);
  assert.deepEqual(inTurn([], 2, new Date(START)), []);
});

Deno.test("none may come, and none comes", () => {
  assert.deepEqual(inTurn(["A", "B"], 0, new Date(START)), []);
});

for (
  const [count, most] of [[3, 2], [4, 2], [5, 2], [9, 2], [23, 2], [9, 8], [70, 8], [88, 8], [
    100,
    8,
  ]] as const
) {
  Deno.test(`of ${count} items, ${most} at a time, all come at every steady interval up to a day`, () => {
    const items = named(count);
    for (let everyMinutes = 1; everyMinutes <= 1440; everyMinutes++) {
      // Fifteen times as many as an order without repetition would take; the same hour counts once.
      const atMost = 15 * Math.ceil(count / most) * Math.max(1, Math.ceil(60 / everyMinutes));
      assert.notEqual(
        refreshesUntilAll(items, most, everyMinutes, atMost),
        undefined,
        `every ${everyMinutes} minutes some never come`,
      );
    }
  });
}

Deno.test("each hour, all come in each round", () => {
  const items = named(70);
  const turns = 11;
  const round = Math.ceil(START / 3_600_000 / turns) * turns;
  for (let first = round; first < round + 20 * turns; first += turns) {
    const seen = Array.from(
      { length: turns },
      (_, hour) => inTurn(items, 8, new Date((first + hour) * 3_600_000)),
    );
    assert.equal(seen.flat().length, 70);
    assert.equal(new Set(seen.flat()).size, 70);
  }
});

Deno.test("the order is not that of the round before", () => {
  const orders = new Set(
    Array.from(
      { length: 20 },
      (_, round) =>
        Array.from(
          { length: 11 },
          (_, hour) => inTurn(named(70), 8, new Date((round * 11 + hour) * 3_600_000))[0],
        ).join(),
    ),
  );
  assert.ok(orders.size > 15, `${orders.size} orders in 20 rounds`);
});
