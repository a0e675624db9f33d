import { z } from "npm:zod@4.6.7";
import { GRANTED_CALLS_HEADER } from "../call_grant.ts";
import type { Fetcher } from "../fetchers/contract.ts";
import { VendorError } from "../fetchers/errors.ts";
import { subjectOf } from "../fetchers/validation.ts";
import { redact } from "../http.ts";

/** Milliseconds that an Edge Function may take for one group of symbols. */
const TIMEOUT_MS = 60_000;

/** Where Edge Functions are, and the keys that let us in. */
export interface EdgeFunctions {
  /** API URL of the project. */
  url: string;
  /** Secret key or legacy service role key, for the header apikey. */
  key: string;
  /** What legacy functions want as bearer token. */
  anonKey?: string;
}

/**
 * What an Edge Function answers; all of it is optional, and other keys are ignored. Without
 * `details` every symbol counts as done.
 */
const answerSchema = z.object({
  details: z.array(z.object({
    symbol: z.string().optional(),
    success: z.boolean(),
    message: z.string().optional(),
  })).optional(),
  vendorCalls: z.number().int().nonnegative().optional(),
  bytes: z.number().int().nonnegative().optional(),
}, { error: "an object" });

/**
 * Drives a data type through its Edge Function: POST `{symbols}`, which writes the rows by itself.
 *
 * Status 200 or 207 with `details: [{symbol, success, message}]` tells symbols apart; a symbol that
 * is not in `details` counts as done. Any other status fails the group; 401 and 403, with which the
 * function refuses our key, as class `auth`, so that no attempt is burnt. `vendorCalls` and `bytes` in
 * the answer are booked; without them one call is.
 *
 * The header `x-switchyard-granted-calls` tells the function how many calls the claim has counted in
 * the ledger of the queue: one that asks that ledger by itself need not take these again.
 */
export function createEdgeFunctionFetcher(
  dataType: string,
  functionName: string,
  edge: EdgeFunctions,
  grantedCalls = 1,
): Fetcher<z.infer<typeof answerSchema>> {
  return {
    dataType,
    maxSymbolsPerCall: Infinity,
    callsPerBatch: 1,
    timeoutMs: TIMEOUT_MS,
    schema: answerSchema,

    async request(symbols, context) {
      const subject = subjectOf(dataType, symbols);
      const fail = (
        code: string,
        problem: string,
        errorClass: "retryable" | "auth" = "retryable",
      ) =>
        new VendorError(
          `Cannot fetch ${subject}: the Edge Function "${functionName}" ${problem}`,
          { errorClass, code, calls: 1 },
        );
      let status: number;
      let text: string;
      try {
        const response = await context.fetch(
          `${edge.url.replace(/\/+$/, "")}/functions/v1/${encodeURIComponent(functionName)}`,
          {
            method: "POST",
            headers: {
              "content-type": "application/json",
              apikey: edge.key,
              [GRANTED_CALLS_HEADER]: String(grantedCalls),
              ...(edge.anonKey ? { authorization: `Bearer ${edge.anonKey}` } : {}),
            },
            body: JSON.stringify({ symbols }),
            signal: context.signal,
          },
        );
        status = response.status;
        // Before anything is cut out of it, or half a key would stay.
        text = redact(await response.text(), [context.apiKey, edge.key, edge.anonKey ?? ""]);
      } catch (error) {
        throw fail(
          context.signal.aborted ? "aborted" : "network",
          `could not be reached: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
      if (status === 401 || status === 403) {
        throw fail(
          `edge_function_${status}`,
          `answered ${status}: ${text.slice(0, 200)}; check that it takes the project's secret key`,
          "auth",
        );
      }
      if (status !== 200 && status !== 207) {
        throw fail(`edge_function_${status}`, `answered ${status}: ${text.slice(0, 200)}`);
      }
      const payload = parseJson(text);
      if (payload === undefined) throw fail("not_json", "answered with text that is not JSON");
      const { data } = answerSchema.safeParse(payload);
      return { payload, calls: data?.vendorCalls ?? 1, bytes: data?.bytes ?? text.length };
    },

    toRows(answer, symbols) {
      const failures = new Map(
        (answer.details ?? [])
          .filter(({ symbol, success }) => symbol !== undefined && !success)
          .map(({ symbol = "", message }) => [
            symbol,
            new VendorError(
              `Cannot fetch ${subjectOf(dataType, [symbol])}: ${message ?? "no reason given"}`,
              { errorClass: "retryable", code: "edge_function_failed" },
            ),
          ]),
      );
      const written = new Set(symbols.filter((symbol) => !failures.has(symbol)));
      return { rows: new Map(), warnings: [], written, failures };
    },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return undefined;
  }
}
