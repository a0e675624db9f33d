import { z } from "npm:zod@4.6.7";
import { getVendorJson } from "../http.ts";
import type { Fetcher } from "./contract.ts";
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
import { oneRowPerSymbol } from "./symbol_rows.ts";
import { implausible, subjectOf } from "./validation.ts";

const DATA_TYPE = "quote";

/** 2000-01-01 in Unix seconds; the vendor has no older live quote. */
const EARLIEST_TIMESTAMP = 946_684_800;
const DAY_SECONDS = 86_400;

/**
 * The keys a row needs. Only what the table cannot do without is refused when null: the vendor
 * documents null for `marketCap` alone, but a new listing has no 200-day average to send.
 */
const quoteSchema = rowsOf(z.object({
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
}, { error: "an object" }));

/** Quotes for `live_quote_indicators`, one vendor call per symbol. */
export const quoteFetcher: Fetcher<z.infer<typeof quoteSchema>> = {
  dataType: DATA_TYPE,
  maxSymbolsPerCall: 1,
  callsPerBatch: 1,
  schema: quoteSchema,

  request(symbols, context) {
    return getVendorJson({
      path: "quote",
      query: { symbol: symbols.join(",") },
      subject: subjectOf(DATA_TYPE, symbols),
    }, context);
  },

  toRows(quotes, symbols, receivedAt) {
    return oneRowPerSymbol(DATA_TYPE, quotes, symbols, (quote) => {
      const latest = Math.floor(receivedAt.getTime() / 1000) + DAY_SECONDS;
      if (quote.timestamp <= EARLIEST_TIMESTAMP || quote.timestamp > latest) {
        throw implausible(
          subjectOf(DATA_TYPE, [quote.symbol]),
          "timestamp",
          quote.timestamp,
          `Unix seconds between ${EARLIEST_TIMESTAMP} and ${latest}`,
        );
      }
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
    });
  },
};
