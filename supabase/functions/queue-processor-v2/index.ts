/** Entry point of the Edge Function; what it does is described at `createProcessorHandler`. */
import { fetchers } from "../_shared/fetchers/index.ts";
import { shutdownSignal } from "../_shared/processor/shutdown.ts";
import { createProcessorHandler } from "./handler.ts";

declare const EdgeRuntime: { waitUntil(promise: Promise<unknown>): void } | undefined;

export default {
  fetch: createProcessorHandler({
    env: Deno.env,
    fetchers,
    fetch: globalThis.fetch,
    shutdown: shutdownSignal(),
    waitUntil: (promise) => {
      if (typeof EdgeRuntime !== "undefined") EdgeRuntime.waitUntil(promise);
    },
    log: (line) => console.info(line),
  }),
};
