import { z } from "npm:zod@4.6.7";
import type { Fetcher } from "./contract.ts";
import {
  fiscalPeriod,
  fiscalYear,
  optionalNumber,
  optionalText,
  requiredDate,
  requiredText,
  rowsOrEmptyObject,
} from "./fields.ts";
import { symbolRequest } from "./symbol_request.ts";
import { historyPerSymbol } from "./symbol_rows.ts";
import { queueTypeOf } from "./queue_type.ts";

const DATA_TYPE = "revenue-segmentation";

const segmentationSchema = rowsOrEmptyObject(z.object({
  symbol: requiredText(),
  fiscalYear: fiscalYear(),
  period: fiscalPeriod(),
  date: requiredDate(),
  reportedCurrency: optionalText(),
  data: z.record(z.string(), optionalNumber(), { error: "an object of numbers" }),
}, { error: "an object" }));

/**
 * Annual revenue by product for `revenue_product_segmentation`, the whole history in one vendor
 * call per symbol. The names of segments are free text and stored as sent.
 */
export const revenueSegmentationFetcher: Fetcher<z.infer<typeof segmentationSchema>> = {
  dataType: DATA_TYPE,
  maxSymbolsPerCall: 1,
  callsPerBatch: 1,
  schema: segmentationSchema,
  // Both are the vendor's defaults; a change of those must not change what is stored.
  request: symbolRequest(DATA_TYPE, "revenue-product-segmentation", {
    period: "annual",
    structure: "flat",
  }),

  toRows(entries, symbols) {
    const keys = ["fiscal_year", "period", "date"];
    return historyPerSymbol(DATA_TYPE, entries, symbols, keys, (entry) => ({
      symbol: entry.symbol,
      fiscal_year: entry.fiscalYear,
      period: entry.period,
      date: entry.date,
      reported_currency: entry.reportedCurrency,
      data: entry.data,
    }));
  },
};

/** In the queue. */
export const queueType = queueTypeOf(revenueSegmentationFetcher, {
  "revenue-product-segmentation": { symbols: "label" },
});
