import { overlay } from "../examples.ts";
import type { JsonRow } from "../json.ts";
import { between, hash32, uniform } from "../random.ts";
import { statementsOf } from "../statements.ts";
import { type Endpoint, symbolEndpoint } from "./endpoint.ts";

const names = [
  "Product",
  "Service",
  "Licensing, Royalties and Other",
  "Hardware & Accessories",
  "Subscription",
  "Financing, Net",
];

/** `revenue-product-segmentation`: the whole history, newest first; `[]` for many filers. */
export const revenueProductSegmentation: Endpoint = symbolEndpoint(
  "revenue-product-segmentation",
  (symbol, query, world) => {
    const listing = world.universe.bySymbol.get(symbol);
    const reports = symbol === "AAPL" || uniform(symbol, "segments") < 0.7;
    if (!listing?.business || !reports) return [];
    const quarterly = query.get("period") === "quarter";
    const examples = world.examples.rowsOf("revenue-product-segmentation", symbol);
    if (world.frozen && !quarterly && examples.length > 0) return [...examples];
    const { currency } = listing.business;
    const rows = statementsOf(listing, world.now)
      .filter((statement) => (statement.period !== "FY") === quarterly)
      .map((statement): JsonRow => {
        // Names change over the years and the oldest rows have one segment only.
        const era = Math.floor(statement.fiscalYear / 6);
        const count = statement.fiscalYear < 2010 ? 1 : 2 + hash32(`${symbol}${era}`) % 4;
        return {
          symbol,
          fiscalYear: statement.fiscalYear,
          period: statement.period,
          reportedCurrency: uniform(symbol, statement.fiscalYear, "null") < 0.3 ? null : currency,
          date: statement.date,
          data: segmentsOf(`${symbol}:${era}`, statement.income.revenue ?? 0, count),
        };
      })
      .toArray();
    return overlay(rows, {
      examples,
      key: (row) => `${row.fiscalYear} ${row.period}`,
      moving: [],
      verbatim: world.frozen,
    });
  },
);

function segmentsOf(key: string, revenue: number, count: number): Record<string, number> {
  const first = hash32(key) % names.length;
  const weights = Array.from({ length: count }, (_, at) => between(1, 5, key, at));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const data: Record<string, number> = {};
  let left = revenue;
  for (const [at, weight] of weights.entries()) {
    const name = names[(first + at) % names.length] ?? "Product";
    const amount = at === count - 1 ? left : Math.round(revenue * weight / total);
    data[name] = amount;
    left -= amount;
  }
  return data;
}
