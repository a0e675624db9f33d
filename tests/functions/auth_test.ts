import assert from "node:assert/strict";
import {
  callerHasAnonKey,
  callerHasSecretKey,
  sameSecret,
} from "../../supabase/functions/_shared/auth.ts";
import {
  type Env,
  EnvError,
  fetchContextFromEnv,
  fmpBaseUrl,
  legacyPacingMs,
  publicKeys,
  requireEnv,
  secretKeys,
  statementsLimit,
} from "../../supabase/functions/_shared/env.ts";

const SETTINGS = {
  SUPABASE_SECRET_KEYS: '{"default":"sb_secret_one","cron":"sb_secret_two"}',
  SUPABASE_SERVICE_ROLE_KEY: "service.role.jwt",
  SUPABASE_PUBLISHABLE_KEYS: '{"default":"sb_publishable_one"}',
  SUPABASE_ANON_KEY: "anon.key.jwt",
};

function envOf(settings: Record<string, string>): Env {
  return { get: (name) => settings[name] };
}

function requestWith(headers: Record<string, string>): Request {
  return new Request("http://functions.test/", { method: "POST", headers });
}

const env = envOf(SETTINGS);

for (
  const [what, headers, secret, anon] of [
    ["no key", {}, false, false],
    ["an empty apikey", { apikey: "" }, false, false],
    ["an empty bearer", { authorization: "Bearer " }, false, false],
    ["a wrong key", { apikey: "sb_secret_three", authorization: "Bearer no" }, false, false],
    ["a longer key", { apikey: "sb_secret_one1" }, false, false],
    ["the default secret key", { apikey: "sb_secret_one" }, true, true],
    ["another secret key", { apikey: "sb_secret_two" }, true, true],
    ["the service role key as bearer", { authorization: "Bearer service.role.jwt" }, true, true],
    [
      "the service role key in lower-case bearer",
      {
        authorization: "bearer service.role.jwt",
      },
      true,
      true,
    ],
    ["the service role key without bearer", { authorization: "service.role.jwt" }, false, false],
    ["the anon key as bearer", { authorization: "Bearer anon.key.jwt" }, false, true],
    ["a publishable key", { apikey: "sb_publishable_one" }, false, true],
    [
      "a secret key beside the anon key",
      {
        apikey: "sb_secret_one",
        authorization: "Bearer anon.key.jwt",
      },
      true,
      true,
    ],
  ] as const
) {
  Deno.test(`a caller with ${what}: secret ${secret}, anon ${anon}`, () => {
    assert.equal(callerHasSecretKey(requestWith(headers), env), secret);
    assert.equal(callerHasAnonKey(requestWith(headers), env), anon);
  });
}

Deno.test("a function that knows no key lets nobody in and says what is missing", () => {
  assert.throws(
    () => callerHasSecretKey(requestWith({ apikey: "" }), envOf({})),
    (error) => error instanceof EnvError && /SUPABASE_SECRET_KEYS/.test(error.message),
  );
  assert.throws(() => callerHasAnonKey(requestWith({}), envOf({})), EnvError);
});

Deno.test("one kind of key is enough", () => {
  const legacyOnly = envOf({ SUPABASE_SERVICE_ROLE_KEY: "service" });
  assert.ok(callerHasSecretKey(requestWith({ authorization: "Bearer service" }), legacyOnly));
  assert.equal(secretKeys(legacyOnly).own, "service");
  assert.equal(secretKeys(env).own, "sb_secret_one");
  assert.equal(publicKeys(envOf({ SUPABASE_ANON_KEY: "anon" })).own, "anon");
});

Deno.test("equal secrets are equal, others and prefixes are not", () => {
  assert.ok(sameSecret("abc", "abc"));
  assert.ok(!sameSecret("abc", "abcd"));
  assert.ok(!sameSecret("", "a"));
});

Deno.test("unreadable key settings are named without their content", () => {
  for (const content of ['{"default": sb_secret_x', '["sb_secret_x"]', '{"default":{"a":1}}']) {
    assert.throws(
      () => secretKeys(envOf({ SUPABASE_SECRET_KEYS: content })),
      (error) =>
        error instanceof EnvError && error.message.includes("SUPABASE_SECRET_KEYS") &&
        !error.message.includes("sb_secret_x"),
    );
  }
});

Deno.test("a missing setting is named with the command that sets it", () => {
  assert.throws(
    () => requireEnv(envOf({ FMP_API_KEY: "" }), "FMP_API_KEY"),
    new EnvError("Cannot read FMP_API_KEY: it is not set; run: supabase secrets set FMP_API_KEY=…"),
  );
});

Deno.test("numeric settings have defaults and bounds", () => {
  assert.equal(statementsLimit(envOf({})), 40);
  assert.equal(statementsLimit(envOf({ FMP_STATEMENTS_LIMIT: "5" })), 5);
  assert.equal(legacyPacingMs(envOf({}), 300), 300);
  assert.equal(legacyPacingMs(envOf({ FMP_LEGACY_PACING_MS: "0" }), 300), 0);
  for (const text of ["0", "-1", "4.5", "many", "1001", " 5"]) {
    assert.throws(
      () => statementsLimit(envOf({ FMP_STATEMENTS_LIMIT: text })),
      /Cannot read FMP_STATEMENTS_LIMIT: found ".+", wanted a whole number from 1 to 1000/,
    );
  }
});

Deno.test("the vendor's address has a default and must be a URL", () => {
  assert.equal(fmpBaseUrl(envOf({})), "https://financialmodelingprep.com/stable");
  assert.throws(() => fmpBaseUrl(envOf({ FMP_BASE_URL: "nowhere" })), /FMP_BASE_URL/);
  const { signal } = new AbortController();
  const context = fetchContextFromEnv(envOf({ FMP_API_KEY: "key" }), signal);
  assert.equal(context.timeoutMs, 10_000);
  assert.equal(context.apiKey, "key");
});
