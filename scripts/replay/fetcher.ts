import type { Fetcher, Row } from "../../supabase/functions/_shared/fetchers/contract.ts";
import { createExchangeMarketStatusFetcher } from "../../supabase/functions/_shared/fetchers/exchange_market_status.ts";
import { exchangeQuotesFetcher } from "../../supabase/functions/_shared/fetchers/exchange_quotes.ts";
import { createExchangeRatesFetcher } from "../../supabase/functions/_shared/fetchers/exchange_rates.ts";
import { fetchers } from "../../supabase/functions/_shared/fetchers/index.ts";
import type { Unit } from "./plan.ts";

/** Base URL that the recordings stand for. */
export const RECORDED_URL = "http://recorded.invalid/stable";

/** The fetcher of a unit. Throws when there is none for its data type. */
export function fetcherOf(unit: Unit): Fetcher {
  switch (unit.fetcher) {
    case "exchange quotes":
      return quotesOfExchange(unit.exchange ?? "") as Fetcher;
    case "market status":
      return createExchangeMarketStatusFetcher({
        holidayExchanges: () => unit.exchange === null ? [] : [unit.exchange],
      }) as Fetcher;
    case "rates of the open provider":
      return createExchangeRatesFetcher({
        source: () => "exchangerate-api",
        url: () => `${RECORDED_URL}/latest-usd`,
      }) as Fetcher;
    case "rates from pairs":
      return createExchangeRatesFetcher({
        source: () => "fmp",
        url: () => RECORDED_URL,
      }) as Fetcher;
    case "registry": {
      const fetcher = fetchers[unit.dataType];
      if (fetcher === undefined) {
        throw new RangeError(`Cannot replay ${unit.dataType}: there is no such fetcher`);
      }
      return fetcher;
    }
  }
}

/** The legacy endpoint's fetcher of a whole exchange, for jobs of its symbols. */
function quotesOfExchange(exchange: string): typeof exchangeQuotesFetcher {
  return {
    ...exchangeQuotesFetcher,
    dataType: "quote",
    maxSymbolsPerCall: Number.MAX_SAFE_INTEGER,
    request: (_symbols, context) => exchangeQuotesFetcher.request([exchange], context),
    toRows(quotes, symbols, receivedAt) {
      const fetched = exchangeQuotesFetcher.toRows(quotes, [exchange], receivedAt);
      const wanted = new Set(symbols);
      const rows = new Map<string, Row[]>();
      for (const row of fetched.rows.get(exchange) ?? []) {
        if (typeof row.symbol === "string" && wanted.has(row.symbol)) rows.set(row.symbol, [row]);
      }
      return { ...fetched, rows };
    },
  };
}
