/** Resolves when the next call may start; rejects with the signal's reason when that ends first. */
export type Pace = (signal: AbortSignal) => Promise<void>;

/**
 * Spaces the starts of calls at least `intervalMs` apart, in the order in which they asked.
 * Zero means no pause.
 */
export function createPace(
  intervalMs: number,
  clock: {
    now(): number;
    sleep(ms: number, signal: AbortSignal): Promise<void>;
  } = { now: () => performance.now(), sleep },
): Pace {
  let nextStart = 0;
  return async (signal) => {
    signal.throwIfAborted();
    if (intervalMs === 0) return;
    const now = clock.now();
    const start = Math.max(now, nextStart);
    nextStart = start + intervalMs;
    if (start > now) await clock.sleep(start - now, signal);
  };
}

/** Waits; rejects with the signal's reason when that ends first. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}
