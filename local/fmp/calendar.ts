import type { Exchange } from "./exchanges.ts";

/** A day on which an exchange does not trade, or closes early. */
export interface Holiday {
  /** YYYY-MM-DD. */
  date: string;
  name: string;
  /** Early close in local time ("HH:MM"), or null when the exchange is shut all day. */
  closesEarlyAt: string | null;
}

/** Local time at an exchange. */
export interface LocalTime {
  /** YYYY-MM-DD. */
  date: string;
  /** 0 Sunday to 6 Saturday. */
  weekday: number;
  minutes: number;
  /** Like -04:00. */
  offset: string;
}

const weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const formats = new Map<string, Intl.DateTimeFormat>();

/** The wall clock in an IANA time zone at an instant. */
export function localTime(timezone: string, at: Date): LocalTime {
  let format = formats.get(timezone);
  if (!format) {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone: timezone,
      hourCycle: "h23",
      weekday: "short",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      timeZoneName: "longOffset",
    });
    formats.set(timezone, format);
  }
  const parts = Object.fromEntries(format.formatToParts(at).map((part) => [part.type, part.value]));
  const offset = (parts.timeZoneName ?? "GMT").replace("GMT", "");
  return {
    date: `${parts.year}-${parts.month}-${parts.day}`,
    weekday: weekdays.indexOf(parts.weekday ?? ""),
    minutes: Number(parts.hour) * 60 + Number(parts.minute),
    offset: offset === "" ? "+00:00" : offset,
  };
}

/** Minutes since midnight of an "HH:MM" text. */
export function minutesOf(clock: string): number {
  const [hours, minutes] = clock.split(":");
  return Number(hours) * 60 + Number(minutes);
}

/** "HH:MM" in 24 hours as the vendor writes it: "09:30 AM -04:00". */
export function vendorClock(clock: string, offset: string): string {
  const minutes = minutesOf(clock);
  const hour = Math.floor(minutes / 60);
  const twelve = hour % 12 === 0 ? 12 : hour % 12;
  const text = `${pad(twelve)}:${pad(minutes % 60)} ${hour < 12 ? "AM" : "PM"}`;
  return `${text} ${offset}`;
}

/** Holidays of an exchange in a year, oldest first. Outside the US only the days most share. */
export function holidaysOf(exchange: Exchange, year: number): Holiday[] {
  const easter = easterSunday(year);
  const days: [Date, string, string | null][] = [
    [day(year, 1, 1), "New Year's Day", null],
    [plusDays(easter, -2), "Good Friday", null],
    [day(year, 12, 25), "Christmas Day", null],
  ];
  if (exchange.countryCode === "US") {
    const thanksgiving = nthWeekday(year, 11, 4, 4);
    days.push(
      [nthWeekday(year, 1, 1, 3), "Martin Luther King, Jr. Day", null],
      [nthWeekday(year, 2, 1, 3), "Washington's Birthday", null],
      [plusDays(nthWeekday(year, 6, 1, 1), -7), "Memorial Day", null],
      [observed(day(year, 6, 19)), "Juneteenth National Independence Day", null],
      [observed(day(year, 7, 4)), "Independence Day", null],
      [nthWeekday(year, 9, 1, 1), "Labor Day", null],
      [thanksgiving, "Thanksgiving Day", null],
      [plusDays(thanksgiving, 1), "Day After Thanksgiving", "13:00"],
    );
  }
  return days
    .map(([date, name, closesEarlyAt]) => ({ date: isoDate(date), name, closesEarlyAt }))
    .sort((left, right) => left.date < right.date ? -1 : 1);
}

/** YYYY-MM-DD in UTC. */
export function isoDate(date: Date): string {
  return date.toISOString().slice(0, 10);
}

/** YYYY-MM-DD HH:MM:SS in UTC. */
export function isoDateTime(date: Date): string {
  return date.toISOString().slice(0, 19).replace("T", " ");
}

/** Midnight UTC of a calendar day; `month` from 1. Day 0 is the last of the month before. */
export function day(year: number, month: number, dayOfMonth: number): Date {
  return new Date(Date.UTC(year, month - 1, dayOfMonth));
}

/** The date so many days later (or earlier). */
export function plusDays(date: Date, days: number): Date {
  return new Date(date.getTime() + days * 86_400_000);
}

/** The date itself, or the Monday after it when it falls on a weekend. */
export function weekdayFrom(date: Date): Date {
  const weekday = date.getUTCDay();
  return weekday === 6 ? plusDays(date, 2) : weekday === 0 ? plusDays(date, 1) : date;
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}

/** A holiday on Saturday is kept on Friday, one on Sunday on Monday. */
function observed(date: Date): Date {
  const weekday = date.getUTCDay();
  return weekday === 6 ? plusDays(date, -1) : weekday === 0 ? plusDays(date, 1) : date;
}

function nthWeekday(year: number, month: number, weekday: number, nth: number): Date {
  const first = day(year, month, 1);
  const ahead = (weekday - first.getUTCDay() + 7) % 7;
  return plusDays(first, ahead + (nth - 1) * 7);
}

/** Gregorian computus after Meeus, Jones and Butcher. */
function easterSunday(year: number): Date {
  const a = year % 19;
  const b = Math.floor(year / 100);
  const c = year % 100;
  const h = (19 * a + b - Math.floor(b / 4) - Math.floor((b - Math.floor((b + 8) / 25) + 1) / 3) +
    15) % 30;
  const l = (32 + 2 * (b % 4) + 2 * Math.floor(c / 4) - h - c % 4) % 7;
  const m = Math.floor((a + 11 * h + 22 * l) / 451);
  const month = Math.floor((h + l - 7 * m + 114) / 31);
  return day(year, month, (h + l - 7 * m + 114) % 31 + 1);
}
