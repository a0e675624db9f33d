/** One exchange: its row in available-exchanges and its trading day. */
export interface Exchange {
  code: string;
  name: string;
  /** Name on a profile, where it differs from `name`. */
  fullName: string;
  countryName: string;
  countryCode: string;
  /** Ticker suffix with its dot, or the literal "N/A". */
  suffix: string;
  delay: string | null;
  currency: string;
  timezone: string;
  /** Sessions in local time, "HH:MM" in 24 hours; two where there is a lunch break. */
  sessions: readonly { opens: string; closes: string }[];
}

type Line = readonly [
  code: string,
  name: string,
  countryName: string,
  countryCode: string,
  suffix: string,
  delay: string | null,
  currency: string,
  timezone: string,
  sessions: string,
];

const us = "United States of America";
// deno-fmt-ignore: one exchange a line keeps the table readable
const lines: readonly Line[] = [
  ["AMEX", "New York Stock Exchange Arca", us, "US", "N/A", "Real-time", "USD", "America/New_York", "09:30-16:00"],
  ["AMS", "Euronext Amsterdam", "Netherlands", "NL", ".AS", "Real-time", "EUR", "Europe/Amsterdam", "09:00-17:30"],
  ["AQS", "Aquis Stock Exchange", "United Kingdom", "GB", ".AQ", "15 min", "GBp", "Europe/London", "08:00-16:30"],
  ["ASX", "Australian Securities Exchange", "Australia", "AU", ".AX", "20 min", "AUD", "Australia/Sydney", "10:00-16:00"],
  ["ATH", "Athens Stock Exchange", "Greece", "GR", ".AT", "15 min", "EUR", "Europe/Athens", "10:15-17:20"],
  ["BER", "Boerse Berlin", "Germany", "DE", ".BE", "15 min", "EUR", "Europe/Berlin", "08:00-20:00"],
  ["BME", "Bolsa de Madrid", "Spain", "ES", ".MC", "15 min", "EUR", "Europe/Madrid", "09:00-17:35"],
  ["BRU", "Euronext Brussels", "Belgium", "BE", ".BR", "Real-time", "EUR", "Europe/Brussels", "09:00-17:30"],
  ["BSE", "Bombay Stock Exchange", "India", "IN", ".BO", "Real-time", "INR", "Asia/Kolkata", "09:15-15:30"],
  ["BUD", "Budapest Stock Exchange", "Hungary", "HU", ".BD", "15 min", "HUF", "Europe/Budapest", "09:00-17:00"],
  ["BUE", "Buenos Aires Stock Exchange", "Argentina", "AR", ".BA", "30 min", "ARS", "America/Argentina/Buenos_Aires", "11:00-17:00"],
  ["BVC", "Bolsa de Valores de Colombia", "Colombia", "CO", ".CL", "15 min", "COP", "America/Bogota", "09:30-16:00"],
  ["CAI", "Egyptian Exchange", "Egypt", "EG", ".CA", "20 min", "EGP", "Africa/Cairo", "10:00-14:30"],
  ["CBOE", "Cboe US Equities", us, "US", "N/A", "Real-time", "USD", "America/New_York", "09:30-16:00"],
  ["CNQ", "Canadian Securities Exchange", "Canada", "CA", ".CN", "15 min", "CAD", "America/Toronto", "09:30-16:00"],
  ["CPH", "Nasdaq Copenhagen", "Denmark", "DK", ".CO", "Real-time", "DKK", "Europe/Copenhagen", "09:00-17:00"],
  ["DFM", "Dubai Financial Market", "United Arab Emirates", "AE", ".AE", "15 min", "AED", "Asia/Dubai", "10:00-15:00"],
  ["DOH", "Qatar Stock Exchange", "Qatar", "QA", ".QA", "15 min", "QAR", "Asia/Qatar", "09:30-13:10"],
  ["DUB", "Euronext Dublin", "Ireland", "IE", ".IR", "15 min", "EUR", "Europe/Dublin", "08:00-16:30"],
  ["DUS", "Boerse Duesseldorf", "Germany", "DE", ".DU", "15 min", "EUR", "Europe/Berlin", "08:00-20:00"],
  ["EGX", "Nile Stock Exchange", "Egypt", "EG", ".EG", null, "EGP", "Africa/Cairo", "10:00-14:30"],
  ["FRA", "Frankfurt Stock Exchange", "Germany", "DE", ".F", "15 min", "EUR", "Europe/Berlin", "08:00-22:00"],
  ["HAM", "Boerse Hamburg", "Germany", "DE", ".HM", "15 min", "EUR", "Europe/Berlin", "08:00-22:00"],
  ["HEL", "Nasdaq Helsinki", "Finland", "FI", ".HE", "Real-time", "EUR", "Europe/Helsinki", "10:00-18:30"],
  ["HKSE", "Hong Kong Stock Exchange", "Hong Kong", "HK", ".HK", "15 min", "HKD", "Asia/Hong_Kong", "09:30-16:00"],
  ["HOSE", "Ho Chi Minh Stock Exchange", "Vietnam", "VN", ".VN", "15 min", "VND", "Asia/Ho_Chi_Minh", "09:00-11:30 13:00-14:45"],
  ["ICE", "Nasdaq Iceland", "Iceland", "IS", ".IC", "Real-time", "ISK", "Atlantic/Reykjavik", "09:30-15:30"],
  ["IOB", "London International Order Book", "United Kingdom", "GB", ".IL", "20 min", "USD", "Europe/London", "08:15-15:45"],
  ["IST", "Borsa Istanbul", "Turkey", "TR", ".IS", "15 min", "TRY", "Europe/Istanbul", "10:00-18:00"],
  ["JKT", "Indonesia Stock Exchange", "Indonesia", "ID", ".JK", "10 min", "IDR", "Asia/Jakarta", "09:00-12:00 13:30-15:50"],
  ["JNB", "Johannesburg Stock Exchange", "South Africa", "ZA", ".JO", "15 min", "ZAc", "Africa/Johannesburg", "09:00-17:00"],
  ["JPX", "Tokyo Stock Exchange", "Japan", "JP", ".T", "20 min", "JPY", "Asia/Tokyo", "09:00-11:30 12:30-15:30"],
  ["KLS", "Bursa Malaysia", "Malaysia", "MY", ".KL", "15 min", "MYR", "Asia/Kuala_Lumpur", "09:00-17:00"],
  ["KOE", "KOSDAQ", "South Korea", "KR", ".KQ", "20 min", "KRW", "Asia/Seoul", "09:00-15:30"],
  ["KSC", "Korea Exchange", "South Korea", "KR", ".KS", "20 min", "KRW", "Asia/Seoul", "09:00-15:30"],
  ["KUW", "Boursa Kuwait", "Kuwait", "KW", ".KW", "15 min", "KWF", "Asia/Kuwait", "09:00-12:40"],
  ["LIS", "Euronext Lisbon", "Portugal", "PT", ".LS", "Real-time", "EUR", "Europe/Lisbon", "08:00-16:30"],
  ["LSE", "London Stock Exchange", "United Kingdom", "GB", ".L", "15 min", "GBp", "Europe/London", "08:00-16:30"],
  ["MEX", "Mexican Stock Exchange", "Mexico", "MX", ".MX", "20 min", "MXN", "America/Mexico_City", "08:30-15:00"],
  ["MIL", "Borsa Italiana", "Italy", "IT", ".MI", "Real-time", "EUR", "Europe/Rome", "09:00-17:30"],
  ["MUN", "Boerse Muenchen", "Germany", "DE", ".MU", "15 min", "EUR", "Europe/Berlin", "08:00-20:00"],
  ["NASDAQ", "NASDAQ", us, "US", "N/A", "Real-time", "USD", "America/New_York", "09:30-16:00"],
  ["NEO", "Cboe Canada", "Canada", "CA", ".NE", "15 min", "CAD", "America/Toronto", "09:30-16:00"],
  ["NSE", "National Stock Exchange of India", "India", "IN", ".NS", "Real-time", "INR", "Asia/Kolkata", "09:15-15:30"],
  ["NYSE", "New York Stock Exchange", us, "US", "N/A", "Real-time", "USD", "America/New_York", "09:30-16:00"],
  ["NZE", "New Zealand Exchange", "New Zealand", "NZ", ".NZ", "20 min", "NZD", "Pacific/Auckland", "10:00-16:45"],
  ["OSL", "Oslo Bors", "Norway", "NO", ".OL", "Real-time", "NOK", "Europe/Oslo", "09:00-16:20"],
  ["OTC", "OTC Markets", us, "US", "N/A", "15 min", "USD", "America/New_York", "09:30-16:00"],
  ["PAR", "Euronext Paris", "France", "FR", ".PA", "Real-time", "EUR", "Europe/Paris", "09:00-17:30"],
  ["PRA", "Prague Stock Exchange", "Czech Republic", "CZ", ".PR", "20 min", "CZK", "Europe/Prague", "09:00-16:20"],
  ["RIS", "Nasdaq Riga", "Latvia", "LV", ".RG", "Real-time", "EUR", "Europe/Riga", "10:00-16:00"],
  ["SAO", "B3 Sao Paulo", "Brazil", "BR", ".SA", "15 min", "BRL", "America/Sao_Paulo", "10:00-17:00"],
  ["SAU", "Saudi Exchange", "Saudi Arabia", "SA", ".SR", "15 min", "SAR", "Asia/Riyadh", "10:00-15:00"],
  ["SES", "Singapore Exchange", "Singapore", "SG", ".SI", "20 min", "SGD", "Asia/Singapore", "09:00-12:00 13:00-17:00"],
  ["SET", "Stock Exchange of Thailand", "Thailand", "TH", ".BK", "15 min", "THB", "Asia/Bangkok", "10:00-12:30 14:00-16:30"],
  ["SGO", "Santiago Stock Exchange", "Chile", "CL", ".SN", "15 min", "CLP", "America/Santiago", "09:30-16:00"],
  ["SHH", "Shanghai Stock Exchange", "China", "CN", ".SS", "30 min", "CNY", "Asia/Shanghai", "09:30-11:30 13:00-15:00"],
  ["SHZ", "Shenzhen Stock Exchange", "China", "CN", ".SZ", "30 min", "CNY", "Asia/Shanghai", "09:30-11:30 13:00-15:00"],
  ["SIX", "SIX Swiss Exchange", "Switzerland", "CH", ".SW", "Real-time", "CHF", "Europe/Zurich", "09:00-17:30"],
  ["STO", "Nasdaq Stockholm", "Sweden", "SE", ".ST", "Real-time", "SEK", "Europe/Stockholm", "09:00-17:30"],
  ["STU", "Boerse Stuttgart", "Germany", "DE", ".SG", "15 min", "EUR", "Europe/Berlin", "08:00-22:00"],
  ["TAI", "Taiwan Stock Exchange", "Taiwan", "TW", ".TW", "20 min", "TWD", "Asia/Taipei", "09:00-13:30"],
  ["TLV", "Tel Aviv Stock Exchange", "Israel", "IL", ".TA", "20 min", "ILA", "Asia/Jerusalem", "09:59-17:15"],
  ["TSX", "Toronto Stock Exchange", "Canada", "CA", ".TO", "15 min", "CAD", "America/Toronto", "09:30-16:00"],
  ["TSXV", "TSX Venture Exchange", "Canada", "CA", ".V", "15 min", "CAD", "America/Toronto", "09:30-16:00"],
  ["VIE", "Vienna Stock Exchange", "Austria", "AT", ".VI", "15 min", "EUR", "Europe/Vienna", "09:00-17:30"],
  ["WSE", "Warsaw Stock Exchange", "Poland", "PL", ".WA", "15 min", "PLN", "Europe/Warsaw", "09:00-17:00"],
  ["XETRA", "Deutsche Boerse Xetra", "Germany", "DE", ".DE", "15 min", "EUR", "Europe/Berlin", "09:00-17:30"],
];

const profileNames: Record<string, string> = {
  NASDAQ: "NASDAQ Global Select",
  XETRA: "Frankfurt Stock Exchange",
  HKSE: "HKSE",
};

/** All exchanges by code, in code order. */
export const exchanges: ReadonlyMap<string, Exchange> = new Map(
  lines.map((line) => {
    const [code, name, countryName, countryCode, suffix, delay, currency, timezone, hours] = line;
    const sessions = hours.split(" ").map((session) => {
      const [opens = "", closes = ""] = session.split("-");
      return { opens, closes };
    });
    const fullName = profileNames[code] ?? name;
    return [code, {
      code,
      name,
      fullName,
      countryName,
      countryCode,
      suffix,
      delay,
      currency,
      timezone,
      sessions,
    }];
  }),
);

/** The exchange with a code that is known to exist. */
export function exchangeOf(code: string): Exchange {
  const exchange = exchanges.get(code);
  if (!exchange) throw new Error(`Cannot find the exchange "${code}" in the simulator's table`);
  return exchange;
}
