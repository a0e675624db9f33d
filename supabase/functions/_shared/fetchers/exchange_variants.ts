import { z } from "npm:zod@4.6.7";
import type { FetchedRows, Fetcher } from "./contract.ts";
import { VendorError } from "./errors.ts";
import {
  optionalBigint,
  optionalBoolean,
  optionalNumber,
  optionalPrice,
  optionalText,
  requiredText,
  rowsOf,
} from "./fields.ts";
import { symbolRequest } from "./symbol_request.ts";
import { oneRowPerKey } from "./symbol_rows.ts";
import { subjectOf } from "./validation.ts";
import { queueTypeOf } from "./queue_type.ts";

const DATA_TYPE = "exchange-variants";

/** Unlike in a profile, `exchange` is the long name here, and `exchangeShortName` the code. */
const variantsSchema = rowsOf(z.object({
  symbol: requiredText(),
  exchangeShortName: requiredText(),
  price: optionalPrice(),
  beta: optionalNumber(),
  volAvg: optionalBigint(),
  mktCap: optionalBigint(),
  lastDiv: optionalNumber(),
  range: optionalText(),
  changes: optionalNumber(),
  currency: optionalText(),
  cik: optionalText(),
  isin: optionalText(),
  cusip: optionalText(),
  exchange: optionalText(),
  dcfDiff: optionalNumber(),
  dcf: optionalNumber(),
  image: optionalText(),
  ipoDate: optionalText(),
  defaultImage: optionalBoolean(),
  isActivelyTrading: optionalBoolean(),
}, { error: "an object" }));

type Variants = z.infer<typeof variantsSchema>;

/**
 * All listings of a company for `exchange_variants`, one vendor call per symbol. `symbol` is the
 * symbol asked for, `symbol_variant` the listing's own. Amounts are in the currency of the listing.
 */
export const exchangeVariantsFetcher: Fetcher<Variants> = {
  dataType: DATA_TYPE,
  maxSymbolsPerCall: 1,
  callsPerBatch: 1,
  schema: variantsSchema,
  request: symbolRequest(DATA_TYPE, "search-exchange-variants"),
  toRows: variantRows,
};

/**
 * The listings that come are those of the symbol asked for, when it is among them: the vendor's answer
 * names it, and one that does not is about another company (`symbol_mismatch`). The key of
 * the table does not hold that symbol: in the queue a row stays with the symbol that brought it first
 * (`insert_only_columns`), in the endpoint the last one takes it.
 */
function variantRows(variants: Variants, symbols: readonly string[]): FetchedRows {
  const [symbol] = symbols;
  if (symbol === undefined || variants.length === 0) return { rows: new Map(), warnings: [] };
  const subject = subjectOf(DATA_TYPE, symbols);
  if (!variants.some((variant) => variant.symbol === symbol)) {
    throw new VendorError(
      `${subject}: the answer is about ${
        variants.slice(0, 3).map((variant) => JSON.stringify(variant.symbol)).join(", ")
      }; wanted the symbol that was asked for among them`,
      { errorClass: "permanent", code: "symbol_mismatch" },
    );
  }
  const { rows, warnings } = oneRowPerKey(
    subject,
    variants.map((variant) => ({
      symbol,
      symbol_variant: variant.symbol,
      exchange_short_name: variant.exchangeShortName,
      price: variant.price,
      beta: variant.beta,
      vol_avg: variant.volAvg,
      mkt_cap: variant.mktCap,
      last_div: variant.lastDiv,
      range: variant.range,
      changes: variant.changes,
      currency: variant.currency,
      cik: variant.cik,
      isin: variant.isin,
      cusip: variant.cusip,
      exchange: variant.exchange,
      dcf_diff: variant.dcfDiff,
      dcf: variant.dcf,
      image: variant.image,
      ipo_date: variant.ipoDate,
      default_image: variant.defaultImage,
      is_actively_trading: variant.isActivelyTrading,
    })),
    ["symbol_variant", "exchange_short_name"],
  );
  return { rows: new Map([[symbol, rows]]), warnings };
}

/** In the queue. */
export const queueType = queueTypeOf(exchangeVariantsFetcher, {
  "search-exchange-variants": { symbols: "main listing" },
});
