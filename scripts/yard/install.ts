import { join } from "node:path";
import type { Sql } from "postgres";
import { formatCount, formatTable } from "../format.ts";
import { applyChanges, type FileChange } from "./apply_changes.ts";
import { type Answer, defineCommand, RefusedError, UsageError } from "./command.ts";
import { DATABASE_OPTIONS, withDatabase } from "./database.ts";
import { type Change, type LeftAlone, type Plan, planInstall } from "./install_plan.ts";
import {
  CHECKOUT,
  type DataTypes,
  DEFAULT_SHARED_FOLDER,
  readSources,
  type SourceChoice,
} from "./install_sources.ts";
import { formatManifest, MANIFEST, type Manifest, readManifest } from "./manifest.ts";
import {
  filesBelow,
  openProject,
  type Project,
  PROJECT_OPTIONS,
  PROJECT_USAGE,
} from "./project.ts";

export const install = defineCommand({
  name: "install",
  summary: "put Switchyard into a Supabase repository, or bring a copy up to date",
  usage: `Usage: npm run yard -- install [--workdir <folder>] [options]

Copies into a repository what Switchyard consists of: migrations, with fresh versions later than the
newest there; Edge Functions and the code they share; keys of supabase/config.toml; checklists.
Nothing of yours is overwritten. supabase/switchyard.json remembers what was written, with hashes:
a second run changes nothing, and a newer Switchyard replaces what you have not changed.
No database is touched: supabase db push does that.

${PROJECT_USAGE}
  --data-types <fmp|none>   with or without the data types and endpoints of Financial Modeling Prep
                      (default: fmp where the repository names a function fetch-fmp-…, else none)
  --shared-folder <name>    where shared code goes, below supabase/functions (default: _shared)
  --db-url <url>      make the versions later than those applied there, too
  --dry-run           say what would be written, and write nothing
  --json              print one JSON value
  --help              print this

Exit status: 0 installed, or nothing to do; 1 refused, and nothing written, or broken off: the same
command goes on from there; 2 wrong usage`,
  options: {
    ...PROJECT_OPTIONS,
    ...DATABASE_OPTIONS,
    "data-types": { type: "string" },
    "shared-folder": { type: "string" },
    "dry-run": { type: "boolean" },
  },
  async run(invocation) {
    const { values } = invocation;
    const project = await openProject(invocation);
    await refuseOwnCheckout(project);
    const manifest = await readManifest(project);
    if (manifest?.finalized !== undefined) refuseFinalized(project, manifest);
    const choice = await choose(project, manifest, values);
    const applied = values["db-url"] === undefined
      ? []
      : await withDatabase(invocation, (sql) => readApplied(sql));
    const plan = await planInstall({
      project,
      sources: await readSources(choice),
      choice,
      manifest,
      now: new Date(),
      applied,
    });
    if (plan.obstacles.length > 0) throw refusal(project, plan.obstacles, manifest);
    const isDryRun = values["dry-run"] ?? false;
    if (!isDryRun) await apply(project, plan, manifest);
    return answer({ project, plan, manifest, isDryRun });
  },
});

async function refuseOwnCheckout(project: Project): Promise<void> {
  if (await Deno.realPath(project.folder) !== await Deno.realPath(CHECKOUT)) return;
  throw new RefusedError("Cannot install Switchyard into its own repository", {
    detail: `"${project.folder}" is where this command comes from`,
    next: "npm run yard -- install --workdir <folder of your Supabase repository>",
  });
}

function refuseFinalized(project: Project, manifest: Manifest): never {
  throw new RefusedError(`Cannot install into "${project.folder}": it was finalized`, {
    detail:
      `Switchyard ${manifest.version} is there without _v2 in its names, which no version has`,
    next: "stay with that version, or npm run yard -- uninstall and begin anew",
  });
}

async function choose(
  project: Project,
  manifest: Manifest | undefined,
  values: { readonly "data-types"?: string; readonly "shared-folder"?: string },
): Promise<SourceChoice> {
  const dataTypes = values["data-types"];
  if (dataTypes !== undefined && dataTypes !== "fmp" && dataTypes !== "none") {
    throw new UsageError(`Cannot use --data-types ${dataTypes}: wanted fmp or none`);
  }
  const sharedFolder = values["shared-folder"];
  // The platform deploys no folder whose name begins with an underscore.
  if (sharedFolder !== undefined && !/^_[a-z0-9_-]+(\/[a-z0-9_-]+)*$/.test(sharedFolder)) {
    throw new UsageError(
      `Cannot use --shared-folder ${sharedFolder}: wanted a name that begins with _, such as ` +
        "_shared/switchyard or _switchyard",
    );
  }
  if (manifest === undefined) {
    return {
      dataTypes: dataTypes ?? await guessDataTypes(project),
      sharedFolder: sharedFolder ?? DEFAULT_SHARED_FOLDER,
    };
  }
  if (sharedFolder !== undefined && sharedFolder !== manifest.sharedFolder) {
    throw new RefusedError(`Cannot move shared code to "${sharedFolder}"`, {
      detail: `it was installed into "${manifest.sharedFolder}"`,
      next: "leave --shared-folder out, or npm run yard -- uninstall first",
    });
  }
  if (dataTypes === "none" && manifest.dataTypes === "fmp") {
    throw new RefusedError("Cannot take the data types of fmp out of an installation", {
      detail: "their migration may be applied",
      next: "delete from data_type_registry_v2 where provider = 'fmp', in a migration of your own",
    });
  }
  return {
    dataTypes: dataTypes ?? manifest.dataTypes,
    sharedFolder: manifest.sharedFolder,
  };
}

async function guessDataTypes(project: Project): Promise<DataTypes> {
  const functions = await filesBelow(join(project.folder, "supabase", "functions"));
  if (functions.some((path) => path.startsWith("fetch-fmp-"))) return "fmp";
  for (const name of project.migrations) {
    const text = await Deno.readTextFile(join(project.migrationsFolder, name));
    if (/\/functions\/v1\/fetch-fmp-/.test(text)) return "fmp";
  }
  return "none";
}

/** Versions of the migrations that a database has applied. */
export async function readApplied(sql: Sql): Promise<string[]> {
  const [history] = await sql<{ isThere: boolean }[]>`
    select to_regclass('supabase_migrations.schema_migrations') is not null as "isThere"`;
  if (!history?.isThere) return [];
  const rows = await sql<{ version: string }[]>`
    select version from supabase_migrations.schema_migrations`;
  return rows.map(({ version }) => version);
}

function refusal(
  project: Project,
  obstacles: readonly LeftAlone[],
  manifest: Manifest | undefined,
): RefusedError {
  const shared = obstacles.every(({ path, advice }) =>
    path.startsWith("supabase/functions/") && advice.includes("--shared-folder")
  );
  const history = obstacles.some(({ path }) => path.startsWith("supabase/migrations/"));
  return new RefusedError(`Cannot install into "${project.folder}": nothing was written`, {
    detail: obstacles.map(({ path, reason, advice }) => `${path}: ${reason}; ${advice}`).join("\n"),
    next: shared
      ? "npm run yard -- install --shared-folder _shared/switchyard"
      : history && manifest !== undefined
      ? `npm run yard -- uninstall, with the checkout of version ${manifest.version}; then install this one`
      : "clear these up, then run it again; --dry-run only looks",
  });
}

async function apply(
  project: Project,
  plan: Plan,
  manifest: Manifest | undefined,
): Promise<void> {
  const files: FileChange[] = [...plan.changes];
  // Last: when a run breaks off, the next one finds what it wrote by its content.
  if (!isRemembered(plan, manifest)) {
    files.push({ path: MANIFEST, text: formatManifest(plan.manifest) });
  }
  await applyChanges(project.folder, files, {
    next: "clear this up, then run it again: it goes on from there",
  });
}

/** Whether the manifest that is there says all that the plan leads to. */
function isRemembered(plan: Plan, manifest: Manifest | undefined): boolean {
  return manifest !== undefined && formatManifest(manifest) === formatManifest(plan.manifest);
}

function answer({ project, plan, manifest, isDryRun }: {
  project: Project;
  plan: Plan;
  manifest: Manifest | undefined;
  isDryRun: boolean;
}): Answer {
  const { changes, left, addedKeys, removedKeys, unchanged } = plan;
  const { version, dataTypes, sharedFolder } = plan.manifest;
  const of = (action: Change["action"]) =>
    changes.filter((change) => change.action === action && change.kind !== "config")
      .map(({ path }) => path);
  const json = {
    version,
    previousVersion: manifest?.version ?? null,
    dryRun: isDryRun,
    dataTypes,
    sharedFolder,
    added: of("add"),
    replaced: of("replace"),
    removed: of("remove"),
    unchanged,
    configKeys: addedKeys,
    removedKeys,
    leftAlone: left,
  };
  const isNew = manifest === undefined;
  if (changes.length === 0 && isRemembered(plan, manifest)) {
    return {
      json,
      lines: [
        `Switchyard ${version} is installed in ${project.folder}; nothing to change`,
        ...describeLeft(left),
      ],
    };
  }
  const what = manifest === undefined || manifest.version === version
    ? `Switchyard ${version} in ${project.folder}`
    : `Switchyard ${manifest.version} to ${version} in ${project.folder}`;
  const [would, done] = isNew ? ["install", "Installed"] : ["upgrade", "Upgraded"];
  const head = isDryRun ? `Would ${would} ${what}; nothing was written` : `${done} ${what}`;
  return {
    json,
    lines: [
      head,
      ...(isNew && dataTypes === "none" ? [NO_DATA_TYPES] : []),
      ...describeChanges(plan, isNew),
      ...describeLeft(left),
      ...(isDryRun ? [] : ["", "Next:", ...nextSteps({ plan, project, manifest })]),
    ],
  };
}

const NO_DATA_TYPES =
  "Without the data types of Financial Modeling Prep, as nothing here calls fetch-fmp-…";

function describeChanges({ changes, addedKeys, removedKeys }: Plan, isNew: boolean): string[] {
  const rows: string[][] = [];
  const files = changes.filter(({ kind }) => kind !== "config");
  // All at once they are too many to list.
  const many = isNew ? files.filter(({ action }) => action === "add") : [];
  const groups = Map.groupBy(many, ({ path }) => path.split("/").slice(0, -1).join("/"));
  for (const [folder, group] of groups) {
    rows.push([
      "add",
      folder,
      `${formatCount(group.length)} ${group.length === 1 ? "file" : "files"}`,
    ]);
  }
  for (const change of files) {
    if (!many.includes(change)) rows.push([change.action, change.path, ""]);
  }
  for (const key of addedKeys) rows.push(["add", "supabase/config.toml", key]);
  for (const key of removedKeys) rows.push(["remove", "supabase/config.toml", key]);
  if (rows.length === 0) return [];
  return [
    "",
    ...formatTable([{ title: "change" }, { title: "where" }, { title: "what" }], rows),
  ];
}

function describeLeft(left: readonly LeftAlone[]): string[] {
  if (left.length === 0) return [];
  return [
    "",
    "Left alone:",
    ...formatTable(
      [{ title: "where" }, { title: "found" }, { title: "note" }],
      left.map(({ path, reason, advice }) => [path, reason, advice]),
    ),
  ];
}

function nextSteps({ plan, project, manifest }: {
  plan: Plan;
  project: Project;
  manifest: Manifest | undefined;
}): string[] {
  const { dataTypes, files, migrations } = plan.manifest;
  // By name: all others of the repository, and endpoints that may run in another form, stay as deployed.
  const names = Object.keys(files).flatMap((path) =>
    /^supabase\/functions\/([a-z0-9-]+)\/index\.ts$/.exec(path)?.[1] ?? []
  ).filter((name) => !name.startsWith("fetch-"));
  const isNew = manifest === undefined;
  const isFmp = dataTypes === "fmp";
  // Also those that a run has written which broke off before it could say so.
  const hasMoreMigrations = migrations.length > (manifest?.migrations.length ?? 0);
  return [
    ...(isNew ? ["export SWITCHYARD_SECRET_KEY=sb_secret_…   (Settings → API keys)"] : []),
    ...(isNew && isFmp ? ["supabase secrets set FMP_API_KEY=…"] : []),
    `supabase functions deploy --use-api ${names.join(" ")}`,
    ...(hasMoreMigrations ? ["supabase db push"] : []),
    ...(isNew
      ? [`npm run yard -- ${isFmp ? "status" : `discover --write --workdir ${project.folder}`}`]
      : []),
  ].map((line) => `  ${line}`);
}
