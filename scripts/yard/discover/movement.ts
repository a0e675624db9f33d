import type { Table } from "./catalog.ts";
import { type Cadence, everyMinutes } from "./jobs.ts";

/** Whether the table's rows move as often as the jobs run. */
export function judgeMovement(
  table: Table,
  cadence: Cadence | undefined,
  now: Date,
): { factor: number; reason: string } | undefined {
  const newest = newestOf(table);
  if (newest === undefined || cadence === undefined || cadence.isPartial) return undefined;
  const age = (now.getTime() - newest.getTime()) / 60_000;
  if (age > cadence.minutes * 3 + 5) {
    return {
      factor: 0.5,
      reason: `nothing in it moved for ${inWords(age)}, though the job runs ${cadence.words}`,
    };
  }
  // That something moved within a year says little.
  if (cadence.minutes > 1_440) return undefined;
  return { factor: 1.2, reason: `rows in it moved ${inWords(age)} ago` };
}

export function newestOf(table: Table): Date | undefined {
  return [...table.newest.values()].sort((one, other) => other.getTime() - one.getTime())[0];
}

/** `40 seconds`, `3 hours`: about so long. */
export function inWords(minutes: number): string {
  const seconds = Math.max(0, Math.round(minutes * 60));
  if (seconds < 120) return `${seconds} seconds`;
  if (minutes < 120) return `${Math.round(minutes)} minutes`;
  if (minutes < 2 * 1_440) return `${Math.round(minutes / 60)} hours`;
  return everyMinutes(Math.round(minutes / 1_440) * 1_440).replace(/^every /, "");
}
