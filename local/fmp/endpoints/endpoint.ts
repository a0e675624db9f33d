import type { Examples } from "../examples.ts";
import type { Pair } from "../forex.ts";
import type { JsonRow } from "../json.ts";
import type { Market } from "../market.ts";
import type { Reply } from "../replies.ts";
import type { Universe } from "../universe.ts";

/** What an endpoint answers from. */
export interface World {
  universe: Universe;
  market: Market;
  forex: ReadonlyMap<string, Pair>;
  examples: Examples;
  /** Examples are answered as they are, moving values included. */
  frozen: boolean;
  /** The instant of the call. */
  now: Date;
}

/** One path below /stable. */
export interface Endpoint {
  name: string;
  /** Required parameters, in the order in which a missing one is reported. */
  required: readonly string[];
  /** Rows of a successful answer, or a whole answer of another kind. */
  answer(query: URLSearchParams, world: World): JsonRow[] | Reply;
}

/** A whole number given as a parameter, or `fallback` when it is absent or not one. */
export function wholeNumber(query: URLSearchParams, name: string, fallback: number): number {
  const text = query.get(name);
  return text !== null && /^\d+$/.test(text) ? Number(text) : fallback;
}

/** Makes an endpoint that answers rows for one exact symbol. */
export function symbolEndpoint(
  name: string,
  rows: (symbol: string, query: URLSearchParams, world: World) => JsonRow[] | Reply,
): Endpoint {
  return {
    name,
    required: ["symbol"],
    answer: (query, world) => rows(query.get("symbol") ?? "", query, world),
  };
}
