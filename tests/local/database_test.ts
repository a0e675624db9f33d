import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import postgres from "postgres";
import { type Database, startDatabase } from "../../local/database/embedded.ts";
import { externalDatabase } from "../../local/database/external.ts";
import { eventually } from "../eventually.ts";

/** Another server than the npm package's, as the second run of CI gives it. */
const GIVEN_SERVER = Boolean(Deno.env.get("SWITCHYARD_POSTGRES_BIN"));
const EMBEDDED = new URL("../../local/database/embedded.ts", import.meta.url).href;

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    return await sql.unsafe(text);
  } finally {
    await sql.end();
  }
}

async function dataDirectory(database: Database): Promise<string> {
  const [row] = await query(database.adminUrl, "show data_directory");
  return String(row?.["data_directory"]);
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "switchyard-test-" });
  // Postgres runs as another user when the tests run as root.
  await Deno.chmod(folder, 0o755);
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function isListening(port: number): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
    return false;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return true;
    throw error;
  }
}

Deno.test("the embedded server is PostgreSQL 17 on 127.0.0.1 with supabase_admin as superuser", async () => {
  const database = await startDatabase();
  try {
    const rows = await query(
      database.adminUrl,
      `select current_user::text as role, rolsuper, current_setting('server_version_num')::int / 10000 as major,
         current_setting('listen_addresses') as listen, current_setting('wal_level') as wal_level,
         current_setting('unix_socket_directories') as sockets,
         current_setting('max_connections') as connections
       from pg_roles where rolname = current_user`,
    );
    assert.deepEqual({ ...rows[0] }, {
      role: "supabase_admin",
      rolsuper: true,
      major: GIVEN_SERVER ? rows[0]?.["major"] : 17,
      listen: "127.0.0.1",
      wal_level: "logical",
      sockets: "",
      connections: "100",
    });
    assert.equal(database.kind, "embedded");
  } finally {
    await database.stop();
  }
});

Deno.test("stopping ends the server and removes temporary data, and twice does no harm", async () => {
  const database = await startDatabase();
  const folder = dirname(await dataDirectory(database));
  await database.stop();
  await database.stop();
  assert.equal(isListening(database.port), false);
  assert.equal(await exists(folder), false);
});

Deno.test("aborting the signal stops the server and removes temporary data", async () => {
  const stopping = new AbortController();
  const database = await startDatabase({ signal: stopping.signal });
  const folder = dirname(await dataDirectory(database));
  stopping.abort();
  await database.stop();
  assert.equal(isListening(database.port), false);
  assert.equal(await exists(folder), false);
});

Deno.test("a start that is aborted leaves nothing behind", async () => {
  const stopping = new AbortController();
  const starting = startDatabase({
    signal: stopping.signal,
    log: () => stopping.abort(new Error("changed my mind")),
  });
  await assert.rejects(starting, /changed my mind/);
});

Deno.test("a given data folder is kept and used again", async () => {
  await withFolder(async (folder) => {
    const dataDir = join(folder, "data");
    const first = await startDatabase({ dataDir });
    await query(first.adminUrl, "create table kept as select 42 as answer");
    await first.stop();
    const second = await startDatabase({ dataDir });
    try {
      assert.equal((await query(second.adminUrl, "table kept"))[0]?.["answer"], 42);
      assert.equal((await query(second.adminUrl, "show fsync"))[0]?.["fsync"], "on");
      await assert.rejects(
        startDatabase({ dataDir }),
        new RegExp(`another server uses the data in "${dataDir}"`),
      );
    } finally {
      await second.stop();
    }
    assert.ok(await exists(join(dataDir, "PG_VERSION")));
  });
});

Deno.test("a folder that holds something else is refused and left alone", async () => {
  await withFolder(async (folder) => {
    const file = join(folder, "diary.txt");
    await Deno.writeTextFile(file, "dear diary");
    await assert.rejects(startDatabase({ dataDir: folder }), /holds other files/);
    await assert.rejects(startDatabase({ dataDir: file }), /not a folder/);
    assert.equal(await Deno.readTextFile(file), "dear diary");

    await Deno.writeTextFile(join(folder, "PG_VERSION"), "14\n");
    await assert.rejects(startDatabase({ dataDir: folder }), /found PostgreSQL 14, wanted 1[5-9]/);
  });
});

Deno.test("a port in use is named with the next step", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  try {
    await assert.rejects(startDatabase({ port }), {
      message:
        `Cannot start Postgres: port ${port} is in use; pass --port or stop the other server`,
    });
  } finally {
    listener.close();
  }
});

Deno.test("a second server beside the first has its own port and data", async () => {
  const [first, second] = await Promise.all([startDatabase(), startDatabase()]);
  try {
    assert.notEqual(first.port, second.port);
    await query(first.adminUrl, "create table only_here (id int)");
    const [row] = await query(second.adminUrl, "select to_regclass('only_here') as found");
    assert.equal(row?.["found"], null);
  } finally {
    await Promise.all([first.stop(), second.stop()]);
  }
});

Deno.test("a killed owner leaves neither server nor temporary data behind", async () => {
  const owner = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      `import { startDatabase } from ${JSON.stringify(EMBEDDED)};
       console.log(JSON.stringify(await startDatabase()));
       await new Promise((resolve) => setTimeout(resolve, 60_000));`,
    ],
    stdout: "piped",
  }).spawn();
  const reader = owner.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await reader.read();
  const database = JSON.parse(value ?? "") as Database;
  const folder = dirname(await dataDirectory(database));
  owner.kill("SIGKILL");
  await owner.status;
  await reader.cancel();
  await eventually("the server to end", () => !isListening(database.port) || undefined);
  await eventually("the data to be removed", async () => !(await exists(folder)) || undefined);
});

Deno.test({
  name: "an ordinary user can start it, too",
  ignore: Deno.uid() !== 0, // Then every other test shows it.
  fn: async () => {
    await withFolder(async (folder) => {
      const nobody = 65534;
      await Deno.chown(folder, nobody, nobody);
      const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: [
          "eval",
          `import { startDatabase } from ${JSON.stringify(EMBEDDED)};
           const database = await startDatabase({ dataDir: ${JSON.stringify(join(folder, "d"))} });
           await database.stop();
           console.log("uid", Deno.uid(), "started and stopped");`,
        ],
        uid: nobody,
        gid: nobody,
        cwd: folder,
        clearEnv: true,
        env: { PATH: Deno.env.get("PATH") ?? "", HOME: folder, DENO_DIR: join(folder, "deno") },
      }).output();
      assert.equal(
        new TextDecoder().decode(stdout),
        `uid ${nobody} started and stopped\n`,
        new TextDecoder().decode(stderr),
      );
    });
  },
});

/** The connection string of another role. */
function as(database: Database, role: string, password: string): string {
  const url = new URL(database.adminUrl);
  url.username = role;
  url.password = password;
  return url.href;
}

Deno.test("DATABASE_URL must be a reachable scratch server with a superuser", async () => {
  await assert.rejects(externalDatabase("localhost:5432"), /wanted postgresql:/);
  const database = await startDatabase();
  try {
    await query(database.adminUrl, "create role plain login password 'p'");
    await assert.rejects(
      externalDatabase(as(database, "plain", "p")),
      /role "plain" is not a superuser/,
    );
    const external = await externalDatabase(database.adminUrl);
    assert.equal(external.kind, "external");
    assert.equal(new URL(external.url).username, "postgres");
    await external.stop();
    assert.ok(isListening(database.port));
  } finally {
    await database.stop();
  }
  await assert.rejects(externalDatabase(database.adminUrl), /check DATABASE_URL/);
});

Deno.test({
  name: "wrong passwords in DATABASE_URL are told apart",
  ignore: GIVEN_SERVER, // It trusts local connections, for pg_cron.
  fn: async () => {
    const database = await startDatabase();
    try {
      await query(database.adminUrl, "create role boss superuser login password 'b'");
      await assert.rejects(
        externalDatabase(as(database, "boss", "wrong")),
        /Cannot connect to the server at.*check DATABASE_URL/,
      );
      await assert.rejects(
        externalDatabase(as(database, "boss", "b")),
        /as "supabase_admin".*give its password in DATABASE_URL/,
      );
    } finally {
      await database.stop();
    }
  },
});

Deno.test("a server without supabase_admin gets one", async () => {
  const database = await startDatabase();
  try {
    await query(database.adminUrl, "create role boss superuser login password 'b'");
    await query(as(database, "boss", "b"), "alter role supabase_admin rename to first");
    const external = await externalDatabase(as(database, "boss", "b"));
    const [row] = await query(
      external.adminUrl,
      "select rolname::text, rolsuper from pg_roles where rolname = current_user",
    );
    assert.deepEqual({ ...row }, { rolname: "supabase_admin", rolsuper: true });
  } finally {
    await database.stop();
  }
});
