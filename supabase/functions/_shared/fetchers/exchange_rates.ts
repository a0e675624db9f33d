import { exchangeRatesSource, exchangeRatesUrl } from "../env.ts";
import { z } from "npm:zod@4.6.7";
import { getVendorJson, type OtherProvider } from "../http.ts";
import type { FetchContext, FetchedRows, Fetcher, VendorAnswer } from "./contract.ts";
import { type ErrorClass, VendorError } from "./errors.ts";
import { requiredBigint } from "./fields.ts";
import { fullPairs, pairRates, shortPairs } from "./forex_rates.ts";
import { globalRows } from "./global_rows.ts";
import { readSetting } from "./setting.ts";
import { isPlausibleTime, plausibleTimes } from "./unix_time.ts";
import { implausible, subjectOf } from "./validation.ts";
import { queueTypeOf } from "./queue_type.ts";

const DATA_TYPE = "exchange-rates";

/** Rates are units of the other currency for one of this. */
const BASE = "USD";

/** Keys that only the long rows of FMP have. */
const LONG_ROW_KEYS = ["timestamp", "previousClose", "exchange"];

/** What the provider's documented error types mean; any other may pass. */
const ERROR_TYPES: Record<string, { errorClass: ErrorClass; code: string }> = {
  "quota-reached": { errorClass: "quota", code: "quota_reached" },
  "invalid-key": { errorClass: "auth", code: "invalid_key" },
  "inactive-account": { errorClass: "auth", code: "invalid_key" },
  "unsupported-code": { errorClass: "permanent", code: "error_message" },
  "malformed-request": { errorClass: "permanent", code: "error_message" },
};

const latestRates = z.object({
  result: z.literal("success", { error: "success" }),
  base_code: z.literal(BASE, { error: BASE }),
  time_last_update_unix: requiredBigint(),
  rates: z.record(
    z.string(),
    z.number({ error: "a number" }).positive({ error: "a number above 0" }),
    { error: "an object of rates" },
  ).refine((rates) => Object.keys(rates).length > 0, { error: "at least one rate" }),
}, { error: "an object" });

const exchangeRatesSchema = z.discriminatedUnion("form", [
  z.object({ form: z.literal("latest"), answer: latestRates }),
  z.object({ form: z.literal("pairs"), quotes: fullPairs }),
  z.object({ form: z.literal("short pairs"), quotes: shortPairs }),
]);

/** An answer of either source. */
export type ExchangeRatesPayload = z.infer<typeof exchangeRatesSchema>;

/** Where the rates come from; asked at each request. */
export interface ExchangeRatesOptions {
  source(): "exchangerate-api" | "fmp";
  /** Whole URL of the source `exchangerate-api`. */
  url(): string;
}

/**
 * Exchange rates of the US dollar for `exchange_rates`, in one call.
 *
 * They come from another provider, which never gets the vendor's key. With the source `fmp` they come
 * from the vendor's currency pairs, and the data type's provider in the registry should be `fmp` too,
 * so that the call counts against the right limit.
 */
export function createExchangeRatesFetcher(
  options: ExchangeRatesOptions,
): Fetcher<ExchangeRatesPayload> {
  return {
    dataType: DATA_TYPE,
    maxSymbolsPerCall: 1,
    callsPerBatch: 1,
    schema: exchangeRatesSchema,

    async request(symbols, context) {
      const subject = subjectOf(DATA_TYPE, symbols);
      if (readSetting(subject, options.source) === "fmp") {
        return await requestPairs(subject, context);
      }
      const url = readSetting(subject, options.url);
      return await requestLatest(subject, { url, setting: "EXCHANGE_RATES_URL" }, context);
    },

    toRows(payload, symbols, receivedAt) {
      const subject = subjectOf(DATA_TYPE, symbols);
      return payload.form === "latest"
        ? latestRows(subject, payload.answer, receivedAt)
        : pairRows(subject, payload.quotes, receivedAt);
    },
  };
}

async function requestLatest(
  subject: string,
  otherProvider: OtherProvider,
  context: FetchContext,
): Promise<VendorAnswer<unknown>> {
  const answer = await getVendorJson({ path: "", query: {}, subject, otherProvider }, context);
  const errorType = errorTypeOf(answer.payload);
  if (errorType === undefined) {
    return { ...answer, payload: { form: "latest", answer: answer.payload } };
  }
  throw new VendorError(
    `Cannot fetch ${subject}: the provider answered with the error ${JSON.stringify(errorType)}`,
    {
      ...ERROR_TYPES[errorType] ?? { errorClass: "retryable", code: "error_message" },
      calls: answer.calls,
      bytes: answer.bytes,
    },
  );
}

async function requestPairs(
  subject: string,
  context: FetchContext,
): Promise<VendorAnswer<unknown>> {
  const answer = await getVendorJson({
    path: "batch-forex-quotes",
    query: { short: "false" },
    subject,
  }, context);
  const form = hasLongRows(answer.payload) ? "pairs" : "short pairs";
  return { ...answer, payload: { form, quotes: answer.payload } };
}

function errorTypeOf(payload: unknown): string | undefined {
  if (typeof payload !== "object" || payload === null) return undefined;
  if (!("result" in payload) || payload.result !== "error") return undefined;
  return "error-type" in payload && typeof payload["error-type"] === "string"
    ? payload["error-type"].slice(0, 60)
    : "unknown";
}

function hasLongRows(quotes: unknown): boolean {
  return Array.isArray(quotes) &&
    quotes.some((row) =>
      typeof row === "object" && row !== null && LONG_ROW_KEYS.some((key) => key in row)
    );
}

function latestRows(
  subject: string,
  { base_code, time_last_update_unix, rates }: z.infer<typeof latestRates>,
  receivedAt: Date,
): FetchedRows {
  if (!isPlausibleTime(time_last_update_unix, receivedAt)) {
    const { after, until } = plausibleTimes(receivedAt);
    throw implausible(
      subject,
      "time_last_update_unix",
      time_last_update_unix,
      `Unix seconds between ${after} and ${until}`,
    );
  }
  const lastUpdatedAt = new Date(time_last_update_unix * 1000).toISOString();
  const rows = Object.entries(rates).map(([code, rate]) => ({
    base_code,
    target_code: code,
    rate,
    last_updated_at: lastUpdatedAt,
  }));
  return globalRows(rows, []);
}

function pairRows(
  subject: string,
  quotes: Parameters<typeof pairRates>[1],
  receivedAt: Date,
): FetchedRows {
  const { rates, warnings } = pairRates(subject, quotes, receivedAt, BASE);
  const rows = [...rates].map(([code, { rate, at }]) => ({
    base_code: BASE,
    target_code: code,
    rate,
    last_updated_at: at.toISOString(),
  }));
  return globalRows(rows, warnings);
}

/** In the queue, from `EXCHANGE_RATES_SOURCE` and `EXCHANGE_RATES_URL`. */
export const queueType = queueTypeOf(
  createExchangeRatesFetcher({
    source: () => exchangeRatesSource(Deno.env),
    url: () => exchangeRatesUrl(Deno.env),
  }),
  {
    "batch-forex-quotes": { symbols: "global", fetcher: "rates from pairs" },
    "latest-usd": { symbols: "global", fetcher: "rates of the open provider" },
    "v6-latest-usd": { symbols: "global", fetcher: "rates of the open provider" },
    "exchange-rates": { symbols: "global", fetcher: "rates of the open provider" },
  },
);
