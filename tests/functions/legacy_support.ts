import assert from "node:assert/strict";
import type { LegacySurroundings } from "../../supabase/functions/_shared/legacy_service.ts";
import { API_KEY, type FakeVendor, NOW } from "./fetcher_support.ts";

export const ANON_KEY = "anon.key.jwt";
export const SECRET_KEY = "sb_secret_for_tests";

export const SETTINGS: Record<string, string> = {
  FMP_API_KEY: API_KEY,
  FMP_BASE_URL: "http://vendor.test/stable",
  FMP_LEGACY_PACING_MS: "0",
  SUPABASE_URL: "http://project.test",
  SUPABASE_ANON_KEY: ANON_KEY,
  SUPABASE_SECRET_KEYS: JSON.stringify({ default: SECRET_KEY }),
};

export interface DatabaseCall {
  method: string;
  path: string;
  query: URLSearchParams;
  body: unknown;
}

export interface World {
  active?: readonly string[];
  /** Answers all calls that are not to the database; other hosts are in the request's URL. */
  vendor: FakeVendor;
  database?: (call: DatabaseCall) => Response | undefined;
  /** Answers the functions of the queue that endpoints call, by name; default: the queue is off. */
  queue?: Record<string, (parameters: Record<string, unknown>) => unknown>;
  settings?: Record<string, string | undefined>;
}

interface AnswerBody {
  message: string;
  details: { symbol: string; success: boolean; message: string }[];
  totalProcessed?: number;
  totalSucceeded?: number;
  totalUpserted?: number;
  [total: string]: unknown;
}

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  json: AnswerBody;
  writes: DatabaseCall[];
  /** Calls of the queue's functions: name and parameters. */
  queueCalls: [string, Record<string, unknown>][];
  vendorCalls: string[];
  waitedUntil: Promise<unknown>[];
  logged: string[];
}

/** Calls an endpoint in a world of a fake vendor and a fake REST interface. */
export async function callEndpoint(
  create: (surroundings: LegacySurroundings) => (request: Request) => Promise<Response>,
  world: World,
  init: RequestInit = {},
): Promise<Answer> {
  const settings: Record<string, string | undefined> = { ...SETTINGS, ...world.settings };
  const writes: DatabaseCall[] = [];
  const queueCalls: Answer["queueCalls"] = [];
  const vendorCalls: string[] = [];
  const waitedUntil: Promise<unknown>[] = [];
  const logged: string[] = [];
  const active = world.active ?? ["AAPL", "MSFT"];
  const endpoint = create({
    env: { get: (name) => settings[name] },
    now: () => NOW,
    log: (line) => logged.push(line),
    waitUntil: (promise) => waitedUntil.push(promise),
    fetch: async (input, requestInit) => {
      const request = new Request(input, requestInit);
      const url = new URL(request.url);
      if (url.host !== "project.test") {
        vendorCalls.push(`${url.pathname}${url.search}`);
        return await world.vendor(url.pathname.replace("/stable/", ""), url.searchParams, request);
      }
      assert.equal(request.headers.get("apikey"), SECRET_KEY);
      const text = await request.text();
      const databaseCall = {
        method: request.method,
        path: url.pathname.replace("/rest/v1/", ""),
        query: url.searchParams,
        body: text === "" ? undefined : JSON.parse(text),
      };
      const [, name] = /^rpc\/(\w+_v2)$/.exec(databaseCall.path) ?? [];
      if (name !== undefined) {
        const parameters = databaseCall.body as Record<string, unknown>;
        queueCalls.push([name, parameters]);
        const answer = world.queue?.[name]?.(parameters) ?? null;
        return answer instanceof Response ? answer : Response.json(answer);
      }
      const special = world.database?.(databaseCall);
      if (special !== undefined) return special;
      if (databaseCall.method === "GET") {
        assert.equal(databaseCall.path, "supported_symbols");
        assert.equal(url.searchParams.get("is_active"), "eq.true");
        const offset = Number(url.searchParams.get("offset") ?? 0);
        // A server whose own maximum is 2 rows.
        return Response.json(active.slice(offset, offset + 2).map((symbol) => ({ symbol })));
      }
      writes.push(databaseCall);
      return new Response(null, { status: 204 });
    },
  });
  const response = await endpoint(
    new Request("http://functions.test/name", {
      method: "POST",
      headers: { authorization: `Bearer ${ANON_KEY}` },
      ...init,
    }),
  );
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: JSON.parse(text.startsWith("{") ? text : "{}"),
    writes,
    queueCalls,
    vendorCalls,
    waitedUntil,
    logged,
  };
}
