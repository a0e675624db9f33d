import assert from "node:assert/strict";
import postgres from "postgres";
import { withStack } from "../integration/with_stack.ts";

const JOBS = 20_000;
const PROCESSORS = 8;

interface Claimed {
  id: string;
  symbol: string;
  lease_token: string;
}

Deno.test("eight sessions finish 20,000 jobs exactly once while others enqueue, raise and maintain", () =>
  withStack({ cron: false, net: false }, async ({ stack, sql }) => {
    const sessions: postgres.Sql[] = [];
    const session = () => {
      const own = postgres(stack.databaseUrl, { max: 1, onnotice: () => {} });
      sessions.push(own);
      return own;
    };
    await sql`update public.api_providers_v2
                 set calls_per_minute = 100000000, bytes_per_30_days = 1000000000000000`;
    await sql`update switchyard.settings set value = 'null' where name = 'known_symbols_table'`;
    await sql`select switchyard.set_stage('quote', 'live')`;
    await sql`update public.feature_flags set enabled = true where flag_name = 'use_queue_system'`;
    const names = (from: number, count: number) =>
      Array.from({ length: count }, (_, index) => `C${from + index}`);
    const enqueue = (own: postgres.Sql, symbols: string[], priority: number) =>
      own`select switchyard.enqueue_jobs(${symbols}, ${symbols.map(() => "quote")},
            ${symbols.map(() => priority)}, 'demand')::int as made`;

    const settled = new Map<string, number>();
    let finished = 0;
    let made = 0;
    // Jobs that the disturbers make are done too, or some of the others would not be. Once over it
    // stays so: what an enqueue under way still makes has nobody left to do it.
    let isOver = false;
    const stop = () => isOver ||= finished >= JOBS + made;

    async function process(own: postgres.Sql): Promise<void> {
      while (!stop()) {
        const jobs = await own<Claimed[]>`
          select id::text, symbol, lease_token from public.get_queue_batch_v2(100)`
          .catch((error: postgres.PostgresError) => {
            // A claim gives way to whoever holds its jobs for 100 ms; processors ask again.
            if (error.code !== "55P03") throw error;
            return [];
          });
        if (jobs.length === 0) {
          // Others hold the rest: let them settle.
          await new Promise((resolve) => setTimeout(resolve, 5));
          continue;
        }
        const results = jobs.map((job, index) => ({
          job_id: Number(job.id),
          lease_token: job.lease_token,
          outcome: "completed",
          calls: 1,
          bytes: 100,
          rows: [{ symbol: job.symbol, current_price: index + 1, api_timestamp: 1_700_000_000 }],
        }));
        const answers = await own<{ job_id: string; outcome: string; detail: string | null }[]>`
          select job_id::text, outcome, detail from public.settle_queue_batch_v2(${
          own.json(results)
        })`;
        assert.equal(answers.length, jobs.length);
        for (const answer of answers) {
          assert.equal(answer.outcome, "completed", answer.detail ?? "");
          settled.set(answer.job_id, (settled.get(answer.job_id) ?? 0) + 1);
        }
        finished += answers.length;
      }
    }

    async function disturb(own: postgres.Sql, seed: number): Promise<void> {
      for (let round = seed; !stop(); round += 7) {
        // Duplicates of live jobs with another priority; never a symbol that may be finished
        // already, or the number of jobs would not be known.
        const live = await own<{ symbol: string }[]>`
          select symbol from public.api_call_queue_v2
           where finished_at = 'infinity' and status = 'pending' limit 50`;
        const [answer] = await enqueue(
          own,
          live.map(({ symbol }) => symbol),
          2_000 + (round % 5_000),
        );
        made += answer!.made;
      }
    }

    async function maintain(own: postgres.Sql): Promise<void> {
      while (!stop()) {
        await own`select * from public.maintain_queue_partitions_v2()`;
        await own`select public.recover_stuck_jobs_v2()`;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }

    try {
      for (let from = 0; from < JOBS; from += 2_000) {
        await enqueue(sql, names(from, 2_000), 1_000 + (from % 3_000));
      }
      await Promise.all([
        ...Array.from({ length: PROCESSORS }, () => process(session())),
        disturb(session(), 1),
        disturb(session(), 2),
        maintain(session()),
      ]);
    } finally {
      await Promise.all(sessions.map((own) => own.end()));
    }

    // A duplicate that came between a job's completion and its symbol's read made a new job.
    const [live] = await sql`
      select count(*)::int as jobs from public.api_call_queue_v2 where finished_at = 'infinity'`;
    assert.equal(settled.size + live!.jobs, JOBS + made, "no job is lost and none is made up");
    assert.deepEqual(
      [...settled.values()].filter((times) => times !== 1),
      [],
      "none is settled twice",
    );
    const [history] = await sql`
      select count(*)::int as rows, count(distinct id)::int as jobs,
             count(*) filter (where status = 'completed')::int as completed
        from public.api_call_queue_v2 where finished_at < 'infinity'`;
    assert.deepEqual({ ...history }, {
      rows: settled.size,
      jobs: settled.size,
      completed: settled.size,
    });
    const [quotes] = await sql`select count(*)::int as rows from public.live_quote_indicators`;
    assert.equal(quotes!.rows, JOBS);
    const [usage] = await sql`select sum(calls)::int as calls from public.api_data_usage_v2`;
    assert.equal(usage!.calls, settled.size, "the books hold one call per settled job");
  }));
