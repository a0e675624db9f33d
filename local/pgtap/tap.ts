/** What the output of one test file says. */
export interface TapResult {
  /** Number of tests announced; null when there is no plan. */
  planned: number | null;
  ran: number;
  passed: number;
  /** Tests that failed and were not expected to (`todo`). */
  failed: number;
  skipped: number;
  /** Why the file fails, each with its diagnostic lines; empty when it passes. */
  problems: string[];
}

const TEST = /^(not )?ok\b(?:\s+(\d+))?(.*)$/;
const PLAN = /^1\.\.(\d+)(?:\s+#\s*skip\b.*)?$/i;
const DIRECTIVE = /#\s*(todo|skip)\b/i;

/** Reads TAP lines; indented lines (subtests) and anything else that is not TAP do not count. */
export function readTap(lines: readonly string[]): TapResult {
  const result: TapResult = {
    planned: null,
    ran: 0,
    passed: 0,
    failed: 0,
    skipped: 0,
    problems: [],
  };
  let failing: string[] | undefined;
  const failures: string[][] = [];
  let skipsAll = false;
  for (const line of lines) {
    const plan = PLAN.exec(line);
    const test = TEST.exec(line);
    if (plan !== null) {
      if (result.planned !== null) result.problems.push(`Found a second plan: ${line}`);
      result.planned = Number(plan[1]);
      skipsAll = result.planned === 0 && line.includes("#");
    } else if (test !== null) {
      failing = undefined;
      result.ran++;
      const [, not, number, rest = ""] = test;
      const directive = DIRECTIVE.exec(rest)?.[1]?.toLowerCase();
      if (number !== undefined && Number(number) !== result.ran) {
        result.problems.push(`Found test number ${number}, wanted ${result.ran}: ${line}`);
      }
      if (directive === "skip") result.skipped++;
      else if (not === undefined || directive === "todo") result.passed++;
      else {
        result.failed++;
        failing = [line];
        failures.push(failing);
      }
    } else if (line.startsWith("Bail out!")) {
      result.problems.push(line);
    } else if (line.startsWith("#")) {
      failing?.push(line);
    }
  }
  result.problems.unshift(...failures.map((failure) => failure.join("\n")));
  if (result.planned === null) {
    result.problems.push("There is no plan: call plan(n) first, or no_plan() and finish()");
  } else if (result.planned !== result.ran) {
    result.problems.push(`Planned ${result.planned} tests but ran ${result.ran}`);
  }
  if (result.ran === 0 && !skipsAll) result.problems.push("The file ran no tests");
  return result;
}
