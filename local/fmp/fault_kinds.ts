import { z } from "zod";
import type { JsonValue } from "./json.ts";
import { latencySchema, maxWaitMs } from "./latency.ts";
import { paymentBodies, type PaymentSpelling } from "./replies.ts";

const common = {
  /** Answers this many matching calls, then goes away. Absent: until it is removed. */
  times: z.int().positive().optional(),
  /** Only calls that name one of these symbols; row faults then touch only their rows. */
  symbols: z.array(z.string().min(1)).min(1).optional(),
  /** Part of the matching calls, above 0 and up to 1; drawn from the seed. Absent: all. */
  share: z.number().gt(0).max(1).optional(),
};

const jsonValue: z.ZodType<JsonValue> = z.json();
const keyNames = z.array(z.string().min(1)).min(1);

/** The length is the server's to say. */
const headers = z.record(z.string(), z.string()).refine(areHeaders, {
  error: "wanted names and values that HTTP allows, and no content-length or transfer-encoding",
});

/** JSON types that a value can be sent as. */
export const jsonTypes = ["string", "number", "boolean", "null", "array", "object"] as const;
export type JsonType = typeof jsonTypes[number];

const spellings = Object.keys(paymentBodies) as [PaymentSpelling, ...PaymentSpelling[]];

/** A fault as it is set in process or posted by another process. */
export const faultSchema = z.discriminatedUnion("kind", [
  /** A status with the documented body for it, or the given one. */
  z.strictObject({
    kind: z.literal("status"),
    status: z.int().min(200).max(599),
    body: jsonValue.optional(),
    headers: headers.optional(),
    ...common,
  }),
  /** Status 429 as the limiter sends it, asking to come back after so many seconds or not at all. */
  z.strictObject({
    kind: z.literal("rate-limit"),
    retryAfterSeconds: z.int().nonnegative().max(1e9).optional(),
    /** Default "seconds"; the date is counted from the simulator's clock. */
    retryAfterAs: z.enum(["seconds", "http-date"]).optional(),
    ...common,
  }).refine((fault) => fault.retryAfterAs === undefined || fault.retryAfterSeconds !== undefined, {
    error: "retryAfterAs wants retryAfterSeconds",
  }),
  /** Status 402 in one of the recorded spellings. */
  z.strictObject({ kind: z.literal("payment"), spelling: z.enum(spellings), ...common }),
  /** Status 200 with an `Error Message` object in place of the array. */
  z.strictObject({ kind: z.literal("error-object"), message: z.string().optional(), ...common }),
  /**
   * Right rows of another schema: keys dropped, renamed (old name: new name), given a value
   * (`retype`, also for keys that are not there), or their own value as another JSON type
   * (`retypeTo`); `unwrap` sends the first row bare.
   */
  z.strictObject({
    kind: z.literal("wrong-shape"),
    drop: keyNames.optional(),
    rename: z.record(z.string(), z.string()).optional(),
    retype: z.record(z.string(), jsonValue).optional(),
    retypeTo: z.record(z.string(), z.enum(jsonTypes)).optional(),
    unwrap: z.literal(true).optional(),
    ...common,
  }).refine(
    (fault) => fault.drop || fault.rename || fault.retype || fault.retypeTo || fault.unwrap,
    { error: "wrong-shape wants drop, rename, retype, retypeTo or unwrap" },
  ),
  /** Right rows with one key under another name. */
  z.strictObject({ kind: z.literal("rename-key"), from: z.string(), to: z.string(), ...common }),
  /** The right answer of this long ago, by the simulator's clock; never a recorded one. */
  z.strictObject({
    kind: z.literal("stale"),
    ageSeconds: z.number().positive().max(1e9),
    ...common,
  }),
  /** Right rows, and the same rows so many times again after them (default once). */
  z.strictObject({
    kind: z.literal("duplicate-rows"),
    copies: z.int().positive().max(10).optional(),
    ...common,
  }),
  /** Right rows in another order; the shuffle is drawn from the seed. */
  z.strictObject({
    kind: z.literal("reorder-rows"),
    order: z.enum(["reversed", "shuffled"]),
    ...common,
  }),
  /**
   * Right rows under another security's symbol, by default the first known one that was not asked
   * for. With `append` the right rows come first and these after them.
   */
  z.strictObject({
    kind: z.literal("other-symbol"),
    symbol: z.string().min(1).optional(),
    append: z.literal(true).optional(),
    ...common,
  }),
  /** Status 200 with `[]`, as for a symbol the vendor has nothing for. */
  z.strictObject({ kind: z.literal("empty"), ...common }),
  /** The right answer after an additional wait. */
  z.strictObject({
    kind: z.literal("slow"),
    delayMs: z.number().nonnegative().max(maxWaitMs).optional(),
    latency: latencySchema.optional(),
    ...common,
  }).refine((fault) => (fault.delayMs === undefined) !== (fault.latency === undefined), {
    error: "slow wants either delayMs or latency",
  }),
  /**
   * No answer at all; the connection stays open until the client gives up. With `afterHead` the
   * status line, the headers and half of the body come first.
   */
  z.strictObject({ kind: z.literal("timeout"), afterHead: z.literal(true).optional(), ...common }),
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
  /** The right answer, or the given text, under another content type (default HTML). */
  z.strictObject({
    kind: z.literal("content-type"),
    contentType: z.string().refine((value) => areHeaders({ "content-type": value }), {
      error: "wanted a value that HTTP allows in a header",
    }).optional(),
    body: z.string().optional(),
    ...common,
  }),
]);

export type Fault = z.infer<typeof faultSchema>;

/** Names of the kinds, for messages. */
export const faultKinds: readonly string[] = faultSchema.options.map((option) =>
  option.shape.kind.value
);

/** Kinds that change the rows of a right answer. */
export type RowFault = Extract<
  Fault,
  {
    kind:
      | "wrong-shape"
      | "rename-key"
      | "stale"
      | "duplicate-rows"
      | "reorder-rows"
      | "other-symbol";
  }
>;

function areHeaders(record: Record<string, string>): boolean {
  try {
    const parsed = new Headers(record);
    return !parsed.has("content-length") && !parsed.has("transfer-encoding");
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}
