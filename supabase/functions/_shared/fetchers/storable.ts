import type { JsonValue, Row } from "./contract.ts";

/** A shorter key is too likely to be an ordinary word of a company description. */
const SHORTEST_KEY_TO_SCRUB = 16;

/**
 * Makes rows fit for `jsonb`: no NUL characters and no lone surrogates, which Postgres refuses for
 * the whole document and with it for every other job of the batch. The vendor key is taken out
 * too, should the vendor ever echo it.
 */
export function storableRows(
  rows: ReadonlyMap<string, readonly Row[]>,
  subject: string,
  apiKey: string,
): { rows: Map<string, Row[]>; warnings: string[] } {
  const warnings: string[] = [];
  const cleaned = new Map<string, Row[]>();
  for (const [symbol, symbolRows] of rows) {
    cleaned.set(
      symbol,
      symbolRows.map((row) =>
        Object.fromEntries(
          Object.entries(row).map(([column, value]) => {
            const stored = storable(value, apiKey);
            if (stored !== value) {
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
  return { rows: cleaned, warnings };
}

/** The very same value when there is nothing to clean. */
function storable(value: JsonValue, apiKey: string): JsonValue {
  if (typeof value === "string") return storableText(value, apiKey);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    const items = value.map((item) => storable(item, apiKey));
    return items.some((item, index) => item !== value[index]) ? items : value;
  }
  let changed = false;
  const entries = Object.entries(value).map(([key, item]) => {
    const storedKey = storableText(key, apiKey);
    const storedItem = storable(item, apiKey);
    changed ||= storedKey !== key || storedItem !== item;
    return [storedKey, storedItem] as const;
  });
  return changed ? Object.fromEntries(entries) : value;
}

function storableText(text: string, apiKey: string): string {
  const wellFormed = text.toWellFormed().replaceAll("\0", "");
  return apiKey.length < SHORTEST_KEY_TO_SCRUB
    ? wellFormed
    : wellFormed.replaceAll(apiKey, "[key]");
}
