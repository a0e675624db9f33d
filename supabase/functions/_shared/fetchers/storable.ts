import type { JsonValue, Row } from "./contract.ts";
import { VendorError } from "./errors.ts";

/** A shorter key is too likely to be an ordinary word of a company description. */
const SHORTEST_KEY_TO_SCRUB = 8;

/** Levels of arrays and objects in one value: more than any answer has, and no danger for the stack. */
const DEEPEST_NESTING = 100;

/** Warnings about cleaned columns of one answer; the rest is counted. */
const MOST_WARNINGS = 20;

/**
 * Makes rows fit for `jsonb`: no NUL characters and no lone surrogates, which Postgres refuses for
 * the whole document and with it for every other job of the batch. The vendor key is taken out
 * too, should the vendor ever echo it. Throws {@linkcode VendorError} for a value that is nested
 * deeper than a hundred levels.
 */
export function storableRows(
  rows: ReadonlyMap<string, readonly Row[]>,
  subject: string,
  apiKey: string,
): { rows: Map<string, Row[]>; warnings: string[] } {
  const warnings: string[] = [];
  let unnamed = 0;
  const cleaned = new Map<string, Row[]>();
  for (const [symbol, symbolRows] of rows) {
    cleaned.set(
      symbol,
      symbolRows.map((row) =>
        Object.fromEntries(
          Object.entries(row).map(([column, value]) => {
            if (typeof value === "object") refuseDeepNesting(value, column, subject);
            const stored = storable(value, apiKey);
            if (stored !== value && warnings.length === MOST_WARNINGS) {
              unnamed += 1;
            } else if (stored !== value) {
              warnings.push(
                `${subject}: column ${
                  JSON.stringify(column)
                } held text that cannot be stored; it was cleaned`,
              );
            }
            return [column, stored];
          }),
        )
      ),
    );
  }
  if (unnamed > 0) warnings.push(`${subject}: ${unnamed} more values were cleaned`);
  return { rows: cleaned, warnings };
}

/** Level by level, without the recursion that deep nesting would break. */
function refuseDeepNesting(value: JsonValue, column: string, subject: string): void {
  let level: JsonValue[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > DEEPEST_NESTING) {
      throw new VendorError(
        `${subject}: column ${
          JSON.stringify(column)
        } is nested more than ${DEEPEST_NESTING} deep; wanted less`,
        { errorClass: "retryable", code: "nested_too_deep" },
      );
    }
    level = level.flatMap((item) =>
      typeof item === "object" && item !== null ? Object.values(item) : []
    );
  }
}

/** The very same value when there is nothing to clean, which a scan without copies finds out. */
function storable(value: JsonValue, apiKey: string): JsonValue {
  if (isStorable(value, apiKey)) return value;
  if (typeof value === "string") return storableText(value, apiKey);
  if (Array.isArray(value)) return value.map((item) => storable(item, apiKey));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      storableText(key, apiKey),
      storable(item, apiKey),
    ]),
  );
}

function isStorable(value: JsonValue, apiKey: string): boolean {
  if (typeof value === "string") return storableText(value, apiKey) === value;
  if (typeof value !== "object" || value === null) return true;
  if (Array.isArray(value)) return value.every((item) => isStorable(item, apiKey));
  for (const key in value) {
    if (!isStorable(key, apiKey) || !isStorable(value[key] ?? null, apiKey)) return false;
  }
  return true;
}

function storableText(text: string, apiKey: string): string {
  const wellFormed = text.toWellFormed().replaceAll("\0", "");
  return apiKey.length < SHORTEST_KEY_TO_SCRUB ? wellFormed : wellFormed.replaceAll(apiKey, "***");
}
