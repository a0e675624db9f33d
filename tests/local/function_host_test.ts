import assert from "node:assert/strict";
import { join } from "node:path";
import { readVerifyJwt } from "../../local/functions/settings.ts";
import {
  type FunctionHost,
  type FunctionHostOptions,
  startFunctionHost,
} from "../../local/functions/host.ts";
import { createKeys, signToken } from "../../local/gateway/keys.ts";

const DEADLINE_MS = 20_000;

interface Fixture {
  host: FunctionHost;
  logged: string[];
  call(name: string, init?: RequestInit): Promise<Response>;
  /** Waits until a line of the log contains the text. */
  logs(text: string): Promise<void>;
}

async function withFunctions(
  sources: Record<string, string>,
  options: Partial<FunctionHostOptions>,
  test: (fixture: Fixture) => Promise<void>,
): Promise<void> {
  const functionsDir = await Deno.makeTempDir({ prefix: "switchyard-test-" });
  const logged: string[] = [];
  const watchers = new Set<() => void>();
  let host: FunctionHost | undefined;
  try {
    for (const [name, source] of Object.entries(sources)) {
      await Deno.mkdir(join(functionsDir, name));
      await Deno.writeTextFile(join(functionsDir, name, "index.ts"), source);
    }
    const started = await startFunctionHost({
      functionsDir,
      env: { SUPABASE_URL: "http://127.0.0.1:1" },
      verifyJwt: Object.fromEntries(Object.keys(sources).map((name) => [name, false])),
      log: (line) => {
        logged.push(line);
        watchers.forEach((watch) => watch());
      },
      ...options,
    });
    host = started;
    await test({
      host,
      logged,
      call: (name, init) => fetch(`${started.url}/${name}`, init),
      logs: (text) => {
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        const watch = () => {
          if (logged.some((line) => line.includes(text))) resolve();
        };
        const timer = setTimeout(
          () => reject(new Error(`"${text}" was not logged; found: ${logged.join("\n")}`)),
          DEADLINE_MS,
        );
        watchers.add(watch);
        watch();
        return promise.finally(() => {
          clearTimeout(timer);
          watchers.delete(watch);
        });
      },
    });
  } finally {
    await host?.stop();
    await Deno.remove(functionsDir, { recursive: true });
  }
}

function processIsAlive(pid: number): boolean {
  try {
    Deno.kill(pid, "SIGCONT");
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

Deno.test("functions are served whether they call Deno.serve or export default { fetch }", async () => {
  await withFunctions(
    {
      "serves": `Deno.serve((request) => new Response("serves " + new URL(request.url).pathname));`,
      "serves-with-options": `Deno.serve({ port: 1 }, () => Response.json({ ok: true }));`,
      "exports": `export default { fetch: async (request: Request) =>
      new Response(request.method + " " + await request.text(), { status: 201 }) };`,
    },
    {},
    async ({ call, host }) => {
      assert.equal(await (await call("serves/and/more?x=1")).text(), "serves /serves/and/more");
      assert.deepEqual(await (await call("serves-with-options")).json(), { ok: true });
      const answer = await call("exports", { method: "POST", body: "a body" });
      assert.equal(answer.status, 201);
      assert.equal(await answer.text(), "POST a body");
      assert.deepEqual(host.workers().map(({ name }) => name).sort(), [
        "exports",
        "serves",
        "serves-with-options",
      ]);
    },
  );
});

Deno.test("one worker serves the requests of a function until it is retired", async () => {
  await withFunctions(
    { "counts": `let n = 0; Deno.serve(() => new Response(String(++n)));` },
    {},
    async ({ call, host }) => {
      assert.equal(await (await call("counts")).text(), "1");
      const [first] = host.workers();
      assert.equal(await (await call("counts")).text(), "2");
      assert.deepEqual(host.workers(), [first]);
    },
  );
});

Deno.test("a function sees the environment it is given and nothing else", async () => {
  await withFunctions(
    { "env": `Deno.serve(() => Response.json(Deno.env.toObject()));` },
    { env: { SUPABASE_URL: "http://127.0.0.1:1", FMP_API_KEY: "key" } },
    async ({ call }) => {
      assert.deepEqual(await (await call("env")).json(), {
        SUPABASE_URL: "http://127.0.0.1:1",
        FMP_API_KEY: "key",
      });
    },
  );
});

Deno.test("a large compressible answer arrives whole", async () => {
  await withFunctions(
    {
      "large": `Deno.serve(() => new Response("x".repeat(100_000), {
        headers: { "content-type": "text/plain" } }));`,
    },
    {},
    async ({ call }) => {
      const answer = await call("large", { headers: { "accept-encoding": "gzip" } });
      assert.equal(answer.headers.get("content-encoding"), null);
      assert.equal((await answer.text()).length, 100_000);
    },
  );
});

Deno.test("work given to waitUntil goes on after the answer and keeps the worker", async () => {
  await withFunctions(
    {
      "background": `
      const { promise, resolve } = Promise.withResolvers<void>();
      Deno.serve((request) => {
        if (request.method === "POST") resolve();
        else EdgeRuntime.waitUntil(promise.then(() => console.log("background work done")));
        return new Response(null, { status: 202 });
      });`,
    },
    { idleMs: 50 },
    async ({ call, host, logs, logged }) => {
      assert.equal((await call("background")).status, 202);
      const [worker] = host.workers();
      assert.ok(worker);
      assert.ok(!logged.some((line) => line.includes("done")));
      assert.equal((await call("background", { method: "POST" })).status, 202);
      await logs("[background] background work done");
    },
  );
});

Deno.test("an idle worker is retired with beforeunload and early_drop", async () => {
  await withFunctions(
    {
      "idle": `
      addEventListener("beforeunload", (event) =>
        console.log("unloading: " + (event as CustomEvent).detail?.reason));
      Deno.serve(() => new Response("ok"));`,
    },
    { idleMs: 50 },
    async ({ call, host, logs }) => {
      await (await call("idle")).text();
      const pid = host.workers()[0]?.pid;
      await logs("[idle] unloading: early_drop");
      await (await call("idle")).text();
      assert.notEqual(host.workers()[0]?.pid, pid);
    },
  );
});

Deno.test("the wall clock fires beforeunload, then ends the worker and its requests with 546", async () => {
  await withFunctions(
    {
      "endless": `
      addEventListener("beforeunload", (event) =>
        console.log("unloading: " + (event as CustomEvent).detail?.reason));
      Deno.serve(() => new Promise<Response>(() => {}));`,
    },
    { wallClockMs: 2_000 },
    async ({ call, logged }) => {
      const answer = await call("endless");
      assert.equal(answer.status, 546);
      assert.equal((await answer.json()).code, "WORKER_LIMIT");
      assert.ok(logged.includes("[endless] unloading: wall_clock"), logged.join("\n"));
    },
  );
});

Deno.test("a worker that fills its memory ends with 546 and the next request gets a new one", async () => {
  await withFunctions(
    {
      "greedy": `
      const kept: unknown[] = [];
      Deno.serve((request) => {
        if (request.method === "GET") return new Response("ok");
        for (;;) kept.push(new Array(100_000).fill({}));
      });`,
    },
    {},
    async ({ call }) => {
      assert.equal((await (await call("greedy", { method: "POST" })).json()).code, "WORKER_LIMIT");
      assert.equal(await (await call("greedy")).text(), "ok");
    },
  );
});

Deno.test("an answer that does not come in time is a 504", async () => {
  await withFunctions(
    { "slow": `Deno.serve(() => new Promise<Response>(() => {}));` },
    { answerMs: 50, stopMs: 50 },
    async ({ call }) => {
      const answer = await call("slow");
      assert.equal(answer.status, 504);
      assert.equal((await answer.json()).code, "IDLE_TIMEOUT");
    },
  );
});

Deno.test("unknown functions are 404, also when the name tries to leave the folder", async () => {
  await withFunctions({ "_shared": "export {};" }, {}, async ({ call }) => {
    for (const name of ["absent", "_shared", "..%2F_shared", ""]) {
      const answer = await call(name);
      assert.equal(answer.status, 404);
      assert.equal((await answer.json()).code, "NOT_FOUND");
    }
  });
});

Deno.test("a function that cannot start is 503 and its error is logged", async () => {
  await withFunctions(
    {
      "throws": `throw new Error("no luck today");`,
      "silent": `export const nothing = 1;`,
      "broken": `import "./absent.ts";`,
    },
    {},
    async ({ call, logs }) => {
      for (const name of ["throws", "silent", "broken"]) {
        const answer = await call(name);
        assert.equal(answer.status, 503);
        assert.equal((await answer.json()).code, "BOOT_ERROR");
      }
      await logs("no luck today");
      await logs("neither calls Deno.serve nor exports");
    },
  );
});

Deno.test("a handler that throws and a worker that dies are 500, and the next request works", async () => {
  await withFunctions(
    {
      "fails": `
      Deno.serve((request) => {
        if (request.method === "POST") throw new Error("handler error");
        if (request.method === "PUT") Deno.exit(3);
        return new Response("ok");
      });`,
    },
    {},
    async ({ call, logs }) => {
      for (const method of ["POST", "PUT"]) {
        const answer = await call("fails", { method });
        assert.equal(answer.status, 500);
        assert.equal((await answer.json()).code, "WORKER_ERROR");
      }
      await logs("handler error");
      assert.equal(await (await call("fails")).text(), "ok");
    },
  );
});

Deno.test("verify_jwt lets valid tokens and API keys through and refuses the rest", async () => {
  const keys = await createKeys();
  const userToken = await signToken({ role: "authenticated", sub: "1" }, keys.jwtSecret);
  const expired = await signToken({ role: "authenticated", exp: 1 }, keys.jwtSecret);
  const forged = await signToken({ role: "service_role" }, "another secret");
  await withFunctions(
    { "checked": `Deno.serve(() => new Response("ok"));` },
    {
      verifyJwt: {},
      jwtSecret: keys.jwtSecret,
      env: {
        SUPABASE_ANON_KEY: keys.anonKey,
        SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishableKey }),
        SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secretKey }),
      },
    },
    async ({ call }) => {
      const status = async (headers: Record<string, string>) => {
        const answer = await call("checked", { headers });
        await answer.text();
        return answer.status;
      };
      for (const token of [userToken, keys.anonKey, keys.publishableKey, keys.secretKey]) {
        assert.equal(await status({ authorization: `Bearer ${token}` }), 200);
      }
      assert.equal(await status({ apikey: keys.publishableKey }), 200);
      assert.equal(await status({ apikey: keys.secretKey }), 200);
      assert.equal(await status({}), 401);
      for (const token of [expired, forged, "nonsense", "sb_secret_wrong"]) {
        assert.equal(await status({ authorization: `Bearer ${token}` }), 401);
      }
    },
  );
});

Deno.test("stopping tells the functions, ends their processes and frees the port", async () => {
  let pid = 0;
  let url = "";
  let lines: string[] = [];
  await withFunctions(
    {
      "stays": `
      addEventListener("beforeunload", (event) =>
        console.log("unloading: " + (event as CustomEvent).detail?.reason));
      Deno.serve(() => {
        EdgeRuntime.waitUntil(new Promise((resolve) =>
          addEventListener("beforeunload", () => resolve(undefined))));
        return new Response("ok");
      });`,
    },
    {},
    async ({ call, host, logged }) => {
      await (await call("stays")).text();
      pid = host.workers()[0]?.pid ?? 0;
      url = host.url;
      lines = logged;
    },
  );
  assert.ok(lines.includes("[stays] unloading: termination"), lines.join("\n"));
  assert.equal(processIsAlive(pid), false);
  await assert.rejects(fetch(url));
});

Deno.test("the function host names a port that is in use", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  try {
    await assert.rejects(
      startFunctionHost({ functionsDir: ".", env: {}, port: listener.addr.port }),
      new RegExp(`port ${listener.addr.port} is in use`),
    );
  } finally {
    listener.close();
  }
});

Deno.test("verify_jwt is read from the sections of config.toml", () => {
  assert.deepEqual(
    readVerifyJwt(`
      project_id = "x"
      [functions.first]
      verify_jwt = false # a comment
      [functions."second"]
      enabled = true
      verify_jwt = true
      [api]
      verify_jwt = false
    `),
    { first: false, second: true },
  );
});
