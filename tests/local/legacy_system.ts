import { getStorageSchemaSql } from "@supabase/lite";
import postgres from "postgres";
import { type Database, startDatabase } from "../../local/database/embedded.ts";
import { installAuthSchema } from "../../local/gateway/auth_schema.ts";
import { applyLegacyBaseline, applyPlatform } from "../../local/platform/apply.ts";

export interface Setting {
  database: Database;
  /** Superuser, one connection. */
  admin: postgres.Sql;
  /** Role postgres, one connection. */
  sql: postgres.Sql;
  /** Runs a statement as a role, with the claims of a user if given, and rolls it back. */
  as(role: string, statement: string, user?: string): Promise<postgres.Row[]>;
}

/** Starts a server with the platform and the legacy system, and stops it, also when the work fails. */
export async function withLegacySystem(
  defaultPrivileges: "legacy" | "none",
  work: (setting: Setting) => Promise<void>,
): Promise<void> {
  const database = await startDatabase();
  const admin = postgres(database.adminUrl, { max: 1, onnotice: () => {} });
  await applyPlatform({ adminUrl: database.adminUrl, defaultPrivileges });
  await installAuthSchema(database.adminUrl);
  await admin.unsafe(getStorageSchemaSql()).simple();
  await applyLegacyBaseline(database.url);
  const sql = postgres(database.url, { max: 1, onnotice: () => {} });
  const as: Setting["as"] = async (role, statement, user) => {
    let rows: postgres.Row[] = [];
    await admin.begin(async (transaction) => {
      await transaction.unsafe(`set local role ${role}`);
      const claims = JSON.stringify({ role, sub: user });
      await transaction`select set_config('request.jwt.claims', ${claims}, true)`;
      await transaction.unsafe("savepoint s");
      rows = [...await transaction.unsafe(statement)];
      await transaction.unsafe("rollback to savepoint s");
    });
    return rows;
  };
  try {
    await work({ database, admin, sql, as });
  } finally {
    await sql.end();
    await admin.end();
    await database.stop();
  }
}
