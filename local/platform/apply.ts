import postgres from "postgres";

export interface PlatformOptions {
  /** Superuser `supabase_admin`. */
  adminUrl: string;
  /**
   * What postgres grants on new objects in `public`: `legacy` everything to the API roles, `none`
   * nothing. Default: `legacy`.
   */
  defaultPrivileges?: "legacy" | "none" | undefined;
}

/** Which of the platform's parts are real on this server. */
export interface AppliedPlatform {
  /** `real` where the server has loaded pg_cron for this database, else `stand-in`. */
  cron: "real" | "stand-in";
}

/**
 * Makes a server what a Supabase project starts from: roles, schemas, default privileges, and the
 * extensions `cron`, `net` and `vault` or their stand-ins. Safe to repeat.
 * Throws the first error of a file, with the file's name.
 */
export async function applyPlatform(options: PlatformOptions): Promise<AppliedPlatform> {
  const { adminUrl, defaultPrivileges = "legacy" } = options;
  const { cron } = await readPlatform(adminUrl);
  await runSqlFiles(adminUrl, [
    ...await sqlFilesIn(new URL("./", import.meta.url)),
    new URL(`./default_privileges/${defaultPrivileges}.sql`, import.meta.url),
    new URL("../vault/vault.sql", import.meta.url),
    new URL(cron === "real" ? "../cron/real.sql" : "../cron/cron.sql", import.meta.url),
    new URL("../net/net.sql", import.meta.url),
  ]);
  return { cron };
}

/** Which of the platform's parts are real on a server. */
export async function readPlatform(adminUrl: string): Promise<AppliedPlatform> {
  return { cron: await hasRealCron(adminUrl) ? "real" : "stand-in" };
}

/**
 * Makes the legacy system as role postgres: `url` is that role's connection string. The tables of
 * the Auth and Storage services must be there. Runs once: a second time fails on the first table.
 */
export async function applyLegacyBaseline(url: string): Promise<void> {
  await runSqlFiles(url, await sqlFilesIn(new URL("../legacy/", import.meta.url)));
}

async function sqlFilesIn(folder: URL): Promise<URL[]> {
  const names: string[] = [];
  for await (const entry of Deno.readDir(folder)) {
    if (entry.isFile && entry.name.endsWith(".sql")) names.push(entry.name);
  }
  return names.sort().map((name) => new URL(name, folder));
}

/** Each file in a transaction of its own. */
async function runSqlFiles(url: string, files: readonly URL[]): Promise<void> {
  const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
  try {
    for (const file of files) {
      try {
        await sql.unsafe(await Deno.readTextFile(file)).simple();
      } catch (cause) {
        const name = file.pathname.split("/").slice(-3).join("/");
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new Error(`Cannot run "${name}": ${reason}`, { cause });
      }
    }
  } finally {
    await sql.end({ timeout: 5 });
  }
}

async function hasRealCron(adminUrl: string): Promise<boolean> {
  const sql = postgres(adminUrl, { max: 1, fetch_types: false });
  try {
    const [row] = await sql<{ loaded: boolean }[]>`
      select exists (select from pg_available_extensions where name = 'pg_cron')
        and current_setting('shared_preload_libraries') ~ '\\mpg_cron\\M'
        and current_setting('cron.database_name', true) = current_database() as loaded
    `;
    return row?.loaded ?? false;
  } finally {
    await sql.end({ timeout: 5 });
  }
}
