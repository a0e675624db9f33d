import {
  day,
  holidaysOf,
  isoDate,
  localTime,
  minutesOf,
  plusDays,
  vendorClock,
} from "../calendar.ts";
import { overlay } from "../examples.ts";
import { type Exchange, exchanges } from "../exchanges.ts";
import type { JsonRow } from "../json.ts";
import { errorBodies, textReply } from "../replies.ts";
import type { Endpoint } from "./endpoint.ts";
import { wholeNumber } from "./endpoint.ts";

/** `available-exchanges`. */
export const availableExchanges: Endpoint = {
  name: "available-exchanges",
  required: [],
  answer: (_query, world) => {
    const rows = [...exchanges.values()].map((exchange) => ({
      exchange: exchange.code,
      name: exchange.name,
      countryName: exchange.countryName,
      countryCode: exchange.countryCode,
      symbolSuffix: exchange.suffix,
      delay: exchange.delay,
    }));
    return overlay(rows, {
      examples: world.examples.rows("available-exchanges"),
      key: exchangeKey,
      moving: [],
      verbatim: world.frozen,
    });
  },
};

/** `all-exchange-market-hours`, at the call or at `timestamp` (Unix seconds). */
export const allExchangeMarketHours: Endpoint = {
  name: "all-exchange-market-hours",
  required: [],
  answer: (query, world) => {
    const at = instant(query, world.now);
    const rows = [...exchanges.values()].map((exchange) => hoursRow(exchange, at));
    return overlay(rows, {
      examples: world.examples.rows("all-exchange-market-hours"),
      key: exchangeKey,
      moving: movingHours,
      verbatim: world.frozen,
    });
  },
};

/** `exchange-market-hours`: one exchange by its code in any case. */
export const exchangeMarketHours: Endpoint = {
  name: "exchange-market-hours",
  required: ["exchange"],
  answer: (query, world) => {
    const exchange = exchanges.get((query.get("exchange") ?? "").toUpperCase());
    if (!exchange) return textReply(400, errorBodies.unknownExchange);
    return overlay([hoursRow(exchange, instant(query, world.now))], {
      examples: world.examples.rows("exchange-market-hours"),
      key: exchangeKey,
      moving: movingHours,
      verbatim: world.frozen,
    });
  },
};

/**
 * `holidays-by-exchange`: newest first. Without a range the past year only; `from` is exclusive,
 * `to` inclusive.
 */
export const holidaysByExchange: Endpoint = {
  name: "holidays-by-exchange",
  required: ["exchange"],
  answer: (query, world) => {
    const exchange = exchanges.get((query.get("exchange") ?? "").toUpperCase());
    if (!exchange) return textReply(400, errorBodies.unknownExchange);
    const from = dateParameter(query, "from") ?? isoDate(plusDays(world.now, -365));
    const to = dateParameter(query, "to") ?? isoDate(world.now);
    const rows: JsonRow[] = [];
    for (let year = Number(from.slice(0, 4)); year <= Number(to.slice(0, 4)); year++) {
      for (const { date, name, closesEarlyAt } of holidaysOf(exchange, year)) {
        if (date <= from || date > to) continue;
        const row = { exchange: exchange.code, date, name, adjOpenTime: null };
        rows.push(
          closesEarlyAt === null
            ? { ...row, isClosed: true, adjCloseTime: null }
            : { ...row, isClosed: null, isFullyClosed: false, adjCloseTime: closesEarlyAt },
        );
      }
    }
    return overlay(rows.reverse(), {
      examples: world.examples.rows("holidays-by-exchange"),
      key: (row) => `${row.exchange} ${row.date}`,
      moving: [],
      verbatim: world.frozen,
    });
  },
};

const movingHours = [
  "openingHour",
  "closingHour",
  "openingAdditional",
  "closingAdditional",
  "isMarketOpen",
];

/** A day's hours as texts with their offset, or "CLOSED" on a day without trading. */
function hoursRow(exchange: Exchange, at: Date): JsonRow {
  const local = localTime(exchange.timezone, at);
  const holiday = holidaysOf(exchange, Number(local.date.slice(0, 4)))
    .find((each) => each.date === local.date);
  const rest = exchange.countryCode === "SA" || exchange.countryCode === "KW" ? [5, 6] : [0, 6];
  const shut = rest.includes(local.weekday) || holiday?.closesEarlyAt === null;
  const common = { exchange: exchange.code, name: exchange.name, timezone: exchange.timezone };
  const [first, second] = exchange.sessions;
  if (shut || !first) {
    return { ...common, openingHour: "CLOSED", closingHour: "CLOSED", isMarketOpen: false };
  }
  const closes = (text: string) => holiday?.closesEarlyAt ?? text;
  const open = exchange.sessions.some((session) =>
    local.minutes >= minutesOf(session.opens) && local.minutes < minutesOf(closes(session.closes))
  );
  return {
    ...common,
    openingHour: vendorClock(first.opens, local.offset),
    closingHour: vendorClock(closes(first.closes), local.offset),
    ...(second
      ? {
        openingAdditional: vendorClock(second.opens, local.offset),
        closingAdditional: vendorClock(second.closes, local.offset),
      }
      : {}),
    isMarketOpen: open,
  };
}

function instant(query: URLSearchParams, now: Date): Date {
  const seconds = wholeNumber(query, "timestamp", 0);
  return seconds > 0 ? new Date(seconds * 1000) : now;
}

/** A real calendar day given as YYYY-MM-DD, or null. */
function dateParameter(query: URLSearchParams, name: string): string | null {
  const text = query.get(name) ?? "";
  const parts = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text);
  if (!parts) return null;
  const date = isoDate(day(Number(parts[1]), Number(parts[2]), Number(parts[3])));
  return date === text ? text : null;
}

function exchangeKey(row: JsonRow): string {
  return String(row.exchange);
}
