import assert from "node:assert/strict";
import type postgres from "postgres";
import { startDatabase } from "../../local/database/embedded.ts";
import { runProcessorOn } from "../../local/processor_run.ts";
import type { Stack } from "../../local/stack.ts";
import type { ProcessorReport } from "../../supabase/functions/_shared/processor/report.ts";
import { withStack } from "../integration/with_stack.ts";
import { eventually } from "../eventually.ts";
import { FAULTS, startFaultyGateway } from "./faulty_gateway.ts";
import { startLine } from "./held_line.ts";

const OUTAGE_MS = 30_000;

// The line is silent and not cut: the local REST interface does not survive connections that are cut
// in the middle of a transaction, which the platform's does.
Deno.test("a database that does not answer for 30 s during a run loses no job, and the run goes on", async () => {
  const clock = steppedClock();
  const database = await startDatabase();
  const line = await startLine(database.port);
  const behind = new URL(database.adminUrl);
  behind.port = String(line.port);
  const jobs = 400;
  try {
    await withStack(
      {
        databaseUrl: behind.href,
        cronNow: clock.now,
        activeSymbols: 0,
        simulator: { symbols: jobs, latencyMs: 60 },
      },
      async ({ stack, sql }) => {
        await queueQuotes(stack, sql);
        // Real pg_cron goes by the real clock, and would start another run in a minute.
        await setProjectUrl(sql, "http://127.0.0.1:9");
        const running = runProcessorOn(stack, {
          callTimeoutMs: 10_000,
          leaseSeconds: 20,
          budgetMs: 600_000,
        });
        await eventually("a quarter of the calls", () => {
          return Promise.resolve(quoteCalls(stack) > jobs / 4 ? true : undefined);
        });
        line.hold();
        await new Promise((resolve) => setTimeout(resolve, OUTAGE_MS));
        const callsInOutage = quoteCalls(stack);
        line.release();
        const report = await running;

        assert.equal(report.endedBy, "idle", "it goes on when the database is back");
        assert.ok(quoteCalls(stack) > callsInOutage);
        assertAccounted(report);
        assertOnlyQueueErrors(report, stack);
        assert.equal(report.vendorCalls, quoteCalls(stack), "the report counts every call");
        const timeouts = report.errors.filter(({ code }) => code === "timeout");
        assert.ok(
          timeouts.some(({ message }) =>
            message === "Cannot claim jobs: no answer within 10000 ms"
          ),
          JSON.stringify(report.errors),
        );

        // Claims that were carried out after their callers had left hold jobs for nobody.
        await expireLeases(sql);
        await setProjectUrl(sql, stack.apiUrl);
        await eventually("cron to have the rest done", async () => {
          clock.forward(1_000);
          return await isQueueEmpty(sql) ? true : undefined;
        }, 400_000);
        await assertDoneOnce(stack, sql, report.jobs.unsettled + report.jobs.leaseLost);
      },
    );
  } finally {
    await line.stop();
    await database.stop();
  }
});

Deno.test("a REST API that fails a third of its calls, some after they took effect, loses no job", () =>
  withStack(
    { cron: false, net: false, activeSymbols: 0, simulator: { symbols: 240, latencyMs: 150 } },
    async ({ stack, sql }) => {
      await queueQuotes(stack, sql);
      const gateway = startFaultyGateway(stack.apiUrl);
      try {
        const reports: ProcessorReport[] = [];
        await eventually("the queue to be empty", async () => {
          reports.push(await runProcessorOn(stack, { apiUrl: gateway.url, callTimeoutMs: 1_000 }));
          // A claim whose answer was lost holds jobs for nobody.
          await expireLeases(sql);
          return await isQueueEmpty(sql) ? true : undefined;
        });
        assert.deepEqual(
          tally(gateway.injected.map(({ name, fault }) => `${name}: ${fault}`)),
          tally(
            Object.entries(FAULTS).flatMap(([name, faults]) =>
              faults.map((fault) => `${name}: ${fault}`)
            ),
          ),
          "every fault has happened",
        );
        const sum = (count: (report: ProcessorReport) => number) =>
          reports.reduce((total, report) => total + count(report), 0);
        for (const report of reports) {
          assertAccounted(report);
          assertOnlyQueueErrors(report, stack);
        }
        await assertDoneOnce(stack, sql, sum(({ jobs }) => jobs.unsettled + jobs.leaseLost));

        const messages = reports.flatMap(({ errors }) => errors.map(({ message }) => message));
        for (
          const problem of [
            "no server (http_503)",
            "out of order (http_500)",
            "the answer with status 502 is not JSON (http_502)",
            "the answer with status 200 is not JSON (unreadable_answer)",
            "no answer within 1000 ms",
          ]
        ) {
          assert.ok(messages.includes(`Cannot claim jobs: ${problem}`), messages.join("\n"));
        }
        const warnings = reports.flatMap(({ warnings }) => warnings);
        const beat = "Cannot send the heartbeat of the processor run: no server (http_503)";
        assert.ok(warnings.includes(beat), warnings.join("\n"));
        const settledTwice = gateway.injected
          .filter(({ name, fault }) => name === "settle_queue_batch_v2" && fault.endsWith("after"))
          .reduce((jobs, settle) => jobs + settle.completed, 0);
        const explained = warnings.filter((warning) =>
          warning.endsWith("lost its lease; an earlier try of the same call may have settled it")
        );
        assert.ok(settledTwice > 0);
        assert.ok(explained.length >= settledTwice, warnings.join("\n"));
        assert.ok(
          sum(({ jobs }) => jobs.completed) <= stack.simulator!.symbols.length - settledTwice,
          "no job is counted as completed whose lease was lost",
        );
        const unfinished = await sql`
          select from switchyard.processor_runs where finished_at is null or report is null`;
        assert.equal(unfinished.length, 0, "every report is stored");
      } finally {
        await gateway.stop();
      }
    },
  ));

Deno.test("an enqueue, also a plain insert, wakes a processor at once, once a second; cron does without", () => {
  const clock = steppedClock();
  return withStack({ cronNow: clock.now, activeSymbols: 5 }, async ({ stack, sql }) => {
    await pauseLegacyJobs(sql);
    const symbols = stack.simulator!.symbols;
    const enqueue = (symbol: string) =>
      sql`select public.queue_refresh_if_not_exists_v2(${symbol}, 'quote')`;
    const insert = (symbol: string) =>
      sql`insert into public.api_call_queue_v2 (symbol, data_type) values (${symbol}, 'quote')`;
    const lastWake = async () => {
      const [wake] = await sql`select last_wake_at::text as at from switchyard.wakes`;
      return wake!.at as string;
    };
    // In the processor's place, so that none is ever alive and every wake is seen.
    const calls: string[] = [];
    const listener = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      async (request) => {
        const { reason } = await request.json();
        calls.push(reason);
        return new Response(null, { status: 202 });
      },
    );
    const wakes = () => calls.filter((reason) => reason === "wake");
    try {
      await setProjectUrl(sql, `http://127.0.0.1:${listener.addr.port}`);
      await enqueue(symbols[0]!);
      assert.equal(await lastWake(), "-infinity", "with the flag off an enqueue wakes none");
      await sql`update public.feature_flags set enabled = true
                 where flag_name = 'use_queue_system'`;
      const began = performance.now();
      await insert(symbols[1]!);
      // The clock that cron goes by stands still: nothing else would call it.
      await eventually("the wake", () => wakes()[0]);
      assert.equal(wakes().length, 1, "what came before asked for none");

      // A transaction that rolls back takes its wake with it, but not that of another one.
      await sql`update switchyard.wakes set last_wake_at = '-infinity'`;
      await sql.begin(async (held) => {
        await held`select public.queue_refresh_if_not_exists_v2(${symbols[3]!}, 'quote')`;
        await enqueue(symbols[2]!);
        await held`rollback`;
      }).catch(() => {});
      await eventually("the second wake", () => wakes()[1]);
      await sql`select public.cancel_jobs_v2(p_symbol := ${symbols[3]!})`;

      // A snapshot that is older than somebody's wake fails no enqueue.
      await sql`update switchyard.wakes set last_wake_at = '-infinity'`;
      await sql.begin("isolation level repeatable read", async (old) => {
        await old`select from switchyard.wakes`;
        await sql`update switchyard.wakes set last_wake_at = clock_timestamp()`;
        const [job] = await old`
          select public.queue_refresh_if_not_exists_v2(${symbols[3]!}, 'quote') as id`;
        assert.ok(job!.id);
      });
      await sql`select public.cancel_jobs_v2(p_symbol := ${symbols[3]!})`;

      let isOver = false;
      const sessions = Array.from({ length: 4 }, async (_, session) => {
        while (!isOver) {
          await enqueue(symbols[session]!);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      });
      try {
        await eventually("two wakes more", () => wakes()[3]);
      } finally {
        isOver = true;
        await Promise.all(sessions);
      }
      const seconds = (performance.now() - began) / 1_000;
      await eventually("the wakes to be sent", async () => {
        const waiting = await sql`select from net.http_request_queue`;
        return waiting.length === 0 ? true : undefined;
      });
      const count = wakes().length;
      // One each second, and on a machine that keeps a transaction open one more; one is taken back
      // above. The sessions enqueue up to 200 times a second.
      assert.ok(count <= 1 + 2 * (seconds + 1), `${count} wakes in ${seconds} s`);
    } finally {
      await setProjectUrl(sql, stack.apiUrl);
      await listener.shutdown();
    }

    // A job that nobody announced.
    await sql`update public.feature_flags set enabled = false where flag_name = 'use_queue_system'`;
    await insert(symbols[4]!);
    await sql`update public.feature_flags set enabled = true where flag_name = 'use_queue_system'`;
    const wakeBefore = await lastWake();
    clock.forward(60_000);
    const [run] = await eventually("cron to have a processor run", async () => {
      const runs = await sql`
        select run_id from switchyard.processor_runs where finished_at is not null`;
      return runs.length > 0 ? runs : undefined;
    }, 400_000);
    assert.ok(run);
    assert.equal(await lastWake(), wakeBefore, "and nothing else has called it");
    const finished = await sql`
      select symbol from public.api_call_queue_v2 where status = 'completed' order by symbol`;
    assert.deepEqual(finished.map(({ symbol }) => symbol), symbols.slice(0, 5).toSorted());
  });
});

function tally(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

/** Queues a quote of each symbol that the vendor has, with nothing else going on. */
async function queueQuotes(stack: Stack, sql: postgres.Sql): Promise<void> {
  await pauseLegacyJobs(sql);
  await sql`update public.api_providers_v2 set calls_per_minute = 100000`;
  // A call for each quote.
  await sql`update public.data_type_registry_v2 set batch_size = 1`;
  await sql`insert into public.api_call_queue_v2 (symbol, data_type)
            select symbol, 'quote' from unnest(${stack.simulator!
    .symbols as string[]}::text[]) as symbol`;
  // Afterwards, or the insert would wake a processor.
  await sql`update public.feature_flags set enabled = true where flag_name = 'use_queue_system'`;
}

/** Where cron finds the Edge Functions. */
async function setProjectUrl(sql: postgres.Sql, url: string): Promise<void> {
  await sql`select vault.update_secret(id, ${url}) from vault.secrets where name = 'project_url'`;
}

async function pauseLegacyJobs(sql: postgres.Sql): Promise<void> {
  await sql`select cron.alter_job(job_id := jobid, active := false) from cron.job
             where jobname not in (select job_name from switchyard.cron_jobs)`;
}

function assertAccounted({ jobs: { claimed, ...ends } }: ProcessorReport): void {
  const ended = Object.values(ends).reduce((sum, count) => sum + count, 0);
  assert.equal(ended, claimed, `each claimed job is accounted for: ${JSON.stringify(ends)}`);
}

function assertOnlyQueueErrors(report: ProcessorReport, stack: Stack): void {
  assert.deepEqual(report.errors.filter((error) => error.class !== "queue"), []);
  const text = JSON.stringify(report);
  for (const secret of [stack.keys.secretKey, stack.simulator!.apiKey]) {
    assert.ok(!text.includes(secret), "no key is in the report");
  }
}

/** Calls for quotes: with real pg_cron a legacy job may have made others before it was paused. */
function quoteCalls(stack: Stack): number {
  return stack.simulator!.ledger.filter(({ endpoint }) => endpoint === "quote").length;
}

function isQueueEmpty(sql: postgres.Sql): Promise<boolean> {
  return sql`select from public.api_call_queue_v2 where finished_at = 'infinity' limit 1`
    .then((rows) => rows.length === 0);
}

/** What the clock would do: leases and heartbeats of runs that have ended count no more. */
async function expireLeases(sql: postgres.Sql): Promise<void> {
  await sql`update public.api_call_queue_v2 set lease_expires_at = clock_timestamp()
             where status = 'processing'`;
  await sql`select public.recover_stuck_jobs_v2()`;
  await sql`update public.api_call_queue_v2 set run_after = clock_timestamp()
             where status = 'pending'`;
  await sql`update switchyard.processor_runs set heartbeat_at = '-infinity'
             where finished_at is null`;
}

/** Every job is completed once, and the vendor's ledger fits the books. */
async function assertDoneOnce(stack: Stack, sql: postgres.Sql, mostLost: number): Promise<void> {
  const jobs = stack.simulator!.symbols.length;
  const [history] = await sql`
    select count(*)::int as jobs, count(distinct id)::int as ids,
           count(distinct symbol)::int as symbols,
           count(*) filter (where status = 'completed')::int as completed
      from public.api_call_queue_v2`;
  assert.deepEqual({ ...history }, { jobs, ids: jobs, symbols: jobs, completed: jobs });
  const [rows] = await sql`select count(*)::int as quotes from public.live_quote_indicators`;
  assert.equal(rows!.quotes, jobs);
  const [settled] = await sql`
    select sum((detail ->> 'completed')::int)::int as jobs
      from switchyard.queue_events where kind = 'settle'`;
  assert.equal(settled!.jobs, jobs, "each job is completed in one settle");

  const [books] = await sql`
    select (select sum(calls)::int from public.api_data_usage_v2) as booked,
           (select sum(calls)::int from switchyard.call_grants) as granted`;
  const made = quoteCalls(stack);
  assert.equal(books!.booked, jobs, "each job's call is booked once");
  assert.ok(made <= books!.granted, `made ${made} calls, granted ${books!.granted}`);
  assert.ok(
    jobs <= made && made <= jobs + mostLost,
    `made ${made} calls for ${jobs} jobs, of which at most ${mostLost} were lost`,
  );
}

/** A clock for cron that stands still, half a second into a minute, until it is put forward. */
function steppedClock(): { now(): Date; forward(ms: number): void } {
  let at = Math.floor(Date.now() / 60_000) * 60_000 + 500;
  return { now: () => new Date(at), forward: (ms) => at += ms };
}
