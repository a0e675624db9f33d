/**
 * Building blocks of the vendor schemas. Each message is a phrase that fits after "wanted", because
 * {@linkcode describeMismatch} puts it there.
 */
import { z } from "npm:zod@4.6.7";

/** 2^63, the first whole number past Postgres's bigint; exact as a double. */
const BIGINT_END = 2 ** 63;

/** Broken rows of one answer that are told apart; as many as jobs can share one. */
const MOST_BROKEN_ROWS = 1_000;

/** The largest whole number of Postgres's integer. */
const INTEGER_MAX = 2 ** 31 - 1;

/** Spellings of absence in the vendor's text fields beside null. */
const ABSENT_TEXTS = new Set(["", "N/A", "None"]);

/** Digits, or groups of three after commas: "164,000" is no fraction where wholes are counted. */
const NUMERIC_TEXT = /^(?:\d{1,19}|\d{1,3}(?:,\d{3}){1,6})(?:\.\d+)?$/;
const DATE_TEXT = /^(\d{4})-(\d{2})-(\d{2})$/;
const DATE_TIME_TEXT = /^(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}):(\d{2}):(\d{2}))?$/;

/**
 * A whole answer: rows in an array. Unlike those of `z.array` its problems are bounded: after a
 * thousand broken rows the others are not looked at, since millions would not fit in memory.
 */
export function rowsOf<Row extends z.ZodType>(row: Row): z.ZodType<z.infer<Row>[]> {
  return z.custom<unknown[]>(Array.isArray, { error: "an array" }).transform((entries, context) => {
    const rows: z.infer<Row>[] = [];
    let broken = 0;
    for (const [place, entry] of entries.entries()) {
      const parsed = row.safeParse(entry);
      if (parsed.success) {
        rows.push(parsed.data);
        continue;
      }
      for (const { message, path } of parsed.error.issues) {
        context.addIssue({ code: "custom", message, path: [place, ...path], input: entry });
      }
      broken += 1;
      if (broken === MOST_BROKEN_ROWS) break;
    }
    return rows;
  });
}

/** As {@linkcode rowsOf}; `{}` is another spelling of the empty array. */
export function rowsOrEmptyObject<Row extends z.ZodType>(row: Row): z.ZodType<z.infer<Row>[]> {
  return z.preprocess((answer) => isEmptyObject(answer) ? [] : answer, rowsOf(row));
}

/** Text that must be there. */
export function requiredText(): z.ZodType<string> {
  return z.string({ error: "non-empty text" }).min(1, { error: "non-empty text" });
}

/** Text or null; `""` and `N/A` become null. */
export function optionalText(): z.ZodType<string | null> {
  return z.string({ error: "text or null" }).nullable().transform((text) =>
    text === null || ABSENT_TEXTS.has(text.trim()) ? null : text
  );
}

/** Text or null, left as sent. */
export function textAsSent(): z.ZodType<string | null> {
  return z.string({ error: "text or null" }).nullable();
}

/** A finite number ≥ 0 that must be there. */
export function requiredPrice(): z.ZodType<number> {
  return z.number({ error: "a number" }).min(0, { error: "a number of at least 0" });
}

/** A finite number ≥ 0, or null. */
export function optionalPrice(): z.ZodType<number | null> {
  return z.number({ error: "a number or null" }).min(0, { error: "a number of at least 0" })
    .nullable();
}

/** A finite number or null. */
export function optionalNumber(): z.ZodType<number | null> {
  return z.number({ error: "a number or null" }).nullable();
}

/** A number that must be there, for a bigint column: the fraction is cut off toward zero. */
export function requiredBigint(): z.ZodType<number> {
  return wholeNumber("a number");
}

/** A number or null for a bigint column: the fraction is cut off toward zero. */
export function optionalBigint(): z.ZodType<number | null> {
  return wholeNumber("a number or null").nullable();
}

/** A number ≥ 0 or null for an integer column: the fraction is cut off. */
export function optionalCount(): z.ZodType<number | null> {
  return z.number({ error: "a number or null" })
    .min(0, { error: "a number of at least 0" })
    .max(INTEGER_MAX, { error: "a number within the range of integer" })
    .transform(truncate).nullable();
}

/** A year of four digits, as a number or as text. */
export function fiscalYear(): z.ZodType<number> {
  const wanted = "a year like 2024";
  return z.union([z.int(), z.string().regex(/^\d{4}$/).transform(Number)], { error: wanted })
    .refine((year) => year >= 1000 && year <= 9999, { error: wanted });
}

/** A fiscal year or one of its quarters. */
export function fiscalPeriod(): z.ZodType<"FY" | "Q1" | "Q2" | "Q3" | "Q4"> {
  return z.enum(["FY", "Q1", "Q2", "Q3", "Q4"], { error: "FY or Q1 to Q4" });
}

/**
 * A count that arrives as numeric text, with or without commas between thousands, as a number, or
 * absent (null or `""`).
 */
export function optionalBigintText(): z.ZodType<number | null> {
  const wanted = "numeric text, a number or null";
  return z.union([z.string(), z.number(), z.null()], { error: wanted })
    .transform((value, context) => {
      if (value === null) return null;
      if (typeof value === "string" && ABSENT_TEXTS.has(value.trim())) return null;
      if (typeof value === "string" && !NUMERIC_TEXT.test(value.trim())) {
        context.addIssue({ code: "custom", message: wanted });
        return z.NEVER;
      }
      const number = Number(typeof value === "string" ? value.replaceAll(",", "") : value);
      if (!fitsBigint(number)) {
        context.addIssue({ code: "custom", message: "a number within the range of bigint" });
        return z.NEVER;
      }
      return truncate(number);
    });
}

/** True, false or null. */
export function optionalBoolean(): z.ZodType<boolean | null> {
  return z.boolean({ error: "true, false or null" }).nullable();
}

/** A calendar date `YYYY-MM-DD` that must be there. */
export function requiredDate(): z.ZodType<string> {
  const wanted = "a date like 2024-09-28";
  return z.string({ error: wanted }).refine(isDate, { error: wanted });
}

/** A calendar date `YYYY-MM-DD`, or absent (null or `""`), which becomes null. */
export function optionalDate(): z.ZodType<string | null> {
  const wanted = "a date like 2024-09-28, empty text or null";
  return z.string({ error: wanted }).nullable()
    .transform((text) => text === null || ABSENT_TEXTS.has(text.trim()) ? null : text)
    .refine((text) => text === null || isDate(text), { error: wanted });
}

/** A UTC time `YYYY-MM-DD HH:MM:SS` that must be there, for a date column: its day. */
export function requiredUtcDay(): z.ZodType<string> {
  const wanted = "a time like 2026-06-05 08:13:10";
  return z.string({ error: wanted }).refine(isDateTime, { error: wanted })
    .transform((text) => text.slice(0, 10));
}

/** True for an existing day written `YYYY-MM-DD`. */
export function isDate(text: string): boolean {
  const match = DATE_TEXT.exec(text);
  if (match === null || match[1] === "0000") return false;
  const date = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().slice(0, 10) === text;
}

/** True for `YYYY-MM-DD HH:MM:SS` or a bare date, both existing. */
export function isDateTime(text: string): boolean {
  const match = DATE_TIME_TEXT.exec(text);
  if (match === null || !isDate(match[1] ?? "")) return false;
  return Number(match[2] ?? 0) < 24 && Number(match[3] ?? 0) < 60 && Number(match[4] ?? 0) < 60;
}

function isEmptyObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    Object.keys(value).length === 0;
}

function wholeNumber(wanted: string): z.ZodType<number> {
  return z.number({ error: wanted })
    .refine(fitsBigint, { error: "a number within the range of bigint" })
    .transform(truncate);
}

function fitsBigint(value: number): boolean {
  return value >= -BIGINT_END && value < BIGINT_END;
}

/** Adding 0 turns the -0 of a small negative fraction into 0. */
function truncate(value: number): number {
  return Math.trunc(value) + 0;
}
