import { join, resolve } from "node:path";
import { formatCount, formatTable } from "../format.ts";
import { acceptedOf, newestOf, rewriteAccepted } from "./accepted.ts";
import { applyChanges, type FileChange } from "./apply_changes.ts";
import {
  type Answer,
  defineCommand,
  type Invocation,
  RefusedError,
  UsageError,
} from "./command.ts";
import { DATABASE_OPTIONS, DATABASE_USAGE, withDatabase } from "./database.ts";
import { type CodeChanges, planCodeChanges } from "./finalize/code_changes.ts";
import {
  refuseTaken,
  refuseUndeployed,
  refuseUnpushed,
  refuseUnretired,
} from "./finalize/database_checks.ts";
import { refuseUncommitted, trackedFiles, wayBack } from "./finalize/git.ts";
import {
  DROP_OLD_NAMES,
  dropOldNamesMigration,
  FINALIZE,
  finalizeMigration,
  SWITCH_FUNCTIONS,
  switchFunctionsMigration,
  UNDO,
  undoScript,
} from "./finalize/migrations.ts";
import { suffixedNames } from "./finalize/names.ts";
import { readApplied } from "./install.ts";
import { formatManifest, MANIFEST, type Manifest } from "./manifest.ts";
import {
  filesBelow,
  isFile,
  nextVersions,
  PROJECT_OPTIONS,
  PROJECT_USAGE,
  versionOf,
} from "./project.ts";
import { type Installation, openInstallation } from "./uninstall/installation.ts";

export const finalize = defineCommand({
  name: "finalize",
  summary: "drop _v2 from every name, once every data type is retired",
  usage: `Usage: npm run yard -- finalize [--drop-old-names] [options]

Writes the migration that drops _v2 from the names of tables, functions and cron jobs, and changes the
code that names them: Edge Functions' folders, config.toml, checklists. It refuses while a data type is
not retired or a name is taken. Push it first: what is deployed goes on working under the old names.
Then deploy the functions, then run it again with --drop-old-names, and push what that writes.
Until then supabase/switchyard/undo_finalize.sql takes it back (docs/finalize-and-uninstall.md).

${DATABASE_USAGE}
${PROJECT_USAGE}
  --drop-old-names    write the migrations that call the new Edge Functions and drop the old names
  --accept <object>   with it: a function or cron job of yours that may go on with old names, as the
                      refusal names it; may be repeated
  --deployed          with it: do not ask whether the new Edge Functions are deployed
  --out <folder>      write all files that change below this folder, and change nothing in place
  --dry-run           check everything and say what would change
  --json              print one JSON value
  --help              print this

Exit status: 0 written, or done already; 1 refused, and nothing written, or broken off: it says how git
brings the repository back; 2 wrong usage`,
  options: {
    ...DATABASE_OPTIONS,
    ...PROJECT_OPTIONS,
    "drop-old-names": { type: "boolean" },
    accept: { type: "string", multiple: true },
    deployed: { type: "boolean" },
    out: { type: "string" },
    "dry-run": { type: "boolean" },
  },
  async run(invocation): Promise<Answer> {
    const { values } = invocation;
    const dropsOldNames = values["drop-old-names"] ?? false;
    for (const option of ["accept", "deployed"] as const) {
      if (!dropsOldNames && values[option] !== undefined) {
        throw new UsageError(`Cannot use --${option} without --drop-old-names`);
      }
    }
    const installation = await openInstallation("finalize", invocation);
    const run: Run = {
      installation,
      isDryRun: values["dry-run"] ?? false,
      outFolder: values.out === undefined ? undefined : resolve(invocation.cwd, values.out),
    };
    if (!dropsOldNames) return await dropSuffixes(run, invocation);
    return await dropOldNames(run, invocation, {
      accepted: acceptedOf(values),
      isDeployed: values.deployed ?? false,
    });
  },
});

interface Run {
  installation: Installation;
  isDryRun: boolean;
  /** Where files are written, if not in place. */
  outFolder: string | undefined;
}

async function refuseUncommittedIn({ installation, isDryRun, outFolder }: Run): Promise<void> {
  if (outFolder !== undefined || isDryRun) return;
  await refuseUncommitted("finalize", installation.project.folder);
}

async function dropSuffixes(
  run: Run,
  invocation: Pick<Invocation, "env" | "signal" | "tell"> & {
    values: { readonly "db-url"?: string };
  },
): Promise<Answer> {
  const { project, manifest, own } = run.installation;
  if (manifest.finalized !== undefined) {
    return {
      json: { migrations: [], files: [], mentions: [], undo: UNDO, dryRun: run.isDryRun },
      lines: [
        `Finalized already in ${project.folder}; nothing to change`,
        ...(manifest.finalized.oldNamesDropped
          ? []
          : ["Next:", "  npm run yard -- finalize --drop-old-names   (pushed and deployed?)"]),
      ],
    };
  }
  await refuseUncommittedIn(run);
  const folders = new Set(
    (await filesBelow(join(project.folder, "supabase", "functions"))).map((path) =>
      path.split("/")[0]!
    ),
  );
  const installed = new Set(
    Object.keys(manifest.files).flatMap((path) =>
      /^supabase\/functions\/([^/]+)\//.exec(path)?.[1] ?? []
    ),
  );
  const names = suffixedNames(own, [...folders].filter((name) => installed.has(name)));
  const tracked = await trackedFiles(project.folder) ?? [];
  const code = await planCodeChanges(project, manifest, names, tracked);
  const applied = await withDatabase(invocation, async (sql) => {
    await refuseUnretired(sql);
    await refuseTaken(sql, own, names);
    return await readApplied(sql);
  });
  const [version = ""] = nextVersions(project, 1, new Date(), applied);
  const migration = `supabase/migrations/${version}_${FINALIZE}.sql`;
  const removed = code.changes.filter(({ from, to }) => from !== to).map(({ from }) => from);
  // The way back is there before its migration is; a migration that the manifest does not know broke off.
  await apply(run, [
    { path: UNDO, text: await undoScript(own, names, [version]) },
    { path: migration, text: await finalizeMigration(own, names) },
    ...code.changes.map(({ to, text }) => ({ path: to, text })),
    ...removed.map((path) => ({ path, text: undefined })),
    {
      path: MANIFEST,
      text: formatManifest({
        ...manifest,
        files: code.files,
        config: [...code.config],
        finalized: {
          migrations: [migration.split("/").at(-1)!],
          functions: [...names.functions],
          oldNamesDropped: false,
        },
      }),
    },
  ]);
  return answerFinalized(run, { migration, code, removed, functions: names.functions });
}

function answerFinalized(
  { installation, isDryRun, outFolder }: Run,
  { migration, code, removed, functions }: {
    migration: string;
    code: CodeChanges;
    removed: readonly string[];
    functions: readonly string[];
  },
): Answer {
  const { folder } = installation.project;
  const { changes, mentions } = code;
  return {
    json: {
      dryRun: isDryRun,
      migrations: [migration],
      undo: UNDO,
      files: changes.map(({ from, to }) => ({ from, to })),
      removed,
      mentions,
    },
    lines: [
      isDryRun
        ? `Would write ${migration} in ${folder}; nothing was written`
        : `Wrote ${migration} in ${outFolder ?? folder}`,
      `${formatCount(changes.length)} files of Switchyard's ${
        isDryRun ? "would have" : "have"
      } new names in them`,
      ...functions.map((name) => `  supabase/functions/${name}-v2 → supabase/functions/${name}`),
      ...(mentions.length === 0 ? [] : [
        "",
        "Yours that use old names, which work until they are dropped:",
        ...formatTable(
          [{ title: "file" }, { title: "times", align: "right" }],
          mentions.map(({ path, count }) => [path, formatCount(count)]),
        ),
      ]),
      ...(isDryRun ? [] : [
        "",
        "Next, in this order:",
        "  git add -A && git commit",
        "  supabase db push",
        "  supabase functions deploy --use-api   (without --prune: the old ones are still called)",
        "  npm run yard -- finalize --drop-old-names",
      ]),
    ],
  };
}

async function dropOldNames(
  run: Run,
  invocation: Pick<Invocation, "env" | "signal" | "tell"> & {
    values: { readonly "db-url"?: string };
  },
  { accepted, isDeployed }: { accepted: readonly string[]; isDeployed: boolean },
): Promise<Answer> {
  const { project, manifest, own } = run.installation;
  const { finalized } = manifest;
  if (finalized === undefined) {
    throw new RefusedError(`Cannot drop the old names: "${project.folder}" was not finalized`, {
      next: "npm run yard -- finalize",
    });
  }
  const names = suffixedNames(own, finalized.functions.map((name) => `${name}-v2`));
  if (finalized.oldNamesDropped) return await acceptMore(run, invocation, accepted);
  await refuseUncommittedIn(run);
  const applied = await withDatabase(invocation, async (sql, description) => {
    await refuseUnpushed(sql, description);
    if (!isDeployed) await refuseUndeployed(sql, names, invocation.signal);
    return await readApplied(sql);
  });
  const [first, second] = nextVersions(project, 2, new Date(), applied);
  const migrations = new Map<string, string>();
  migrations.set(
    `${first}_${SWITCH_FUNCTIONS}.sql`,
    await switchFunctionsMigration(own, names),
  );
  migrations.set(
    `${second}_${DROP_OLD_NAMES}.sql`,
    await dropOldNamesMigration(names, accepted),
  );
  const after: Manifest = {
    ...manifest,
    finalized: {
      ...finalized,
      migrations: [...finalized.migrations, ...migrations.keys()],
      oldNamesDropped: true,
    },
  };
  const paths = [...migrations.keys()].map((name) => `supabase/migrations/${name}`);
  await apply(run, [
    ...[...migrations.values()].map((text, index) => ({ path: paths[index]!, text })),
    ...(await isFile(join(project.folder, UNDO)) ? [{ path: UNDO, text: undefined }] : []),
    { path: MANIFEST, text: formatManifest(after) },
  ]);
  return {
    json: { dryRun: run.isDryRun, migrations: paths },
    lines: [
      ...paths.map((path) => `${run.isDryRun ? "Would write" : "Wrote"} ${path}`),
      ...(run.isDryRun ? [] : [
        "",
        "Next, in this order:",
        "  supabase db push   (again, if it says that processors still use the old names)",
        ...names.functions.map((name) => `  supabase functions delete ${name}-v2`),
      ]),
    ],
  };
}

/** When a push has refused the migration that drops the old names: it is written anew. */
async function acceptMore(
  { installation: { project }, isDryRun, outFolder }: Run,
  invocation: Parameters<typeof dropOldNames>[1],
  accepted: readonly string[],
): Promise<Answer> {
  const migration = newestOf(project, DROP_OLD_NAMES);
  const applied = accepted.length === 0 ? [] : await withDatabase(
    invocation,
    (sql) => readApplied(sql),
  );
  if (accepted.length === 0 || migration === undefined || applied.includes(versionOf(migration))) {
    return {
      json: { migrations: [], dryRun: isDryRun },
      lines: [
        `The old names are dropped already in ${project.folder}; nothing to change`,
        ...(accepted.length > 0 || migration === undefined ? [] : [
          `If the push has refused ${migration}: the same command with --accept '<object>'`,
        ]),
      ],
    };
  }
  if (outFolder !== undefined) {
    throw new UsageError("Cannot use --out: the migration to change is in the repository");
  }
  await rewriteAccepted(project, migration, { accepted, isDryRun });
  const path = `supabase/migrations/${migration}`;
  return {
    json: { dryRun: isDryRun, migrations: [path] },
    lines: [
      `${isDryRun ? "Would write" : "Wrote"} ${path} anew: it accepts ${accepted.join(", ")}`,
      ...(isDryRun ? [] : ["", "Next:", "  supabase db push"]),
    ],
  };
}

async function apply(
  { installation, isDryRun, outFolder }: Run,
  changes: readonly FileChange[],
): Promise<void> {
  if (isDryRun) return;
  const { folder } = installation.project;
  if (outFolder === undefined) {
    await applyChanges(folder, changes, {
      next: `clear this up; then ${wayBack(folder)}; then run it again`,
    });
  } else {
    await applyChanges(outFolder, changes.filter(({ text }) => text !== undefined), {
      next: "clear this up, then run it again with another --out",
    });
  }
}
