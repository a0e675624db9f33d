import { overlay } from "../examples.ts";
import type { Pair } from "../forex.ts";
import type { JsonRow } from "../json.ts";
import type { Tick } from "../market.ts";
import { quoteOnly } from "../quote_only.ts";
import { type Endpoint, symbolEndpoint, type World } from "./endpoint.ts";
import { listingTick } from "./listing_tick.ts";

/** `quote`: one row for one symbol of any kind; a comma list is an unknown symbol. */
export const quote: Endpoint = symbolEndpoint("quote", (symbol, _query, world) => {
  const row = quoteRow(symbol, world);
  return row ? [row] : [];
});

/** `batch-quote`: unknown symbols are dropped, repeated ones repeated. */
export const batchQuote: Endpoint = {
  name: "batch-quote",
  required: ["symbols"],
  answer: (query, world) =>
    (query.get("symbols") ?? "").split(",").flatMap((symbol) => {
      const row = quoteRow(symbol.trim(), world);
      return row ? [row] : [];
    }),
};

/**
 * `batch-exchange-quote`: every security of an exchange; four keys unless `short=false`. An unknown
 * exchange has none.
 */
export const batchExchangeQuote: Endpoint = {
  name: "batch-exchange-quote",
  required: ["exchange"],
  answer: (query, world) => {
    const exchange = (query.get("exchange") ?? "").toUpperCase();
    const rows = world.universe.listings
      .filter((listing) => listing.exchange === exchange)
      .map(({ symbol }) => quoteRow(symbol, world))
      .filter((row) => row !== null);
    if (query.get("short") === "false") return rows;
    return rows.map(({ symbol = null, price = null, change = null, volume = null }) => ({
      symbol,
      price,
      change,
      volume,
    }));
  },
};

/** `batch-forex-quotes`: every pair; four keys unless `short=false`. */
export const batchForexQuotes: Endpoint = {
  name: "batch-forex-quotes",
  required: [],
  answer: (query, world) => {
    if (query.get("short") === "false") {
      return [...world.forex.values()].map((p) => pairRow(p, world));
    }
    const rows = [...world.forex.values()].map((pair) => {
      const { price, change, volume } = world.market.tick(pair, pairTime(pair, world.now));
      return { symbol: pair.symbol, price, change, volume };
    });
    return overlay(rows, {
      examples: world.examples.rows("batch-forex-quotes"),
      key: symbolOf,
      moving: ["price", "change", "volume"],
      verbatim: world.frozen,
    });
  },
};

/** `forex-list`: every pair with its two currencies. */
export const forexList: Endpoint = {
  name: "forex-list",
  required: [],
  answer: (_query, world) => {
    const rows = [...world.forex.values()].map((pair) => ({
      symbol: pair.symbol,
      fromCurrency: pair.base,
      toCurrency: pair.quote,
      fromName: pair.baseName,
      toName: pair.quoteName,
    }));
    return overlay(rows, {
      examples: world.examples.rows("forex-list"),
      key: symbolOf,
      moving: [],
      verbatim: world.frozen,
    });
  },
};

const constantKeys: ReadonlySet<string> = new Set(["symbol", "name", "exchange"]);

/** The 17 fields of a quote, or null for an unknown symbol. */
function quoteRow(symbol: string, world: World): JsonRow | null {
  const pair = world.forex.get(symbol);
  if (pair) return pairRow(pair, world);
  const generated = securityRow(symbol, world) ?? quoteOnlyRow(symbol, world);
  if (!generated) return null;
  const examples = [
    ...world.examples.rowsOf("batch-quote", symbol),
    ...world.examples.rowsOf("quote", symbol),
  ];
  return withExamples(generated, examples, world);
}

function securityRow(symbol: string, world: World): JsonRow | null {
  const listing = world.universe.bySymbol.get(symbol);
  if (!listing) return null;
  const tick = listingTick(listing, world);
  // Not rounded: the vendor's product of price and shares shows the same floating-point residue.
  const marketCap = tick.price * listing.sharesOutstanding;
  return assemble(symbol, listing.name, listing.exchange, marketCap, tick, tick.at);
}

function quoteOnlyRow(symbol: string, world: World): JsonRow | null {
  const instrument = quoteOnly.get(symbol);
  if (!instrument) return null;
  const tick = world.market.tick(instrument, world.now.getTime());
  const marketCap = instrument.units === null ? null : tick.price * instrument.units;
  return assemble(symbol, instrument.name, instrument.exchange, marketCap, tick, world.now);
}

function pairRow(pair: Pair, world: World): JsonRow {
  const at = pairTime(pair, world.now);
  const tick = world.market.tick(pair, at);
  const name = `${pair.base}/${pair.quote}`;
  const row = assemble(pair.symbol, name, "FOREX", null, tick, new Date(at));
  return withExamples(row, world.examples.rowsOf("quote-forex", pair.symbol), world);
}

function pairTime(pair: Pair, now: Date): number {
  if (pair.staleDays === 0) return now.getTime();
  const midnight = Math.floor(now.getTime() / 86_400_000) * 86_400_000;
  return midnight - pair.staleDays * 86_400_000 + 20 * 3_600_000;
}

function assemble(
  symbol: string,
  name: string,
  exchange: string,
  marketCap: number | null,
  tick: Tick,
  at: Date,
): JsonRow {
  return {
    symbol,
    name,
    price: tick.price,
    changePercentage: tick.changePercentage,
    change: tick.change,
    volume: tick.volume,
    dayLow: tick.dayLow,
    dayHigh: tick.dayHigh,
    yearHigh: tick.yearHigh,
    yearLow: tick.yearLow,
    marketCap,
    priceAvg50: tick.priceAvg50,
    priceAvg200: tick.priceAvg200,
    exchange,
    open: tick.open,
    previousClose: tick.previousClose,
    timestamp: Math.floor(at.getTime() / 1000),
  };
}

function withExamples(row: JsonRow, examples: readonly JsonRow[], world: World): JsonRow {
  const moving = Object.keys(row).filter((key) => !constantKeys.has(key));
  return overlay([row], { examples, key: symbolOf, moving, verbatim: world.frozen })[0] ?? row;
}

function symbolOf(row: JsonRow): string {
  return String(row.symbol);
}
