import type { JobGroup } from "./groups.ts";

/** Works on groups of jobs, a bounded number at a time. */
export interface Crew {
  /** Starts what fits now; the rest waits for a free slot until `startBy` (epoch milliseconds). */
  take(groups: readonly JobGroup[], startBy: number): void;
  /** Groups being worked on. */
  readonly busy: number;
  readonly free: number;
  /** Groups that wait for a slot. */
  readonly waiting: number;
  /** Epoch milliseconds when a waiting group must have started; undefined when none waits. */
  readonly nextStartBy: number | undefined;
  /** Removes and returns the groups that waited too long, or all that wait. */
  giveBack(now?: number): JobGroup[];
}

/** `work` must not reject; `onFree` is called when it is done and its slot is free or filled again. */
export function createCrew(
  size: number,
  work: (group: JobGroup) => Promise<void>,
  onFree: () => void,
): Crew {
  let waiting: { group: JobGroup; startBy: number }[] = [];
  let busy = 0;

  function fill(): void {
    while (busy < size) {
      const next = waiting.shift();
      if (next === undefined) return;
      busy += 1;
      void work(next.group).then(() => {
        busy -= 1;
        fill();
        onFree();
      });
    }
  }

  return {
    take(groups, startBy) {
      waiting.push(...groups.map((group) => ({ group, startBy })));
      fill();
    },
    get busy() {
      return busy;
    },
    get free() {
      return size - busy;
    },
    get waiting() {
      return waiting.length;
    },
    get nextStartBy() {
      return waiting[0]?.startBy;
    },
    giveBack(now = Infinity) {
      const late = waiting.filter(({ startBy }) => startBy <= now);
      waiting = waiting.filter(({ startBy }) => startBy > now);
      return late.map(({ group }) => group);
    },
  };
}
