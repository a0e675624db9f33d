import { join, resolve } from "node:path";
import type { Sql, TransactionSql } from "postgres";
import { formatCount, formatTable } from "../format.ts";
import { type BaselineFile, readBaseline, refuseTaken, writeBaseline } from "./baseline_file.ts";
import { importBaseline } from "./baseline_import.ts";
import { measureFreshness, measureJobs, measureRows } from "./baseline_measure.ts";
import { type Answer, defineCommand, type Invocation, UsageError } from "./command.ts";
import {
  DATABASE_OPTIONS,
  DATABASE_USAGE,
  databaseUrl,
  inVain,
  nameSuffix,
  withDatabase,
} from "./database.ts";
import { readCatalog } from "./discover/catalog.ts";
import { guess } from "./discover/guess.ts";
import type { KnownSymbols, Proposal } from "./discover/proposal.ts";
import { readCode } from "./discover/sources.ts";
import { PROJECT_OPTIONS, PROJECT_USAGE, projectFolder } from "./project.ts";

const OPTIONS = {
  ...DATABASE_OPTIONS,
  ...PROJECT_OPTIONS,
  out: { type: "string" },
  minutes: { type: "string" },
  notes: { type: "string" },
  import: { type: "string" },
  "dry-run": { type: "boolean" },
} as const;

export const baseline = defineCommand({
  name: "baseline",
  summary: "record the old world, to compare the new one with",
  usage: `Usage: npm run yard -- baseline [--db-url <url>] [options]

Records cron jobs with schedules and last runs, row counts, and how old the rows of each data type are.
Before Switchyard is installed: into a file, by what discover finds (guesses of low confidence are
left out). Nothing is written to the database. Afterwards: into switchyard.baseline, by the registry,
and from then on the database samples freshness each minute.

${DATABASE_USAGE}
${PROJECT_USAGE}
  --out <file>        the file (default: switchyard-baseline.json in the repository); must not exist
  --minutes <n>       go on for so long, a sample each minute (only into a file)
  --notes <text>      kept with it
  --import <file>     put the file into switchyard.baseline, once Switchyard is installed
  --dry-run           measure, and write nothing
  --json              print one JSON value
  --help              print this

Exit status: 0 recorded; 1 refused or failed; 2 wrong usage`,
  options: OPTIONS,
  async run(invocation) {
    const { values, cwd } = invocation;
    const minutes = readMinutes(values.minutes);
    if (values.import !== undefined) {
      if (values.out !== undefined || values.minutes !== undefined || values.notes !== undefined) {
        throw new UsageError(
          "Cannot use --import with --out, --minutes or --notes: they record anew",
        );
      }
      const path = resolve(cwd, values.import);
      const file = await readBaseline(path);
      return await withDatabase(invocation, async (sql, description) => {
        const suffix = await nameSuffix(sql, description);
        return await importBaseline(sql, suffix, file, path, values["dry-run"] ?? false);
      });
    }
    return await withDatabase(invocation, async (sql, description) => {
      const [installed] = await sql<{ is: boolean }[]>`
        select exists (select from pg_namespace where nspname = 'switchyard') as is`;
      return installed?.is
        ? await recordInDatabase(sql, await nameSuffix(sql, description), invocation)
        : await recordInFile(sql, invocation, minutes);
    });
  },
});

type BaselineInvocation = Invocation<typeof OPTIONS>;

function readMinutes(text: string | undefined): number {
  if (text === undefined) return 0;
  const minutes = Number(text);
  if (!Number.isInteger(minutes) || minutes < 1 || minutes > 10_080) {
    throw new UsageError(`Cannot use --minutes ${text}: wanted a whole number from 1 to 10080`);
  }
  return minutes;
}

interface RecordedRow {
  kind: string;
  subject: string;
  value: Record<string, unknown>;
}

async function recordInDatabase(
  sql: Sql,
  suffix: string,
  { values }: BaselineInvocation,
): Promise<Answer> {
  if (values.minutes !== undefined || values.out !== undefined) {
    throw new UsageError(
      "Cannot use --minutes or --out: Switchyard is installed, and its database samples each minute",
    );
  }
  const isDryRun = values["dry-run"] ?? false;
  const record = async (tx: Sql | TransactionSql) => [
    ...await tx<RecordedRow[]>`
      select kind, subject, value
        from public.${tx(`record_baseline${suffix}`)}(${values.notes ?? null}::text)`,
  ];
  const rows = isDryRun ? await inVain(sql, record) : await record(sql);
  return {
    json: { dryRun: isDryRun, recorded: rows },
    lines: [
      ...describeRows(rows),
      "",
      isDryRun
        ? "Nothing was recorded"
        : "Recorded in switchyard.baseline; freshness is sampled each minute from now on",
    ],
  };
}

async function recordInFile(
  sql: Sql,
  invocation: BaselineInvocation,
  minutes: number,
): Promise<Answer> {
  const { values, cwd, progress, signal } = invocation;
  const path = values.out === undefined
    ? join(projectFolder(invocation), "switchyard-baseline.json")
    : resolve(cwd, values.out);
  const isDryRun = values["dry-run"] ?? false;
  if (!isDryRun) await refuseTaken(path);
  const catalog = await readCatalog(sql, progress);
  const code = await readCode(join(projectFolder(invocation), "supabase", "functions"), catalog);
  const discovery = guess(catalog, code);
  const types = discovery.proposals.filter(({ confidence }) => confidence !== "low");
  const known = discovery.knownSymbols ?? undefined;
  const tables = new Set(types.map(({ table }) => table.value));
  if (known !== undefined) tables.add(known.table);
  const { host, pathname } = new URL(databaseUrl(invocation)!);
  const file: BaselineFile = {
    format: "switchyard-baseline-1",
    recordedAt: catalog.now.toISOString(),
    database: `${host}${pathname}`,
    notes: values.notes ?? null,
    jobs: await measureJobs(sql),
    rows: await measureRows(sql, [...tables].sort()),
    freshness: [],
  };
  await eachMinute(minutes, (moment) => until(moment, signal), async (number) => {
    progress(`Sample ${number + 1} of ${minutes + 1}`);
    file.freshness.push(...await sample(sql, types, known));
    // Each time, so that breaking it off loses nothing.
    if (!isDryRun) await writeBaseline(path, file);
  });
  const leftOut = discovery.proposals.filter(({ confidence }) => confidence === "low")
    .map(({ functionName }) => functionName);
  return {
    json: { dryRun: isDryRun, path: isDryRun ? null : path, leftOut, baseline: file },
    lines: [
      ...describeRows([
        ...file.jobs.map((row) => ({ kind: "job", ...row })),
        ...file.rows.map((row) => ({ kind: "rows", ...row })),
        ...file.freshness.slice(-types.length).map(({ dataType, value }) => ({
          kind: "freshness",
          subject: dataType,
          value,
        })),
      ]),
      ...(leftOut.length === 0
        ? []
        : ["", `Left out, as their tables are guessed with low confidence: ${leftOut.join(", ")}`]),
      "",
      ...(isDryRun ? ["Nothing was written"] : [
        `Wrote ${path}`,
        `Next: when Switchyard is installed, npm run yard -- baseline --import ${path}`,
      ]),
    ],
  };
}

async function sample(
  sql: Sql,
  types: readonly Proposal[],
  known: KnownSymbols | undefined,
): Promise<BaselineFile["freshness"]> {
  const samples: BaselineFile["freshness"] = [];
  for (const type of types) samples.push(await measureFreshness(sql, type, known));
  return samples;
}

/**
 * Does something now and each minute after, for so many minutes. `wait` gets moments of the monotonic
 * clock, in milliseconds, so that what takes time itself shifts nothing.
 */
export async function eachMinute(
  minutes: number,
  wait: (moment: number) => Promise<void>,
  work: (number: number) => Promise<void>,
): Promise<void> {
  const started = performance.now();
  for (let minute = 0; minute <= minutes; minute++) {
    await wait(started + minute * 60_000);
    await work(minute);
  }
}

/** Waits for a moment of the monotonic clock; ends early when interrupted. */
function until(moment: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const waiting = Promise.withResolvers<void>();
  const timer = setTimeout(waiting.resolve, Math.max(0, moment - performance.now()));
  const abort = () => waiting.reject(signal.reason);
  signal.addEventListener("abort", abort);
  return waiting.promise.finally(() => {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  });
}

/** A table of jobs, and one of tables and data types. */
function describeRows(rows: readonly RecordedRow[]): string[] {
  const of = (kind: string) => rows.filter((row) => row.kind === kind);
  const number = (value: unknown) =>
    typeof value === "number" ? formatCount(Math.round(value)) : "";
  const text = (value: unknown) => typeof value === "string" ? value : "";
  return [
    ...formatTable(
      [
        { title: "cron job" },
        { title: "schedule" },
        { title: "active" },
        { title: "last run" },
        { title: "status" },
        { title: "runs in a day", align: "right" },
        { title: "failed", align: "right" },
      ],
      of("job").map(({ subject, value }) => [
        subject,
        text(value.schedule),
        value.active === true ? "yes" : "no",
        text(value.last_start).slice(0, 19).replace("T", " "),
        text(value.last_status),
        number(value.runs),
        number(value.failures),
      ]),
    ),
    "",
    ...formatTable(
      [{ title: "table" }, { title: "rows", align: "right" }, { title: "problem" }],
      of("rows").map(({ subject, value }) => [subject, number(value.rows), text(value.problem)]),
    ),
    "",
    ...formatTable(
      [
        { title: "data type" },
        { title: "symbols", align: "right" },
        { title: "with rows", align: "right" },
        { title: "stale", align: "right" },
        { title: "p50 age s", align: "right" },
        { title: "p95 age s", align: "right" },
        { title: "max age s", align: "right" },
        { title: "problem" },
      ],
      of("freshness").map(({ subject, value }) => [
        subject,
        number(value.symbols_known),
        number(value.rows),
        number(value.stale_rows),
        number(value.p50_age_seconds),
        number(value.p95_age_seconds),
        number(value.max_age_seconds),
        text(value.problem),
      ]),
    ),
  ];
}
