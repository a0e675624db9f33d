import type { Instrument } from "./market.ts";

/** "shell" is a newly listed company of which the vendor knows next to nothing. */
export type ListingKind = "stock" | "etf" | "fund" | "shell";

/** How a dividend comes. */
export interface DividendPlan {
  /** Paid in a year, per share, in the listing's currency. */
  perYear: number;
  frequency: "Quarterly" | "Semi-Annual" | "Monthly" | "Annual";
}

/** Yearly figures that the statements are spread from. */
export interface Business {
  currency: string;
  /** Revenue of fiscal year 2024. */
  revenue: number;
  /** Net income as a part of revenue; negative for a loss. */
  netMargin: number;
  /** Growth of revenue in a year: 0.05 is 5 %. */
  growth: number;
  /** Month in which the fiscal year ends, 1 to 12. */
  yearEndMonth: number;
  /** The year ends on the month's last Saturday, not its last day. */
  endsOnSaturday: boolean;
  firstFiscalYear: number;
}

/** The instant that a listing's prices, filings and dividends stand at: now, unless it is dormant. */
export function tradingTime(listing: Listing, now: Date): Date {
  const { lastTradedAt } = listing;
  return lastTradedAt === null || lastTradedAt > now.getTime() ? now : new Date(lastTradedAt);
}

/**
 * The instant of a listing's last trade, which its price, volume and time are of: busy ones trade five
 * times a second, quiet ones once a minute.
 */
export function lastTrade(listing: Listing, now: Date): Date {
  if (isDormant(listing, now)) return tradingTime(listing, now);
  const { averageVolume } = listing;
  const [, gapMs] = TRADE_GAPS.find(([volume]) => averageVolume >= volume)!;
  return new Date(Math.floor(now.getTime() / gapMs) * gapMs);
}

/** Milliseconds between two trades from a day's volume on. */
const TRADE_GAPS: readonly [volume: number, gapMs: number][] = [
  [20_000_000, 200],
  [2_000_000, 1_000],
  [200_000, 5_000],
  [20_000, 20_000],
  [0, 60_000],
];

/** Whether a listing has stopped trading by `now`. */
export function isDormant(listing: Listing, now: Date): boolean {
  return listing.lastTradedAt !== null && listing.lastTradedAt <= now.getTime();
}

/** One security at one exchange. */
export interface Listing extends Instrument {
  name: string;
  kind: ListingKind;
  isAdr: boolean;
  /** Short code. */
  exchange: string;
  currency: string;
  /** Country of the issuer. */
  country: string;
  sector: string;
  industry: string;
  sharesOutstanding: number;
  beta: number;
  /** Numeric text, or null where the vendor has none. */
  employees: string | null;
  cik: string | null;
  isin: string;
  cusip: string;
  ceo: string;
  city: string | null;
  state: string | null;
  /** YYYY-MM-DD, or "" where the vendor has none. */
  ipoDate: string;
  dividend: DividendPlan | null;
  /** null for funds, ETFs and shells: they have no statements. */
  business: Business | null;
  /** When a dormant listing last traded, milliseconds since 1970; null for those that trade. */
  lastTradedAt: number | null;
  /** Rows carry the keys that live answers have and the documentation lacks. */
  liveOnlyKeys: boolean;
}
