import { fileURLToPath } from "node:url";
import { lineOf, linesOf, type Reply, type Request } from "./protocol.ts";

/** A worker process that is replaced when it ends. */
export interface WorkerProcess {
  /** Asks the worker; a problem when it could not do it, or ended or hung while it tried. */
  ask<Result>(request: Request, timeoutMs: number): Promise<Reply<Result>>;
  /** Ends the process. */
  close(): Promise<void>;
}

/** Memory of the worker in megabytes; enough for a real answer of the largest size that is read. */
const MOST_MEMORY_MB = 1_000;

const WORKER = fileURLToPath(new URL("worker.ts", import.meta.url));

interface Running {
  child: Deno.ChildProcess;
  lines: AsyncGenerator<string>;
  writer: WritableStreamDefaultWriter<Uint8Array>;
  /** What it wrote on standard error. */
  errors: Promise<string>;
}

/** Starts the worker with the first question. Aborting the signal ends it. */
export function openWorker(signal: AbortSignal): WorkerProcess {
  let running: Running | undefined;
  const kill = () => {
    if (running === undefined) return;
    try {
      running.child.kill("SIGKILL");
    } catch (error) {
      // It has ended by itself.
      if (!(error instanceof TypeError)) throw error;
    }
  };
  signal.addEventListener("abort", kill);

  async function end(): Promise<string> {
    if (running === undefined) return "";
    const { child, lines, writer, errors } = running;
    kill();
    running = undefined;
    await writer.abort().catch(() => "its end is closed already");
    await lines.return(undefined);
    await child.status;
    return await errors;
  }

  return {
    async ask<Result>(request: Request, timeoutMs: number) {
      signal.throwIfAborted();
      running ??= start();
      let timedOut = false;
      const timer = setTimeout(() => {
        timedOut = true;
        kill();
      }, timeoutMs);
      try {
        const next = running.lines.next();
        await running.writer.write(lineOf(request)).catch(() => "the answer will not come");
        const { value, done } = await next;
        if (!done) return JSON.parse(value) as Reply<Result>;
      } finally {
        clearTimeout(timer);
      }
      const errors = await end();
      signal.throwIfAborted();
      if (timedOut) return { problem: `it was not done within ${timeoutMs / 1_000} s` };
      return {
        problem: /out of memory|heap limit/i.test(errors)
          ? `reading it takes more than ${MOST_MEMORY_MB} MB of memory`
          : `the process that read it ended: ${errors.trim().slice(-500) || "no reason given"}`,
      };
    },
    async close() {
      signal.removeEventListener("abort", kill);
      await end();
    },
  };
}

function start(): Running {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `--v8-flags=--max-old-space-size=${MOST_MEMORY_MB}`, WORKER],
    // As the processor runs unless it is told otherwise.
    env: { NO_COLOR: "1", FMP_STATEMENTS_LIMIT: "" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  return {
    child,
    lines: linesOf(child.stdout),
    writer: child.stdin.getWriter(),
    errors: new Response(child.stderr).text(),
  };
}
