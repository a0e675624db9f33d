/** When how many jobs of a drain were done. */
export interface Timeline {
  /** Notes that `jobs` more are done. */
  add(jobs: number): void;
  /** Starts the clock anew, once connections are open. */
  begin(): void;
  readonly done: number;
  /** All jobs, the surplus included. */
  readonly total: number;
  /** Resolves when all are done. */
  readonly finished: Promise<void>;
  /** Jobs per second between two shares (0 to 1) of the measured jobs. */
  rate(from: number, to: number): number;
}

/** Marks per timeline: enough for tenths, few enough to cost nothing. */
const MARKS = 1_000;

/**
 * Starts the clock. Of `measured + surplus` jobs only the first are measured: at the end of a drain
 * workers run out of jobs while others still work, which would pass for speed or for slowness,
 * depending on the batch size.
 */
export function startTimeline(measured: number, surplus = 0): Timeline {
  const total = measured + surplus;
  const finished = Promise.withResolvers<void>();
  let marks = [{ done: 0, at: performance.now() }];
  let done = 0;
  let nextMark = 0;

  const markAt = (share: number) => {
    const mark = marks.find((each) => each.done >= share * measured);
    if (mark === undefined) {
      throw new Error(
        `Cannot tell the rate of ${measured} jobs: only ${done} are done`,
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
    begin() {
      marks = [{ done, at: performance.now() }];
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
          `Cannot tell the rate from ${from} to ${to} of ${measured} jobs: they were done at once`,
        );
      }
      return (last.done - first.done) / (last.at - first.at) * 1_000;
    },
  };
}

/** The rate without the first tenth, in which plans are made and buffers fill. */
export function steadyRate(timeline: Timeline): number {
  return timeline.rate(0.1, 1);
}
