import { day, isoDate } from "../calendar.ts";
import { overlay } from "../examples.ts";
import type { JsonRow } from "../json.ts";
import { tradingTime } from "../listing.ts";
import { between, uniform } from "../random.ts";
import { type Endpoint, symbolEndpoint, wholeNumber } from "./endpoint.ts";

const firstYear = 2018;

/** `grades-historical`: one row for each month, newest first; `[]` for companies nobody follows. */
export const gradesHistorical: Endpoint = symbolEndpoint(
  "grades-historical",
  (symbol, query, world) => {
    const listing = world.universe.bySymbol.get(symbol);
    const followed = symbol === "AAPL" || uniform(symbol, "followed") < 0.8;
    if (listing?.kind !== "stock" || !followed) return [];
    const examples = world.examples.rowsOf("grades-historical", symbol);
    if (world.frozen && examples.length > 0) return [...examples];
    const now = tradingTime(listing, world.now);
    const analysts = between(4, 45, symbol, "analysts");
    const rows: JsonRow[] = [];
    for (let month = 0;; month++) {
      const date = day(now.getUTCFullYear(), now.getUTCMonth() + 1 - month, 1);
      if (date.getUTCFullYear() < firstYear) break;
      const text = isoDate(date);
      const count = (share: number, what: string) =>
        Math.round(analysts * share * between(0.7, 1.3, symbol, text, what));
      rows.push({
        symbol,
        date: text,
        analystRatingsStrongBuy: count(0.18, "strong buy"),
        analystRatingsBuy: count(0.42, "buy"),
        analystRatingsHold: count(0.3, "hold"),
        analystRatingsSell: count(0.07, "sell"),
        analystRatingsStrongSell: count(0.03, "strong sell"),
      });
    }
    return overlay(rows.slice(0, wholeNumber(query, "limit", rows.length)), {
      examples,
      key: (row) => String(row.date),
      moving: [],
      verbatim: world.frozen,
    });
  },
);
