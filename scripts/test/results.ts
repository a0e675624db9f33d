/** How many tests passed, failed and were skipped, and what is known of those that failed. */
export interface Results {
  passed: number;
  failed: number;
  skipped: number;
  failures: readonly Failure[];
}

/** A failure, of which there may be fewer than failed tests: a file that breaks off cancels the rest of its own. */
export interface Failure {
  /** The test and where it is. */
  name: string;
  message: string;
}

export function noResults(): Results {
  return { passed: 0, failed: 0, skipped: 0, failures: [] };
}

export function addResults(a: Results, b: Results): Results {
  return {
    passed: a.passed + b.passed,
    failed: a.failed + b.failed,
    skipped: a.skipped + b.skipped,
    failures: [...a.failures, ...b.failures],
  };
}

/** The closing line: `12 passed, 0 failed`, with `, 1 skipped` when some were. */
export function formatResults({ passed, failed, skipped }: Results): string {
  return `${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`;
}

const MOST_LINES = 14;
const LONGEST_LINE = 200;

/** Each failure with the beginning of its message, to read where a long run's output ends. */
export function formatFailures(failures: readonly Failure[]): string {
  return failures.map(({ name, message }) => {
    const lines = message.split("\n").filter((line) =>
      line.trim() !== "" && !/^ {4}at .*\(ext:/.test(line)
    );
    const shown = lines.slice(0, MOST_LINES).map((line) =>
      line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE)}…` : line
    );
    if (lines.length > MOST_LINES) shown.push(`… ${lines.length - MOST_LINES} lines more, above`);
    return [name, ...shown.map((line) => `    ${line}`)].join("\n");
  }).join("\n");
}
