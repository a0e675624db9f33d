import assert from "node:assert/strict";
import { join } from "node:path";
import { CHECKOUT } from "../../local/migrations.ts";

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  /** Where the command is typed. */
  cwd?: string;
  env?: Record<string, string>;
  /** Folder with the scripts. Default: the checkout. */
  checkout?: string;
}

/** Types `npm run yard -- …`, without npm. No connection string comes from the surroundings. */
export async function yard(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { cwd = CHECKOUT, env = {}, checkout = CHECKOUT } = options;
  return await run(Deno.execPath(), ["run", "-A", join(checkout, "scripts", "yard.ts"), ...args], {
    cwd: checkout,
    env: { INIT_CWD: cwd, SUPABASE_DB_URL: "", DATABASE_URL: "", ...env },
  });
}

/** The same, which must succeed. Returns what `--json` prints. */
// deno-lint-ignore no-explicit-any -- each test knows the shape of its own command's answer
export async function yardJson(args: readonly string[], options: RunOptions = {}): Promise<any> {
  const { code, stdout, stderr } = await yard([...args, "--json"], options);
  assert.equal(code, 0, `yard ${args.join(" ")}: ${stdout}${stderr}`);
  return JSON.parse(stdout);
}

/** `discover` for a repository, which must succeed. */
export function discover(folder: string, databaseUrl: string, ...options: string[]) {
  return yardJson(["discover", "--db-url", databaseUrl, "--workdir", folder, ...options]);
}

/** A proposal of `discover`, as `--json` prints it. */
export interface Guessed {
  functionName: string;
  confidence: string;
  table: { value: string };
  symbolColumn: { value: string | null };
  timestampColumn: { value: string };
  conflictColumns: { value: string[] };
}

/** Runs the Supabase CLI, without account and telemetry. */
export async function supabase(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Ran> {
  return await run(join(CHECKOUT, "node_modules", ".bin", "supabase"), args, {
    cwd: CHECKOUT,
    env: {
      SUPABASE_HOME: join(CHECKOUT, ".switchyard", "supabase-cli"),
      SUPABASE_TELEMETRY_DISABLED: "1",
      DO_NOT_TRACK: "1",
      SUPABASE_NO_UPDATE_NOTIFIER: "1",
      SUPABASE_NO_KEYRING: "1",
      ...env,
    },
  });
}

/** `supabase db push` of a repository to a database. */
export function push(folder: string, databaseUrl: string): Promise<Ran> {
  return supabase(["db", "push", `--remote=${databaseUrl}`, "--yes", `--workdir=${folder}`], {
    SWITCHYARD_SECRET_KEY: "sb_secret_test",
  });
}

async function run(
  command: string,
  args: readonly string[],
  { cwd, env }: { cwd: string; env: Record<string, string> },
): Promise<Ran> {
  const { code, stdout, stderr } = await new Deno.Command(command, {
    args: [...args],
    cwd,
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}
