import type { Fetcher } from "./contract.ts";

/** Where the symbols of a replayed answer come from. */
export type SymbolSource =
  /** The label, when it is a symbol of the answer; else the rows. */
  | "label"
  /** The label, when it is a symbol of the answer; else the main one of the listings. */
  | "main listing"
  /** The rows: the answer is about several symbols. */
  | "rows"
  /** None: the data type is not about symbols. */
  | "global";

/** How `npm run replay` feeds recorded answers of one endpoint through a data type. */
export interface RecordedEndpoint {
  symbols: SymbolSource;
  /** How recordings become one job: the three statements of a symbol, pages, hours with holidays. */
  joined?: "statements" | "pages" | "holidays";
  /** Another fetcher than the queue's, which `scripts/replay/fetcher.ts` makes. */
  fetcher?:
    | "exchange quotes"
    | "market status"
    | "rates of the open provider"
    | "rates from pairs";
}

/**
 * A data type that the processor fetches by itself. Each file of this folder that exports one as
 * `queueType` is in `index.ts`, which `scripts/fetchers.ts` writes.
 */
export interface QueueType {
  fetcher: Fetcher;
  /** By endpoint, slashes as "-", in lower case. */
  recordings: Readonly<Record<string, RecordedEndpoint>>;
}

/** The data type of a fetcher whose payload only itself knows. */
export function queueTypeOf<Payload>(
  fetcher: Fetcher<Payload>,
  recordings: QueueType["recordings"],
): QueueType {
  return { fetcher: fetcher as Fetcher, recordings };
}
