export interface WaitOptions {
  /** What is waited for, for the error. */
  what: string;
  timeoutMs: number;
  /** Default: 200 ms. */
  everyMs?: number;
  signal: AbortSignal;
}

/**
 * Asks again and again until the answer is not undefined, and returns it.
 * Throws when the time is up, with what was waited for and what was last seen.
 */
export async function waitFor<Answer>(
  ask: (seen: (text: string) => void) => Promise<Answer | undefined>,
  options: WaitOptions,
): Promise<Answer> {
  const { what, timeoutMs, everyMs = 200, signal } = options;
  const deadline = performance.now() + timeoutMs;
  let lastSeen = "nothing";
  while (true) {
    signal.throwIfAborted();
    const answer = await ask((text) => lastSeen = text);
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) {
      throw new Error(`Waited ${timeoutMs / 1_000} s for ${what}; last seen: ${lastSeen}`);
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
