/** Which fetcher takes a recorded answer, by the endpoint it was recorded from. */

/** How the fetcher of a replay is made; `registry` takes the one of the data type. */
export type FetcherKind =
  | "registry"
  | "exchange quotes"
  | "market status"
  | "rates of the open provider"
  | "rates from pairs";

/** Where the symbols of the jobs come from. */
export type SymbolSource =
  /** The label, when it is a symbol of the answer; else the rows. */
  | "label"
  /** The label, when it is a symbol of the answer; else the main one of the listings. */
  | "main listing"
  /** The rows: the answer is about several symbols. */
  | "rows"
  /** None: the data type is not about symbols. */
  | "global";

export interface Endpoint {
  dataType: string;
  fetcher: FetcherKind;
  symbols: SymbolSource;
  /** How recordings become one job: the three statements of a symbol, pages, hours with holidays. */
  joined?: "statements" | "pages" | "holidays";
}

export const INCOME = "income-statement";
export const BALANCE = "balance-sheet-statement";
export const CASH_FLOW = "cash-flow-statement";
export const HOURS = "all-exchange-market-hours";
export const HOLIDAYS = "holidays-by-exchange";

const perSymbol = (dataType: string, symbols: SymbolSource = "label"): Endpoint => ({
  dataType,
  fetcher: "registry",
  symbols,
});
const statement: Endpoint = { ...perSymbol("financial-statements"), joined: "statements" };
const hours: Endpoint = {
  dataType: "exchange-market-status",
  fetcher: "market status",
  symbols: "global",
};
const openRates: Endpoint = {
  dataType: "exchange-rates",
  fetcher: "rates of the open provider",
  symbols: "global",
};

const ENDPOINTS: Readonly<Record<string, Endpoint>> = {
  "quote": perSymbol("quote"),
  "quote-forex": perSymbol("quote"),
  "batch-quote": perSymbol("quote", "rows"),
  "batch-exchange-quote": { dataType: "quote", fetcher: "exchange quotes", symbols: "rows" },
  "profile": perSymbol("profile"),
  [INCOME]: statement,
  [BALANCE]: statement,
  [CASH_FLOW]: statement,
  "ratios-ttm": perSymbol("ratios-ttm"),
  "dividends": perSymbol("dividend-history"),
  "revenue-product-segmentation": perSymbol("revenue-segmentation"),
  "grades-historical": perSymbol("grades-historical"),
  "search-exchange-variants": perSymbol("exchange-variants", "main listing"),
  "shares-float": perSymbol("shares-float"),
  "shares-float-all": { ...perSymbol("shares-float-all", "global"), joined: "pages" },
  "available-exchanges": perSymbol("available-exchanges", "global"),
  [HOURS]: hours,
  "exchange-market-hours": hours,
  [HOLIDAYS]: { ...hours, joined: "holidays" },
  "batch-forex-quotes": {
    dataType: "exchange-rates",
    fetcher: "rates from pairs",
    symbols: "global",
  },
  "latest-usd": openRates,
  "v6-latest-usd": openRates,
  "exchange-rates": openRates,
};

const SHORT = "a short quote lacks keys that the row needs; record quote or batch-quote";

const UNUSABLE: Readonly<Record<string, string>> = {
  "quote-short": SHORT,
  "batch-quote-short": SHORT,
};

/** The endpoint's place, or a sentence why its answers are of no use. */
export function endpointOf(name: string): Endpoint | string {
  const key = name.toLowerCase().replace(/^stable-/, "");
  if (Object.hasOwn(ENDPOINTS, key)) return ENDPOINTS[key]!;
  return Object.hasOwn(UNUSABLE, key) ? UNUSABLE[key]! : "no data type uses this endpoint";
}

/** The path that the fetcher asks for answers of this endpoint. */
export function askedPath(name: string): string {
  const key = name.toLowerCase().replace(/^stable-/, "");
  return key === "exchange-market-hours" ? HOURS : key;
}
