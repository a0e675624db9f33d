/**
 * A signal that aborts when the worker is about to be shut down (`beforeunload`): the wall clock is
 * nearly up, a deploy, or the process ends. The platform may also end a worker without it.
 */
export function shutdownSignal(): AbortSignal {
  const shutdown = new AbortController();
  globalThis.addEventListener("beforeunload", () => shutdown.abort(), { once: true });
  return shutdown.signal;
}
