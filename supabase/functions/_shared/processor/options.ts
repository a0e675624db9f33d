import type { AfterAccess, Fetcher } from "../fetchers/contract.ts";
import type { Queue } from "../queue_client.ts";
import type { Clock } from "./clock.ts";
import type { EdgeFunctions } from "./edge_function_fetcher.ts";
import type { VendorAccess } from "./run_group.ts";

export interface ProcessorOptions {
  queue: Queue;
  /** Fetchers by the name that the registry gives in its column `fetcher`. */
  fetchers: Readonly<Record<string, Fetcher>>;
  /** Access to the vendor. */
  context: VendorAccess;
  /** How to call Edge Functions, for data types that one of them fetches. */
  edgeFunctions?: EdgeFunctions;
  /** For what fetchers do besides rows, such as copying files; without it they do nothing of that. */
  afterAccess?: Omit<AfterAccess, "signal">;
  /** Id of the run, which has been started (`Queue.startRun`); this function finishes it. */
  runId: string;
  /** Claim manual jobs only, whatever the flags say. Default: false. */
  manual?: boolean;
  /** Milliseconds after which the run claims no more. Default: 120,000. */
  budgetMs?: number;
  /**
   * Claimed jobs after which the run claims no more, as if its time were up; default: no bound. The
   * platform ends a worker at two seconds of CPU time, and a job costs about a millisecond; a hundred
   * rows of a job in parts count as one more.
   */
  mostJobs?: number;
  /**
   * Milliseconds that an empty queue is watched before the run ends; 0: not at all. Default: 2,000.
   * A queue whose jobs wait for the vendor's next minute, or for a retry within seconds, is not empty.
   */
  lingerMs?: number;
  /** Milliseconds between claims while there is nothing, or less than asked for. Default: 500. */
  pollMs?: number;
  /** Most jobs in one claim and most results in one settle, 1 to 1,000. Default: 50. */
  batchSize?: number;
  /** Groups of jobs fetched at once. Default: 8. */
  concurrency?: number;
  /** Seconds that a claim holds its jobs; longer than a group takes. Default: 120. */
  leaseSeconds?: number;
  /** Milliseconds that a result waits for others to be settled with. Default: 200. */
  settleDelayMs?: number;
  /** Milliseconds from the claim within which a job starts, or else is given back. Default: 500. */
  startWithinMs?: number;
  /** Milliseconds for the groups in flight when the budget ends. Default: 15,000. */
  graceMs?: number;
  /** The same on shutdown, when time is short. Default: 5,000. */
  shutdownGraceMs?: number;
  /** Milliseconds for the last settles after that. Default: 5,000. */
  settleGraceMs?: number;
  /** Shutdown: stops claiming, finishes what is in flight, gives back the rest. */
  signal?: AbortSignal;
  clock?: Clock;
}
