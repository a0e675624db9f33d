import { join, resolve } from "node:path";
import { type Account, accountFor, giveTo } from "./account.ts";
import { type Binaries, findBinaries } from "./binaries.ts";
import { type Database, LOCAL_PASSWORD, localUrl } from "./database.ts";
import { type Guard, startGuard } from "./guard.ts";
import { freePort, portIsInUse } from "./ports.ts";

export type { Database } from "./database.ts";

export interface DatabaseOptions {
  /** Port on 127.0.0.1. Default: a random free one. */
  port?: number;
  /** Folder for the data, kept on stop and used again on the next start. Default: a temporary one. */
  dataDir?: string;
  /** Data of a stopped server of the same version, to begin with a copy of it. Not with `dataDir`. */
  template?: string;
  /** Whether pg_cron, where the server has it, runs its jobs. Default: true. */
  cron?: boolean;
  /** Leaves `SWITCHYARD_POSTGRES_BIN` aside. Default: false. */
  onlyPackage?: boolean;
  /** Receives the lines that Postgres logs. Default: none. */
  log?: (line: string) => void;
  /** Stops the server. */
  signal?: AbortSignal;
}

const START_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 15_000;
const RANDOM_PORT_TRIES = 5;

/**
 * Starts PostgreSQL 17 from the npm package, or the server in the folder of
 * `SWITCHYARD_POSTGRES_BIN`, with `supabase_admin` as its superuser and pg_cron where it has it.
 * Temporary data is not flushed to disk (fsync off): it does not outlive the server anyway.
 * Throws when the port is taken, the folder cannot be used or the server does not come up.
 */
export async function startDatabase(options: DatabaseOptions = {}): Promise<Database> {
  options.signal?.throwIfAborted();
  if (options.port !== undefined && portIsInUse(options.port)) throw portTaken(options.port);

  const given = options.dataDir === undefined ? undefined : resolve(options.dataDir);
  const source = given ?? options.template;
  const found = source === undefined ? undefined : await prepareDataDir(source);
  const isNew = found === undefined;
  const account = await accountFor(isNew ? undefined : source);
  const workDir = await Deno.makeTempDir({ prefix: "switchyard-postgres-" });
  await giveTo(workDir, account);
  await Deno.chmod(workDir, 0o755);
  const guard = startGuard(workDir, account);
  const cleanUp = async () => {
    await removeIfThere(workDir);
    await guard.dismiss();
  };
  try {
    const dataDir = given ?? join(workDir, "data");
    const binaries = await findBinaries(workDir, account, options.onlyPackage);
    if (!isNew && found !== binaries.version) {
      throw new Error(
        `Cannot use the data in "${source}": found PostgreSQL ${found}, wanted ${binaries.version}; pass another --data`,
      );
    }
    if (isNew) await initialise({ binaries, dataDir, workDir, account, guard });
    else if (given === undefined) await copyData(source!, dataDir);

    for (let tryNo = 1;; tryNo++) {
      const port = options.port ?? freePort();
      try {
        return await run({
          binaries,
          dataDir,
          account,
          guard,
          port,
          isTemporary: given === undefined,
          options,
          cleanUp,
        });
      } catch (error) {
        // Another process may have taken the random port since it was found free.
        const retry = error instanceof PortTakenError && options.port === undefined &&
          tryNo < RANDOM_PORT_TRIES;
        if (!retry) throw error;
      }
    }
  } catch (error) {
    await cleanUp();
    throw error;
  }
}

class PortTakenError extends Error {}

function portTaken(port: number): PortTakenError {
  return new PortTakenError(
    `Cannot start Postgres: port ${port} is in use; pass --port or stop the other server`,
  );
}

/** Makes the data folder. Returns the major version of the data in it, undefined when it is empty. */
async function prepareDataDir(dataDir: string): Promise<number | undefined> {
  const entries: string[] = [];
  try {
    for await (const entry of Deno.readDir(dataDir)) entries.push(entry.name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      await Deno.mkdir(dataDir, { recursive: true });
      return undefined;
    }
    if (error instanceof Deno.errors.NotADirectory) {
      throw new Error(`Cannot keep data in "${dataDir}": it is not a folder; pass another --data`);
    }
    throw error;
  }
  if (entries.length === 0) return undefined;
  if (!entries.includes("PG_VERSION")) {
    throw new Error(
      `Cannot keep data in "${dataDir}": it holds other files; pass an empty or new folder`,
    );
  }
  return Number(await Deno.readTextFile(join(dataDir, "PG_VERSION")));
}

/** Copies the data of a stopped server, with its owner and rights, to where nothing is yet. */
export async function copyData(from: string, to: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("cp", {
    args: ["-Rp", from, to],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (success) return;
  throw new Error(`Cannot copy "${from}" to "${to}": ${new TextDecoder().decode(stderr).trim()}`);
}

interface Initialisation {
  binaries: Binaries;
  dataDir: string;
  workDir: string;
  account: Account | undefined;
  guard: Guard;
}

async function initialise(initialisation: Initialisation): Promise<void> {
  const { binaries, dataDir, workDir, account, guard } = initialisation;
  const passwordFile = join(workDir, "password");
  await Deno.writeTextFile(passwordFile, LOCAL_PASSWORD, { mode: 0o600 });
  await giveTo(passwordFile, account);
  await Deno.mkdir(dataDir, { recursive: true });
  await Deno.chmod(dataDir, 0o700);
  await giveTo(dataDir, account);
  const child = new Deno.Command(binaries.initdb, {
    args: [
      `--pgdata=${dataDir}`,
      "--username=supabase_admin",
      // pg_cron connects to the server as the owner of a job, without a password.
      `--auth=${binaries.hasCron ? "trust" : "scram-sha-256"}`,
      `--pwfile=${passwordFile}`,
      "--encoding=UTF8",
      "--locale=C",
      // The builtin provider sorts alike on every operating system and needs no system locale.
      ...(binaries.version >= 17 ? ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] : []),
      "--no-sync",
    ],
    cwd: "/",
    env: { TZ: "UTC", LC_ALL: "C" },
    ...account,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  await guard.watch(child.pid);
  const { success, stdout, stderr } = await child.output();
  await Deno.remove(passwordFile);
  if (success) return;
  const output = new TextDecoder().decode(stderr).trim() || new TextDecoder().decode(stdout).trim();
  throw new Error(
    `Cannot create a database in "${dataDir}": ${output}; as root the folder must be reachable for ` +
      `user nobody, as must every folder above it`,
  );
}

interface Launch {
  binaries: Binaries;
  dataDir: string;
  account: Account | undefined;
  guard: Guard;
  port: number;
  isTemporary: boolean;
  options: DatabaseOptions;
  /** Removes what is temporary, when the server has ended. */
  cleanUp: () => Promise<void>;
}

async function run(launch: Launch): Promise<Database> {
  const { binaries, dataDir, account, guard, port, options } = launch;
  const child = new Deno.Command(binaries.postgres, {
    args: ["-D", dataDir, ...serverSettings(launch)],
    cwd: "/",
    env: { TZ: "UTC", LC_ALL: "C" },
    ...account,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  await guard.watch(child.pid);
  const logged: string[] = [];
  const ready = Promise.withResolvers<void>();
  const reading = readLines(child.stderr, (line) => {
    logged.push(line);
    if (logged.length > 40) logged.shift();
    options.log?.(line);
    if (line.includes("database system is ready to accept connections")) ready.resolve();
  });

  let stopping: Promise<void> | undefined;
  const stop = () => stopping ??= stopServer();
  const onAbort = () => {
    void stop();
  };
  const stopServer = async () => {
    options.signal?.removeEventListener("abort", onAbort);
    await shutDown(child, reading);
    await launch.cleanUp();
  };

  const deadline = setTimeout(
    () => ready.reject(new Error(`not ready after ${START_DEADLINE_MS / 1000} s`)),
    START_DEADLINE_MS,
  );
  const aborted = () => ready.reject(options.signal?.reason);
  options.signal?.addEventListener("abort", aborted);
  try {
    await Promise.race([
      ready.promise,
      child.status.then(async ({ code }) => {
        await reading;
        throw new Error(`it ended with status ${code}`);
      }),
    ]);
  } catch (error) {
    await shutDown(child, reading);
    if (options.signal?.aborted) throw options.signal.reason;
    throw startError(error, logged, port, dataDir);
  } finally {
    clearTimeout(deadline);
    options.signal?.removeEventListener("abort", aborted);
  }
  options.signal?.addEventListener("abort", onAbort);
  return {
    adminUrl: localUrl("supabase_admin", port),
    url: localUrl("postgres", port),
    port,
    kind: "embedded",
    stop,
  };
}

function serverSettings({ binaries, port, isTemporary, options }: Launch): string[] {
  const settings: Record<string, string> = {
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: "",
    max_connections: "100",
    wal_level: "logical",
    max_wal_senders: "10",
    max_replication_slots: "10",
    timezone: "UTC",
    log_timezone: "UTC",
    // Small containers give /dev/shm 64 MB, too little for parallel plans.
    dynamic_shared_memory_type: "mmap",
    ...(binaries.hasCron
      ? {
        shared_preload_libraries: "pg_cron",
        "cron.database_name": "postgres",
        // pg_cron has no switch of its own: without a server to connect to it runs nothing.
        "cron.host": options.cron === false ? "/nowhere" : "127.0.0.1",
        "cron.log_run": options.cron === false ? "off" : "on",
      }
      : {}),
    ...(isTemporary ? { fsync: "off", synchronous_commit: "off", full_page_writes: "off" } : {}),
  };
  return Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

async function shutDown(child: Deno.ChildProcess, reading: Promise<void>): Promise<void> {
  // SIGINT is a fast shutdown: sessions are cut, the data is left consistent.
  signalProcess(child, "SIGINT");
  const kill = setTimeout(() => signalProcess(child, "SIGKILL"), STOP_DEADLINE_MS);
  await child.status;
  clearTimeout(kill);
  await reading;
}

function signalProcess(child: Deno.ChildProcess, name: Deno.Signal): void {
  try {
    child.kill(name);
  } catch (error) {
    // It has ended already: Ctrl-C in a terminal reaches Postgres too.
    const ended = error instanceof Deno.errors.NotFound ||
      (error instanceof TypeError && error.message.includes("already terminated"));
    if (!ended) throw error;
  }
}

function startError(error: unknown, logged: string[], port: number, dataDir: string): Error {
  const log = logged.join("\n");
  if (log.includes("Address already in use")) return portTaken(port);
  if (log.includes("postmaster.pid")) {
    return new Error(
      `Cannot start Postgres: another server uses the data in "${dataDir}"; stop it or pass another --data`,
    );
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new Error(`Cannot start Postgres on port ${port}: ${reason}; it logged:\n${log}`);
}

async function readLines(
  stream: ReadableStream<Uint8Array>,
  onLine: (line: string) => void,
): Promise<void> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    lines.forEach(onLine);
  }
  if (rest !== "") onLine(rest);
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
