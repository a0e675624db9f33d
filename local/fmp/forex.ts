import type { Instrument } from "./market.ts";

/** A currency pair; its price is units of the quote currency for one of the base. */
export interface Pair extends Instrument {
  base: string;
  quote: string;
  baseName: string;
  quoteName: string;
  /** Days by which the last price lags behind the clock; 0 for pairs that trade. */
  staleDays: number;
}

/** Code, name, units for one US dollar, and whether it trades rarely. */
const currencies: readonly (readonly [string, string, number, boolean])[] = [
  ["USD", "US Dollar", 1, false],
  ["EUR", "Euro", 0.86, false],
  ["GBP", "British Pound", 0.75, false],
  ["JPY", "Japanese Yen", 152.8, false],
  ["CHF", "Swiss Franc", 0.795, false],
  ["CAD", "Canadian Dollar", 1.4, false],
  ["AUD", "Australian Dollar", 1.535, false],
  ["NZD", "New Zealand Dollar", 1.74, false],
  ["CNY", "Chinese Yuan", 7.12, false],
  ["HKD", "Hong Kong Dollar", 7.77, false],
  ["SGD", "Singapore Dollar", 1.3, false],
  ["SEK", "Swedish Krona", 9.4, false],
  ["NOK", "Norwegian Krone", 10.0, false],
  ["DKK", "Danish Krone", 6.42, false],
  ["PLN", "Polish Zloty", 3.65, false],
  ["CZK", "Czech Koruna", 20.9, false],
  ["HUF", "Hungarian Forint", 335, false],
  ["TRY", "Turkish Lira", 41.9, false],
  ["ZAR", "South African Rand", 17.3, false],
  ["MXN", "Mexican Peso", 18.4, false],
  ["BRL", "Brazilian Real", 5.38, false],
  ["INR", "Indian Rupee", 87.8, false],
  ["KRW", "South Korean Won", 1438, false],
  ["TWD", "New Taiwan Dollar", 30.8, false],
  ["THB", "Thai Baht", 32.7, false],
  ["IDR", "Indonesian Rupiah", 16600, false],
  ["MYR", "Malaysian Ringgit", 4.22, false],
  ["PHP", "Philippine Peso", 58.7, false],
  ["ILS", "Israeli New Shekel", 3.28, false],
  ["AED", "UAE Dirham", 3.6725, false],
  ["SAR", "Saudi Riyal", 3.75, false],
  ["ARS", "Argentine Peso", 1490, true],
  ["CLP", "Chilean Peso", 940, true],
  ["COP", "Colombian Peso", 3870, true],
  ["EGP", "Egyptian Pound", 47.5, true],
  ["KWD", "Kuwaiti Dinar", 0.3065, true],
  ["QAR", "Qatari Riyal", 3.64, true],
  ["ISK", "Icelandic Krona", 122.5, true],
  ["VND", "Vietnamese Dong", 26300, true],
  ["PKR", "Pakistani Rupee", 281, true],
];

/** Every ordered pair of the known currencies by symbol, in symbol order. */
export function forexPairs(): ReadonlyMap<string, Pair> {
  const pairs: [string, Pair][] = [];
  for (const [base, baseName, basePerDollar, baseRare] of currencies) {
    for (const [quote, quoteName, quotePerDollar, quoteRare] of currencies) {
      if (base === quote) continue;
      const symbol = base + quote;
      const rate = quotePerDollar / basePerDollar;
      pairs.push([symbol, {
        symbol,
        base,
        quote,
        baseName,
        quoteName,
        basePrice: rate,
        volatility: 0.08,
        averageVolume: baseRare || quoteRare ? 0 : 240_000,
        places: rate >= 0.1 ? 5 : 8,
        fractionalVolume: false,
        // Pairs between two rarely traded currencies stand still for months in the real feed.
        staleDays: baseRare && quoteRare ? 97 : 0,
      }]);
    }
  }
  pairs.sort(([left], [right]) => left < right ? -1 : 1);
  return new Map(pairs);
}
