import type { JsonRow } from "./json.ts";

/** How an answer leaves the server. */
export type Delivery =
  | { how: "whole" }
  /** Nothing is ever sent; the connection stays open. */
  | { how: "never" }
  /** The connection is reset before the status line. */
  | { how: "reset" }
  /** The head promises the whole body, the connection closes after `bytes` of it. */
  | { how: "cut"; bytes: number }
  /** The head promises the whole body, nothing follows after `bytes` of it; it stays open. */
  | { how: "stall"; bytes: number };

/** One HTTP answer, before it is sent. */
export interface Reply {
  status: number;
  headers: Record<string, string>;
  body: string;
  delivery: Delivery;
}

/** The vendor labels every body as JSON, plain text included. */
const contentType = "application/json; charset=utf-8";

/** An answer with a text body as it is. */
export function textReply(
  status: number,
  body: string,
  headers: Record<string, string> = {},
): Reply {
  return {
    status,
    headers: { "content-type": contentType, ...headers },
    body,
    delivery: { how: "whole" },
  };
}

/** A successful answer: the rows as a JSON array. */
export function rowsReply(rows: readonly JsonRow[]): Reply {
  return textReply(200, JSON.stringify(rows));
}

/** Bodies that the vendor sends for errors, as recorded (spelling and blanks included). */
export const errorBodies = {
  invalidKey:
    '{"Error Message":"Invalid API KEY. Feel free to create a Free API Key or visit https://site.financialmodelingprep.com/faqs?search=why-is-my-api-key-invalid for more information."}',
  limitReached:
    '{"Error Message":"Limit Reach . Please upgrade your plan or visit our documentation for more details at https://site.financialmodelingprep.com/developer/docs/pricing "}',
  throttled: '{"Error Message": "Limit Reach. ..."}',
  legacyEndpoint:
    '{"Error Message":"Legacy Endpoint : Due to Legacy endpoints being no longer supported - This endpoint is only available for legacy users who have valid subscriptions prior August 31, 2025. Please visit our subscription page to upgrade your plan or contact us at https://site.financialmodelingprep.com/developer/docs/pricing"}',
  unknownExchange: "Invalid Exchange Provided.",
  unknownPath: "[]",
} as const;

const pricing = "https://site.financialmodelingprep.com/developer/docs/pricing";

/** The vendor spells "your plan lacks this value" alike for each parameter. */
function specialEndpoint(parameter: string): string {
  return `Premium Query Parameter: 'Special Endpoint : This value set for '${parameter}' is not available under your current subscription please visit our subscription page to upgrade your plan at ${pricing}'`;
}

/**
 * Bodies of a 402, by what the plan lacks. Those of the path, of a symbol and of a limit are as
 * recorded; that of `from` and the object around that of `period` follow reports.
 */
export const paymentBodies = {
  "restricted-endpoint":
    "Restricted Endpoint: This endpoint is not available under your current subscription please visit our subscription page to upgrade your plan.",
  "exclusive-endpoint": JSON.stringify({
    "Error Message":
      `Exclusive Endpoint : This endpoint is not available under your current subscription agreement, please visit our subscription page to upgrade your plan or contact us at ${pricing}`,
  }),
  "symbol": specialEndpoint("symbol"),
  "period": specialEndpoint("period"),
  "period-object": JSON.stringify({ "Error Message": specialEndpoint("period") }),
  "from": specialEndpoint("from"),
  "limit":
    "Premium Query Parameter: 'Special Parameters : The values for 'limit' must be between 0 and 5 based on your current subscription.",
} as const;

/** Names of the bodies of a 402. */
export type PaymentSpelling = keyof typeof paymentBodies;

/** The header that says when to come back, in one of its two forms. */
export function retryAfterHeader(
  seconds: number,
  as: "seconds" | "http-date",
  now: Date,
): Record<string, string> {
  const value = as === "seconds"
    ? String(seconds)
    : new Date(now.getTime() + seconds * 1000).toUTCString();
  return { "retry-after": value };
}

/** 400: a required parameter is missing, empty or malformed; one name at a time. */
export function missingParameter(name: string): Reply {
  return textReply(400, `Query Error: Invalid or missing query parameter - ${name}`);
}

/** The body the vendor is known to send with a status, or "" where none is known. */
export function documentedBody(status: number): string {
  switch (status) {
    case 400:
      return "Query Error: Invalid or missing query parameter - symbol";
    case 401:
      return errorBodies.invalidKey;
    case 402:
      return paymentBodies["restricted-endpoint"];
    case 403:
      return errorBodies.legacyEndpoint;
    case 404:
      return errorBodies.unknownPath;
    case 429:
      return errorBodies.limitReached;
    default:
      return "";
  }
}
