import { App, InMemoryEmailDriver, type ResolvedKey } from "@supabase/lite";
import postgres from "postgres";
import { type Keys, verifyToken } from "./gateway/keys.ts";
import { withConsole } from "./gateway/quiet_console.ts";
import { RestConnection } from "./gateway/rest_connection.ts";
import { createStorage, type Storage, type StorageRole } from "./gateway/storage.ts";

export { installAuthSchema } from "./gateway/auth_schema.ts";
export { createKeys, type Keys } from "./gateway/keys.ts";

export interface GatewayOptions {
  /** Superuser `supabase_admin` of a database with the Auth schema (`installAuthSchema`). */
  adminUrl: string;
  keys: Keys;
  /** Base URL of the function host, or a function that gives it on each request. */
  functionsUrl: string | (() => string);
  /** Port on 127.0.0.1. Default: a random free one. */
  port?: number;
  /** Receives what the REST and Auth interface prints. Default: none. */
  log?: (line: string) => void;
  /** Stops the gateway. */
  signal?: AbortSignal;
}

/** Milliseconds that stopping leaves to requests: one whose connection to the database is gone never ends. */
const STOP_MS = 5_000;

export interface Gateway {
  /** Base URL, the SUPABASE_URL of clients. */
  url: string;
  /** Reads the database's tables and functions anew, as `notify pgrst, 'reload schema'` does. */
  reload(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Serves `/rest/v1`, `/auth/v1`, `/storage/v1` and `/functions/v1` on one port of 127.0.0.1.
 * A documented subset of the platform: Storage as in {@linkcode createStorage}, no GraphQL, Auth admin
 * interface or Realtime.
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  options.signal?.throwIfAborted();
  const { keys } = options;
  const log = options.log ?? (() => {});
  const connection = new RestConnection(options.adminUrl, log);
  const listener = postgres(options.adminUrl, { max: 1, onnotice: () => {} });
  const app = withConsole(log, () =>
    new App({
      connection,
      auth: {
        enabled: true,
        publishable_key: keys.publishableKey,
        secret_key: keys.secretKey,
        jwt_secret: keys.jwtSecret,
        email: { enable_confirmations: false },
      },
      // The real CLI keeps the migration history.
      db: { migrations: { enabled: false } },
      studio: { enabled: false },
      storage: { enabled: false },
      options: {
        drivers: { email: new InMemoryEmailDriver() },
        server: {
          disableStudio: true,
          apiKeys: { resolver: (key) => Promise.resolve(resolveKey(key, keys)) },
        },
      },
    }));

  let reloading: Promise<void> = Promise.resolve();
  let next: Promise<void> | undefined;
  // A migration of many statements notifies many times; all that wait share one reload.
  const reload = () =>
    next ??= reloading = reloading.catch(() => {}).then(() => {
      next = undefined;
      return withConsole(log, () => connection.reload());
    });

  let storage: Storage;
  let server: Deno.HttpServer<Deno.NetAddr> | undefined;
  const underWay = new Set<Promise<unknown>>();
  const cutting = new AbortController();
  let stopping: Promise<void> | undefined;
  const stop = () => stopping ??= stopAll();
  const stopAll = async () => {
    options.signal?.removeEventListener("abort", onAbort);
    if (await endWithin(underWay, STOP_MS)) {
      await server?.shutdown();
    } else {
      log(`Cut requests under way that did not end within ${STOP_MS} ms: ${underWay.size}`);
      cutting.abort();
    }
    await Promise.all([listener.end({ timeout: 1 }), connection.driver.end({ timeout: 1 })]);
  };
  const onAbort = () => {
    void stop();
  };

  try {
    storage = await createStorage(listener);
    await app.init();
    await reload();
    await listener.listen("pgrst", (message) => {
      if (message !== "" && message !== "reload schema") return;
      reload().catch((error) => log(`Cannot reload the schema: ${error}`));
    });
    server = Deno.serve({
      hostname: "127.0.0.1",
      port: options.port ?? 0,
      signal: cutting.signal,
      onListen: () => {},
      onError: (error) => {
        log(`Cannot answer a request: ${error}`);
        return Response.json({ message: "An unexpected error occurred" }, { status: 500 });
      },
    }, (request) => {
      const answering = Promise.resolve(route(request));
      underWay.add(answering);
      const ended = () => underWay.delete(answering);
      answering.then(ended, ended);
      return answering;
    });
  } catch (error) {
    await stop();
    if (error instanceof Deno.errors.AddrInUse) {
      throw new Error(
        `Cannot start the gateway: port ${options.port} is in use; pass another or stop the other server`,
      );
    }
    throw error;
  }
  options.signal?.addEventListener("abort", onAbort);

  function route(request: Request): Promise<Response> | Response {
    const { pathname } = new URL(request.url);
    if (pathname.startsWith("/functions/v1/")) return forward(request, options.functionsUrl);
    if (pathname.startsWith("/storage/v1/")) return answerFiles(request);
    if (pathname.startsWith("/rest/v1") || pathname.startsWith("/auth/v1")) {
      return withConsole(log, () => app.fetch(request));
    }
    return Response.json({ message: `No route matched "${pathname}"` }, { status: 404 });
  }

  async function answerFiles(request: Request): Promise<Response> {
    const role = await roleOf(request, keys);
    if (role !== undefined) return await storage.answer(request, role);
    return Response.json(
      { statusCode: "403", error: "Unauthorized", message: "Invalid Compact JWS" },
      { status: 400 },
    );
  }

  return { url: `http://127.0.0.1:${server.addr.port}`, reload, stop };
}

/** Whether all of them end in time, well or not. */
async function endWithin(promises: Iterable<Promise<unknown>>, ms: number): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([Promise.allSettled(promises).then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Who an API key stands for; the legacy keys are tokens that carry their role. */
function resolveKey(key: string, keys: Keys): ResolvedKey | null {
  if (key === keys.publishableKey || key === keys.anonKey) {
    return { type: "publishable", claims: { role: "anon" } };
  }
  if (key === keys.secretKey || key === keys.serviceKey) {
    return { type: "secret", claims: { role: "service_role" } };
  }
  return null;
}

/**
 * Whom a request to Storage acts for: the API key, or the user whose token it carries. Public files
 * need neither. Undefined for keys and tokens that are not of this project.
 */
async function roleOf(request: Request, keys: Keys): Promise<StorageRole | undefined> {
  const bearer = /^Bearer (.+)$/.exec(request.headers.get("authorization") ?? "")?.[1];
  const apiKey = request.headers.get("apikey");
  const given = [bearer, apiKey].filter((key) => key !== undefined && key !== null);
  if (given.length === 0) {
    return new URL(request.url).pathname.includes("/object/public/") ? "anon" : undefined;
  }
  for (const key of given) {
    const resolved = resolveKey(key, keys);
    if (resolved !== null) return resolved.type === "secret" ? "service_role" : "anon";
    if (await verifyToken(key, keys.jwtSecret) !== null) return "authenticated";
  }
  return undefined;
}

async function forward(
  request: Request,
  functionsUrl: string | (() => string),
): Promise<Response> {
  const { pathname, search, host } = new URL(request.url);
  const headers = new Headers(request.headers);
  headers.set("x-forwarded-host", host);
  headers.set("x-forwarded-proto", "http");
  try {
    const base = typeof functionsUrl === "string" ? functionsUrl : functionsUrl();
    return await fetch(`${base}${pathname.slice("/functions/v1".length)}${search}`, {
      method: request.method,
      headers,
      body: request.body,
      redirect: "manual",
    });
  } catch (error) {
    return Response.json(
      { code: "BAD_GATEWAY", message: `Cannot reach the function host: ${error}` },
      { status: 502 },
    );
  }
}
