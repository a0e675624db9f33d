import { join } from "node:path";
import { addCounts, type Counts, noCounts } from "./counts.ts";

/** Tests that run beside the others, by how their path begins: they mostly wait, for the clock or for one process. */
const LANES = ["waiting/limit", "waiting/faults", "integration/", "conductor/", "yard/"];

/**
 * Runs the Deno tests below `tests/`, printing as they go; the output of the lanes beside them comes
 * at the end. A run that ends without a summary, or with a status that its summary does not explain,
 * counts as one more failure.
 */
export async function runDenoTests(root: string, filter: string | undefined): Promise<Counts> {
  const files = (await testFiles(join(root, "tests"))).filter((file) =>
    filter === undefined || file.slice(root.length).includes(filter)
  );
  const laneOf = (file: string) => LANES.find((lane) => file.startsWith(join(root, "tests", lane)));
  const held: Uint8Array[][] = LANES.map(() => []);
  const counts = await Promise.all([
    runFiles(
      root,
      files.filter((file) => laneOf(file) === undefined),
      (chunk) => Deno.stdout.writeSync(chunk),
    ),
    ...LANES.map((lane, index) =>
      runFiles(
        root,
        files.filter((file) => laneOf(file) === lane),
        (chunk) => held[index]!.push(chunk),
      )
    ),
  ]);
  for (const chunk of held.flat()) Deno.stdout.writeSync(chunk);
  return counts.reduce(addCounts, noCounts());
}

async function runFiles(
  root: string,
  files: readonly string[],
  print: (chunk: Uint8Array) => void,
): Promise<Counts> {
  if (files.length === 0) return noCounts();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", ...files],
    cwd: root,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let tail = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    print(chunk);
    tail = (tail + decoder.decode(chunk, { stream: true })).slice(-4_000);
  }
  const { code } = await child.status;
  return readSummary(tail, code);
}

/** Reads Deno's closing line: `ok | 12 passed (3 steps) | 0 failed | 1 ignored (2s)`. */
export function readSummary(output: string, status: number): Counts {
  const line = output.split("\n").findLast((text) => /^(ok|FAILED) \| /.test(text)) ?? "";
  const count = (word: string) => Number(new RegExp(`(\\d+) ${word}`).exec(line)?.[1] ?? 0);
  const counts = { passed: count("passed"), failed: count("failed"), skipped: count("ignored") };
  const isExplained = line !== "" && (status === 0) === (counts.failed === 0);
  return isExplained ? counts : { ...counts, failed: counts.failed + 1 };
}

async function testFiles(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const entry of Deno.readDir(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory) files.push(...(await testFiles(path)));
    else if (entry.name.endsWith("_test.ts")) files.push(path);
  }
  return files.sort();
}
