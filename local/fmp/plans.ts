import { z } from "zod";
import { exchangeOf, exchanges } from "./exchanges.ts";
import type { JsonRow } from "./json.ts";
import { paymentBodies, type PaymentSpelling, type Reply, textReply } from "./replies.ts";
import { quoteOnly } from "./quote_only.ts";
import type { World } from "./endpoints/endpoint.ts";
import { wellKnownListings } from "./well_known.ts";

/** Plans of the vendor, smallest first. */
export const plans = ["free", "starter", "premium", "ultimate"] as const;
export type Plan = typeof plans[number];

/** A plan, or null for everything. */
export const planSchema = z.enum(plans, { error: `wanted null or one of ${plans.join(", ")}` })
  .nullable();

/** Endpoints that not every plan has: the smallest plan with it, and how the refusal is spelled. */
const gated: Readonly<Record<string, readonly [Plan, PaymentSpelling]>> = {
  "batch-quote": ["starter", "restricted-endpoint"],
  "available-exchanges": ["starter", "restricted-endpoint"],
  "search-exchange-variants": ["starter", "restricted-endpoint"],
  "batch-exchange-quote": ["ultimate", "exclusive-endpoint"],
  "batch-forex-quotes": ["ultimate", "exclusive-endpoint"],
};

/** Countries whose exchanges a plan covers; null covers all. Not in the recorded answers. */
const countriesOf: Readonly<Record<Plan, ReadonlySet<string> | null>> = {
  free: new Set(["US"]),
  starter: new Set(["US"]),
  premium: new Set(["US", "GB", "CA"]),
  ultimate: null,
};

/** Endpoints that leave out what the plan does not cover, in place of a refusal. */
const partial: ReadonlySet<string> = new Set([
  "batch-quote",
  "batch-exchange-quote",
  "shares-float-all",
]);

const statementEndpoints: ReadonlySet<string> = new Set([
  "income-statement",
  "balance-sheet-statement",
  "cash-flow-statement",
]);

/** Most rows of a statement that the free plan gives. */
const freeStatementLimit = 5;

let freeSymbols: ReadonlySet<string> | undefined;

/** The 402 for an endpoint that the plan lacks, or null. */
export function endpointRefusal(plan: Plan, endpoint: string): Reply | null {
  const [smallest, spelling] = gated[endpoint] ?? ["free", "restricted-endpoint"];
  return plans.indexOf(plan) < plans.indexOf(smallest) ? refusal(spelling) : null;
}

/** The 402 for a symbol, a period or a statement limit that the plan lacks, or null. */
export function parameterRefusal(
  plan: Plan,
  endpoint: string,
  query: URLSearchParams,
  world: World,
): Reply | null {
  const symbol = query.get("symbol");
  if (symbol && !isCovered(plan, symbol, world)) return refusal("symbol");
  if (plan !== "free" || !statementEndpoints.has(endpoint)) return null;
  if (/^(quarter|Q[1-4])$/.test(query.get("period") ?? "")) return refusal("period-object");
  return Number(query.get("limit") ?? 0) > freeStatementLimit ? refusal("limit") : null;
}

/** Rows without those of securities that the plan does not cover, where the endpoint does so. */
export function coveredRows(
  plan: Plan,
  endpoint: string,
  rows: readonly JsonRow[],
  world: World,
): JsonRow[] {
  if (!partial.has(endpoint)) return [...rows];
  return rows.filter((row) => isCovered(plan, String(row.symbol), world));
}

/** Unknown tickers are judged by their suffix, on the free plan they are never covered. */
function isCovered(plan: Plan, symbol: string, world: World): boolean {
  if (quoteOnly.has(symbol) || world.forex.has(symbol)) return true;
  const countries = countriesOf[plan];
  if (countries === null) return true;
  if (plan === "free") return (freeSymbols ??= freePlanSymbols()).has(symbol);
  const listing = world.universe.bySymbol.get(symbol);
  return countries.has(listing ? exchangeOf(listing.exchange).countryCode : countryOf(symbol));
}

function freePlanSymbols(): ReadonlySet<string> {
  return new Set(
    wellKnownListings()
      .filter((listing) => exchangeOf(listing.exchange).countryCode === "US")
      .map((listing) => listing.symbol),
  );
}

function countryOf(symbol: string): string {
  const suffix = /\.[A-Z]+$/.exec(symbol)?.[0];
  if (suffix === undefined) return "US";
  return exchanges.values().find((exchange) => exchange.suffix === suffix)?.countryCode ?? "";
}

function refusal(spelling: PaymentSpelling): Reply {
  return textReply(402, paymentBodies[spelling]);
}
