import {
  type ClaimedJob,
  type JobError,
  type Queue,
  QueueError,
  type SettleAnswer,
  type SettleResult,
} from "../queue_client.ts";
import { type Clock, createBell } from "./clock.ts";
import type { Tally } from "./report.ts";
import { failedResult, messageText } from "./results.ts";

/** Results of this many vendor bytes go out at once: a request of many megabytes would be refused. */
const MOST_BATCH_BYTES = 2_000_000;

/** Rows in one settle, which has to end within the eight seconds that REST gives a statement. */
const MOST_BATCH_ROWS = 10_000;

/** Statuses that hold for every request alike, so that smaller ones would fare no better. */
const HOPELESS_STATUSES = [401, 403, 404];

/** A result on its way to the queue. */
export interface Settlement {
  job: ClaimedJob;
  result: SettleResult;
  /** Epoch milliseconds when the lease ends, by our clock. */
  leaseEndsAt: number;
  /** Called once it is known what became of it; undefined: it could not be settled. */
  onAnswer?: (answer: SettleAnswer | undefined) => void;
}

export interface SettlerOptions {
  queue: Queue;
  tally: Tally;
  clock: Clock;
  /** Most results in one round trip. */
  batchSize: number;
  /** Longest time a result waits for others, in milliseconds; 0 sends each at once. */
  delayMs: number;
  /** Ends settling: what is not settled by then is left to the expiry of its lease. */
  signal: AbortSignal;
  /** Called for each result whose job is completed with it. */
  onCompleted?(job: ClaimedJob, result: SettleResult): void;
  /** Called after each batch; false when the queue accepted nothing of it. */
  onSettled(accepted: boolean): void;
}

/** Collects results and settles them in batches, one batch at a time. */
export interface Settler {
  /** `urgent` results (a limit, a refused key) go out at once, with all that wait. */
  add(settlements: readonly Settlement[], urgent?: boolean): void;
  /** Sends what waits without waiting for more. */
  flush(): void;
  /** Results that are not settled yet. */
  readonly backlog: number;
  /** Whether urgent results are not settled yet: claims made now would not know of them. */
  readonly hasUrgent: boolean;
  /** Settles the rest; resolves when nothing is left to do. */
  close(): Promise<void>;
}

export function createSettler(options: SettlerOptions): Settler {
  const { queue, tally, clock, signal } = options;
  const bell = createBell(clock);
  const waiting: { settlement: Settlement; addedAt: number; urgent: boolean }[] = [];
  let underWay: readonly { urgent: boolean }[] = [];
  let flushing = false;
  let closed = false;
  /** Of the batch under way: whether the queue accepted any of it, or not even a bare failure. */
  let accepted = false;
  let acceptsNothing = false;
  const done = settleAll();

  async function settleAll(): Promise<void> {
    while (true) {
      const [oldest] = waiting;
      if (oldest === undefined) {
        if (closed) return;
        flushing = false;
        await bell.wait();
        continue;
      }
      const dueInMs = oldest.addedAt + options.delayMs - clock.now();
      if (!closed && !flushing && !isFull() && dueInMs > 0) {
        await bell.wait(dueInMs);
        continue;
      }
      const batch = takeBatch();
      underWay = batch;
      accepted = false;
      acceptsNothing = false;
      await settle(batch.map(({ settlement }) => settlement));
      underWay = [];
      options.onSettled(accepted);
    }
  }

  function isFull(): boolean {
    const sumOf = (size: (result: SettleResult) => number) =>
      waiting.reduce((sum, { settlement }) => sum + size(settlement.result), 0);
    return waiting.length >= options.batchSize ||
      sumOf(({ bytes }) => bytes) >= MOST_BATCH_BYTES ||
      sumOf(({ rows }) => rows.length) >= MOST_BATCH_ROWS;
  }

  function takeBatch() {
    let bytes = 0;
    let rows = 0;
    let count = 0;
    for (const { settlement: { result } } of waiting) {
      bytes += result.bytes;
      rows += result.rows.length;
      const isTooMuch = count >= options.batchSize || bytes > MOST_BATCH_BYTES ||
        rows > MOST_BATCH_ROWS;
      if (count > 0 && isTooMuch) break;
      count += 1;
    }
    return waiting.splice(0, count);
  }

  async function settle(batch: readonly Settlement[]): Promise<void> {
    if (acceptsNothing) {
      for (const settlement of batch) {
        giveUp(
          settlement,
          "queue_refuses",
          "Cannot settle the job: the queue refuses every result",
        );
      }
      return;
    }
    tally.settleCalled();
    let answers: SettleAnswer[];
    let tries: number;
    try {
      ({ answers, tries } = await queue.settle(batch.map(({ result }) => result), {
        until: Math.min(...batch.map(({ leaseEndsAt }) => leaseEndsAt)),
        signal,
      }));
    } catch (error) {
      return await recover(batch, error);
    }
    accepted = true;
    const answerOf = new Map(answers.map((answer) => [answer.job_id, answer]));
    for (const settlement of batch) {
      const answer = answerOf.get(settlement.job.id);
      if (answer === undefined) {
        giveUp(settlement, "no_answer", "Cannot settle the job: the answer does not mention it");
      } else if (answer.outcome === "malformed") {
        await settleRefused(settlement, "malformed", answer.detail ?? "no detail given");
      } else {
        note(settlement, answer, tries);
      }
    }
  }

  /** Finds the result that sinks a batch by halving it; the others are settled. */
  async function recover(batch: readonly Settlement[], error: unknown): Promise<void> {
    const message = messageText(error instanceof Error ? error.message : String(error), []);
    const code = error instanceof QueueError ? error.code : "unexpected";
    const [first] = batch;
    if (batch.length === 1 && first?.result.error?.code === "settle_refused") acceptsNothing = true;
    const hopeless = !(error instanceof QueueError) || error.transient || acceptsNothing ||
      error.code === "unexpected_answer" || HOPELESS_STATUSES.includes(error.status);
    if (hopeless || signal.aborted) {
      for (const settlement of batch) giveUp(settlement, code, message);
    } else if (batch.length > 1) {
      const middle = Math.ceil(batch.length / 2);
      await settle(batch.slice(0, middle));
      await settle(batch.slice(middle));
    } else if (first !== undefined) {
      await settleRefused(first, code, message);
    }
  }

  /** Settles the job as failed instead, without the rows that cannot be had. */
  async function settleRefused(settlement: Settlement, code: string, problem: string) {
    const { job, result } = settlement;
    if (result.error?.code === "settle_refused") return giveUp(settlement, code, problem);
    const error: JobError = {
      class: "retryable",
      code: "settle_refused",
      message: messageText(
        `Cannot settle ${job.data_type} for "${job.symbol}" as ${result.outcome}: ${problem}`,
        [],
      ),
      retry_after_seconds: null,
    };
    tally.error({ ...aboutJob(job), class: "queue", code, message: error.message });
    const { calls, bytes, duration_ms } = result;
    await settle([{
      ...settlement,
      result: { ...failedResult(job, error), calls, bytes, duration_ms },
    }]);
  }

  function note(settlement: Settlement, answer: SettleAnswer, tries: number): void {
    const { job, result } = settlement;
    tally.settled(job, answer);
    if (answer.outcome === "completed") options.onCompleted?.(job, result);
    if (answer.outcome === "lease_lost") {
      const maybe = tries > 1 ? "; an earlier try of the same call may have settled it" : "";
      tally.warning(`Job ${job.id} (${job.data_type} for "${job.symbol}") lost its lease${maybe}`);
    } else if (
      ["completed", "progress"].includes(result.outcome) &&
      !["completed", "empty", "progress"].includes(answer.outcome)
    ) {
      tally.error({
        ...aboutJob(job),
        class: "queue",
        code: "rows_refused",
        message: messageText(answer.detail ?? `The rows were refused (${answer.outcome})`, []),
      });
    }
    settlement.onAnswer?.(answer);
  }

  function giveUp({ job, onAnswer }: Settlement, code: string, message: string): void {
    tally.unsettled(job);
    tally.error({ ...aboutJob(job), class: "queue", code, message });
    onAnswer?.(undefined);
  }

  return {
    add(settlements, urgent = false) {
      const addedAt = clock.now();
      waiting.push(...settlements.map((settlement) => ({ settlement, addedAt, urgent })));
      flushing ||= urgent;
      bell.ring();
    },
    flush() {
      if (waiting.length === 0) return;
      flushing = true;
      bell.ring();
    },
    get backlog() {
      return waiting.length + underWay.length;
    },
    get hasUrgent() {
      return [...waiting, ...underWay].some(({ urgent }) => urgent);
    },
    close() {
      closed = true;
      bell.ring();
      return done;
    },
  };
}

function aboutJob(job: ClaimedJob): { dataType: string; symbol: string } {
  return { dataType: job.data_type, symbol: job.symbol };
}
