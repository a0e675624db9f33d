import { join } from "node:path";
import { formatTable } from "../format.ts";
import { type Answer, defineCommand, RefusedError } from "./command.ts";
import { DATABASE_OPTIONS, DATABASE_USAGE, withDatabase } from "./database.ts";
import { type Catalog, readCatalog } from "./discover/catalog.ts";
import { guess } from "./discover/guess.ts";
import { discoveryMigration, reasonLine } from "./discover/migration.ts";
import type { Discovery } from "./discover/proposal.ts";
import { readCode } from "./discover/sources.ts";
import { readApplied } from "./install.ts";
import {
  nextVersions,
  openProject,
  type Project,
  PROJECT_OPTIONS,
  PROJECT_USAGE,
  projectFolder,
  titleOf,
  versionOf,
  writeWhole,
} from "./project.ts";

export const discover = defineCommand({
  name: "discover",
  summary: "find the cron jobs that call Edge Functions, and propose registry rows for them",
  usage: `Usage: npm run yard -- discover [--db-url <url>] [options]

Reads cron.job and the catalog, in a transaction that cannot write. For each Edge Function that a job
calls it guesses table, symbol, timestamp and conflict columns, says how sure it is and why, and
proposes a row of data_type_registry_v2. Where the functions' code lies in the repository it is read
too. What no catalog knows, such as the vendor's limits, stays unknown: an unknown limit refuses
every claim, so nothing runs before somebody has stated it.

${DATABASE_USAGE}
${PROJECT_USAGE}
  --write             write the migration into the repository (rows of low confidence as comments)
  --dry-run           with --write: print the migration instead
  --json              print one JSON value
  --help              print this

Exit status: 0 done, 1 refused or failed, 2 wrong usage`,
  options: {
    ...DATABASE_OPTIONS,
    ...PROJECT_OPTIONS,
    write: { type: "boolean" },
    "dry-run": { type: "boolean" },
  },
  async run(invocation) {
    const { values } = invocation;
    const project = values.write ? await openProject(invocation) : undefined;
    const functionsFolder = join(projectFolder(invocation), "supabase", "functions");
    const { discovery, catalog, applied, description } = await withDatabase(
      invocation,
      async (sql, description) => {
        const catalog = await readCatalog(sql, invocation.progress);
        const code = await readCode(functionsFolder, catalog);
        return {
          discovery: guess(catalog, code),
          catalog,
          applied: await readApplied(sql),
          description,
        };
      },
    );
    const migration = project === undefined ? undefined : await writeMigration({
      project,
      discovery,
      catalog,
      applied,
      isDryRun: values["dry-run"] ?? false,
    });
    return answer(discovery, description, migration);
  },
});

interface Migration {
  path: string;
  text: string;
  isWritten: boolean;
}

const TITLE = "switchyard_data_types";

async function writeMigration({ project, discovery, catalog, applied, isDryRun }: {
  project: Project;
  discovery: Discovery;
  catalog: Catalog;
  /** Versions that the database has applied. */
  applied: readonly string[];
  isDryRun: boolean;
}): Promise<Migration | undefined> {
  if (discovery.proposals.length === 0) return undefined;
  const unapplied = project.migrations.find((name) =>
    titleOf(name) === TITLE && !applied.includes(versionOf(name))
  );
  if (unapplied !== undefined) {
    throw new RefusedError("Cannot write the migration: an earlier one is not applied", {
      detail: `supabase/migrations/${unapplied}`,
      next: "supabase db push, or remove that file first",
    });
  }
  if (catalog.suffix === undefined && !(await makesRegistry(project))) {
    throw new RefusedError("Cannot write the migration: Switchyard is not installed there", {
      detail: `no migration of "${project.folder}" makes data_type_registry_v2`,
      next: `npm run yard -- install --workdir ${project.folder}`,
    });
  }
  const holder = await holderOfGuesses(project, discovery);
  if (holder !== undefined) {
    throw new RefusedError("Cannot write the migration: there is nothing new in it", {
      detail: `supabase/migrations/${holder} has these guesses of low confidence as comments`,
      next: "copy their rows into a migration of your own, corrected",
    });
  }
  const [version] = nextVersions(project, 1, new Date(), applied);
  const path = join(project.migrationsFolder, `${version}_${TITLE}.sql`);
  const text = discoveryMigration(discovery);
  if (!isDryRun) await writeWhole(path, text);
  return { path, text, isWritten: !isDryRun };
}

/** The earlier migration that has all proposals, where none is more than a comment. */
async function holderOfGuesses(
  project: Project,
  { proposals }: Discovery,
): Promise<string | undefined> {
  if (proposals.some(({ confidence }) => confidence !== "low")) return undefined;
  for (const name of project.migrations.filter((each) => titleOf(each) === TITLE)) {
    const text = await Deno.readTextFile(join(project.migrationsFolder, name));
    if (proposals.every(({ dataType }) => text.includes(`'${dataType}'`))) return name;
  }
  return undefined;
}

async function makesRegistry(project: Project): Promise<boolean> {
  for (const name of project.migrations) {
    const text = await Deno.readTextFile(join(project.migrationsFolder, name));
    if (/\bdata_type_registry_v2\b/.test(text)) return true;
  }
  return false;
}

function answer(
  discovery: Discovery,
  description: string,
  migration: Migration | undefined,
): Answer {
  const { proposals, unproposed, registered, otherJobs, knownSymbols, symbolNotes, notes } =
    discovery;
  const json = {
    ...discovery,
    migration: migration === undefined
      ? null
      : { path: migration.path, written: migration.isWritten, sql: migration.text },
  };
  if (migration !== undefined && !migration.isWritten) {
    return { json, lines: [`-- ${migration.path}`, migration.text.trimEnd()] };
  }
  const jobs = (names: readonly string[]) => names.join(", ");
  return {
    json,
    lines: [
      ...(proposals.length === 0 ? [`No data type to propose in ${description}`] : formatTable(
        [
          { title: "data type" },
          { title: "table" },
          { title: "symbol" },
          { title: "timestamp" },
          { title: "conflict columns" },
          { title: "ttl min", align: "right" },
          { title: "provider" },
          { title: "confidence" },
        ],
        proposals.map((proposal) => [
          proposal.dataType,
          proposal.table.value,
          proposal.symbolColumn.value ?? "global",
          proposal.timestampColumn.value,
          proposal.conflictColumns.value.join(", "),
          String(proposal.ttlMinutes.value),
          proposal.provider.value,
          proposal.confidence,
        ]),
      )),
      ...proposals.flatMap((proposal) => [
        "",
        `${proposal.dataType}: ${proposal.functionName}, called by ${jobs(proposal.jobs)}`,
        ...[
          reasonLine("table", proposal.table),
          reasonLine("symbol column", proposal.symbolColumn),
          reasonLine("timestamp column", proposal.timestampColumn),
          reasonLine("conflict columns", proposal.conflictColumns),
          reasonLine("ttl", {
            ...proposal.ttlMinutes,
            value: `${proposal.ttlMinutes.value} min`,
          }),
          reasonLine("provider", proposal.provider),
          ...proposal.notes,
        ].map((line) => `  ${line}`),
      ]),
      ...section(
        "Not proposed:",
        unproposed.map(({ functionName, jobs: names, reason }) =>
          `${functionName ?? "unknown function"} (${jobs(names)}): ${reason}`
        ),
      ),
      ...section(
        "Registered already:",
        registered.map(({ functionName, dataType }) => `${functionName}: ${dataType}`),
      ),
      ...section("Known symbols:", [
        ...(knownSymbols === undefined || knownSymbols === null ? symbolNotes : [
          `${knownSymbols.table}.${knownSymbols.column}` +
          (knownSymbols.activeColumn === null
            ? ""
            : `, in use where ${knownSymbols.activeColumn}`) +
          `: ${knownSymbols.reasons.join("; ")}`,
        ]),
      ]),
      ...section("Notes:", [
        ...notes,
        ...(otherJobs === 0 ? [] : [`${otherJobs} other cron jobs call no Edge Function`]),
        ...(proposals.length === 0 ? [] : [
          "Unknown, and to be stated by you: calls_per_minute and bytes_per_30_days of each provider, " +
          "batch_size and api_calls_per_batch of each data type; until then every claim is refused",
        ]),
      ]),
      ...(migration === undefined
        ? proposals.length === 0 ? [] : ["", "Next: npm run yard -- discover --write"]
        : ["", `Wrote ${migration.path}`, "Next: read it, then supabase db push"]),
    ],
  };
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ["", title, ...lines.map((line) => `  ${line}`)];
}
