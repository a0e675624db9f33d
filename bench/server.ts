import { join } from "node:path";
import postgres from "postgres";
import { type Database, startDatabase } from "../local/database/embedded.ts";
import { installAuthSchema } from "../local/gateway.ts";
import { applyMigrations } from "../local/migrations.ts";
import { applyLegacyBaseline, applyPlatform } from "../local/platform/apply.ts";
import { started } from "./abort.ts";

/** A Postgres server with Switchyard installed, that flushes every commit to disk. */
export interface BenchServer {
  database: Database;
  /** Superuser, one connection. */
  admin: postgres.Sql;
  /** Takes dead rows out of every table, brings statistics up to date and empties the WAL backlog. */
  tidy(): Promise<void>;
  stop(): Promise<void>;
}

/** A data folder that the server's account can reach, and how to remove it. */
export async function makeDataDir(): Promise<
  { path: string; remove: () => Promise<void> }
> {
  const parent = await Deno.makeTempDir({ prefix: "switchyard-bench-" });
  await Deno.chmod(parent, 0o755);
  return {
    path: join(parent, "data"),
    remove: () => Deno.remove(parent, { recursive: true }),
  };
}

/**
 * Starts a server with the legacy system and Switchyard, the queue on and its limits out of reach.
 * A folder given for the data is what makes `startDatabase` keep fsync on; this checks that it did.
 */
export async function startBenchServer(
  signal: AbortSignal,
): Promise<BenchServer> {
  const parts = new AsyncDisposableStack();
  try {
    const dataDir = await makeDataDir();
    parts.defer(dataDir.remove);
    const database = await started(
      signal,
      (starting) => startDatabase({ dataDir: dataDir.path, signal: starting }),
    );
    parts.defer(() => database.stop());
    await applyPlatform({ adminUrl: database.adminUrl });
    await installAuthSchema(database.adminUrl);
    await applyLegacyBaseline(database.url);
    await applyMigrations({
      databaseUrl: database.url,
      secrets: { SWITCHYARD_SECRET_KEY: crypto.randomUUID() },
      signal,
    });
    const admin = postgres(database.adminUrl, { max: 1, onnotice: () => {} });
    parts.defer(() => admin.end({ timeout: 5 }));
    await requireDurability(admin);
    await openLimits(admin);
    await admin`select switchyard.set_stage('quote', 'live')`;
    await admin`
      update public.feature_flags set enabled = true where flag_name = 'use_queue_system'`;
    const running = parts.move();
    return {
      database,
      admin,
      async tidy() {
        await admin.unsafe("vacuum (analyze)");
        await admin.unsafe("checkpoint");
      },
      stop: () => running.disposeAsync(),
    };
  } catch (error) {
    await parts.disposeAsync();
    throw error;
  }
}

/** Fails unless the server flushes every commit: rates without that say nothing. */
export async function requireDurability(sql: postgres.Sql): Promise<void> {
  for (const name of ["fsync", "synchronous_commit", "full_page_writes"]) {
    const [row] = await sql<
      [{ value: string }]
    >`select current_setting(${name}) as value`;
    if (row.value !== "on") {
      throw new Error(
        `Cannot measure: the server has ${name} = ${row.value}, wanted on`,
      );
    }
  }
}

/** Moves every limit of every provider out of reach. */
export async function openLimits(sql: postgres.Sql): Promise<void> {
  await sql`
    update public.api_providers_v2
       set calls_per_minute = 2000000000, bytes_per_30_days = 1000000000000000`;
}

/** Milliseconds for a commit of one row, the median of 200: what the disk allows. */
export async function commitMs(sql: postgres.Sql): Promise<number> {
  await sql`create table if not exists public.bench_commits (at timestamptz)`;
  const times: number[] = [];
  for (let round = 0; round < 200; round++) {
    const started = performance.now();
    await sql`insert into public.bench_commits values (clock_timestamp())`;
    times.push(performance.now() - started);
  }
  await sql`drop table public.bench_commits`;
  return times.toSorted((left, right) => left - right)[100]!;
}
