import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import postgres from "postgres";

/** The folder that holds `supabase/` and `node_modules/`. */
export const CHECKOUT = fileURLToPath(new URL("..", import.meta.url));

export interface MigrationOptions {
  /** Role `postgres` of the database. */
  databaseUrl: string;
  /** Folder with `supabase/config.toml` and `supabase/migrations`. Default: the checkout. */
  projectDir?: string;
  /** Values for `env(…)` in `[db.vault]` of config.toml. */
  secrets?: Record<string, string>;
  /** Ends the CLI. */
  signal?: AbortSignal;
}

/**
 * Applies the migrations that are pending with the CLI, `supabase db push`, and brings the Vault
 * secrets of config.toml up to date, which the CLI does only when a migration is pending.
 * Uses no network but the database; throws with the CLI's output when it fails.
 */
export async function applyMigrations(options: MigrationOptions): Promise<void> {
  const { databaseUrl, projectDir = CHECKOUT, secrets = {}, signal } = options;
  const { success, code, stdout, stderr } = await runCli(
    ["db", "push", `--remote=${databaseUrl}`, "--yes", `--workdir=${projectDir}`],
    secrets,
    signal,
  );
  signal?.throwIfAborted();
  if (!success) {
    throw new Error(
      `Cannot apply the migrations of "${join(projectDir, "supabase", "migrations")}": ` +
        `supabase db push ended with status ${code}\n${stderr.trim()}\n${stdout.trim()}`,
    );
  }
  await applySecrets(options);
}

/** Brings the Vault secrets of config.toml up to date, of a database whose migrations are applied. */
export async function applySecrets(options: MigrationOptions): Promise<void> {
  const { databaseUrl, projectDir = CHECKOUT, secrets = {} } = options;
  const config = await Deno.readTextFile(join(projectDir, "supabase", "config.toml"));
  await updateSecrets(databaseUrl, readVaultNames(config), secrets);
}

/** Names of Vault secrets and the environment variable that each is read from. */
export function readVaultNames(configToml: string): Map<string, string> {
  const names = new Map<string, string>();
  let isVault = false;
  for (const line of configToml.split("\n")) {
    const section = /^\s*\[([^\]]+)\]/.exec(line)?.[1];
    if (section !== undefined) isVault = section.trim() === "db.vault";
    const [, name, variable] = /^\s*([\w-]+)\s*=\s*"env\((\w+)\)"/.exec(line) ?? [];
    if (isVault && name !== undefined && variable !== undefined) names.set(name, variable);
  }
  return names;
}

interface CliOutput {
  success: boolean;
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs the CLI with an environment of its own: no access token, telemetry or update check. */
async function runCli(
  args: string[],
  secrets: Record<string, string>,
  signal: AbortSignal | undefined,
): Promise<CliOutput> {
  const command = join(CHECKOUT, "node_modules", ".bin", "supabase");
  // npm puts the folder of its own Node.js first, for those who have several.
  const path = [Deno.env.get("PATH"), dirname(Deno.env.get("npm_node_execpath") ?? "")]
    .filter(Boolean).join(delimiter);
  const output = await new Deno.Command(command, {
    args,
    cwd: CHECKOUT,
    clearEnv: true,
    env: {
      PATH: path,
      HOME: Deno.env.get("HOME") ?? CHECKOUT,
      // Where the CLI notes its telemetry state, even when that is off.
      SUPABASE_HOME: join(CHECKOUT, ".switchyard", "supabase-cli"),
      SUPABASE_TELEMETRY_DISABLED: "1",
      DO_NOT_TRACK: "1",
      SUPABASE_NO_UPDATE_NOTIFIER: "1",
      SUPABASE_NO_KEYRING: "1",
      NO_COLOR: "1",
      ...secrets,
    },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    ...(signal === undefined ? {} : { signal }),
  }).output();
  const decoder = new TextDecoder();
  return {
    success: output.success,
    code: output.code,
    stdout: decoder.decode(output.stdout),
    stderr: decoder.decode(output.stderr),
  };
}

async function updateSecrets(
  databaseUrl: string,
  names: Map<string, string>,
  secrets: Record<string, string>,
): Promise<void> {
  const values = [...names].flatMap(([name, variable]) => {
    const value = secrets[variable];
    return value === undefined ? [] : [{ name, value }];
  });
  if (values.length === 0) return;
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  try {
    for (const { name, value } of values) {
      await sql`
        select vault.update_secret(id, ${value}) from vault.decrypted_secrets
        where name = ${name} and decrypted_secret is distinct from ${value}`;
    }
  } finally {
    await sql.end();
  }
}
