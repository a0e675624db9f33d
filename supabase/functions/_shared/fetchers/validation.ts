import type { z } from "npm:zod@4.6.7";
import { redact } from "../http.ts";
import { VendorError } from "./errors.ts";

const LONGEST_QUOTED_TEXT = 60;

/** Names what is being fetched: `quote for "AAPL"`. */
export function subjectOf(dataType: string, symbols: readonly string[]): string {
  return `${dataType} for ${symbols.map((symbol) => JSON.stringify(symbol)).join(", ")}`;
}

/**
 * Says what is wrong with a payload, in one sentence that names the key:
 * `quote for "AAPL": key "price" is missing; wanted a number`.
 *
 * The schema's messages have to be phrases that fit after "wanted". The vendor key is taken out of
 * texts before they are cut, since a cut could leave most of it.
 */
export function describeMismatch(
  subject: string,
  payload: unknown,
  error: z.ZodError,
  apiKey: string,
): string {
  const [issue] = error.issues;
  if (issue === undefined) return `${subject}: the answer does not fit its schema`;
  const others = error.issues.length - 1;
  const rest = others === 0 ? "" : ` (and ${others} more ${others === 1 ? "problem" : "problems"})`;
  return `${subject}: ${
    describePlace(payload, issue.path, apiKey)
  }; wanted ${issue.message}${rest}`;
}

/** A value that has the right type but cannot be true. */
export function implausible(
  subject: string,
  key: string,
  found: unknown,
  wanted: string,
): VendorError {
  return new VendorError(
    `${subject}: key ${JSON.stringify(key)} is ${describeValue(found, "")}; wanted ${wanted}`,
    { errorClass: "retryable", code: "schema_mismatch" },
  );
}

function describePlace(payload: unknown, path: readonly PropertyKey[], apiKey: string): string {
  const key = path.at(-1);
  if (key === undefined) return `the answer is ${describeValue(payload, apiKey)}`;
  const containerPath = path.slice(0, -1);
  const container = valueAt(payload, containerPath);
  const name = typeof key === "number"
    ? `row ${key + 1}${describeContainer(payload, containerPath)}`
    : `key ${JSON.stringify(String(key))}${describeContainer(payload, containerPath)}`;
  if (typeof container !== "object" || container === null || !Object.hasOwn(container, key)) {
    return `${name} is missing`;
  }
  return `${name} is ${describeValue((container as Record<PropertyKey, unknown>)[key], apiKey)}`;
}

/** ` of row 3`, ` of income row 3`, or nothing for the only row of an answer. */
function describeContainer(payload: unknown, path: readonly PropertyKey[]): string {
  if (path.length === 0) return "";
  if (path.length === 1 && path[0] === 0 && Array.isArray(payload) && payload.length === 1) {
    return "";
  }
  return ` of ${
    path.map((part) => typeof part === "number" ? `row ${part + 1}` : String(part)).join(" ")
  }`;
}

function valueAt(payload: unknown, path: readonly PropertyKey[]): unknown {
  let value = payload;
  for (const part of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[part];
  }
  return value;
}

function describeValue(value: unknown, apiKey: string): string {
  if (value === null) return "null";
  if (value === undefined) return "missing";
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : "an array";
  switch (typeof value) {
    case "string":
      return value === ""
        ? "empty text"
        : `the text ${JSON.stringify(cut(redact(value, [apiKey])))}`;
    case "number":
    case "boolean":
      return String(value);
    default:
      return "an object";
  }
}

function cut(text: string): string {
  const characters = [...text];
  return characters.length <= LONGEST_QUOTED_TEXT
    ? text
    : `${characters.slice(0, LONGEST_QUOTED_TEXT).join("")}…`;
}
