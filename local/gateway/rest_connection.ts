import type { ConnectionContextOptions, VarsContext } from "@supabase/lite";
import { PostgresConnection } from "@supabase/lite/postgres";
import { type Kysely, sql } from "kysely";
import { REST_TYPES } from "./rest_types.ts";

const POOL_SIZE = 10;

// The type of lite: a Kysely of any database.
type Context = Parameters<Parameters<PostgresConnection["withContext"]>[1]>[0];

/** The connection of `@supabase/lite`, corrected where it differs from the platform. */
export class RestConnection extends PostgresConnection {
  #timeouts = new Map<string, string>();

  constructor(adminUrl: string, onNotice: (line: string) => void) {
    super({
      url: adminUrl,
      postgresOptions: {
        max: POOL_SIZE,
        connection: { application_name: "switchyard gateway" },
        onnotice: (notice) => onNotice(`${notice["severity"]}: ${notice["message"]}`),
        types: REST_TYPES,
      },
    });
    // The original grants everything in each schema that has row security to anon and the others on
    // its first request, and so undoes what migrations revoke. It is private in the types.
    Object.defineProperty(this, "ensureRlsContext", { value: () => Promise.resolve(true) });
  }

  /** Reads tables, functions and the timeouts of the roles anew. Throws when it cannot. */
  async reload(): Promise<void> {
    // Requests go on with what is known until the new is there.
    const schema = await this.introspect({ useCache: false });
    if (schema.tables.length === 0) {
      throw new Error("Cannot read the database's tables for the REST interface; see the log");
    }
    const { rows } = await sql<{ role: string; timeout: string }>`
      select rolname as role, substr(setting, length('statement_timeout=') + 1) as timeout
      from pg_db_role_setting
        join pg_roles on pg_roles.oid = setrole
        cross join unnest(setconfig) as setting
      where setting like 'statement_timeout=%'`.execute(this.kysely);
    this.#timeouts = new Map(rows.map(({ role, timeout }) => [role, timeout]));
  }

  /** Runs a request's queries in a transaction of its role, within that role's time. */
  override withContext<Result>(
    vars: VarsContext | undefined,
    work: (database: Context) => Promise<Result>,
    options?: ConnectionContextOptions,
  ): Promise<Result> {
    if (vars === undefined) return super.withContext(vars, work, options);
    return super.withContext(vars, async (database) => {
      await this.#limitTime(database, roleOf(vars));
      return await work(database);
    }, options);
  }

  /** Gives errors the HTTP status that PostgREST has for them, with their code and hint. */
  override normalizeDbError(error: unknown): unknown {
    if (!isDatabaseError(error) || LITE_KNOWS.test(error.code)) return error;
    const answer = {
      code: error.code,
      message: error.message,
      details: error.detail ?? null,
      hint: error.hint ?? null,
    };
    return {
      code: "PGRST",
      message: JSON.stringify(answer),
      detail: JSON.stringify({ status: statusOf(error.code), headers: {} }),
    };
  }

  /** PostgREST connects as `authenticator`, whose timeout holds for a role without its own. */
  async #limitTime(database: Kysely<unknown>, role: string): Promise<void> {
    const timeout = this.#timeouts.get(role) ?? this.#timeouts.get("authenticator");
    if (timeout === undefined) return;
    await sql`select set_config('statement_timeout', ${timeout}, true)`.execute(database);
  }
}

function roleOf(vars: VarsContext): string {
  const { auth } = vars as { auth?: { role?: unknown } };
  return typeof auth?.role === "string" ? auth.role : "anon";
}

interface DatabaseError {
  code: string;
  message: string;
  detail?: string;
  hint?: string;
}

function isDatabaseError(error: unknown): error is DatabaseError {
  return error instanceof Error && "code" in error && typeof error.code === "string" &&
    /^[0-9A-Z]{5}$/.test(error.code);
}

/** Codes that lite turns into the right answer; it makes a 500 without code of all others. */
const LITE_KNOWS = /^(PGRST|PT...|42...|22...|21...|23502|23503|23505|25006)$/;

// https://postgrest.org/en/stable/references/errors.html#status-codes
const STATUSES: [RegExp, number][] = [
  [/^08/, 503],
  [/^09/, 500],
  [/^(0L|0P|28)/, 403],
  [/^(25|2D|38|39|3B|40)/, 500],
  [/^53/, 503],
  [/^(54|55|57|58|F0|HV|XX)/, 500],
  [/^P0001/, 400],
  [/^P0/, 500],
];

function statusOf(code: string): number {
  return STATUSES.find(([pattern]) => pattern.test(code))?.[1] ?? 400;
}
