import { z } from "zod";
import type { JsonRow, JsonValue } from "./json.ts";
import { documentedBody, errorBodies, type Reply, textReply } from "./replies.ts";

const common = {
  /** Answers this many matching calls, then goes away. Absent: until it is removed. */
  times: z.int().positive().optional(),
  /** Only calls that name one of these symbols; row faults then touch only their rows. */
  symbols: z.array(z.string().min(1)).min(1).optional(),
};

const jsonValue: z.ZodType<JsonValue> = z.json();

/** A fault as it is set in process or posted by another process. */
export const faultSchema = z.discriminatedUnion("kind", [
  /** A status with the documented body for it, or the given one. */
  z.strictObject({
    kind: z.literal("status"),
    status: z.int().min(200).max(599),
    body: jsonValue.optional(),
    headers: z.record(z.string(), z.string()).optional(),
    ...common,
  }),
  /** Status 200 with an `Error Message` object in place of the array. */
  z.strictObject({ kind: z.literal("error-object"), message: z.string().optional(), ...common }),
  /** Right rows with keys dropped or given another value; `unwrap` sends the first row bare. */
  z.strictObject({
    kind: z.literal("wrong-shape"),
    drop: z.array(z.string()).optional(),
    retype: z.record(z.string(), jsonValue).optional(),
    unwrap: z.literal(true).optional(),
    ...common,
  }).refine((fault) => fault.drop || fault.retype || fault.unwrap, {
    error: "wrong-shape wants drop, retype or unwrap",
  }),
  /** Right rows with one key under another name. */
  z.strictObject({ kind: z.literal("rename-key"), from: z.string(), to: z.string(), ...common }),
  /** Status 200 with `[]`, as for a symbol the vendor has nothing for. */
  z.strictObject({ kind: z.literal("empty"), ...common }),
  /** The right answer after an additional wait. */
  z.strictObject({ kind: z.literal("slow"), delayMs: z.number().nonnegative(), ...common }),
  /** No answer at all; the connection stays open until the client gives up. */
  z.strictObject({ kind: z.literal("timeout"), ...common }),
  /** The connection is reset before the status line. */
  z.strictObject({ kind: z.literal("reset"), ...common }),
  /**
   * The JSON text stops in the middle. Without `closeEarly` the HTTP answer is complete, with it
   * the head promises the whole body and the connection closes.
   */
  z.strictObject({
    kind: z.literal("truncated"),
    closeEarly: z.boolean().optional(),
    ...common,
  }),
  /** Status 200 with bare text. */
  z.strictObject({ kind: z.literal("not-json"), body: z.string().optional(), ...common }),
]);

export type Fault = z.infer<typeof faultSchema>;

/** The faults in force, at most one for each endpoint and one for all ("*"). */
export class FaultBoard {
  #faults = new Map<string, { fault: Fault; left: number }>();
  #endpoints: ReadonlySet<string>;

  constructor(endpoints: ReadonlySet<string>) {
    this.#endpoints = endpoints;
  }

  /** Puts a fault in force, or removes it (null). Throws on an unknown endpoint or a bad fault. */
  set(endpoint: string, fault: Fault | null): void {
    if (endpoint !== "*" && !this.#endpoints.has(endpoint)) {
      const known = [...this.#endpoints].sort().join(", ");
      throw new Error(`Cannot set a fault on "${endpoint}": use "*" or one of ${known}`);
    }
    if (fault === null) {
      this.#faults.delete(endpoint);
      return;
    }
    const parsed = faultSchema.safeParse(fault);
    if (!parsed.success) {
      throw new Error(`Cannot set a fault on "${endpoint}": ${z.prettifyError(parsed.error)}`);
    }
    this.#faults.set(endpoint, { fault: parsed.data, left: parsed.data.times ?? Infinity });
  }

  /** The fault for a call, if any, and uses it up once. The endpoint's own goes before "*". */
  take(endpoint: string, symbols: readonly string[]): Fault | null {
    for (const key of [endpoint, "*"]) {
      const entry = this.#faults.get(key);
      if (!entry) continue;
      const { fault } = entry;
      if (fault.symbols && !symbols.some((symbol) => fault.symbols?.includes(symbol))) continue;
      if (--entry.left <= 0) this.#faults.delete(key);
      return fault;
    }
    return null;
  }

  /** Faults in force, by endpoint. */
  list(): Record<string, Fault> {
    return Object.fromEntries([...this.#faults].map(([key, { fault }]) => [key, fault]));
  }

  reset(): void {
    this.#faults.clear();
  }
}

/** Turns the right answer into the faulty one. */
export function applyFault(fault: Fault, right: Reply): Reply {
  switch (fault.kind) {
    case "status": {
      const body = fault.body ?? documentedBody(fault.status);
      const text = typeof body === "string" ? body : JSON.stringify(body);
      return textReply(fault.status, text, fault.headers);
    }
    case "error-object":
      return textReply(
        200,
        fault.message === undefined
          ? errorBodies.throttled
          : JSON.stringify({ "Error Message": fault.message }),
      );
    case "wrong-shape": {
      const edited = editRows(right, fault.symbols, (row) => {
        const kept = Object.entries(row).filter(([key]) => !fault.drop?.includes(key));
        return { ...Object.fromEntries(kept), ...fault.retype };
      });
      if (!edited) return right;
      return textReply(200, JSON.stringify(fault.unwrap ? edited.rows[0] ?? {} : edited.body));
    }
    case "rename-key": {
      const edited = editRows(
        right,
        fault.symbols,
        (row) =>
          Object.fromEntries(
            Object.entries(row).map(([key, value]) => [key === fault.from ? fault.to : key, value]),
          ),
      );
      return edited ? textReply(200, JSON.stringify(edited.body)) : right;
    }
    case "empty":
      return textReply(200, "[]");
    case "slow":
      return right;
    case "timeout":
      return { ...right, delivery: { how: "never" } };
    case "reset":
      return { ...right, delivery: { how: "reset" } };
    case "truncated": {
      const bytes = new TextEncoder().encode(right.body);
      const half = Math.floor(bytes.length / 2);
      if (fault.closeEarly) return { ...right, delivery: { how: "cut", bytes: half } };
      return { ...right, body: new TextDecoder().decode(bytes.slice(0, half)) };
    }
    case "not-json":
      return textReply(200, fault.body ?? "Service temporarily unavailable");
  }
}

/**
 * Edits the rows of a successful answer, or the object that it is; null when the right answer is an
 * error itself.
 */
function editRows(
  right: Reply,
  symbols: readonly string[] | undefined,
  edit: (row: JsonRow) => JsonRow,
): { rows: JsonRow[]; body: JsonRow | JsonRow[] } | null {
  if (right.status !== 200) return null;
  const body: JsonRow | JsonRow[] = JSON.parse(right.body);
  if (!Array.isArray(body)) return { rows: [edit(body)], body: edit(body) };
  const rows = body.map((row) => {
    const touched = !symbols || (typeof row.symbol === "string" && symbols.includes(row.symbol));
    return touched ? edit(row) : row;
  });
  return { rows, body: rows };
}
