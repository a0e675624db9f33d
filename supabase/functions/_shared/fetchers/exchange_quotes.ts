import { z } from "npm:zod@4.6.7";
import { getVendorJson } from "../http.ts";
import type { Fetcher } from "./contract.ts";
import { optionalBigint, optionalPrice, rowsOf } from "./fields.ts";
import { type Quote, quoteFields, quoteRow } from "./quote.ts";
import { oneRowPerKey } from "./symbol_rows.ts";
import { isPlausibleTime } from "./unix_time.ts";
import { subjectOf } from "./validation.ts";

const DATA_TYPE = "exchange-quotes";

/** As a quote, but among thousands some have never had a price or a time. */
const exchangeQuotesSchema = rowsOf(z.object({
  ...quoteFields,
  price: optionalPrice(),
  timestamp: optionalBigint(),
}, { error: "an object" }));

type ExchangeQuote = z.infer<typeof exchangeQuotesSchema>[number];

/**
 * Quotes of all symbols of an exchange for `live_quote_indicators`, one vendor call per exchange.
 * The exchange's code takes the place of the symbol; its rows are those of all its symbols. Quotes
 * without a price or a plausible time are skipped, with a warning.
 */
export const exchangeQuotesFetcher: Fetcher<ExchangeQuote[]> = {
  dataType: DATA_TYPE,
  maxSymbolsPerCall: 1,
  callsPerBatch: 1,
  schema: exchangeQuotesSchema,

  request(exchanges, context) {
    return getVendorJson({
      path: "batch-exchange-quote",
      query: { exchange: exchanges.join(","), short: "false" },
      subject: subjectOf(DATA_TYPE, exchanges),
    }, context);
  },

  toRows(quotes, exchanges, receivedAt) {
    const subject = subjectOf(DATA_TYPE, exchanges);
    const live = quotes.filter((quote): quote is Quote =>
      quote.price !== null && quote.timestamp !== null &&
      isPlausibleTime(quote.timestamp, receivedAt)
    );
    const skipped = quotes.length - live.length;
    const { rows, warnings } = oneRowPerKey(
      subject,
      live.map((quote) => quoteRow(quote, receivedAt)),
      ["symbol"],
    );
    if (skipped > 0) {
      warnings.push(
        `${subject}: skipped ${skipped} of ${quotes.length} quotes, which have no price or no time`,
      );
    }
    return {
      rows: new Map(exchanges.map((exchange) => [exchange, rows])),
      warnings,
      skipped,
    };
  },
};
