import postgres from "postgres";
import { batchesOf, type BatchSetting, type Contender, WORKERS } from "../contender.ts";
import type { Timeline } from "../timeline.ts";

/** Milliseconds before a worker that found nothing asks again. */
const EMPTY_PAUSE_MS = 5;

const LEASE_SECONDS = 120;

export interface WorkerOptions {
  url: string;
  /** Jobs per claim and per settle. */
  batch: number;
  timeline: Timeline;
  signal: AbortSignal;
  /** What each result says it cost; default: no call was made. */
  booked?: { calls: number; bytes: number };
}

/** Our queue: every worker claims a batch, does nothing, and settles it. */
export function startSwitchyard(url: string): Promise<Contender> {
  const producer = connect(url);
  const settings = [100, 200, 500, 1_000].map((batch): BatchSetting => ({
    label: `batches of ${batch}`,
    drain: (timeline, signal) => runWorkers({ url, batch, timeline, signal }),
  }));
  return Promise.resolve({
    name: "switchyard",
    description:
      "Each worker has one connection as service_role and loops get_queue_batch_v2 → settle_queue_batch_v2; " +
      "half of the results are `empty`, half `completed` without rows, no calls booked. " +
      "Jobs go in by switchyard.enqueue_jobs, all of one data type and priority; " +
      "finished jobs stay in the partition of the day, and refresh_state is kept.",
    settings,
    fill: async (jobs, signal) => {
      for (const { from, to } of batchesOf(jobs)) {
        signal.throwIfAborted();
        const made = await enqueue(producer, symbolsFrom(from, to));
        if (made !== to - from) {
          throw new Error(
            `Cannot fill the queue: ${made} of ${to - from} jobs were new`,
          );
        }
      }
    },
    stop: () => producer.end({ timeout: 5 }),
  });
}

/** A connection with the rights that the processor has. */
export function connect(url: string): postgres.Sql {
  return postgres(url, {
    max: 1,
    onnotice: () => {},
    connection: { role: "service_role" } as Partial<
      postgres.ConnectionParameters
    >,
  });
}

/** Names of invented symbols. */
export function symbolsFrom(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, index) => `S${from + index}`);
}

/** Queues one quote per symbol; returns how many jobs are new. */
export async function enqueue(
  sql: postgres.Sql,
  symbols: string[],
): Promise<number> {
  const [row] = await sql<[{ made: number }]>`
    select switchyard.enqueue_jobs(
      ${symbols}::text[],
      ${symbols.map(() => "quote")}::text[],
      ${symbols.map(() => 1_000)}::int[],
      'demand') as made`;
  return row.made;
}

/** Runs the workers until the timeline is complete. Throws when a job cannot be settled. */
export async function runWorkers(options: WorkerOptions): Promise<void> {
  const connections = Array.from(
    { length: WORKERS },
    () => connect(options.url),
  );
  try {
    await Promise.all(connections.map((sql) => sql`select 1`));
    options.timeline.begin();
    await Promise.all(connections.map((sql) => work(sql, options)));
  } finally {
    await Promise.all(connections.map((sql) => sql.end({ timeout: 5 })));
  }
}

async function work(sql: postgres.Sql, options: WorkerOptions): Promise<void> {
  const { batch, timeline, signal, booked = { calls: 0, bytes: 0 } } = options;
  const runId = crypto.randomUUID();
  while (timeline.done < timeline.total) {
    signal.throwIfAborted();
    const jobs = await sql<{ id: string; lease_token: string }[]>`
      select * from public.get_queue_batch_v2(${batch}, ${runId}, false, ${LEASE_SECONDS})`;
    if (jobs.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, EMPTY_PAUSE_MS));
      continue;
    }
    const results = jobs.map((job, index) => ({
      job_id: Number(job.id),
      lease_token: job.lease_token,
      outcome: index % 2 === 0 ? "empty" : "completed",
      rows: [],
      ...booked,
      duration_ms: 0,
      error: null,
    }));
    const answers = await sql<
      { job_id: string; outcome: string; detail: string | null }[]
    >`
      select * from public.settle_queue_batch_v2(${sql.json(results)})`;
    const bad = answers.find(({ outcome }) => outcome !== "empty" && outcome !== "completed");
    if (bad !== undefined || answers.length !== jobs.length) {
      throw new Error(
        `Cannot settle ${jobs.length} jobs: ${answers.length} answers, ` +
          `the first bad one: ${JSON.stringify(bad ?? null)}`,
      );
    }
    timeline.add(answers.length);
  }
}
