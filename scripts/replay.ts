/** `npm run replay`: feeds recorded vendor answers through the fetchers into a scratch stack. */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { messageOf } from "./replay/protocol.ts";
import { listRecordings, type Recording } from "./replay/recordings.ts";
import { allProcessed, formatReports } from "./replay/report.ts";
import { replayRecordings } from "./replay/run.ts";
import { openTerminal } from "./start/terminal.ts";

const USAGE = `Usage: npm run replay -- <folder> [--json]

Feeds recorded vendor answers through the fetchers and the queue into a scratch database, and says
per file what came of it: data type, outcome, rows written, columns left null, warnings.

Files are called <endpoint>__<symbol or label>.json, slashes of the endpoint as "-", such as
quote__AAPL.json; or <endpoint>.json. Each holds the body of one answer, whatever that is: rows,
an error object or plain text.

An answer is served with status 200, unless its label ends in http-<status>, as in
profile__http-402.json and profile__AAPL-http-429.json, or a file of the same name that ends in
.status in place of .json holds the status: profile__AAPL.status with 402. The file wins.

  --json   print one array of objects, and nothing else
  --help   print this

Exit status: 0 every file was processed, whatever the outcome; 1 some could not be; 2 wrong usage;
130 interrupted`;

Deno.exit(await main(Deno.args));

async function main(args: string[]): Promise<number> {
  let values, positionals;
  try {
    ({ values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    return wrongUsage(messageOf(error));
  }
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const [name, ...others] = positionals;
  if (name === undefined || others.length > 0) {
    return wrongUsage(`Cannot replay: found ${positionals.length} folders, wanted one`);
  }
  // npm runs scripts in the project's folder, wherever it was called.
  const folder = resolve(Deno.env.get("INIT_CWD") || ".", name);
  let recordings: Recording[];
  try {
    recordings = await listRecordings(folder);
  } catch (error) {
    return wrongUsage(`Cannot read the folder "${name}": ${messageOf(error)}`);
  }
  if (recordings.length === 0) {
    return wrongUsage(`Cannot replay the folder "${name}": found no files called *.json`);
  }
  return await replay(recordings, values.json);
}

async function replay(recordings: readonly Recording[], json: boolean): Promise<number> {
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => interrupted.abort(new Error("Interrupted")));
  }
  const terminal = openTerminal();
  const showsProgress = !json && Deno.stdout.isTerminal();
  try {
    const { reports, rowsWritten } = await replayRecordings(recordings, {
      signal: interrupted.signal,
      progress: (text) => {
        if (showsProgress) terminal.progress(text);
      },
    });
    terminal.lines(
      json ? [JSON.stringify(reports, null, 2)] : formatReports(reports, rowsWritten),
    );
    return allProcessed(reports) ? 0 : 1;
  } catch (error) {
    if (interrupted.signal.aborted) {
      console.error("\nInterrupted; everything was stopped");
      return 130;
    }
    console.error(`Cannot replay: ${messageOf(error)}`);
    return 1;
  }
}

function wrongUsage(problem: string): number {
  console.error(`${problem}\n\n${USAGE}`);
  return 2;
}
