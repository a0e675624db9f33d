/** The vendor's documented example answers, one row each; those of statements are in statement_examples.ts. */

import errorRows from "../fixtures/fmp/error-bodies.json" with { type: "json" };

/** The row of `quote?symbol=AAPL`. */
export const quoteExample = {
  "symbol": "AAPL",
  "name": "Apple Inc.",
  "price": 232.8,
  "changePercentage": 2.1008,
  "change": 4.79,
  "volume": 44489128,
  "dayLow": 226.65,
  "dayHigh": 233.13,
  "yearHigh": 260.1,
  "yearLow": 164.08,
  "marketCap": 3500823120000,
  "priceAvg50": 240.2278,
  "priceAvg200": 219.98755,
  "exchange": "NASDAQ",
  "open": 227.2,
  "previousClose": 228.01,
  "timestamp": 1738702801,
};

/** The row of `quote?symbol=EURUSD`. */
export const forexQuoteExample = {
  "symbol": "EURUSD",
  "name": "EUR/USD",
  "price": 1.16269,
  "changePercentage": 0.07590828,
  "change": 0.00088191,
  "volume": 140619,
  "dayLow": 1.16009,
  "dayHigh": 1.16503,
  "yearHigh": 1.19188,
  "yearLow": 1.01779,
  "marketCap": null,
  "priceAvg50": 1.16975,
  "priceAvg200": 1.14571,
  "exchange": "FOREX",
  "open": 1.16168,
  "previousClose": 1.16181,
  "timestamp": 1761350400,
};

/** The row of `profile?symbol=AAPL`. */
export const profileExample = {
  "symbol": "AAPL",
  "price": 262.82,
  "marketCap": 3900351299800,
  "beta": 1.086,
  "lastDividend": 1.05,
  "range": "169.21-265.29",
  "change": 3.24,
  "changePercentage": 1.24817,
  "volume": 36725325,
  "averageVolume": 44645993,
  "companyName": "Apple Inc.",
  "currency": "USD",
  "cik": "0000320193",
  "isin": "US0378331005",
  "cusip": "037833100",
  "exchangeFullName": "NASDAQ Global Select",
  "exchange": "NASDAQ",
  "industry": "Consumer Electronics",
  "website": "https://www.apple.com",
  "description": "Apple Inc. makes phones, computers and wearables, and sells services for them.",
  "ceo": "Timothy D. Cook",
  "sector": "Technology",
  "country": "US",
  "fullTimeEmployees": "164000",
  "phone": "(408) 996-1010",
  "address": "One Apple Park Way",
  "city": "Cupertino",
  "state": "CA",
  "zip": "95014",
  "image": "https://images.financialmodelingprep.com/symbol/AAPL.png",
  "ipoDate": "1980-12-12",
  "defaultImage": false,
  "isEtf": false,
  "isActivelyTrading": true,
  "isAdr": false,
  "isFund": false,
};

/** The row of `dividends?symbol=AAPL`. */
export const dividendExample = {
  "symbol": "AAPL",
  "date": "2026-05-11",
  "recordDate": "2026-05-11",
  "paymentDate": "2026-05-14",
  "declarationDate": "2026-04-30",
  "adjDividend": 0.27,
  "dividend": 0.27,
  "yield": 0.3587535875358754,
  "frequency": "Quarterly",
};

/** The row of `revenue-product-segmentation?symbol=AAPL`. */
export const segmentationExample = {
  "symbol": "AAPL",
  "fiscalYear": 2024,
  "period": "FY",
  "reportedCurrency": null,
  "date": "2024-09-28",
  "data": {
    "Mac": 29984000000,
    "Service": 96169000000,
    "Wearables, Home and Accessories": 37005000000,
    "iPad": 26694000000,
    "iPhone": 201183000000,
  },
};

/** The row of `grades-historical?symbol=AAPL`. */
export const gradesExample = {
  "symbol": "AAPL",
  "date": "2026-06-01",
  "analystRatingsStrongBuy": 7,
  "analystRatingsBuy": 23,
  "analystRatingsHold": 15,
  "analystRatingsSell": 1,
  "analystRatingsStrongSell": 2,
};

/** The row of `search-exchange-variants?symbol=AAPL`. */
export const variantExample = {
  "symbol": "AAPL",
  "price": 262.82,
  "beta": 1.086,
  "volAvg": 44645993,
  "mktCap": 3900351299800,
  "lastDiv": 1.05,
  "range": "195.07-316.94",
  "changes": 3.24,
  "companyName": "Apple Inc.",
  "currency": "USD",
  "cik": "0000320193",
  "isin": "US0378331005",
  "cusip": "037833100",
  "exchange": "NASDAQ Global Select",
  "exchangeShortName": "NASDAQ",
  "industry": "Consumer Electronics",
  "website": "https://www.apple.com",
  "description": "Apple Inc. makes phones, computers and wearables, and sells services for them.",
  "ceo": "Timothy D. Cook",
  "sector": "Technology",
  "country": "US",
  "fullTimeEmployees": "164000",
  "phone": "(408) 996-1010",
  "address": "One Apple Park Way",
  "city": "Cupertino",
  "state": "CA",
  "zip": "95014",
  "dcfDiff": 162.74174,
  "dcf": 144.59825927349374,
  "image": "https://images.financialmodelingprep.com/symbol/AAPL.png",
  "ipoDate": "1980-12-12",
  "defaultImage": false,
  "isEtf": false,
  "isActivelyTrading": true,
  "isAdr": false,
  "isFund": false,
};

/** The row of `shares-float?symbol=AAPL`. */
export const sharesFloatExample = {
  "symbol": "AAPL",
  "date": "2026-06-05 08:13:10",
  "freeFloat": 99.83099999754891,
  "floatShares": 14662534368,
  "outstandingShares": 14687356000,
  "source": "https://www.sec.gov/Archives/edgar/data/320193/000032019326000013/aapl-20260328.htm",
};

/** A row of `shares-float-all`. */
export const sharesFloatAllExample = {
  "symbol": "000001.SZ",
  "date": "2026-06-06 09:23:35",
  "freeFloat": 41.40900000201062,
  "floatShares": 8035796667,
  "outstandingShares": 19405918198,
};

/** A row of `available-exchanges`. */
export const availableExchangeExample = {
  "exchange": "AMEX",
  "name": "New York Stock Exchange Arca",
  "countryName": "United States of America",
  "countryCode": "US",
  "symbolSuffix": "N/A",
  "delay": "Real-time",
};

/** A row of `all-exchange-market-hours`. */
export const marketHoursExample = {
  "exchange": "NASDAQ",
  "name": "NASDAQ",
  "openingHour": "09:30 AM -04:00",
  "closingHour": "04:00 PM -04:00",
  "timezone": "America/New_York",
  "isMarketOpen": false,
};

/** A row of `holidays-by-exchange?exchange=NASDAQ`. */
export const holidayExample = {
  "exchange": "NASDAQ",
  "date": "2026-04-03",
  "name": "Good Friday",
  "isClosed": true,
  "adjOpenTime": null,
  "adjCloseTime": null,
};

/** A row of `batch-forex-quotes`. */
export const shortForexExample = {
  "symbol": "AEDAUD",
  "price": 0.4182,
  "change": 0.0008136291,
  "volume": 0,
};

/** Answers that are not data, as seen from the vendor. */
export const errorBodies: readonly { case: string; status: number; body: string }[] = [
  ...errorRows,
  {
    // Of an endpoint that the simulator does not have.
    case: "page number above the endpoint's ceiling",
    status: 400,
    body: "Maxmium Query Parameter: The maximum page number for this endpoint is '100'",
  },
];
