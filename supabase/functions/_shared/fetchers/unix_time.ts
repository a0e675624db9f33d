/** 2000-01-01 in Unix seconds; no provider has an older live price. */
const EARLIEST = 946_684_800;
const DAY_SECONDS = 86_400;

/** Unix seconds between which the time of a live price can be: 2000 to a day after its arrival. */
export interface PlausibleTimes {
  /** Exclusive. */
  after: number;
  /** Inclusive. */
  until: number;
}

export function plausibleTimes(receivedAt: Date): PlausibleTimes {
  return { after: EARLIEST, until: Math.floor(receivedAt.getTime() / 1000) + DAY_SECONDS };
}

/** True for the Unix seconds of a live price; false for zero and for milliseconds. */
export function isPlausibleTime(seconds: number, receivedAt: Date): boolean {
  const { after, until } = plausibleTimes(receivedAt);
  return seconds > after && seconds <= until;
}
