import { join, relative } from "node:path";
import postgres from "postgres";
import { readTarGz } from "./pgtap/archive.ts";
import { readTap, type TapResult } from "./pgtap/tap.ts";

/** Outcome of one test file. */
export interface PgtapFile extends TapResult {
  /** Path below the folder of the run. */
  file: string;
  durationMs: number;
}

/** Outcome of a run. */
export interface PgtapReport {
  /** Whether at least one file was found and every file passed. */
  ok: boolean;
  files: PgtapFile[];
  /** Sums over the files. */
  ran: number;
  passed: number;
  failed: number;
  skipped: number;
  /** Why the run as a whole fails; the files have their own. */
  problems: string[];
  durationMs: number;
}

const ARCHIVE = new URL(
  "../node_modules/@electric-sql/pglite-pgtap/dist/pgtap.tar.gz",
  import.meta.url,
);
const SCHEMA = "extensions";

/**
 * Runs the pgTAP files (`.sql`, `.pg`) of a folder, one session per file, as the role of `url`.
 * As `supabase test db` does, it creates pgTAP in schema `extensions` and drops it afterwards; the
 * role needs CREATE there. psql commands (`\set`) are not understood.
 * A failing `not ok`, an SQL error, a missing or wrong plan, a file without tests and a folder
 * without files make the report fail.
 */
export async function runPgtap(url: string, folder: string): Promise<PgtapReport> {
  const started = performance.now();
  const paths = await findTests(folder);
  const files: PgtapFile[] = [];
  const problems = paths.length === 0 ? [`There is no .sql or .pg file in "${folder}"`] : [];
  if (paths.length > 0) {
    const { install, uninstall } = await readPgtap();
    const sql = postgres(url, { max: 1, onnotice: () => {} });
    try {
      await refuseExtension(sql);
      // What a run that was killed has left would stand in the way.
      await sql.begin((transaction) =>
        transaction.unsafe(`set local search_path = ${SCHEMA}; ${uninstall} ${install}`)
      );
      try {
        for (const path of paths) files.push(await runFile(url, path, relative(folder, path)));
      } finally {
        await sql.begin((transaction) =>
          transaction.unsafe(`set local search_path = ${SCHEMA}; ${uninstall}`)
        );
      }
    } finally {
      await sql.end();
    }
  }
  const sum = (key: "ran" | "passed" | "failed" | "skipped") =>
    files.reduce((total, file) => total + file[key], 0);
  return {
    ok: problems.length === 0 && files.every((file) => file.problems.length === 0),
    files,
    ran: sum("ran"),
    passed: sum("passed"),
    failed: sum("failed"),
    skipped: sum("skipped"),
    problems,
    durationMs: performance.now() - started,
  };
}

/** A report for people: a line per file, and below it why it fails. */
export function formatPgtapReport(report: PgtapReport): string {
  const width = Math.max(0, ...report.files.map(({ file }) => file.length));
  const lines = report.files.flatMap((file) => [
    `${file.problems.length === 0 ? "ok  " : "FAIL"} ${file.file.padEnd(width)}` +
    ` ${String(file.passed).padStart(4)} passed  ${Math.round(file.durationMs)} ms`,
    ...file.problems.map((problem) => problem.replaceAll(/^/gm, "     ")),
  ]);
  return [
    ...lines,
    ...report.problems,
    `pgTAP: ${report.files.length} files, ${report.passed} tests passed, ${report.failed} failed, ` +
    `${report.skipped} skipped, ${Math.round(report.durationMs)} ms`,
  ].join("\n");
}

async function findTests(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of Deno.readDir(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) found.push(...await findTests(path));
    else if (/\.(sql|pg)$/.test(entry.name)) found.push(path);
  }
  return found.sort();
}

async function readPgtap(): Promise<{ install: string; uninstall: string }> {
  const files = readTarGz(await Deno.readFile(ARCHIVE));
  const folder = "share/postgresql/extension/";
  const name = [...files.keys()].find((path) => /\/pgtap--[\d.]+\.sql$/.test(path));
  const install = files.get(name ?? "");
  const uninstall = files.get(`${folder}uninstall_pgtap.sql`);
  if (install === undefined || uninstall === undefined) {
    throw new Error(
      `Cannot find pgTAP in "${ARCHIVE.pathname}": wanted pgtap--<version>.sql and ` +
        `uninstall_pgtap.sql; run npm ci`,
    );
  }
  return {
    install,
    uninstall: uninstall.replaceAll(/^DROP (VIEW|TYPE|FUNCTION) (?!IF)/gm, "DROP $1 IF EXISTS "),
  };
}

async function refuseExtension(sql: postgres.Sql): Promise<void> {
  const [row] = await sql`select from pg_extension where extname = 'pgtap'`;
  if (row !== undefined) {
    throw new Error(
      "Cannot load pgTAP: the database has the extension pgtap; run drop extension pgtap",
    );
  }
}

async function runFile(url: string, path: string, file: string): Promise<PgtapFile> {
  const started = performance.now();
  const text = await Deno.readTextFile(path);
  const lines: string[] = [];
  const sql = postgres(url, {
    max: 1,
    onnotice: () => {},
    connection: { search_path: `"$user", public, ${SCHEMA}` },
  });
  let error: string | undefined;
  try {
    await sql.unsafe(text).simple().forEach((row) => {
      const values = Object.values(row as Record<string, unknown>);
      lines.push(...values.map((value) => String(value ?? "")).join("|").split("\n"));
    });
  } catch (caught) {
    error = describe(caught, text);
  } finally {
    await sql.end();
  }
  const result = readTap(lines);
  if (error !== undefined) result.problems.unshift(error);
  return { file, ...result, durationMs: performance.now() - started };
}

/** The error with its place in the file, as psql tells it. */
function describe(error: unknown, text: string): string {
  if (!(error instanceof postgres.PostgresError)) return `Cannot run the file: ${error}`;
  const parts = [`${error.severity ?? "ERROR"}: ${error.message} (SQLSTATE ${error.code})`];
  if (error.position !== undefined) {
    const before = text.slice(0, Number(error.position) - 1);
    parts.push(`LINE ${before.split("\n").length}`);
  }
  if (error.detail !== undefined) parts.push(`DETAIL: ${error.detail}`);
  if (error.hint !== undefined) parts.push(`HINT: ${error.hint}`);
  if (error.where !== undefined) parts.push(`CONTEXT: ${error.where}`);
  return parts.join("\n");
}
