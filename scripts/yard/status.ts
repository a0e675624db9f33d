import type { Sql } from "postgres";
import { formatTable } from "../format.ts";
import { type Answer, defineCommand, type Paint, RefusedError } from "./command.ts";
import { DATABASE_OPTIONS, DATABASE_USAGE, nameSuffix, withDatabase } from "./database.ts";
import { formatGates, type Gate, readGates } from "./gates.ts";

export const status = defineCommand({
  name: "status",
  summary: "show where each data type stands, and what keeps it there",
  usage: `Usage: npm run yard -- status [<data type>] [--db-url <url>] [--json]

Prints the flags and migration_status_v2: stage, who refreshes the type now, its legacy jobs, what is
pending. With a data type: the gates before its next stage as they are now, and its last moves.

${DATABASE_USAGE}
  --json              print one JSON value
  --help              print this

Exit status: 0 done, 1 failed, 2 wrong usage`,
  options: DATABASE_OPTIONS,
  optionalPositionals: ["data type"],
  run(invocation) {
    const [dataType] = invocation.positionals;
    return withDatabase(invocation, async (sql, description) => {
      const suffix = await nameSuffix(sql, description);
      const types = await readTypes(sql, suffix);
      if (dataType === undefined) {
        return overview(await readFlags(sql), types, invocation.paint);
      }
      const type = types.find((known) => known.dataType === dataType);
      if (type === undefined) throw unknownType(dataType, types);
      const gates = type.nextStage === null ? [] : await readGates(sql, suffix, dataType, null);
      return details(type, gates, await readMoves(sql, dataType), invocation.paint);
    });
  },
});

interface TypeStatus {
  dataType: string;
  stage: string;
  stageEnteredAt: Date;
  canaryPercent: number;
  refreshedBy: string;
  legacyJobs: number;
  legacyJobsActive: number;
  nextStage: string | null;
  gatesBroken: string[];
  pendingJobs: number;
  openAlerts: number;
}

async function readTypes(sql: Sql, suffix: string): Promise<TypeStatus[]> {
  const rows = await sql<TypeStatus[]>`
    select data_type as "dataType", stage, stage_entered_at as "stageEnteredAt",
           canary_percent as "canaryPercent", refreshed_by as "refreshedBy",
           legacy_jobs::int as "legacyJobs", legacy_jobs_active::int as "legacyJobsActive",
           next_stage as "nextStage", to_json(gates_broken) as "gatesBroken",
           pending_jobs::int as "pendingJobs", open_alerts::int as "openAlerts"
      from public.${sql(`migration_status${suffix}`)}
     order by data_type`;
  return [...rows];
}

interface Flag {
  name: string;
  enabled: boolean;
}

async function readFlags(sql: Sql): Promise<Flag[]> {
  // Those of single data types say what their stages say.
  const rows = await sql<Flag[]>`
    select flag_name as name, enabled from public.feature_flags
     where flag_name not like 'use\\_queue\\_for\\_%' order by flag_name`;
  return [...rows];
}

interface Move {
  occurredAt: Date;
  fromStage: string;
  toStage: string;
  forced: boolean;
  automatic: boolean;
  reason: string | null;
  changedBy: string;
}

async function readMoves(sql: Sql, dataType: string): Promise<Move[]> {
  const rows = await sql<Move[]>`
    select occurred_at as "occurredAt", from_stage as "fromStage", to_stage as "toStage", forced,
           automatic, reason, changed_by as "changedBy"
      from switchyard.migration_events
     where data_type = ${dataType} and kind = 'stage'
     order by id desc limit 10`;
  return [...rows];
}

function unknownType(dataType: string, types: readonly TypeStatus[]): RefusedError {
  return new RefusedError(`Cannot show "${dataType}": no such data type`, {
    detail: types.length === 0
      ? "the registry is empty"
      : `registered are ${types.map((type) => type.dataType).join(", ")}`,
    next: "npm run yard -- status",
  });
}

function overview(flags: readonly Flag[], types: readonly TypeStatus[], paint: Paint): Answer {
  const on = flags.filter(({ enabled }) => enabled).map(({ name }) => name);
  const off = flags.filter(({ enabled }) => !enabled).map(({ name }) => name);
  const lines = formatTable(
    [
      { title: "data type" },
      { title: "stage" },
      { title: "since (UTC)" },
      { title: "refreshed by" },
      { title: "legacy jobs", align: "right" },
      { title: "pending", align: "right" },
      { title: "alerts", align: "right" },
      { title: "gates that did not hold" },
    ],
    types.map((type) => [
      type.dataType,
      stageOf(type),
      minuteOf(type.stageEnteredAt),
      type.refreshedBy,
      `${type.legacyJobsActive} of ${type.legacyJobs}`,
      String(type.pendingJobs),
      String(type.openAlerts),
      type.gatesBroken.join(", "),
    ]),
  );
  const needsCare = (type: TypeStatus) => type.refreshedBy === "nobody" || type.openAlerts > 0;
  return {
    json: { flags, dataTypes: types },
    lines: [
      `On: ${on.join(", ") || "no flag"}; off: ${off.join(", ") || "no flag"}`,
      "",
      ...(types.length === 0 ? ["No data type is registered"] : [
        ...lines.slice(0, 2).map((line) => paint.dim(line)),
        ...lines.slice(2).map((line, index) => needsCare(types[index]!) ? paint.red(line) : line),
      ]),
      ...(types.length === 0 ? ["Next: npm run yard -- discover --write"] : []),
    ],
  };
}

function details(
  type: TypeStatus,
  gates: readonly Gate[],
  moves: readonly Move[],
  paint: Paint,
): Answer {
  return {
    json: { ...type, gates, moves },
    lines: [
      `${paint.bold(type.dataType)} is in ${stageOf(type)} since ${
        minuteOf(type.stageEnteredAt)
      } UTC, ` +
      `refreshed by ${type.refreshedBy}`,
      `${type.legacyJobsActive} of ${type.legacyJobs} legacy jobs active, ${type.pendingJobs} jobs ` +
      `pending, ${type.openAlerts} open alerts`,
      ...(type.nextStage === null ? [] : [
        "",
        `Gates before ${type.nextStage}:`,
        ...formatGates(gates, paint),
      ]),
      ...(moves.length === 0 ? [] : [
        "",
        "Last moves:",
        ...formatTable(
          [{ title: "when (UTC)" }, { title: "move" }, { title: "by" }, { title: "why" }],
          moves.map((move) => [
            minuteOf(move.occurredAt),
            `${move.fromStage} → ${move.toStage}`,
            move.automatic
              ? "the guard"
              : move.forced
              ? `${move.changedBy}, forced`
              : move.changedBy,
            move.reason ?? "",
          ]),
        ),
      ]),
      ...(type.nextStage === null || gates.some(({ holds }) => !holds)
        ? []
        : ["", `Next: npm run yard -- advance ${type.dataType} ${type.nextStage}`]),
    ],
  };
}

function stageOf({ stage, canaryPercent }: TypeStatus): string {
  return stage === "canary" ? `canary ${canaryPercent} %` : stage;
}

/** `2026-11-25 02:15`. */
function minuteOf(time: Date): string {
  return time.toISOString().slice(0, 16).replace("T", " ");
}
