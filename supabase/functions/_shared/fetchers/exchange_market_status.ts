import { marketHolidayExchanges } from "../env.ts";
import { z } from "npm:zod@4.6.7";
import { getVendorJson } from "../http.ts";
import type {
  FetchContext,
  FetchedRows,
  Fetcher,
  JsonValue,
  Row,
  VendorAnswer,
} from "./contract.ts";
import { type ErrorClass, VendorError } from "./errors.ts";
import {
  optionalBoolean,
  optionalText,
  requiredDate,
  requiredText,
  rowsOf,
  textAsSent,
} from "./fields.ts";
import { globalRows } from "./global_rows.ts";
import { readSetting } from "./setting.ts";
import { oneRowPerKey } from "./symbol_rows.ts";
import { inTurn } from "./turns.ts";
import { describeMismatch, subjectOf } from "./validation.ts";
import { queueTypeOf } from "./queue_type.ts";

const DATA_TYPE = "exchange-market-status";

/** Of the exchanges named, those whose holidays one refresh fetches; its calls are known beforehand. */
const HOLIDAY_CALLS = 2;

/** Of the others that the vendor lists, those whose holidays one refresh by the queue fetches. */
const OTHERS_PER_REFRESH = 8;

const DAY_MS = 86_400_000;

/** How far ahead holidays are fetched, in days. */
const DAYS_AHEAD = 365;

/** Failures of one exchange's holidays that say nothing about the next one's. */
const ABOUT_ONE_EXCHANGE: readonly ErrorClass[] = ["permanent", "retryable"];

const hoursSchema = rowsOf(z.object({
  exchange: requiredText(),
  name: optionalText(),
  openingHour: optionalText(),
  closingHour: optionalText(),
  // The afternoon session, of exchanges with a lunch break only.
  openingAdditional: optionalText().optional(),
  closingAdditional: optionalText().optional(),
  timezone: requiredText(),
  isMarketOpen: optionalBoolean(),
}, { error: "an object" }));

/** Checked, not converted: holidays are stored as sent. */
const holidaysSchema = rowsOf(z.looseObject({
  exchange: requiredText(),
  date: requiredDate(),
  name: textAsSent(),
  // Null with `isFullyClosed` false on days that close early.
  isClosed: optionalBoolean(),
  isFullyClosed: optionalBoolean().optional(),
  adjOpenTime: textAsSent(),
  adjCloseTime: textAsSent(),
}, { error: "an object" }));

const payloadSchema = z.object({
  hours: hoursSchema,
  holidays: z.record(z.string(), holidaysSchema),
  warnings: z.array(z.string()),
});

type Hours = z.infer<typeof hoursSchema>[number];
type Holiday = z.infer<typeof holidaysSchema>[number];

/** The hours of all exchanges, and the holidays of some by exchange code. */
export type MarketStatusPayload = z.infer<typeof payloadSchema>;

/** How an exchange market status fetcher behaves. */
export interface ExchangeMarketStatusOptions {
  /**
   * Exchanges whose holidays are fetched.
   *
   * - a function: those it names, at most two per refresh and in turns by the hour, so that the
   *   number of calls is always the same. A failure that may pass fails the refresh. The queue does
   *   this.
   * - `listed`: all that the vendor lists, one call each. A failure leaves that exchange's stored
   *   holidays alone, with a warning. The endpoint does this, as it always has.
   */
  holidayExchanges: (() => readonly string[]) | "listed";
  /**
   * With a function: how many of the other exchanges that the vendor lists have their holidays fetched
   * too, in turns by the hour that come to all of them within a day. One that fails keeps what is
   * stored until its next turn, with a warning. Default: 0.
   */
  othersPerRefresh?: number;
}

/**
 * Opening hours of all exchanges for `exchange_market_status`, in one vendor call, and the holidays
 * of some, in one call each.
 *
 * The rows of exchanges whose holidays were not fetched leave `raw_holidays_json` out. Whether such
 * an exchange has a holiday today is left out too when it is closed all day; when it has hours, today
 * is none.
 */
export function createExchangeMarketStatusFetcher(
  options: ExchangeMarketStatusOptions,
): Fetcher<MarketStatusPayload> {
  return {
    dataType: DATA_TYPE,
    maxSymbolsPerCall: 1,
    callsPerBatch: 1 + HOLIDAY_CALLS + (options.othersPerRefresh ?? 0),
    schema: payloadSchema,
    request: (symbols, context) => requestStatus(subjectOf(DATA_TYPE, symbols), options, context),
    toRows: statusRows,
  };
}

async function requestStatus(
  subject: string,
  { holidayExchanges, othersPerRefresh = 0 }: ExchangeMarketStatusOptions,
  context: FetchContext,
): Promise<VendorAnswer<unknown>> {
  const named = holidayExchanges === "listed" ? undefined : readSetting(subject, holidayExchanges);
  const hours = await getVendorJson(
    { path: "all-exchange-market-hours", query: {}, subject },
    context,
  );
  const listed = listedExchanges(hours.payload);
  const holidays = named === undefined
    ? await holidaysOfAll(listed, context)
    : await holidaysInTurn(named, listed, othersPerRefresh, context);
  const calls = hours.calls + holidays.calls;
  const bytes = hours.bytes + holidays.bytes;
  if (holidays.failure !== undefined) throw holidays.failure.with({ calls, bytes });
  return {
    payload: {
      hours: hours.payload,
      holidays: holidays.byExchange,
      warnings: holidays.warnings,
    },
    calls,
    bytes,
  };
}

/** Answers about holidays, unchecked, and what they cost. */
interface Holidays {
  byExchange: Record<string, unknown>;
  warnings: string[];
  calls: number;
  bytes: number;
  /** Fails the refresh. */
  failure?: VendorError;
}

/** One call after the other, until one fails in a way that the next would too. */
async function holidaysOfAll(
  exchanges: readonly string[],
  context: FetchContext,
): Promise<Holidays> {
  const holidays: Holidays = { byExchange: {}, warnings: [], calls: 0, bytes: 0 };
  for (const exchange of exchanges) {
    const answer = await requestHolidays(exchange, context);
    note(holidays, exchange, answer);
    if (answer instanceof VendorError && !ABOUT_ONE_EXCHANGE.includes(answer.errorClass)) break;
  }
  return holidays;
}

/** All calls at once, so that the last one starts soon after the claim that they are counted by. */
async function holidaysInTurn(
  named: readonly string[],
  listed: readonly string[],
  othersPerRefresh: number,
  context: FetchContext,
): Promise<Holidays> {
  const holidays: Holidays = { byExchange: {}, warnings: [], calls: 0, bytes: 0 };
  const chosen = inTurn(named, HOLIDAY_CALLS, context.now());
  const others = inTurn(
    listed.filter((exchange) => !named.includes(exchange)),
    othersPerRefresh,
    context.now(),
  );
  const answers = await Promise.all(
    [...chosen, ...others].map(async (exchange) => ({
      exchange,
      answer: await requestHolidays(exchange, context),
    })),
  );
  for (const { exchange, answer } of answers) {
    note(holidays, exchange, answer);
    if (!(answer instanceof VendorError)) continue;
    // An unknown code, or a plan without holidays, must not keep the hours from being stored.
    const isTolerated = answer.errorClass === "permanent" ||
      (ABOUT_ONE_EXCHANGE.includes(answer.errorClass) && others.includes(exchange) &&
        answer.code !== "aborted");
    if (!isTolerated) holidays.failure ??= answer;
  }
  return holidays;
}

function note(
  holidays: Holidays,
  exchange: string,
  answer: VendorAnswer<unknown> | VendorError,
): void {
  holidays.calls += answer.calls;
  holidays.bytes += answer.bytes;
  if (answer instanceof VendorError) holidays.warnings.push(answer.message);
  else holidays.byExchange[exchange] = answer.payload;
}

/** The answer, checked here because one exchange's holidays may fail alone. */
async function requestHolidays(
  exchange: string,
  context: FetchContext,
): Promise<VendorAnswer<unknown> | VendorError> {
  const subject = subjectOf("holidays", [exchange]);
  // Today may still be yesterday at the exchange, and the vendor excludes the first day.
  const [from, to] = [-2, DAYS_AHEAD].map((days) =>
    new Date(context.now().getTime() + days * DAY_MS).toISOString().slice(0, 10)
  ) as [string, string];
  try {
    const answer = await getVendorJson({
      path: "holidays-by-exchange",
      query: { exchange, from, to },
      subject,
    }, context);
    const parsed = holidaysSchema.safeParse(answer.payload);
    if (parsed.success) return answer;
    return new VendorError(
      describeMismatch(subject, answer.payload, parsed.error, context.apiKey),
      {
        errorClass: "retryable",
        code: "schema_mismatch",
        calls: answer.calls,
        bytes: answer.bytes,
      },
    );
  } catch (error) {
    if (error instanceof VendorError) return error;
    throw error;
  }
}

/** Codes in the unchecked answer; what is wrong with it is found by the schema afterwards. */
function listedExchanges(hours: unknown): string[] {
  const codes = z.array(z.object({ exchange: z.string().min(1) })).safeParse(hours);
  return codes.success ? [...new Set(codes.data.map(({ exchange }) => exchange))] : [];
}

function statusRows(
  payload: MarketStatusPayload,
  symbols: readonly string[],
  receivedAt: Date,
): FetchedRows {
  const subject = subjectOf(DATA_TYPE, symbols);
  const warnings = [...payload.warnings];
  const listed = new Set(payload.hours.map(({ exchange }) => exchange));
  for (const exchange of Object.keys(payload.holidays)) {
    if (!listed.has(exchange)) {
      warnings.push(
        `${subject}: the holidays of "${exchange}" were left out, since it has no hours`,
      );
    }
  }
  const distinct = oneRowPerKey(
    subject,
    payload.hours.map((hours) => {
      const answered = Object.hasOwn(payload.holidays, hours.exchange)
        ? payload.holidays[hours.exchange]
        : undefined;
      const other = answered && otherExchangeOf(answered, hours.exchange, listed);
      if (other !== undefined) {
        warnings.push(
          `${subject}: the holidays of "${hours.exchange}" were left out, since they are those of "${other}"`,
        );
      }
      const holidays = other === undefined ? answered : undefined;
      return statusRow(hours, holidays, receivedAt, (warning) => {
        warnings.push(`${subject}: ${warning}`);
      });
    }),
    ["exchange_code"],
  );
  return globalRows(distinct.rows, [...warnings, ...distinct.warnings]);
}

/** Another listed exchange that all of these holidays are about. */
function otherExchangeOf(
  holidays: readonly Holiday[],
  wanted: string,
  listed: ReadonlySet<string>,
): string | undefined {
  const isWanted = ({ exchange }: Holiday) => exchange.toUpperCase() === wanted.toUpperCase();
  if (holidays.some(isWanted)) return undefined;
  return holidays.find(({ exchange }) => listed.has(exchange))?.exchange;
}

function statusRow(
  hours: Hours,
  holidays: Holiday[] | undefined,
  receivedAt: Date,
  warn: (warning: string) => void,
): Row {
  const today = dayAt(hours.timezone, receivedAt);
  if (today === undefined) {
    warn(`the time zone ${JSON.stringify(hours.timezone)} of "${hours.exchange}" is not known`);
  }
  const holiday = holidays?.find(({ date, exchange }) =>
    date === today && exchange.toUpperCase() === hours.exchange.toUpperCase()
  );
  const isHoliday = holiday !== undefined && isFullHoliday(holiday);
  const isKnown = holidays !== undefined || !saysClosed(hours.openingHour);
  return {
    exchange_code: hours.exchange,
    name: hours.name,
    opening_time_local: hours.openingHour,
    closing_time_local: afternoonOf(hours)?.closes ?? hours.closingHour,
    timezone: hours.timezone,
    is_market_open: hours.isMarketOpen,
    status_message: statusMessage(hours, holiday),
    ...(isKnown
      ? {
        current_day_is_holiday: isHoliday,
        current_holiday_name: isHoliday ? holiday.name || null : null,
      }
      : {}),
    ...(holidays === undefined ? {} : { raw_holidays_json: holidays as JsonValue }),
    last_fetched_at: receivedAt.toISOString(),
  };
}

function statusMessage(hours: Hours, holiday: Holiday | undefined): string {
  const name = holiday?.name ? ` (${holiday.name})` : "";
  if (saysClosed(hours.openingHour) || (holiday !== undefined && isFullHoliday(holiday))) {
    return `Closed today${name}`;
  }
  const parts = [hours.isMarketOpen === true ? "Market open" : "Market closed"];
  const afternoon = afternoonOf(hours);
  if (afternoon !== undefined) {
    parts.push(`lunch break from ${hours.closingHour} to ${afternoon.opens}`);
  }
  if (holiday?.adjOpenTime) parts.push(`opens at ${holiday.adjOpenTime} today${name}`);
  if (holiday?.adjCloseTime) parts.push(`closes at ${holiday.adjCloseTime} today${name}`);
  return parts.join("; ");
}

/** What the vendor writes for opening and closing on a day without trading. */
function saysClosed(hour: string | null): boolean {
  return hour?.toUpperCase() === "CLOSED";
}

/** Not a day that only opens late or closes early. */
function isFullHoliday({ isClosed, isFullyClosed }: Holiday): boolean {
  return isClosed === true || isFullyClosed === true;
}

/** The session after the lunch break. */
function afternoonOf(hours: Hours): { opens: string; closes: string } | undefined {
  const { openingAdditional: opens, closingAdditional: closes } = hours;
  if (!opens || !closes || saysClosed(opens) || saysClosed(closes)) return undefined;
  return { opens, closes };
}

/** The calendar day `YYYY-MM-DD` at an IANA time zone; undefined when there is no such zone. */
function dayAt(timezone: string, instant: Date): string | undefined {
  try {
    return new Intl.DateTimeFormat("en-CA", {
      timeZone: timezone,
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
    }).format(instant);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** In the queue: the holidays of `MARKET_HOLIDAY_EXCHANGES` with each refresh, the others in turns. */
export const queueType = queueTypeOf(
  createExchangeMarketStatusFetcher({
    holidayExchanges: () => marketHolidayExchanges(Deno.env),
    othersPerRefresh: OTHERS_PER_REFRESH,
  }),
  {
    "all-exchange-market-hours": { symbols: "global", fetcher: "market status" },
    "exchange-market-hours": { symbols: "global", fetcher: "market status" },
    "holidays-by-exchange": { symbols: "global", fetcher: "market status", joined: "holidays" },
  },
);
