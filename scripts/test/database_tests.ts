import { join } from "node:path";
import postgres from "postgres";
import { type PgtapReport, runPgtap } from "../../local/pgtap.ts";
import { type DefaultPrivileges, startStack } from "../../local/stack.ts";
import { formatDuration } from "../format.ts";
import { addResults, noResults, type Results } from "./results.ts";

/**
 * Runs the pgTAP files on the migrated legacy system, once per kind of default privileges, and
 * checks that they have called every function that Switchyard owns.
 */
export async function runDatabaseTests(root: string): Promise<Results> {
  let results = noResults();
  for (const defaultPrivileges of ["legacy", "none"] as const) {
    results = addResults(results, await runOn(root, defaultPrivileges));
  }
  return results;
}

async function runOn(root: string, defaultPrivileges: DefaultPrivileges): Promise<Results> {
  const stack = await startStack({ defaultPrivileges, cron: false, net: false });
  const admin = postgres(stack.adminUrl, { max: 1, onnotice: () => {} });
  try {
    const [server] = await admin<[{ version: string }]>`
      select current_setting('server_version') as version`;
    const title = `pgTAP on PostgreSQL ${server.version}, default privileges: ${defaultPrivileges}`;
    console.log(`\n${title}`);
    await admin`alter database postgres set track_functions = 'all'`;
    const report = await runPgtap(stack.databaseUrl, join(root, "supabase", "tests"));
    print(report);
    const uncalled = await uncalledFunctions(admin);
    for (const name of uncalled) console.log(`not ok    no test calls ${name}`);
    return {
      passed: report.passed + (uncalled.length === 0 ? 1 : 0),
      failed: report.failed + brokenFiles(report) + report.problems.length + uncalled.length,
      skipped: report.skipped,
      failures: [
        ...report.files.filter(({ problems }) => problems.length > 0).map(({ file, problems }) => ({
          name: `${file}, ${title}`,
          message: problems.join("\n"),
        })),
        ...report.problems.map((problem) => ({ name: title, message: problem })),
        ...uncalled.map((name) => ({ name: `no test calls ${name}`, message: "" })),
      ],
    };
  } finally {
    await admin.end();
    await stack.stop();
  }
}

/** Files that fail without a failing test: a wrong plan, an SQL error, no test at all. */
function brokenFiles(report: PgtapReport): number {
  return report.files.filter((file) => file.failed === 0 && file.problems.length > 0).length;
}

function print(report: PgtapReport): void {
  for (const file of report.files) {
    const verdict = file.problems.length === 0 ? "ok    " : "not ok";
    const tests = `${file.passed} of ${file.planned ?? "?"}`;
    console.log(`${verdict}    ${file.file}  ${tests}  (${formatDuration(file.durationMs)})`);
    for (const problem of file.problems) console.log(problem.replace(/^/gm, "          "));
  }
  for (const problem of report.problems) console.log(`not ok    ${problem}`);
}

/** Names of Switchyard's functions that no session has called since the server started. */
async function uncalledFunctions(sql: postgres.Sql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select p.oid::regprocedure::text as name
      from pg_proc as p
      left join pg_stat_user_functions as f on f.funcid = p.oid
     where (p.pronamespace = 'switchyard'::regnamespace
            or (p.pronamespace = 'public'::regnamespace
                and (p.proname ~ '_v2$' or p.proname ~ '^is_feature_enabled')))
       and coalesce(f.calls, 0) = 0
     order by 1`;
  return rows.map(({ name }) => name);
}
