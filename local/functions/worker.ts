import { fileURLToPath } from "node:url";
import {
  encodeMessage,
  type RetireReason,
  SETUP_VARIABLE,
  type WorkerMessage,
  type WorkerSetup,
} from "./protocol.ts";

export interface WorkerLimits {
  /** Life of a worker, however many requests it serves. */
  wallClockMs: number;
  /** Life without requests and background work. */
  idleMs: number;
  /** Longest wait for an answer. */
  answerMs: number;
  /** Longest wait for the module to load. */
  bootMs: number;
  /** Time for `beforeunload` handlers when the host stops. */
  stopMs: number;
  /** Size of the JavaScript heap, in megabytes. */
  memoryMb: number;
}

export interface WorkerOptions {
  name: string;
  setup: WorkerSetup;
  /** Environment of the function. */
  env: Record<string, string>;
  limits: WorkerLimits;
  log: (line: string) => void;
  /** Called once, when the worker takes no more requests. */
  onRetired: (worker: Worker) => void;
}

type Timer = ReturnType<typeof setTimeout>;

// edge-runtime fires beforeunload at this share of the wall clock.
const WARN_SHARE = 0.9;
// Deno keeps compiled modules below one of these; the function does not get to see them.
const DENO_VARIABLES = ["HOME", "XDG_CACHE_HOME", "DENO_DIR", "TMPDIR"];

/** One process that runs one Edge Function. */
export class Worker {
  readonly name: string;
  readonly pid: number;
  /** Settles when the process has ended and its output has been read. */
  readonly ended: Promise<void>;
  readonly #options: WorkerOptions;
  readonly #child: Deno.ChildProcess;
  readonly #client = Deno.createHttpClient({ poolIdleTimeout: false });
  readonly #boot = Promise.withResolvers<number>();
  readonly #timers: Timer[] = [];
  #idleTimer: Timer | undefined;
  #control: WritableStreamDefaultWriter<Uint8Array> | undefined;
  #active = 0;
  #pending = 0;
  #isRetired = false;
  #hasEnded = false;
  #limitHit = false;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.name = options.name;
    const { limits, setup } = options;
    const env: Record<string, string> = { ...options.env };
    for (const name of DENO_VARIABLES) {
      const value = Deno.env.get(name);
      if (value !== undefined && !(name in env)) env[name] = value;
    }
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-prompt",
        "--no-lock",
        "--allow-net",
        "--allow-env",
        "--allow-read",
        "--allow-sys",
        `--v8-flags=--max-old-space-size=${limits.memoryMb}`,
        fileURLToPath(new URL("./bootstrap.ts", import.meta.url)),
      ],
      clearEnv: true,
      env: {
        NO_COLOR: "1",
        ...env,
        [SETUP_VARIABLE]: JSON.stringify(setup),
      },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.pid = this.#child.pid;
    this.#boot.promise.catch(() => {}); // Reported by each request that awaits it.
    this.ended = this.#watch();
    this.#after(limits.bootMs, () => this.#boot.reject(new Error("it did not start in time")));
    this.#after(limits.wallClockMs * WARN_SHARE, () => this.retire("wall_clock"));
    this.#after(limits.wallClockMs, () => {
      options.log(`[${this.name}] Reached the wall clock limit of ${limits.wallClockMs} ms`);
      this.#limitHit = true;
      this.#kill();
    });
  }

  get token(): string {
    return this.#options.setup.token;
  }

  /** Takes the control connection that the process has opened. */
  attach(control: WritableStreamDefaultWriter<Uint8Array>): void {
    this.#control = control;
    if (this.#isRetired) this.#send("termination");
  }

  /** Takes a message of the process. */
  receive(message: WorkerMessage): void {
    if (message.type === "ready") this.#boot.resolve(message.port);
    else if (message.type === "boot-error") this.#boot.reject(new Error(message.message));
    else this.#pending = message.count;
    this.#awaitIdle();
  }

  /** Has the function answer a request; `path` starts with the function's name. */
  async answer(request: Request, path: string): Promise<Response> {
    this.#active++;
    clearTimeout(this.#idleTimer);
    try {
      const port = await this.#boot.promise.catch((error: unknown) => {
        throw new BootError(String(error));
      });
      return await this.#fetch(request, `http://127.0.0.1:${port}${path}`);
    } catch (error) {
      if (error instanceof BootError) {
        this.retire("termination");
        return failure(503, "BOOT_ERROR", "Function failed to start (please check logs)");
      }
      // The connection broke: how the process ended tells the rest.
      await this.ended;
      return this.#limitHit
        ? failure(
          546,
          "WORKER_LIMIT",
          "Function failed due to not having enough compute resources (please check logs)",
        )
        : failure(500, "WORKER_ERROR", "Function exited due to an error (please check logs)");
    } finally {
      this.#active--;
      this.#awaitIdle();
    }
  }

  /** Takes no more requests, lets the function know and ends the process when its work is done. */
  retire(reason: RetireReason): void {
    if (this.#isRetired) return;
    this.#isRetired = true;
    clearTimeout(this.#idleTimer);
    this.#options.onRetired(this);
    this.#send(reason);
    if (reason !== "wall_clock") this.#after(this.#options.limits.stopMs, () => this.#kill());
  }

  /** Ends the process at once, when it has not ended. */
  kill(): void {
    this.#kill();
  }

  async #fetch(request: Request, url: string): Promise<Response> {
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(), this.#options.limits.answerMs);
    const headers = new Headers(request.headers);
    // A compressed answer would be unpacked here and still be labelled as compressed.
    headers.set("accept-encoding", "identity");
    headers.delete("host");
    try {
      const response = await fetch(url, {
        method: request.method,
        headers,
        body: request.body,
        redirect: "manual",
        client: this.#client,
        signal: timeout.signal,
      });
      const answerHeaders = new Headers(response.headers);
      if (answerHeaders.has("content-encoding")) {
        answerHeaders.delete("content-encoding");
        answerHeaders.delete("content-length");
      }
      return new Response(response.body, {
        status: response.status,
        statusText: response.statusText,
        headers: answerHeaders,
      });
    } catch (error) {
      if (!timeout.signal.aborted) throw error;
      return failure(504, "IDLE_TIMEOUT", "The function did not answer in time");
    } finally {
      clearTimeout(timer);
    }
  }

  async #watch(): Promise<void> {
    const [status] = await Promise.all([
      this.#child.status,
      this.#readOutput(this.#child.stdout),
      this.#readOutput(this.#child.stderr),
    ]);
    this.#hasEnded = true;
    // V8 aborts the process when its heap is full.
    if (status.signal !== null && status.signal !== "SIGKILL") this.#limitHit = true;
    for (const timer of this.#timers) clearTimeout(timer);
    clearTimeout(this.#idleTimer);
    if (!this.#isRetired) {
      this.#isRetired = true;
      this.#options.onRetired(this);
    }
    this.#boot.reject(new Error(`it ended with status ${status.code} before it was ready`));
    this.#client.close();
  }

  async #readOutput(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    const log = (line: string) => this.#options.log(`[${this.name}] ${line}`);
    for await (const chunk of stream) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      lines.forEach(log);
    }
    if (rest !== "") log(rest);
  }

  #awaitIdle(): void {
    clearTimeout(this.#idleTimer);
    if (this.#isRetired || this.#active > 0 || this.#pending > 0) return;
    this.#idleTimer = setTimeout(() => this.retire("early_drop"), this.#options.limits.idleMs);
  }

  #send(reason: RetireReason): void {
    this.#control?.write(encodeMessage({ type: "retire", reason })).catch(() => {
      // The process has ended, which is what was asked.
    });
  }

  #kill(): void {
    if (!this.#hasEnded) killProcess(this.#child);
  }

  #after(ms: number, action: () => void): void {
    this.#timers.push(setTimeout(action, ms));
  }
}

class BootError extends Error {}

/** An answer that the platform gives in place of the function. */
export function failure(status: number, code: string, message: string): Response {
  return Response.json({ code, message }, { status });
}

function killProcess(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch (error) {
    // It has ended and is about to be noticed.
    if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
  }
}
