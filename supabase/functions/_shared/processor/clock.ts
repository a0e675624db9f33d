/** Time as the processor sees it; tests put their own in its place. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Resolves after `ms` milliseconds, or as soon as the signal aborts. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Given to every abort that only stops a timer: the default reason is an error with its stack. */
const NOT_NEEDED = "not needed any more";

/** The real time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const end = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal?.addEventListener("abort", end);
    }),
};

/**
 * Runs `work` with a signal that aborts when the outer one does or after `ms` milliseconds, in the
 * latter case with a reason named `TimeoutError`. Whether the work obeys is its own business.
 */
export async function withDeadline<Result>(
  clock: Clock,
  ms: number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const deadline = new AbortController();
  const done = new AbortController();
  void clock.sleep(ms, done.signal).then(() => {
    if (!done.signal.aborted) {
      deadline.abort(new DOMException(`no answer within ${ms} ms`, "TimeoutError"));
    }
  });
  try {
    return await work(
      signal === undefined ? deadline.signal : AbortSignal.any([signal, deadline.signal]),
    );
  } finally {
    done.abort(NOT_NEEDED);
  }
}

/** Settles as `work` does, or rejects with the signal's reason as soon as it aborts. */
export async function unlessAborted<Result>(
  work: Promise<Result>,
  signal: AbortSignal,
): Promise<Result> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Wakes the one loop that waits on it. A ring before the wait is not lost. */
export interface Bell {
  ring(): void;
  /** Resolves at the next ring, or after `ms` milliseconds (at least one); without `ms` only at a ring. */
  wait(ms?: number): Promise<void>;
}

export function createBell(clock: Clock): Bell {
  let rung = false;
  let wake: (() => void) | undefined;
  return {
    ring() {
      rung = true;
      wake?.();
    },
    async wait(ms) {
      if (!rung) {
        const ring = Promise.withResolvers<void>();
        wake = ring.resolve;
        const done = new AbortController();
        await (ms === undefined
          ? ring.promise
          : Promise.race([ring.promise, clock.sleep(Math.max(ms, 1), done.signal)]));
        done.abort(NOT_NEEDED);
        wake = undefined;
      }
      rung = false;
    },
  };
}
