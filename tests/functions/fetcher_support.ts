import type {
  FetchContext,
  Fetcher,
  FetchOutcome,
  Row,
} from "../../supabase/functions/_shared/fetchers/contract.ts";
import { fetchSymbols, VendorError } from "../../supabase/functions/_shared/fetchers/contract.ts";

/** A key as long as a real one, so that it is taken out of rows too. */
export const API_KEY = "k3y0f32characters0abcdefghijklmn";

/** A moment after the documented examples. */
export const NOW = new Date("2025-10-25T12:00:00Z");

/** A vendor in a function: path below the base URL and query → answer. */
export type FakeVendor = (
  path: string,
  query: URLSearchParams,
  request: Request,
) => Response | Promise<Response>;

/** A context whose vendor is a function; `asked` collects path and query of each call. */
export function contextFor(
  vendor: FakeVendor,
  overrides: Partial<FetchContext> = {},
): { context: FetchContext; asked: string[] } {
  const asked: string[] = [];
  const context: FetchContext = {
    fetch: async (input, init) => {
      const request = new Request(input, init);
      const url = new URL(request.url);
      const path = url.pathname.replace("/stable/", "");
      asked.push(`${path}${url.search}`);
      return await vendor(path, url.searchParams, request);
    },
    baseUrl: "http://vendor.test/stable",
    apiKey: API_KEY,
    signal: new AbortController().signal,
    timeoutMs: 5_000,
    now: () => NOW,
    ...overrides,
  };
  return { context, asked };
}

/** Fetches with every vendor call answered by the same JSON. */
export function fetchJson<Payload>(
  fetcher: Fetcher<Payload>,
  symbol: string,
  json: unknown,
): Promise<FetchOutcome> {
  return fetchSymbols(fetcher, [symbol], contextFor(() => Response.json(json)).context);
}

/** The VendorError that a promise fails with; fails itself when there is none. */
export async function vendorErrorOf(promise: Promise<unknown>): Promise<VendorError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof VendorError) return error;
    throw error;
  }
  throw new Error("Expected a VendorError: the call succeeded");
}

/** The only row of an outcome. */
export function onlyRow(outcome: FetchOutcome, symbol: string): Row {
  const rows = outcome.rows.get(symbol) ?? [];
  const [row] = rows;
  if (row === undefined || rows.length !== 1) {
    throw new Error(`Expected one row for "${symbol}": found ${rows.length}`);
  }
  return row;
}

/** A copy without one key. */
export function without<T extends object>(value: T, key: string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([name]) => name !== key));
}

/** Values that are not of the type of the example, nor read as such. */
export function otherTypes(example: unknown): unknown[] {
  return [{ nested: "x" }, [], true, "many", 0.5].filter((value) => {
    if (typeof value === "object") return true;
    // Where null is the example, the key holds text or a number in other answers.
    return example === null ? typeof value === "boolean" : typeof value !== typeof example;
  });
}
