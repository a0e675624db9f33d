import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { runProcessorOn } from "../../local/processor_run.ts";
import type { Stack } from "../../local/stack.ts";
import {
  type Fetcher,
  fetchers as honestFetchers,
  type Row,
} from "../../supabase/functions/_shared/fetchers/index.ts";
import type { ProcessorReport } from "../../supabase/functions/_shared/processor/report.ts";

/**
 * Drains the queue with the real processor in this process, so that a test can give it fetchers of
 * its own; default: the ones that are deployed.
 */
export async function drainQueue(
  stack: Stack,
  fetchers: Readonly<Record<string, Fetcher>> = honestFetchers,
): Promise<ProcessorReport> {
  return await runProcessorOn(stack, {
    fetchers,
    lingerMs: 0,
    settleDelayMs: 20,
    // Limits do not matter here; on a slow machine the jobs of a late claim would be given back.
    startWithinMs: 60_000,
  });
}

/** The deployed fetchers, of which one gives its rows through `change`. */
export function fetchersWith(
  dataType: string,
  change: (row: Row) => Row,
): Record<string, Fetcher> {
  const honest = honestFetchers[dataType];
  assert.ok(honest, `no fetcher for ${dataType}`);
  return {
    ...honestFetchers,
    [dataType]: {
      ...honest,
      toRows(payload, symbols, receivedAt) {
        const fetched = honest.toRows(payload, symbols, receivedAt);
        const rows = new Map(
          [...fetched.rows].map(([symbol, all]) => [symbol, all.map((row) => change(row))]),
        );
        return { ...fetched, rows };
      },
    },
  };
}

/** Turns the queue on; limits do not matter in these tests. */
export async function switchOn(sql: Sql): Promise<void> {
  await sql`update public.api_providers_v2 set calls_per_minute = 100000`;
  await sql`update switchyard.settings set value = '0' where name = 'endpoint_pause_seconds'`;
  await sql`update public.feature_flags set enabled = true
    where flag_name in ('use_queue_system', 'use_new_staleness_check')`;
  // Whether it is trading hours when the test runs must not matter.
  await sql`update public.data_type_registry_v2 set condition_function = null`;
}

/** Runs the legacy job of this name to its end: sends the request that its command queues. */
export async function runLegacyJob(stack: Stack, sql: Sql, cronJob: string): Promise<void> {
  assert.equal(stack.net, undefined, "a worker would take the request");
  const [job] = await sql`select command from cron.job where jobname = ${cronJob}`;
  assert.ok(job, `no cron job ${cronJob}`);
  const [queued] = await sql.unsafe(job.command);
  const [request] = await sql<
    [{ method: string; url: string; headers: Record<string, string>; body: string | null }?]
  >`
    select method, url, headers, convert_from(body, 'utf8') as body
      from net.http_request_queue where id = ${queued!.request_id}`;
  assert.ok(request, "the command queues a request");
  const response = await fetch(request.url, {
    method: request.method,
    headers: request.headers,
    ...(request.body === null ? {} : { body: request.body }),
  });
  const answer = await response.text();
  assert.ok([200, 207].includes(response.status), `${cronJob}: ${response.status} ${answer}`);
}

/** Counts of verdicts of a data type since ever. */
export async function tally(sql: Sql, dataType: string): Promise<Record<string, number>> {
  const [counts] = await sql`
    select matches::int, mismatches::int, inconclusive::int, waiting::int
      from switchyard.shadow_tally(${dataType}, '-infinity')`;
  return { ...counts! };
}
