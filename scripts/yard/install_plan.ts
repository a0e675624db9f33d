import { join } from "node:path";
import type { FileChange } from "./apply_changes.ts";
import { addTomlKey, readToml, removeTomlKey } from "./config_toml.ts";
import { isForFmp } from "./install_sources.ts";
import type {
  FileKind,
  SourceChoice,
  SourceFile,
  SourceMigration,
  Sources,
} from "./install_sources.ts";
import { hashOf, MANIFEST, type Manifest } from "./manifest.ts";
import {
  filesBelow,
  migrationsSinceUninstall,
  nextVersions,
  type Project,
  readIfThere,
  targetOfTemporary,
  titleOf,
} from "./project.ts";
import { splitKey } from "./uninstall/code_removal.ts";

/** A change of a file, and what for. */
export interface Change extends FileChange {
  action: "add" | "replace" | "remove";
  kind: FileKind | "migration" | "config" | "temporary";
}

/** Something that stays as it is although this version has it otherwise. */
export interface LeftAlone {
  path: string;
  /** What was found. */
  reason: string;
  /** What its owner may do about it. */
  advice: string;
}

export interface Plan {
  changes: readonly Change[];
  left: readonly LeftAlone[];
  /** What stands in the way of the whole. */
  obstacles: readonly LeftAlone[];
  /** Files that are as this version has them. */
  unchanged: number;
  /** Keys that are added to config.toml. */
  addedKeys: readonly string[];
  /** Keys that leave it, of Edge Functions that this version no longer has. */
  removedKeys: readonly string[];
  manifest: Manifest;
}

/** Works out what an installation changes in a repository. Changes nothing itself. */
export async function planInstall(input: {
  project: Project;
  sources: Sources;
  choice: SourceChoice;
  /** Of the installation that is there. */
  manifest: Manifest | undefined;
  now: Date;
  /** Versions of migrations that a database has applied. */
  applied: readonly string[];
}): Promise<Plan> {
  const { project, sources, choice, manifest } = input;
  const migrations = await planMigrations(project, sources.migrations, manifest, input);
  const files = await planFiles(project, sources.files, manifest);
  const installed = new Set(
    sources.files.filter(({ path }) => Object.hasOwn(files.hashes, path))
      .map(({ functionName }) => functionName),
  );
  const config = await planConfig({
    project,
    keys: sources.keys.filter(({ functionName }) =>
      functionName === undefined || installed.has(functionName)
    ),
    known: manifest?.config ?? [],
    gone: await goneFunctions(project, sources.files, files.changes, manifest),
    isResumed: migrations.isResumed || files.isResumed,
  });
  const temporaries = await planTemporaries(project, [
    ...migrations.mapping.map(({ file }) => `supabase/migrations/${file}`),
    ...Object.keys(files.hashes),
    "supabase/config.toml",
    MANIFEST,
  ]);
  return {
    changes: [...migrations.changes, ...files.changes, ...temporaries, ...config.changes],
    left: [...migrations.left, ...files.left, ...config.left],
    obstacles: [...migrations.obstacles, ...files.obstacles],
    unchanged: migrations.unchanged + files.unchanged,
    addedKeys: config.added,
    removedKeys: config.removed,
    manifest: {
      version: sources.version,
      ...choice,
      migrations: migrations.mapping,
      files: files.hashes,
      config: config.keys,
    },
  };
}

async function planMigrations(
  project: Project,
  sources: readonly SourceMigration[],
  manifest: Manifest | undefined,
  { now, applied }: { now: Date; applied: readonly string[] },
) {
  const known = new Map(manifest?.migrations.map((entry) => [entry.source, entry]));
  const here = new Map<string, string>();
  const texts = new Map<string, string>();
  for (const file of migrationsSinceUninstall(project)) {
    const text = await Deno.readTextFile(join(project.migrationsFolder, file));
    texts.set(file, text);
    here.set(await hashOf(text), file);
  }
  const left: LeftAlone[] = [];
  const obstacles: LeftAlone[] = [];
  const mapping: Manifest["migrations"] = [];
  const fresh: { migration: SourceMigration; hash: string }[] = [];
  let unchanged = 0;
  let isResumed = false;
  const pathOf = (file: string) => `supabase/migrations/${file}`;
  const newestKnown = [...known.keys()].sort().at(-1) ?? "";
  // Nothing else builds on these, so they may come later.
  const addsFmp = (name: string) => manifest?.dataTypes === "none" && isForFmp(name);

  for (const migration of sources) {
    const hash = await hashOf(migration.text);
    const entry = known.get(migration.name);
    if (entry !== undefined) {
      mapping.push(entry);
      const text = texts.get(entry.file);
      if (entry.hash !== hash) {
        obstacles.push({
          path: pathOf(entry.file),
          reason: `this version has other SQL in ${migration.name}`,
          advice: "an applied migration is never edited",
        });
      } else if (text === undefined) {
        left.push({
          path: pathOf(entry.file),
          reason: "you removed it",
          advice: "right when its SQL is part of another migration now",
        });
      } else if (await hashOf(text) !== hash) {
        left.push({
          path: pathOf(entry.file),
          reason: "you changed it",
          advice: `compare it with Switchyard's supabase/migrations/${migration.name}`,
        });
      } else {
        unchanged++;
      }
      continue;
    }
    const file = here.get(hash);
    if (file !== undefined) {
      mapping.push({ source: migration.name, file, hash });
      unchanged++;
      isResumed = true;
    } else if (migration.name < newestKnown && !addsFmp(migration.name)) {
      obstacles.push({
        path: pathOf(migration.name),
        reason: `this version has it before ${newestKnown}, which is installed`,
        advice: "a migration cannot be added before one that may be applied",
      });
    } else {
      fresh.push({ migration, hash });
    }
  }
  const current = new Set(sources.map(({ name }) => name));
  for (const entry of known.values()) {
    if (current.has(entry.source)) continue;
    obstacles.push({
      path: pathOf(entry.file),
      reason: `this version has no ${entry.source}`,
      advice: "an applied migration is never removed",
    });
  }
  const ours = new Set(mapping.map(({ file }) => file));
  for (const [file, text] of texts) {
    if (ours.has(file) || !MAKES_REGISTRY.test(text)) continue;
    obstacles.push({
      path: pathOf(file),
      reason: "it makes data_type_registry_v2 and is of another version, copied by hand",
      advice: "check out the version that it was copied from, install that first, then this one",
    });
  }

  const versions = nextVersions(project, fresh.length, now, applied);
  const changes = fresh.map(({ migration, hash }, index): Change => {
    const title = titleOf(migration.name);
    const name = title === "switchyard" ? title : `switchyard_${title}`;
    const file = `${versions[index]}_${name}.sql`;
    mapping.push({ source: migration.name, file, hash });
    return { action: "add", kind: "migration", path: pathOf(file), text: migration.text };
  });
  return { changes, left, obstacles, mapping, unchanged, isResumed };
}

const MAKES_REGISTRY =
  /create\s+table\s+(if\s+not\s+exists\s+)?(public\.)?data_type_registry_v2\b/i;

async function planFiles(
  project: Project,
  sources: readonly SourceFile[],
  manifest: Manifest | undefined,
) {
  const known = manifest?.files ?? {};
  const changes: Change[] = [];
  const left: LeftAlone[] = [];
  const obstacles: LeftAlone[] = [];
  const hashes: Record<string, string> = {};
  let unchanged = 0;
  let isResumed = false;
  const foreign = await foreignEndpoints(project, sources, known);
  for (const name of foreign) {
    left.push({
      path: `supabase/functions/${name}`,
      reason: "yours",
      advice: "its vendor calls are not counted by the queue; Switchyard's copy counts them",
    });
  }

  for (const { kind, path, functionName, text } of sources) {
    if (functionName !== undefined && foreign.has(functionName)) continue;
    const found = await readIfThere(join(project.folder, path));
    const hash = await hashOf(text);
    const installed = known[path];
    if (found === undefined) {
      if (installed === undefined) {
        changes.push({ action: "add", kind, path, text });
        hashes[path] = hash;
      } else {
        hashes[path] = installed;
        left.push({
          path,
          reason: "you removed it",
          advice: "to have it back, take its line out of supabase/switchyard.json too",
        });
      }
      continue;
    }
    const foundHash = await hashOf(found);
    if (foundHash === hash) {
      hashes[path] = hash;
      unchanged++;
      // Endpoints and checklists may be there before anything is installed.
      if (installed !== hash && (kind === "function" || kind === "shared")) isResumed = true;
    } else if (foundHash === installed) {
      changes.push({ action: "replace", kind, path, text });
      hashes[path] = hash;
    } else if (installed !== undefined) {
      hashes[path] = installed;
      left.push({
        path,
        reason: "you changed it",
        advice: "compare it with Switchyard's own, and take over what you want",
      });
    } else if (kind === "checklist") {
      left.push({
        path,
        reason: "yours",
        advice: "Switchyard's checklist of this name is not used",
      });
    } else {
      obstacles.push({ path, reason: "there is another file of yours", advice: ADVICE[kind] });
    }
  }

  const current = new Set(sources.map(({ path }) => path));
  for (const [path, hash] of Object.entries(known)) {
    if (current.has(path)) continue;
    const found = await readIfThere(join(project.folder, path));
    if (found === undefined) continue;
    if (await hashOf(found) === hash) {
      changes.push({ action: "remove", kind: "function", path, text: undefined });
    } else {
      left.push({
        path,
        reason: "you changed it, and this version has no such file",
        advice: "remove it when nothing of yours needs it",
      });
    }
  }
  return { changes, left, obstacles, hashes, unchanged, isResumed };
}

const ADVICE: Record<Exclude<FileKind, "checklist">, string> = {
  shared: "pass --shared-folder _shared/switchyard to keep the two apart",
  function: "rename yours, or remove it when nothing calls it",
  endpoint: "put Switchyard's there, or remove the folder's lines from supabase/switchyard.json",
};

/** Endpoints of the legacy system that the repository has in another form. */
async function foreignEndpoints(
  project: Project,
  sources: readonly SourceFile[],
  known: Readonly<Record<string, string>>,
): Promise<Set<string>> {
  const foreign = new Set<string>();
  for (const { kind, path, functionName, text } of sources) {
    if (kind !== "endpoint" || functionName === undefined) continue;
    const isInstalled = Object.keys(known).some((file) =>
      file.startsWith(`supabase/functions/${functionName}/`)
    );
    if (
      isInstalled || !(await isFolder(join(project.folder, "supabase/functions", functionName)))
    ) {
      continue;
    }
    const found = await readIfThere(join(project.folder, path));
    if (found === undefined || await hashOf(found) !== await hashOf(text)) {
      foreign.add(functionName);
    }
  }
  return foreign;
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Edge Functions with a key in config.toml that neither this version nor the repository will have. */
async function goneFunctions(
  project: Project,
  sources: readonly SourceFile[],
  changes: readonly Change[],
  manifest: Manifest | undefined,
): Promise<Set<string>> {
  const removed = new Set(
    changes.filter(({ action }) => action === "remove").map(({ path }) => path),
  );
  const gone = new Set(manifest?.config.flatMap((name) => functionOf(name) ?? []));
  for (const { functionName } of sources) gone.delete(functionName ?? "");
  for (const name of gone) {
    const folder = `supabase/functions/${name}`;
    const files = await filesBelow(join(project.folder, folder));
    if (files.some((path) => !removed.has(`${folder}/${path}`))) gone.delete(name);
  }
  return gone;
}

/** Name of the Edge Function that a key of config.toml is about. */
function functionOf(key: string): string | undefined {
  return /^functions\.([^.]+)\./.exec(key)?.[1];
}

/** What runs that were killed have left beside files of ours. */
async function planTemporaries(project: Project, paths: readonly string[]): Promise<Change[]> {
  // A migration that was not written gets another version.
  const withoutVersion = (path: string) => path.replace(/^(supabase\/migrations\/)\d+_/, "$1");
  const ours = new Set(paths.map(withoutVersion));
  const changes: Change[] = [];
  for (const folder of new Set(paths.map((path) => path.split("/").slice(0, -1).join("/")))) {
    for (const name of await namesIn(join(project.folder, folder))) {
      const target = targetOfTemporary(name);
      if (target === undefined || !ours.has(withoutVersion(`${folder}/${target}`))) continue;
      changes.push({
        action: "remove",
        kind: "temporary",
        path: `${folder}/${name}`,
        text: undefined,
      });
    }
  }
  return changes;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    const entries = await Array.fromAsync(Deno.readDir(folder));
    return entries.filter(({ isFile }) => isFile).map(({ name }) => name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return [];
    }
    throw error;
  }
}

async function planConfig({ project, keys, known, gone, isResumed }: {
  project: Project;
  keys: Sources["keys"];
  /** Keys that the manifest lists. */
  known: readonly string[];
  /** Edge Functions whose keys go. */
  gone: ReadonlySet<string>;
  /** Whether an earlier run has broken off, so that a key that is there may be its own. */
  isResumed: boolean;
}) {
  const path = "supabase/config.toml";
  const before = await Deno.readTextFile(project.configFile);
  const there = new Set(readToml(before).map((entry) => entry.path.join(".")));
  const ours = new Set(known);
  const left: LeftAlone[] = [];
  const added: string[] = [];
  const removed: string[] = [];
  let text = before;
  for (const { table, key, value } of keys) {
    const name = [...table, key].join(".");
    const line = `[${table.join(".")}] ${key} = ${value}`;
    if (ours.has(name) && !there.has(name)) {
      left.push({ path, reason: `you removed ${name}`, advice: `Switchyard wants ${line}` });
      continue;
    }
    const edit = addTomlKey(text, table, key, value);
    text = edit.text;
    if (edit.outcome === "added") {
      ours.add(name);
      added.push(name);
    } else if (edit.outcome === "there" && isResumed) {
      ours.add(name);
    } else if (edit.outcome === "other") {
      left.push({ path, reason: `${name} is ${edit.found}`, advice: `Switchyard wants ${line}` });
    } else if (edit.outcome === "closed") {
      left.push({ path, reason: `it has ${edit.found}`, advice: `add to it: ${line}` });
    }
  }
  for (const name of known.filter((key) => gone.has(functionOf(key) ?? ""))) {
    const without = removeTomlKey(text, ...splitKey(name));
    if (without !== text) removed.push(name);
    text = without;
    ours.delete(name);
  }
  const changes: Change[] = text === before
    ? []
    : [{ action: "replace", kind: "config", path, text }];
  return { changes, left, added, removed, keys: [...ours] };
}
