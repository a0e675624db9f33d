import type { Sql } from "postgres";
import { compareFingerprints, fingerprint, isOwnObject } from "../../local/fingerprint.ts";
import type { Stack } from "../../local/stack.ts";
import { formatCount, formatDuration } from "../format.ts";
import type { Terminal } from "./terminal.ts";
import { waitFor } from "./wait.ts";

export interface Walk {
  stack: Stack;
  sql: Sql;
  terminal: Terminal;
  /** Active symbols, in the order in which the walk uses them. */
  symbols: readonly string[];
  signal: AbortSignal;
}

const DATA_TYPES = ["profile", "quote", "financial-statements"];
/** A minute job may have just run, and real pg_cron then takes a whole minute. */
const CRON_TIMEOUT_MS = 130_000;

/** The legacy cron jobs refresh data by themselves. */
export async function watchLegacyJobs({ sql, terminal, symbols, signal }: Walk): Promise<void> {
  const [jobs] = await sql<[{ count: number; active: number }]>`
    select count(*)::int as count, count(*) filter (where active)::int as active from cron.job`;
  terminal.fact(`${jobs.count} cron jobs, ${jobs.active} active; waiting for the next minute`);
  await waitForLegacyQuotes({ sql, terminal, wanted: symbols.length, since: new Date(0), signal });
}

/** Installs the migrations and proves from the catalog that nothing else changed. */
export async function installBeside({ stack, sql, terminal, symbols, signal }: Walk) {
  const before = await fingerprint(sql);
  const started = performance.now();
  await stack.installMigrations();
  const installed = new Date();
  terminal.fact(`supabase db push: ${formatDuration(performance.now() - started)}`);

  const differences = compareFingerprints(before, await fingerprint(sql));
  const foreign = differences.filter(({ change, object }) =>
    change !== "added" || !isOwnObject(object)
  );
  for (const { change, object } of foreign) {
    terminal.fact(`${change}: ${object.kind} ${object.identity}`);
  }
  if (foreign.length > 0) {
    throw new Error(`The install touched ${foreign.length} objects that are not Switchyard's`);
  }
  terminal.fact(
    `${formatCount(before.length)} existing objects unchanged, ` +
      `${formatCount(differences.length)} added, all of them Switchyard's`,
  );
  const flags = await sql<{ flag_name: string; enabled: boolean }[]>`
    select flag_name, enabled from public.feature_flags order by flag_name`;
  const on = flags.filter(({ enabled }) => enabled).map(({ flag_name }) => flag_name);
  terminal.fact(`flags: ${flags.length}, ${on.length === 0 ? "all off" : `on: ${on.join(", ")}`}`);
  await waitForLegacyQuotes({
    sql,
    terminal,
    wanted: symbols.length,
    since: installed,
    signal,
  });
  terminal.fact("the legacy jobs went on as before");
  const answers = await sql<{ status: number; count: number }[]>`
    select status_code::int as status, count(*)::int as count
      from net._http_response where status_code is not null group by 1 order by 1`;
  terminal.fact(
    `the Edge Functions answered ${
      answers.map(({ status, count }) => `${status} × ${count}`).join(", ")
    }`,
  );
  if (answers.some(({ status }) => status === 404)) {
    terminal.fact("404: legacy functions whose data types this version does not carry yet");
  }
}

/** Inserts jobs by hand and processes them by hand, with every flag off. */
export async function processByHand(walk: Walk, symbols: readonly string[]): Promise<void> {
  const { stack, sql, terminal, signal } = walk;
  const [left] = await sql<[{ jobs: number }]>`
    select public.cancel_jobs_v2(p_created_before := 'infinity') as jobs`;
  if (left.jobs > 0) {
    terminal.fact(`${left.jobs} jobs that an earlier walk had left were cancelled`);
  }
  await insertJobs(sql, symbols);
  // The plain INSERT of a person is not checked against the vendor: it will have nothing for it.
  await sql`insert into public.api_call_queue_v2 (symbol, data_type) values ('NO-SUCH', 'quote')`;
  const count = symbols.length * DATA_TYPES.length + 1;
  terminal.fact(`${count} jobs inserted with INSERT INTO api_call_queue_v2`);

  // One run is enough, unless an earlier walk has used up the minute's calls on this server.
  const sum = { completed: 0, empty: 0, failed: 0, rowsWritten: 0, vendorCalls: 0 };
  await waitFor(async (seen) => {
    const report = await runManually(stack, signal);
    sum.completed += report.jobs.completed;
    sum.empty += report.jobs.empty;
    sum.failed += report.jobs.failed;
    sum.rowsWritten += report.rowsWritten;
    sum.vendorCalls += report.vendorCalls;
    const live = await liveJobs(sql);
    seen(live);
    return live === "" ? true : undefined;
  }, { what: "the manual jobs to be done", timeoutMs: 120_000, everyMs: 1_000, signal });
  terminal.fact(
    `queue-processor-v2 {"manual": true, "wait": true}: ${sum.completed} completed, ` +
      `${sum.empty} empty, ${sum.failed} failed; ` +
      `${formatCount(sum.rowsWritten)} rows, ${sum.vendorCalls} vendor calls`,
  );
  const [statements] = await sql<[{ count: number }]>`
    select count(*)::int as count from public.financial_statements where symbol = any(${[
    ...symbols,
  ]})`;
  terminal.fact(`financial_statements holds ${statements.count} rows of these symbols`);
}

/** Turns use_queue_system on and lets cron drive the processor until the queue is empty. */
export async function processByCron(walk: Walk, symbols: readonly string[]): Promise<void> {
  const { sql, terminal, signal } = walk;
  await insertJobs(sql, symbols);
  terminal.fact(`${symbols.length * DATA_TYPES.length} jobs inserted; with the flag off they wait`);
  await sql`update public.feature_flags set enabled = true where flag_name = 'use_queue_system'`;
  terminal.fact("UPDATE feature_flags SET enabled = true WHERE flag_name = 'use_queue_system'");

  const started = performance.now();
  await waitFor(async (seen) => {
    const [jobs] = await sql<
      [{ pending: number; processing: number; finished: number; live: number }]
    >`
      select count(*) filter (where status = 'pending')::int as pending,
             count(*) filter (where status = 'processing')::int as processing,
             count(*) filter (where status in ('completed', 'failed'))::int as finished,
             count(*) filter (where status in ('pending', 'processing'))::int as live
        from public.api_call_queue_v2`;
    const text =
      `${jobs.pending} pending, ${jobs.processing} processing, ${jobs.finished} finished`;
    seen(text);
    terminal.progress(text);
    return jobs.live === 0 ? true : undefined;
  }, { what: "the queue to be empty", timeoutMs: CRON_TIMEOUT_MS, signal });

  const [invoked] = await sql<[{ runs: number; processors: number }]>`
    select (select count(*)::int from cron.job_run_details as d join cron.job as j using (jobid)
             where j.jobname = 'invoke-queue-processor-v2' and d.status = 'succeeded') as runs,
           (select count(*)::int from switchyard.processor_runs where not manual) as processors`;
  if (invoked.runs === 0 || invoked.processors === 0) {
    throw new Error(
      `The queue is empty, but cron ran ${invoked.runs} times and ${invoked.processors} processors started`,
    );
  }
  terminal.fact(
    `queue empty after ${
      formatDuration(performance.now() - started)
    }: cron ran invoke-queue-processor-v2 ${invoked.runs} ×, it started ${invoked.processors} processor`,
  );
}

/** The way back: one UPDATE. */
export async function turnOff({ sql, terminal }: Walk): Promise<void> {
  await sql`update public.feature_flags set enabled = false where flag_name = 'use_queue_system'`;
  const [jobs] = await sql<[{ legacy: number; own: number }]>`
    select count(*) filter (where active and own.job_name is null)::int as legacy,
           count(*) filter (where active and own.job_name is not null)::int as own
      from cron.job left join switchyard.cron_jobs as own on own.job_name = jobname`;
  if (jobs.own !== 0) throw new Error(`${jobs.own} v2 cron jobs are still active`);
  terminal.fact(`one UPDATE: the v2 cron jobs are inactive, ${jobs.legacy} legacy jobs active`);
}

async function insertJobs(sql: Sql, symbols: readonly string[]): Promise<void> {
  await sql`
    insert into public.api_call_queue_v2 (symbol, data_type)
    select symbol, data_type from unnest(${[...symbols]}::text[]) as symbol
     cross join unnest(${DATA_TYPES}::text[]) as data_type`;
}

/** What a manual run to the end reports, as far as the walk shows it. */
interface ManualReport {
  jobs: { completed: number; empty: number; failed: number };
  rowsWritten: number;
  vendorCalls: number;
}

async function runManually(stack: Stack, signal: AbortSignal): Promise<ManualReport> {
  const response = await fetch(`${stack.functionsUrl}/queue-processor-v2`, {
    method: "POST",
    headers: { "apikey": stack.keys.secretKey, "content-type": "application/json" },
    body: JSON.stringify({ manual: true, wait: true }),
    signal,
  });
  const answer = await response.text();
  if (response.status !== 200) {
    throw new Error(`queue-processor-v2 answered ${response.status}: ${answer}`);
  }
  return JSON.parse(answer);
}

/** The first live jobs with their errors, as text; empty when there is none. */
async function liveJobs(sql: Sql): Promise<string> {
  const live = await sql<{ symbol: string; data_type: string; last_error: string | null }[]>`
    select symbol, data_type, last_error from public.api_call_queue_v2
     where finished_at = 'infinity' order by id limit 5`;
  return live.map((job) => `${job.data_type} for "${job.symbol}" (${job.last_error ?? "no error"})`)
    .join(", ");
}

interface LegacyWait {
  sql: Sql;
  terminal: Terminal;
  wanted: number;
  since: Date;
  signal: AbortSignal;
}

/** Waits until cron alone has refreshed nearly all quotes: a vendor may lack one or two. */
async function waitForLegacyQuotes({ sql, terminal, wanted, since, signal }: LegacyWait) {
  const rows = await waitFor(async (seen) => {
    const [quotes] = await sql<[{ count: number }]>`
      select count(*)::int as count from public.live_quote_indicators
        join public.supported_symbols using (symbol)
       where is_active and fetched_at > ${since}`;
    const text = `${quotes.count} of ${wanted} quotes refreshed by the legacy job`;
    seen(text);
    terminal.progress(text);
    return quotes.count >= wanted * 0.9 ? quotes.count : undefined;
  }, { what: "a legacy refresh of the quotes", timeoutMs: CRON_TIMEOUT_MS, signal });
  terminal.fact(`minute-fetch-fmp-quote-indicators refreshed ${rows} quotes`);
}
