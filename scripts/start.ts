/** `npm start`: brings the whole system up and walks through it once. */
import { parseArgs } from "node:util";
import postgres from "postgres";
import { describeStack } from "../local/describe.ts";
import { FMP_BASE_URL, startStack } from "../local/stack.ts";
import { formatDuration } from "./format.ts";
import { summarize } from "./start/summary.ts";
import { openTerminal } from "./start/terminal.ts";
import {
  installBeside,
  processByCron,
  processByHand,
  turnOff,
  type Walk,
  watchLegacyJobs,
} from "./start/walk.ts";

const USAGE = `Usage: npm start [-- options]

Starts a local Supabase project with the legacy system, installs Switchyard beside it, processes
jobs by hand and then by cron, and ends with a table.

  --keep     leave it running at the end and print its URLs and keys, until Ctrl-C
  --verbose  print what the parts log, on standard error
  --help     print this

Environment:
  DATABASE_URL  scratch server to use in place of the embedded one
  FMP_API_KEY   call the real vendor with this key, for five symbols, in place of the simulator

Exit status: 0 all went well, 1 something did not, 2 wrong usage, 130 interrupted`;

/** Cron minutes per real minute: nobody wants to wait for a full one. Real pg_cron keeps its own. */
const CRON_SPEED = 6;
const SIMULATED_SYMBOLS = 60;
const VENDOR_SYMBOLS = 5;

Deno.exit(await main(Deno.args));

async function main(args: string[]): Promise<number> {
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        keep: { type: "boolean", default: false },
        verbose: { type: "boolean", default: false },
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

  const interrupted = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(name, () => interrupted.abort(new Error("Interrupted")));
  }
  try {
    await walkThrough(values.keep, values.verbose, interrupted.signal);
    return 0;
  } catch (error) {
    if (interrupted.signal.aborted) {
      console.error("\nInterrupted; everything was stopped");
      return 130;
    }
    console.error(`\nFailed: ${error instanceof Error ? error.message : error}`);
    console.error("Run npm start -- --verbose to see what the parts log");
    return 1;
  }
}

async function walkThrough(keep: boolean, verbose: boolean, signal: AbortSignal): Promise<void> {
  const started = performance.now();
  const terminal = openTerminal();
  const databaseUrl = Deno.env.get("DATABASE_URL") || undefined;
  const apiKey = Deno.env.get("FMP_API_KEY") || undefined;

  terminal.step("Starting a local Supabase project with the legacy system");
  const cronStarted = Date.now();
  const stack = await startStack({
    migrate: false,
    activeSymbols: apiKey === undefined ? SIMULATED_SYMBOLS : VENDOR_SYMBOLS,
    cronNow: () => new Date(cronStarted + (Date.now() - cronStarted) * CRON_SPEED),
    signal,
    ...(databaseUrl === undefined ? {} : { databaseUrl }),
    ...(apiKey === undefined ? { functionEnv: { FMP_LEGACY_PACING_MS: "0" } } : {
      fmp: { apiKey, baseUrl: Deno.env.get("FMP_BASE_URL") || FMP_BASE_URL },
    }),
    ...(verbose ? { log: (line: string) => console.error(line) } : {}),
  });
  try {
    const sql = postgres(stack.databaseUrl, { max: 2, onnotice: () => {} });
    try {
      const [version] = await sql<[{ version: string }]>`
        select current_setting('server_version') as version`;
      terminal.fact(`PostgreSQL ${version.version}, ${stack.database.kind}; API ${stack.apiUrl}`);
      terminal.fact(`vendor ${stack.fmpUrl}`);
      if (stack.cron !== undefined) {
        terminal.fact(`cron runs at ${CRON_SPEED} × speed: a minute takes ${60 / CRON_SPEED} s`);
      }
      const active = await sql<{ symbol: string }[]>`
        select symbol from public.supported_symbols where is_active order by added_at, symbol`;
      const walk: Walk = {
        stack,
        sql,
        terminal,
        symbols: active.map(({ symbol }) => symbol),
        signal,
      };
      const byHand = Math.ceil(walk.symbols.length / 5);

      terminal.step("The legacy jobs refresh data by themselves");
      await watchLegacyJobs(walk);
      terminal.step("Installing Switchyard beside them, every flag off");
      await installBeside(walk);
      terminal.step("Jobs by hand, processed by hand, every flag off");
      await processByHand(walk, walk.symbols.slice(0, byHand));
      terminal.step("use_queue_system on: cron drives the processor");
      await processByCron(walk, walk.symbols.slice(byHand, byHand * 4));
      terminal.step("use_queue_system off again");
      await turnOff(walk);
      terminal.step("Result");
      terminal.lines(["", ...(await summarize(sql))]);
      terminal.lines(["", `Done in ${formatDuration(performance.now() - started)}`]);
    } finally {
      await sql.end();
    }
    if (keep) {
      terminal.lines(["", describeStack(stack)]);
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        else signal.addEventListener("abort", () => resolve());
      });
    }
  } finally {
    await stack.stop();
  }
}
