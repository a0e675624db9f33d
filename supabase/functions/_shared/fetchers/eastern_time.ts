const STAMP = /^(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}):(\d{2}):(\d{2}))?$/;

/** Daylight saving time first: the hour that happens twice in autumn is taken as its first pass. */
const OFFSETS = ["-04:00", "-05:00"] as const;

const newYork = new Intl.DateTimeFormat("en-CA", {
  timeZone: "America/New_York",
  year: "numeric",
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

/**
 * Gives a wall-clock time of US Eastern its offset:
 * `2024-11-01 06:01:36` → `2024-11-01T06:01:36-04:00`.
 *
 * A bare date means midnight. The hour that is skipped in spring counts as standard time.
 */
export function easternTimestamp(text: string): string {
  const match = STAMP.exec(text);
  if (match === null) {
    throw new RangeError(`Cannot read Eastern time: found ${JSON.stringify(text)}`);
  }
  const [, date = "", hour = "00", minute = "00", second = "00"] = match;
  const wallClock = `${date}T${hour}:${minute}:${second}`;
  const offset = OFFSETS.find((candidate) =>
    wallClockInNewYork(new Date(`${wallClock}${candidate}`)) === wallClock
  );
  return `${wallClock}${offset ?? "-05:00"}`;
}

function wallClockInNewYork(instant: Date): string {
  const parts = new Map(newYork.formatToParts(instant).map((part) => [part.type, part.value]));
  const date = [parts.get("year"), parts.get("month"), parts.get("day")].join("-");
  return `${date}T${[parts.get("hour"), parts.get("minute"), parts.get("second")].join(":")}`;
}
