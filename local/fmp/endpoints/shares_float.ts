import { day, isoDateTime } from "../calendar.ts";
import { overlay } from "../examples.ts";
import type { JsonRow } from "../json.ts";
import type { Listing } from "../listing.ts";
import { between, uniform } from "../random.ts";
import { type Endpoint, symbolEndpoint, wholeNumber, type World } from "./endpoint.ts";

const defaultPageSize = 1000;

/** `shares-float`: one row; zeros and a null source for ETFs, whose float is not computed. */
export const sharesFloat: Endpoint = symbolEndpoint("shares-float", (symbol, _query, world) => {
  const listing = world.universe.bySymbol.get(symbol);
  if (!listing) return [];
  const isFund = listing.kind === "etf" || listing.kind === "fund";
  const stem = symbol.toLowerCase().replace(/[^a-z0-9]/g, "");
  const source = isFund || listing.cik === null
    ? null
    : `https://www.sec.gov/Archives/edgar/data/${Number(listing.cik)}/${stem}-annual.htm`;
  return overlay([{ ...floatRow(listing, world), source }], {
    examples: world.examples.rowsOf("shares-float", symbol),
    key: (row) => String(row.symbol),
    moving: ["date"],
    verbatim: world.frozen,
  });
});

/** `shares-float-all`: the whole market in symbol order, by `page` from 0 and `limit`. */
export const sharesFloatAll: Endpoint = {
  name: "shares-float-all",
  required: [],
  answer: (query, world) => {
    const page = wholeNumber(query, "page", 0);
    const limit = wholeNumber(query, "limit", defaultPageSize);
    const rows = [...world.universe.listings]
      .sort((left, right) => left.symbol < right.symbol ? -1 : 1)
      .slice(page * limit, (page + 1) * limit)
      .map((listing) => floatRow(listing, world));
    return overlay(rows, {
      examples: world.examples.rows("shares-float-all"),
      key: (row) => String(row.symbol),
      moving: ["date"],
      verbatim: world.frozen,
    });
  },
};

/** The figures of the day, computed once a night at some second of it (UTC). */
function floatRow(listing: Listing, world: World): JsonRow {
  const { symbol, sharesOutstanding } = listing;
  const { now } = world;
  const midnight = day(now.getUTCFullYear(), now.getUTCMonth() + 1, now.getUTCDate()).getTime();
  const computedAt = midnight - 86_400_000 + Math.floor(between(7, 10, symbol, "at") * 3600) * 1000;
  const date = isoDateTime(new Date(computedAt));
  if (listing.kind === "etf" || listing.kind === "fund") {
    return { symbol, date, freeFloat: 0, floatShares: 0, outstandingShares: sharesOutstanding };
  }
  const freeFloat = between(35, 99.9, symbol, "float");
  const floating = sharesOutstanding * freeFloat / 100;
  const floatShares = uniform(symbol, "whole") < 0.7 ? Math.round(floating) : floating;
  return { symbol, date, freeFloat, floatShares, outstandingShares: sharesOutstanding };
}
