import assert from "node:assert/strict";
import { systemClock } from "../../supabase/functions/_shared/processor/clock.ts";
import type { ProcessorReport } from "../../supabase/functions/_shared/processor/report.ts";
import {
  createProcessorHandler,
  type HandlerSurroundings,
} from "../../supabase/functions/queue-processor-v2/handler.ts";
import { fakeFetcher, FakeQueue, restStub, seeds } from "./processor_fakes.ts";

const SECRET_KEY = "sb_secret_of_the_handler_tests";
const SERVICE_KEY = "legacy.service-role.key";
const VENDOR_KEY = "vendor-key-of-the-handler-tests";

const ENV: Record<string, string> = {
  SUPABASE_URL: "http://rest.invalid",
  SUPABASE_SECRET_KEYS: JSON.stringify({ default: SECRET_KEY, cron: "sb_secret_for_cron" }),
  SUPABASE_SERVICE_ROLE_KEY: SERVICE_KEY,
  FMP_API_KEY: VENDOR_KEY,
  PROCESSOR_LINGER_MS: "0",
};

function setUp(jobCount = 0, changes: {
  env?: Record<string, string>;
  fetcher?: ReturnType<typeof fakeFetcher>;
  surroundings?: Partial<HandlerSurroundings>;
} = {}) {
  const queue = new FakeQueue(systemClock, seeds(jobCount));
  const rest = restStub(queue);
  const background: Promise<unknown>[] = [];
  const lines: string[] = [];
  const env = { ...ENV, ...changes.env };
  const handler = createProcessorHandler({
    env: { get: (name) => env[name] },
    fetchers: { quote: changes.fetcher ?? fakeFetcher() },
    fetch: rest,
    shutdown: new AbortController().signal,
    waitUntil: (promise) => void background.push(promise),
    log: (line) => void lines.push(line),
    ...changes.surroundings,
  });
  const post = (body?: string, headers: Record<string, string> = { apikey: SECRET_KEY }) =>
    handler(
      new Request("http://functions.invalid/queue-processor-v2", {
        method: "POST",
        headers,
        ...(body === undefined ? {} : { body }),
      }),
    );
  return { queue, rest, background, lines, handler, post };
}

Deno.test("without wait the answer is 202 with the run id while the work goes on", async () => {
  const gate = Promise.withResolvers<void>();
  const { post, queue, background, lines } = setUp(2, {
    fetcher: fakeFetcher({ onCall: () => gate.promise }),
  });
  const answer = await post();
  const { runId } = await answer.json();

  assert.equal(answer.status, 202);
  assert.match(runId, /^[0-9a-f-]{36}$/);
  assert.deepEqual(queue.starts, [{ runId, manual: false }]);
  assert.equal(queue.count("completed"), 0);
  assert.equal(background.length, 1);

  gate.resolve();
  await Promise.all(background);
  assert.equal(queue.count("completed"), 2);
  assert.equal(lines.length, 1);
  assert.equal(JSON.parse(lines[0]!).runId, runId);
});

Deno.test("with wait the answer is the report, and the worker is kept alive as well", async () => {
  const { post, queue, background } = setUp(3);
  const answer = await post('{"wait": true, "reason": "by hand"}');
  const report: ProcessorReport = await answer.json();

  assert.equal(answer.status, 200);
  assert.equal(report.endedBy, "idle");
  assert.equal(report.jobs.completed, 3);
  assert.equal(report.manual, false);
  assert.equal(report.runId, queue.starts[0]!.runId);
  assert.deepEqual(queue.reports, [report]);
  assert.equal(background.length, 1);
});

Deno.test("manual reaches the start and the claims", async () => {
  const claims: unknown[] = [];
  const { queue, rest } = setUp();
  const { post } = setUp(0, {
    surroundings: {
      fetch: async (input, init) => {
        const request = new Request(input, init);
        if (request.url.endsWith("get_queue_batch_v2")) claims.push(await request.clone().json());
        return await rest(request);
      },
    },
  });
  const answer = await post('{"manual": true, "wait": true}');

  assert.equal((await answer.json()).manual, true);
  assert.equal(queue.starts[0]!.manual, true);
  assert.equal((claims[0] as { p_manual: boolean }).p_manual, true);
});

Deno.test("a queue that is switched off starts nothing", async () => {
  const { post, queue, background } = setUp(1);
  queue.startAnswer = { started: false, reason: "use_queue_system is off" };
  const answer = await post("{}");

  assert.equal(answer.status, 200);
  assert.deepEqual(await answer.json(), { started: false, reason: "use_queue_system is off" });
  assert.equal(queue.claims.length, 0);
  assert.equal(background.length, 0);
});

Deno.test("any secret key in apikey or the service role key as bearer is let in", async () => {
  const { post } = setUp();
  for (
    const headers of [
      { apikey: SECRET_KEY },
      { apikey: "sb_secret_for_cron" },
      { apikey: SERVICE_KEY },
      { authorization: `Bearer ${SERVICE_KEY}` },
    ]
  ) {
    const answer = await post('{"wait": true}', headers as Record<string, string>);
    assert.equal(answer.status, 200);
    await answer.body?.cancel();
  }
});

Deno.test("a caller without a secret key gets 401 and nothing happens", async () => {
  const { post, queue, rest } = setUp(1, {
    env: { SUPABASE_PUBLISHABLE_KEYS: '{"default": "sb_publishable_x"}' },
  });
  for (
    const headers of [
      {},
      { apikey: "" },
      { apikey: `${SECRET_KEY}x` },
      { apikey: "sb_publishable_x" },
      { authorization: "Bearer nonsense" },
    ]
  ) {
    const answer = await post("{}", headers as Record<string, string>);
    assert.equal(answer.status, 401);
    assert.match((await answer.json()).message, /carries no secret key.*header apikey/);
  }
  assert.equal(rest.requests.length, 0);
  assert.equal(queue.count("pending"), 1);
});

Deno.test("only POST runs the processor; OPTIONS is answered", async () => {
  const { handler } = setUp();
  const ask = (method: string) =>
    handler(
      new Request("http://functions.invalid/queue-processor-v2", {
        method,
        headers: { apikey: SECRET_KEY },
      }),
    );
  for (const method of ["GET", "PUT", "DELETE"]) {
    const answer = await ask(method);
    assert.equal(answer.status, 405);
    assert.equal(answer.headers.get("allow"), "POST, OPTIONS");
    await answer.body?.cancel();
  }
  assert.equal((await ask("OPTIONS")).status, 204);
});

Deno.test("a body that is not JSON or has wrong types gets 400 and claims nothing", async () => {
  const { post, rest } = setUp(1);
  for (
    const [body, words] of [
      ["{wait: true}", /it is not JSON/],
      ["[]", /it is of the wrong type/],
      ["null", /it is of the wrong type/],
      ['{"wait": "yes"}', /"wait" in it is of the wrong type; wanted \{"wait": boolean/],
      ['{"manual": 1}', /"manual" in it/],
    ] as const
  ) {
    const answer = await post(body);
    assert.equal(answer.status, 400, body);
    assert.match((await answer.json()).message, words);
  }
  assert.equal(rest.requests.length, 0);
});

for (
  const [name, value] of [
    ["FMP_API_KEY", ""],
    ["SUPABASE_URL", ""],
    ["PROCESSOR_BUDGET_MS", "two minutes"],
    ["PROCESSOR_CONCURRENCY", "0"],
  ] as const
) {
  Deno.test(`a missing or wrong ${name} gets 500 that says how to set it, and claims nothing`, async () => {
    const { post, rest, lines } = setUp(1, { env: { [name]: value } });
    const answer = await post("{}");

    assert.equal(answer.status, 500);
    const { message } = await answer.json();
    assert.match(message, new RegExp(`Cannot read ${name}: .*(supabase secrets set|platform)`));
    assert.equal(rest.requests.length, 0);
    assert.equal(lines.length, 1);
  });
}

Deno.test("a function without any secret key lets nobody in", async () => {
  const { post, rest } = setUp(1, {
    env: { SUPABASE_SECRET_KEYS: "", SUPABASE_SERVICE_ROLE_KEY: "" },
  });
  const answer = await post("{}", { apikey: "" });
  assert.equal(answer.status, 500);
  assert.match((await answer.json()).message, /Cannot read SUPABASE_SECRET_KEYS/);
  assert.equal(rest.requests.length, 0);
});

Deno.test("a run that the database refuses gets 500 with its message", async () => {
  const { post } = setUp(1, {
    surroundings: {
      fetch: () =>
        Promise.resolve(
          Response.json({ message: `no function for ${SECRET_KEY}`, code: "PGRST202" }, {
            status: 404,
          }),
        ),
    },
  });
  const answer = await post("{}");
  const { message } = await answer.json();
  assert.equal(answer.status, 500);
  assert.match(message, /Cannot start the processor run: no function for .*\(PGRST202\)/);
  assert.ok(!message.includes(SECRET_KEY));
});

Deno.test("the log line of a run tells counts and errors, but no key", async () => {
  const { post, lines } = setUp(2, {
    fetcher: fakeFetcher({
      onCall: ([symbol]) => {
        if (symbol === "S1") throw new Error(`${VENDOR_KEY} ${SECRET_KEY} ${SERVICE_KEY}`);
      },
    }),
  });
  const answer = await post(`{"wait": true, "reason": "asked by ${SECRET_KEY}"}`);
  const text = await answer.text();

  assert.equal(lines.length, 1);
  const line = JSON.parse(lines[0]!);
  assert.equal(line.event, "processor run ended");
  assert.equal(line.endedBy, "idle");
  assert.match(line.reason, /^asked by /);
  assert.equal(line.jobs.completed, 1);
  assert.equal(line.errors[0].symbol, "S1");
  for (const key of [VENDOR_KEY, SECRET_KEY, SERVICE_KEY]) {
    assert.ok(!lines[0]!.includes(key));
    assert.ok(!text.includes(key));
  }
});

Deno.test("shutdown of the worker ends its run and gives back what was not started", async () => {
  const shutdown = new AbortController();
  const { post, queue } = setUp(30, {
    env: { PROCESSOR_CONCURRENCY: "2" },
    fetcher: fakeFetcher({ onCall: () => shutdown.abort() }),
    surroundings: { shutdown: shutdown.signal },
  });
  const report: ProcessorReport = await (await post('{"wait": true}')).json();

  assert.equal(report.endedBy, "shutdown");
  assert.equal(queue.count("processing"), 0);
  assert.equal(report.jobs.completed, 2);
});

Deno.test("the entry point serves on the fetchers of the registry", async () => {
  const { default: entry } = await import(
    "../../supabase/functions/queue-processor-v2/index.ts"
  );
  const answer = await entry.fetch(
    new Request("http://functions.invalid/queue-processor-v2", { method: "GET" }),
  );
  assert.equal(answer.status, 405);
  await answer.body?.cancel();
});
