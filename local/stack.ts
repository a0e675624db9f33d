import { join } from "node:path";
import postgres from "postgres";
import { type CronScheduler, startCronScheduler } from "./cron/scheduler.ts";
import { type Database, startDatabase } from "./database/embedded.ts";
import { externalDatabase } from "./database/external.ts";
import { type FmpSimulator, type FmpSimulatorOptions, startFmpSimulator } from "./fmp/simulator.ts";
import { wellKnownListings } from "./fmp/well_known.ts";
import { type FunctionHost, startFunctionHost } from "./functions/host.ts";
import { readVerifyJwt } from "./functions/settings.ts";
import { createKeys, type Gateway, installAuthSchema, type Keys, startGateway } from "./gateway.ts";
import { applyMigrations, applySecrets, CHECKOUT } from "./migrations.ts";
import { type NetWorker, startNetWorker } from "./net/worker.ts";
import { applyLegacyBaseline, applyPlatform, readPlatform } from "./platform/apply.ts";
import { findTemplate } from "./template.ts";

/** Whether the API roles get rights on new objects in `public` by themselves. */
export type DefaultPrivileges = "legacy" | "none";

/** A vendor in place of the simulator. */
export interface Vendor {
  apiKey: string;
  baseUrl: string;
}

export interface StackOptions {
  /** Scratch server to use in place of the embedded one; see `externalDatabase`. */
  databaseUrl?: string;
  /** Folder for the embedded server's data, kept on stop. Default: a temporary one. */
  dataDir?: string;
  /** Port of the embedded server. Default: a random free one. */
  port?: number;
  /** Default: "legacy", as in projects made before 2026-05-30. */
  defaultPrivileges?: DefaultPrivileges;
  /** Apply the migrations, every flag off. Default: true. */
  migrate?: boolean;
  /** Symbols that are active in `supported_symbols`. Default: 60. */
  activeSymbols?: number;
  /** Who answers the vendor calls. Default: the simulator. */
  fmp?: "simulator" | Vendor;
  /** Settings of the simulator. */
  simulator?: Omit<FmpSimulatorOptions, "signal">;
  /**
   * Run the cron jobs; `pg_cron`: only where the server has it. A server of `databaseUrl` that has it
   * runs them in any case. Default: true.
   */
  cron?: boolean | "pg_cron";
  /** Clock of the cron stand-in. Default: the system's. */
  cronNow?: () => Date;
  /** Send what `net.http_post` queues. Default: true. */
  net?: boolean;
  /** Further environment of the functions. */
  functionEnv?: Record<string, string>;
  /** Folder with `supabase/`. Default: the checkout. */
  projectDir?: string;
  /** Stops the stack, also while it starts. */
  signal?: AbortSignal;
  /** Receives what the parts log, after their name. Default: none. */
  log?: (line: string) => void;
}

/** A running local Supabase project with the legacy system in it. */
export interface Stack {
  /** Role `postgres`, as people and migrations connect. */
  databaseUrl: string;
  /** Superuser `supabase_admin`. */
  adminUrl: string;
  /** SUPABASE_URL: REST, Auth and Edge Functions. */
  apiUrl: string;
  /** Base URL of the Edge Functions at the gateway. */
  functionsUrl: string;
  /** Base URL of the vendor. */
  fmpUrl: string;
  keys: Keys;
  database: Database;
  gateway: Gateway;
  functions: FunctionHost;
  /** Undefined when the real vendor is used. */
  simulator: FmpSimulator | undefined;
  /** Undefined when it was left out or the server has pg_cron. */
  cron: CronScheduler | undefined;
  /** Undefined when it was left out. */
  net: NetWorker | undefined;
  /** Applies the migrations that are pending and makes them visible over REST. */
  installMigrations(): Promise<void>;
  /** Stops everything in reverse order. Calling it again changes nothing. */
  stop(): Promise<void>;
}

/** The real vendor's interface. */
export const FMP_BASE_URL = "https://financialmodelingprep.com/stable";

/** The vendor's documented answers, where they lie beside the checkout. */
const EXAMPLES = join(CHECKOUT, "..", "shared", "fmp", "examples");

/**
 * Starts a local Supabase project with the legacy system: database, platform roles and schemas,
 * REST and Auth, Edge Functions, cron, net, vault, vendor simulator, then the migrations.
 * When a step fails or the signal aborts, what has started is stopped before the error is thrown.
 */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const { signal, migrate = true, projectDir = CHECKOUT } = options;
  signal?.throwIfAborted();
  const log = options.log ?? (() => {});
  const logOf = (part: string) => (line: string) => log(`${part}: ${line}`);
  const running = new AsyncDisposableStack();
  const started = async <Part extends { stop(): Promise<void> }>(
    starting: Promise<Part>,
  ): Promise<Part> => {
    const part = await starting;
    running.defer(() => part.stop());
    signal?.throwIfAborted();
    return part;
  };

  try {
    const isOfCheckout = migrate && projectDir === CHECKOUT;
    const template = options.databaseUrl === undefined && options.dataDir === undefined
      ? findTemplate(options.defaultPrivileges ?? "legacy", isOfCheckout)
      : undefined;
    const database = await started(openDatabase(options, template, logOf("postgres")));
    const { adminUrl, url: databaseUrl } = database;
    const platform = template === undefined
      ? await applyPlatform({ adminUrl, defaultPrivileges: options.defaultPrivileges })
      : await readPlatform(adminUrl);
    if (template === undefined) await installAuthSchema(adminUrl);
    signal?.throwIfAborted();

    const keys = await createKeys();
    const gateway = await started(startGateway({
      adminUrl,
      keys,
      functionsUrl: () => functions.url,
      log: logOf("gateway"),
    }));

    const vendor = typeof options.fmp === "object" ? options.fmp : undefined;
    const simulator = vendor === undefined
      ? await started(startFmpSimulator({ examplesDir: EXAMPLES, ...options.simulator }))
      : undefined;
    const { apiKey, baseUrl } = vendor ?? { apiKey: simulator!.apiKey, baseUrl: simulator!.url };

    await installLegacy(databaseUrl);
    if (database.kind === "embedded") await moveCronJobs(adminUrl, database.port);
    await storeLegacySecrets(databaseUrl, { project_url: gateway.url, anon_key: keys.anonKey });
    await seedSymbols(
      databaseUrl,
      simulator?.symbols ?? wellKnownListings().map(({ symbol }) => symbol),
      options.activeSymbols ?? 60,
    );
    signal?.throwIfAborted();

    const functions: FunctionHost = await started(startFunctionHost({
      functionsDir: join(projectDir, "supabase", "functions"),
      env: functionEnvironment(gateway.url, databaseUrl, keys, {
        FMP_API_KEY: apiKey,
        FMP_BASE_URL: baseUrl,
        ...(simulator === undefined ? {} : {
          EXCHANGE_RATES_URL: simulator.exchangeRatesUrl,
          FMP_IMAGES_URL: simulator.imagesUrl,
        }),
        ENV_CONTEXT: "PROD",
        ...options.functionEnv,
      }),
      verifyJwt: readVerifyJwt(await Deno.readTextFile(join(projectDir, "supabase/config.toml"))),
      jwtSecret: keys.jwtSecret,
      log: logOf("function"),
    }));
    const net = options.net === false
      ? undefined
      : await started(startNetWorker({ adminUrl, log: logOf("net") }));
    const cron = (options.cron ?? true) !== true || platform.cron === "real"
      ? undefined
      : await started(startCronScheduler({ adminUrl, log: logOf("cron"), now: options.cronNow }));

    const installMigrations = async () => {
      const apply = template !== undefined && isOfCheckout ? applySecrets : applyMigrations;
      await apply({
        databaseUrl,
        projectDir,
        secrets: { SWITCHYARD_SECRET_KEY: keys.secretKey },
        ...(signal === undefined ? {} : { signal }),
      });
      await gateway.reload();
    };
    if (migrate) await installMigrations();
    signal?.throwIfAborted();

    const parts = running.move();
    let stopping: Promise<void> | undefined;
    const stop = () => {
      signal?.removeEventListener("abort", onAbort);
      return stopping ??= parts.disposeAsync();
    };
    const onAbort = () => {
      void stop();
    };
    signal?.addEventListener("abort", onAbort);
    return {
      databaseUrl,
      adminUrl,
      apiUrl: gateway.url,
      functionsUrl: `${gateway.url}/functions/v1`,
      fmpUrl: baseUrl,
      keys,
      database,
      gateway,
      functions,
      simulator,
      cron,
      net,
      installMigrations,
      stop,
    };
  } catch (error) {
    await running.disposeAsync();
    throw error;
  }
}

function openDatabase(
  options: StackOptions,
  template: string | undefined,
  log: (line: string) => void,
): Promise<Database> {
  const { databaseUrl, dataDir, port, cron = true } = options;
  if (databaseUrl !== undefined) return externalDatabase(databaseUrl);
  return startDatabase({
    log,
    cron: cron !== false,
    ...(dataDir === undefined ? {} : { dataDir }),
    ...(template === undefined ? {} : { template }),
    ...(port === undefined ? {} : { port }),
  });
}

/** pg_cron connects to the host and port that were the server's when a job was scheduled. */
async function moveCronJobs(adminUrl: string, port: number): Promise<void> {
  await withSql(
    adminUrl,
    (sql) =>
      sql`
        update cron.job
           set nodeport = ${port}, nodename = coalesce(current_setting('cron.host', true), nodename)`,
  );
}

/** The legacy system's tables, functions and jobs, unless the data was kept from an earlier start. */
async function installLegacy(databaseUrl: string): Promise<void> {
  const isThere = await withSql(databaseUrl, async (sql) => {
    const [row] = await sql<[{ isThere: boolean }]>`
      select to_regclass('public.supported_symbols') is not null as "isThere"`;
    return row.isThere;
  });
  if (!isThere) await applyLegacyBaseline(databaseUrl);
}

async function storeLegacySecrets(
  databaseUrl: string,
  secrets: Record<string, string>,
): Promise<void> {
  await withSql(databaseUrl, async (sql) => {
    for (const [name, value] of Object.entries(secrets)) {
      await sql`
        select coalesce(
          (select vault.update_secret(id, ${value})::text from vault.secrets where name = ${name}),
          (select vault.create_secret(${value}, ${name})::text
            where not exists (select from vault.secrets where name = ${name}))
        )`;
    }
  });
}

/** Lists the symbols, the first ones active; what people have changed since stays. */
async function seedSymbols(
  databaseUrl: string,
  symbols: readonly string[],
  active: number,
): Promise<void> {
  await withSql(databaseUrl, (sql) =>
    sql`
      insert into public.supported_symbols (symbol, is_active)
      select symbol, position <= ${active}
      from unnest(${[...symbols]}::text[]) with ordinality as listed (symbol, position)
      on conflict (symbol) do nothing`);
}

/** What the platform gives to every function, and the project's function secrets. */
function functionEnvironment(
  apiUrl: string,
  databaseUrl: string,
  keys: Keys,
  secrets: Record<string, string>,
): Record<string, string> {
  return {
    SUPABASE_URL: apiUrl,
    SUPABASE_DB_URL: databaseUrl,
    SUPABASE_ANON_KEY: keys.anonKey,
    SUPABASE_SERVICE_ROLE_KEY: keys.serviceKey,
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishableKey }),
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secretKey }),
    // User tokens are signed with a shared secret here, and no public key can verify them.
    SUPABASE_JWKS: JSON.stringify({ keys: [] }),
    ...secrets,
  };
}

async function withSql<Result>(
  url: string,
  work: (sql: postgres.Sql) => PromiseLike<Result>,
): Promise<Result> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    return await work(sql);
  } finally {
    await sql.end();
  }
}
