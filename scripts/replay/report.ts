import { formatCount, formatTable } from "../format.ts";
import type { Unit } from "./plan.ts";
import type { ReplayError, ReplayReply, UnitResult } from "./protocol.ts";
import type { Recording } from "./recordings.ts";

/** What became of a recording. */
export interface FileReport {
  file: string;
  endpoint: string;
  label: string | null;
  /** Null when no data type uses the endpoint. */
  dataType: string | null;
  /**
   * - `completed`, `empty`: as the queue settled its jobs; one that completed is enough for the former
   * - `failed`: at least one job failed, for a reason that lies in the recording
   * - `skipped`: nothing was done with it
   * - `unprocessed`: it could not be read or replayed
   */
  outcome: "completed" | "empty" | "failed" | "skipped" | "unprocessed";
  /** Of the first failed job; null unless the outcome is `failed`. */
  error: ReplayError | null;
  /** Why it was skipped or could not be processed; null otherwise. */
  reason: string | null;
  /** Jobs that it answered. */
  jobs: number;
  /** Rows written by those jobs, also where other recordings had a part in them. */
  rowsWritten: number;
  /** Columns that are null in every row written. */
  columnsLeftNull: string[];
  warnings: string[];
  /** Warnings beyond those listed. */
  warningsLeftOut: number;
  /** Other recordings that the same jobs were made from. */
  replayedWith: string[];
}

/** A unit with what became of it. */
export interface Replayed {
  unit: Unit;
  reply: ReplayReply;
}

/** Puts together what is known of a recording. */
export function fileReport(
  { file, endpoint, label }: Recording,
  known: {
    dataType: string | null;
    problem: string | undefined;
    skipped: string | undefined;
    replayed: readonly Replayed[];
  },
): FileReport {
  const results = known.replayed.flatMap(({ reply }) => "result" in reply ? [reply.result] : []);
  const problem = known.problem ??
    known.replayed.flatMap(({ reply }) => "problem" in reply ? [reply.problem] : [])[0];
  const outcome = problem !== undefined
    ? "unprocessed"
    : known.skipped !== undefined
    ? "skipped"
    : outcomeOf(results);
  const others = known.replayed.flatMap(({ unit }) => unit.answers.map((answer) => answer.file));
  const withRows = results.filter(({ rowsWritten }) => rowsWritten > 0);
  return {
    file,
    endpoint,
    label,
    dataType: known.dataType,
    outcome,
    error: outcome === "failed" ? results.find(({ error }) => error !== null)?.error ?? null : null,
    reason: problem ?? known.skipped ?? null,
    jobs: known.replayed.reduce((total, { unit }) => total + unit.symbols.length, 0),
    rowsWritten: results.reduce((total, { rowsWritten }) => total + rowsWritten, 0),
    columnsLeftNull: (withRows[0]?.columnsLeftNull ?? []).filter((column) =>
      withRows.every(({ columnsLeftNull }) => columnsLeftNull.includes(column))
    ),
    warnings: [...new Set(results.flatMap(({ warnings }) => warnings))],
    warningsLeftOut: results.reduce((total, { warningsLeftOut }) => total + warningsLeftOut, 0),
    replayedWith: [...new Set(others)].filter((other) => other !== file).sort(),
  };
}

/** Whether every recording was processed, whatever its outcome. */
export function allProcessed(reports: readonly FileReport[]): boolean {
  return reports.every(({ outcome }) => outcome !== "unprocessed");
}

/** A table, then what does not fit in it, then one line with the sums. */
export function formatReports(
  reports: readonly FileReport[],
  rowsWritten: number,
): string[] {
  const count = (wanted: FileReport["outcome"]) =>
    reports.filter(({ outcome }) => outcome === wanted).length;
  const sums = (["completed", "empty", "failed", "skipped", "unprocessed"] as const)
    .map((outcome) => `${formatCount(count(outcome))} ${outcome}`);
  const notes = reports.flatMap(notesOf);
  return [
    ...formatTable(
      [
        { title: "file" },
        { title: "data type" },
        { title: "outcome" },
        { title: "rows", align: "right" },
        { title: "left null", align: "right" },
        { title: "warnings", align: "right" },
      ],
      reports.map((report) => [
        shortened(printable(report.file)),
        report.dataType ?? "none",
        report.error === null
          ? report.outcome
          : `${report.outcome}: ${report.error.class}, ${printable(report.error.code)}`,
        formatCount(report.rowsWritten),
        formatCount(report.columnsLeftNull.length),
        formatCount(report.warnings.length + report.warningsLeftOut),
      ]),
    ),
    "",
    ...(notes.length === 0 ? [] : [...notes, ""]),
    `${formatCount(reports.length)} files: ${sums.join(", ")}; ${
      formatCount(rowsWritten)
    } rows written`,
  ];
}

/** Longest file name in the table; below it the whole name stands. */
const LONGEST_NAME = 60;

/** Warnings of one file that are printed; `--json` has more. */
const MOST_PRINTED = 5;

function notesOf(report: FileReport): string[] {
  const { error, reason, columnsLeftNull, replayedWith } = report;
  const more = report.warnings.length + report.warningsLeftOut - MOST_PRINTED;
  const notes = [
    ...(error === null ? [] : [`failed: ${error.message}`]),
    ...(reason === null ? [] : [`${report.outcome}: ${reason}`]),
    ...(replayedWith.length === 0 ? [] : [`together with: ${replayedWith.join(", ")}`]),
    ...(columnsLeftNull.length === 0 ? [] : [`left null: ${columnsLeftNull.join(", ")}`]),
    ...report.warnings.slice(0, MOST_PRINTED).map((warning) => `warning: ${warning}`),
    ...(more > 0 ? [`and ${formatCount(more)} more warnings`] : []),
  ];
  const isNamedAbove = shortened(report.file) === report.file;
  return notes.length === 0 && isNamedAbove
    ? []
    : [printable(report.file), ...notes.map((note) => `  ${printable(note)}`)];
}

/** Without what moves the cursor or colours the terminal: names and vendor texts may hold it. */
function printable(text: string): string {
  return text.toWellFormed().replaceAll(
    /[\p{Cc}\p{Cf}\u2028\u2029]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

function shortened(text: string): string {
  const characters = [...text];
  return characters.length <= LONGEST_NAME
    ? text
    : `${characters.slice(0, LONGEST_NAME - 1).join("")}…`;
}

function outcomeOf(results: readonly UnitResult[]): FileReport["outcome"] {
  if (results.some(({ failed }) => failed > 0)) return "failed";
  return results.some(({ completed }) => completed > 0) ? "completed" : "empty";
}
