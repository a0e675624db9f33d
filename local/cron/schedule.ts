/**
 * Schedules as pg_cron 1.6 reads them: five cron fields in UTC with lists, ranges, steps and names,
 * `$` for the last day of the month, `@hourly` and the like, and `N seconds` (1 to 59).
 * Follows Vixie cron's parser, with what it lets through: text behind a complete element and more
 * than five fields are ignored.
 */
export type Schedule =
  | { kind: "seconds"; seconds: number }
  | { kind: "reboot" }
  | CronFields;

/** Values of the five fields; `wildcard` is true when the minute or hour field begins with `*`. */
export interface CronFields {
  kind: "cron";
  minutes: ReadonlySet<number>;
  hours: ReadonlySet<number>;
  daysOfMonth: ReadonlySet<number>;
  lastDayOfMonth: boolean;
  months: ReadonlySet<number>;
  daysOfWeek: ReadonlySet<number>;
  wildcard: boolean;
  anyDay: boolean;
}

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const NAMED: Record<string, string> = {
  yearly: "0 0 1 1 *",
  annually: "0 0 1 1 *",
  monthly: "0 0 1 * *",
  weekly: "0 0 * * 0",
  daily: "0 0 * * *",
  midnight: "0 0 * * *",
  hourly: "0 * * * *",
};

/** The longest text that pg_cron's parser takes. */
const MAX_LENGTH = 1000;

/** The schedule, or undefined when pg_cron would refuse it as `invalid schedule`. */
export function parseSchedule(text: string): Schedule | undefined {
  // Comment lines before the schedule are skipped as well.
  const trimmed = text.replace(/^(?:[ \t\n]|#[^\n]*\n)+/, "");
  const interval = /^\+?(\d+)\s*(?:second|seconds\s*)$/i.exec(trimmed);
  if (interval) {
    const seconds = Number(interval[1]);
    return seconds >= 1 && seconds <= 59 ? { kind: "seconds", seconds } : undefined;
  }
  if (text.length >= MAX_LENGTH) return undefined;
  if (trimmed.startsWith("@")) {
    const name = /^@([^ \t\n]*)/.exec(trimmed)?.[1] ?? "";
    if (name === "reboot" || name === "restart") return { kind: "reboot" };
    const fields = Object.hasOwn(NAMED, name) ? NAMED[name] : undefined;
    return fields === undefined ? undefined : parseFields(fields);
  }
  return parseFields(trimmed);
}

function parseFields(text: string): CronFields | undefined {
  const [minute, hour, dayOfMonth, month, dayOfWeek] = (text.split("\n", 1)[0] ?? "").split(
    /[ \t]+/,
  );
  if (dayOfWeek === undefined || !minute || !hour || !dayOfMonth || !month) return undefined;
  const minutes = parseField(minute, { low: 0, high: 59 });
  const hours = parseField(hour, { low: 0, high: 23 });
  const daysOfMonth = parseField(dayOfMonth, { low: 1, high: 31, lastDay: true });
  const months = parseField(month, { low: 1, high: 12, names: MONTHS });
  const daysOfWeek = parseField(dayOfWeek, { low: 0, high: 7, names: DAYS });
  if (!minutes || !hours || !daysOfMonth || !months || !daysOfWeek) return undefined;
  if (daysOfWeek.values.has(7)) daysOfWeek.values.add(0);
  return {
    kind: "cron",
    minutes: minutes.values,
    hours: hours.values,
    daysOfMonth: daysOfMonth.values,
    lastDayOfMonth: daysOfMonth.lastDay,
    months: months.values,
    daysOfWeek: daysOfWeek.values,
    wildcard: minute.startsWith("*") || hour.startsWith("*"),
    anyDay: dayOfMonth.startsWith("*") || dayOfWeek.startsWith("*"),
  };
}

interface FieldRules {
  low: number;
  high: number;
  names?: readonly string[];
  lastDay?: boolean;
}

function parseField(
  field: string,
  rules: FieldRules,
): { values: Set<number>; lastDay: boolean } | undefined {
  const values = new Set<number>();
  let lastDay = false;
  let rest = field;
  while (true) {
    if (rules.lastDay && rest.startsWith("$")) {
      lastDay = true;
      rest = rest.slice(1);
    } else {
      const element = /^(?:(\*)|([0-9A-Za-z]+)(?:(-)([0-9A-Za-z]*))?)(?:(\/)([0-9A-Za-z]*))?/.exec(
        rest,
      );
      if (!element) return undefined;
      const [whole, star, firstText, dash, lastText, slash, stepText] = element;
      const first = star ? rules.low : parseNumber(firstText ?? "", rules);
      const last = star ? rules.high : dash ? parseNumber(lastText ?? "", rules) : first;
      const step = slash ? parseNumber(stepText ?? "", { low: 0, high: Infinity }) : 1;
      if (first === undefined || last === undefined || !step) return undefined;
      if (slash && !star && !dash) return undefined;
      for (let value = first; value <= last; value += step) values.add(value);
      rest = rest.slice(whole.length);
    }
    if (!rest.startsWith(",")) return { values, lastDay };
    rest = rest.slice(1);
  }
}

/** A number or name within the bounds. */
function parseNumber(text: string, { low, high, names }: FieldRules): number | undefined {
  const index = names?.indexOf(text.toLowerCase()) ?? -1;
  if (index >= 0) return index + low;
  if (!/^\d{1,9}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= low && value <= high ? value : undefined;
}

/** Whether the five fields cover the minute that `date` lies in, in UTC. */
export function matchesMinute(fields: CronFields, date: Date): boolean {
  const dayOfMonth = date.getUTCDate();
  const tomorrow = new Date(date.getTime() + 24 * 60 * 60 * 1000);
  const onDayOfMonth = fields.daysOfMonth.has(dayOfMonth) ||
    (fields.lastDayOfMonth && tomorrow.getUTCDate() === 1);
  const onDayOfWeek = fields.daysOfWeek.has(date.getUTCDay());
  return fields.minutes.has(date.getUTCMinutes()) &&
    fields.hours.has(date.getUTCHours()) &&
    fields.months.has(date.getUTCMonth() + 1) &&
    // Two restricted day fields are alternatives.
    (fields.anyDay ? onDayOfMonth && onDayOfWeek : onDayOfMonth || onDayOfWeek);
}

const MINUTE_MS = 60_000;

/** Start of the minute that `date` lies in. */
export function startOfMinute(date: Date): Date {
  return new Date(Math.floor(date.getTime() / MINUTE_MS) * MINUTE_MS);
}

/**
 * How many runs fall due when the clock moves from the minute `last` to the minute `current`
 * (both starts of a minute, `current` later):
 * after 1 to 5 minutes each minute counts; after more, up to 3 hours, jobs with a `*` in minute or
 * hour run once for the current minute and jobs with a fixed time for each minute; after more than
 * 3 hours only the current minute counts.
 */
export function runsDue(fields: CronFields, last: Date, current: Date): number {
  const passed = Math.round((current.getTime() - last.getTime()) / MINUTE_MS);
  const now = matchesMinute(fields, current) ? 1 : 0;
  if (passed > 180 || (passed > 5 && fields.wildcard)) return now;
  let due = 0;
  for (let minute = 1; minute <= passed; minute++) {
    if (matchesMinute(fields, new Date(last.getTime() + minute * MINUTE_MS))) due++;
  }
  return due;
}
