import { exchangeOf } from "./exchanges.ts";
import type { DividendPlan, Listing, ListingKind } from "./listing.ts";
import { between, hash32, uniform } from "./random.ts";

/** What the tables below say about a security; everything else is derived from its symbol. */
export interface Facts {
  price: number;
  /** Millions. */
  shares: number;
  country?: string;
  sector?: string;
  industry?: string;
  isAdr?: boolean;
  currency?: string;
  /** Billions of the reporting currency in a year, and net income as a part of it. */
  revenue?: number;
  margin?: number;
  reports?: string;
  yearEnd?: number;
  saturday?: boolean;
  /** Dividend of a year, per share. */
  dividend?: number;
  frequency?: DividendPlan["frequency"];
  employees?: number;
  ceo?: string;
  city?: string;
  state?: string;
  ipo?: string;
  cik?: string;
  isin?: string;
  cusip?: string;
  fractionalVolume?: boolean;
}

type Line = readonly [
  symbol: string,
  name: string,
  kind: ListingKind,
  exchange: string,
  facts: Facts,
];

const tech = "Technology";
const health = "Healthcare";
const finance = "Financial Services";
const cyclical = "Consumer Cyclical";
const defensive = "Consumer Defensive";
const communication = "Communication Services";
const industrials = "Industrials";

/**
 * Real tickers with figures of the right order of magnitude, not of any date. The first dozen
 * covers every kind of listing, so that a small universe already has the vendor's oddities.
 */
// deno-fmt-ignore: one security a line keeps the table readable
const lines: readonly Line[] = [
  ["AAPL", "Apple Inc.", "stock", "NASDAQ", { price: 264, shares: 14840.4, sector: tech, industry: "Consumer Electronics", revenue: 391, margin: 0.24, yearEnd: 9, saturday: true, dividend: 1.04, employees: 164000, ceo: "Timothy D. Cook", city: "Cupertino", state: "CA", ipo: "1980-12-12", cik: "0000320193", isin: "US0378331005", cusip: "037833100" }],
  ["MSFT", "Microsoft Corporation", "stock", "NASDAQ", { price: 512, shares: 7433.2, sector: tech, industry: "Software - Infrastructure", revenue: 245, margin: 0.36, yearEnd: 6, dividend: 3.32, employees: 228000, ceo: "Satya Nadella", city: "Redmond", state: "WA", ipo: "1986-03-13", cik: "0000789019" }],
  ["BRK-B", "Berkshire Hathaway Inc.", "stock", "NYSE", { price: 492, shares: 2157.3, sector: finance, industry: "Insurance - Diversified", revenue: 371, margin: 0.24, employees: 392400, city: "Omaha", state: "NE", ipo: "1996-05-09", cik: "0001067983" }],
  ["SPY", "SPDR S&P 500 ETF Trust", "etf", "AMEX", { price: 670, shares: 1015.2, dividend: 7.1, ipo: "1993-01-29" }],
  ["VFV.TO", "Vanguard S&P 500 Index ETF", "etf", "TSX", { price: 165.4, shares: 148.1, dividend: 1.6, ipo: "2012-11-02" }],
  ["0018.HK", "Oriental Enterprise Holdings Limited", "stock", "HKSE", { price: 0.405, shares: 2397.9, sector: communication, industry: "Publishing", revenue: 0.55, margin: 0.12, yearEnd: 3, dividend: 0.02, frequency: "Semi-Annual", employees: 760 }],
  ["APC.DE", "Apple Inc.", "stock", "XETRA", { price: 227.5, shares: 14840.4, country: "US", sector: tech, industry: "Consumer Electronics", revenue: 391, margin: 0.24, reports: "USD", yearEnd: 9, saturday: true, dividend: 0.9, employees: 164000, isin: "US0378331005" }],
  ["VOD.L", "Vodafone Group Public Limited Company", "stock", "LSE", { price: 88.6, shares: 24310.5, sector: communication, industry: "Telecommunications Services", revenue: 37, margin: 0.03, reports: "EUR", yearEnd: 3, dividend: 3.9, frequency: "Semi-Annual", employees: 92000 }],
  ["BABA", "Alibaba Group Holding Limited", "stock", "NYSE", { price: 168, shares: 2321.1, country: "CN", isAdr: true, sector: cyclical, industry: "Specialty Retail", revenue: 941, margin: 0.085, reports: "CNY", yearEnd: 3, dividend: 1.05, frequency: "Annual", employees: 124320, ipo: "2014-09-19" }],
  ["FXAIX", "Fidelity 500 Index Fund", "fund", "NASDAQ", { price: 234, shares: 2960, dividend: 2.6, ipo: "2011-05-04" }],
  ["NWSH", "Newhaven Shell Acquisition Corp.", "shell", "NASDAQ", { price: 10.02, shares: 28.75 }],
  ["SHOP.TO", "Shopify Inc.", "stock", "TSX", { price: 221, shares: 1299.4, country: "CA", sector: tech, industry: "Software - Application", revenue: 8.9, margin: 0.22, reports: "USD", employees: 8100, fractionalVolume: true }],
  ["GOOGL", "Alphabet Inc.", "stock", "NASDAQ", { price: 253, shares: 12104, sector: communication, industry: "Internet Content & Information", revenue: 350, margin: 0.286, dividend: 0.83, employees: 187100, ceo: "Sundar Pichai", city: "Mountain View", state: "CA", ipo: "2004-08-19" }],
  ["AMZN", "Amazon.com, Inc.", "stock", "NASDAQ", { price: 222, shares: 10664.9, sector: cyclical, industry: "Specialty Retail", revenue: 638, margin: 0.093, employees: 1556000, city: "Seattle", state: "WA", ipo: "1997-05-15" }],
  ["NVDA", "NVIDIA Corporation", "stock", "NASDAQ", { price: 183, shares: 24347, sector: tech, industry: "Semiconductors", revenue: 60.9, margin: 0.49, yearEnd: 1, dividend: 0.04, employees: 36000, city: "Santa Clara", state: "CA", ipo: "1999-01-22" }],
  ["META", "Meta Platforms, Inc.", "stock", "NASDAQ", { price: 733, shares: 2512.1, sector: communication, industry: "Internet Content & Information", revenue: 164.5, margin: 0.379, dividend: 2.1, employees: 74067, city: "Menlo Park", state: "CA", ipo: "2012-05-18" }],
  ["TSLA", "Tesla, Inc.", "stock", "NASDAQ", { price: 438, shares: 3325, sector: cyclical, industry: "Auto - Manufacturers", revenue: 97.7, margin: 0.073, employees: 125665, city: "Austin", state: "TX", ipo: "2010-06-29" }],
  ["JPM", "JPMorgan Chase & Co.", "stock", "NYSE", { price: 299, shares: 2749.7, sector: finance, industry: "Banks - Diversified", revenue: 270, margin: 0.216, dividend: 5.8, employees: 317233, city: "New York", state: "NY", ipo: "1980-03-17" }],
  ["V", "Visa Inc.", "stock", "NYSE", { price: 346, shares: 1930, sector: finance, industry: "Financial - Credit Services", revenue: 35.9, margin: 0.55, yearEnd: 9, dividend: 2.36, employees: 31600, ipo: "2008-03-19" }],
  ["JNJ", "Johnson & Johnson", "stock", "NYSE", { price: 192, shares: 2408.3, sector: health, industry: "Drug Manufacturers - General", revenue: 88.8, margin: 0.158, dividend: 5.08, employees: 138100, ipo: "1962-01-02" }],
  ["WMT", "Walmart Inc.", "stock", "NYSE", { price: 106, shares: 7972.9, sector: defensive, industry: "Discount Stores", revenue: 648, margin: 0.024, yearEnd: 1, dividend: 0.92, employees: 2100000, ipo: "1972-08-25" }],
  ["PG", "The Procter & Gamble Company", "stock", "NYSE", { price: 152, shares: 2339, sector: defensive, industry: "Household & Personal Products", revenue: 84, margin: 0.177, yearEnd: 6, dividend: 4.16, employees: 108000, ipo: "1962-01-02" }],
  ["XOM", "Exxon Mobil Corporation", "stock", "NYSE", { price: 115, shares: 4263.2, sector: "Energy", industry: "Oil & Gas Integrated", revenue: 339, margin: 0.099, dividend: 3.96, employees: 61000, ipo: "1962-01-02" }],
  ["UNH", "UnitedHealth Group Incorporated", "stock", "NYSE", { price: 362, shares: 905.7, sector: health, industry: "Medical - Healthcare Plans", revenue: 400, margin: 0.036, dividend: 8.62, employees: 400000, ipo: "1984-10-17" }],
  ["HD", "The Home Depot, Inc.", "stock", "NYSE", { price: 386, shares: 995.4, sector: cyclical, industry: "Home Improvement", revenue: 152.7, margin: 0.099, yearEnd: 1, dividend: 9.2, employees: 470100, ipo: "1981-09-22" }],
  ["KO", "The Coca-Cola Company", "stock", "NYSE", { price: 70, shares: 4303.6, sector: defensive, industry: "Beverages - Non-Alcoholic", revenue: 47, margin: 0.226, dividend: 2.04, employees: 69700, ipo: "1962-01-02" }],
  ["PEP", "PepsiCo, Inc.", "stock", "NASDAQ", { price: 152, shares: 1369, sector: defensive, industry: "Beverages - Non-Alcoholic", revenue: 91.9, margin: 0.104, dividend: 5.62, employees: 319000, ipo: "1972-06-01" }],
  ["COST", "Costco Wholesale Corporation", "stock", "NASDAQ", { price: 935, shares: 443.2, sector: defensive, industry: "Discount Stores", revenue: 254, margin: 0.029, yearEnd: 8, dividend: 5.0, employees: 333000, ipo: "1986-07-09" }],
  ["ORCL", "Oracle Corporation", "stock", "NYSE", { price: 291, shares: 2850.8, sector: tech, industry: "Software - Infrastructure", revenue: 53, margin: 0.198, yearEnd: 5, dividend: 1.9, employees: 162000, ipo: "1986-03-12" }],
  ["NFLX", "Netflix, Inc.", "stock", "NASDAQ", { price: 1115, shares: 424.9, sector: communication, industry: "Entertainment", revenue: 39, margin: 0.223, employees: 14000, ipo: "2002-05-23" }],
  ["DIS", "The Walt Disney Company", "stock", "NYSE", { price: 112, shares: 1798, sector: communication, industry: "Entertainment", revenue: 91.4, margin: 0.054, yearEnd: 9, saturday: true, dividend: 1.0, frequency: "Semi-Annual", employees: 176130, ipo: "1962-01-02" }],
  ["BA", "The Boeing Company", "stock", "NYSE", { price: 221, shares: 756.2, sector: industrials, industry: "Aerospace & Defense", revenue: 66.5, margin: -0.178, employees: 172000, ipo: "1962-01-02" }],
  ["F", "Ford Motor Company", "stock", "NYSE", { price: 13.6, shares: 3979.9, sector: cyclical, industry: "Auto - Manufacturers", revenue: 185, margin: 0.032, dividend: 0.6, employees: 171000, ipo: "1972-06-01" }],
  ["O", "Realty Income Corporation", "stock", "NYSE", { price: 60, shares: 914.3, sector: "Real Estate", industry: "REIT - Retail", revenue: 5.3, margin: 0.163, dividend: 3.2, frequency: "Monthly", employees: 468, ipo: "1994-10-18" }],
  ["NEE", "NextEra Energy, Inc.", "stock", "NYSE", { price: 84, shares: 2059.3, sector: "Utilities", industry: "Regulated Electric", revenue: 24.8, margin: 0.28, dividend: 2.27, employees: 16700 }],
  ["NEM", "Newmont Corporation", "stock", "NYSE", { price: 83, shares: 1098.4, sector: "Basic Materials", industry: "Gold", revenue: 18.7, margin: 0.179, dividend: 1.0, employees: 22200 }],
  ["QQQ", "Invesco QQQ Trust", "etf", "NASDAQ", { price: 606, shares: 393.1, dividend: 2.9, ipo: "1999-03-10" }],
  ["VTI", "Vanguard Total Stock Market Index Fund ETF", "etf", "AMEX", { price: 330, shares: 1680, dividend: 3.8, ipo: "2001-05-31" }],
  ["IWM", "iShares Russell 2000 ETF", "etf", "AMEX", { price: 246, shares: 281.4, dividend: 2.5, ipo: "2000-05-26" }],
  ["GLD", "SPDR Gold Shares", "etf", "AMEX", { price: 378, shares: 365.2, ipo: "2004-11-18" }],
  ["VFIAX", "Vanguard 500 Index Fund Admiral Shares", "fund", "NASDAQ", { price: 618, shares: 950, dividend: 7.3, ipo: "2000-11-13" }],
  ["TSM", "Taiwan Semiconductor Manufacturing Company Limited", "stock", "NYSE", { price: 295, shares: 5186.5, country: "TW", isAdr: true, sector: tech, industry: "Semiconductors", revenue: 2894, margin: 0.405, reports: "TWD", dividend: 2.9, employees: 83825, ipo: "1997-10-09" }],
  ["NVO", "Novo Nordisk A/S", "stock", "NYSE", { price: 53, shares: 4440.1, country: "DK", isAdr: true, sector: health, industry: "Drug Manufacturers - General", revenue: 290, margin: 0.348, reports: "DKK", dividend: 1.65, frequency: "Semi-Annual", employees: 77349, ipo: "1981-04-30" }],
  ["TM", "Toyota Motor Corporation", "stock", "NYSE", { price: 206, shares: 1303.4, country: "JP", isAdr: true, sector: cyclical, industry: "Auto - Manufacturers", revenue: 45095, margin: 0.11, reports: "JPY", yearEnd: 3, dividend: 5.9, frequency: "Semi-Annual", employees: 383853, ipo: "1980-03-17" }],
  ["SAP.DE", "SAP SE", "stock", "XETRA", { price: 233, shares: 1166.2, sector: tech, industry: "Software - Application", revenue: 34.2, margin: 0.091, dividend: 2.35, frequency: "Annual", employees: 109973 }],
  ["0700.HK", "Tencent Holdings Limited", "stock", "HKSE", { price: 635, shares: 9134.2, country: "CN", sector: communication, industry: "Internet Content & Information", revenue: 660, margin: 0.294, reports: "CNY", dividend: 4.5, frequency: "Annual", employees: 110558 }],
  ["7203.T", "Toyota Motor Corporation", "stock", "JPX", { price: 3160, shares: 13033.6, sector: cyclical, industry: "Auto - Manufacturers", revenue: 45095, margin: 0.11, yearEnd: 3, dividend: 95, frequency: "Semi-Annual", employees: 383853 }],
  ["HSBA.L", "HSBC Holdings plc", "stock", "LSE", { price: 1003, shares: 17176, sector: finance, industry: "Banks - Diversified", revenue: 144, margin: 0.167, reports: "USD", dividend: 51, employees: 211304 }],
  ["RY.TO", "Royal Bank of Canada", "stock", "TSX", { price: 205, shares: 1405.1, sector: finance, industry: "Banks - Diversified", revenue: 134, margin: 0.12, yearEnd: 10, dividend: 6.16, employees: 98628 }],
  ["MC.PA", "LVMH Moet Hennessy - Louis Vuitton", "stock", "PAR", { price: 612, shares: 497.6, sector: cyclical, industry: "Luxury Goods", revenue: 84.7, margin: 0.148, dividend: 13, frequency: "Semi-Annual", employees: 213268 }],
  ["ASML.AS", "ASML Holding N.V.", "stock", "AMS", { price: 889, shares: 388.2, sector: tech, industry: "Semiconductors", revenue: 28.3, margin: 0.268, dividend: 6.4, employees: 43129 }],
  ["NESN.SW", "Nestle S.A.", "stock", "SIX", { price: 81.9, shares: 2571.8, sector: defensive, industry: "Packaged Foods", revenue: 92, margin: 0.118, dividend: 3.05, frequency: "Annual", employees: 277000 }],
  ["BHP.AX", "BHP Group Limited", "stock", "ASX", { price: 43.5, shares: 5075.7, sector: "Basic Materials", industry: "Industrial Materials", revenue: 55.7, margin: 0.142, reports: "USD", yearEnd: 6, dividend: 1.7, frequency: "Semi-Annual", employees: 38478 }],
  ["000001.SZ", "Ping An Bank Co., Ltd.", "stock", "SHZ", { price: 11.5, shares: 19405.9, sector: finance, industry: "Banks - Regional", revenue: 146, margin: 0.3, dividend: 0.6, frequency: "Annual", employees: 41698 }],
  ["600519.SS", "Kweichow Moutai Co., Ltd.", "stock", "SHH", { price: 1455, shares: 1252.3, sector: defensive, industry: "Beverages - Wineries & Distilleries", revenue: 171, margin: 0.5, dividend: 51, frequency: "Semi-Annual", employees: 34757 }],
  ["RELIANCE.NS", "Reliance Industries Limited", "stock", "NSE", { price: 1452, shares: 13532.5, sector: "Energy", industry: "Oil & Gas Refining & Marketing", revenue: 9010, margin: 0.077, yearEnd: 3, dividend: 5.5, frequency: "Annual", employees: 347362 }],
];

/** The well-known listings in their fixed order. */
export function wellKnownListings(): Listing[] {
  return lines.map(([symbol, name, kind, exchange, facts]) =>
    completeListing(symbol, name, kind, exchange, facts)
  );
}

/** Fills in what the facts leave open, from the symbol alone. */
export function completeListing(
  symbol: string,
  name: string,
  kind: ListingKind,
  exchangeCode: string,
  facts: Facts,
): Listing {
  const exchange = exchangeOf(exchangeCode);
  const isStock = kind === "stock";
  const american = exchange.countryCode === "US";
  const country = facts.country ?? exchange.countryCode;
  const currency = facts.currency ?? exchange.currency;
  const code = String(hash32(symbol)).padStart(9, "0").slice(-9);
  return {
    symbol,
    name,
    kind,
    isAdr: facts.isAdr ?? false,
    exchange: exchangeCode,
    currency,
    country,
    sector: facts.sector ?? (isStock ? "" : finance),
    industry: facts.industry ?? (isStock ? "" : "Asset Management"),
    basePrice: facts.price,
    volatility: isStock ? between(0.18, 0.55, symbol, "volatility") : 0.15,
    averageVolume: Math.max(
      1,
      Math.round(facts.shares * 1e6 * between(0.001, 0.01, symbol, "turn")),
    ),
    places: facts.price < 1 ? 4 : 2,
    fractionalVolume: facts.fractionalVolume ?? kind === "shell",
    sharesOutstanding: Math.round(facts.shares * 1e6),
    beta: Math.round(between(0.3, 1.9, symbol, "beta") * 1000) / 1000,
    employees: facts.employees === undefined ? null : String(facts.employees),
    cik: facts.cik ?? (isStock && american ? `0${code}` : null),
    isin: facts.isin ?? (isStock ? `${country}${code}0` : ""),
    cusip: facts.cusip ?? (isStock && american ? code : ""),
    ceo: facts.ceo ?? "",
    city: facts.city ?? null,
    state: facts.state ?? null,
    ipoDate: facts.ipo ?? "",
    dividend: facts.dividend === undefined
      ? null
      : { perYear: facts.dividend, frequency: facts.frequency ?? "Quarterly" },
    business: facts.revenue === undefined ? null : {
      currency: facts.reports ?? currency.replace("GBp", "GBP"),
      revenue: facts.revenue * 1e9,
      netMargin: facts.margin ?? 0.1,
      growth: between(-0.02, 0.14, symbol, "growth"),
      yearEndMonth: facts.yearEnd ?? 12,
      endsOnSaturday: facts.saturday ?? false,
      firstFiscalYear: facts.ipo ? Math.max(1990, Number(facts.ipo.slice(0, 4)) - 1) : 2004,
    },
    lastTradedAt: null,
    liveOnlyKeys: facts.cik !== undefined || uniform(symbol, "live keys") < 0.6,
  };
}
