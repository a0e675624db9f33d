import assert from "node:assert/strict";
import { readDenoOutput } from "../../scripts/test/deno_output.ts";
import { formatFailures } from "../../scripts/test/results.ts";

/** What `deno test` prints for these files. */
async function outputOf(files: Record<string, string>): Promise<{ output: string; code: number }> {
  const folder = await Deno.makeTempDir({ prefix: "switchyard-test-output-" });
  try {
    for (const [name, source] of Object.entries(files)) {
      await Deno.writeTextFile(`${folder}/${name}`, source);
    }
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "--no-check", "--no-config", ...Object.keys(files)],
      cwd: folder,
      env: { NO_COLOR: "1" },
      stdin: "null",
    }).output();
    return { output: new TextDecoder().decode(stdout), code };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("failures are read from what deno test prints, each with its message", async () => {
  const { output, code } = await outputOf({
    "a_test.ts": `
      Deno.test("well", () => {});
      Deno.test({ name: "left out", ignore: true, fn: () => {} });
      Deno.test("one", () => { throw new Error("bad\\n\\nwell => ./line:1:2\\n  deeper"); });
      Deno.test("two", async (test) => {
        await test.step("its step", () => { throw new Error("worse"); });
      });`,
    "b_test.ts": `throw new Error("at once");`,
  });
  const { passed, failed, skipped, failures } = readDenoOutput(output, code);
  assert.deepEqual({ passed, failed, skipped }, { passed: 1, failed: 3, skipped: 1 });
  assert.deepEqual(failures.map(({ name }) => name.replace(/:\d+:\d+$/, "")), [
    "one => ./a_test.ts",
    "two ... its step => ./a_test.ts",
    "./b_test.ts (uncaught error)",
  ]);
  assert.match(failures[0]!.message, /^error: Error: bad\n\nwell => \.\/line:1:2\n {2}deeper\n/);
  assert.match(failures[1]!.message, /^error: Error: worse\n/);
  assert.match(failures[2]!.message, /Error: at once\n/);
});

Deno.test("where nothing failed, there are no failures", async () => {
  const { output, code } = await outputOf({ "a_test.ts": `Deno.test("well", () => {});` });
  assert.deepEqual(readDenoOutput(output, code), {
    passed: 1,
    failed: 0,
    skipped: 0,
    failures: [],
  });
});

Deno.test("a run without its closing line, or with a status that does not fit it, is a failure", () => {
  const broken = readDenoOutput(
    "running 2 tests from ./a_test.ts\none ... ok (1ms)\ntwo ...\n",
    137,
  );
  assert.deepEqual(broken, {
    passed: 0,
    failed: 1,
    skipped: 0,
    failures: [{
      name: "deno test ended with status 137, without a summary; its last lines:",
      message: "running 2 tests from ./a_test.ts\none ... ok (1ms)\ntwo ...",
    }],
  });
  const late = readDenoOutput("ok | 2 passed (3 steps) | 0 failed (1s)\n", 1);
  assert.deepEqual({ passed: late.passed, failed: late.failed }, { passed: 2, failed: 1 });
  assert.match(late.failures[0]!.name, /status 1, after "ok \| 2 passed/);
});

Deno.test("a failure is shown by the beginning of its message", () => {
  const shown = formatFailures([
    { name: "first", message: "one\n\n  two" },
    { name: "second", message: Array.from({ length: 20 }, (_, at) => `${at}`).join("\n") },
    { name: "third", message: "x".repeat(500) },
  ]).split("\n");
  assert.deepEqual(shown.slice(0, 4), ["first", "    one", "      two", "second"]);
  assert.equal(shown[18], "    … 6 lines more, above");
  assert.deepEqual(shown.slice(19), ["third", `    ${"x".repeat(200)}…`]);
});
