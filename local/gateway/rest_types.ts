import type { PostgresType } from "postgres";

/** Types whose values `@supabase/lite` sends or shows otherwise than PostgREST does. */
export const REST_TYPES: Record<string, PostgresType> = {
  json: jsonType(114),
  jsonb: jsonType(3802),
  // As in Postgres' own JSON: 2026-01-31T12:00:00.5+00:00.
  timestamp: textType(1114, (text) => text.replace(" ", "T")),
  timestamptz: textType(
    1184,
    (text) => text.replace(" ", "T").replace(/([+-]\d\d)$/, "$1:00"),
  ),
  numeric: textType(1700, (text) => Number.isFinite(Number(text)) ? Number(text) : text),
  bytea: textType(17, (text) => text),
};

function textType(oid: number, parse: (text: string) => unknown): PostgresType {
  return { to: oid, from: [oid], serialize: (value: unknown) => String(value), parse };
}

/**
 * How JSON goes to the server and back. lite hands over objects as JSON text already, which its own
 * type writes as text once more: functions would get a JSON string in place of the object.
 */
function jsonType(oid: number): PostgresType {
  return {
    to: oid,
    from: [oid],
    serialize: (value: unknown) =>
      typeof value === "string" && isJson(value) ? value : JSON.stringify(value),
    parse: (text: string): unknown => JSON.parse(text),
  };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false; // A string that is meant as one.
  }
}
