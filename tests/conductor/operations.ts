import type { Sql, TransactionSql } from "postgres";
import { calls, type CronJob, isServed, legacyJobsOf, readWorld, type World } from "./coverage.ts";
import type { Random } from "./random.ts";

/** One thing that somebody does, in a transaction that may hold several. */
export interface Operation {
  name: string;
  run(sql: Sql | TransactionSql): Promise<unknown>;
  /** Errors that are an answer: the operation then changed nothing. */
  refusals?: string[];
}

/**
 * A piece of legacy work, whatever its cron job is called by now. `off`: somebody paused or removed
 * it while it was the legacy system's, so that nobody may expect it to run.
 */
export interface LegacyWork {
  functionName: string;
  jobName: string;
  schedule: string;
  command: string;
  off: boolean;
}

const GLOBAL_FLAGS = ["use_queue_system", "use_new_staleness_check", "use_presence_tracking"];
const STAGES = ["legacy", "shadow", "canary", "live", "retired"];

/** Jobs that do one piece of legacy work, whatever they are called. */
export function jobsOf(world: World, work: LegacyWork): CronJob[] {
  return world.jobs.filter((job) => calls(job.command, work.functionName));
}

/** Types that a piece of work serves. */
export function typesOf(world: World, work: LegacyWork): string[] {
  return world.types.map(({ dataType }) => dataType).filter((dataType) =>
    world.types.find((type) => type.dataType === dataType)!.functions.includes(work.functionName)
  );
}

/** An operation of the conductor: flags, stages, the guard, the clock. */
export function conductorOperation(random: Random, world: World): Operation {
  const dataType = random.pick(world.types).dataType;
  const flag = `use_queue_for_${dataType}`;
  const on = random.chance(0.6);
  const choices: (() => Operation)[] = [
    () => {
      const name = random.pick(GLOBAL_FLAGS);
      return {
        name: `${name} ${on}`,
        run: (sql) =>
          sql`update public.feature_flags set enabled = ${on} where flag_name = ${name}`,
      };
    },
    () => ({
      name: `both ${on}`,
      run: (sql) =>
        sql`update public.feature_flags set enabled = ${on}
             where flag_name in ('use_queue_system', 'use_new_staleness_check')`,
    }),
    () => ({
      name: `${flag} ${on}`,
      refusals: ["SY024"],
      run: (sql) => sql`update public.feature_flags set enabled = ${on} where flag_name = ${flag}`,
    }),
    () => ({
      name: `all flags ${on}`,
      refusals: ["SY024"],
      run: (sql) => sql`update public.feature_flags set enabled = ${on}`,
    }),
    () => ({
      name: "all flags swapped",
      refusals: ["SY024"],
      run: (sql) => sql`update public.feature_flags set enabled = not enabled`,
    }),
    () => ({
      name: `flags of all types off`,
      run: (sql) =>
        sql`update public.feature_flags set enabled = false where flag_name like 'use_queue_for_%'`,
    }),
    () => {
      const stage = random.pick(STAGES);
      return {
        name: `set ${dataType} ${stage}`,
        run: (sql) => sql`select switchyard.set_stage(${dataType}, ${stage}, 'test')`,
      };
    },
    () => ({
      name: "set all live",
      run: (sql) =>
        sql`select switchyard.set_stage(data_type, 'live', 'test') from public.data_type_registry_v2`,
    }),
    () => ({
      name: `advance ${dataType}`,
      run: (sql) => sql`select from public.advance_migration_v2(${dataType}, null, true, 'test')`,
    }),
    () => ({
      name: `advance ${dataType} by its gates`,
      run: (sql) => sql`select from public.advance_migration_v2(${dataType})`,
    }),
    () => ({
      name: `ready ${dataType} for live`,
      run: (sql) => makeReady(sql, dataType),
    }),
    () => ({
      name: `roll back ${dataType}`,
      run: (sql) => sql`select from public.rollback_migration_v2(${dataType}, 'test')`,
    }),
    () => ({
      name: `${dataType} fails, and the guard sees it`,
      run: async (sql) => {
        await sql`
          insert into switchyard.job_outcomes (data_type, completed, failed)
          values (${dataType}, 0, 10)`;
        await sql`select from public.guard_migrations_v2()`;
      },
    }),
    () => {
      const seconds = random.integer(10_000_000) - 5_000_000;
      return {
        name: `the clock jumps ${seconds} s`,
        run: async (sql) => {
          await sql`select set_config('switchyard.moves_stage', ${dataType}, true)`;
          await sql`update public.data_type_registry_v2
                       set stage_entered_at = stage_entered_at + make_interval(secs => ${seconds})
                     where data_type = ${dataType}`;
        },
      };
    },
    () => ({
      name: "the jobs of the queue are scheduled anew",
      run: (sql) => sql`select switchyard.schedule_cron_jobs()`,
    }),
  ];
  return random.pick(choices)();
}

/** Something that a person does to a cron job of the queue, and what still runs of it notices within a minute. */
export function tamperingOperation(random: Random, world: World): Operation {
  const own = random.pick(world.own).name;
  const change = random.pick([
    { active: false },
    { schedule: "0 0 29 2 *" },
    { command: "select 1" },
  ]);
  return {
    name: `${own} ${JSON.stringify(change)}, and a minute passes`,
    run: async (sql) => {
      for (const job of world.jobs.filter(({ name }) => name === own)) {
        await alterJob(sql, job.id, change);
      }
      await sql`select switchyard.watch_queue()`;
    },
  };
}

/** Puts a type into canary with nothing that keeps it from live, but for flags and what others broke. */
export async function makeReady(sql: Sql | TransactionSql, dataType: string): Promise<void> {
  await sql`select switchyard.set_stage(${dataType}, 'canary', 'test')`;
  await sql`
    update public.data_type_registry_v2
       set gate_settings = '{"soak_hours": 0, "least_sample": 1, "error_rate": 1, "most_pending": 1000000, "auto_rollback": 1}'
     where data_type = ${dataType}`;
  await sql`
    insert into switchyard.job_outcomes (data_type, completed, failed)
    values (${dataType}, 1000, 0)`;
  await sql`
    insert into switchyard.freshness_samples (
      data_type, stage, symbols_known, left_out, rows, stale_rows, very_stale_rows, p95_age_seconds,
      max_age_seconds, duration_ms)
    values (${dataType}, 'canary', 1, 0, 1, 0, 0, 1, 1, 1)
    on conflict do nothing`;
}

/**
 * Something that a person does to a legacy cron job, and what follows for `work.off`. Undefined when
 * it would be of no use in this world.
 */
export function personsOperation(
  random: Random,
  world: World,
  work: LegacyWork,
): Operation | undefined {
  const served = typesOf(world, work).every((dataType) => isServed(world, dataType));
  const jobs = world.jobs.filter((job) =>
    job.owner === "postgres" && (job.name === work.jobName || calls(job.command, work.functionName))
  );
  const job = jobs.length === 0 ? undefined : random.pick(jobs);
  const name = job?.name ?? `job ${job?.id}`;
  const newName = `${work.jobName}-${random.integer(1_000_000)}`;
  const someTime = `${random.integer(60)} ${random.integer(24)} * * *`;
  const choices: (Operation | undefined)[] = [
    job && { name: `pause ${name}`, run: (sql) => alterJob(sql, job.id, { active: false }) },
    // Of a job that was found paused this would be a change of mind while nobody looks.
    job && !(served && work.off)
      ? { name: `make ${name} active`, run: (sql) => alterJob(sql, job.id, { active: true }) }
      : undefined,
    job &&
    { name: `reschedule ${name}`, run: (sql) => alterJob(sql, job.id, { schedule: someTime }) },
    job && !(served && work.off)
      ? {
        name: `rewrite ${name}`,
        run: (sql) => alterJob(sql, job.id, { command: `-- ${someTime}\n${work.command}` }),
      }
      : undefined,
    job && {
      name: `make ${name} do nothing`,
      run: (sql) => alterJob(sql, job.id, { command: "select 1" }),
    },
    job && {
      name: `make ${name} anew, to do nothing`,
      run: async (sql) => {
        await sql`select cron.unschedule(${job.id}::bigint)`;
        await sql`select cron.schedule(${name}, ${someTime}, 'select 1')`;
      },
    },
    job &&
    { name: `unschedule ${name}`, run: (sql) => sql`select cron.unschedule(${job.id}::bigint)` },
    job && !(served && work.off)
      ? {
        name: `rename ${name} to ${newName}`,
        run: async (sql) => {
          await sql`select cron.unschedule(${job.id}::bigint)`;
          const [made] =
            await sql`select cron.schedule(${newName}, ${someTime}, ${work.command}) as id`;
          await alterJob(sql, Number(made!.id), { active: job.active });
        },
      }
      : undefined,
    served && work.off ? undefined : {
      name: `schedule ${work.jobName}`,
      run: (sql) => sql`select cron.schedule(${work.jobName}, ${work.schedule}, ${work.command})`,
    },
  ];
  return random.pick(choices);
}

function alterJob(
  sql: Sql | TransactionSql,
  id: number,
  change: { active?: boolean; schedule?: string; command?: string },
) {
  return sql`select cron.alter_job(job_id := ${id}::bigint, active := ${change.active ?? null},
    schedule := ${change.schedule ?? null}, command := ${change.command ?? null})`;
}

/** What a person's operation means for the work: while the queue serves it, nothing. */
export async function judge(sql: Sql, before: World, work: LegacyWork): Promise<void> {
  const served = typesOf(before, work).every((dataType) => isServed(before, dataType));
  if (served) return;
  work.off = !jobsOf(await readWorld(sql), work).some(({ active }) => active);
}

/** Types of which somebody switched every piece of legacy work off. */
export function excusedTypes(world: World, works: readonly LegacyWork[]): string[] {
  return world.types.map(({ dataType }) => dataType).filter((dataType) =>
    works.filter((work) => typesOf(world, work).includes(dataType)).every(({ off }) => off)
  );
}

/** The pieces of legacy work that are there at first. */
export async function legacyWorks(sql: Sql): Promise<LegacyWork[]> {
  const world = await readWorld(sql);
  const ids = new Set(
    world.types.flatMap(({ dataType }) => legacyJobsOf(world, dataType).map(({ id }) => id)),
  );
  return world.jobs.filter(({ id }) => ids.has(id)).map((job) => ({
    functionName: world.types.flatMap(({ functions }) => functions)
      .find((name) => calls(job.command, name))!,
    jobName: job.name!,
    schedule: job.schedule,
    command: job.command,
    off: false,
  }));
}
