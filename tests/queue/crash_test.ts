import assert from "node:assert/strict";
import { join } from "node:path";
import postgres from "postgres";
import { startDatabase } from "../../local/database/embedded.ts";
import { startStack } from "../../local/stack.ts";
import { callFunction, withStack } from "../integration/with_stack.ts";
import { eventually } from "../eventually.ts";

Deno.test("a processor killed at any moment loses no job and applies none twice", () =>
  withStack(
    { cron: false, net: false, activeSymbols: 0, simulator: { symbols: 900, latencyMs: 5 } },
    async ({ stack, sql }) => {
      await sql`update public.api_providers_v2 set calls_per_minute = 100000`;
      // A call for each job.
      await sql`update public.data_type_registry_v2 set batch_size = 1`;
      await sql`update public.data_type_registry_v2 set max_attempts = 100`;
      await sql`update public.feature_flags set enabled = true where flag_name = 'use_queue_system'`;
      const symbols = stack.simulator!.symbols;
      await sql`insert into public.api_call_queue_v2 (symbol, data_type)
        select symbol, data_type from unnest(${symbols}::text[]) as symbol
         cross join unnest(array['quote', 'profile']) as data_type`;
      const jobs = symbols.length * 2;

      for (let kill = 0; kill < 6; kill++) {
        const started = await callFunction(stack, "queue-processor-v2", {});
        assert.equal(started.status, 202);
        await started.body?.cancel();
        await new Promise((resolve) => setTimeout(resolve, 50 + Math.random() * 500));
        for (const { name, pid } of stack.functions.workers()) {
          if (name === "queue-processor-v2") Deno.kill(pid, "SIGKILL");
        }
        await eventually("the worker to be gone", () =>
          Promise.resolve(stack.functions.workers().length === 0 ? true : undefined));
        // What the clock would do in two minutes.
        await sql`update public.api_call_queue_v2 set lease_expires_at = clock_timestamp()
                   where status = 'processing'`;
        await sql`update switchyard.processor_runs set heartbeat_at = '-infinity'
                   where finished_at is null`;
        await sql`select public.recover_stuck_jobs_v2()`;
        await sql`update public.api_call_queue_v2 set run_after = clock_timestamp()
                   where status = 'pending'`;
      }
      await eventually("the queue to be empty", async () => {
        const last = await callFunction(stack, "queue-processor-v2", { wait: true });
        await last.body?.cancel();
        const live = await sql`select from public.api_call_queue_v2 where finished_at = 'infinity'`;
        return live.length === 0 ? true : undefined;
      });

      const [finished] = await sql`
        select count(*)::int as jobs, count(distinct id)::int as ids,
               count(*) filter (where status = 'completed')::int as completed
          from public.api_call_queue_v2`;
      assert.deepEqual({ ...finished }, { jobs, ids: jobs, completed: jobs });
      const [rows] = await sql`
        select (select count(*)::int from public.live_quote_indicators) as quotes,
               (select count(*)::int from public.profiles) as profiles`;
      assert.deepEqual({ ...rows }, { quotes: symbols.length, profiles: symbols.length });
      // A call is granted before it is made and booked when it is settled: a kill falls in between.
      const [books] = await sql`
        select (select sum(calls)::int from public.api_data_usage_v2) as booked,
               (select sum(calls)::int from switchyard.call_grants) as granted`;
      const made = stack.simulator!.calls;
      assert.ok(
        books!.booked <= made && made <= books!.granted,
        `booked ${books!.booked}, made ${made}, granted ${books!.granted}`,
      );
      assert.equal(books!.booked, jobs, "each job's call is booked once");
    },
  ));

Deno.test("a database stopped at once at any moment loses no job and applies none twice", async () => {
  const dataDir = await Deno.makeTempDir({ prefix: "switchyard-crash-" });
  await Deno.chmod(dataDir, 0o755);
  try {
    const installed = await startStack({ dataDir: join(dataDir, "data"), cron: false, net: false });
    const port = installed.database.port;
    const url = installed.databaseUrl;
    await installed.stop();

    let database = await startDatabase({ dataDir: join(dataDir, "data"), port });
    // The driver lets a lookup of types that a crash cuts off reject with nobody to catch it.
    const sql = postgres(url, { max: 6, onnotice: () => {}, fetch_types: false });
    const jobs = 4_000;
    await sql`update public.api_providers_v2 set calls_per_minute = 100000000`;
    await sql`update public.data_type_registry_v2 set max_attempts = 100`;
    await sql`update switchyard.settings set value = 'null' where name = 'known_symbols_table'`;
    await sql`select switchyard.set_stage('quote', 'live')`;
    await sql`update public.feature_flags set enabled = true where flag_name = 'use_queue_system'`;
    await sql`select switchyard.enqueue_jobs(
      (select array_agg('K' || n) from generate_series(1, ${jobs}::int) as n),
      (select array_agg('quote'::text) from generate_series(1, ${jobs}::int) as n),
      (select array_agg(1000) from generate_series(1, ${jobs}::int) as n), 'demand')`;

    let done = false;
    const acknowledged = new Set<number>();
    const process = async () => {
      while (!done) {
        try {
          const claimed = await sql<{ id: number; symbol: string; lease_token: string }[]>`
            select id::int, symbol, lease_token from public.get_queue_batch_v2(25)`;
          if (claimed.length === 0) {
            await sql`update public.api_call_queue_v2 set lease_expires_at = clock_timestamp()
                       where status = 'processing' and claimed_at < clock_timestamp() - interval '1 second'`;
            await sql`select public.recover_stuck_jobs_v2()`;
            await sql`update public.api_call_queue_v2 set run_after = clock_timestamp()
                       where status = 'pending'`;
            await new Promise((resolve) => setTimeout(resolve, 50));
            continue;
          }
          const answers = await sql<{ job_id: number; outcome: string }[]>`
            select job_id::int, outcome from public.settle_queue_batch_v2(${
            sql.json(claimed.map((job) => ({
              job_id: job.id,
              lease_token: job.lease_token,
              outcome: "completed",
              calls: 1,
              bytes: 1,
              rows: [{ symbol: job.symbol, current_price: 1, api_timestamp: 1_700_000_000 }],
            })))
          })`;
          for (const { job_id, outcome } of answers) {
            if (outcome !== "completed") continue;
            assert.ok(!acknowledged.has(job_id), "no job is completed twice");
            acknowledged.add(job_id);
          }
        } catch (error) {
          // The server is down or coming up: what was under way has committed or has not.
          if (error instanceof assert.AssertionError) throw error;
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      }
    };
    try {
      const work = Promise.all([process(), process(), process(), process()]);
      for (let crash = 0; crash < 3; crash++) {
        await new Promise((resolve) => setTimeout(resolve, 100 + Math.random() * 300));
        const pid = Number(
          (await Deno.readTextFile(join(dataDir, "data", "postmaster.pid"))).split("\n")[0],
        );
        Deno.kill(pid, "SIGQUIT");
        await database.stop();
        database = await startDatabase({ dataDir: join(dataDir, "data"), port });
      }
      await eventually("the queue to be empty", async () => {
        try {
          const live =
            await sql`select from public.api_call_queue_v2 where finished_at = 'infinity' limit 1`;
          return live.length === 0 ? true : undefined;
        } catch (error) {
          if (error instanceof postgres.PostgresError || error instanceof Error) return undefined;
          throw error;
        }
      });
      done = true;
      await work;

      const [history] = await sql`
        select count(*)::int as jobs, count(distinct symbol)::int as symbols,
               count(*) filter (where status = 'completed')::int as completed
          from public.api_call_queue_v2`;
      assert.deepEqual({ ...history }, { jobs, symbols: jobs, completed: jobs });
      const [books] = await sql`select sum(calls)::int as calls from public.api_data_usage_v2`;
      assert.equal(books!.calls, jobs, "each completion is booked once");
      const kept = await sql<{ id: number }[]>`
        select id::int from public.api_call_queue_v2 where status = 'completed'`;
      const ids = new Set(kept.map(({ id }) => id));
      assert.deepEqual(
        [...acknowledged].filter((id) => !ids.has(id)),
        [],
        "what was acknowledged is kept",
      );
    } finally {
      done = true;
      await sql.end({ timeout: 5 });
      await database.stop();
    }
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});
