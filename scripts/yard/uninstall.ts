import { join } from "node:path";
import { formatCount, formatTable } from "../format.ts";
import { acceptedOf, newestOf, rewriteAccepted } from "./accepted.ts";
import { applyChanges, type FileChange } from "./apply_changes.ts";
import { type Answer, defineCommand, RefusedError } from "./command.ts";
import { DATABASE_OPTIONS, databaseUrl, withDatabase } from "./database.ts";
import { UNDO } from "./finalize/migrations.ts";
import { oldNamesOf, suffixedNames } from "./finalize/names.ts";
import { readApplied } from "./install.ts";
import { DEFAULT_SHARED_FOLDER } from "./install_sources.ts";
import { formatManifest, MANIFEST, type Manifest, readManifest } from "./manifest.ts";
import {
  isFile,
  nextVersions,
  openProject,
  type Project,
  PROJECT_OPTIONS,
  PROJECT_USAGE,
  UNINSTALL,
  versionOf,
} from "./project.ts";
import { type CodeRemoval, planCodeRemoval } from "./uninstall/code_removal.ts";
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

Exit status: 0 written; 1 refused, and nothing written, or broken off: the same command goes on from
there; 2 wrong usage`,
  options: {
    ...PROJECT_OPTIONS,
    ...DATABASE_OPTIONS,
    functions: { type: "boolean" },
    accept: { type: "string", multiple: true },
    "dry-run": { type: "boolean" },
  },
  async run(invocation): Promise<Answer> {
    const { values } = invocation;
    const written = await findWritten(invocation);
    if (written !== undefined) return await writeAnew(written, invocation);
    const installation = await openInstallation("uninstall", invocation);
    const { project, manifest } = installation;
    const versions = await applied(invocation);
    const file = brokenOff(installation) ??
      `${nextVersions(project, 1, new Date(), versions)[0]}_${UNINSTALL}.sql`;
    const migration = `supabase/migrations/${file}`;
    const sql = versions.includes(versionOf(file))
      ? await Deno.readTextFile(join(project.folder, migration))
      : await writeSql(installation, acceptedOf(values));
    const removal = await planCodeRemoval(project, manifest);
    const removesCode = values.functions ?? false;
    const isDryRun = values["dry-run"] ?? false;
    if (!isDryRun) {
      await apply(project, [
        { path: migration, text: sql },
        ...await codeChanges(project, removal, removesCode),
        ...await forgetting(installation, removal, removesCode),
      ]);
    }
    return answer({ project, migration, sql, removal, removesCode, isDryRun });
  },
});

type UninstallInvocation = Parameters<typeof databaseUrl>[0] & Parameters<typeof openProject>[0] & {
  values: {
    readonly accept?: readonly string[];
    readonly functions?: boolean;
    readonly "dry-run"?: boolean;
  };
};

async function applied(invocation: UninstallInvocation): Promise<string[]> {
  if (databaseUrl(invocation) === undefined) return [];
  return await withDatabase(invocation, (sql) => readApplied(sql));
}

interface Written {
  project: Project;
  /** What is left of it. */
  manifest: Manifest | undefined;
  /** File name. */
  migration: string;
}

/** What an earlier run has written, where nothing was installed since. */
async function findWritten(invocation: UninstallInvocation): Promise<Written | undefined> {
  const project = await openProject(invocation);
  const manifest = await readManifest(project);
  const migration = newestOf(project, UNINSTALL);
  if (migration === undefined || (manifest?.migrations.length ?? 0) > 0) return undefined;
  return { project, manifest, migration };
}

/** File name of what a run has written that broke off before it forgot the installation. */
function brokenOff({ project, manifest }: Installation): string | undefined {
  const migration = newestOf(project, UNINSTALL);
  const isLater = manifest.migrations.every(({ file }) => file < (migration ?? ""));
  return isLater ? migration : undefined;
}

/** Once more, because a push has refused the migration, or to remove the code as well. */
async function writeAnew(
  { project, manifest, migration }: Written,
  invocation: UninstallInvocation,
): Promise<Answer> {
  const { values } = invocation;
  const path = `supabase/migrations/${migration}`;
  const removesCode = values.functions ?? false;
  if (values.accept === undefined && !removesCode) {
    throw new RefusedError(`Cannot uninstall: Switchyard is not installed in "${project.folder}"`, {
      detail: `${path} takes it out already`,
      next:
        "supabase db push; when that is refused, the same command with --accept '<object>' for what may go",
    });
  }
  if ((await applied(invocation)).includes(versionOf(migration)) && values.accept !== undefined) {
    throw new RefusedError(`Cannot change ${path}`, {
      detail: "it is applied",
      next: "supabase migration list",
    });
  }
  const isDryRun = values["dry-run"] ?? false;
  const sql = values.accept === undefined
    ? await Deno.readTextFile(join(project.folder, path))
    : await rewriteAccepted(project, migration, { accepted: acceptedOf(values), isDryRun });
  const removal = await planCodeRemoval(
    project,
    manifest ?? { sharedFolder: DEFAULT_SHARED_FOLDER, files: {}, config: [] },
  );
  if (!isDryRun && removesCode) {
    await apply(project, [
      ...await codeChanges(project, removal, removesCode),
      ...(manifest === undefined
        ? []
        : await forgetting({ project, manifest }, removal, removesCode)),
    ]);
  }
  return answer({ project, migration: path, sql, removal, removesCode, isDryRun });
}

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

async function apply(project: Project, changes: readonly FileChange[]): Promise<void> {
  await applyChanges(project.folder, changes, {
    next: "clear this up, then the same command again: it goes on from there",
  });
}

/** Without the files and keys that go; or (not `all`) without the secrets' keys. */
async function codeChanges(
  project: Project,
  removal: CodeRemoval,
  all: boolean,
): Promise<FileChange[]> {
  const config = all ? removal.config : removal.configWithoutSecrets;
  const isOther = config !== await Deno.readTextFile(project.configFile);
  return [
    ...(isOther ? [{ path: "supabase/config.toml", text: config }] : []),
    ...(all ? removal.remove.map((path) => ({ path, text: undefined })) : []),
  ];
}

/** From here on `install` begins anew. The manifest is last: until then the same command goes on. */
async function forgetting(
  { project, manifest }: Pick<Installation, "project" | "manifest">,
  removal: CodeRemoval,
  removesCode: boolean,
): Promise<FileChange[]> {
  const { version, dataTypes, sharedFolder } = manifest;
  const files = removesCode ? removal.files : manifest.files;
  const config = removesCode
    ? removal.keys
    : manifest.config.filter((key) => !removal.secretKeys.includes(key));
  const text = Object.keys(files).length === 0
    ? undefined
    : formatManifest({ version, dataTypes, sharedFolder, migrations: [], files, config });
  return [
    ...(await isFile(join(project.folder, UNDO)) ? [{ path: UNDO, text: undefined }] : []),
    { path: MANIFEST, text },
  ];
}

function answer({ project, migration, sql, removal, removesCode, isDryRun }: {
  project: Project;
  migration: string;
  sql: string;
  removal: CodeRemoval;
  removesCode: boolean;
  isDryRun: boolean;
}): Answer {
  const { remove, keep, configKeys, secretKeys, functions, endpoints, secrets } = removal;
  const laterKeys = configKeys.length - secretKeys.length;
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
    removedKeys: removesCode ? configKeys : secretKeys,
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
        ? `Removed ${filesAndKeys(remove.length, configKeys.length)}`
        : `${filesAndKeys(remove.length, laterKeys)} can go as well: --functions removes them`,
      ...(removesCode
        ? []
        : secretKeys.map((key) =>
          `Removed ${key} from supabase/config.toml: each push would write it into Vault again`
        )),
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

function filesAndKeys(files: number, keys: number): string {
  const counted = (count: number, what: string) =>
    `${formatCount(count)} ${what}${count === 1 ? "" : "s"}`;
  return `${counted(files, "file")} and ${counted(keys, "key")} of supabase/config.toml`;
}
