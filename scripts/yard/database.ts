import postgres from "postgres";
import { type Invocation, messageOf, RefusedError, UsageError } from "./command.ts";

/** The options of a command that needs the project's database. */
export const DATABASE_OPTIONS = { "db-url": { type: "string" } } as const;

/** Lines of a usage text that say the same. */
export const DATABASE_USAGE =
  `  --db-url <url>      connection string of role postgres; also read from SUPABASE_DB_URL and
                      DATABASE_URL (Connect in the dashboard; never printed with its password)`;

const VARIABLES = ["SUPABASE_DB_URL", "DATABASE_URL"];

/** Seconds until a server that does not answer is given up. */
const CONNECT_TIMEOUT_SECONDS = 15;

type DatabaseInvocation = Pick<Invocation, "env" | "signal" | "tell"> & {
  values: { readonly "db-url"?: string };
};

/** The connection string that a command is to use, or undefined when none was given. */
export function databaseUrl(invocation: DatabaseInvocation): string | undefined {
  const { values, env } = invocation;
  const found = [
    ["--db-url", values["db-url"]],
    ...VARIABLES.map((name) => [name, env.get(name)]),
  ].find(([, value]) => value !== undefined && value !== "");
  if (found === undefined) return undefined;
  const [source, url] = found as [string, string];
  if (!isConnectionString(url)) {
    throw new UsageError(
      `Cannot use ${source}: wanted postgresql://user:password@host:port/database; ` +
        "write characters such as @ / # of the password percent-encoded (@ as %40)",
    );
  }
  return url;
}

/** `_v2`, nothing once it is finalized, or undefined where Switchyard is not installed. */
export async function registrySuffix(
  sql: postgres.Sql | postgres.TransactionSql,
): Promise<"_v2" | "" | undefined> {
  // From the catalog: to_regclass raises for a role that may not use the schema.
  const [found] = await sql<{ suffixed: boolean | null; plain: boolean | null }[]>`
    select bool_or(c.relname = 'data_type_registry_v2') as suffixed,
           bool_or(c.relname = 'data_type_registry') as plain
      from pg_class as c
     where c.relnamespace = 'public'::regnamespace
       and c.relname in ('data_type_registry_v2', 'data_type_registry')
       and exists (select from pg_namespace as n where n.nspname = 'switchyard')`;
  return found?.suffixed ? "_v2" : found?.plain ? "" : undefined;
}

/**
 * What the names of Switchyard's objects in `public` end in: `_v2`, or nothing once `finalize` has
 * dropped that. Throws {@linkcode RefusedError} where it is not installed.
 */
export async function nameSuffix(sql: postgres.Sql, description: string): Promise<"_v2" | ""> {
  const suffix = await registrySuffix(sql);
  if (suffix !== undefined) return suffix;
  throw new RefusedError(`Cannot find Switchyard in ${description}`, {
    detail: "there is no table data_type_registry_v2",
    next: "npm run yard -- install --workdir <folder of the repository>, then supabase db push",
  });
}

/** Does something and takes it back, whatever comes of it. */
export async function inVain<Result>(
  sql: postgres.Sql,
  work: (tx: postgres.TransactionSql) => Promise<Result>,
): Promise<Result> {
  let result: { value: Result } | undefined;
  const takeBack = new Error("taken back");
  try {
    await sql.begin(async (tx) => {
      result = { value: await work(tx) };
      throw takeBack;
    });
  } catch (error) {
    if (error !== takeBack) throw error;
  }
  return result!.value;
}

/** `postgres@db.example.co:5432/postgres`: a connection string without its password. */
export function describeDatabase(url: string): string {
  const { username, host, pathname } = new URL(url);
  return `${decodeURIComponent(username) || "postgres"}@${host || "localhost"}${pathname}`;
}

/**
 * Connects to the project's database, works, and disconnects. One connection; statements are not
 * prepared, so that a transaction pooler will do. Throws {@linkcode UsageError} without a connection
 * string and {@linkcode RefusedError} when the server cannot be reached.
 */
export async function withDatabase<Result>(
  invocation: DatabaseInvocation,
  work: (sql: postgres.Sql, description: string) => Promise<Result>,
  { tellsWarnings = false } = {},
): Promise<Result> {
  const url = databaseUrl(invocation);
  if (url === undefined) {
    throw new UsageError(
      "Cannot reach a database: found no --db-url, SUPABASE_DB_URL or DATABASE_URL",
    );
  }
  const description = describeDatabase(url);
  const sql = postgres(url, {
    max: 1,
    prepare: false,
    fetch_types: false,
    connect_timeout: CONNECT_TIMEOUT_SECONDS,
    connection: { application_name: "switchyard" },
    onnotice: ({ severity, message, hint }) => {
      const isTold = severity === "NOTICE" || (tellsWarnings && severity === "WARNING");
      if (isTold) invocation.tell([message, hint].filter(Boolean).join("\n  "));
    },
    ...(isRemote(url) ? { ssl: "require" } : {}),
  });
  const abort = () => {
    void sql.end({ timeout: 0 });
  };
  invocation.signal.addEventListener("abort", abort);
  try {
    await sql`select 1`.catch((cause: unknown) => {
      invocation.signal.throwIfAborted();
      throw new RefusedError(`Cannot connect to ${description}`, {
        detail: withoutPassword(messageOf(cause), url),
        next: "check host, port, user and password of --db-url",
        cause,
      });
    });
    return await work(sql, description);
  } finally {
    invocation.signal.removeEventListener("abort", abort);
    await sql.end({ timeout: 5 });
  }
}

function isConnectionString(url: string): boolean {
  try {
    const { protocol, username, password } = new URL(url);
    decodeURIComponent(username + password);
    return /^postgres(ql)?:$/.test(protocol);
  } catch (error) {
    if (error instanceof TypeError || error instanceof URIError) return false;
    throw error;
  }
}

/** Whether TLS is wanted although the connection string does not say. */
function isRemote(url: string): boolean {
  const { hostname, searchParams } = new URL(url);
  const isLocal = ["", "localhost", "127.0.0.1", "[::1]"].includes(hostname);
  return !isLocal && !searchParams.has("sslmode") && !searchParams.has("ssl");
}

function withoutPassword(text: string, url: string): string {
  const { password } = new URL(url);
  return [password, decodeURIComponent(password)]
    .filter((secret) => secret !== "")
    .reduce((rest, secret) => rest.replaceAll(secret, "…"), text);
}
