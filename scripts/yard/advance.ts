import { type Answer, defineCommand, RefusedError, UsageError } from "./command.ts";
import { DATABASE_OPTIONS, DATABASE_USAGE, inVain, nameSuffix, withDatabase } from "./database.ts";
import { formatGates, readGates } from "./gates.ts";

export const advance = defineCommand({
  name: "advance",
  summary: "move a data type to its next stage, when the gates hold",
  usage: `Usage: npm run yard -- advance <data type> [<stage>] [options]

Moves a data type on: legacy → shadow → canary → live → retired. Its flag and its legacy jobs follow in
the same transaction. When a gate does not hold nothing changes.

${DATABASE_USAGE}
  --force             move although gates do not hold; wants --reason
  --reason <text>     why; kept with the move and with the gates that did not hold
  --dry-run           show the gates, and change nothing
  --json              print one JSON value
  --help              print this

Exit status: 0 moved, or there already; 1 refused or failed (--dry-run: would be refused);
2 wrong usage`,
  options: {
    ...DATABASE_OPTIONS,
    force: { type: "boolean" },
    reason: { type: "string" },
    "dry-run": { type: "boolean" },
  },
  positionals: ["data type"],
  optionalPositionals: ["stage"],
  run(invocation) {
    const [dataType = "", stage = null] = invocation.positionals;
    const { force = false, reason = null, "dry-run": isDryRun = false } = invocation.values;
    if (force && (reason ?? "").trim() === "") {
      throw new UsageError(`Cannot force "${dataType}": --force wants --reason "why"`);
    }
    return withDatabase(invocation, async (sql, description): Promise<Answer> => {
      const suffix = await nameSuffix(sql, description);
      if (isDryRun) {
        const gates = await inVain(sql, (tx) => readGates(tx, suffix, dataType, stage));
        const broken = gates.filter(({ holds }) => !holds).map(({ gate }) => gate);
        // The registry's own faults cannot be overridden.
        const isRefused = force ? broken.includes("registry") : broken.length > 0;
        return {
          json: { dataType, toStage: stage, dryRun: true, wouldMove: !isRefused, gates },
          lines: [
            ...formatGates(gates, invocation.paint),
            "",
            isRefused
              ? `"${dataType}" would not be moved: ${broken.length} of ${gates.length} gates do not hold`
              : `"${dataType}" would be moved`,
          ],
          status: isRefused ? 1 : 0,
        };
      }
      const [move] = await sql<[Move]>`
        select from_stage as "fromStage", to_stage as "toStage", moved,
               to_json(overridden) as overridden, to_json(missing) as missing
          from public.${sql(`advance_migration${suffix}`)}(
                 ${dataType}::text, ${stage}::text, ${force}::boolean, ${reason}::text)`;
      const { fromStage, toStage, moved, overridden, missing } = move;
      if (missing.length > 0) {
        const gates = missing.length === 1 ? "1 gate does" : `${missing.length} gates do`;
        throw new RefusedError(`Cannot move "${dataType}" to ${toStage}: ${gates} not hold`, {
          detail: missing.join("\n"),
          next: `npm run yard -- advance ${[dataType, stage].filter(Boolean).join(" ")} --dry-run`,
          code: "SY024",
        });
      }
      return {
        json: { dataType, fromStage, toStage, moved, overridden, dryRun: false },
        lines: [
          moved
            ? `Moved "${dataType}" from ${fromStage} to ${toStage}` +
              (overridden.length === 0 ? "" : `, over ${overridden.join(", ")}`)
            : `"${dataType}" is in ${toStage}; nothing changed`,
        ],
      };
    });
  },
});

interface Move {
  fromStage: string;
  toStage: string;
  moved: boolean;
  /** Gates that did not hold when the move was forced. */
  overridden: string[];
  /** Gates that keep it from moving, with what was found and wanted. */
  missing: string[];
}
