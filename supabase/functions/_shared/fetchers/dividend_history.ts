import { z } from "npm:zod@4.6.7";
import type { Fetcher } from "./contract.ts";
import {
  optionalDate,
  optionalNumber,
  optionalText,
  requiredDate,
  requiredText,
  rowsOrEmptyObject,
} from "./fields.ts";
import { symbolRequest } from "./symbol_request.ts";
import { historyPerSymbol } from "./symbol_rows.ts";
import { queueTypeOf } from "./queue_type.ts";

const DATA_TYPE = "dividend-history";

const dividendsSchema = rowsOrEmptyObject(z.object({
  symbol: requiredText(),
  date: requiredDate(),
  recordDate: optionalDate(),
  paymentDate: optionalDate(),
  declarationDate: optionalDate(),
  adjDividend: optionalNumber(),
  dividend: optionalNumber(),
  yield: optionalNumber(),
  frequency: optionalText(),
}, { error: "an object" }));

/**
 * Dividends for `dividend_history`, the whole history in one vendor call per symbol. `date` is the
 * ex-date and may lie in the future, `yield` is in percent.
 */
export const dividendHistoryFetcher: Fetcher<z.infer<typeof dividendsSchema>> = {
  dataType: DATA_TYPE,
  maxSymbolsPerCall: 1,
  callsPerBatch: 1,
  schema: dividendsSchema,
  request: symbolRequest(DATA_TYPE, "dividends"),

  toRows(dividends, symbols) {
    return historyPerSymbol(DATA_TYPE, dividends, symbols, ["date"], (dividend) => ({
      symbol: dividend.symbol,
      date: dividend.date,
      record_date: dividend.recordDate,
      payment_date: dividend.paymentDate,
      declaration_date: dividend.declarationDate,
      adj_dividend: dividend.adjDividend,
      dividend: dividend.dividend,
      yield: dividend.yield,
      frequency: dividend.frequency,
    }));
  },
};

/** In the queue. */
export const queueType = queueTypeOf(dividendHistoryFetcher, {
  "dividends": { symbols: "label" },
});
