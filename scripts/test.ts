/** `npm test`: every test of the project; the last line is `N passed, N failed`. */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { formatDuration } from "./format.ts";
import { runDenoTests } from "./test/deno_tests.ts";
import { runDatabaseTests } from "./test/database_tests.ts";
import { addCounts, type Counts, formatCounts, noCounts } from "./test/counts.ts";

const USAGE = `Usage: npm test [-- options] [filter]

Runs the pgTAP files of supabase/tests and the Deno tests of tests/.

  --database   only the pgTAP files
  --deno       only the Deno tests
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
  let counts: Counts = noCounts();
  if (!values.deno && filter === undefined) {
    counts = addCounts(counts, await runDatabaseTests(root));
  }
  if (!values.database) counts = addCounts(counts, await runDenoTests(root, filter));
  if (counts.passed + counts.failed === 0) {
    console.error("No test ran");
    counts = addCounts(counts, { passed: 0, failed: 1, skipped: 0 });
  }
  console.log(`\nTook ${formatDuration(performance.now() - started)}`);
  console.log(formatCounts(counts));
  return counts.failed === 0 ? 0 : 1;
}
