/** `npm test`: every test of the project; the last line is `N passed, N failed`. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { makeTemplates, TEMPLATES_VARIABLE } from "../local/template.ts";
import { formatDuration } from "./format.ts";
import { runDenoTests } from "./test/deno_tests.ts";
import { runDatabaseTests } from "./test/database_tests.ts";
import { makeFinalizedCopy } from "./test/finalized_copy.ts";
import {
  addResults,
  formatFailures,
  formatResults,
  noResults,
  type Results,
} from "./test/results.ts";

const USAGE = `Usage: npm test [-- options] [filter]

Runs the pgTAP files of supabase/tests and the Deno tests of tests/.

  --database   only the pgTAP files
  --deno       only the Deno tests
  --finalized  run what was chosen in a copy of the checkout whose names have lost _v2, as after
               yard finalize; tests of installing and taking away are left out
  filter       only Deno tests below tests/ whose path contains this

Environment:
  SWITCHYARD_POSTGRES_BIN  folder with initdb and postgres (15 or 17) to use in place of the
                           embedded server; pg_cron and plpgsql_check are used where it has them

Exit status: 0 all passed, 1 some failed or none ran, 2 wrong usage`;

Deno.exit(await main(Deno.args));

async function main(args: string[]): Promise<number> {
  let values, positionals;
  try {
    ({ values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        database: { type: "boolean", default: false },
        deno: { type: "boolean", default: false },
        finalized: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    return 2;
  }
  if (values.help) {
    console.log(USAGE);
    return 0;
  }

  const started = performance.now();
  const root = fileURLToPath(new URL("..", import.meta.url));
  const [filter] = positionals;
  if (values.finalized) {
    return await runFinalized(
      root,
      args.filter((arg) => arg !== "--finalized"),
    );
  }
  let results: Results = noResults();
  const templates = await Deno.makeTempDir({ prefix: "switchyard-templates-" });
  try {
    // One file starts too few stacks for it.
    if (filter === undefined && !values.database) {
      await makeTemplates(templates);
      Deno.env.set(TEMPLATES_VARIABLE, templates);
    }
    if (!values.deno && filter === undefined) {
      results = addResults(results, await runDatabaseTests(root));
    }
    if (!values.database) results = addResults(results, await runDenoTests(root, filter));
  } finally {
    await Deno.remove(templates, { recursive: true });
  }
  if (results.passed + results.failed === 0) {
    console.error("No test ran");
    results = addResults(results, { ...noResults(), failed: 1 });
  }
  if (results.failures.length > 0) {
    console.log(`\nWhat failed:\n${formatFailures(results.failures)}`);
  }
  console.log(`\nTook ${formatDuration(performance.now() - started)}`);
  console.log(formatResults(results));
  return results.failed === 0 ? 0 : 1;
}

/** Runs the tests in a finalized copy, which prints the closing line; removes the copy. */
async function runFinalized(root: string, args: readonly string[]): Promise<number> {
  const parent = await Deno.makeTempDir({ prefix: "switchyard-finalized-" });
  try {
    // Tests become other users.
    await Deno.chmod(parent, 0o755);
    const folder = join(parent, "checkout");
    await Deno.mkdir(folder);
    // Tests read the recorded answers beside the checkout when they are there.
    await Deno.symlink(join(root, "..", "shared"), join(parent, "shared"));
    const leftOut = await makeFinalizedCopy(root, folder);
    console.log(`In a finalized copy, without ${leftOut.join(", ")}`);
    const { code } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", join(folder, "scripts", "test.ts"), ...args],
      cwd: folder,
      stdin: "null",
    }).spawn().status;
    return code;
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
}
