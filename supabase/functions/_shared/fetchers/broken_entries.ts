import { z } from "npm:zod@4.6.7";
import type { Fetcher } from "./contract.ts";
import { VendorError } from "./errors.ts";
import { describeMismatch, subjectOf } from "./validation.ts";

/** An answer about several symbols without those that do not fit its schema. */
export interface PartedAnswer<Payload> {
  sound: Payload;
  failures: Map<string, VendorError>;
}

const entriesSchema = z.array(z.object({ symbol: z.string() }));

/**
 * Takes the entries that do not fit the schema out of an answer about several symbols, so that one
 * odd listing does not sink the others of its vendor call. Undefined when the answer cannot be told
 * apart: it is about one symbol, is no array, or has an entry without a symbol.
 */
export function withoutBrokenEntries<Payload>(
  fetcher: Fetcher<Payload>,
  symbols: readonly string[],
  payload: unknown,
  error: z.ZodError,
  apiKey: string,
): PartedAnswer<Payload> | undefined {
  if (symbols.length < 2 || !Array.isArray(payload)) return undefined;
  const entries = entriesSchema.safeParse(payload);
  if (!entries.success) return undefined;
  const issuesOf = Map.groupBy(error.issues, ({ path }) => path[0]);
  const failures = new Map<string, VendorError>();
  for (const [place, issues] of issuesOf) {
    const symbol = typeof place === "number" ? entries.data[place]?.symbol : undefined;
    if (typeof place !== "number" || symbol === undefined) return undefined;
    if (!symbols.includes(symbol) || failures.has(symbol)) continue;
    const alone = new z.ZodError(
      issues.map((issue) => ({ ...issue, path: [0, ...issue.path.slice(1)] })),
    );
    const subject = subjectOf(fetcher.dataType, [symbol]);
    failures.set(
      symbol,
      new VendorError(describeMismatch(subject, [payload[place]], alone, apiKey), {
        errorClass: "retryable",
        code: "schema_mismatch",
      }),
    );
  }
  const sound = fetcher.schema.safeParse(
    payload.filter((_entry, place) =>
      !issuesOf.has(place) && !failures.has(entries.data[place]?.symbol ?? "")
    ),
  );
  return sound.success ? { sound: sound.data, failures } : undefined;
}
