/**
 * Asks again and again until the answer is not undefined, and returns it. Fails when the time is up, which by
 * default is long enough for a machine that is busy with other things.
 */
export async function eventually<Answer>(
  what: string,
  ask: () => Answer | undefined | Promise<Answer | undefined>,
  timeoutMs = 180_000,
): Promise<Answer> {
  const deadline = performance.now() + timeoutMs;
  while (true) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`Waited ${timeoutMs / 1_000} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
