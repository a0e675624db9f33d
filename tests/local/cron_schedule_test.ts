import assert from "node:assert/strict";
import { matchesMinute, parseSchedule, runsDue } from "../../local/cron/schedule.ts";

function cronFields(text: string) {
  const schedule = parseSchedule(text);
  assert.equal(schedule?.kind, "cron", text);
  return schedule;
}

function matches(text: string, date: string): boolean {
  return matchesMinute(cronFields(text), new Date(date));
}

Deno.test("a schedule is read as lists, ranges, steps and names", () => {
  assert.ok(matches("*/15 * * * *", "2026-03-01T10:45:59Z"));
  assert.ok(!matches("*/15 * * * *", "2026-03-01T10:46:00Z"));
  assert.ok(matches("0-10/5,30 9 * * *", "2026-03-01T09:10:00Z"));
  assert.ok(matches("0-10/5,30 9 * * *", "2026-03-01T09:30:00Z"));
  assert.ok(!matches("0-10/5,30 9 * * *", "2026-03-01T09:06:00Z"));
  assert.ok(matches("0 0 1 1,4,7,10 *", "2026-07-01T00:00:00Z"));
  assert.ok(matches("0 0 1 JUL *", "2026-07-01T00:00:00Z"));
  assert.ok(matches("0 0 * * sun", "2026-03-01T00:00:00Z"));
  assert.ok(matches("0 0 * * 7", "2026-03-01T00:00:00Z"));
  assert.ok(matches("@weekly", "2026-03-01T00:00:00Z"));
});

Deno.test("a schedule is read in UTC", () => {
  assert.ok(matches("0 1 * * *", "2026-07-01T03:00:00+02:00"));
});

Deno.test("$ is the last day of the month", () => {
  assert.ok(matches("0 0 $ * *", "2026-02-28T00:00:00Z"));
  assert.ok(!matches("0 0 $ * *", "2028-02-28T00:00:00Z"));
  assert.ok(matches("0 0 $ * *", "2028-02-29T00:00:00Z"));
});

Deno.test("a day of month and a day of week are alternatives when neither begins with a star", () => {
  // The 13th is a Friday only in some months; 2026-03-13 is one.
  assert.ok(matches("0 0 13 * 5", "2026-03-13T00:00:00Z"));
  assert.ok(matches("0 0 13 * 5", "2026-03-20T00:00:00Z"));
  assert.ok(matches("0 0 13 * 5", "2026-04-13T00:00:00Z"));
  assert.ok(!matches("0 0 14 * *", "2026-03-13T00:00:00Z"));
});

Deno.test("a gap of up to five minutes is made good minute by minute", () => {
  const last = new Date("2026-03-01T10:00:00Z");
  const fields = cronFields("* * * * *");
  assert.equal(runsDue(fields, last, new Date("2026-03-01T10:01:00Z")), 1);
  assert.equal(runsDue(fields, last, new Date("2026-03-01T10:05:00Z")), 5);
});

Deno.test("after a longer gap wildcard jobs run once and fixed times are made good", () => {
  const last = new Date("2026-03-01T10:00:00Z");
  const current = new Date("2026-03-01T11:00:00Z");
  assert.equal(runsDue(cronFields("* * * * *"), last, current), 1);
  assert.equal(runsDue(cronFields("*/7 * * * *"), last, current), 1);
  assert.equal(runsDue(cronFields("10,20 10 * * *"), last, current), 2);
});

Deno.test("after more than three hours nothing is made good", () => {
  const last = new Date("2026-03-01T10:00:00Z");
  const current = new Date("2026-03-01T13:01:00Z");
  assert.equal(runsDue(cronFields("10,20 10 * * *"), last, current), 0);
  assert.equal(runsDue(cronFields("* * * * *"), last, current), 1);
});
