import { join } from "node:path";
import { readDenoOutput } from "./deno_output.ts";
import { addResults, noResults, type Results } from "./results.ts";

/** Tests that run beside the others, by how their path begins: they mostly wait, for the clock or for one process. */
const LANES = ["waiting/limit", "waiting/faults", "integration/", "conductor/", "yard/"];

/**
 * Runs the Deno tests below `tests/`, printing as they go; the output of the lanes beside them comes
 * at the end.
 */
export async function runDenoTests(root: string, filter: string | undefined): Promise<Results> {
  const files = (await testFiles(join(root, "tests"))).filter((file) =>
    filter === undefined || file.slice(root.length).includes(filter)
  );
  const laneOf = (file: string) => LANES.find((lane) => file.startsWith(join(root, "tests", lane)));
  const held: Uint8Array[][] = LANES.map(() => []);
  const results = await Promise.all([
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
  return results.reduce(addResults, noResults());
}

async function runFiles(
  root: string,
  files: readonly string[],
  print: (chunk: Uint8Array) => void,
): Promise<Results> {
  if (files.length === 0) return noResults();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", ...files],
    cwd: root,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let output = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    print(chunk);
    output += decoder.decode(chunk, { stream: true });
  }
  const { code } = await child.status;
  return readDenoOutput(output, code);
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
