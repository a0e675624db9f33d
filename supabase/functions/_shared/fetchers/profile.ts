import { z } from "npm:zod@4.6.7";
import { getVendorJson } from "../http.ts";
import type { Fetcher } from "./contract.ts";
import {
  optionalBigint,
  optionalBigintText,
  optionalBoolean,
  optionalDate,
  optionalNumber,
  optionalPrice,
  optionalText,
  requiredText,
  rowsOf,
} from "./fields.ts";
import { copyMissingLogos } from "./profile_logo.ts";
import { oneRowPerSymbol } from "./symbol_rows.ts";
import { subjectOf } from "./validation.ts";
import { queueTypeOf } from "./queue_type.ts";

const DATA_TYPE = "profile";

/** Widths of the columns `currency` and `country`. */
const CURRENCY_LENGTH = 3;
const COUNTRY_LENGTH = 2;

/** Every key has to be there; every value but the symbol may be null, as shell companies show. */
const profileSchema = rowsOf(z.object({
  symbol: requiredText(),
  price: optionalPrice(),
  marketCap: optionalBigint(),
  beta: optionalNumber(),
  lastDividend: optionalNumber(),
  range: optionalText(),
  change: optionalNumber(),
  changePercentage: optionalNumber(),
  volume: optionalBigint(),
  averageVolume: optionalBigint(),
  companyName: optionalText(),
  currency: optionalText(),
  cik: optionalText(),
  isin: optionalText(),
  cusip: optionalText(),
  exchangeFullName: optionalText(),
  exchange: optionalText(),
  industry: optionalText(),
  website: optionalText(),
  description: optionalText(),
  ceo: optionalText(),
  sector: optionalText(),
  country: optionalText(),
  fullTimeEmployees: optionalBigintText(),
  phone: optionalText(),
  address: optionalText(),
  city: optionalText(),
  state: optionalText(),
  zip: optionalText(),
  image: optionalText(),
  ipoDate: optionalDate(),
  defaultImage: optionalBoolean(),
  isEtf: optionalBoolean(),
  isActivelyTrading: optionalBoolean(),
  isAdr: optionalBoolean(),
  isFund: optionalBoolean(),
}, { error: "an object" }));

/**
 * Company profiles for `profiles`, one vendor call per symbol.
 *
 * `display_company_name` is in the row for the first insert; whoever writes the row has to leave
 * it out of updates.
 */
export const profileFetcher: Fetcher<z.infer<typeof profileSchema>> = {
  dataType: DATA_TYPE,
  maxSymbolsPerCall: 1,
  callsPerBatch: 1,
  schema: profileSchema,

  request(symbols, context) {
    return getVendorJson({
      path: "profile",
      query: { symbol: symbols.join(",") },
      subject: subjectOf(DATA_TYPE, symbols),
    }, context);
  },

  toRows(profiles, symbols) {
    return oneRowPerSymbol(DATA_TYPE, profiles, symbols, (profile, warn) => {
      const fitting = (key: "currency" | "country", length: number) => {
        const text = profile[key];
        if (text === null || [...text].length <= length) return text;
        warn(
          `${subjectOf(DATA_TYPE, [profile.symbol])}: key "${key}" is ${
            JSON.stringify(text)
          }, longer than the ${length} characters of its column; stored as null`,
        );
        return null;
      };
      return {
        symbol: profile.symbol,
        price: profile.price,
        market_cap: profile.marketCap,
        beta: profile.beta,
        last_dividend: profile.lastDividend,
        range: profile.range,
        change: profile.change,
        change_percentage: profile.changePercentage,
        volume: profile.volume,
        average_volume: profile.averageVolume,
        company_name: profile.companyName,
        display_company_name: profile.companyName,
        currency: fitting("currency", CURRENCY_LENGTH),
        cik: profile.cik,
        isin: profile.isin,
        cusip: profile.cusip,
        exchange_full_name: profile.exchangeFullName,
        exchange: profile.exchange,
        industry: profile.industry,
        website: profile.website,
        description: profile.description,
        ceo: profile.ceo,
        sector: profile.sector,
        country: fitting("country", COUNTRY_LENGTH),
        full_time_employees: profile.fullTimeEmployees,
        phone: profile.phone,
        address: profile.address,
        city: profile.city,
        state: profile.state,
        zip: profile.zip,
        image: profile.image,
        ipo_date: profile.ipoDate,
        default_image: profile.defaultImage,
        is_etf: profile.isEtf,
        is_actively_trading: profile.isActivelyTrading,
        is_adr: profile.isAdr,
        is_fund: profile.isFund,
      };
    });
  },

  afterwards: copyMissingLogos,
};

/** In the queue. */
export const queueType = queueTypeOf(profileFetcher, {
  "profile": { symbols: "label" },
});
