/** Settles as `work` does, or rejects with the signal's reason when that aborts first. */
export async function unlessAborted<Value>(
  work: Promise<Value>,
  signal: AbortSignal,
): Promise<Value> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Waits; rejects with the signal's reason when that aborts first. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

/** Asks until the answer is not undefined. Throws, naming what it waited for, after `withinMs`. */
export async function waitFor<Answer>(
  what: string,
  withinMs: number,
  everyMs: number,
  signal: AbortSignal,
  ask: () => Promise<Answer | undefined> | Answer | undefined,
): Promise<Answer> {
  const deadline = performance.now() + withinMs;
  while (true) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) {
      throw new Error(
        `Waited ${Math.round(withinMs / 1_000)} s in vain for ${what}`,
      );
    }
    await pause(everyMs, signal);
  }
}

/**
 * Starts something that would stop itself when its signal aborts. The signal that it gets aborts
 * with `signal`, but only until it has started: afterwards its user stops it, once its own
 * connections are closed.
 */
export async function started<Part>(
  signal: AbortSignal,
  start: (signal: AbortSignal) => Promise<Part>,
): Promise<Part> {
  signal.throwIfAborted();
  const starting = new AbortController();
  const onAbort = () => starting.abort(signal.reason);
  signal.addEventListener("abort", onAbort);
  try {
    return await start(starting.signal);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
