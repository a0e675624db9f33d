import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { marketHolidayExchanges } from "../../supabase/functions/_shared/env.ts";
import { fetchSymbols } from "../../supabase/functions/_shared/fetchers/contract.ts";
import {
  createExchangeMarketStatusFetcher,
  type ExchangeMarketStatusOptions,
} from "../../supabase/functions/_shared/fetchers/exchange_market_status.ts";
import { FOLDERS } from "./example_folders.ts";
import { holidayExample, marketHoursExample } from "./fetcher_examples.ts";
import { contextFor, vendorErrorOf } from "./fetcher_support.ts";

const tokyo = {
  exchange: "JPX",
  name: "Tokyo Stock Exchange",
  openingHour: "09:00 AM +09:00",
  closingHour: "11:30 AM +09:00",
  openingAdditional: "12:30 PM +09:00",
  closingAdditional: "03:30 PM +09:00",
  timezone: "Asia/Tokyo",
  isMarketOpen: false,
};
const xetraOnSunday = {
  exchange: "XETRA",
  name: "Deutsche Boerse Xetra",
  openingHour: "CLOSED",
  closingHour: "CLOSED",
  timezone: "Europe/Berlin",
  isMarketOpen: false,
};
const earlyClose = {
  exchange: "NASDAQ",
  date: "2025-11-28",
  name: "Day After Thanksgiving",
  isClosed: null,
  isFullyClosed: false,
  adjOpenTime: null,
  adjCloseTime: "13:00",
};

interface World {
  hours?: unknown[];
  holidays?: (exchange: string) => Response;
  now?: string;
  wanted?: ExchangeMarketStatusOptions["holidayExchanges"];
  others?: number;
}

async function fetchStatus(world: World = {}) {
  const now = new Date(world.now ?? "2026-04-01T15:00:00Z");
  const { context, asked } = contextFor((path, query) => {
    if (path === "all-exchange-market-hours") {
      return Response.json(world.hours ?? [marketHoursExample, tokyo, xetraOnSunday]);
    }
    const exchange = query.get("exchange") ?? "";
    return world.holidays?.(exchange) ?? Response.json([{ ...holidayExample, exchange }]);
  }, { now: () => now });
  const fetcher = createExchangeMarketStatusFetcher({
    holidayExchanges: world.wanted ?? (() => ["NASDAQ"]),
    othersPerRefresh: world.others ?? 0,
  });
  const outcome = await fetchSymbols(fetcher, ["GLOBAL"], context);
  const rowOf = (code: string) => {
    const row = outcome.rows.get("GLOBAL")?.find((each) => each.exchange_code === code);
    assert.ok(row, code);
    return row;
  };
  return { outcome, asked, rowOf };
}

Deno.test("an exchange with its holidays fills every column of exchange_market_status", async () => {
  const { rowOf, outcome } = await fetchStatus();
  assert.deepEqual(rowOf("NASDAQ"), {
    exchange_code: "NASDAQ",
    name: "NASDAQ",
    opening_time_local: "09:30 AM -04:00",
    closing_time_local: "04:00 PM -04:00",
    timezone: "America/New_York",
    is_market_open: false,
    status_message: "Market closed",
    current_day_is_holiday: false,
    current_holiday_name: null,
    raw_holidays_json: [holidayExample],
    last_fetched_at: "2026-04-01T15:00:00.000Z",
  });
  assert.deepEqual(outcome.warnings, []);
});

Deno.test("a lunch break leaves the afternoon's close as the day's close", async () => {
  const { rowOf } = await fetchStatus();
  assert.deepEqual(rowOf("JPX"), {
    exchange_code: "JPX",
    name: "Tokyo Stock Exchange",
    opening_time_local: "09:00 AM +09:00",
    closing_time_local: "03:30 PM +09:00",
    timezone: "Asia/Tokyo",
    is_market_open: false,
    status_message: "Market closed; lunch break from 11:30 AM +09:00 to 12:30 PM +09:00",
    current_day_is_holiday: false,
    current_holiday_name: null,
    last_fetched_at: "2026-04-01T15:00:00.000Z",
  });
});

for (
  const [openingAdditional, closingAdditional] of [
    [null, "03:30 PM +09:00"],
    ["12:30 PM +09:00", ""],
    ["CLOSED", "03:30 PM +09:00"],
    ["12:30 PM +09:00", "CLOSED"],
    ["CLOSED", "CLOSED"],
  ] as const
) {
  Deno.test(`an afternoon from ${openingAdditional} to ${JSON.stringify(closingAdditional)} is none`, async () => {
    const row = (await fetchStatus({
      hours: [{ ...marketHoursExample, openingAdditional, closingAdditional }],
    })).rowOf("NASDAQ");
    assert.equal(row.closing_time_local, marketHoursExample.closingHour);
    assert.doesNotMatch(String(row.status_message), /lunch/);
  });
}

Deno.test("an exchange that is closed all day, of unknown holidays, keeps what is stored of them", async () => {
  const { rowOf } = await fetchStatus();
  assert.deepEqual(rowOf("XETRA"), {
    exchange_code: "XETRA",
    name: "Deutsche Boerse Xetra",
    opening_time_local: "CLOSED",
    closing_time_local: "CLOSED",
    timezone: "Europe/Berlin",
    is_market_open: false,
    status_message: "Closed today",
    last_fetched_at: "2026-04-01T15:00:00.000Z",
  });
});

Deno.test("a holiday is one by the calendar of the exchange's own time zone", async () => {
  for (
    const [now, isHoliday] of [
      ["2026-04-03T03:59:00Z", false],
      ["2026-04-03T04:00:00Z", true],
      ["2026-04-04T03:59:00Z", true],
      ["2026-04-04T04:00:00Z", false],
    ] as const
  ) {
    const row = (await fetchStatus({ now })).rowOf("NASDAQ");
    assert.equal(row.current_day_is_holiday, isHoliday, now);
    assert.equal(row.current_holiday_name, isHoliday ? "Good Friday" : null, now);
    assert.equal(row.status_message, isHoliday ? "Closed today (Good Friday)" : "Market closed");
  }
});

for (
  const [isClosed, isFullyClosed, isHoliday] of [
    [true, undefined, true],
    [null, true, true],
    [false, true, true],
    [true, false, true],
    [null, false, false],
    [false, undefined, false],
  ] as const
) {
  Deno.test(`isClosed ${isClosed} with isFullyClosed ${isFullyClosed} is ${isHoliday ? "a" : "no"} holiday`, async () => {
    const row = (await fetchStatus({
      now: "2025-11-28T16:00:00Z",
      hours: [{ ...marketHoursExample, isMarketOpen: true }],
      holidays: () => Response.json([{ ...earlyClose, isClosed, isFullyClosed }]),
    })).rowOf("NASDAQ");
    assert.equal(row.current_day_is_holiday, isHoliday);
  });
}

Deno.test("a day that closes early is no holiday", async () => {
  const row = (await fetchStatus({
    now: "2025-11-28T16:00:00Z",
    hours: [{ ...marketHoursExample, isMarketOpen: true }],
    holidays: () => Response.json([earlyClose]),
  })).rowOf("NASDAQ");
  assert.equal(row.current_day_is_holiday, false);
  assert.equal(row.current_holiday_name, null);
  assert.deepEqual(row.raw_holidays_json, [earlyClose]);
  assert.equal(
    row.status_message,
    "Market open; closes at 13:00 today (Day After Thanksgiving)",
  );
});

Deno.test("holidays are asked for from before today to a year ahead, from exclusive", async () => {
  const { asked } = await fetchStatus({ wanted: () => ["NYSE", "NASDAQ"] });
  assert.deepEqual(asked, [
    "all-exchange-market-hours",
    "holidays-by-exchange?exchange=NYSE&from=2026-03-30&to=2027-04-01",
    "holidays-by-exchange?exchange=NASDAQ&from=2026-03-30&to=2027-04-01",
  ]);
});

Deno.test("more than two exchanges have their turns by the hour, never with more calls", async () => {
  const wanted = () => ["A", "B", "C", "D", "E"];
  const seen = new Set<string>();
  // Two rounds of three turns, less one: a whole round is among them.
  for (let hour = 0; hour < 5; hour++) {
    const { asked, outcome } = await fetchStatus({ wanted, now: `2026-04-01T0${hour}:30:00Z` });
    assert.ok(outcome.calls <= 3);
    for (const call of asked) {
      const exchange = /exchange=(\w)/.exec(call)?.[1];
      if (exchange !== undefined) seen.add(exchange);
    }
  }
  assert.deepEqual([...seen].toSorted(), ["A", "B", "C", "D", "E"]);
});

/** Seventy exchanges beside the two that are named. */
const manyExchanges = ["NASDAQ", "NYSE", ...Array.from({ length: 70 }, (_, n) => `X${n}`)]
  .map((exchange) => ({ ...marketHoursExample, exchange }));

for (const [everyHours, refreshes] of [[1, 21], [2, 60], [11, 120], [24, 120]] as const) {
  Deno.test(`every ${everyHours} h, the holidays of all exchanges come in turns, in eleven calls each`, async () => {
    const seen = new Set<string>();
    const start = Date.parse("2026-04-01T15:00:00Z");
    for (let refresh = 0; refresh < refreshes; refresh++) {
      const { asked, outcome, rowOf } = await fetchStatus({
        hours: manyExchanges,
        wanted: () => ["NASDAQ", "NYSE"],
        others: 8,
        now: new Date(start + refresh * everyHours * 3_600_000).toISOString(),
      });
      assert.ok(asked.length <= 11, `${asked.length} calls`);
      assert.equal(outcome.calls, asked.length);
      for (const { exchange } of manyExchanges) {
        if (Array.isArray(rowOf(exchange).raw_holidays_json)) seen.add(exchange);
      }
      assert.ok(
        Array.isArray(rowOf("NYSE").raw_holidays_json),
        "those that are named come each time",
      );
    }
    assert.deepEqual(
      [...seen].toSorted(),
      manyExchanges.map(({ exchange }) => exchange).toSorted(),
    );
  });
}

Deno.test("holidays of an exchange in its turn may fail alone, those of a named one may not", async () => {
  const down = (failing: string) =>
    fetchStatus({
      others: 8,
      holidays: (exchange) =>
        exchange === failing
          ? new Response("down", { status: 503 })
          : Response.json([{ ...holidayExample, exchange }]),
    });
  const turns = await Promise.all(
    [0, 1, 2].map((hour) => fetchStatus({ others: 8, now: `2026-04-01T1${hour}:00:00Z` })),
  );
  assert.ok(turns.some(({ asked }) => asked.some((call) => call.includes("exchange=JPX"))));
  const { outcome, rowOf } = await fetchStatus({
    others: 8,
    holidays: (exchange) =>
      exchange === "NASDAQ"
        ? Response.json([{ ...holidayExample, exchange }])
        : new Response("down", { status: 503 }),
  });
  assert.ok(outcome.warnings.length > 0);
  assert.ok(!("raw_holidays_json" in rowOf("JPX")), "what is stored stays");
  const error = await vendorErrorOf(down("NASDAQ"));
  assert.equal(error.code, "http_503");
});

Deno.test("holidays that are those of another exchange are left out, with a warning", async () => {
  const { rowOf, outcome } = await fetchStatus({
    wanted: () => ["NASDAQ", "JPX"],
    holidays: () => Response.json([{ ...holidayExample, exchange: "NASDAQ" }]),
  });
  assert.ok(Array.isArray(rowOf("NASDAQ").raw_holidays_json));
  assert.ok(!("raw_holidays_json" in rowOf("JPX")));
  assert.match(outcome.warnings.join(), /"JPX" were left out, since they are those of "NASDAQ"/);
});

Deno.test("a reached limit fails the refresh whichever exchange met it", async () => {
  const error = await vendorErrorOf(fetchStatus({
    others: 8,
    holidays: (exchange) =>
      exchange === "NASDAQ"
        ? Response.json([{ ...holidayExample, exchange }])
        : new Response("", { status: 429 }),
  }));
  assert.equal(error.errorClass, "rate_limited");
  assert.ok(error.calls >= 3);
});

Deno.test("an exchange code that the vendor does not know costs only its holidays", async () => {
  const { rowOf, outcome } = await fetchStatus({
    wanted: () => ["NOWHERE", "NASDAQ"],
    holidays: (exchange) =>
      exchange === "NOWHERE"
        ? new Response("Invalid Exchange Provided.", { status: 400 })
        : Response.json([holidayExample]),
  });
  assert.deepEqual(rowOf("NASDAQ").raw_holidays_json, [holidayExample]);
  assert.match(
    outcome.warnings.join(),
    /Cannot fetch holidays for "NOWHERE": the vendor answered 400/,
  );
  assert.equal(outcome.calls, 3);
});

Deno.test("holidays that fail in a way that may pass fail the queue's refresh", async () => {
  const error = await vendorErrorOf(
    fetchStatus({ holidays: () => new Response("down", { status: 503 }) }),
  );
  assert.equal(error.code, "http_503");
  assert.equal(error.calls, 2);
});

Deno.test("with all that are listed, each exchange's holidays may fail alone", async () => {
  const { rowOf, outcome } = await fetchStatus({
    wanted: "listed",
    holidays: (exchange) =>
      exchange === "JPX"
        ? new Response("down", { status: 503 })
        : Response.json([{ ...holidayExample, exchange }]),
  });
  assert.equal(outcome.calls, 4);
  assert.ok(!("raw_holidays_json" in rowOf("JPX")));
  assert.ok("raw_holidays_json" in rowOf("NASDAQ") && "raw_holidays_json" in rowOf("XETRA"));
  assert.match(outcome.warnings.join(), /holidays for "JPX"/);
});

Deno.test("with all that are listed, a reached limit ends the calls, not the refresh", async () => {
  const { outcome } = await fetchStatus({
    wanted: "listed",
    holidays: () => new Response("", { status: 429 }),
  });
  assert.equal(outcome.calls, 2);
  assert.equal(outcome.rows.get("GLOBAL")?.length, 3);
});

Deno.test("a time zone that does not exist costs only today's holiday", async () => {
  const { rowOf, outcome } = await fetchStatus({
    hours: [{ ...marketHoursExample, timezone: "Mars/Olympus" }],
  });
  assert.equal(rowOf("NASDAQ").current_day_is_holiday, false);
  assert.match(outcome.warnings.join(), /time zone "Mars\/Olympus" of "NASDAQ" is not known/);
});

Deno.test("the exchanges with holidays are a list of codes, by default two", () => {
  const exchanges = (text?: string) => marketHolidayExchanges({ get: () => text });
  assert.deepEqual(exchanges(), ["NYSE", "NASDAQ"]);
  assert.deepEqual(exchanges(" nyse, XETRA,NYSE"), ["NYSE", "XETRA"]);
  assert.throws(() => exchanges("NYSE,,"), /found "NYSE,,", wanted exchange codes/);
});

Deno.test("an unreadable setting fails with its words", async () => {
  const error = await vendorErrorOf(fetchStatus({
    wanted: () => {
      throw new Error("Cannot read MARKET_HOLIDAY_EXCHANGES");
    },
  }));
  assert.equal(error.code, "configuration");
  assert.match(error.message, /MARKET_HOLIDAY_EXCHANGES/);
});

for (const folder of FOLDERS) {
  const [hoursUrl, holidaysUrl] = ["all-exchange-market-hours.json", "holidays-by-exchange.json"]
    .map((name) => new URL(name, folder.url)) as [URL, URL];
  Deno.test({
    name: `${folder.what}: market hours and holidays are in their columns`,
    ignore: !existsSync(hoursUrl) || !existsSync(holidaysUrl),
    async fn() {
      const hours: Record<string, unknown>[] = JSON.parse(await Deno.readTextFile(hoursUrl));
      const holidays: Record<string, unknown>[] = JSON.parse(await Deno.readTextFile(holidaysUrl));
      const { rowOf, outcome } = await fetchStatus({
        hours,
        wanted: "listed",
        holidays: (exchange) =>
          Response.json(holidays.filter((holiday) => holiday.exchange === exchange)),
      });
      assert.equal(outcome.rows.get("GLOBAL")?.length, hours.length);
      for (const entry of hours) {
        const row = rowOf(String(entry.exchange));
        assert.equal(row.name, entry.name);
        assert.equal(row.opening_time_local, entry.openingHour);
        assert.equal(row.closing_time_local, entry.closingAdditional ?? entry.closingHour);
        assert.equal(row.timezone, entry.timezone);
        assert.equal(row.is_market_open, entry.isMarketOpen);
        assert.deepEqual(
          row.raw_holidays_json,
          holidays.filter((holiday) => holiday.exchange === entry.exchange),
        );
      }
      assert.deepEqual(outcome.warnings, []);
    },
  });
}
