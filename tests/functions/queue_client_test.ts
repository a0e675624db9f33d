import assert from "node:assert/strict";
import {
  backoffMs,
  createQueueClient,
  QueueError,
  type SettleResult,
} from "../../supabase/functions/_shared/queue_client.ts";
import { VirtualClock } from "./processor_fakes.ts";

const KEY = "sb_secret_of_the_tests";

type Answer = (call: { name: string; body: unknown; request: Request }) =>
  | Response
  | Promise<Response>;

/** A client whose requests are answered in turn; the last answer stays. */
function clientOf(clock: VirtualClock, answers: Answer[], key = KEY) {
  const calls: { name: string; body: unknown; headers: Headers; at: number }[] = [];
  const client = createQueueClient({
    url: "http://rest.invalid",
    key,
    clock,
    fetch: async (input, init) => {
      const request = new Request(input, init);
      const name = new URL(request.url).pathname.replace("/rest/v1/rpc/", "");
      const body = await request.clone().json();
      calls.push({ name, body, headers: request.headers, at: clock.elapsed });
      return await answers[Math.min(calls.length, answers.length) - 1]!({ name, body, request });
    },
  });
  return { client, calls };
}

const json = (value: unknown, status = 200): Answer => () => Response.json(value, { status });
const hang: Answer = ({ request }) =>
  new Promise((_, reject) => {
    request.signal.addEventListener("abort", () => reject(request.signal.reason));
  });
const inSeconds = (clock: VirtualClock, seconds: number) => clock.now() + seconds * 1000;

const JOB = {
  id: 7,
  symbol: "AAPL",
  data_type: "quote",
  priority: 9000,
  attempts: 0,
  max_attempts: 5,
  lease_token: "6f3c1a52-0d3e-4f4f-9c39-0d7c4a1b2c3d",
  lease_expires_at: "2026-11-24T10:02:00+00:00",
  batch_size: 1,
  api_calls_per_batch: 1,
  fetcher: "quote",
  edge_function_name: null,
};
const CLAIM = { runId: "run", manual: true, batchSize: 8, leaseSeconds: 120 };
const RESULT: SettleResult = {
  job_id: 7,
  lease_token: JOB.lease_token,
  outcome: "completed",
  rows: [{ symbol: "AAPL", current_price: 1.5 }],
  bytes: 10,
  calls: 1,
  duration_ms: 5,
  error: null,
};

function rejection(code: string, pattern: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof QueueError);
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    assert.ok(!error.message.includes(KEY));
    return true;
  };
}

Deno.test("a claim sends its four parameters and returns the jobs", async () => {
  const clock = new VirtualClock();
  const { client, calls } = clientOf(clock, [json([JOB, { ...JOB, id: "8" }])]);
  const jobs = await clock.drive(client.claim(CLAIM, { until: inSeconds(clock, 10) }));

  assert.deepEqual(jobs, [JOB, { ...JOB, id: 8 }]);
  assert.equal(calls[0]!.name, "get_queue_batch_v2");
  assert.deepEqual(calls[0]!.body, {
    p_batch_size: 8,
    p_run_id: "run",
    p_manual: true,
    p_lease_seconds: 120,
  });
});

Deno.test("a new secret key goes in apikey only, a legacy key as bearer too", async () => {
  const clock = new VirtualClock();
  for (
    const [key, bearer] of [[KEY, null], ["header.payload.sign", "Bearer header.payload.sign"]]
  ) {
    const { client, calls } = clientOf(clock, [json([])], key!);
    await clock.drive(client.claim(CLAIM, { until: inSeconds(clock, 10) }));
    assert.equal(calls[0]!.headers.get("apikey"), key);
    assert.equal(calls[0]!.headers.get("authorization"), bearer);
  }
});

Deno.test("an answer of the wrong shape is an error that names the field", async () => {
  const clock = new VirtualClock();
  const { client } = clientOf(clock, [json([{ ...JOB, batch_size: null }])]);
  await assert.rejects(
    clock.drive(client.claim(CLAIM, { until: inSeconds(clock, 10) })),
    rejection("unexpected_answer", /Cannot claim jobs: "0\.batch_size" .*of one version/),
  );
});

Deno.test("an error of the database keeps its code, message and hint", async () => {
  const clock = new VirtualClock();
  const { client } = clientOf(clock, [
    json({
      message: "Cannot claim jobs: batch size is 0, wanted 1 to 1000",
      code: "SY011",
      hint: `Leave p_batch_size out; not ${KEY}`,
      details: null,
    }, 400),
  ]);
  await assert.rejects(
    clock.drive(client.claim(CLAIM, { until: inSeconds(clock, 10) })),
    (error) => {
      rejection("SY011", /^Cannot claim jobs: batch size is 0, .* \(SY011\); Leave p_batch/)(error);
      assert.ok(error instanceof QueueError);
      assert.equal(error.action, "claim jobs");
      assert.equal(error.transient, false);
      assert.match(error.hint!, /^Leave p_batch_size out/);
      return true;
    },
  );
});

Deno.test("a claim is tried once, since a second one would take other jobs", async () => {
  const clock = new VirtualClock();
  const { client, calls } = clientOf(clock, [json({ message: "restarting" }, 503), json([JOB])]);
  await assert.rejects(
    clock.drive(client.claim(CLAIM, { until: inSeconds(clock, 10) })),
    rejection("http_503", /Cannot claim jobs: restarting/),
  );
  assert.equal(calls.length, 1);
});

Deno.test("a settle is tried again after 503, 500 and a broken connection, with the same results", async () => {
  const clock = new VirtualClock();
  const { client, calls } = clientOf(clock, [
    json({ message: "no connection", code: "PGRST001" }, 503),
    json({ message: "bad gateway" }, 502),
    () => Promise.reject(new TypeError("connection reset")),
    json({ message: "deadlock detected", code: "40P01" }, 500),
    json([{ job_id: "7", outcome: "completed", rows_written: 1, detail: null }]),
  ]);
  const { answers, tries } = await clock.drive(
    client.settle([RESULT], { until: inSeconds(clock, 60) }),
  );

  assert.deepEqual(answers, [{ job_id: 7, outcome: "completed", rows_written: 1, detail: null }]);
  assert.equal(tries, 5);
  for (const { body } of calls) assert.deepEqual(body, { p_results: [RESULT] });
});

Deno.test("a settle that cannot succeed is tried once", async () => {
  for (
    const [code, status] of [["22P05", 400], ["SY012", 500], ["57014", 500], [
      "PGRST202",
      404,
    ]] as const
  ) {
    const clock = new VirtualClock();
    const { client, calls } = clientOf(clock, [json({ message: "refused", code }, status)]);
    await assert.rejects(
      clock.drive(client.settle([RESULT], { until: inSeconds(clock, 60) })),
      rejection(code, /Cannot settle jobs: refused/),
    );
    assert.equal(calls.length, 1);
  }
});

Deno.test("tries end before the lease does", async () => {
  const clock = new VirtualClock();
  const { client, calls } = clientOf(clock, [json({ message: "down" }, 503)]);
  await assert.rejects(
    clock.drive(client.settle([RESULT], { until: inSeconds(clock, 20) })),
    rejection("http_503", /down/),
  );
  assert.ok(calls.length > 4, `${calls.length} tries`);
  assert.ok(calls.at(-1)!.at < 20_000);
  assert.ok(clock.elapsed <= 20_000);
});

Deno.test("a try without an answer ends after ten seconds and is followed by another", async () => {
  const clock = new VirtualClock();
  const { client, calls } = clientOf(clock, [hang, json([])]);
  const { tries } = await clock.drive(client.settle([RESULT], { until: inSeconds(clock, 60) }));

  assert.equal(tries, 2);
  assert.ok(calls[1]!.at >= 10_000 && calls[1]!.at < 11_000);
});

Deno.test("a call that is never answered fails at its deadline", async () => {
  const clock = new VirtualClock();
  const { client } = clientOf(clock, [hang]);
  await assert.rejects(
    clock.drive(client.claim(CLAIM, { until: inSeconds(clock, 3) })),
    rejection("timeout", /Cannot claim jobs: no answer within 3000 ms/),
  );
  assert.equal(clock.elapsed, 3000);
});

Deno.test("the caller's signal ends a call and the pauses between tries", async () => {
  const clock = new VirtualClock();
  const end = new AbortController();
  void clock.sleep(500).then(() => end.abort());
  const limits = { until: inSeconds(clock, 60), signal: end.signal };
  const { client } = clientOf(clock, [hang]);
  await assert.rejects(
    clock.drive(client.settle([RESULT], limits)),
    rejection("aborted", /Cannot settle jobs: the caller ended the call/),
  );
  assert.equal(clock.elapsed, 500);
});

Deno.test("a run whose registration was answered too late counts as started", async () => {
  const clock = new VirtualClock();
  const { client } = clientOf(clock, [
    () => Promise.reject(new TypeError("connection reset")),
    json({ message: "duplicate key", code: "23505" }, 409),
  ]);
  const start = await clock.drive(client.startRun("run", false, { until: inSeconds(clock, 10) }));
  assert.deepEqual(start, { started: true, reason: null });
});

Deno.test("a run that may not start is told with its reason", async () => {
  const clock = new VirtualClock();
  const { client, calls } = clientOf(clock, [
    json({ started: false, reason: "use_queue_system is off" }),
  ]);
  const start = await clock.drive(client.startRun("run", false, { until: inSeconds(clock, 10) }));
  assert.deepEqual(start, { started: false, reason: "use_queue_system is off" });
  assert.deepEqual(calls[0]!.body, { p_run_id: "run", p_manual: false });
});

Deno.test("a lease is extended by its token", async () => {
  const clock = new VirtualClock();
  const { client, calls } = clientOf(clock, [json(3)]);
  const limits = { until: inSeconds(clock, 10) };
  assert.equal(await clock.drive(client.extendLease("token", 200, limits)), 3);
  assert.deepEqual(calls.map(({ name, body }) => [name, body]), [
    ["extend_leases_v2", { p_lease_token: "token", p_lease_seconds: 200 }],
  ]);
});

Deno.test("the time of the next claim is milliseconds or null", async () => {
  const clock = new VirtualClock();
  const { client, calls } = clientOf(clock, [json(1200), json(null)]);
  const limits = { until: inSeconds(clock, 10) };
  assert.equal(await clock.drive(client.nextClaimIn(true, limits)), 1200);
  assert.equal(await clock.drive(client.nextClaimIn(false, limits)), null);
  assert.deepEqual(calls.map(({ name, body }) => [name, body]), [
    ["next_claim_in_v2", { p_manual: true }],
    ["next_claim_in_v2", { p_manual: false }],
  ]);
});

Deno.test("heartbeat and finish return whether the run is known", async () => {
  const clock = new VirtualClock();
  const { client, calls } = clientOf(clock, [json(true), json(false)]);
  const limits = { until: inSeconds(clock, 10) };
  assert.equal(await clock.drive(client.heartbeat("run", limits)), true);
  assert.equal(await clock.drive(client.finishRun("run", { endedBy: "idle" }, limits)), false);
  assert.deepEqual(calls.map(({ name, body }) => [name, body]), [
    ["heartbeat_processor_run_v2", { p_run_id: "run" }],
    ["finish_processor_run_v2", { p_run_id: "run", p_report: { endedBy: "idle" } }],
  ]);
});

Deno.test("pauses between tries grow from about 100 ms to at most 7.5 s", () => {
  for (let tries = 1; tries <= 40; tries++) {
    const middle = Math.min(100 * 2 ** (tries - 1), 5000);
    const pause = backoffMs(tries);
    assert.ok(pause >= 0.5 * middle && pause <= 1.5 * middle, `${pause} ms after ${tries} tries`);
  }
});
