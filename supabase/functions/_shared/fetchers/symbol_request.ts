import { getVendorJson } from "../http.ts";
import type { FetchContext, VendorAnswer } from "./contract.ts";
import { subjectOf } from "./validation.ts";

/** Makes the `request` of a fetcher that asks one path for one symbol at a time. */
export function symbolRequest(
  dataType: string,
  path: string,
  parameters: Record<string, string> = {},
): (symbols: readonly string[], context: FetchContext) => Promise<VendorAnswer<unknown>> {
  return (symbols, context) =>
    getVendorJson({
      path,
      query: { symbol: symbols.join(","), ...parameters },
      subject: subjectOf(dataType, symbols),
    }, context);
}
