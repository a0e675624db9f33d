import { getAuthSchemaSql, SUPABASE_AUTH_HELPERS_SQL } from "@supabase/lite";
import postgres from "postgres";

/**
 * Creates the tables and functions of schema `auth` that the Auth interface needs, where they are
 * missing. Run before the project's own tables, which may refer to `auth.users`.
 */
export async function installAuthSchema(adminUrl: string): Promise<void> {
  const sql = postgres(adminUrl, { max: 1, onnotice: () => {} });
  try {
    await sql.begin(async (transaction) => {
      await transaction.unsafe(getAuthSchemaSql());
      const [helper] = await transaction`select to_regprocedure('auth.uid()') as function`;
      if (helper?.["function"] === null) await transaction.unsafe(SUPABASE_AUTH_HELPERS_SQL);
    });
  } finally {
    await sql.end();
  }
}
