import { z } from "npm:zod@4.6.7";
import { optionalBigint, optionalPrice, requiredText, rowsOf } from "./fields.ts";
import { isPlausibleTime } from "./unix_time.ts";
import { implausible } from "./validation.ts";

/** Exotic pairs can be months old inside an answer that is otherwise fresh. */
const OLDEST_SECONDS = 7 * 86_400;

/** Symbols of pairs are two currency codes, of which this is one. */
const CODE_LENGTH = 3;

/** Pairs that a warning names. */
const MOST_NAMED = 5;

const shortPair = { symbol: requiredText(), price: optionalPrice() };

/** `batch-forex-quotes` with `short=false`: quotes with a time, of which these keys are needed. */
export const fullPairs = rowsOf(
  z.object({ ...shortPair, timestamp: optionalBigint() }, { error: "an object" }),
);

/** `batch-forex-quotes` as smaller answers have it: no times. */
export const shortPairs = rowsOf(z.object(shortPair, { error: "an object" }));

/** A pair as the vendor quotes it: the price is units of the second currency for one of the first. */
interface PairQuote {
  symbol: string;
  price: number | null;
  /** Unix seconds; undefined in answers without times. */
  timestamp?: number | null;
}

/** Units of a currency for one of the base, and when that was so. */
interface Rate {
  rate: number;
  at: Date;
}

/**
 * Rates of a base currency from pairs, the base itself included. Pairs of other currencies are left
 * aside. A pair that begins with the base is preferred to its inverse. Pairs without a price, or
 * whose price is older than seven days, are skipped with a warning; prices without times are taken
 * to be of the moment of arrival, with a warning.
 *
 * Throws a VendorError with code `schema_mismatch` when that leaves nothing of a non-empty answer.
 */
export function pairRates(
  subject: string,
  quotes: readonly PairQuote[],
  receivedAt: Date,
  base: string,
): { rates: Map<string, Rate>; warnings: string[] } {
  const rates = new Map<string, Rate>();
  const warnings: string[] = [];
  const ofBase = quotes.flatMap((quote) => {
    const pair = pairOf(quote.symbol, base);
    return pair === undefined ? [] : [{ ...quote, ...pair }];
  });
  if (ofBase.length === 0) {
    if (quotes.length === 0) return { rates, warnings };
    throw implausible(subject, "symbol", quotes[0]?.symbol, `pairs with ${base}`);
  }

  const oldest = receivedAt.getTime() / 1000 - OLDEST_SECONDS;
  const isUsable = ({ price, timestamp }: PairQuote) =>
    price !== null && price > 0 && timestamp !== null &&
    (timestamp === undefined ||
      (timestamp >= oldest && isPlausibleTime(timestamp, receivedAt)));
  const usable = ofBase.filter(isUsable);
  if (usable.length === 0) {
    throw implausible(subject, "timestamp", ofBase[0]?.timestamp, "a time in the last seven days");
  }
  // Inverses first, so that a pair that begins with the base overwrites them.
  const inInverseFirst = usable.toSorted((left, right) =>
    Number(right.inverse) - Number(left.inverse)
  );
  for (const { code, inverse, price, timestamp } of inInverseFirst) {
    rates.set(code, {
      rate: inverse ? 1 / (price ?? NaN) : price ?? NaN,
      at: timestamp === undefined || timestamp === null ? receivedAt : new Date(timestamp * 1000),
    });
  }
  const newest = Math.max(...[...rates.values()].map(({ at }) => at.getTime()));
  rates.set(base, { rate: 1, at: new Date(newest) });

  const skipped = ofBase.filter((quote) => !isUsable(quote)).map(({ symbol }) => symbol);
  if (skipped.length > 0) {
    const named = skipped.slice(0, MOST_NAMED).join(", ");
    const others = skipped.length > MOST_NAMED ? ` and ${skipped.length - MOST_NAMED} more` : "";
    warnings.push(
      `${subject}: skipped pairs without a price of the last seven days: ${named}${others}`,
    );
  }
  if (ofBase.some(({ timestamp }) => timestamp === undefined)) {
    warnings.push(`${subject}: the prices have no times; the time of arrival was taken`);
  }
  return { rates, warnings };
}

function pairOf(symbol: string, base: string): { code: string; inverse: boolean } | undefined {
  if (symbol.length !== 2 * CODE_LENGTH) return undefined;
  if (symbol.startsWith(base)) return { code: symbol.slice(CODE_LENGTH), inverse: false };
  if (symbol.endsWith(base)) return { code: symbol.slice(0, CODE_LENGTH), inverse: true };
  return undefined;
}
