import {
  createLegacyEndpoint,
  type LegacyEndpointDefinition,
} from "../../supabase/functions/_shared/legacy_endpoint.ts";
import {
  dividendExample,
  gradesExample,
  profileExample,
  quoteExample,
  segmentationExample,
  variantExample,
} from "./fetcher_examples.ts";
import {
  balanceSheetExample,
  cashFlowExample,
  incomeExample,
  ratiosExample,
} from "./statement_examples.ts";
import type { FakeVendor } from "./fetcher_support.ts";
import { type Answer, callEndpoint, type World } from "./legacy_support.ts";

/** Calls an endpoint that works on symbols. */
export function call<Payload>(
  definition: LegacyEndpointDefinition<Payload>,
  world: Partial<World> = {},
  init: RequestInit = {},
): Promise<Answer> {
  return callEndpoint(
    (surroundings) => createLegacyEndpoint(definition, surroundings),
    { vendor: documentedVendor, ...world },
    init,
  );
}

export const EXAMPLES: Record<string, Record<string, unknown>> = {
  quote: quoteExample,
  profile: profileExample,
  "income-statement": incomeExample,
  "balance-sheet-statement": balanceSheetExample,
  "cash-flow-statement": cashFlowExample,
  "ratios-ttm": ratiosExample,
  "dividends": dividendExample,
  "revenue-product-segmentation": segmentationExample,
  "grades-historical": gradesExample,
  "search-exchange-variants": variantExample,
};

/** Answers the documented example with the symbol asked for. */
export function documentedVendor(path: string, query: URLSearchParams): Response {
  return Response.json([{ ...EXAMPLES[path], symbol: query.get("symbol") }]);
}

/** As documented, save for one symbol. */
export function vendorExcept(symbol: string, answer: () => Response): FakeVendor {
  return (path, query) => query.get("symbol") === symbol ? answer() : documentedVendor(path, query);
}
