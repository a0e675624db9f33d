import { z } from "zod";
import { type FaultBoard, faultSchema } from "./faults.ts";
import type { FmpCall } from "./ledger.ts";
import { type Reply, textReply } from "./replies.ts";

/** Where other processes steer the simulator; no key is wanted here. */
export const controlPrefix = "/_simulator/";

/** What the control paths read and change. */
export interface Controlled {
  faults: FaultBoard;
  ledger: { calls: readonly FmpCall[]; total: number };
  violations: number;
  reset(): void;
}

const faultRequest = z.strictObject({ endpoint: z.string().min(1), fault: faultSchema.nullable() });

/**
 * Answers a control request:
 * - `POST faults` with `{endpoint, fault}` puts a fault in force; `fault: null` removes it
 * - `GET faults` gives the faults in force by endpoint
 * - `GET ledger` gives `{calls, violations, ledger}`; `?after=<id>` only the calls after that one
 * - `POST reset` forgets calls, violations and faults, and empties the limiter's window
 */
export function control(method: string, url: URL, body: string, controlled: Controlled): Reply {
  const action = `${method} ${url.pathname.slice(controlPrefix.length)}`;
  switch (action) {
    case "GET faults":
      return jsonReply(200, controlled.faults.list());
    case "POST faults": {
      const request = parse(body);
      if (!request.ok) return jsonReply(400, { error: `Cannot set a fault: ${request.why}` });
      try {
        controlled.faults.set(request.endpoint, request.fault);
      } catch (error) {
        return jsonReply(400, { error: error instanceof Error ? error.message : String(error) });
      }
      return jsonReply(200, controlled.faults.list());
    }
    case "GET ledger": {
      const after = Number(url.searchParams.get("after") ?? 0);
      return jsonReply(200, {
        calls: controlled.ledger.total,
        violations: controlled.violations,
        ledger: controlled.ledger.calls.filter((call) => call.id > after),
      });
    }
    case "POST reset":
      controlled.reset();
      return jsonReply(200, { reset: true });
    default:
      return jsonReply(404, {
        error: `Cannot answer "${action}": use POST or GET faults, GET ledger or POST reset`,
      });
  }
}

type ParsedFault =
  | { ok: true; endpoint: string; fault: z.infer<typeof faultSchema> | null }
  | { ok: false; why: string };

function parse(body: string): ParsedFault {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return { ok: false, why: "the body is not JSON" };
  }
  const parsed = faultRequest.safeParse(json);
  return parsed.success
    ? { ok: true, ...parsed.data }
    : { ok: false, why: z.prettifyError(parsed.error) };
}

function jsonReply(status: number, body: unknown): Reply {
  return textReply(status, JSON.stringify(body));
}
