import { z } from "npm:zod@4.6.7";
import type { Fetcher } from "./contract.ts";
import { optionalPrice, requiredText, requiredUtcDay, rowsOf } from "./fields.ts";
import { symbolRequest } from "./symbol_request.ts";
import { historyPerSymbol } from "./symbol_rows.ts";
import { queueTypeOf } from "./queue_type.ts";

const DATA_TYPE = "shares-float";

const sharesFloatSchema = rowsOf(z.object({
  symbol: requiredText(),
  date: requiredUtcDay(),
  freeFloat: optionalPrice(),
  floatShares: optionalPrice(),
  outstandingShares: optionalPrice(),
}, { error: "an object" }));

/**
 * Shares outstanding and in free float for `shares_float`, one vendor call per symbol. The zeros of
 * ETFs, which mean "not computed", are stored as sent.
 */
export const sharesFloatFetcher: Fetcher<z.infer<typeof sharesFloatSchema>> = {
  dataType: DATA_TYPE,
  maxSymbolsPerCall: 1,
  callsPerBatch: 1,
  schema: sharesFloatSchema,
  request: symbolRequest(DATA_TYPE, "shares-float"),

  toRows(entries, symbols) {
    return historyPerSymbol(DATA_TYPE, entries, symbols, ["date"], (entry) => ({
      symbol: entry.symbol,
      date: entry.date,
      free_float: entry.freeFloat,
      float_shares: entry.floatShares,
      outstanding_shares: entry.outstandingShares,
    }));
  },
};

/** In the queue. */
export const queueType = queueTypeOf(sharesFloatFetcher, {
  "shares-float": { symbols: "label" },
});
