/** Which fetcher takes a recorded answer, by the endpoint it was recorded from. */

import { queueTypes } from "../../supabase/functions/_shared/fetchers/index.ts";
import type { RecordedEndpoint } from "../../supabase/functions/_shared/fetchers/queue_type.ts";

/** How the fetcher of a replay is made; `registry` takes the one of the data type. */
export type FetcherKind = "registry" | Required<RecordedEndpoint>["fetcher"];

export interface Endpoint extends Omit<RecordedEndpoint, "fetcher"> {
  dataType: string;
  fetcher: FetcherKind;
}

export const INCOME = "income-statement";
export const BALANCE = "balance-sheet-statement";
export const CASH_FLOW = "cash-flow-statement";
export const HOURS = "all-exchange-market-hours";
export const HOLIDAYS = "holidays-by-exchange";

/** Each fetcher's file says which endpoints it takes. */
const ENDPOINTS: ReadonlyMap<string, Endpoint> = new Map(
  queueTypes.flatMap(({ fetcher: { dataType }, recordings }) =>
    Object.entries(recordings).map(([name, recorded]) => [
      name,
      { ...recorded, dataType, fetcher: recorded.fetcher ?? "registry" },
    ])
  ),
);

const SHORT = "a short quote lacks keys that the row needs; record quote or batch-quote";

const UNUSABLE: Readonly<Record<string, string>> = {
  "quote-short": SHORT,
  "batch-quote-short": SHORT,
};

/** The endpoint's place, or a sentence why its answers are of no use. */
export function endpointOf(name: string): Endpoint | string {
  const key = name.toLowerCase().replace(/^stable-/, "");
  const endpoint = ENDPOINTS.get(key);
  if (endpoint !== undefined) return endpoint;
  return Object.hasOwn(UNUSABLE, key) ? UNUSABLE[key]! : "no data type uses this endpoint";
}

/** The path that the fetcher asks for answers of this endpoint. */
export function askedPath(name: string): string {
  const key = name.toLowerCase().replace(/^stable-/, "");
  return key === "exchange-market-hours" ? HOURS : key;
}
