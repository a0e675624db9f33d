/** `npm run local`: keeps a local Supabase project with the legacy system up. */
import { parseArgs } from "node:util";
import { describeStack } from "./describe.ts";
import { type DefaultPrivileges, FMP_BASE_URL, type Stack, startStack } from "./stack.ts";

const USAGE = `Usage: npm run local -- [options]

Starts a local Supabase project with the legacy system and Switchyard, every flag off, and keeps it
up until Ctrl-C.

  --port <port>                   port of the database (default: a free one)
  --data <folder>                 keep the data there and use it again on the next start
  --default-privileges <kind>     legacy: API roles get rights on new objects in public (default)
                                  none: they do not, as in projects made since 2026-05-30
  --json                          print one line of JSON when it is ready, and nothing else
  --verbose                       print what the parts log
  --help                          print this

Environment:
  DATABASE_URL                    scratch server to use in place of the embedded one
  FMP_API_KEY                     call the real vendor with this key in place of the simulator

Exit status: 0 stopped, 1 failed, 2 wrong usage`;

interface Settings {
  port: number | undefined;
  dataDir: string | undefined;
  defaultPrivileges: DefaultPrivileges;
  json: boolean;
  verbose: boolean;
  help: boolean;
}

class UsageError extends Error {}

Deno.exit(await main(Deno.args));

async function main(args: string[]): Promise<number> {
  let settings: Settings;
  try {
    settings = readSettings(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    return 2;
  }
  if (settings.help) {
    console.log(USAGE);
    return 0;
  }
  const stopping = new AbortController();
  const stop = () => stopping.abort(new Error("Stopped"));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, stop);
  }
  const watching = stopWithNpm(stop);
  try {
    const stack = await start(settings, stopping.signal);
    console.log(
      settings.json
        ? JSON.stringify(summary(stack))
        : [describeStack(stack), "", "Ready; Ctrl-C stops it"].join("\n"),
    );
    await aborted(stopping.signal);
    await stack.stop();
    return 0;
  } catch (error) {
    if (stopping.signal.aborted) return 0;
    console.error(error instanceof Error ? error.message : error);
    return 1;
  } finally {
    clearInterval(watching);
  }
}

/** `kill` of npm ends the shell between npm and us without a word to us. */
function stopWithNpm(stop: () => void): ReturnType<typeof setInterval> | undefined {
  if (Deno.env.get("npm_lifecycle_event") === undefined) return undefined;
  const parent = Deno.ppid;
  return setInterval(() => {
    if (Deno.ppid !== parent) stop();
  }, 500);
}

function readSettings(args: string[]): Settings {
  let values;
  try {
    ({ values } = parseArgs({
      args,
      allowPositionals: false,
      options: {
        port: { type: "string" },
        data: { type: "string" },
        "default-privileges": { type: "string", default: "legacy" },
        json: { type: "boolean", default: false },
        verbose: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  const port = values.port === undefined ? undefined : Number(values.port);
  if (port !== undefined && !(Number.isInteger(port) && port >= 1 && port <= 65_535)) {
    throw new UsageError(`Cannot use --port ${values.port}: wanted a number from 1 to 65535`);
  }
  const defaultPrivileges = values["default-privileges"];
  if (defaultPrivileges !== "legacy" && defaultPrivileges !== "none") {
    throw new UsageError(
      `Cannot use --default-privileges ${defaultPrivileges}: wanted legacy or none`,
    );
  }
  const external = Deno.env.get("DATABASE_URL");
  if (external && (port !== undefined || values.data !== undefined)) {
    throw new UsageError(
      "Cannot use --port or --data with DATABASE_URL: they are for the embedded server; unset one",
    );
  }
  return {
    port,
    dataDir: values.data,
    defaultPrivileges,
    json: values.json,
    verbose: values.verbose,
    help: values.help,
  };
}

function start(settings: Settings, signal: AbortSignal): Promise<Stack> {
  const { port, dataDir, defaultPrivileges } = settings;
  const databaseUrl = Deno.env.get("DATABASE_URL") || undefined;
  const apiKey = Deno.env.get("FMP_API_KEY") || undefined;
  return startStack({
    defaultPrivileges,
    signal,
    ...(databaseUrl === undefined ? {} : { databaseUrl }),
    ...(port === undefined ? {} : { port }),
    ...(dataDir === undefined ? {} : { dataDir }),
    ...(apiKey === undefined ? {} : {
      fmp: { apiKey, baseUrl: Deno.env.get("FMP_BASE_URL") || FMP_BASE_URL },
    }),
    ...(settings.verbose ? { log: (line: string) => console.error(line) } : {}),
  });
}

function summary(stack: Stack) {
  return {
    databaseUrl: stack.databaseUrl,
    apiUrl: stack.apiUrl,
    functionsUrl: stack.functionsUrl,
    anonKey: stack.keys.anonKey,
    serviceKey: stack.keys.serviceKey,
    fmpUrl: stack.fmpUrl,
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
}
