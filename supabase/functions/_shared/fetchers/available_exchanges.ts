import { z } from "npm:zod@4.6.7";
import { getVendorJson } from "../http.ts";
import type { Fetcher } from "./contract.ts";
import { optionalText, requiredText, rowsOf } from "./fields.ts";
import { globalRows } from "./global_rows.ts";
import { oneRowPerKey } from "./symbol_rows.ts";
import { subjectOf } from "./validation.ts";
import { queueTypeOf } from "./queue_type.ts";

const DATA_TYPE = "available-exchanges";

const availableExchangesSchema = rowsOf(z.object({
  exchange: requiredText(),
  name: optionalText(),
  countryName: optionalText(),
  countryCode: optionalText(),
  symbolSuffix: optionalText(),
  delay: optionalText(),
}, { error: "an object" }));

/** The exchanges that the vendor covers for `available_exchanges`, in one vendor call. */
export const availableExchangesFetcher: Fetcher<z.infer<typeof availableExchangesSchema>> = {
  dataType: DATA_TYPE,
  maxSymbolsPerCall: 1,
  callsPerBatch: 1,
  schema: availableExchangesSchema,

  request(symbols, context) {
    return getVendorJson({
      path: "available-exchanges",
      query: {},
      subject: subjectOf(DATA_TYPE, symbols),
    }, context);
  },

  toRows(exchanges, symbols) {
    const { rows, warnings } = oneRowPerKey(
      subjectOf(DATA_TYPE, symbols),
      exchanges.map((exchange) => ({
        exchange: exchange.exchange,
        name: exchange.name,
        country_name: exchange.countryName,
        country_code: exchange.countryCode,
        symbol_suffix: exchange.symbolSuffix,
        delay: exchange.delay,
      })),
      ["exchange"],
    );
    return globalRows(rows, warnings);
  },
};

/** In the queue. */
export const queueType = queueTypeOf(availableExchangesFetcher, {
  "available-exchanges": { symbols: "global" },
});
