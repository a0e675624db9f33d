import { z } from "zod";
import type { FaultBoard } from "./fault_board.ts";
import type { FmpCall } from "./ledger.ts";
import { type Plan, planSchema } from "./plans.ts";
import { type Reply, textReply } from "./replies.ts";

/** Where other processes steer the simulator; no key is wanted here. */
export const controlPrefix = "/_simulator/";

/** What the control paths read and change. */
export interface Controlled {
  faults: FaultBoard;
  ledger: { readonly calls: readonly FmpCall[]; readonly total: number };
  /** What `GET state` answers. */
  state(): SimulatorState;
  symbols(): Record<string, readonly string[]>;
  setPlan(plan: Plan | null): void;
  setDataAllowance(bytes: number | null): void;
  reset(): void;
}

/** How the simulator stands. */
export interface SimulatorState {
  calls: number;
  violations: number;
  plan: Plan | null;
  data: { usedBytes: number; allowanceBytes: number | null };
}

const oneFault = z.record(z.string(), z.unknown());
const faultRequest = z.strictObject({
  endpoint: z.string().min(1),
  fault: z.union([z.null(), oneFault, z.array(oneFault)], {
    error: "wanted a fault, an array of faults, or null",
  }),
});
const planRequest = z.strictObject({ plan: planSchema });
const dataRequest = z.strictObject({ allowanceBytes: z.int().nonnegative().nullable() });

/**
 * Answers a control request; one that cannot be done is a 400 with `{error}`, and changes nothing:
 * - `POST faults` with `{endpoint, fault}` puts a fault in force, or several as an array; null
 *   removes those of the endpoint
 * - `GET faults` gives the faults in force by endpoint
 * - `POST plan` with `{plan}` changes the plan; null answers everything
 * - `POST data` with `{allowanceBytes}` changes the data allowance; null takes it away
 * - `GET state` gives `{calls, violations, plan, data: {usedBytes, allowanceBytes}}`
 * - `GET symbols` gives the symbols by kind
 * - `GET ledger` gives `{calls, violations, ledger}`, oldest first; `?after=<id>` only the calls
 *   after that one, `?limit=<count>` at most so many
 * - `POST reset` forgets calls, violations, faults and bytes, empties the windows, and brings back
 *   the plan and the allowance of the start
 */
export function control(
  method: string,
  url: URL,
  body: string | null,
  controlled: Controlled,
): Reply {
  const action = `${method} ${url.pathname.slice(controlPrefix.length)}`;
  try {
    return jsonReply(200, run(action, url.searchParams, body, controlled));
  } catch (error) {
    if (error instanceof UnknownAction) return jsonReply(404, { error: error.message });
    return jsonReply(400, { error: error instanceof Error ? error.message : String(error) });
  }
}

class UnknownAction extends Error {}

function run(
  action: string,
  query: URLSearchParams,
  body: string | null,
  controlled: Controlled,
): unknown {
  switch (action) {
    case "GET faults":
      return controlled.faults.list();
    case "POST faults": {
      const { endpoint, fault } = parse("set a fault", body, faultRequest);
      controlled.faults.set(endpoint, fault);
      return controlled.faults.list();
    }
    case "POST plan":
      controlled.setPlan(parse("change the plan", body, planRequest).plan);
      return controlled.state();
    case "POST data":
      controlled.setDataAllowance(
        parse("change the data allowance", body, dataRequest).allowanceBytes,
      );
      return controlled.state();
    case "GET state":
      return controlled.state();
    case "GET symbols":
      return controlled.symbols();
    case "GET ledger": {
      const after = count(query, "after") ?? 0;
      const limit = count(query, "limit");
      const { calls, violations } = controlled.state();
      const ledger = controlled.ledger.calls.filter((call) => call.id > after).slice(0, limit);
      return { calls, violations, ledger };
    }
    case "POST reset":
      controlled.reset();
      return { reset: true };
    default:
      throw new UnknownAction(
        `Cannot answer "${action}": use POST or GET faults, POST plan, POST data, GET state, ` +
          "GET symbols, GET ledger or POST reset",
      );
  }
}

function parse<Request>(doing: string, body: string | null, schema: z.ZodType<Request>): Request {
  if (body === null) throw new Error(`Cannot ${doing}: the body is longer than a megabyte`);
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new Error(`Cannot ${doing}: the body is not JSON`, { cause: error });
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw new Error(`Cannot ${doing}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

function count(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  if (!/^\d+$/.test(text)) {
    throw new Error(`Cannot read the ledger: ${name} is "${text}"; wanted a whole number`);
  }
  return Number(text);
}

function jsonReply(status: number, body: unknown): Reply {
  return textReply(status, JSON.stringify(body));
}
