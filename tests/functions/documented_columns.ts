/** What each column holds for an answer of the vendor, written down beside the code that fills it. */
import type { JsonValue } from "../../supabase/functions/_shared/fetchers/index.ts";

export type VendorRow = Record<string, JsonValue>;

/** The vendor's key of a column, or how the column's value is made from the vendor's row. */
export type Source = string | ((row: VendorRow) => JsonValue);

/** A data type whose answers become rows one by one. */
export interface DocumentedColumns {
  dataType: string;
  /** Example file of the path that is asked for this type. */
  file: string;
  /** Columns that tell the rows of a symbol apart. */
  key: readonly string[];
  /** Every column of the table but those that the database sets. */
  columns: Readonly<Record<string, Source>>;
}

const present = (key: string): Source => (row) =>
  row[key] === "" || row[key] === "N/A" ? null : row[key] ?? null;
const whole = (key: string): Source => (row) => {
  const value = row[key];
  return value === null || value === "" ? null : Math.trunc(Number(value));
};

/** The value of each column for a row of the vendor. */
export function documentedRow(
  columns: DocumentedColumns["columns"],
  row: VendorRow,
): Record<string, JsonValue> {
  return Object.fromEntries(
    Object.entries(columns).map(([column, source]) => [
      column,
      typeof source === "string" ? row[source] ?? null : source(row),
    ]),
  );
}

export const quoteColumns: DocumentedColumns["columns"] = {
  symbol: "symbol",
  current_price: "price",
  change_percentage: "changePercentage",
  day_change: "change",
  volume: whole("volume"),
  day_low: "dayLow",
  day_high: "dayHigh",
  market_cap: whole("marketCap"),
  day_open: "open",
  previous_close: "previousClose",
  api_timestamp: "timestamp",
  sma_50d: "priceAvg50",
  sma_200d: "priceAvg200",
  year_high: "yearHigh",
  year_low: "yearLow",
  exchange: present("exchange"),
};

export const sharesFloatColumns: DocumentedColumns["columns"] = {
  symbol: "symbol",
  date: (row) => String(row.date).slice(0, 10),
  free_float: "freeFloat",
  float_shares: "floatShares",
  outstanding_shares: "outstandingShares",
};

export const availableExchangesColumns: DocumentedColumns["columns"] = {
  exchange: "exchange",
  name: present("name"),
  country_name: present("countryName"),
  country_code: present("countryCode"),
  symbol_suffix: present("symbolSuffix"),
  delay: present("delay"),
};

/** The types that are asked for by symbol with one call. */
export const DOCUMENTED: readonly DocumentedColumns[] = [
  {
    dataType: "profile",
    file: "profile.json",
    key: [],
    columns: {
      symbol: "symbol",
      price: "price",
      market_cap: whole("marketCap"),
      beta: "beta",
      last_dividend: "lastDividend",
      range: present("range"),
      change: "change",
      change_percentage: "changePercentage",
      volume: whole("volume"),
      average_volume: whole("averageVolume"),
      company_name: present("companyName"),
      display_company_name: present("companyName"),
      currency: present("currency"),
      cik: present("cik"),
      isin: present("isin"),
      cusip: present("cusip"),
      exchange_full_name: present("exchangeFullName"),
      exchange: present("exchange"),
      industry: present("industry"),
      website: present("website"),
      description: present("description"),
      ceo: present("ceo"),
      sector: present("sector"),
      country: present("country"),
      full_time_employees: whole("fullTimeEmployees"),
      phone: present("phone"),
      address: present("address"),
      city: present("city"),
      state: present("state"),
      zip: present("zip"),
      image: present("image"),
      ipo_date: present("ipoDate"),
      default_image: "defaultImage",
      is_etf: "isEtf",
      is_actively_trading: "isActivelyTrading",
      is_adr: "isAdr",
      is_fund: "isFund",
    },
  },
  {
    dataType: "ratios-ttm",
    file: "ratios-ttm.json",
    key: [],
    columns: {
      symbol: "symbol",
      gross_profit_margin_ttm: "grossProfitMarginTTM",
      ebit_margin_ttm: "ebitMarginTTM",
      ebitda_margin_ttm: "ebitdaMarginTTM",
      operating_profit_margin_ttm: "operatingProfitMarginTTM",
      pretax_profit_margin_ttm: "pretaxProfitMarginTTM",
      continuous_operations_profit_margin_ttm: "continuousOperationsProfitMarginTTM",
      net_profit_margin_ttm: "netProfitMarginTTM",
      bottom_line_profit_margin_ttm: "bottomLineProfitMarginTTM",
      receivables_turnover_ttm: "receivablesTurnoverTTM",
      payables_turnover_ttm: "payablesTurnoverTTM",
      inventory_turnover_ttm: "inventoryTurnoverTTM",
      fixed_asset_turnover_ttm: "fixedAssetTurnoverTTM",
      asset_turnover_ttm: "assetTurnoverTTM",
      current_ratio_ttm: "currentRatioTTM",
      quick_ratio_ttm: "quickRatioTTM",
      solvency_ratio_ttm: "solvencyRatioTTM",
      cash_ratio_ttm: "cashRatioTTM",
      price_to_earnings_ratio_ttm: "priceToEarningsRatioTTM",
      price_to_earnings_growth_ratio_ttm: "priceToEarningsGrowthRatioTTM",
      forward_price_to_earnings_growth_ratio_ttm: "forwardPriceToEarningsGrowthRatioTTM",
      price_to_book_ratio_ttm: "priceToBookRatioTTM",
      price_to_sales_ratio_ttm: "priceToSalesRatioTTM",
      price_to_free_cash_flow_ratio_ttm: "priceToFreeCashFlowRatioTTM",
      price_to_operating_cash_flow_ratio_ttm: "priceToOperatingCashFlowRatioTTM",
      debt_to_assets_ratio_ttm: "debtToAssetsRatioTTM",
      debt_to_equity_ratio_ttm: "debtToEquityRatioTTM",
      debt_to_capital_ratio_ttm: "debtToCapitalRatioTTM",
      long_term_debt_to_capital_ratio_ttm: "longTermDebtToCapitalRatioTTM",
      financial_leverage_ratio_ttm: "financialLeverageRatioTTM",
      working_capital_turnover_ratio_ttm: "workingCapitalTurnoverRatioTTM",
      operating_cash_flow_ratio_ttm: "operatingCashFlowRatioTTM",
      operating_cash_flow_sales_ratio_ttm: "operatingCashFlowSalesRatioTTM",
      free_cash_flow_operating_cash_flow_ratio_ttm: "freeCashFlowOperatingCashFlowRatioTTM",
      debt_service_coverage_ratio_ttm: "debtServiceCoverageRatioTTM",
      interest_coverage_ratio_ttm: "interestCoverageRatioTTM",
      short_term_operating_cash_flow_coverage_ratio_ttm:
        "shortTermOperatingCashFlowCoverageRatioTTM",
      operating_cash_flow_coverage_ratio_ttm: "operatingCashFlowCoverageRatioTTM",
      capital_expenditure_coverage_ratio_ttm: "capitalExpenditureCoverageRatioTTM",
      dividend_paid_and_capex_coverage_ratio_ttm: "dividendPaidAndCapexCoverageRatioTTM",
      dividend_payout_ratio_ttm: "dividendPayoutRatioTTM",
      dividend_yield_ttm: "dividendYieldTTM",
      enterprise_value_ttm: "enterpriseValueTTM",
      revenue_per_share_ttm: "revenuePerShareTTM",
      net_income_per_share_ttm: "netIncomePerShareTTM",
      interest_debt_per_share_ttm: "interestDebtPerShareTTM",
      cash_per_share_ttm: "cashPerShareTTM",
      book_value_per_share_ttm: "bookValuePerShareTTM",
      tangible_book_value_per_share_ttm: "tangibleBookValuePerShareTTM",
      shareholders_equity_per_share_ttm: "shareholdersEquityPerShareTTM",
      operating_cash_flow_per_share_ttm: "operatingCashFlowPerShareTTM",
      capex_per_share_ttm: "capexPerShareTTM",
      free_cash_flow_per_share_ttm: "freeCashFlowPerShareTTM",
      net_income_per_ebt_ttm: "netIncomePerEBTTTM",
      ebt_per_ebit_ttm: "ebtPerEbitTTM",
      price_to_fair_value_ttm: "priceToFairValueTTM",
      debt_to_market_cap_ttm: "debtToMarketCapTTM",
      effective_tax_rate_ttm: "effectiveTaxRateTTM",
      enterprise_value_multiple_ttm: "enterpriseValueMultipleTTM",
      dividend_per_share_ttm: "dividendPerShareTTM",
    },
  },
  {
    dataType: "dividend-history",
    file: "dividends.json",
    key: ["date"],
    columns: {
      symbol: "symbol",
      date: "date",
      record_date: present("recordDate"),
      payment_date: present("paymentDate"),
      declaration_date: present("declarationDate"),
      adj_dividend: "adjDividend",
      dividend: "dividend",
      yield: "yield",
      frequency: "frequency",
    },
  },
  {
    dataType: "revenue-segmentation",
    file: "revenue-product-segmentation.json",
    key: ["fiscal_year", "period", "date"],
    columns: {
      symbol: "symbol",
      fiscal_year: "fiscalYear",
      period: "period",
      date: "date",
      reported_currency: "reportedCurrency",
      data: "data",
    },
  },
  {
    dataType: "grades-historical",
    file: "grades-historical.json",
    key: ["date"],
    columns: {
      symbol: "symbol",
      date: "date",
      analyst_ratings_strong_buy: "analystRatingsStrongBuy",
      analyst_ratings_buy: "analystRatingsBuy",
      analyst_ratings_hold: "analystRatingsHold",
      analyst_ratings_sell: "analystRatingsSell",
      analyst_ratings_strong_sell: "analystRatingsStrongSell",
    },
  },
  {
    dataType: "shares-float",
    file: "shares-float.json",
    key: ["date"],
    columns: sharesFloatColumns,
  },
  {
    dataType: "exchange-variants",
    file: "search-exchange-variants.json",
    key: ["symbol_variant", "exchange_short_name"],
    columns: {
      // The symbol that is asked for, whose listings these are.
      symbol: () => "AAPL",
      symbol_variant: "symbol",
      exchange_short_name: "exchangeShortName",
      price: "price",
      beta: "beta",
      vol_avg: whole("volAvg"),
      mkt_cap: whole("mktCap"),
      last_div: "lastDiv",
      range: present("range"),
      changes: "changes",
      currency: present("currency"),
      cik: present("cik"),
      isin: present("isin"),
      cusip: present("cusip"),
      exchange: "exchange",
      dcf_diff: "dcfDiff",
      dcf: "dcf",
      image: "image",
      ipo_date: present("ipoDate"),
      default_image: "defaultImage",
      is_actively_trading: "isActivelyTrading",
    },
  },
];
