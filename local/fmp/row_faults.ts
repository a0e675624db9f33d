import type { Fault, JsonType, RowFault } from "./fault_kinds.ts";
import type { JsonRow, JsonValue } from "./json.ts";
import { uniform } from "./random.ts";
import { type Reply, textReply } from "./replies.ts";

/** What a fault may need beside the right answer. */
export interface FaultContext {
  /** Symbols that the call names. */
  symbols: readonly string[];
  /** A security that the call does not name. */
  otherSymbol: string;
  /** The instant of the call. */
  now: Date;
  /** The right answer at another instant, not taken from the examples. */
  answerAt(now: Date): Reply;
  /** Draws of this call come from these. */
  seed: number;
  callId: number;
}

/**
 * Changes the rows of a successful answer. Errors stay as they are, and so do answers that hold one
 * object, but for the faults that change keys or the time.
 */
export function applyRowFault(fault: RowFault, right: Reply, context: FaultContext): Reply {
  if (right.status !== 200) return right;
  switch (fault.kind) {
    case "wrong-shape": {
      const body = eachRow(right, fault, (row) => reshape(row, fault));
      return jsonReply(fault.unwrap && Array.isArray(body) ? body[0] ?? {} : body);
    }
    case "rename-key":
      return jsonReply(
        eachRow(right, fault, (row) => renameKeys(row, { [fault.from]: fault.to })),
      );
    case "stale": {
      const then = context.answerAt(new Date(context.now.getTime() - fault.ageSeconds * 1000));
      return fault.symbols ? jsonReply(mixRows(right, then, fault.symbols)) : then;
    }
    case "duplicate-rows":
      return allRows(right, (rows) => {
        const touched = rows.filter((row) => isTouched(fault, row));
        return [
          ...rows,
          ...Array.from({ length: fault.copies ?? 1 }, () => touched).flat(),
        ];
      });
    case "reorder-rows":
      return allRows(
        right,
        (rows) => fault.order === "reversed" ? rows.toReversed() : shuffled(rows, context),
      );
    case "other-symbol": {
      const other = fault.symbol ?? context.otherSymbol;
      const relabel = (row: JsonRow) => "symbol" in row ? { ...row, symbol: other } : row;
      if (!fault.append) return jsonReply(eachRow(right, fault, relabel));
      return allRows(
        right,
        (rows) => [...rows, ...rows.filter((row) => isTouched(fault, row)).map(relabel)],
      );
    }
  }
}

function reshape(row: JsonRow, fault: Extract<Fault, { kind: "wrong-shape" }>): JsonRow {
  const kept = Object.entries(row).filter(([key]) => !fault.drop?.includes(key));
  const retyped = kept.map(([key, value]): [string, JsonValue] => {
    const type = fault.retypeTo?.[key];
    return [key, type === undefined ? value : as(type, value)];
  });
  return renameKeys({ ...Object.fromEntries(retyped), ...fault.retype }, fault.rename ?? {});
}

/** Keeps the keys' order. */
function renameKeys(row: JsonRow, names: Record<string, string>): JsonRow {
  return Object.fromEntries(
    Object.entries(row).map((
      [key, value],
    ) => [Object.hasOwn(names, key) ? names[key] : key, value]),
  );
}

/** A value as another JSON type, with as much of it left as that type can hold. */
function as(type: JsonType, value: JsonValue): JsonValue {
  switch (type) {
    case "string":
      return typeof value === "string" ? value : JSON.stringify(value);
    case "number":
      return Number.isFinite(Number(value)) ? Number(value) : 0;
    case "boolean":
      return Boolean(value);
    case "null":
      return null;
    case "array":
      return [value];
    case "object":
      return { value };
  }
}

/** Whether a row fault is about this row; all of them are where it names no symbols. */
function isTouched(fault: { symbols?: string[] | undefined }, row: JsonRow): boolean {
  return !fault.symbols || (typeof row.symbol === "string" && fault.symbols.includes(row.symbol));
}

function eachRow(
  right: Reply,
  fault: { symbols?: string[] | undefined },
  edit: (row: JsonRow) => JsonRow,
): JsonRow | JsonRow[] {
  const body = bodyOf(right);
  if (!Array.isArray(body)) return edit(body);
  return body.map((row) => isTouched(fault, row) ? edit(row) : row);
}

function allRows(right: Reply, edit: (rows: readonly JsonRow[]) => JsonRow[]): Reply {
  const body = bodyOf(right);
  return Array.isArray(body) ? jsonReply(edit(body)) : right;
}

/** Rows of the symbols from the old answer, the others from the right one. */
function mixRows(right: Reply, then: Reply, symbols: readonly string[]): JsonRow | JsonRow[] {
  const [body, old] = [bodyOf(right), bodyOf(then)];
  if (!Array.isArray(body) || !Array.isArray(old)) return body;
  return [
    ...body.filter((row) => !isTouched({ symbols: [...symbols] }, row)),
    ...old.filter((row) => isTouched({ symbols: [...symbols] }, row)),
  ];
}

function shuffled(rows: readonly JsonRow[], { seed, callId }: FaultContext): JsonRow[] {
  return rows
    .map((row, index) => ({ row, place: uniform(seed, "order", callId, index) }))
    .sort((left, right) => left.place - right.place)
    .map(({ row }) => row);
}

function bodyOf(reply: Reply): JsonRow | JsonRow[] {
  return JSON.parse(reply.body);
}

function jsonReply(body: JsonRow | JsonRow[]): Reply {
  return textReply(200, JSON.stringify(body));
}
