import { basename, join, resolve } from "node:path";
import { type Invocation, RefusedError } from "./command.ts";

/** The options of a command that works on a Supabase repository. */
export const PROJECT_OPTIONS = { workdir: { type: "string" } } as const;

/** Lines of a usage text that say the same. */
export const PROJECT_USAGE =
  `  --workdir <folder>  the repository with the folder supabase/ (default: where you are)`;

/** A repository that the Supabase CLI works on. */
export interface Project {
  /** The folder that holds `supabase/`, absolute. */
  folder: string;
  /** `supabase/config.toml`. */
  configFile: string;
  migrationsFolder: string;
  /** File names of the migrations that the CLI applies, in its order. */
  migrations: readonly string[];
}

type ProjectInvocation = Pick<Invocation, "cwd"> & { values: { readonly workdir?: string } };

/** The folder of `--workdir`, absolute. */
export function projectFolder({ cwd, values }: ProjectInvocation): string {
  return resolve(cwd, values.workdir ?? ".");
}

/** Opens the repository of `--workdir`. Throws {@linkcode RefusedError} where there is none. */
export async function openProject(invocation: ProjectInvocation): Promise<Project> {
  const folder = projectFolder(invocation);
  const configFile = join(folder, "supabase", "config.toml");
  if (!(await isFile(configFile))) {
    const isInside = basename(folder) === "supabase" && await isFile(join(folder, "config.toml"));
    throw new RefusedError(`Cannot open the Supabase repository "${folder}"`, {
      detail: "found no supabase/config.toml in it",
      next: isInside
        ? `pass --workdir ${join(folder, "..")}`
        : "pass --workdir <folder of the repository>, or run supabase init there",
    });
  }
  const migrationsFolder = join(folder, "supabase", "migrations");
  return {
    folder,
    configFile,
    migrationsFolder,
    migrations: await readMigrations(migrationsFolder),
  };
}

/** Names that the CLI takes for migrations: digits, underscore, name, `.sql`. */
const MIGRATION = /^(\d+)_(.*)\.sql$/;

async function readMigrations(folder: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      if (!isDirectory && MIGRATION.test(name)) names.push(name);
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotADirectory) throw noFolder(folder, error);
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return names.sort();
}

function noFolder(path: string, cause: unknown): RefusedError {
  return new RefusedError(`Cannot read the folder "${path}"`, {
    detail: "found a file of this name, wanted a folder or nothing",
    next: "move the file away, then run it again",
    cause,
  });
}

/** The digits at the beginning of a migration's file name. */
export function versionOf(migration: string): string {
  return MIGRATION.exec(migration)?.[1] ?? "";
}

/** The name behind the version, without `.sql`. */
export function titleOf(migration: string): string {
  return MIGRATION.exec(migration)?.[2] ?? "";
}

/** Name of the migration that `uninstall` writes, behind its version. */
export const UNINSTALL = "switchyard_uninstall";

/** The migrations behind the last uninstallation: what was installed before it is no longer there. */
export function migrationsSinceUninstall(
  { migrations }: Pick<Project, "migrations">,
): readonly string[] {
  return migrations.slice(migrations.findLastIndex((name) => titleOf(name) === UNINSTALL) + 1);
}

/**
 * Versions for new migrations, a second apart: from now on, and later than every version that is
 * there, of the folder or (`applied`) of the database. The CLI compares versions as texts and refuses
 * to push one that sorts before the newest applied one.
 */
export function nextVersions(
  project: Pick<Project, "migrations">,
  count: number,
  now: Date,
  applied: readonly string[] = [],
): string[] {
  const newest = [...project.migrations.map(versionOf), ...applied].sort().at(-1) ?? "";
  let version = versionAt(now);
  // A longer or shorter number is read as the 14 digits that it begins.
  if (version <= newest) version = after(newest.padEnd(14, "0").slice(0, 14));
  const versions: string[] = [];
  for (let index = 0; index < count; index++) {
    if (version.length !== 14 || version <= newest) {
      throw new RefusedError(`Cannot name a migration later than version ${newest}`, {
        detail: "no number of 14 digits sorts behind it",
        next: "give the newest migration a version of the form YYYYMMDDhhmmss",
      });
    }
    versions.push(version);
    version = after(version);
  }
  return versions;
}

/** A second later; for what is no time, the next number. */
function after(version: string): string {
  const [, year, month, day, hours, minutes, seconds] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(version) ?? [];
  const time = new Date(`${year}-${month}-${day}T${hours}:${minutes}:${seconds}Z`);
  if (Number.isNaN(time.getTime()) || versionAt(time) !== version) {
    return String(BigInt(version) + 1n).padStart(14, "0");
  }
  return versionAt(new Date(time.getTime() + 1_000));
}

function versionAt(time: Date): string {
  return time.toISOString().replaceAll(/\D/g, "").slice(0, 14);
}

/** Whether this is a file; a folder, or nothing, is not. */
export async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return false;
    }
    throw error;
  }
}

/** The text of a file, or undefined where there is none. */
export async function readIfThere(path: string): Promise<string | undefined> {
  return await isFile(path) ? await Deno.readTextFile(path) : undefined;
}

/** All files below a folder, with `/` between the parts of their paths, sorted. */
export async function filesBelow(folder: string): Promise<string[]> {
  const files: string[] = [];
  const read = async (path: string) => {
    for await (const { name, isDirectory } of Deno.readDir(join(folder, path))) {
      const below = path === "" ? name : `${path}/${name}`;
      if (isDirectory) await read(below);
      else files.push(below);
    }
  };
  try {
    await read("");
  } catch (error) {
    if (error instanceof Deno.errors.NotADirectory) throw noFolder(folder, error);
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return files.sort();
}

/**
 * Writes a file whole or not at all, making its folders. A file that is there keeps its mode, and a
 * link to one stays a link.
 */
export async function writeWhole(path: string, text: string): Promise<void> {
  const there = await findFile(path);
  const target = there?.path ?? path;
  const folder = join(target, "..");
  await Deno.mkdir(folder, { recursive: true });
  const temporary = join(folder, `.${basename(target)}.${crypto.randomUUID()}`);
  try {
    await Deno.writeTextFile(temporary, text);
    if (there?.mode != null && Deno.build.os !== "windows") await Deno.chmod(temporary, there.mode);
    await Deno.rename(temporary, target);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}

/** The name of the file that {@linkcode writeWhole} was writing, if this is the name of its temporary one. */
export function targetOfTemporary(name: string): string | undefined {
  return /^\.(.+)\.[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
    .exec(name)?.[1];
}

async function findFile(path: string): Promise<{ path: string; mode: number | null } | undefined> {
  try {
    const real = await Deno.realPath(path);
    const { mode } = await Deno.stat(real);
    return { path: real, mode: mode === null ? null : mode & 0o777 };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
