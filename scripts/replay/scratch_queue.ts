import type { Sql } from "postgres";
import {
  type ClaimedJob,
  createQueueClient,
  type Queue,
} from "../../supabase/functions/_shared/queue_client.ts";
import type { ReplayError, Scratch } from "./protocol.ts";

/** Longest that a claim or a settle may take, in milliseconds: rows may be many megabytes. */
const CALL_TIMEOUT_MS = 300_000;
const LEASE_SECONDS = 3_600;
const MOST_CLAIMED = 1_000;

/** The queue of the scratch stack, as the processor talks to it. */
export function openQueue({ apiUrl, secretKey }: Scratch): Queue {
  return createQueueClient({ url: apiUrl, key: secretKey, callTimeoutMs: CALL_TIMEOUT_MS });
}

/**
 * Takes the limits out of the way, as a superuser: the vendors', and the seconds that a REST call may
 * take, of which a slow computer needs more than the platform gives. REST has to be reloaded after it.
 */
export async function liftLimits(sql: Sql): Promise<void> {
  await sql`alter role service_role set statement_timeout = '5min'`;
  await sql`
    update public.api_providers_v2
       set calls_per_minute = 2000000000, bytes_per_30_days = 1000000000000000`;
}

/**
 * Leaves nothing of earlier replays: no rows of the data type, no live jobs, no hold, no open
 * breaker. Then makes the rows that the jobs need: the symbols, and profiles where the registry says so.
 */
export async function prepare(sql: Sql, dataType: string, symbols: string[]): Promise<void> {
  const [type] = await sql<[{ tableName: string; needsProfile: boolean }]>`
    select table_name as "tableName", depends_on is not distinct from 'profile' as "needsProfile"
      from public.data_type_registry_v2 where data_type = ${dataType}`;
  await sql.begin(async (sql) => {
    await sql`delete from public.api_call_queue_v2 where finished_at = 'infinity'`;
    await sql`
      update public.api_providers_v2
         set hold_until = null, hold_reason = null, breaker_state = 'closed'`;
    await sql`delete from switchyard.failed_attempts`;
    await sql`delete from switchyard.call_grants`;
    await sql`truncate public.${sql(type.tableName)} cascade`;
    await sql`
      insert into public.supported_symbols (symbol)
      select unnest(${symbols}::text[]) on conflict (symbol) do update set is_active = true`;
    if (type.needsProfile) {
      await sql`
        insert into public.profiles (symbol)
        select unnest(${symbols}::text[]) on conflict (symbol) do nothing`;
    }
  });
}

/** Queues a manual job for each symbol and claims them all. */
export async function claimJobs(
  sql: Sql,
  queue: Queue,
  dataType: string,
  symbols: string[],
): Promise<ClaimedJob[]> {
  await sql`
    insert into public.api_call_queue_v2 (symbol, data_type)
    select unnest(${symbols}::text[]), ${dataType}`;
  // As autovacuum does sooner or later: a plan made for an empty queue is slow on a full one.
  await sql`analyze switchyard.api_call_queue_v2_live`;
  const jobs = new Map<string, ClaimedJob>();
  while (jobs.size < symbols.length) {
    const claimed = await queue.claim({
      runId: crypto.randomUUID(),
      manual: true,
      batchSize: MOST_CLAIMED,
      leaseSeconds: LEASE_SECONDS,
    }, { until: Date.now() + CALL_TIMEOUT_MS });
    if (claimed.length === 0) {
      throw new Error(
        `Cannot claim the jobs of ${dataType}: found ${jobs.size}, wanted ${symbols.length}`,
      );
    }
    for (const job of claimed) jobs.set(job.symbol, job);
  }
  return symbols.map((symbol) => jobs.get(symbol)!);
}

/** The last error that the queue keeps of the first of these jobs that has one. */
export async function firstError(sql: Sql, jobIds: number[]): Promise<ReplayError | null> {
  const [job] = await sql<{ error: ReplayError }[]>`
    select errors -> -1 as error from public.api_call_queue_v2
     where id = any(${jobIds}::bigint[]) and jsonb_array_length(errors) > 0 order by id limit 1`;
  if (job === undefined) return null;
  const { class: errorClass, code, message } = job.error;
  return { class: errorClass, code, message };
}

/**
 * Columns of the data type's table that are null in every row, in the order of the table. Columns
 * that the database fills by itself never are.
 */
export async function nullColumns(sql: Sql, dataType: string): Promise<string[]> {
  const columns = await sql<{ tableName: string; name: string }[]>`
    select r.table_name as "tableName", a.attname as name
      from public.data_type_registry_v2 as r
      join pg_catalog.pg_attribute as a
        on a.attrelid = format('public.%I', r.table_name)::regclass
     where r.data_type = ${dataType} and a.attnum > 0 and not a.attisdropped
     order by a.attnum`;
  const [first] = columns;
  if (first === undefined) return [];
  const [counts] = await sql<[Record<string, string>]>`
    select count(*) as "*", ${
    columns.map(({ name }, index) =>
      sql`${index === 0 ? sql`` : sql`,`} count(${sql(name)}) as ${sql(name)}`
    )
  } from public.${sql(first.tableName)}`;
  if (Number(counts["*"]) === 0) return [];
  return columns.map(({ name }) => name).filter((name) => Number(counts[name]) === 0);
}
