import { calibrate, type Calibrated } from "./calibration.ts";
import type { Contender } from "./contender.ts";
import { startGraphileWorker } from "./contenders/graphile_worker.ts";
import { startPgBoss } from "./contenders/pg_boss.ts";
import { startSwitchyard } from "./contenders/switchyard.ts";
import { type BenchServer, startBenchServer } from "./server.ts";

/** What benchmarks share in one run. */
export interface Workbench {
  /** Small sizes, for trying out: the numbers mean little. */
  quick: boolean;
  signal: AbortSignal;
  /** Takes a line about what is going on. */
  progress(line: string): void;
  /** The durable server, started when it is first asked for. */
  server(): Promise<BenchServer>;
  /** Our queue and its peers on that server, each with its best batch setting. */
  contenders(): Promise<Calibrated[]>;
  /** Stops the server: what follows wants the processors for itself. */
  clear(): Promise<void>;
}

export interface WorkbenchOptions {
  quick: boolean;
  signal: AbortSignal;
  progress(line: string): void;
}

export function createWorkbench(options: WorkbenchOptions): Workbench {
  let server: Promise<BenchServer> | undefined;
  let contenders: Promise<Calibrated[]> | undefined;
  const started: Contender[] = [];

  const workbench: Workbench = {
    ...options,
    server() {
      return server ??= (async () => {
        options.progress(
          "starting a PostgreSQL server that flushes every commit",
        );
        return await startBenchServer(options.signal);
      })();
    },
    contenders() {
      return contenders ??= (async () => {
        const bench = await workbench.server();
        for (
          const start of [startSwitchyard, startPgBoss, startGraphileWorker]
        ) {
          started.push(await start(bench.database.url));
        }
        const calibrated: Calibrated[] = [];
        for (const contender of started) {
          calibrated.push(await calibrate(contender, bench, workbench));
        }
        return calibrated;
      })();
    },
    async clear() {
      for (const contender of started.splice(0)) await contender.stop();
      contenders = undefined;
      const running = server;
      server = undefined;
      // One that failed to start has cleaned up after itself, and whoever asked for it knows.
      const bench = await running?.catch(() => undefined);
      await bench?.stop();
    },
  };
  return workbench;
}
