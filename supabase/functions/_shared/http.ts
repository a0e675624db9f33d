import type { ErrorClass, FetchContext, VendorAnswer } from "./fetchers/contract.ts";
import { VendorError } from "./fetchers/errors.ts";

/** Milliseconds that one vendor call may take unless the caller says otherwise. */
export const DEFAULT_TIMEOUT_MS = 10_000;

/**
 * Bytes of one answer that are read unless the caller says otherwise: four times the largest that is
 * known (the quotes of a whole exchange), and what 256 MB of memory can take apart.
 */
export const DEFAULT_MOST_ANSWER_BYTES = 20_000_000;

/** Levels of arrays and objects in an answer; documented ones have three. */
const DEEPEST_NESTING = 64;

/** Longest wait taken from the vendor's Retry-After, in seconds: its longest window is a day. */
const LONGEST_RETRY_AFTER_SECONDS = 86_400;

/** Characters of the vendor's own words that a message repeats. */
const LONGEST_VENDOR_TEXT = 160;

/** One GET to the vendor. */
export interface VendorRequest {
  /** Path below the base URL, such as `quote`. */
  path: string;
  query: Record<string, string | number>;
  /** What is being fetched, for messages: `quote for "AAPL"`. */
  subject: string;
  /** Another provider, asked in place of path and query, and without the vendor's key. */
  otherProvider?: OtherProvider;
}

/** A provider that needs no key. */
export interface OtherProvider {
  url: string;
  /** Name of the setting that holds the URL, for messages. */
  setting: string;
}

interface Verdict {
  errorClass: ErrorClass;
  code: string;
}

/**
 * Documented opening words, used where a status alone does not tell the cause: 402 (whole path or
 * just this symbol) and 200 with an error object.
 */
const OPENING_WORDS: readonly { words: RegExp; verdict: Verdict }[] = [
  { words: /^limit reach/i, verdict: { errorClass: "rate_limited", code: "limit_reach" } },
  { words: /^invalid api key/i, verdict: { errorClass: "auth", code: "invalid_key" } },
  {
    words: /^(restricted|exclusive) endpoint/i,
    verdict: { errorClass: "permanent", code: "plan_endpoint" },
  },
  {
    words: /^premium query parameter\s*:\s*'?special parameters/i,
    verdict: { errorClass: "permanent", code: "plan_limit" },
  },
  {
    words: /^premium query parameter/i,
    verdict: { errorClass: "permanent", code: "plan_parameter" },
  },
];

/**
 * Asks the vendor and parses the JSON of its answer, whatever shape that has.
 *
 * The key travels in the `apikey` header, so that no URL holds it. Redirects are not followed,
 * because they would carry the key to another host. Throws {@linkcode VendorError} with one call
 * counted, or none when `context.signal` ended the wait before the call.
 */
export async function getVendorJson(
  request: VendorRequest,
  context: FetchContext,
): Promise<VendorAnswer<unknown>> {
  await waitForTurn(request, context);
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), context.timeoutMs);
  const fail = (verdict: Verdict, problem: string, bytes = 0, retryAfterSeconds?: number) =>
    new VendorError(redact(`Cannot fetch ${request.subject}: ${problem}`, [context.apiKey]), {
      ...verdict,
      calls: 1,
      bytes,
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    });
  const failedTransfer = (error: unknown, bytes: number) => {
    if (context.signal.aborted) {
      return fail({ errorClass: "retryable", code: "aborted" }, "the caller ended the call", bytes);
    }
    if (deadline.signal.aborted) {
      return fail(
        { errorClass: "retryable", code: "timeout" },
        `no complete answer within ${context.timeoutMs} ms`,
        bytes,
      );
    }
    return fail(
      { errorClass: "retryable", code: "network" },
      `the connection failed: ${error instanceof Error ? error.message : String(error)}`,
      bytes,
    );
  };

  try {
    let response: Response;
    try {
      response = await context.fetch(vendorUrl(context.baseUrl, request), {
        headers: {
          accept: "application/json",
          ...(request.otherProvider === undefined ? { apikey: context.apiKey } : {}),
        },
        redirect: "manual",
        signal: AbortSignal.any([context.signal, deadline.signal]),
      });
    } catch (error) {
      throw failedTransfer(error, 0);
    }
    const mostBytes = context.mostAnswerBytes ?? DEFAULT_MOST_ANSWER_BYTES;
    const body = await readBody(response, mostBytes);
    if (body.isTooLarge) {
      throw fail(
        { errorClass: "permanent", code: "answer_too_large" },
        `the answer is larger than ${mostBytes} bytes; a larger FMP_MOST_ANSWER_BYTES admits it`,
        body.bytes,
      );
    }
    if (!response.ok) {
      throw fail(
        verdictOnStatus(response.status, body.text),
        describeStatus(response.status, body.text, request, context.apiKey),
        body.bytes,
        retryAfterSeconds(response.headers, context.now()),
      );
    }
    if (body.failure !== undefined) throw failedTransfer(body.failure.error, body.bytes);
    if (startsAsJson(body.text) && isNestedDeeperThan(DEEPEST_NESTING, body.text)) {
      throw fail(
        { errorClass: "retryable", code: "nested_too_deep" },
        `the vendor's JSON is nested more than ${DEEPEST_NESTING} deep`,
        body.bytes,
      );
    }
    const payload = parseJson(body.text);
    if (payload === undefined) {
      throw fail(verdictOnText(body.text), describeText(body.text, context.apiKey), body.bytes);
    }
    const errorMessage = errorMessageOf(payload);
    if (errorMessage !== undefined) {
      throw fail(
        verdictOnWords(errorMessage) ?? { errorClass: "retryable", code: "error_message" },
        `the vendor answered 200 with the error ${quoteVendor(errorMessage, context.apiKey)}`,
        body.bytes,
        retryAfterSeconds(response.headers, context.now()),
      );
    }
    return { payload, calls: 1, bytes: body.bytes };
  } finally {
    clearTimeout(timer);
  }
}

/** Takes secrets out of a text, in plain and in URL-encoded form. */
export function redact(text: string, secrets: readonly string[]): string {
  let clean = text;
  for (const secret of secrets) {
    if (secret === "") continue;
    clean = clean.replaceAll(secret, "***").replaceAll(encodeURIComponent(secret), "***");
  }
  return clean;
}

/**
 * Seconds to wait according to the Retry-After header: a number of seconds or an HTTP date.
 * Undefined when absent or unreadable; at most a day, at least 0.
 */
export function retryAfterSeconds(headers: Headers, now: Date): number | undefined {
  const value = headers.get("retry-after")?.trim();
  if (value === undefined || value === "") return undefined;
  const seconds = /^\d+(\.\d+)?$/.test(value)
    ? Number(value)
    : (Date.parse(value) - now.getTime()) / 1000;
  if (Number.isNaN(seconds)) return undefined;
  return Math.min(Math.max(Math.ceil(seconds), 0), LONGEST_RETRY_AFTER_SECONDS);
}

async function waitForTurn(request: VendorRequest, context: FetchContext): Promise<void> {
  const ended = () =>
    new VendorError(`Cannot fetch ${request.subject}: the caller ended the wait before the call`, {
      errorClass: "retryable",
      code: "aborted",
    });
  if (context.signal.aborted) throw ended();
  try {
    await context.pace?.(context.signal);
  } catch (error) {
    if (context.signal.aborted) throw ended();
    throw error;
  }
}

function vendorUrl(baseUrl: string, request: VendorRequest): string {
  if (request.otherProvider !== undefined) return request.otherProvider.url;
  const query = Object.entries(request.query)
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    .join("&");
  return `${baseUrl.replace(/\/+$/, "")}/${request.path}${query === "" ? "" : `?${query}`}`;
}

/**
 * Reads to the end, to the failure or to the limit, so that the bytes of a broken transfer count too.
 */
async function readBody(
  response: Response,
  mostBytes: number,
): Promise<{ text: string; bytes: number; failure?: { error: unknown }; isTooLarge?: true }> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  if (response.body === null) return { text, bytes };
  try {
    for await (const chunk of response.body) {
      bytes += chunk.byteLength;
      // Leaving the loop cancels the body.
      if (bytes > mostBytes) return { text: "", bytes, isTooLarge: true };
      text += decoder.decode(chunk, { stream: true });
    }
    return { text: text + decoder.decode(), bytes };
  } catch (error) {
    return { text, bytes, failure: { error } };
  }
}

function verdictOnStatus(status: number, body: string): Verdict {
  const code = `http_${status}`;
  if (status === 429) return { errorClass: "rate_limited", code };
  if (status === 401 || status === 403) return { errorClass: "auth", code };
  if (status === 402) {
    const verdict = verdictOnWords(vendorText(body));
    return verdict?.code.startsWith("plan_") ? verdict : { errorClass: "permanent", code };
  }
  if (status >= 300 && status < 400) {
    return { errorClass: "retryable", code: "unexpected_redirect" };
  }
  if (status >= 500 || status === 408 || status === 425) return { errorClass: "retryable", code };
  return { errorClass: "permanent", code };
}

function verdictOnWords(text: string): Verdict | undefined {
  return OPENING_WORDS.find(({ words }) => words.test(text))?.verdict;
}

function verdictOnText(body: string): Verdict {
  return { errorClass: "retryable", code: startsAsJson(body) ? "truncated_json" : "not_json" };
}

function describeStatus(
  status: number,
  body: string,
  { otherProvider }: VendorRequest,
  apiKey: string,
): string {
  const text = vendorText(body);
  const words = text === "" || text === "[]" ? "" : ` with ${quoteVendor(text, apiKey)}`;
  const answered = `the vendor answered ${status}${words}`;
  const isAboutKey = status === 401 || status === 403;
  if (isAboutKey && otherProvider === undefined) return `${answered}; check the secret FMP_API_KEY`;
  if (isAboutKey || (status >= 300 && status < 400)) {
    return `${answered}; check ${otherProvider?.setting ?? "FMP_BASE_URL"}`;
  }
  return answered;
}

function describeText(body: string, apiKey: string): string {
  if (body.trim() === "") return "the vendor answered 200 with an empty body; wanted JSON";
  return startsAsJson(body)
    ? `the vendor's JSON is cut short or broken after ${body.length} characters`
    : `the vendor answered 200 with ${quoteVendor(body, apiKey)}; wanted JSON`;
}

function startsAsJson(body: string): boolean {
  return /^\s*[[{]/.test(body);
}

/** Whether arrays and objects are nested deeper, found without the recursion that it would break. */
function isNestedDeeperThan(most: number, json: string): boolean {
  let depth = 0;
  for (let place = 0; place < json.length; place++) {
    switch (json.charCodeAt(place)) {
      case 0x22: // "
        place = endOfText(json, place);
        break;
      case 0x5b: // [
      case 0x7b: // {
        depth += 1;
        if (depth > most) return true;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth -= 1;
    }
  }
  return false;
}

/** Place of the quote that closes the text which begins here; the end of the JSON without one. */
function endOfText(json: string, start: number): number {
  for (let place = start + 1; place < json.length; place++) {
    const character = json.charCodeAt(place);
    if (character === 0x22) return place;
    if (character === 0x5c) place += 1; // The backslash escapes what follows.
  }
  return json.length;
}

/** The vendor's words: the `Error Message` of an object, else the body itself. */
function vendorText(body: string): string {
  return (errorMessageOf(parseJson(body)) ?? body).trim();
}

function errorMessageOf(payload: unknown): string | undefined {
  if (typeof payload !== "object" || payload === null || Array.isArray(payload)) return undefined;
  if (!("Error Message" in payload)) return undefined;
  const message = payload["Error Message"];
  return typeof message === "string" ? message.trim() : JSON.stringify(message);
}

/** Undefined when the text is not JSON; JSON itself has no undefined. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Takes the key out before cutting, since a cut could leave most of it. */
function quoteVendor(text: string, apiKey: string): string {
  const oneLine = redact(text, [apiKey]).replaceAll(/\s+/g, " ").replaceAll("\0", "").toWellFormed()
    .trim();
  const characters = [...oneLine];
  return JSON.stringify(
    characters.length <= LONGEST_VENDOR_TEXT
      ? oneLine
      : `${characters.slice(0, LONGEST_VENDOR_TEXT).join("")}…`,
  );
}
