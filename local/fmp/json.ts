/** Any JSON value. */
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | JsonValue[]
  | { [key: string]: JsonValue };

/** One object of an answer's array. */
export type JsonRow = Record<string, JsonValue>;
