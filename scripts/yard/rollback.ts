import type { Sql, TransactionSql } from "postgres";
import { formatCount } from "../format.ts";
import { type Answer, defineCommand, UsageError } from "./command.ts";
import { DATABASE_OPTIONS, DATABASE_USAGE, inVain, nameSuffix, withDatabase } from "./database.ts";

export const rollback = defineCommand({
  name: "rollback",
  summary: "return a data type to its legacy jobs, from whatever stage",
  usage: `Usage: npm run yard -- rollback <data type> --reason <text> [options]

Moves a data type back to legacy, in one transaction: its legacy jobs run again, its pending jobs are
cancelled, what is in flight writes nothing more. No gate is asked.

${DATABASE_USAGE}
  --reason <text>     why; kept with the move
  --dry-run           say what it would do, and take it back (for a moment it holds the locks)
  --json              print one JSON value
  --help              print this

Exit status: 0 rolled back, or in legacy already; 1 failed; 2 wrong usage`,
  options: {
    ...DATABASE_OPTIONS,
    reason: { type: "string" },
    "dry-run": { type: "boolean" },
  },
  positionals: ["data type"],
  run(invocation) {
    const [dataType = ""] = invocation.positionals;
    const { reason = "", "dry-run": isDryRun = false } = invocation.values;
    if (reason.trim() === "") {
      throw new UsageError(
        `Cannot roll back "${dataType}": found no reason, wanted --reason "why"`,
      );
    }
    return withDatabase(invocation, async (sql, description): Promise<Answer> => {
      const suffix = await nameSuffix(sql, description);
      const run = (tx: Sql | TransactionSql) => rollBack(tx, suffix, dataType, reason);
      const outcome = isDryRun ? await inVain(sql, run) : await run(sql);
      const { fromStage, cancelledJobs } = outcome;
      const jobs = `${formatCount(cancelledJobs)} pending jobs cancelled`;
      return {
        json: { dataType, ...outcome, dryRun: isDryRun },
        lines: [
          fromStage === "legacy"
            ? `"${dataType}" is in legacy; nothing ${isDryRun ? "would change" : "changed"}`
            : isDryRun
            ? `"${dataType}" would go from ${fromStage} to legacy, ${jobs}`
            : `Rolled "${dataType}" back from ${fromStage} to legacy, ${jobs}`,
          ...outcome.legacyJobs.map((job) => `  ${describeJob(job)}`),
        ],
      };
      // That nothing refreshes the data type now.
    }, { tellsWarnings: true });
  },
});

interface Outcome {
  fromStage: string;
  cancelledJobs: number;
  legacyJobs: JobAction[];
}

/** What was done to a legacy job. */
interface JobAction {
  job_id: number;
  job_name?: string;
  action: string;
  note?: string;
}

async function rollBack(
  sql: Sql | TransactionSql,
  suffix: string,
  dataType: string,
  reason: string,
): Promise<Outcome> {
  const [outcome] = await sql<Outcome[]>`
    select from_stage as "fromStage", cancelled_jobs as "cancelledJobs", legacy_jobs as "legacyJobs"
      from public.${sql(`rollback_migration${suffix}`)}(${dataType}::text, ${reason}::text)`;
  return outcome!;
}

function describeJob({ job_id, job_name, action, note }: JobAction): string {
  return `${job_name ?? `#${job_id}`}: ${action}${note === undefined ? "" : `; ${note}`}`;
}
