/** When how many of a known number of jobs were done. */
export interface Timeline {
  /** Notes that `jobs` more are done. */
  add(jobs: number): void;
  readonly done: number;
  readonly total: number;
  /** Resolves when all are done. */
  readonly finished: Promise<void>;
  /** Jobs per second between two shares (0 to 1) of the total. */
  rate(from: number, to: number): number;
}

/** Marks per timeline: enough for tenths, few enough to cost nothing. */
const MARKS = 500;

/** Starts the clock. */
export function startTimeline(total: number): Timeline {
  const marks = [{ done: 0, at: performance.now() }];
  const finished = Promise.withResolvers<void>();
  let done = 0;
  let nextMark = 0;

  const markAt = (share: number) => {
    const mark = marks.find((each) => each.done >= share * total);
    if (mark === undefined) {
      throw new Error(
        `Cannot tell the rate of ${total} jobs: only ${done} are done`,
      );
    }
    return mark;
  };
  return {
    add(jobs) {
      done += jobs;
      if (done >= nextMark || done >= total) {
        marks.push({ done, at: performance.now() });
        nextMark = done + total / MARKS;
      }
      if (done >= total) finished.resolve();
    },
    get done() {
      return done;
    },
    total,
    finished: finished.promise,
    rate(from, to) {
      const first = markAt(from);
      const last = markAt(to);
      if (last.at <= first.at) {
        throw new Error(
          `Cannot tell the rate from ${from} to ${to} of ${total} jobs: they were done in one batch`,
        );
      }
      return (last.done - first.done) / (last.at - first.at) * 1_000;
    },
  };
}

/** The rate without its first tenth, in which connections open and plans are made. */
export function steadyRate(timeline: Timeline): number {
  return timeline.rate(0.1, 1);
}
