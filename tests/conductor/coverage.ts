import type { Sql } from "postgres";

/** A row of `cron.job`. */
export interface CronJob {
  id: number;
  name: string | null;
  schedule: string;
  command: string;
  active: boolean;
  owner: string;
}

/** A cron job of the queue, as it has to be. */
export interface OwnJob {
  name: string;
  schedule: string;
  command: string;
  refreshes: boolean;
}

/** What decides who refreshes a data type, all of one moment. */
export interface World {
  flags: Record<string, boolean>;
  types: {
    dataType: string;
    stage: string;
    functions: string[];
    names: string[];
  }[];
  jobs: CronJob[];
  own: OwnJob[];
}

/** Reads the world in one statement, so that nothing in it is of another moment. */
export async function readWorld(sql: Sql): Promise<World> {
  const [row] = await sql<[{ world: World }]>`
    select jsonb_build_object(
      'flags', (select jsonb_object_agg(f.flag_name, f.enabled) from public.feature_flags as f),
      'types', (
        select jsonb_agg(jsonb_build_object(
          'dataType', r.data_type, 'stage', r.stage, 'names', r.legacy_cron_jobs,
          'functions', array_remove(r.legacy_functions || r.edge_function_name, null))
          order by r.data_type)
          from public.data_type_registry_v2 as r),
      'jobs', (
        select jsonb_agg(jsonb_build_object(
          'id', j.jobid, 'name', j.jobname, 'schedule', j.schedule, 'command', j.command, 'active', j.active,
          'owner', j.username)
          order by j.jobid)
          from cron.job as j),
      'own', (
        select jsonb_agg(jsonb_build_object(
          'name', o.job_name, 'schedule', o.schedule, 'command', o.command, 'refreshes', o.refreshes)
          order by o.job_name)
          from switchyard.cron_jobs as o)) as world`;
  return row.world;
}

/** Whether a command calls an Edge Function of exactly this name. */
export function calls(command: string, name: string): boolean {
  const called = command.split("/functions/v1/").slice(1)
    .map((rest) => /^[A-Za-z0-9._~%-]*/.exec(rest)![0]);
  return called.includes(name);
}

/** Whether the queue refreshes anything: both flags are on, and what refreshes runs as it should. */
export function queueRuns(world: World): boolean {
  return world.flags["use_queue_system"] === true &&
    world.flags["use_new_staleness_check"] === true &&
    world.own.filter(({ refreshes }) => refreshes).every((own) =>
      world.jobs.some((job) =>
        job.active && job.owner === "postgres" && job.name === own.name &&
        job.schedule === own.schedule && job.command === own.command
      )
    );
}

/** Whether the queue alone refreshes a type. */
export function isServed(world: World, dataType: string): boolean {
  const stage = world.types.find((type) => type.dataType === dataType)!.stage;
  return queueRuns(world) && (stage === "live" || stage === "retired");
}

/** Jobs that refresh a type when they run. What a job is called refreshes nothing. */
export function legacyJobsOf(world: World, dataType: string): CronJob[] {
  const type = world.types.find((each) => each.dataType === dataType)!;
  return world.jobs.filter((job) => type.functions.some((name) => calls(job.command, name)));
}

/** Data types that neither an active legacy job nor the queue refreshes. */
export function uncoveredTypes(world: World): string[] {
  return world.types.map(({ dataType }) => dataType).filter((dataType) =>
    !isServed(world, dataType) && !legacyJobsOf(world, dataType).some(({ active }) => active)
  );
}

/** Types whose flag says another thing than their stage. */
export function contradictions(world: World): string[] {
  return world.types
    .filter(({ dataType, stage }) =>
      world.flags[`use_queue_for_${dataType}`] !== (stage === "live" || stage === "retired")
    )
    .map(({ dataType }) => dataType);
}
