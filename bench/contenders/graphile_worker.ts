import { unlessAborted } from "../abort.ts";
import { batchesOf, type BatchSetting, type Contender, WORKERS } from "../contender.ts";
import { importPeer, peerVersion } from "./peer_package.ts";

/** The part of graphile-worker that is used. */
interface GraphileWorkerModule {
  Logger: new (
    factory: () => (level: string, message: string) => void,
  ) => Logger;
  makeWorkerUtils(
    options: { connectionString: string; logger: Logger },
  ): Promise<WorkerUtils>;
  run(options: {
    preset: {
      worker: {
        connectionString: string;
        concurrentJobs: number;
        maxPoolSize: number;
        localQueue: { size: number };
        completeJobBatchDelay: number;
      };
    };
    logger: Logger;
    noHandleSignals: boolean;
    taskList: Record<string, () => void>;
  }): Promise<{ stop(): Promise<void> }>;
}

interface Logger {
  readonly error: (message: string) => void;
}

interface WorkerUtils {
  migrate(): Promise<void>;
  addJobs(jobs: { identifier: string; payload: object }[]): Promise<unknown>;
  release(): Promise<void>;
}

const TASK = "refresh";

/** graphile-worker: four pools in one process, jobs fetched and completed in batches. */
export async function startGraphileWorker(url: string): Promise<Contender> {
  const version = await peerVersion("graphile-worker");
  const { Logger, makeWorkerUtils, run } = await importPeer<
    GraphileWorkerModule
  >(
    "graphile-worker",
  );
  const problems: string[] = [];
  const logger = new Logger(() => (level, message) => {
    if (level === "error") problems.push(message);
  });
  const utils = await makeWorkerUtils({ connectionString: url, logger });
  await utils.migrate();

  const settings = [
    { size: 100, concurrentJobs: 10 },
    { size: 500, concurrentJobs: 24 },
    { size: 1_000, concurrentJobs: 24 },
    { size: 2_000, concurrentJobs: 48 },
  ].map(({ size, concurrentJobs }): BatchSetting => ({
    label: `local queue of ${size}, ${concurrentJobs} jobs at once`,
    drain: async (timeline, signal) => {
      const runners = await Promise.all(
        Array.from({ length: WORKERS }, () =>
          run({
            preset: {
              worker: {
                connectionString: url,
                concurrentJobs,
                maxPoolSize: 4,
                localQueue: { size },
                completeJobBatchDelay: 0,
              },
            },
            logger,
            noHandleSignals: true,
            taskList: { [TASK]: () => timeline.add(1) },
          })),
      );
      timeline.begin();
      try {
        await unlessAborted(timeline.finished, signal);
      } finally {
        await Promise.all(runners.map((runner) => runner.stop()));
      }
      if (problems[0] !== undefined) {
        throw new Error(`Cannot drain graphile-worker: ${problems[0]}`);
      }
    },
  }));
  return {
    name: "graphile-worker",
    description: `graphile-worker ${version}, four pools of up to 4 connections in one process, ` +
      "jobs fetched through the local queue and completed in batches (completeJobBatchDelay 0); " +
      "jobs go in by addJobs() in batches of 1,000, finished jobs are deleted. " +
      "A job counts as done when its handler has run, before its deletion.",
    settings,
    fill: async (jobs, signal) => {
      for (const { from, to } of batchesOf(jobs)) {
        signal.throwIfAborted();
        await utils.addJobs(Array.from({ length: to - from }, (_, index) => ({
          identifier: TASK,
          payload: { symbol: `S${from + index}`, data_type: "quote" },
        })));
      }
    },
    stop: () => utils.release(),
  };
}
