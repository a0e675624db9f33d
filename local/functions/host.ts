import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { checkAccess } from "./access.ts";
import { readMessages, type WorkerMessage } from "./protocol.ts";
import { failure, Worker, type WorkerLimits } from "./worker.ts";

export interface FunctionHostOptions {
  /** Folder with one folder per function, each with an `index.ts`. */
  functionsDir: string;
  /** All that the functions see of the environment. Read when a worker starts. */
  env: Record<string, string>;
  /** Port on 127.0.0.1. Default: a random free one. */
  port?: number;
  /** Whether a function's caller must have a valid key or token. Default per function: true. */
  verifyJwt?: Record<string, boolean>;
  /** Secret that signs user tokens. Default: only the keys in `env` are valid. */
  jwtSecret?: string;
  /** Life of a worker in milliseconds, as on the platform's paid plans. Default: 400,000. */
  wallClockMs?: number;
  /** Life of a worker without work in milliseconds. Default: 10,000. */
  idleMs?: number;
  /** Longest wait for an answer in milliseconds. Default: 150,000. */
  answerMs?: number;
  /** Time for the functions to finish when the host stops, in milliseconds. Default: 5,000. */
  stopMs?: number;
  /** Stops the host and its workers. */
  signal?: AbortSignal;
  /** Receives what functions print, after their name in brackets. Default: none. */
  log?: (line: string) => void;
}

export interface FunctionHost {
  /** Base URL; a function is at `<url>/<name>`. */
  url: string;
  /** Workers that take requests. */
  workers(): { name: string; pid: number }[];
  stop(): Promise<void>;
}

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const BOOT_MS = 30_000;
const MEMORY_MB = 256;

/**
 * Serves Edge Functions as the platform does: one process per function, started on its first
 * request and serving many; `EdgeRuntime.waitUntil`; `beforeunload` before the wall clock ends it.
 * Not enforced: the CPU limit, outbound port blocks, per-function `deno.json`.
 */
export async function startFunctionHost(options: FunctionHostOptions): Promise<FunctionHost> {
  options.signal?.throwIfAborted();
  const functionsDir = resolve(options.functionsDir);
  const limits: WorkerLimits = {
    wallClockMs: options.wallClockMs ?? 400_000,
    idleMs: options.idleMs ?? 10_000,
    answerMs: options.answerMs ?? 150_000,
    bootMs: BOOT_MS,
    stopMs: options.stopMs ?? 5_000,
    memoryMb: MEMORY_MB,
  };
  const log = options.log ?? (() => {});
  const serving = new Map<string, Worker>();
  const alive = new Set<Worker>();
  let isStopping = false;

  const control = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = acceptWorkers(control, alive);

  const workerFor = (name: string, entrypoint: string): Worker => {
    const found = serving.get(name);
    if (found !== undefined) return found;
    const worker = new Worker({
      name,
      setup: {
        controlPort: control.addr.port,
        token: crypto.randomUUID(),
        entrypoint,
        environment: Object.keys(options.env),
      },
      env: options.env,
      limits,
      log,
      onRetired: (retired) => {
        if (serving.get(name) === retired) serving.delete(name);
      },
    });
    serving.set(name, worker);
    alive.add(worker);
    void worker.ended.finally(() => alive.delete(worker));
    return worker;
  };

  const handle = async (request: Request): Promise<Response> => {
    if (!METHODS.includes(request.method)) {
      return failure(405, "METHOD_NOT_ALLOWED", `Method ${request.method} is not allowed`);
    }
    const { pathname, search } = new URL(request.url);
    const name = pathname.split("/")[1] ?? "";
    const entrypoint = await entrypointOf(functionsDir, name);
    if (entrypoint === null) {
      return failure(404, "NOT_FOUND", "Requested function was not found");
    }
    if (options.verifyJwt?.[name] ?? true) {
      const refusal = await checkAccess(request, {
        apiKeys: apiKeysOf(options.env),
        jwtSecret: options.jwtSecret,
      });
      if (refusal !== null) return refusal;
    }
    if (isStopping) return failure(503, "BOOT_ERROR", "The function host is stopping");
    return await workerFor(name, entrypoint).answer(request, `${pathname}${search}`);
  };

  let server: Deno.HttpServer<Deno.NetAddr>;
  try {
    server = Deno.serve({
      hostname: "127.0.0.1",
      port: options.port ?? 0,
      onListen: () => {},
      onError: (error) => {
        log(`Cannot answer a request: ${error}`);
        return failure(500, "WORKER_ERROR", "The function host failed; see its log");
      },
    }, handle);
  } catch (error) {
    control.close();
    await accepting;
    if (error instanceof Deno.errors.AddrInUse) {
      throw new Error(
        `Cannot start the function host: port ${options.port} is in use; pass another or stop the other server`,
      );
    }
    throw error;
  }

  const stopAll = async () => {
    isStopping = true;
    options.signal?.removeEventListener("abort", onAbort);
    for (const worker of alive) worker.retire("termination");
    await Promise.all([...alive].map((worker) => endWithin(worker, limits.stopMs)));
    await server.shutdown();
    control.close();
    await accepting;
  };
  let stopping: Promise<void> | undefined;
  const stop = () => stopping ??= stopAll();
  const onAbort = () => {
    void stop();
  };
  options.signal?.addEventListener("abort", onAbort);

  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    workers: () => [...serving.values()].map(({ name, pid }) => ({ name, pid })),
    stop,
  };
}

/** A retired worker may have most of its wall clock left, which stopping does not wait for. */
async function endWithin(worker: Worker, ms: number): Promise<void> {
  const timer = setTimeout(() => worker.kill(), ms);
  await worker.ended;
  clearTimeout(timer);
}

async function acceptWorkers(listener: Deno.TcpListener, workers: Set<Worker>): Promise<void> {
  const connections = new Set<Promise<void>>();
  for await (const connection of listener) {
    const listening: Promise<void> = listenTo(connection, workers)
      .catch(() => {
        // A worker that was killed resets its connection; its exit status says what happened.
      })
      .finally(() => connections.delete(listening));
    connections.add(listening);
  }
  await Promise.all(connections);
}

async function listenTo(connection: Deno.TcpConn, workers: Set<Worker>): Promise<void> {
  const writer = connection.writable.getWriter();
  let worker: Worker | undefined;
  try {
    for await (const message of readMessages<string | WorkerMessage>(connection.readable)) {
      if (typeof message !== "string") {
        worker?.receive(message);
        continue;
      }
      worker = [...workers].find(({ token }) => token === message);
      if (worker === undefined) break;
      worker.attach(writer);
    }
  } finally {
    await writer.close();
  }
}

async function entrypointOf(functionsDir: string, name: string): Promise<string | null> {
  if (!/^[A-Za-z0-9][\w-]*$/.test(name)) return null;
  const file = join(functionsDir, name, "index.ts");
  try {
    return (await Deno.stat(file)).isFile ? pathToFileURL(file).href : null;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return null;
    }
    throw error;
  }
}

function apiKeysOf(env: Record<string, string>): string[] {
  const named = ["SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_SECRET_KEYS"].flatMap((variable) =>
    Object.values(JSON.parse(env[variable] ?? "{}") as Record<string, string>)
  );
  return [...named, env["SUPABASE_ANON_KEY"], env["SUPABASE_SERVICE_ROLE_KEY"]]
    .filter((key) => key !== undefined);
}
