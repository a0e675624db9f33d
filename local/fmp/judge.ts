import type { Endpoint, World } from "./endpoints/endpoint.ts";
import { endpoints } from "./endpoints/index.ts";
import { exchangeRatesPrefix, latestRates } from "./exchange_rates.ts";
import type { FaultBoard } from "./fault_board.ts";
import { applyFault, extraWaitOf } from "./faults.ts";
import type { FmpCall, Refusal } from "./ledger.ts";
import type { Admission, SlidingWindow } from "./limiter.ts";
import { coveredRows, endpointRefusal, parameterRefusal, type Plan } from "./plans.ts";
import type { DataQuota } from "./quota.ts";
import {
  errorBodies,
  missingParameter,
  type Reply,
  retryAfterHeader,
  rowsReply,
  textReply,
} from "./replies.ts";

/** Path that the endpoints lie below. */
export const basePath = "/stable/";

/** What calls are judged by. */
export interface Rules {
  apiKey: string;
  perMinute: SlidingWindow;
  perDay: SlidingWindow;
  /** Form of Retry-After with a refusal of either window; null sends none. */
  retryAfterAs: "seconds" | "http-date" | null;
  data: DataQuota;
  dataQuotaAnswer: Reply;
  plan: Plan | null;
  faults: FaultBoard;
  seed: number;
}

/** The answer to a call and how much longer than usual it takes. */
export interface Decision {
  reply: Reply;
  extraMs: number;
}

/** A call as it came. */
export interface Request {
  method: string;
  url: URL;
  /** The key in a header, if any; one in the query goes before it. */
  headerKey: string | undefined;
}

/**
 * Judges a call in this order: method, key (401), calls per minute and per day (429), data
 * allowance, retired path (403), unknown path (404), then plan (402), required parameters (400) and
 * rows, which a fault may take the place of. Notes in the ledger entry what refused it. Only calls
 * with a valid key take a place in a window.
 */
export function judge(request: Request, call: FmpCall, world: World, rules: Rules): Decision {
  const { method, url } = request;
  if (method !== "GET") return { reply: textReply(405, ""), extraMs: 0 };
  const key = url.searchParams.get("apikey") ?? request.headerKey;
  if (url.pathname.startsWith(exchangeRatesPrefix)) {
    const base = url.pathname.slice(exchangeRatesPrefix.length);
    return withFault((then) => latestRates(base, key !== undefined, then), call, world, rules);
  }
  const refused = refuse(key, call, world.now, rules);
  if (refused) return { reply: refused, extraMs: 0 };
  if (/^\/api\/v[34]\//.test(url.pathname)) {
    return { reply: textReply(403, errorBodies.legacyEndpoint), extraMs: 0 };
  }
  const endpoint = url.pathname.startsWith(basePath) ? endpoints.get(call.endpoint) : undefined;
  if (!endpoint) return { reply: textReply(404, errorBodies.unknownPath), extraMs: 0 };
  const { plan } = rules;
  return withFault((then) => answer(endpoint, url.searchParams, then, plan), call, world, rules);
}

function refuse(key: string | undefined, call: FmpCall, at: Date, rules: Rules): Reply | null {
  const because = (refusal: Refusal, reply: Reply): Reply => {
    call.refusal = refusal;
    return reply;
  };
  const tooMany = ({ retryAfterMs }: Admission): Reply => {
    const headers = rules.retryAfterAs === null
      ? {}
      : retryAfterHeader(Math.ceil(retryAfterMs / 1000), rules.retryAfterAs, at);
    return textReply(429, errorBodies.limitReached, headers);
  };
  if (key !== rules.apiKey) return because("key", textReply(401, errorBodies.invalidKey));
  const minute = rules.perMinute.admit(at.getTime());
  if (!minute.admitted) {
    call.violation = true;
    return because("minute", tooMany(minute));
  }
  const day = rules.perDay.admit(at.getTime());
  if (!day.admitted) return because("day", tooMany(day));
  return rules.data.isUsedUp(at.getTime()) ? because("data", rules.dataQuotaAnswer) : null;
}

function withFault(
  rightAt: (world: World) => Reply,
  call: FmpCall,
  world: World,
  rules: Rules,
): Decision {
  const { seed } = rules;
  const fault = rules.faults.take(call.endpoint, call.symbols, call.id);
  const right = rightAt(world);
  if (!fault) {
    if (right.status === 402) call.refusal = "plan";
    return { reply: right, extraMs: 0 };
  }
  call.fault = fault.kind;
  const other = world.universe.listings.find(({ symbol }) => !call.symbols.includes(symbol));
  const reply = applyFault(fault, right, {
    symbols: call.symbols,
    otherSymbol: other?.symbol ?? "OTHER",
    now: world.now,
    answerAt: (now) => rightAt({ ...world, now, frozen: false }),
    seed,
    callId: call.id,
  });
  return { reply, extraMs: extraWaitOf(fault, { seed, callId: call.id }) };
}

/** The right answer of an endpoint. An empty required parameter counts as missing. */
function answer(
  endpoint: Endpoint,
  query: URLSearchParams,
  world: World,
  plan: Plan | null,
): Reply {
  const lacking = plan && endpointRefusal(plan, endpoint.name);
  if (lacking) return lacking;
  const missing = endpoint.required.find((name) => !query.get(name));
  if (missing !== undefined) return missingParameter(missing);
  const outside = plan && parameterRefusal(plan, endpoint.name, query, world);
  if (outside) return outside;
  const rows = endpoint.answer(query, world);
  if (!Array.isArray(rows)) return rows;
  return rowsReply(plan ? coveredRows(plan, endpoint.name, rows, world) : rows);
}
