import { z } from "npm:zod@4.6.7";
import type { Fetcher } from "./contract.ts";
import { optionalCount, requiredDate, requiredText, rowsOrEmptyObject } from "./fields.ts";
import { symbolRequest } from "./symbol_request.ts";
import { historyPerSymbol } from "./symbol_rows.ts";
import { queueTypeOf } from "./queue_type.ts";

const DATA_TYPE = "grades-historical";

const gradesSchema = rowsOrEmptyObject(z.object({
  symbol: requiredText(),
  date: requiredDate(),
  analystRatingsStrongBuy: optionalCount(),
  analystRatingsBuy: optionalCount(),
  analystRatingsHold: optionalCount(),
  analystRatingsSell: optionalCount(),
  analystRatingsStrongSell: optionalCount(),
}, { error: "an object" }));

/** Monthly counts of analyst ratings for `grades_historical`, one vendor call per symbol. */
export const gradesHistoricalFetcher: Fetcher<z.infer<typeof gradesSchema>> = {
  dataType: DATA_TYPE,
  maxSymbolsPerCall: 1,
  callsPerBatch: 1,
  schema: gradesSchema,
  request: symbolRequest(DATA_TYPE, "grades-historical"),

  toRows(grades, symbols) {
    return historyPerSymbol(DATA_TYPE, grades, symbols, ["date"], (month) => ({
      symbol: month.symbol,
      date: month.date,
      analyst_ratings_strong_buy: month.analystRatingsStrongBuy,
      analyst_ratings_buy: month.analystRatingsBuy,
      analyst_ratings_hold: month.analystRatingsHold,
      analyst_ratings_sell: month.analystRatingsSell,
      analyst_ratings_strong_sell: month.analystRatingsStrongSell,
    }));
  },
};

/** In the queue. */
export const queueType = queueTypeOf(gradesHistoricalFetcher, {
  "grades-historical": { symbols: "label" },
});
