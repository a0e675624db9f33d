import postgres from "postgres";
import { ConnectionFailed, runCommand } from "./command.ts";
import { parseSchedule, runsDue, type Schedule, startOfMinute } from "./schedule.ts";

export interface CronSchedulerOptions {
  /** Superuser connection string of the database that has the schema `cron`. */
  adminUrl: string;
  /** Stops the scheduler. */
  signal?: AbortSignal | undefined;
  /** Receives a line for each run that starts, ends or fails. Default: none. */
  log?: ((line: string) => void) | undefined;
  /** The clock that decides what is due. Default: the system's. */
  now?: (() => Date) | undefined;
  /** False leaves every step to `tick`, for tests. Default: true, a step about every second. */
  automatic?: boolean | undefined;
  /** Runs at the same time, as `cron.max_running_jobs`. Default: 32. */
  maxRunningJobs?: number | undefined;
}

/** A running scheduler. */
export interface CronScheduler {
  /**
   * Reads the jobs, adds the runs that have fallen due up to `date` and starts what can be started.
   * Resolves when they are started; `idle` waits for their end. A `date` before the last one adds
   * nothing, as pg_cron waits until a clock that was put back has caught up.
   */
  tick(date: Date): Promise<void>;
  /** Resolves when no run is going on or pending. */
  idle(signal?: AbortSignal): Promise<void>;
  /**
   * Stops and drops the connections of the runs that are going on. As after a restart of the
   * server, their rows say `running` until the next scheduler sets them to failed.
   */
  stop(): Promise<void>;
}

interface Job {
  jobid: string;
  schedule: string;
  command: string;
  database: string;
  username: string;
  active: boolean;
}

interface Task {
  job: Job;
  schedule: Schedule | undefined;
  pendingRuns: number;
  lastStart: Date;
  running: AbortController | undefined;
}

/**
 * pg_cron looks for changed jobs and due runs about once a second. A little more, so that the
 * interval of a schedule of one second is over at every step.
 */
const STEP_MS = 1005;
const MINUTE_MS = 60_000;

/**
 * Runs the jobs of the table `cron.job` as pg_cron 1.6 does: minute schedules queue every missed
 * tick, schedules in seconds keep at most one run pending, a job never runs twice at a time, and a
 * job that is paused or unscheduled while it runs is cut off with `job canceled`.
 * Throws when the database cannot be reached or has no schema `cron`.
 */
export async function startCronScheduler(options: CronSchedulerOptions): Promise<CronScheduler> {
  const { adminUrl, signal, log, automatic = true, maxRunningJobs = 32 } = options;
  const now = options.now ?? (() => new Date());
  signal?.throwIfAborted();

  const sql = postgres(adminUrl, {
    max: 2,
    connection: { application_name: "pg_cron scheduler" },
    fetch_types: false,
    onnotice: () => {},
  });
  const stopping = new AbortController();
  const tasks = new Map<string, Task>();
  const runs = new Set<Promise<void>>();
  const waiters = new Set<() => void>();
  let running = 0;
  let lastTick = now();
  let lastMinute = startOfMinute(lastTick);
  let rebootJobsAdded = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let steps: Promise<void> = Promise.resolve();

  try {
    await sql`
      update cron.job_run_details
      set status = 'failed', return_message = 'server restarted'
      where status in ('starting', 'connecting', 'sending', 'running')
    `;
    await refreshTasks(lastTick);
  } catch (error) {
    await sql.end({ timeout: 0 });
    throw error;
  }

  async function refreshTasks(date: Date): Promise<void> {
    const jobs = await sql<Job[]>`
      select jobid, schedule, command, database, username, active from cron.job order by jobid
    `;
    const present = new Map(jobs.filter((job) => job.active).map((job) => [job.jobid, job]));
    for (const [jobid, task] of tasks) {
      if (present.has(jobid)) continue;
      // What was pending is forgotten: a job switched on again starts from nothing.
      task.pendingRuns = 0;
      task.running?.abort(new JobCanceled());
      tasks.delete(jobid);
    }
    for (const [jobid, job] of present) {
      const task = tasks.get(jobid);
      if (task === undefined) {
        tasks.set(jobid, {
          job,
          schedule: parseSchedule(job.schedule),
          pendingRuns: 0,
          // The first interval of a schedule in seconds begins when the job is first seen.
          lastStart: date,
          running: undefined,
        });
      } else {
        if (task.job.schedule !== job.schedule) task.schedule = parseSchedule(job.schedule);
        task.job = job;
      }
    }
  }

  function addDueRuns(date: Date): void {
    const minute = startOfMinute(date);
    const minutePassed = minute.getTime() > lastMinute.getTime();
    for (const task of tasks.values()) {
      const { schedule } = task;
      if (schedule?.kind === "seconds") {
        const elapsed = date.getTime() - task.lastStart.getTime();
        if (task.pendingRuns === 0 && elapsed >= schedule.seconds * 1000) task.pendingRuns = 1;
      } else if (schedule?.kind === "reboot") {
        if (!rebootJobsAdded) task.pendingRuns++;
      } else if (schedule?.kind === "cron" && minutePassed) {
        task.pendingRuns += runsDue(schedule, lastMinute, minute);
      }
    }
    rebootJobsAdded = true;
    if (minutePassed) lastMinute = minute;
  }

  async function startPendingRuns(date: Date): Promise<void> {
    for (const task of [...tasks.values()]) {
      if (task.pendingRuns === 0 || task.running || running >= maxRunningJobs) continue;
      const runid = await insertRun(task.job);
      task.pendingRuns--;
      task.lastStart = date;
      task.running = new AbortController();
      running++;
      const run = perform(task, runid, task.running.signal).finally(() => runs.delete(run));
      runs.add(run);
    }
  }

  async function insertRun({ jobid, database, username, command }: Job): Promise<string> {
    const [row] = await sql<{ runid: string }[]>`
      insert into cron.job_run_details (jobid, database, username, command, status)
      values (${jobid}, ${database}, ${username}, ${command}, 'starting')
      returning runid
    `;
    if (row === undefined) throw new Error("insert into cron.job_run_details returned no row");
    return row.runid;
  }

  async function perform(task: Task, runid: string, canceled: AbortSignal): Promise<void> {
    const { jobid, database, username, command } = task.job;
    const name = `cron job ${jobid}`;
    log?.(`${name} starting: ${command.trim()}`);
    try {
      const outcome = await runCommand({
        adminUrl,
        database,
        username,
        command,
        signal: AbortSignal.any([canceled, stopping.signal]),
        onStart: async (pid) => {
          await sql`
            update cron.job_run_details
            set status = 'running', job_pid = ${pid}, start_time = clock_timestamp()
            where runid = ${runid}
          `;
        },
      });
      await sql`
        update cron.job_run_details
        set status = ${outcome.status}, return_message = ${outcome.message},
            end_time = clock_timestamp()
        where runid = ${runid}
      `;
      log?.(`${name} ${outcome.status}: ${outcome.message.trimEnd()}`);
    } catch (error) {
      // The connection that would take the row is being closed; the next scheduler sets it.
      if (stopping.signal.aborted) return;
      const reason = messageOf(error);
      log?.(`${name} failed: ${reason}${error instanceof Error ? causeOf(error) : ""}`);
      if (!(error instanceof JobCanceled || error instanceof ConnectionFailed)) return;
      await reported(name, async () => {
        await sql`
          update cron.job_run_details
          set status = 'failed', return_message = ${reason}
          where runid = ${runid}
        `;
      });
    } finally {
      task.running = undefined;
      running--;
      // The runs that queued up meanwhile start the instant this one ends.
      if (!stopping.signal.aborted) void reported(name, startNext);
    }
  }

  async function startNext(): Promise<void> {
    await enqueue(() => startPendingRuns(automatic ? now() : lastTick));
    settle();
  }

  /** Nobody waits for these queries; a server that is gone ends in the log. */
  async function reported(name: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!stopping.signal.aborted) log?.(`${name}: cannot go on: ${messageOf(error)}`);
    }
  }

  function settle(): void {
    if (running > 0) return;
    for (const task of tasks.values()) if (task.pendingRuns > 0) return;
    for (const resolve of waiters) resolve();
    waiters.clear();
  }

  /** One step at a time: a step reads and changes the tasks across its queries. */
  function enqueue(step: () => Promise<void>): Promise<void> {
    const result = steps.then(() => stopping.signal.aborted ? undefined : step());
    // Whoever asked for the step gets its error; the next step runs all the same.
    steps = result.catch(() => {});
    return result;
  }

  async function step(date: Date): Promise<void> {
    lastTick = date;
    await refreshTasks(date);
    addDueRuns(date);
    await startPendingRuns(date);
  }

  function scheduleStep(): void {
    const time = now().getTime();
    timer = setTimeout(async () => {
      try {
        await enqueue(() => step(now()));
      } catch (error) {
        if (!stopping.signal.aborted) {
          log?.(`cron scheduler: cannot read the jobs, trying again: ${messageOf(error)}`);
        }
      }
      if (!stopping.signal.aborted) scheduleStep();
    }, Math.min(STEP_MS, MINUTE_MS - time % MINUTE_MS));
  }

  let stopped: Promise<void> | undefined;
  async function shutDown(): Promise<void> {
    signal?.removeEventListener("abort", onAbort);
    clearTimeout(timer);
    stopping.abort(new Error("the cron scheduler is stopping"));
    await Promise.allSettled([steps, ...runs]);
    for (const resolve of waiters) resolve();
    await sql.end({ timeout: 5 });
  }
  const stop = () => stopped ??= shutDown();
  const onAbort = () => void stop();
  signal?.addEventListener("abort", onAbort);
  if (automatic) scheduleStep();

  return {
    tick: (date) => enqueue(() => step(date)),
    idle: async (idleSignal) => {
      idleSignal?.throwIfAborted();
      await enqueue(() => Promise.resolve());
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const abort = () => reject(idleSignal?.reason);
      idleSignal?.addEventListener("abort", abort);
      waiters.add(resolve);
      settle();
      try {
        await promise;
      } finally {
        waiters.delete(resolve);
        idleSignal?.removeEventListener("abort", abort);
      }
    },
    stop,
  };
}

/** The job was paused or unscheduled during its run. */
class JobCanceled extends Error {
  constructor() {
    super("job canceled");
  }
}

function causeOf(error: Error): string {
  return error.cause instanceof Error ? ` (${error.cause.message})` : "";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
