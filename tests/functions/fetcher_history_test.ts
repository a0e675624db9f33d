import assert from "node:assert/strict";
import { dividendHistoryFetcher } from "../../supabase/functions/_shared/fetchers/dividend_history.ts";
import { gradesHistoricalFetcher } from "../../supabase/functions/_shared/fetchers/grades_historical.ts";
import { revenueSegmentationFetcher } from "../../supabase/functions/_shared/fetchers/revenue_segmentation.ts";
import { dividendExample, gradesExample, segmentationExample } from "./fetcher_examples.ts";
import { fetchJson, onlyRow, vendorErrorOf } from "./fetcher_support.ts";

Deno.test("the documented dividend fills every column of dividend_history", async () => {
  const outcome = await fetchJson(dividendHistoryFetcher, "AAPL", [dividendExample]);
  assert.deepEqual(onlyRow(outcome, "AAPL"), {
    symbol: "AAPL",
    date: "2026-05-11",
    record_date: "2026-05-11",
    payment_date: "2026-05-14",
    declaration_date: "2026-04-30",
    adj_dividend: 0.27,
    dividend: 0.27,
    yield: 0.3587535875358754,
    frequency: "Quarterly",
  });
});

Deno.test("the documented segments fill every column of revenue_product_segmentation", async () => {
  const outcome = await fetchJson(revenueSegmentationFetcher, "AAPL", [segmentationExample]);
  assert.deepEqual(onlyRow(outcome, "AAPL"), {
    symbol: "AAPL",
    fiscal_year: 2024,
    period: "FY",
    date: "2024-09-28",
    reported_currency: null,
    data: {
      "Mac": 29984000000,
      "Service": 96169000000,
      "Wearables, Home and Accessories": 37005000000,
      "iPad": 26694000000,
      "iPhone": 201183000000,
    },
  });
});

Deno.test("the documented grades fill every column of grades_historical", async () => {
  const outcome = await fetchJson(gradesHistoricalFetcher, "AAPL", [gradesExample]);
  assert.deepEqual(onlyRow(outcome, "AAPL"), {
    symbol: "AAPL",
    date: "2026-06-01",
    analyst_ratings_strong_buy: 7,
    analyst_ratings_buy: 23,
    analyst_ratings_hold: 15,
    analyst_ratings_sell: 1,
    analyst_ratings_strong_sell: 2,
  });
});

Deno.test("missing dates of a dividend are null, however they are spelled", async () => {
  for (const absent of ["", "N/A", " ", null]) {
    const dividend = {
      ...dividendExample,
      recordDate: absent,
      paymentDate: absent,
      declarationDate: absent,
      frequency: absent,
    };
    const row = onlyRow(await fetchJson(dividendHistoryFetcher, "AAPL", [dividend]), "AAPL");
    assert.deepEqual(
      [row.record_date, row.payment_date, row.declaration_date, row.frequency],
      [null, null, null, null],
    );
    assert.equal(row.date, "2026-05-11");
  }
});

Deno.test("a dividend without its ex-date is refused", async () => {
  for (const date of ["", "N/A", "2026-02-30", "11/05/2026"]) {
    const error = await vendorErrorOf(
      fetchJson(dividendHistoryFetcher, "AAPL", [{ ...dividendExample, date }]),
    );
    assert.match(error.message, /key "date" is (the|empty) text.*; wanted a date like/);
  }
});

Deno.test("a future dividend and the whole history are stored, newest first in any order", async () => {
  const dates = ["2031-02-10", "2026-05-11", "1987-05-11"];
  const rows = dates.map((date) => ({ ...dividendExample, date }));
  for (const answer of [rows, rows.toReversed()]) {
    const outcome = await fetchJson(dividendHistoryFetcher, "AAPL", answer);
    assert.deepEqual(outcome.rows.get("AAPL")?.map((row) => row.date), dates);
    assert.deepEqual(outcome.warnings, []);
  }
});

Deno.test("of two dividends of one day the fuller is kept, in any order", async () => {
  // By its text alone this one would come first.
  const sparse = { ...dividendExample, recordDate: "2026-01-01", dividend: 9, declarationDate: "" };
  const other = { ...dividendExample, date: "2026-02-09" };
  for (const answer of [[dividendExample, other, sparse], [sparse, other, dividendExample]]) {
    const outcome = await fetchJson(dividendHistoryFetcher, "AAPL", answer);
    assert.deepEqual(
      outcome.rows.get("AAPL")?.map((row) => [row.date, row.dividend]),
      [["2026-05-11", 0.27], ["2026-02-09", 0.27]],
    );
    assert.deepEqual(outcome.warnings, [
      'dividend-history for "AAPL": more than one row for 2026-05-11; the one with the most values was kept',
    ]);
  }
});

Deno.test("of two equally full rows the same is kept in any order", async () => {
  const other = { ...dividendExample, dividend: 0.5 };
  const kept = await Promise.all(
    [[dividendExample, other], [other, dividendExample]].map(async (answer) =>
      onlyRow(await fetchJson(dividendHistoryFetcher, "AAPL", answer), "AAPL")
    ),
  );
  assert.deepEqual(kept[0], kept[1]);
});

Deno.test("many repeated days make one warning", async () => {
  const days = ["01", "02", "03", "04", "05"].map((day) => ({
    ...gradesExample,
    date: `2026-01-${day}`,
  }));
  const outcome = await fetchJson(gradesHistoricalFetcher, "AAPL", [...days, ...days]);
  assert.equal(outcome.rows.get("AAPL")?.length, 5);
  assert.deepEqual(outcome.warnings, [
    'grades-historical for "AAPL": more than one row for 2026-01-01, 2026-01-02, 2026-01-03 and 2 more; the one with the most values was kept',
  ]);
});

Deno.test("rows of another symbol in a history are dropped with a warning", async () => {
  const outcome = await fetchJson(gradesHistoricalFetcher, "AAPL", [
    { ...gradesExample, symbol: "MSFT" },
    gradesExample,
  ]);
  assert.deepEqual([...outcome.rows.keys()], ["AAPL"]);
  assert.equal(onlyRow(outcome, "AAPL").analyst_ratings_buy, 23);
  assert.match(outcome.warnings.join(), /dropped rows of symbol "MSFT"/);
});

Deno.test("counts of analysts lose their fraction, and others than counts are refused", async () => {
  const row = onlyRow(
    await fetchJson(gradesHistoricalFetcher, "AAPL", [{
      ...gradesExample,
      analystRatingsBuy: 7.9,
    }]),
    "AAPL",
  );
  assert.equal(row.analyst_ratings_buy, 7);
  for (
    const [analystRatingsBuy, wanted] of [
      [-1, "a number of at least 0"],
      [2 ** 31, "a number within the range of integer"],
      ["7", "a number or null"],
    ] as const
  ) {
    const error = await vendorErrorOf(
      fetchJson(gradesHistoricalFetcher, "AAPL", [{ ...gradesExample, analystRatingsBuy }]),
    );
    assert.ok(error.message.endsWith(`; wanted ${wanted}`), error.message);
  }
});

Deno.test("a fiscal year is read from a number and from text, nothing else", async () => {
  for (const fiscalYear of [2024, "2024"]) {
    const outcome = await fetchJson(revenueSegmentationFetcher, "AAPL", [
      { ...segmentationExample, fiscalYear },
    ]);
    assert.equal(onlyRow(outcome, "AAPL").fiscal_year, 2024);
  }
  for (const fiscalYear of [2024.5, 24, "24", "FY2024", "", 20240]) {
    const error = await vendorErrorOf(fetchJson(revenueSegmentationFetcher, "AAPL", [
      { ...segmentationExample, fiscalYear },
    ]));
    assert.match(error.message, /key "fiscalYear" is .+; wanted a year like 2024$/);
  }
});

Deno.test("segments are stored under any name, one or none, and with null", async () => {
  for (const data of [{ "R&D, 2nd 'half'": 1.5 }, {}, { a: null }]) {
    const outcome = await fetchJson(revenueSegmentationFetcher, "AAPL", [
      { ...segmentationExample, data },
    ]);
    assert.deepEqual(onlyRow(outcome, "AAPL").data, data);
  }
});

Deno.test("a segment that is no number is named", async () => {
  const error = await vendorErrorOf(fetchJson(revenueSegmentationFetcher, "AAPL", [
    { ...segmentationExample, data: { Mac: "29984000000" } },
  ]));
  assert.equal(
    error.message,
    'revenue-segmentation for "AAPL": key "Mac" of row 1 data is the text "29984000000"; wanted a number or null',
  );
});

Deno.test("a year, its quarters and a year that ended twice are rows of their own", async () => {
  const outcome = await fetchJson(revenueSegmentationFetcher, "AAPL", [
    segmentationExample,
    { ...segmentationExample, period: "Q4" },
    { ...segmentationExample, date: "2024-12-31" },
  ]);
  assert.deepEqual(
    outcome.rows.get("AAPL")?.map((row) => [row.period, row.date]),
    [["Q4", "2024-09-28"], ["FY", "2024-12-31"], ["FY", "2024-09-28"]],
  );
  assert.deepEqual(outcome.warnings, []);
});
