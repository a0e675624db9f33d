import postgres from "postgres";
import { type Database, LOCAL_PASSWORD } from "./database.ts";

const OLDEST_VERSION = 150000;

/**
 * Uses the server of a connection string in place of the embedded one. It must be a scratch server:
 * the role must be a superuser, `supabase_admin` is created when it is missing, and the platform SQL
 * that runs next makes `postgres` an ordinary role with the password `postgres`.
 * `stop` leaves the server running and the data in it.
 */
export async function externalDatabase(databaseUrl: string): Promise<Database> {
  if (!URL.canParse(databaseUrl) || !/^postgres(ql)?:$/.test(new URL(databaseUrl).protocol)) {
    throw new Error(
      "Cannot use DATABASE_URL: wanted postgresql://user:password@host:port/database",
    );
  }
  const given = new URL(databaseUrl);
  const place = `the server at ${given.host}`;
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  let password = decodeURIComponent(given.password);
  try {
    const facts = await readFacts(sql).catch((error: unknown) => {
      throw new Error(`Cannot connect to ${place}: ${reason(error)}; check DATABASE_URL`);
    });
    refuseUnfit(facts, place);
    if (facts.user !== "supabase_admin" && !facts.hasAdmin) {
      await sql.unsafe(
        `create role supabase_admin login superuser replication bypassrls password '${LOCAL_PASSWORD}'`,
      );
      password = LOCAL_PASSWORD;
    }
  } finally {
    await sql.end();
  }
  const adminUrl = withRole(given, "supabase_admin", password);
  await proveAccess(adminUrl, place);
  return {
    adminUrl,
    url: withRole(given, "postgres", LOCAL_PASSWORD),
    port: Number(given.port || 5432),
    kind: "external",
    stop: () => Promise.resolve(),
  };
}

interface Facts {
  user: string;
  isSuperuser: boolean;
  hasAdmin: boolean;
  postgresIsBootstrap: boolean;
  version: number;
}

async function readFacts(sql: postgres.Sql): Promise<Facts> {
  const [facts] = await sql<[Facts]>`
    select
      current_user::text as user,
      (select rolsuper from pg_roles where rolname = current_user) as "isSuperuser",
      exists (select from pg_roles where rolname = 'supabase_admin') as "hasAdmin",
      exists (select from pg_roles where rolname = 'postgres' and oid = 10)
        as "postgresIsBootstrap",
      current_setting('server_version_num')::int as version`;
  return facts;
}

function refuseUnfit(facts: Facts, place: string): void {
  if (facts.version < OLDEST_VERSION) {
    const major = Math.floor(facts.version / 10_000);
    throw new Error(
      `Cannot use ${place}: found PostgreSQL ${major}, wanted 15 or newer; use another DATABASE_URL`,
    );
  }
  if (!facts.isSuperuser) {
    throw new Error(
      `Cannot set up ${place}: role "${facts.user}" is not a superuser; ` +
        "use a scratch server made with initdb --username=supabase_admin",
    );
  }
  if (facts.postgresIsBootstrap) {
    throw new Error(
      `Cannot set up ${place}: its bootstrap superuser is "postgres", which is an ordinary role on ` +
        "the platform; use a scratch server made with initdb --username=supabase_admin",
    );
  }
}

async function proveAccess(adminUrl: string, place: string): Promise<void> {
  const sql = postgres(adminUrl, { max: 1, onnotice: () => {} });
  try {
    await sql`select 1`;
  } catch (error) {
    throw new Error(
      `Cannot connect to ${place} as "supabase_admin": ${reason(error)}; ` +
        "give its password in DATABASE_URL",
    );
  } finally {
    await sql.end();
  }
}

function withRole(url: URL, role: string, password: string): string {
  const copy = new URL(url);
  copy.username = role;
  copy.password = encodeURIComponent(password);
  return copy.href;
}

function reason(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reason).join(", ");
  return error instanceof Error ? error.message : String(error);
}
