import { day, plusDays } from "./calendar.ts";
import { exchangeOf } from "./exchanges.ts";
import type { Listing, ListingKind } from "./listing.ts";
import { between, pick, round, uniform } from "./random.ts";
import { completeListing, type Facts, wellKnownListings } from "./well_known.ts";

/** Everything the simulated vendor has a profile for. */
export interface Universe {
  /** Well-known tickers first, then invented ones; the order never depends on the size. */
  listings: readonly Listing[];
  bySymbol: ReadonlyMap<string, Listing>;
}

/**
 * Builds the first `size` listings of the universe that belongs to `seed`. Of the invented ones
 * `dormantShare` (0 to 1) have stopped trading; which, does not depend on the size.
 */
export function buildUniverse(seed: number, size: number, dormantShare = 0): Universe {
  if (!Number.isInteger(size) || size < 1) {
    throw new Error(`Cannot build a universe of ${size} symbols: a whole number from 1 is wanted`);
  }
  if (!(dormantShare >= 0 && dormantShare <= 1)) {
    throw new Error(`Cannot make ${dormantShare} of the symbols dormant: wanted a part of 1`);
  }
  const bySymbol = new Map<string, Listing>();
  for (const listing of wellKnownListings().slice(0, size)) bySymbol.set(listing.symbol, listing);
  for (let index = 0; bySymbol.size < size; index++) {
    const listing = putToSleep(inventListing(seed, index), dormantShare);
    if (!bySymbol.has(listing.symbol)) bySymbol.set(listing.symbol, listing);
  }
  return { listings: [...bySymbol.values()], bySymbol };
}

/** The same listing, or one that stopped trading on some Friday from 2019 to mid 2025. */
function putToSleep(listing: Listing, share: number): Listing {
  if (share === 0 || uniform(listing.symbol, "dormant") >= share) return listing;
  const firstFriday = day(2019, 1, 4);
  const weeks = Math.floor(between(0, 338, listing.symbol, "last traded"));
  return { ...listing, lastTradedAt: plusDays(firstFriday, weeks * 7).getTime() + 20 * 3_600_000 };
}

const firstWords = [
  "Alder",
  "Bright",
  "Cedar",
  "Delta",
  "Ember",
  "Falcon",
  "Granite",
  "Harbor",
  "Iron",
  "Juniper",
  "Kestrel",
  "Lumen",
  "Meridian",
  "North",
  "Orchard",
  "Pioneer",
  "Quartz",
  "River",
  "Summit",
  "Tidal",
  "Umber",
  "Vertex",
  "Willow",
  "Yarrow",
  "Zenith",
];
const secondWords = [
  "Analytics",
  "Bancorp",
  "Biosciences",
  "Brands",
  "Capital",
  "Components",
  "Dynamics",
  "Energy",
  "Foods",
  "Freight",
  "Holdings",
  "Instruments",
  "Logistics",
  "Materials",
  "Networks",
  "Optics",
  "Pharma",
  "Properties",
  "Resources",
  "Robotics",
  "Semiconductor",
  "Systems",
  "Therapeutics",
  "Utilities",
  "Works",
];
const industries: readonly (readonly [string, string])[] = [
  ["Technology", "Software - Application"],
  ["Technology", "Semiconductors"],
  ["Healthcare", "Biotechnology"],
  ["Healthcare", "Medical - Devices"],
  ["Financial Services", "Banks - Regional"],
  ["Industrials", "Industrial - Machinery"],
  ["Consumer Cyclical", "Restaurants"],
  ["Consumer Defensive", "Packaged Foods"],
  ["Energy", "Oil & Gas Exploration & Production"],
  ["Real Estate", "REIT - Industrial"],
  ["Utilities", "Regulated Electric"],
  ["Basic Materials", "Chemicals - Specialty"],
  ["Communication Services", "Advertising Agencies"],
];
/** Exchange, how its tickers are made, and its share of the invented listings. */
const places: readonly (readonly [string, "letters" | "digits", number])[] = [
  ["NASDAQ", "letters", 0.42],
  ["NYSE", "letters", 0.28],
  ["AMEX", "letters", 0.1],
  ["TSX", "letters", 0.05],
  ["LSE", "letters", 0.04],
  ["XETRA", "letters", 0.03],
  ["HKSE", "digits", 0.03],
  ["JPX", "digits", 0.03],
  ["SHZ", "digits", 0.02],
];

function inventListing(seed: number, index: number): Listing {
  const key = `${seed}:${index}`;
  const [exchangeCode, ticker] = placeOf(uniform(key, "exchange"));
  const exchange = exchangeOf(exchangeCode);
  const stem = ticker === "letters"
    ? Array.from({ length: 4 }, (_, at) => pick([..."ABCDEFGHIJKLMNOPRSTUVWXYZ"], key, at)).join("")
    : String(1000 + Math.floor(uniform(key, "number") * 8999)).padStart(
      exchangeCode === "SHZ" ? 6 : 4,
      "0",
    );
  const symbol = stem + (exchange.suffix === "N/A" ? "" : exchange.suffix);
  const words = `${pick(firstWords, key, "first")} ${pick(secondWords, key, "second")}`;
  const kind: ListingKind = exchangeCode === "AMEX"
    ? "etf"
    : exchangeCode === "NASDAQ" && uniform(key, "kind") < 0.06
    ? "fund"
    : uniform(key, "kind") > 0.99
    ? "shell"
    : "stock";
  const inLocal = exchange.currency === "JPY" || exchange.currency === "GBp" ? 100 : 1;
  const price = round(Math.exp(between(0.5, 5.6, key, "price")) * inLocal, 2);
  const shares = round(Math.exp(between(1.5, 7.5, key, "shares")), 4);
  if (kind !== "stock") {
    const suffix = kind === "etf" ? "ETF" : kind === "fund" ? "Fund" : "Acquisition Corp.";
    const pays = kind !== "shell" && uniform(key, "pays") < 0.7;
    return completeListing(symbol, `${words} ${suffix}`, kind, exchangeCode, {
      price,
      shares,
      ...(pays ? { dividend: round(price * 0.018, 3) } : {}),
      ...(kind === "shell" ? {} : { ipo: inventDate(key) }),
    });
  }
  const [sector, industry] = pick(industries, key, "industry");
  const loss = uniform(key, "loss") < 0.18;
  const facts: Facts = {
    price,
    shares,
    // An unclassified company has empty texts, not nulls.
    sector: uniform(key, "unclassified") < 0.03 ? "" : sector,
    industry: uniform(key, "unclassified") < 0.03 ? "" : industry,
    revenue: price / inLocal * shares / 1000 * between(0.15, 1.4, key, "sales"),
    margin: loss ? between(-0.6, -0.02, key, "margin") : between(0.02, 0.28, key, "margin"),
    yearEnd: pick([12, 12, 12, 12, 12, 6, 9, 3], key, "year end"),
    fractionalVolume: uniform(key, "fractions") < 0.04,
    ...(uniform(key, "no employees") < 0.1
      ? {}
      : { employees: Math.round(Math.exp(between(3, 10.5, key, "employees"))) }),
    ...(uniform(key, "no date") < 0.06 ? {} : { ipo: inventDate(key) }),
    ...(loss || uniform(key, "pays") < 0.45
      ? {}
      : { dividend: round(price * between(0.008, 0.05, key, "yield"), 3) }),
    ...(exchange.countryCode === "US" && uniform(key, "adr") < 0.05
      ? { isAdr: true, country: pick(["IL", "CN", "BR", "IE"], key, "home") }
      : {}),
  };
  return completeListing(symbol, `${words} Inc.`, kind, exchangeCode, facts);
}

function placeOf(share: number): readonly [string, "letters" | "digits"] {
  let left = share;
  for (const [exchange, ticker, part] of places) {
    left -= part;
    if (left < 0) return [exchange, ticker];
  }
  return ["NASDAQ", "letters"];
}

function inventDate(key: string): string {
  const year = 1988 + Math.floor(uniform(key, "ipo year") * 36);
  const month = 1 + Math.floor(uniform(key, "ipo month") * 12);
  const dayOfMonth = 1 + Math.floor(uniform(key, "ipo day") * 28);
  return `${year}-${String(month).padStart(2, "0")}-${String(dayOfMonth).padStart(2, "0")}`;
}
