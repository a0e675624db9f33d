import assert from "node:assert/strict";
import { type ErrorClass, VendorError } from "../../supabase/functions/_shared/fetchers/errors.ts";
import type { ClaimedJob } from "../../supabase/functions/_shared/queue_client.ts";
import { jobErrorOf } from "../../supabase/functions/_shared/processor/results.ts";
import { runGroup } from "../../supabase/functions/_shared/processor/run_group.ts";
import { fakeFetcher, vendorAccess, VirtualClock } from "./processor_fakes.ts";

function job(id: number): ClaimedJob {
  return {
    id,
    symbol: `S${id}`,
    data_type: "quote",
    priority: 0,
    attempts: 0,
    max_attempts: 5,
    lease_token: "lease",
    lease_expires_at: "2026-11-24T10:02:00Z",
    batch_size: 100,
    api_calls_per_batch: 1,
    fetcher: "quote",
    edge_function_name: null,
  };
}

/** What a group of so many jobs comes to whose only call fails like this. */
function failing(jobs: number, thrown: unknown, signal = new AbortController().signal) {
  const clock = new VirtualClock();
  const fetcher = fakeFetcher({
    maxSymbolsPerCall: 100,
    onCall: () => {
      throw thrown;
    },
  });
  return clock.drive(runGroup(
    {
      fetcher,
      dataType: "quote",
      jobs: Array.from({ length: jobs }, (_, index) => job(index + 1)),
    },
    { access: vendorAccess(clock), clock, signal },
  ));
}

const vendorError = (errorClass: ErrorClass, code: string) =>
  new VendorError(`Cannot fetch: ${code}`, { errorClass, code, calls: 1, bytes: 7 });

const ALL_FAIL = ["failed", "failed", "failed"];
const ALL_RELEASED = ["released", "released", "released"];

for (
  const [name, thrown, outcomes, isSplit] of [
    [
      "one symbol that the vendor refuses",
      vendorError("permanent", "http_400"),
      ALL_RELEASED,
      true,
    ],
    ["an answer of another shape", vendorError("retryable", "schema_mismatch"), ALL_RELEASED, true],
    ["a fault of the fetcher", new TypeError("x is undefined"), ALL_RELEASED, true],
    ["a vendor that is down", vendorError("retryable", "http_503"), ALL_FAIL, false],
    ["a limit", vendorError("rate_limited", "http_429"), ALL_FAIL, false],
    ["a refused key", vendorError("auth", "http_401"), ALL_FAIL, false],
    ["a plan without the endpoint", vendorError("permanent", "plan_endpoint"), ALL_FAIL, false],
    ["a plan with a smaller limit", vendorError("permanent", "plan_limit"), ALL_FAIL, false],
    ["an answer too large", vendorError("permanent", "answer_too_large"), ALL_FAIL, false],
  ] as const
) {
  Deno.test(`${name}: a group of three is ${isSplit ? "split" : "failed as a whole"}`, async () => {
    const outcome = await failing(3, thrown);
    assert.deepEqual(outcome.results.map((result) => result.outcome), outcomes);
    assert.equal(outcome.splitBecause !== undefined, isSplit);
    assert.equal(outcome.takesNoGroups, undefined);
    const isVendors = thrown instanceof VendorError;
    assert.deepEqual(
      outcome.results.map(({ calls, bytes }) => [calls, bytes]),
      [isVendors ? [1, 7] : [0, 0], [0, 0], [0, 0]],
      "booked once",
    );
  });

  Deno.test(`${name}: a job alone fails with it`, async () => {
    const outcome = await failing(1, thrown);
    assert.deepEqual(outcome.results.map((result) => result.outcome), ["failed"]);
    assert.equal(outcome.splitBecause, undefined);
  });
}

Deno.test("a plan that takes no groups fails the first job, which tells the queue, and releases the others", async () => {
  const outcome = await failing(3, vendorError("batch_refused", "batch_refused"));
  assert.deepEqual(
    outcome.results.map((result) => [result.outcome, result.error?.class]),
    [["failed", "batch_refused"], ["released", undefined], ["released", undefined]],
  );
  assert.equal(outcome.takesNoGroups, true);
  assert.equal(outcome.splitBecause, undefined);
});

Deno.test("when the run has ended, what breaks off gives the jobs back", async () => {
  const ended = AbortSignal.abort();
  const brokenOff = await failing(2, ended.reason, ended);
  assert.deepEqual(brokenOff.results.map((result) => result.outcome), ["released", "released"]);
  assert.equal(brokenOff.splitBecause, undefined);
});

for (
  const [seconds, wanted] of [
    [undefined, null],
    [NaN, null],
    [1.2, 2],
    [0, 0],
    [-5, 0],
    [Infinity, 86_400],
    [1e9, 86_400],
  ] as const
) {
  Deno.test(`a wait of ${seconds} seconds is told to the queue as ${wanted}`, () => {
    const error = new VendorError("Cannot fetch", {
      errorClass: "rate_limited",
      code: "http_429",
      ...(seconds === undefined ? {} : { retryAfterSeconds: seconds }),
    });
    assert.equal(jobErrorOf(error, "quote", []).retry_after_seconds, wanted);
  });
}
