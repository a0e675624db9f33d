import { z } from "zod";
import { uniform } from "./random.ts";

/** An hour: longer waits are what the fault "timeout" is for. */
export const maxWaitMs = 3_600_000;

const wait = z.number().min(0).max(maxWaitMs);

/** How long answers take, in milliseconds. */
export const latencySchema = z.discriminatedUnion("shape", [
  z.strictObject({ shape: z.literal("fixed"), ms: wait }),
  z.strictObject({ shape: z.literal("uniform"), minMs: wait, maxMs: wait })
    .refine((latency) => latency.minMs <= latency.maxMs, { error: "minMs is above maxMs" }),
  /**
   * Log-normal: half of the calls take less than `medianMs`, one in a hundred more than `p99Ms`,
   * none more than `maxMs` (default ten times `p99Ms`).
   */
  z.strictObject({
    shape: z.literal("long-tail"),
    medianMs: wait.positive(),
    p99Ms: wait.positive(),
    maxMs: wait.optional(),
  }).refine((latency) => latency.medianMs <= latency.p99Ms, { error: "medianMs is above p99Ms" })
    .refine((latency) => latency.p99Ms <= (latency.maxMs ?? latency.p99Ms), {
      error: "p99Ms is above maxMs",
    }),
]);

export type Latency = z.infer<typeof latencySchema>;

/** Standard deviations from the median to the 99th percentile. */
const deviationsToP99 = 2.3263;

/** The wait in milliseconds that belongs to the given parts: the same parts, the same wait. */
export function waitOf(latency: Latency, ...parts: readonly (string | number)[]): number {
  switch (latency.shape) {
    case "fixed":
      return latency.ms;
    case "uniform":
      return latency.minMs + (latency.maxMs - latency.minMs) * uniform(...parts);
    case "long-tail": {
      const { medianMs, p99Ms, maxMs = Math.min(p99Ms * 10, maxWaitMs) } = latency;
      const deviation = Math.log(p99Ms / medianMs) / deviationsToP99;
      return Math.min(maxMs, medianMs * Math.exp(deviation * normal(parts)));
    }
  }
}

/** A standard normal value after Box and Muller. */
function normal(parts: readonly (string | number)[]): number {
  const radius = Math.sqrt(-2 * Math.log(1 - uniform(...parts, "radius")));
  return radius * Math.cos(2 * Math.PI * uniform(...parts, "angle"));
}
