import { join } from "node:path";
import { type Invocation, RefusedError } from "../command.ts";
import { wayBack } from "../finalize/git.ts";
import { DROP_OLD_NAMES, FINALIZE, SWITCH_FUNCTIONS, UNDO } from "../finalize/migrations.ts";
import { readSources } from "../install_sources.ts";
import { MANIFEST, type Manifest, readManifest } from "../manifest.ts";
import {
  migrationsSinceUninstall,
  openProject,
  type Project,
  readIfThere,
  titleOf,
} from "../project.ts";
import { type Own, readOwn } from "./own_objects.ts";

/** A repository that Switchyard was installed into. */
export interface Installation {
  project: Project;
  manifest: Manifest;
  /** What its migrations make, before `finalize`. */
  own: Own;
}

/** Opens the repository of `--workdir`. Throws {@linkcode RefusedError} where nothing is installed. */
export async function openInstallation(
  action: string,
  invocation: Pick<Invocation, "cwd"> & { values: { readonly workdir?: string } },
): Promise<Installation> {
  const project = await openProject(invocation);
  const manifest = await readManifest(project);
  if (manifest === undefined || manifest.migrations.length === 0) {
    throw new RefusedError(`Cannot ${action}: Switchyard is not installed in "${project.folder}"`, {
      detail: manifest === undefined
        ? "found no supabase/switchyard.json"
        : "supabase/switchyard.json lists no migration",
      next: "pass --workdir <folder of the repository>",
    });
  }
  refuseBrokenOff(action, project, manifest);
  return { project, manifest, own: readOwn(await installedMigrations(action, project, manifest)) };
}

/** Throws {@linkcode RefusedError} where `finalize` broke off: the manifest is what it writes last. */
function refuseBrokenOff(action: string, project: Project, manifest: Manifest): void {
  const known = new Set(manifest.finalized?.migrations.map(titleOf));
  const unknown = migrationsSinceUninstall(project).filter((file) =>
    [FINALIZE, SWITCH_FUNCTIONS, DROP_OLD_NAMES].includes(titleOf(file)) &&
    !known.has(titleOf(file))
  );
  if (unknown.length === 0) return;
  throw new RefusedError(`Cannot ${action} in "${project.folder}": a run of finalize broke off`, {
    detail: `found ${unknown.join(" and ")}, which ${MANIFEST} does not list`,
    next: `${wayBack(project.folder)}, or revert the commit that has it (where it is pushed, run ` +
      `${UNDO} first); then run finalize again`,
  });
}

async function installedMigrations(
  action: string,
  project: Project,
  manifest: Manifest,
): Promise<string[]> {
  const texts: string[] = [];
  let sources: ReadonlyMap<string, string> | undefined;
  for (const { source, file } of manifest.migrations) {
    let text = await readIfThere(join(project.migrationsFolder, file));
    // Somebody has put its SQL into another migration.
    if (text === undefined) {
      sources ??= await ofThisVersion(manifest);
      text = sources?.get(source);
    }
    if (text === undefined) {
      throw new RefusedError(`Cannot ${action}: the migration "${file}" is gone`, {
        detail: "what Switchyard made is read from its migrations",
        next: `use the checkout of Switchyard ${manifest.version}, which has it as ${source}`,
      });
    }
    texts.push(text);
  }
  return texts;
}

async function ofThisVersion(manifest: Manifest): Promise<Map<string, string> | undefined> {
  const { dataTypes, sharedFolder } = manifest;
  const { version, migrations } = await readSources({ dataTypes, sharedFolder });
  if (version !== manifest.version) return undefined;
  return new Map(migrations.map(({ name, text }) => [name, text]));
}
