import type { Fault } from "./fault_kinds.ts";
import { waitOf } from "./latency.ts";
import {
  documentedBody,
  errorBodies,
  paymentBodies,
  type Reply,
  retryAfterHeader,
  textReply,
} from "./replies.ts";
import { applyRowFault, type FaultContext } from "./row_faults.ts";

/** Turns the right answer into the faulty one. */
export function applyFault(fault: Fault, right: Reply, context: FaultContext): Reply {
  switch (fault.kind) {
    case "status": {
      const body = fault.body ?? documentedBody(fault.status);
      const text = typeof body === "string" ? body : JSON.stringify(body);
      return textReply(fault.status, text, fault.headers);
    }
    case "rate-limit": {
      const { retryAfterSeconds, retryAfterAs = "seconds" } = fault;
      const headers = retryAfterSeconds === undefined
        ? {}
        : retryAfterHeader(retryAfterSeconds, retryAfterAs, context.now);
      return textReply(429, errorBodies.limitReached, headers);
    }
    case "payment":
      return textReply(402, paymentBodies[fault.spelling]);
    case "error-object":
      return textReply(
        200,
        fault.message === undefined
          ? errorBodies.throttled
          : JSON.stringify({ "Error Message": fault.message }),
      );
    case "wrong-shape":
    case "rename-key":
    case "stale":
    case "duplicate-rows":
    case "reorder-rows":
    case "other-symbol":
      return applyRowFault(fault, right, context);
    case "empty":
      return textReply(200, "[]");
    case "slow":
      return right;
    case "timeout":
      return {
        ...right,
        delivery: fault.afterHead ? { how: "stall", bytes: half(right) } : { how: "never" },
      };
    case "reset":
      return { ...right, delivery: { how: "reset" } };
    case "truncated": {
      const bytes = half(right);
      if (fault.closeEarly) return { ...right, delivery: { how: "cut", bytes } };
      const kept = new TextEncoder().encode(right.body).slice(0, bytes);
      return { ...right, body: new TextDecoder().decode(kept) };
    }
    case "not-json":
      return textReply(200, fault.body ?? "Service temporarily unavailable");
    case "content-type":
      return {
        ...right,
        body: fault.body ?? right.body,
        headers: { ...right.headers, "content-type": fault.contentType ?? "text/html" },
      };
  }
}

/** How much longer than usual an answer with this fault takes, in milliseconds. */
export function extraWaitOf(fault: Fault, context: Pick<FaultContext, "seed" | "callId">): number {
  if (fault.kind !== "slow") return 0;
  if (fault.latency) return waitOf(fault.latency, context.seed, "slow", context.callId);
  return fault.delayMs ?? 0;
}

function half(reply: Reply): number {
  return Math.floor(new TextEncoder().encode(reply.body).length / 2);
}
