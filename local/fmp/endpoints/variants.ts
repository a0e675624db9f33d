import { overlay } from "../examples.ts";
import { exchangeOf } from "../exchanges.ts";
import type { JsonRow } from "../json.ts";
import { isDormant, lastTrade, type Listing } from "../listing.ts";
import { between, pick, round, uniform } from "../random.ts";
import { type Endpoint, symbolEndpoint, type World } from "./endpoint.ts";
import { listingTick } from "./listing_tick.ts";
import { companyFields, lastDividend } from "./profile.ts";

/** Exchange of a further listing and the local price of one dollar. */
const elsewhere: readonly (readonly [string, number])[] = [
  ["XETRA", 0.86],
  ["MEX", 18.4],
  ["NEO", 1.4],
  ["BUE", 1490],
  ["SIX", 0.795],
];

/** `search-exchange-variants`: one row for each listing of a company, the asked one first. */
export const searchExchangeVariants: Endpoint = symbolEndpoint(
  "search-exchange-variants",
  (symbol, _query, world) => {
    const listing = world.universe.bySymbol.get(symbol);
    if (!listing) return [];
    const rows = [primaryRow(listing, world), ...furtherRows(listing, world)];
    const examples = world.examples.rowsOf("search-exchange-variants", symbol);
    return overlay(rows, {
      examples,
      key: (row) => String(row.symbol),
      moving: movingKeys,
      verbatim: world.frozen,
    });
  },
);

const movingKeys = ["price", "volAvg", "mktCap", "range", "changes", "dcf", "dcfDiff"];

function primaryRow(listing: Listing, world: World): JsonRow {
  const tick = listingTick(listing, world);
  const dcf = tick.price * between(0.5, 1.4, listing.symbol, "dcf");
  return variantRow(listing, listing.symbol, listing.exchange, {
    lastDiv: lastDividend(listing),
    currency: listing.currency,
    cik: listing.cik,
    ...(tick.dormant ? dormantValues : {
      price: tick.price,
      // Not equal to the profile's average volume in the real feed either.
      volAvg: Math.round(tick.averageVolume * 1.07),
      mktCap: tick.price * listing.sharesOutstanding,
      range: `${tick.yearLow}-${tick.yearHigh}`,
      changes: tick.change,
      dcf,
      dcfDiff: listing.kind === "stock" ? round(dcf - tick.price, 5) : null,
      active: true,
    }),
  });
}

/** Listings of large US companies abroad; some of them are dormant. */
function furtherRows(listing: Listing, world: World): JsonRow[] {
  const american = exchangeOf(listing.exchange).countryCode === "US";
  if (!american || listing.kind !== "stock") return [];
  const { symbol } = listing;
  return elsewhere.flatMap(([exchange, perDollar], index) => {
    if (symbol !== "AAPL" && uniform(symbol, exchange, "listed") < 0.55) return [];
    const place = exchangeOf(exchange);
    const isApple = symbol === "AAPL" && exchange === "XETRA";
    const stem = exchange === "XETRA" && !isApple
      ? Array.from({ length: 3 }, (_, at) => pick([..."ABCDEFGHJKLMNPQRSTUVWXYZ"], symbol, at))
        .join("")
      : symbol;
    const variant = isApple ? "APC.DE" : `${stem}${place.suffix}`;
    const at = lastTrade(listing, world.now).getTime();
    const price = round(world.market.price(listing, at) * perDollar, 2);
    const dormant = isDormant(listing, world.now) ||
      (symbol === "AAPL" ? index === 3 : uniform(variant, "dormant") < 0.2);
    return [variantRow(listing, variant, exchange, {
      lastDiv: round(lastDividend(listing) * perDollar, 4),
      currency: place.currency,
      cik: null,
      ...(dormant ? dormantValues : {
        price,
        volAvg: round(listing.averageVolume * between(0.0001, 0.01, variant), 1),
        mktCap: price * listing.sharesOutstanding,
        range: `${round(price * 0.71, 2)}-${round(price * 1.12, 2)}`,
        changes: round(price * 0.004, 2),
        dcf: round(price * 0.8, 6),
        dcfDiff: round(price * -0.2, 5),
        active: true,
      }),
    })];
  });
}

/** What the vendor sends for a listing that has stopped trading. */
const dormantValues = {
  price: null,
  volAvg: 0,
  mktCap: 0,
  range: null,
  changes: null,
  dcf: 0,
  dcfDiff: null,
  active: false,
};

interface Moving {
  price: number | null;
  volAvg: number;
  mktCap: number;
  lastDiv: number;
  range: string | null;
  changes: number | null;
  currency: string;
  cik: string | null;
  dcf: number;
  dcfDiff: number | null;
  active: boolean;
}

/** The old profile's 36 fields: here `exchange` is the long name. */
function variantRow(
  listing: Listing,
  symbol: string,
  exchangeCode: string,
  values: Moving,
): JsonRow {
  return {
    symbol,
    price: values.price,
    beta: listing.beta,
    volAvg: values.volAvg,
    mktCap: values.mktCap,
    lastDiv: values.lastDiv,
    range: values.range,
    changes: values.changes,
    companyName: listing.name,
    currency: values.currency,
    cik: values.cik,
    isin: listing.isin,
    cusip: listing.cusip,
    exchange: exchangeOf(exchangeCode).fullName,
    exchangeShortName: exchangeCode,
    ...companyFields(listing),
    dcfDiff: values.dcfDiff,
    dcf: values.dcf,
    image: `https://images.financialmodelingprep.com/symbol/${symbol}.png`,
    ipoDate: listing.ipoDate,
    defaultImage: symbol !== listing.symbol,
    isEtf: listing.kind === "etf",
    isActivelyTrading: values.active,
    isAdr: listing.isAdr,
    isFund: listing.kind === "fund",
  };
}
