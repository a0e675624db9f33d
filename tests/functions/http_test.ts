import assert from "node:assert/strict";
import { getVendorJson, redact, retryAfterSeconds } from "../../supabase/functions/_shared/http.ts";
import { errorBodies } from "./fetcher_examples.ts";
import { API_KEY, contextFor, NOW, vendorErrorOf } from "./fetcher_support.ts";

const REQUEST = { path: "quote", query: { symbol: "AAPL" }, subject: 'quote for "AAPL"' };

function get(answer: () => Response | Promise<Response>) {
  return getVendorJson(REQUEST, contextFor(answer).context);
}

function failureOn(body: BodyInit | null, init: ResponseInit = {}) {
  return vendorErrorOf(get(() => new Response(body, init)));
}

const VERDICTS: Record<string, [string, string]> = {
  "missing or invalid key": ["auth", "http_401"],
  "call quota or rate limit reached": ["rate_limited", "http_429"],
  "throttled bulk download": ["rate_limited", "limit_reach"],
  "symbol, period or from value outside the plan": ["permanent", "plan_parameter"],
  "limit value outside the plan": ["permanent", "plan_limit"],
  "endpoint not in the plan": ["permanent", "plan_endpoint"],
  "endpoint not in the plan, JSON wording": ["permanent", "plan_endpoint"],
  "retired v3/v4 endpoint": ["auth", "http_403"],
  "required parameter missing, empty or malformed": ["permanent", "http_400"],
  "unknown exchange code on exchange-market-hours / holidays-by-exchange": [
    "permanent",
    "http_400",
  ],
  "page number above the endpoint's ceiling": ["permanent", "http_400"],
  "unknown path": ["permanent", "http_404"],
};

for (const { case: name, status, body } of errorBodies) {
  const verdict = VERDICTS[name];
  if (verdict === undefined) {
    Deno.test(`vendor answer "${name}" is not an error`, async () => {
      const answer = await get(() => new Response(body, { status }));
      assert.deepEqual(answer, { payload: [], calls: 1, bytes: 2 });
    });
    continue;
  }
  Deno.test(`vendor answer "${name}" is ${verdict[0]} with code ${verdict[1]}`, async () => {
    const error = await failureOn(body, {
      status,
      headers: { "content-type": "application/json" },
    });
    assert.equal(error.errorClass, verdict[0]);
    assert.equal(error.code, verdict[1]);
    assert.equal(error.calls, 1);
    assert.equal(error.bytes, new TextEncoder().encode(body).byteLength);
    assert.ok(error.message.startsWith('Cannot fetch quote for "AAPL": the vendor answered'));
  });
}

Deno.test("every documented error body has a verdict or is no error", () => {
  const known = Object.keys(VERDICTS).length;
  assert.equal(errorBodies.length, known + 1);
});

Deno.test("a parameter refusal wrapped in an object has the same code as plain text", async () => {
  const text = "Premium Query Parameter: 'Special Endpoint : This value set for 'period' is not";
  const body = JSON.stringify({ "Error Message": text });
  assert.equal((await failureOn(body, { status: 402 })).code, "plan_parameter");
  assert.equal((await failureOn(body, { status: 200 })).code, "plan_parameter");
});

for (
  const [status, errorClass, code] of [
    [402, "permanent", "http_402"],
    [410, "permanent", "http_410"],
    [408, "retryable", "http_408"],
    [500, "retryable", "http_500"],
    [502, "retryable", "http_502"],
    [503, "retryable", "http_503"],
    [522, "retryable", "http_522"],
    [302, "retryable", "unexpected_redirect"],
  ] as const
) {
  Deno.test(`status ${status} is ${errorClass} with code ${code}`, async () => {
    const error = await failureOn("<html>whatever</html>", { status });
    assert.equal(error.errorClass, errorClass);
    assert.equal(error.code, code);
  });
}

Deno.test("an error object of unknown wording with status 200 is retryable", async () => {
  const error = await failureOn(JSON.stringify({ "Error Message": "Something new" }));
  assert.equal(error.errorClass, "retryable");
  assert.equal(error.code, "error_message");
  assert.match(error.message, /with the error "Something new"/);
});

Deno.test("an invalid key told with status 200 is auth", async () => {
  const error = await failureOn(JSON.stringify({ "Error Message": "Invalid API KEY. …" }));
  assert.equal(error.errorClass, "auth");
});

Deno.test("text that is not JSON is retryable", async () => {
  const error = await failureOn("no data");
  assert.equal(error.code, "not_json");
  assert.equal(error.errorClass, "retryable");
  assert.equal((await failureOn("")).code, "not_json");
  assert.equal((await failureOn(null, { status: 204 })).code, "not_json");
});

Deno.test("JSON that is cut short is retryable, with its bytes counted", async () => {
  const error = await failureOn('[{"symbol":"AAPL","pri');
  assert.equal(error.code, "truncated_json");
  assert.equal(error.errorClass, "retryable");
  assert.equal(error.bytes, 22);
});

Deno.test("a wait asked for in seconds or as a date is passed on", async () => {
  const inSeconds = await failureOn("{}", { status: 429, headers: { "retry-after": "17" } });
  assert.equal(inSeconds.retryAfterSeconds, 17);
  const date = new Date(NOW.getTime() + 42_000).toUTCString();
  const asDate = await failureOn("{}", { status: 429, headers: { "retry-after": date } });
  assert.equal(asDate.retryAfterSeconds, 42);
  const silent = await failureOn("{}", { status: 429 });
  assert.equal(silent.retryAfterSeconds, undefined);
});

Deno.test("a wait is at least 0 seconds, at most a day, and nothing when unreadable", () => {
  const of = (value: string) => retryAfterSeconds(new Headers({ "retry-after": value }), NOW);
  assert.equal(of("Sat, 25 Oct 2025 11:00:00 GMT"), 0);
  assert.equal(of("0"), 0);
  assert.equal(of("1.2"), 2);
  assert.equal(of("999999999999"), 86_400);
  assert.equal(of("soon"), undefined);
});

Deno.test("the key goes in a header and in no URL", async () => {
  let seen: Request | undefined;
  const { context } = contextFor((_path, _query, request) => {
    seen = request;
    return Response.json([]);
  });
  await getVendorJson({ path: "quote", query: { symbol: "^A&B" }, subject: "quote" }, context);
  assert.equal(seen?.headers.get("apikey"), API_KEY);
  assert.equal(seen?.url, "http://vendor.test/stable/quote?symbol=%5EA%26B");
  assert.equal(seen?.redirect, "manual");
});

Deno.test("a base URL with a closing slash gives the same address", async () => {
  const { context, asked } = contextFor(() => Response.json([]), {
    baseUrl: "http://vendor.test/stable/",
  });
  await getVendorJson(REQUEST, context);
  assert.deepEqual(asked, ["quote?symbol=AAPL"]);
});

Deno.test("a key that the vendor echoes is in no message", async () => {
  const key = "a/key+with=signs&more";
  for (const status of [200, 400, 401, 402, 403, 429, 500]) {
    for (const echoed of [key, encodeURIComponent(key)]) {
      for (const body of [`bad ${echoed}`, JSON.stringify({ "Error Message": `bad ${echoed}` })]) {
        const { context } = contextFor(() => new Response(body, { status }), { apiKey: key });
        const error = await vendorErrorOf(getVendorJson(REQUEST, context));
        assert.ok(!error.message.includes(echoed), error.message);
        assert.ok(error.message.includes("bad ***"), error.message);
      }
    }
  }
});

Deno.test("a key that straddles the cut of a long vendor text is in no message", async () => {
  for (let padding = 120; padding <= 165; padding++) {
    const error = await failureOn(`${"x".repeat(padding)}${API_KEY}`, { status: 400 });
    for (let length = 6; length <= API_KEY.length; length++) {
      assert.ok(!error.message.includes(API_KEY.slice(0, length)), error.message);
    }
  }
});

Deno.test("a refused connection is retryable and tells no key", async () => {
  const { context } = contextFor(() => {
    throw new TypeError(`error sending request for url (http://x/?apikey=${API_KEY})`);
  });
  const error = await vendorErrorOf(getVendorJson(REQUEST, context));
  assert.equal(error.errorClass, "retryable");
  assert.equal(error.code, "network");
  assert.equal(error.calls, 1);
  assert.ok(!error.message.includes(API_KEY));
});

Deno.test("no answer in time is a timeout", async () => {
  const { context } = contextFor((_path, _query, request) => pendingUntilAborted(request), {
    timeoutMs: 20,
  });
  const error = await vendorErrorOf(getVendorJson(REQUEST, context));
  assert.equal(error.errorClass, "retryable");
  assert.equal(error.code, "timeout");
  assert.equal(error.calls, 1);
  assert.match(error.message, /no complete answer within 20 ms/);
});

Deno.test("a caller who ends the call gets code aborted, not timeout", async () => {
  const caller = new AbortController();
  const { context } = contextFor((_path, _query, request) => {
    caller.abort();
    return pendingUntilAborted(request);
  }, { signal: caller.signal });
  const error = await vendorErrorOf(getVendorJson(REQUEST, context));
  assert.equal(error.code, "aborted");
  assert.equal(error.calls, 1);
});

Deno.test("a caller who has already given up costs no call", async () => {
  const { context, asked } = contextFor(() => Response.json([]), { signal: AbortSignal.abort() });
  const error = await vendorErrorOf(getVendorJson(REQUEST, context));
  assert.equal(error.code, "aborted");
  assert.equal(error.calls, 0);
  assert.deepEqual(asked, []);
});

Deno.test("waiting for the pace does not use up the timeout", async () => {
  const { context } = contextFor(() => Response.json([]), {
    timeoutMs: 1_000,
    pace: () => new Promise((resolve) => setTimeout(resolve, 1_200)),
  });
  assert.equal((await getVendorJson(REQUEST, context)).calls, 1);
});

Deno.test("over a real connection, a body that stalls is a timeout", async () => {
  await using vendor = halfAnswers("hold");
  const { context } = contextFor(() => Response.json([]), {
    ...vendor.overrides,
    timeoutMs: 1_500,
  });
  const error = await vendorErrorOf(getVendorJson(REQUEST, context));
  assert.equal(error.code, "timeout");
  assert.equal(error.bytes, 6);
});

Deno.test("over a real connection, a body that breaks off is a network error", async () => {
  await using vendor = halfAnswers("close");
  const { context } = contextFor(() => Response.json([]), vendor.overrides);
  const error = await vendorErrorOf(getVendorJson(REQUEST, context));
  assert.equal(error.code, "network");
  assert.equal(error.errorClass, "retryable");
  assert.equal(error.bytes, 6);
});

Deno.test("over a real connection, the key does not follow a redirect", async () => {
  const reached: string[] = [];
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (request) => {
      reached.push(new URL(request.url).pathname);
      return new Response(null, { status: 302, headers: { location: "/elsewhere" } });
    },
  );
  const { context } = contextFor(() => Response.json([]), {
    fetch: globalThis.fetch,
    baseUrl: `http://127.0.0.1:${server.addr.port}/stable`,
  });
  const error = await vendorErrorOf(getVendorJson(REQUEST, context));
  assert.equal(error.code, "unexpected_redirect");
  assert.deepEqual(reached, ["/stable/quote"]);
});

Deno.test("secrets are taken out wherever they stand, and an empty secret changes nothing", () => {
  assert.equal(redact("a=s3cr3t&b=s3cr3t c", ["s3cr3t", ""]), "a=***&b=*** c");
});

/** Never answers; fails like fetch when its signal ends. */
function pendingUntilAborted(request: Request): Promise<Response> {
  return new Promise((_resolve, reject) => {
    const stop = () => reject(request.signal.reason);
    if (request.signal.aborted) stop();
    request.signal.addEventListener("abort", stop);
  });
}

/** A vendor that sends 6 of 100 announced bytes, and then closes or holds the connection. */
function halfAnswers(then: "close" | "hold") {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const connections: Deno.TcpConn[] = [];
  const serving = (async () => {
    for await (const connection of listener) {
      connections.push(connection);
      await connection.read(new Uint8Array(4096));
      await connection.write(
        new TextEncoder().encode('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[{"a":'),
      );
      if (then === "close") await connection.closeWrite();
    }
  })();
  return {
    overrides: {
      fetch: globalThis.fetch,
      baseUrl: `http://127.0.0.1:${listener.addr.port}/stable`,
    },
    async [Symbol.asyncDispose]() {
      listener.close();
      await serving;
      for (const connection of connections) connection.close();
    },
  };
}

/** Bytes without end, and whether the reader has had enough of them. */
function endlessAnswer(): { response: Response; wasCancelled: () => boolean } {
  let cancelled = false;
  const chunk = new TextEncoder().encode("1,".repeat(50_000));
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull: (controller) => controller.enqueue(chunk),
    cancel: () => void (cancelled = true),
  });
  return { response: new Response(body), wasCancelled: () => cancelled };
}

Deno.test("an answer is read no further than its limit, and refused for good", async () => {
  const { response, wasCancelled } = endlessAnswer();
  const { context } = contextFor(() => response);
  const error = await vendorErrorOf(
    getVendorJson(REQUEST, { ...context, mostAnswerBytes: 1_000_000 }),
  );
  assert.deepEqual([error.errorClass, error.code], ["permanent", "answer_too_large"]);
  assert.match(
    error.message,
    /larger than 1000000 bytes; a larger FMP_MOST_ANSWER_BYTES admits it/,
  );
  assert.equal(error.calls, 1);
  assert.ok(error.bytes > 1_000_000 && error.bytes <= 1_200_000, `${error.bytes} bytes`);
  assert.ok(wasCancelled());
});

Deno.test("without another limit twenty megabytes are read", async () => {
  const { response } = endlessAnswer();
  const { context } = contextFor(() => response);
  const error = await vendorErrorOf(getVendorJson(REQUEST, context));
  assert.match(error.message, /larger than 20000000 bytes/);
});

for (
  const [name, deep, verdict] of [
    ["arrays", "[".repeat(100_000) + "]".repeat(100_000), "nested_too_deep"],
    ["objects", '{"a":'.repeat(65) + "1" + "}".repeat(65), "nested_too_deep"],
    ["64 levels", "[".repeat(64) + "]".repeat(64), undefined],
    ["brackets in a text", JSON.stringify(["[".repeat(100) + '"\\' + "{".repeat(100)]), undefined],
    ["many short arrays", `[${"[],".repeat(1_000)}[]]`, undefined],
    ["arrays that never close", "[".repeat(100_000), "nested_too_deep"],
    ["a text that never closes", '["' + "[".repeat(100), "truncated_json"],
  ] as const
) {
  Deno.test(`nested JSON, ${name}: ${verdict ?? "accepted"}`, async () => {
    const { context } = contextFor(() => new Response(deep));
    const answer = getVendorJson(REQUEST, context);
    if (verdict === undefined) {
      assert.deepEqual((await answer).payload, JSON.parse(deep));
    } else {
      const error = await vendorErrorOf(answer);
      assert.deepEqual([error.errorClass, error.code], ["retryable", verdict]);
    }
  });
}
