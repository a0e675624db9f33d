import assert from "node:assert/strict";
import { type Instrument, Market } from "../../local/fmp/market.ts";

const instrument: Instrument = {
  symbol: "EXMP",
  basePrice: 230,
  volatility: 0.4,
  averageVolume: 1_000_000,
  places: 2,
  fractionalVolume: false,
};
const midnight = Date.UTC(2026, 10, 30);
const minuteMs = 60_000;

Deno.test("a day's low and high only widen, and hold every price", () => {
  const market = new Market(7);
  let before = market.tick(instrument, midnight);
  for (let minute = 1; minute < 1440; minute++) {
    const tick = market.tick(instrument, midnight + minute * minuteMs);
    assert.ok(tick.dayLow <= before.dayLow && tick.dayHigh >= before.dayHigh, `minute ${minute}`);
    assert.ok(tick.dayLow <= tick.price && tick.price <= tick.dayHigh, `minute ${minute}`);
    before = tick;
  }
  const next = market.tick(instrument, midnight + 1440 * minuteMs);
  assert.ok(next.dayHigh - next.dayLow < before.dayHigh - before.dayLow, "a new day begins anew");
});

Deno.test("an instant has the same values whatever was asked before it", () => {
  const asked = new Market(7);
  for (const minute of [700, 10, 1439, 701, 1441, 699, 0]) {
    const at = midnight + minute * minuteMs;
    assert.deepEqual(asked.tick(instrument, at), new Market(7).tick(instrument, at));
  }
});
