import { unlessAborted } from "../abort.ts";
import { batchesOf, type BatchSetting, type Contender, WORKERS } from "../contender.ts";
import { importPeer, peerVersion } from "./peer_package.ts";

/** The part of pg-boss that is used. */
interface PgBossModule {
  PgBoss: new (options: {
    connectionString: string;
    max: number;
    supervise: boolean;
    schedule: boolean;
  }) => PgBoss;
}

interface PgBoss {
  on(event: "error", listener: (error: Error) => void): void;
  start(): Promise<unknown>;
  stop(options: { graceful: boolean }): Promise<void>;
  createQueue(name: string): Promise<void>;
  getQueue(name: string): Promise<unknown>;
  insert(name: string, jobs: { data: object }[]): Promise<unknown>;
  fetch(name: string, options: { batchSize: number }): Promise<Job[]>;
  complete(name: string, jobs: Job[]): Promise<{ affected: number }>;
  work(
    name: string,
    options: {
      batchSize: number;
      localConcurrency: number;
      burstWhenBatchFull: boolean;
      pollingIntervalSeconds: number;
    },
    handler: (jobs: Job[]) => Promise<void>,
  ): Promise<string>;
  offWork(name: string, options: { wait: boolean }): Promise<void>;
}

interface Job {
  id: string;
  retryCount: number;
}

const QUEUE = "refresh";

/** pg-boss, both ways to take jobs from it: its own workers, and fetch with complete. */
export async function startPgBoss(url: string): Promise<Contender> {
  const version = await peerVersion("pg-boss");
  const { PgBoss } = await importPeer<PgBossModule>("pg-boss");
  const boss = new PgBoss({
    connectionString: url,
    max: WORKERS + 1,
    supervise: false,
    schedule: false,
  });
  const problems: Error[] = [];
  boss.on("error", (error) => problems.push(error));
  await boss.start();
  await boss.createQueue(QUEUE);
  const openConnections = () =>
    Promise.all(Array.from({ length: WORKERS }, () => boss.getQueue(QUEUE)));

  const settings: BatchSetting[] = [
    ...[200, 500, 1_000, 2_000].map((batch): BatchSetting => ({
      label: `fetch and complete, batches of ${batch}`,
      drain: async (timeline, signal) => {
        await openConnections();
        timeline.begin();
        await Promise.all(Array.from({ length: WORKERS }, async () => {
          while (timeline.done < timeline.total) {
            signal.throwIfAborted();
            const fetched = await boss.fetch(QUEUE, { batchSize: batch });
            if (fetched.length === 0) return;
            const { affected } = await boss.complete(QUEUE, fetched);
            timeline.add(affected);
          }
        }));
        const { done, total } = timeline;
        if (done !== total) {
          throw new Error(
            `Cannot drain pg-boss: ${done} of ${total} jobs were completed`,
          );
        }
      },
    })),
    ...[500, 1_000].map((batch): BatchSetting => ({
      label: `work(), bursts, batches of ${batch}`,
      drain: async (timeline, signal) => {
        await openConnections();
        timeline.begin();
        await boss.work(QUEUE, {
          batchSize: batch,
          localConcurrency: WORKERS,
          burstWhenBatchFull: true,
          pollingIntervalSeconds: 0.5,
        }, (batch) => {
          timeline.add(batch.length);
          return Promise.resolve();
        });
        try {
          await unlessAborted(timeline.finished, signal);
        } finally {
          await boss.offWork(QUEUE, { wait: true });
        }
        if (problems[0] !== undefined) throw problems[0];
      },
    })),
  ];
  return {
    name: "pg-boss",
    description: `pg-boss ${version} with ${WORKERS + 1} connections, four workers, its ` +
      "maintenance and scheduling off; jobs go in by insert() in batches of 1,000, " +
      "finished jobs are kept.",
    settings,
    fill: async (jobs, signal) => {
      for (const { from, to } of batchesOf(jobs)) {
        signal.throwIfAborted();
        await boss.insert(
          QUEUE,
          Array.from({ length: to - from }, (_, index) => ({
            data: { symbol: `S${from + index}`, data_type: "quote" },
          })),
        );
      }
    },
    stop: () => boss.stop({ graceful: false }),
  };
}
