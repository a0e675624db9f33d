import assert from "node:assert/strict";
import { SlidingWindow } from "../../local/fmp/limiter.ts";
import { DataQuota } from "../../local/fmp/quota.ts";
import { call, clock, fetchAnswer, start, until } from "./fmp_client.ts";

const dayMs = 86_400_000;

Deno.test("the window admits exactly its limit and reopens at the sixtieth second", () => {
  const window = new SlidingWindow(3);
  const admitted = (at: number) => window.admit(at).admitted;
  assert.deepEqual([0, 10, 20].map(admitted), [true, true, true]);
  assert.deepEqual([20, 59_999].map(admitted), [false, false]);
  assert.deepEqual(window.admit(59_999), { admitted: false, retryAfterMs: 1 });
  assert.deepEqual([60_000, 60_009, 60_010, 60_019, 60_020].map(admitted), [
    true,
    false,
    true,
    false,
    true,
  ]);
  assert.equal(window.violations, 5);
});

Deno.test("no sixty seconds ever hold more admitted calls than the limit", () => {
  const limit = 7;
  const window = new SlidingWindow(limit);
  const admitted: number[] = [];
  let at = 0;
  for (let step = 0; step < 20_000; step++) {
    at += (step * 7919) % 4_001;
    if (window.admit(at).admitted) admitted.push(at);
  }
  for (const [index, time] of admitted.entries()) {
    const later = admitted[index + limit];
    assert.ok(later === undefined || later - time >= 60_000);
  }
});

Deno.test("a limit of zero refuses every call and a bad limit is an error", () => {
  assert.equal(new SlidingWindow(0).admit(0).admitted, false);
  assert.throws(() => new SlidingWindow(1.5), /Cannot limit calls: 1\.5/);
});

Deno.test("the served limiter follows the injected clock and counts violations", async () => {
  let now = clock().getTime();
  await using simulator = await start({
    callsPerMinute: 2,
    retryAfter: true,
    now: () => new Date(now),
  });
  const status = async () => (await call(simulator, "quote?symbol=AAPL")).status;
  assert.deepEqual([await status(), await status(), await status()], [200, 200, 429]);
  now += 59_000;
  const refused = await call(simulator, "quote?symbol=AAPL");
  assert.deepEqual([refused.status, refused.retryAfter], [429, "1"]);
  assert.equal(simulator.violations, 2);
  now += 1_000;
  assert.equal(await status(), 200);
  assert.deepEqual(simulator.ledger.map((each) => each.violation), [
    false,
    false,
    true,
    true,
    false,
  ]);
});

Deno.test("a call without a valid key takes no place in the window", async () => {
  await using simulator = await start({ callsPerMinute: 1 });
  assert.equal((await fetchAnswer(`${simulator.url}/quote?symbol=AAPL`)).status, 401);
  assert.equal((await call(simulator, "quote?symbol=AAPL")).status, 200);
  assert.equal(simulator.violations, 0);
});

Deno.test("Retry-After comes as a date where that is asked for", async () => {
  await using simulator = await start({ callsPerMinute: 1, retryAfter: "http-date" });
  await call(simulator, "quote?symbol=AAPL");
  const refused = await call(simulator, "quote?symbol=AAPL");
  assert.equal(refused.retryAfter, "Mon, 08 Jun 2026 15:05:05 GMT");
});

Deno.test("calls per day are refused beside the calls per minute and are no violations", async () => {
  let now = clock().getTime();
  await using simulator = await start({ callsPerDay: 2, now: () => new Date(now) });
  const status = async () => (await call(simulator, "quote?symbol=AAPL")).status;
  assert.deepEqual([await status(), await status(), await status()], [200, 200, 429]);
  now += dayMs - 1;
  assert.equal(await status(), 429);
  now += 1;
  assert.equal(await status(), 200);
  assert.deepEqual(
    simulator.ledger.map((each) => each.refusal),
    [null, null, "day", "day", null],
  );
  assert.equal(simulator.violations, 0);
});

Deno.test("the data allowance counts thirty days and forgets the one before them", () => {
  const quota = new DataQuota(100);
  quota.book(0, 60);
  quota.book(dayMs, 39);
  assert.equal(quota.isUsedUp(29 * dayMs), false);
  quota.book(29 * dayMs, 1);
  assert.equal(quota.isUsedUp(29 * dayMs), true);
  assert.equal(quota.usedBytes(30 * dayMs), 40);
  quota.allow(40);
  assert.equal(quota.isUsedUp(30 * dayMs), true);
  quota.allow(null);
  assert.equal(quota.isUsedUp(30 * dayMs), false);
  assert.throws(() => new DataQuota(-1), /Cannot limit data: -1/);
});

Deno.test("a used up data allowance answers an Error Message until days have passed", async () => {
  let now = clock().getTime();
  await using simulator = await start({ dataAllowanceBytes: 1, now: () => new Date(now) });
  const first = await call(simulator, "quote?symbol=AAPL");
  assert.equal(first.status, 200);
  await until(() => simulator.ledger[0]?.durationMs !== null);
  assert.equal(simulator.dataBytes, new TextEncoder().encode(first.body).length);
  const refused = await call(simulator, "quote?symbol=AAPL");
  assert.equal(refused.status, 429);
  assert.match(JSON.parse(refused.body)["Error Message"], /^Limit Reach/);
  await until(() => simulator.ledger[1]?.durationMs !== null);
  assert.equal(simulator.ledger[1]?.refusal, "data");
  assert.equal(simulator.dataBytes, simulator.ledger[0]?.bytes, "a refusal is not booked");
  assert.equal((await fetchAnswer(simulator.exchangeRatesUrl)).status, 200);
  now += 30 * dayMs;
  assert.equal((await call(simulator, "quote?symbol=AAPL")).status, 200);
});

Deno.test("the answer to a used up data allowance can be chosen", async () => {
  const dataQuotaAnswer = { status: 200, body: { "Error Message": "Bandwidth Limit Reach" } };
  await using simulator = await start({ dataAllowanceBytes: 0, dataQuotaAnswer });
  const { status, body } = await call(simulator, "quote?symbol=AAPL");
  assert.deepEqual([status, JSON.parse(body)], [200, dataQuotaAnswer.body]);
});
