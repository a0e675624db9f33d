import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createClient } from "@supabase/supabase-js";
import postgres from "postgres";
import { startDatabase } from "../../local/database/embedded.ts";
import { readVaultNames } from "../../local/migrations.ts";
import { type Stack, type StackOptions, startStack } from "../../local/stack.ts";
import { eventually } from "../eventually.ts";

const MAIN = fileURLToPath(new URL("../../local/main.ts", import.meta.url));
const REST_KEYS = { persistSession: false, autoRefreshToken: false };

type Row = Record<string, unknown>;

async function query(url: string, text: string): Promise<Row[]> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    return (await sql.unsafe(text)).map((row) => ({ ...row }));
  } finally {
    await sql.end();
  }
}

async function withStack(options: StackOptions, test: (stack: Stack) => Promise<void>) {
  const stack = await startStack({ cron: false, activeSymbols: 2, ...options });
  try {
    await test(stack);
  } finally {
    await stack.stop();
  }
}

/** A project with one function and the migrations that are given by name. */
async function withProject(
  migrations: Record<string, string>,
  test: (projectDir: string) => Promise<void>,
) {
  const projectDir = await Deno.makeTempDir({ prefix: "switchyard-test-" });
  try {
    const supabase = join(projectDir, "supabase");
    await Deno.mkdir(join(supabase, "migrations"), { recursive: true });
    await Deno.mkdir(join(supabase, "functions", "echo"), { recursive: true });
    await Deno.writeTextFile(
      join(supabase, "config.toml"),
      `project_id = "test"\n[db.vault]\na_key = "env(SWITCHYARD_SECRET_KEY)"\n` +
        `[functions.echo]\nverify_jwt = false\n`,
    );
    await Deno.writeTextFile(
      join(supabase, "functions", "echo", "index.ts"),
      `Deno.serve(() => Response.json(Deno.env.toObject()));`,
    );
    for (const [name, text] of Object.entries(migrations)) {
      await Deno.writeTextFile(join(supabase, "migrations", name), text);
    }
    await test(projectDir);
  } finally {
    await Deno.remove(projectDir, { recursive: true });
  }
}

/** Runs local/main.ts; `onReady` gets what it printed when that is complete. */
async function runMain(
  args: string[],
  options: { env?: Record<string, string>; onReady?: (stdout: string) => Promise<void> } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", MAIN, ...args],
    env: { DATABASE_URL: "", FMP_API_KEY: "", ...options.env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stderr = new Response(child.stderr).text();
  let stdout = "";
  let failure: unknown;
  let isReady = false;
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    stdout += chunk;
    if (isReady || !stdout.endsWith("\n") || options.onReady === undefined) continue;
    isReady = true;
    await options.onReady(stdout).catch((error: unknown) => failure = error);
    child.kill("SIGINT");
  }
  const { code } = await child.status;
  if (failure !== undefined) throw failure;
  return { code, stdout, stderr: await stderr };
}

function isListening(url: string): Promise<boolean> {
  const { port } = new URL(url);
  return Deno.connect({ hostname: "127.0.0.1", port: Number(port) }).then(
    (connection) => {
      connection.close();
      return true;
    },
    () => false,
  );
}

Deno.test("the stack has the legacy system first and Switchyard after the migrations, flags off", async () => {
  await withStack({ migrate: false }, async (stack) => {
    const jobs = "select jobname, active from cron.job order by jobname";
    const legacyJobs = await query(stack.databaseUrl, jobs);
    assert.equal(legacyJobs.length, 13);
    assert.ok(legacyJobs.every(({ active }) => active));
    assert.deepEqual(
      await query(stack.databaseUrl, "select to_regclass('public.feature_flags') as flags"),
      [{ flags: null }],
    );

    await stack.installMigrations();
    const flags = await query(stack.databaseUrl, "select flag_name, enabled from feature_flags");
    assert.ok(flags.length >= 3);
    assert.ok(flags.every(({ enabled }) => enabled === false));
    const names = legacyJobs.map(({ jobname }) => jobname);
    const after = await query(stack.databaseUrl, jobs);
    assert.deepEqual(after.filter(({ jobname }) => names.includes(jobname)), legacyJobs);
    assert.ok(
      after.filter(({ jobname }) => !names.includes(jobname)).every((job) => !job["active"]),
    );

    const service = createClient(stack.apiUrl, stack.keys.secretKey, { auth: REST_KEYS });
    assert.equal((await service.from("feature_flags").select()).data?.length, flags.length);
  });
});

Deno.test("role postgres is no superuser, and the active symbols come from the simulator", async () => {
  await withStack({ migrate: false }, async (stack) => {
    assert.deepEqual(
      await query(
        stack.databaseUrl,
        "select current_user::text as role, rolsuper from pg_roles where rolname = current_user",
      ),
      [{ role: "postgres", rolsuper: false }],
    );
    const active = await query(
      stack.databaseUrl,
      "select symbol from supported_symbols where is_active",
    );
    assert.deepEqual(
      active.map(({ symbol }) => symbol).sort(),
      [...stack.simulator?.symbols ?? []].slice(0, 2).sort(),
    );
  });
});

Deno.test("a legacy job's request reaches its function through the gateway and writes rows", async () => {
  await withStack({ migrate: false }, async (stack) => {
    await query(
      stack.databaseUrl,
      `do $$ declare v_command text; begin
         select command into v_command from cron.job
         where jobname = 'minute-fetch-fmp-quote-indicators';
         execute v_command;
       end $$`,
    );
    await eventually("both quotes", async () => {
      const rows = await query(stack.databaseUrl, "select symbol from live_quote_indicators");
      return rows.length >= 2 || undefined;
    });
  });
});

Deno.test("API roles get rights on new tables with legacy default privileges and none without", async () => {
  await withProject(
    { "20260101000000_table.sql": "create table public.fresh (id int primary key);" },
    async (projectDir) => {
      for (const defaultPrivileges of ["legacy", "none"] as const) {
        await withStack({ projectDir, defaultPrivileges }, async (stack) => {
          const [row] = await query(
            stack.databaseUrl,
            "select has_table_privilege('anon', 'public.fresh', 'truncate') as granted",
          );
          assert.equal(row?.["granted"], defaultPrivileges === "legacy");
        });
      }
    },
  );
});

Deno.test("functions get the platform's environment, the vendor's and what is given", async () => {
  await withProject({}, async (projectDir) => {
    const options = { projectDir, migrate: false, functionEnv: { EXTRA: "1" } };
    await withStack(options, async (stack) => {
      const answer = await fetch(`${stack.functionsUrl}/echo`);
      const { keys } = stack;
      assert.deepEqual(await answer.json(), {
        SUPABASE_URL: stack.apiUrl,
        SUPABASE_DB_URL: stack.databaseUrl,
        SUPABASE_ANON_KEY: keys.anonKey,
        SUPABASE_SERVICE_ROLE_KEY: keys.serviceKey,
        SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishableKey }),
        SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secretKey }),
        SUPABASE_JWKS: `{"keys":[]}`,
        FMP_API_KEY: stack.simulator?.apiKey,
        FMP_BASE_URL: stack.fmpUrl,
        EXCHANGE_RATES_URL: stack.simulator?.exchangeRatesUrl,
        FMP_IMAGES_URL: stack.simulator?.imagesUrl,
        ENV_CONTEXT: "PROD",
        EXTRA: "1",
      });
    });
  });
});

Deno.test("with a vendor given there is no simulator and functions call the vendor", async () => {
  await withProject({}, async (projectDir) => {
    const fmp = { apiKey: "real", baseUrl: "http://127.0.0.1:9/stable" };
    await withStack({ projectDir, migrate: false, fmp }, async (stack) => {
      assert.equal(stack.simulator, undefined);
      const env = await (await fetch(`${stack.functionsUrl}/echo`)).json();
      assert.equal(env.FMP_API_KEY, "real");
      assert.equal(env.FMP_BASE_URL, fmp.baseUrl);
    });
  });
});

Deno.test("a failing migration stops the stack and shows the CLI's output", async () => {
  await withProject(
    { "20260101000000_broken.sql": "create table public.broken (id absent_type);" },
    async (projectDir) => {
      let port = 0;
      await assert.rejects(
        startStack({
          projectDir,
          cron: false,
          log: (line) => port ||= Number(/listening on .*port (\d+)/.exec(line)?.[1] ?? 0),
        }),
        /supabase db push ended with status[^]*absent_type/,
      );
      assert.notEqual(port, 0);
      assert.equal(await isListening(`http://127.0.0.1:${port}`), false);
    },
  );
});

Deno.test("kept data is used again, with new keys in Vault", async () => {
  await withProject(
    { "20260101000000_table.sql": "create table public.kept (id int primary key);" },
    async (projectDir) => {
      await Deno.chmod(projectDir, 0o755);
      const dataDir = join(projectDir, "data");
      await withStack({ projectDir, dataDir }, async (stack) => {
        await query(
          stack.databaseUrl,
          "insert into kept values (7); update supported_symbols set is_active = false",
        );
      });
      await withStack({ projectDir, dataDir }, async (stack) => {
        assert.deepEqual(await query(stack.databaseUrl, "select id from kept"), [{ id: 7 }]);
        assert.deepEqual(
          await query(stack.databaseUrl, "select from supported_symbols where is_active"),
          [],
        );
        const secrets = await query(
          stack.databaseUrl,
          "select name, decrypted_secret as value from vault.decrypted_secrets order by name",
        );
        assert.deepEqual(secrets, [
          { name: "a_key", value: stack.keys.secretKey },
          { name: "anon_key", value: stack.keys.anonKey },
          { name: "project_url", value: stack.apiUrl },
        ]);
      });
    },
  );
});

Deno.test("stopping a stack closes every port, and twice does no harm", async () => {
  const stack = await startStack({ migrate: false });
  const urls = [stack.databaseUrl, stack.apiUrl, stack.functions.url, stack.fmpUrl];
  for (const url of urls) assert.ok(await isListening(url), url);
  await Promise.all([stack.stop(), stack.stop()]);
  for (const url of urls) assert.equal(await isListening(url), false, url);
});

Deno.test("aborting while the stack starts stops what has started", async () => {
  const stopping = new AbortController();
  await assert.rejects(
    startStack({
      signal: stopping.signal,
      log: (line) => {
        if (line.includes("ready to accept connections")) stopping.abort(new Error("enough"));
      },
    }),
    /enough/,
  );
});

Deno.test("npm run local --json prints one line when ready and ends with 0 on Ctrl-C", async () => {
  let urls: string[] = [];
  const { code, stdout, stderr } = await runMain(["--json"], {
    onReady: async (line) => {
      const summary = JSON.parse(line);
      assert.deepEqual(Object.keys(summary), [
        "databaseUrl",
        "apiUrl",
        "functionsUrl",
        "anonKey",
        "serviceKey",
        "fmpUrl",
      ]);
      urls = [summary.databaseUrl, summary.apiUrl, summary.fmpUrl];
      const service = createClient(summary.apiUrl, summary.serviceKey, { auth: REST_KEYS });
      assert.equal((await service.from("feature_flags").select()).error, null);
    },
  });
  assert.equal(code, 0, stderr);
  assert.equal(stdout.split("\n").length, 2);
  assert.equal(stderr, "");
  for (const url of urls) assert.equal(await isListening(url), false, url);
});

Deno.test("npm run local uses DATABASE_URL and leaves that server running", async () => {
  const database = await startDatabase();
  try {
    const { code, stderr } = await runMain([], {
      env: { DATABASE_URL: database.adminUrl },
      onReady: async (text) => {
        assert.match(text, new RegExp(`^database +postgresql://postgres:.*:${database.port}/`));
        await query(database.url, "select from feature_flags");
      },
    });
    assert.equal(code, 0, stderr);
    await query(database.url, "select 1");
  } finally {
    await database.stop();
  }
});

Deno.test("npm run local explains wrong usage with status 2 and failure with 1", async () => {
  const usage = [
    [["--bogus"], /'--bogus'/],
    [["--port", "many"], /Cannot use --port many/],
    [["--default-privileges", "some"], /wanted legacy or none/],
    [["extra"], /extra/],
  ] as const;
  for (const [args, message] of usage) {
    const { code, stdout, stderr } = await runMain([...args]);
    assert.equal(code, 2);
    assert.match(stderr, message);
    assert.equal(stdout, "");
  }
  const help = await runMain(["--help"]);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /^Usage: npm run local/);

  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  try {
    const { code, stderr } = await runMain(["--json", "--port", String(listener.addr.port)]);
    assert.equal(code, 1);
    assert.equal(
      stderr,
      `Cannot start Postgres: port ${listener.addr.port} is in use; ` +
        "pass --port or stop the other server\n",
    );
  } finally {
    listener.close();
  }
});

Deno.test("the names of Vault secrets are read from config.toml", () => {
  const names = readVaultNames(`
    [db]
    a = "env(NOT_VAULT)"
    [db.vault]
    first = "env(ONE)"
    second = "written out"
    [api]
    b = "env(NOT_VAULT)"
  `);
  assert.deepEqual([...names], [["first", "ONE"]]);
});
