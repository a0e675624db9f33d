/**
 * Runs in the process of one Edge Function: gives it what the platform gives (EdgeRuntime, both ways
 * to name a handler, the `beforeunload` event), then loads it.
 */
import {
  encodeMessage,
  type HostMessage,
  readMessages,
  SETUP_VARIABLE,
  type WorkerMessage,
  type WorkerSetup,
} from "./protocol.ts";

type Handler = (request: Request, info: Deno.ServeHandlerInfo) => Response | Promise<Response>;

const setup = JSON.parse(Deno.env.get(SETUP_VARIABLE) ?? "null") as WorkerSetup;
for (const name of Object.keys(Deno.env.toObject())) {
  if (!setup.environment.includes(name)) Deno.env.delete(name);
}

const control = await Deno.connect({ hostname: "127.0.0.1", port: setup.controlPort });
const writer = control.writable.getWriter();
await writer.write(new TextEncoder().encode(JSON.stringify(setup.token) + "\n"));
let sending: Promise<void> = Promise.resolve();
function send(message: WorkerMessage): Promise<void> {
  return sending = sending.then(() => writer.write(encodeMessage(message)));
}

const background = new Set<Promise<unknown>>();
let pending = 0;
function begin(): void {
  if (pending++ === 0) void send({ type: "pending", count: pending });
}
function end(): void {
  if (--pending === 0) void send({ type: "pending", count: 0 });
}

const edgeRuntime = {
  waitUntil(promise: Promise<unknown>): void {
    begin();
    const tracked = Promise.resolve(promise)
      .catch((error) => console.error("A promise given to EdgeRuntime.waitUntil failed:", error))
      .finally(() => {
        background.delete(tracked);
        end();
      });
    background.add(tracked);
  },
};
Object.defineProperty(globalThis, "EdgeRuntime", { value: edgeRuntime });

const serve = Deno.serve;
let handler: Handler | undefined;
Object.defineProperty(Deno, "serve", {
  value: (...values: unknown[]) => {
    const given = values.find((value) => typeof value === "function") ??
      values.map((value) => (value as { handler?: unknown } | undefined)?.handler)
        .find((value) => typeof value === "function");
    if (given === undefined) throw new TypeError("Deno.serve needs a handler");
    handler ??= given as Handler;
    return {
      finished: new Promise<void>(() => {}),
      addr: { transport: "tcp", hostname: "127.0.0.1", port: 0 },
      ref() {},
      unref() {},
      shutdown: () => Promise.resolve(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
});

let finishRequests = () => Promise.resolve();
void obeyHost();
try {
  const module: { default?: { fetch?: Handler } } = await import(setup.entrypoint);
  const { default: exported } = module;
  if (typeof exported?.fetch === "function") {
    handler ??= (request, info) => exported.fetch!(request, info);
  }
  if (handler === undefined) {
    throw new Error("The function neither calls Deno.serve nor exports default { fetch }");
  }
} catch (error) {
  console.error(error);
  await send({ type: "boot-error", message: error instanceof Error ? error.message : `${error}` });
  Deno.exit(1);
}
const answer = handler;
const server = serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => void send({ type: "ready", port }),
  onError: (error) => {
    console.error(error);
    return Response.json(
      { code: "WORKER_ERROR", message: "Function exited due to an error (please check logs)" },
      { status: 500 },
    );
  },
}, (request, info) => {
  begin();
  info.completed.then(end, end);
  return answer(request, info);
});
finishRequests = () => server.shutdown();

async function obeyHost(): Promise<void> {
  for await (const message of readMessages<HostMessage>(control.readable)) {
    globalThis.dispatchEvent(
      new CustomEvent("beforeunload", { detail: { reason: message.reason } }),
    );
    await finishRequests();
    while (background.size > 0) await Promise.all(background);
    Deno.exit(0);
  }
  // The host is gone, and a worker without a host would stay for ever.
  Deno.exit(1);
}
