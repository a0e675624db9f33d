import { dirname, join } from "node:path";
import {
  dropOldNamesMigration,
  finalizeMigration,
  switchFunctionsMigration,
} from "../yard/finalize/migrations.ts";
import { renameText, type SuffixedNames, suffixedNames } from "../yard/finalize/names.ts";
import { filesBelow, nextVersions } from "../yard/project.ts";
import { readOwn } from "../yard/uninstall/own_objects.ts";

/** What the copy does without. */
const LEFT_OUT = ["node_modules", ".git", ".switchyard"];

/** Where names stay: migrations are never edited, and these work with either name. */
const KEPT = /^(supabase\/migrations|scripts\/yard)\//;

/** Tests of installing and taking away: they begin with the names of a fresh installation. */
const NOT_AFTERWARDS = [
  "tests/yard/install_test.ts",
  "tests/yard/upgrade_test.ts",
  "tests/yard/discover_test.ts",
  "tests/yard/discover_commands_test.ts",
  "tests/yard/discover_legacy_test.ts",
  "tests/yard/finalize_test.ts",
  "tests/yard/finalize_refusals_test.ts",
  "tests/yard/uninstall_test.ts",
  "tests/integration/install_test.ts",
];

/**
 * Makes a copy of a checkout as it would be had it been finalized: the migrations of `finalize` follow
 * its own, and code and tests use the names without suffix. Returns the tests that it leaves out.
 */
export async function makeFinalizedCopy(root: string, folder: string): Promise<readonly string[]> {
  const migrationsFolder = join(root, "supabase", "migrations");
  const migrations = await filesBelow(migrationsFolder);
  const own = readOwn(
    await Promise.all(migrations.map((name) => Deno.readTextFile(join(migrationsFolder, name)))),
  );
  const names = suffixedNames(own, await foldersOf(join(root, "supabase", "functions")));
  for await (const { name } of Deno.readDir(root)) {
    if (LEFT_OUT.includes(name)) continue;
    await copy(root, folder, name, names);
  }
  await Deno.symlink(join(root, "node_modules"), join(folder, "node_modules"));
  const [finalized, switched, dropped] = nextVersions({ migrations }, 3, new Date());
  const added = {
    [`${finalized}_switchyard_finalize.sql`]: await finalizeMigration(own, names),
    [`${switched}_switchyard_switch_functions.sql`]: await switchFunctionsMigration(own, names),
    [`${dropped}_switchyard_drop_old_names.sql`]: await dropOldNamesMigration(names, []),
  };
  for (const [name, text] of Object.entries(added)) {
    await Deno.writeTextFile(join(folder, "supabase", "migrations", name), text);
  }
  return NOT_AFTERWARDS;
}

async function copy(root: string, to: string, path: string, names: SuffixedNames): Promise<void> {
  const from = join(root, path);
  const { isDirectory } = await Deno.stat(from);
  if (isDirectory) {
    for await (const { name } of Deno.readDir(from)) await copy(root, to, `${path}/${name}`, names);
    return;
  }
  if (NOT_AFTERWARDS.includes(path)) return;
  const isKept = KEPT.test(path);
  const target = join(to, isKept ? path : renameText(path, names));
  await Deno.mkdir(dirname(target), { recursive: true });
  if (isKept || !/\.(ts|tsx|sql|toml|json|md)$/.test(path)) {
    await Deno.copyFile(from, target);
  } else {
    const text = await Deno.readTextFile(from);
    await Deno.writeTextFile(target, renameText(askByName(text, names), names));
  }
}

/** Tests tell Switchyard's objects by the suffix; without it they have to know the names. */
function askByName(text: string, { objects }: SuffixedNames): string {
  return text
    .replaceAll(
      /(\w+\.(?:proname|relname)) (!?)~ '_v2\$'/g,
      (_, column: string, not: string) =>
        `${column} ${not === "" ? "= any" : "<> all"} ('{${objects.join(",")}}')`,
    )
    .replaceAll(/(?:\[a-z_\]|\\w)\+_v2/g, `(?:${objects.join("|")})`);
}

async function foldersOf(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) names.push(name);
  }
  return names;
}
