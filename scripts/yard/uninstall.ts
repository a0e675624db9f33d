import { join } from "node:path";
import { formatCount, formatTable } from "../format.ts";
import { type Answer, defineCommand } from "./command.ts";
import { DATABASE_OPTIONS, databaseUrl, withDatabase } from "./database.ts";
import { oldNamesOf, suffixedNames } from "./finalize/names.ts";
import { readApplied } from "./install.ts";
import { manifestFile, writeManifest } from "./manifest.ts";
import { nextVersions, PROJECT_OPTIONS, PROJECT_USAGE, writeWhole } from "./project.ts";
import {
  type CodeRemoval,
  planCodeRemoval,
  removeCode,
  removeEmptyFolders,
} from "./uninstall/code_removal.ts";
import { type Installation, openInstallation } from "./uninstall/installation.ts";
import { uninstallMigration } from "./uninstall/uninstall_migration.ts";

export const uninstall = defineCommand({
  name: "uninstall",
  summary: "write the migration that restores the legacy jobs and removes Switchyard",
  usage: `Usage: npm run yard -- uninstall [--workdir <folder>] [options]

Writes a migration later than the newest. Pushed, it brings every legacy cron job back as it was found
and drops all that Switchyard's migrations made, in one transaction. Where a view, a foreign key, a
function, a cron job or a flag of yours needs any of it, the push fails with their names, and nothing
is changed. Migrations that were applied stay in the folder, as the CLI wants it.

${PROJECT_USAGE}
  --functions         remove the Edge Functions' folders, checklists and config.toml keys that install
                      has added and nobody has changed; endpoints that legacy jobs call stay
  --accept <object>   something of yours that may go or break, as the refusal names it; may be repeated
  --db-url <url>      make the version later than those applied there, too
  --dry-run           print the migration, and write nothing
  --json              print one JSON value
  --help              print this

Exit status: 0 written; 1 refused, and nothing written; 2 wrong usage`,
  options: {
    ...PROJECT_OPTIONS,
    ...DATABASE_OPTIONS,
    functions: { type: "boolean" },
    accept: { type: "string", multiple: true },
    "dry-run": { type: "boolean" },
  },
  async run(invocation): Promise<Answer> {
    const { values } = invocation;
    const installation = await openInstallation("uninstall", invocation);
    const { project, manifest } = installation;
    const applied = databaseUrl(invocation) === undefined
      ? []
      : await withDatabase(invocation, (sql) => readApplied(sql));
    const [version] = nextVersions(project, 1, new Date(), applied);
    const migration = `supabase/migrations/${version}_switchyard_uninstall.sql`;
    const sql = await writeSql(installation, values.accept ?? []);
    const removal = await planCodeRemoval(project, manifest);
    const removesCode = values.functions ?? false;
    const isDryRun = values["dry-run"] ?? false;
    if (!isDryRun) {
      await writeWhole(join(project.folder, migration), sql);
      if (removesCode) await removeCode(project, removal);
      await forget(installation, removal, removesCode);
    }
    return answer({ installation, migration, sql, removal, removesCode, isDryRun });
  },
});

async function writeSql(
  { manifest, own }: Installation,
  accepted: readonly string[],
): Promise<string> {
  if (manifest.finalized === undefined) return await uninstallMigration({ own, accepted });
  const names = suffixedNames(own, manifest.finalized.functions.map((name) => `${name}-v2`));
  const { renamed, oldNames } = oldNamesOf(own, names);
  return await uninstallMigration({
    own: renamed,
    oldNames: manifest.finalized.oldNamesDropped ? [] : oldNames,
    accepted,
  });
}

/** From here on `install` begins anew. */
async function forget(
  { project, manifest }: Installation,
  removal: CodeRemoval,
  removesCode: boolean,
): Promise<void> {
  const { version, dataTypes, sharedFolder } = manifest;
  const files = removesCode ? removal.files : manifest.files;
  const config = removesCode
    ? manifest.config.filter((key) => !removal.configKeys.includes(key))
    : manifest.config;
  if (Object.keys(files).length === 0) {
    await Deno.remove(manifestFile(project));
    await removeUndo(project);
    return;
  }
  await writeManifest(project, {
    version,
    dataTypes,
    sharedFolder,
    migrations: [],
    files,
    config,
  });
  await removeUndo(project);
}

async function removeUndo(project: Installation["project"]): Promise<void> {
  const path = "supabase/switchyard/undo_finalize.sql";
  try {
    await Deno.remove(join(project.folder, path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  await removeEmptyFolders(project, path);
}

function answer({ installation, migration, sql, removal, removesCode, isDryRun }: {
  installation: Installation;
  migration: string;
  sql: string;
  removal: CodeRemoval;
  removesCode: boolean;
  isDryRun: boolean;
}): Answer {
  const { project } = installation;
  const { remove, keep, configKeys, functions, endpoints, secrets } = removal;
  const byHand = [
    ...secrets.map((name) => `delete from vault.secrets where name = '${name}';`),
    ...functions.map((name) => `supabase functions delete ${name}`),
  ];
  const json = {
    dryRun: isDryRun,
    migration,
    sql,
    files: { removed: removesCode ? remove : [], removable: remove, kept: keep },
    configKeys,
    afterwards: byHand,
    endpoints,
  };
  if (isDryRun) return { json, lines: [sql.trimEnd()] };
  const changed = keep.filter(({ reason }) => reason === "you changed it");
  return {
    json,
    lines: [
      `Wrote ${migration} in ${project.folder}`,
      removesCode
        ? `Removed ${
          formatCount(remove.length)
        } files and ${configKeys.length} keys of supabase/config.toml`
        : `${
          formatCount(remove.length)
        } files and ${configKeys.length} keys of supabase/config.toml can go as well: --functions removes them`,
      ...(changed.length === 0 ? [] : [
        "",
        "Left alone:",
        ...formatTable(
          [{ title: "where" }, { title: "why" }],
          changed.map(({ path, reason }) => [path, reason]),
        ),
      ]),
      ...(endpoints.length === 0 ? [] : [
        "",
        `${endpoints.length} endpoints stay, with the code they share: legacy cron jobs call them, and without ` +
        "Switchyard they work as before",
      ]),
      "",
      "Next:",
      "  supabase db push",
      ...byHand.map((line) => `  ${line}`),
    ],
  };
}
