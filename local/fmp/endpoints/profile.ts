import { overlay } from "../examples.ts";
import { exchangeOf } from "../exchanges.ts";
import type { JsonRow, JsonValue } from "../json.ts";
import type { Listing } from "../listing.ts";
import { round, uniform } from "../random.ts";
import { type Endpoint, symbolEndpoint, type World } from "./endpoint.ts";
import { listingTick } from "./listing_tick.ts";

/** `profile`: one row of 36 fields. Funds and shells have nulls where companies have texts. */
export const profile: Endpoint = symbolEndpoint("profile", (symbol, _query, world) => {
  const listing = world.universe.bySymbol.get(symbol);
  if (!listing) return [];
  return overlay([profileRow(listing, world)], {
    examples: world.examples.rowsOf("profile", symbol),
    key: (row) => String(row.symbol),
    moving: movingKeys,
    verbatim: world.frozen,
  });
});

const movingKeys = [
  "price",
  "marketCap",
  "range",
  "change",
  "changePercentage",
  "volume",
  "averageVolume",
];

/** The fields that describe a company rather than its shares, in the vendor's order. */
export function companyFields(listing: Listing): Record<string, JsonValue> {
  if (listing.kind === "shell") {
    return {
      industry: null,
      website: null,
      description: null,
      ceo: null,
      sector: null,
      country: null,
      fullTimeEmployees: null,
      phone: null,
      address: null,
      city: null,
      state: null,
      zip: null,
    };
  }
  const isCompany = listing.kind === "stock";
  const sparse = isCompany && uniform(listing.symbol, "sparse") < 0.06;
  const known = isCompany && !sparse;
  const stem = listing.symbol.replace(/[^A-Z0-9]/g, "").toLowerCase();
  const number = String(Math.floor(uniform(listing.symbol, "phone") * 10_000)).padStart(4, "0");
  return {
    industry: listing.industry,
    website: known ? `https://www.${stem}.example.com` : null,
    description: isCompany
      ? `${listing.name} is active in ${listing.industry || "several industries"}.`
      : `${listing.name} seeks to track the performance of an index before fees and expenses.`,
    ceo: listing.ceo || !known ? listing.ceo : `Chief of ${listing.name}`,
    sector: listing.sector,
    country: listing.country,
    fullTimeEmployees: listing.employees,
    phone: known ? `555 010 ${number}` : null,
    address: known ? `${1 + Number(number) % 900} Market Street` : null,
    city: known ? listing.city ?? "Springfield" : null,
    state: known ? listing.state : null,
    zip: known ? number.padStart(5, "0") : null,
  };
}

/** Yearly dividend as `lastDividend` gives it; 0 for those that pay none. */
export function lastDividend(listing: Listing): number {
  return listing.dividend?.perYear ?? 0;
}

function profileRow(listing: Listing, world: World): JsonRow {
  const tick = listingTick(listing, world);
  const isShell = listing.kind === "shell";
  return {
    symbol: listing.symbol,
    price: tick.price,
    marketCap: tick.price * listing.sharesOutstanding,
    beta: isShell ? 0 : listing.beta,
    lastDividend: lastDividend(listing),
    range: `${tick.yearLow}-${tick.yearHigh}`,
    change: tick.change,
    changePercentage: tick.changePercentage,
    volume: tick.volume,
    averageVolume: isShell ? round(tick.averageVolume + 0.4375, 4) : tick.averageVolume,
    companyName: listing.name,
    currency: isShell ? null : listing.currency,
    cik: listing.cik,
    isin: isShell ? null : listing.isin,
    cusip: isShell ? null : listing.cusip,
    exchangeFullName: exchangeOf(listing.exchange).fullName,
    exchange: listing.exchange,
    ...companyFields(listing),
    image: `https://images.financialmodelingprep.com/symbol/${listing.symbol}.png`,
    ipoDate: listing.ipoDate,
    defaultImage: isShell || uniform(listing.symbol, "image") < 0.1,
    isEtf: listing.kind === "etf",
    isActivelyTrading: !tick.dormant,
    isAdr: listing.isAdr,
    isFund: listing.kind === "fund",
  };
}
