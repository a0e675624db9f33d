import type { Failure, Results } from "./results.ts";

/**
 * Reads what `deno test` printed: its closing line, as in `ok | 12 passed (3 steps) | 0 failed | 1 ignored (2s)`,
 * and its list of errors. A run that ends without that line, or with a status that the line does not explain,
 * counts as one more failure.
 */
export function readDenoOutput(output: string, status: number): Results {
  const lines = output.split("\n");
  const closing = lines.findLast((text) => /^(ok|FAILED) \| /.test(text)) ?? "";
  const count = (word: string) => Number(new RegExp(`(\\d+) ${word}`).exec(closing)?.[1] ?? 0);
  const results: Results = {
    passed: count("passed"),
    failed: count("failed"),
    skipped: count("ignored"),
    failures: failuresOf(lines),
  };
  const isExplained = closing !== "" && (status === 0) === (results.failed === 0);
  if (isExplained) return results;
  return {
    ...results,
    failed: results.failed + 1,
    failures: [...results.failures, {
      name: `deno test ended with status ${status}, ${
        closing === "" ? "without a summary" : `after "${closing}"`
      }; its last lines:`,
      message: lines.filter((line) => line.trim() !== "").slice(-10).join("\n"),
    }],
  };
}

/** The names stand once more behind the errors, which tells them from lines of a message that look alike. */
function failuresOf(lines: readonly string[]): Failure[] {
  const end = lines.lastIndexOf(" FAILURES ");
  const start = lines.lastIndexOf(" ERRORS ", end);
  if (start < 0 || end < 0) return [];
  const names = lines.slice(end + 1).filter((line) =>
    / => .+:\d+:\d+$| \(uncaught error\)$/.test(line)
  );
  const failures: Failure[] = [];
  let message: string[] = [];
  for (const line of lines.slice(start + 1, end)) {
    if (line === names[failures.length]) {
      message = [];
      failures.push({ name: line, message: "" });
    } else if (failures.length > 0) {
      message.push(line);
      failures.at(-1)!.message = message.join("\n").trim();
    }
  }
  return failures;
}
