import { z } from "npm:zod@4.6.7";
import { getVendorJson } from "../http.ts";
import type { FetchContext, Fetcher, Row, VendorAnswer } from "./contract.ts";
import { VendorError } from "./errors.ts";
import {
  optionalBigint,
  optionalNumber,
  optionalPrice,
  optionalText,
  requiredBigint,
  requiredPrice,
  requiredText,
  rowsOf,
} from "./fields.ts";
import { symbolRequest } from "./symbol_request.ts";
import { oneRowPerSymbol } from "./symbol_rows.ts";
import { isPlausibleTime, plausibleTimes } from "./unix_time.ts";
import { implausible, subjectOf } from "./validation.ts";
import { queueTypeOf } from "./queue_type.ts";

const DATA_TYPE = "quote";

/** As many symbols as are known to work in one call, less a margin; the vendor names no bound. */
const MOST_SYMBOLS_PER_CALL = 100;

const requestOne = symbolRequest(DATA_TYPE, "quote");

/**
 * The keys a row needs. Only what the table cannot do without is refused when null: the vendor
 * documents null for `marketCap` alone, but a new listing has no 200-day average to send.
 */
export const quoteFields = {
  symbol: requiredText(),
  price: requiredPrice(),
  changePercentage: optionalNumber(),
  change: optionalNumber(),
  volume: optionalBigint(),
  dayLow: optionalPrice(),
  dayHigh: optionalPrice(),
  yearHigh: optionalPrice(),
  yearLow: optionalPrice(),
  marketCap: optionalBigint(),
  priceAvg50: optionalPrice(),
  priceAvg200: optionalPrice(),
  exchange: optionalText(),
  open: optionalPrice(),
  previousClose: optionalPrice(),
  timestamp: requiredBigint(),
};

const quoteSchema = rowsOf(z.object(quoteFields, { error: "an object" }));

/** A quote as the schema gives it. */
export type Quote = z.infer<typeof quoteSchema>[number];

/**
 * Quotes for `live_quote_indicators`, up to a hundred symbols per vendor call.
 *
 * Several symbols go to `batch-quote`, which smaller plans lack: then fails with class and code
 * `batch_refused`, and asking for one symbol at a time works. Of several symbols, one whose entry is
 * broken fails alone.
 */
export const quoteFetcher: Fetcher<z.infer<typeof quoteSchema>> = {
  dataType: DATA_TYPE,
  maxSymbolsPerCall: MOST_SYMBOLS_PER_CALL,
  callsPerBatch: 1,
  schema: quoteSchema,

  request(symbols, context) {
    return symbols.length === 1 ? requestOne(symbols, context) : requestSeveral(symbols, context);
  },

  toRows(quotes, symbols, receivedAt) {
    return oneRowPerSymbol(DATA_TYPE, quotes, symbols, (quote) => {
      if (!isPlausibleTime(quote.timestamp, receivedAt)) {
        const { after, until } = plausibleTimes(receivedAt);
        throw implausible(
          subjectOf(DATA_TYPE, [quote.symbol]),
          "timestamp",
          quote.timestamp,
          `Unix seconds between ${after} and ${until}`,
        );
      }
      return quoteRow(quote, receivedAt);
    });
  },
};

/** The row of `live_quote_indicators` for a quote. */
export function quoteRow(quote: Quote, receivedAt: Date): Row {
  return {
    symbol: quote.symbol,
    current_price: quote.price,
    change_percentage: quote.changePercentage,
    day_change: quote.change,
    volume: quote.volume,
    day_low: quote.dayLow,
    day_high: quote.dayHigh,
    market_cap: quote.marketCap,
    day_open: quote.open,
    previous_close: quote.previousClose,
    api_timestamp: quote.timestamp,
    sma_50d: quote.priceAvg50,
    sma_200d: quote.priceAvg200,
    fetched_at: receivedAt.toISOString(),
    year_high: quote.yearHigh,
    year_low: quote.yearLow,
    exchange: quote.exchange,
  };
}

async function requestSeveral(
  symbols: readonly string[],
  context: FetchContext,
): Promise<VendorAnswer<unknown>> {
  try {
    return await getVendorJson({
      path: "batch-quote",
      query: { symbols: symbols.join(",") },
      subject: subjectOf(DATA_TYPE, symbols),
    }, context);
  } catch (error) {
    if (!(error instanceof VendorError) || error.code !== "plan_endpoint") throw error;
    throw new VendorError(error.message, {
      errorClass: "batch_refused",
      code: "batch_refused",
      calls: error.calls,
      bytes: error.bytes,
    });
  }
}

/** In the queue. */
export const queueType = queueTypeOf(quoteFetcher, {
  "quote": { symbols: "label" },
  "quote-forex": { symbols: "label" },
  "batch-quote": { symbols: "rows" },
  "batch-exchange-quote": { symbols: "rows", fetcher: "exchange quotes" },
});
