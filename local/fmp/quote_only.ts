import type { Instrument } from "./market.ts";

/** Instruments that have a quote and nothing else: indices, crypto, commodities. */
export interface QuoteOnly extends Instrument {
  name: string;
  exchange: string;
  /** Units in circulation, or null where the vendor gives no market value. */
  units: number | null;
}

/** The quote-only instruments by symbol. */
export const quoteOnly: ReadonlyMap<string, QuoteOnly> = new Map(
  ([
    ["^GSPC", "S&P 500", "INDEX", 6730, 0.15, 5_200_000_000, null],
    ["^IXIC", "NASDAQ Composite", "INDEX", 22900, 0.2, 8_900_000_000, null],
    ["^DJI", "Dow Jones Industrial Average", "INDEX", 46500, 0.14, 480_000_000, null],
    ["^RUT", "Russell 2000", "INDEX", 2480, 0.22, 0, null],
    ["^VIX", "CBOE Volatility Index", "INDEX", 17.5, 0.9, 0, null],
    ["^FTSE", "FTSE 100", "INDEX", 9350, 0.13, 720_000_000, null],
    ["^GDAXI", "DAX", "INDEX", 24200, 0.17, 62_000_000, null],
    ["^STOXX50E", "EURO STOXX 50", "INDEX", 5560, 0.16, 30_000_000, null],
    ["^N225", "Nikkei 225", "INDEX", 45800, 0.2, 120_000_000, null],
    ["^HSI", "Hang Seng Index", "INDEX", 26700, 0.22, 2_900_000_000, null],
    ["BTCUSD", "Bitcoin USD", "CRYPTO", 108000, 0.5, 61_000, 19_950_000],
    ["ETHUSD", "Ethereum USD", "CRYPTO", 3900, 0.65, 9_400_000, 120_700_000],
    ["GCUSD", "Gold Futures", "COMMODITY", 4010, 0.18, 190_000, null],
    ["CLUSD", "Crude Oil", "COMMODITY", 61.5, 0.35, 310_000, null],
  ] as const).map(([symbol, name, exchange, basePrice, volatility, averageVolume, units]) => [
    symbol,
    {
      symbol,
      name,
      exchange,
      basePrice,
      volatility,
      averageVolume,
      units,
      places: 2,
      fractionalVolume: exchange === "CRYPTO",
    },
  ]),
);
