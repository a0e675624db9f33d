import assert from "node:assert/strict";
import postgres, { type Sql } from "postgres";
import { withStack } from "../integration/with_stack.ts";
import { contradictions, isServed, legacyJobsOf, readWorld, uncoveredTypes } from "./coverage.ts";
import { conductorOperation } from "./operations.ts";
import { seededRandom } from "./random.ts";

const ROUNDS_MS = 8_000;
/** Rounds that each session makes at least, however slow the machine is. */
const ROUNDS = 5;
const PATIENCE_MS = 120_000;

Deno.test("sessions that change flags and stages while the queue works never deadlock, and end consistent", () =>
  withStack({ cron: false, net: false }, async ({ stack, sql }) => {
    const random = seededRandom("concurrent moves");
    await sql`update switchyard.cron_jobs set schedule = '0 0 1 1 *'`;
    await sql`select switchyard.schedule_cron_jobs()`;
    await sql`update public.api_providers_v2 set calls_per_minute = 100000000`;
    await sql`update switchyard.settings set value = 'null' where name = 'known_symbols_table'`;
    const world = await readWorld(sql);
    const dataTypes = ["profile", "quote", "ratios-ttm"];
    const symbols = Array.from({ length: 200 }, (_, index) => `C${index}`);

    const move = async (own: Sql) => {
      const operations = Array.from(
        { length: 1 + random.integer(3) },
        () => conductorOperation(random, world),
      );
      try {
        await own.begin(async (transaction) => {
          for (const operation of operations) await operation.run(transaction);
        });
      } catch (error) {
        const isRefused = error instanceof postgres.PostgresError && error.code === "SY024";
        if (!isRefused) {
          throw new Error(operations.map(({ name }) => name).join(" + "), { cause: error });
        }
      }
    };
    const works: ((own: Sql) => Promise<unknown>)[] = [
      move,
      (own) =>
        own`select switchyard.enqueue_jobs(
              ${symbols}, ${symbols.map((_, index) => dataTypes[index % 3]!)},
              ${symbols.map(() => 1_000 + random.integer(5_000))}, 'demand')`,
      async (own) => {
        const jobs = await own<{ id: number; lease_token: string }[]>`
          select id::int, lease_token from public.get_queue_batch_v2(40, null)`;
        await own`select from public.settle_queue_batch_v2(${
          own.json(jobs.map(({ id, lease_token }, index) => ({
            job_id: id,
            lease_token,
            outcome: index % 3 === 0 ? "released" : "empty",
            calls: 1,
            // Moves the size estimates, which are in the registry.
            bytes: 1 + random.integer(100_000),
          })))
        })`;
      },
      (own) => own`select from public.guard_migrations_v2()`,
    ];
    const sessions = [0, 0, 0, 0, 1, 1, 2, 2, 3].map((work) => ({
      own: postgres(stack.databaseUrl, { max: 1, onnotice: () => {} }),
      work: works[work]!,
    }));
    try {
      const rounds = sessions.map(() => 0);
      const start = performance.now();
      const goesOn = () => {
        const elapsed = performance.now() - start;
        return elapsed < ROUNDS_MS ||
          (rounds.some((count) => count < ROUNDS) && elapsed < PATIENCE_MS);
      };
      await Promise.all(sessions.map(async ({ own, work }, index) => {
        while (goesOn()) {
          await work(own);
          rounds[index]!++;
        }
      }));
      assert.ok(rounds.every((count) => count >= ROUNDS), `all took part: ${rounds}`);
    } finally {
      await Promise.all(sessions.map(({ own }) => own.end()));
    }

    const after = await readWorld(sql);
    const story = `seed ${random.seed}`;
    assert.deepEqual(uncoveredTypes(after), [], story);
    assert.deepEqual(contradictions(after), [], story);
    // Nobody else touched the legacy jobs, so that each must be exactly where the stages want it.
    for (const { dataType } of after.types) {
      for (const job of legacyJobsOf(after, dataType)) {
        const others = after.types.filter((type) =>
          legacyJobsOf(after, type.dataType).includes(job)
        );
        assert.equal(
          job.active,
          !others.every((type) => isServed(after, type.dataType)),
          `${job.name}; ${story}`,
        );
      }
    }
    const failures = await sql`
      select e.id, j ->> 'note' as note
        from switchyard.migration_events as e, jsonb_array_elements(e.detail -> 'legacy_jobs') as j
       where j ->> 'action' = 'failed'
      union all
      select id, detail ->> 'message' from switchyard.queue_events where kind = 'guard failed'`;
    assert.deepEqual([...failures], [], story);
    await sql`update public.feature_flags set enabled = false`;
    const [back] = await sql`
      select count(*)::int as jobs from cron.job as j
       where j.active and not exists (select from switchyard.cron_jobs as o where o.job_name = j.jobname)`;
    assert.equal(back!.jobs, 13, "with every flag off all legacy jobs run");
  }));
