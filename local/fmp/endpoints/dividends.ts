import { day, isoDate, plusDays, weekdayFrom } from "../calendar.ts";
import { overlay } from "../examples.ts";
import type { JsonRow } from "../json.ts";
import { tradingTime } from "../listing.ts";
import { hash32, round, uniform } from "../random.ts";
import { type Endpoint, symbolEndpoint, wholeNumber } from "./endpoint.ts";

const paymentsPerYear = { Quarterly: 4, "Semi-Annual": 2, Monthly: 12, Annual: 1 } as const;
/** Announced dividends may lie this far ahead. */
const announcedDays = 21;

/** `dividends`: the whole history, newest first, an announced one may lie in the future. */
export const dividends: Endpoint = symbolEndpoint("dividends", (symbol, query, world) => {
  const listing = world.universe.bySymbol.get(symbol);
  const plan = listing?.dividend;
  if (!listing || !plan) return [];
  const examples = world.examples.rowsOf("dividends", symbol);
  if (world.frozen && examples.length > 0) return [...examples];
  const count = paymentsPerYear[plan.frequency];
  const horizon = isoDate(plusDays(tradingTime(listing, world.now), announcedDays));
  const thisYear = world.now.getUTCFullYear();
  const firstYear = Math.max(1995, Number(listing.ipoDate.slice(0, 4)) + 1 || 2008);
  const phase = Math.floor(uniform(symbol, "dividend phase") * 12 / count);
  const splitYear = hash32(symbol) % 5 === 0 ? 2020 : 0;
  const rows: JsonRow[] = [];
  for (let year = thisYear + 1; year >= firstYear; year--) {
    for (let payment = count - 1; payment >= 0; payment--) {
      const exDay = weekdayFrom(day(year, 1 + phase + payment * 12 / count, 9 + payment % 3));
      const date = isoDate(exDay);
      if (date > horizon) continue;
      const adjusted = round(plan.perYear / count * 0.95 ** (thisYear - year), 6);
      const price = world.market.price(listing, exDay.getTime());
      const old = thisYear - year > 12;
      rows.push({
        symbol,
        date,
        recordDate: old ? "" : date,
        paymentDate: old ? "" : isoDate(weekdayFrom(plusDays(exDay, 12))),
        declarationDate: old || uniform(symbol, date) < 0.4
          ? ""
          : isoDate(weekdayFrom(plusDays(exDay, -13))),
        adjDividend: adjusted,
        dividend: splitYear > 0 && year < splitYear ? round(adjusted * 4, 6) : adjusted,
        yield: plan.perYear / price * 100,
        frequency: plan.frequency,
      });
    }
  }
  const limit = wholeNumber(query, "limit", rows.length);
  return overlay(rows.slice(0, limit), {
    examples,
    key: (row) => String(row.date).slice(0, 7),
    moving: [],
    verbatim: world.frozen,
  });
});
