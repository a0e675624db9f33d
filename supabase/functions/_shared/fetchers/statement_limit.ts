import { VendorError } from "./errors.ts";

/** Most rows per statement that the free plan gives; it refuses a larger `limit` with 402. */
export const SMALL_PLAN_LIMIT = 5;

/** An answer with how many calls it took beside the successful one. */
interface LimitedAnswer<T> {
  answer: T;
  refusedCalls: number;
  refusedBytes: number;
}

/**
 * Finds out which `limit` the plan accepts, and remembers it for the life of the process.
 *
 * The first call goes out alone with the wanted limit and others wait for it, so that a small plan
 * costs one refused call per process instead of one per statement.
 */
export class StatementLimit {
  #accepted: number | undefined;
  #probe: Promise<void> | undefined;

  /**
   * Runs a call with the limit known to be accepted, or with `wanted` to find that out.
   * A refusal of the limit is answered by one more call with {@linkcode SMALL_PLAN_LIMIT}.
   */
  async call<T>(
    wanted: number,
    run: (limit: number) => Promise<T>,
  ): Promise<LimitedAnswer<T>> {
    while (this.#accepted === undefined && this.#probe !== undefined) await this.#probe;
    if (this.#accepted !== undefined) return await this.#callWithFallback(this.#accepted, run);
    const probing = Promise.withResolvers<void>();
    this.#probe = probing.promise;
    try {
      return await this.#callWithFallback(wanted, run);
    } finally {
      this.#probe = undefined;
      probing.resolve();
    }
  }

  async #callWithFallback<T>(
    limit: number,
    run: (limit: number) => Promise<T>,
  ): Promise<LimitedAnswer<T>> {
    try {
      const answer = await run(limit);
      this.#accepted = limit;
      return { answer, refusedCalls: 0, refusedBytes: 0 };
    } catch (error) {
      if (!(error instanceof VendorError) || error.code !== "plan_limit") throw error;
      if (limit <= SMALL_PLAN_LIMIT) throw error;
      this.#accepted = SMALL_PLAN_LIMIT;
      return {
        answer: await withRefusal(error, () => run(SMALL_PLAN_LIMIT)),
        refusedCalls: error.calls,
        refusedBytes: error.bytes,
      };
    }
  }
}

/** Counts the refused call on the error of the second one too. */
async function withRefusal<T>(refusal: VendorError, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof VendorError)) throw error;
    throw error.with({
      calls: error.calls + refusal.calls,
      bytes: error.bytes + refusal.bytes,
    });
  }
}
