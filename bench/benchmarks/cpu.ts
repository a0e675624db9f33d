import postgres from "postgres";
import { z } from "zod";
import { type Stack, startStack } from "../../local/stack.ts";
import { started } from "../abort.ts";
import { alone, type Benchmark } from "../benchmark.ts";
import { batchesOf } from "../contender.ts";
import { enqueue } from "../contenders/switchyard.ts";
import { makeDataDir, openLimits } from "../server.ts";
import { formatNumber, median } from "../statistics.ts";

const MOST_MS = 1;
const PROCESSOR = "queue-processor-v2";
const WARM_UP_JOBS = 100;

const reportSchema = z.object({
  endedBy: z.string(),
  jobs: z.object({ claimed: z.number(), completed: z.number() }),
  errors: z.array(z.unknown()),
});

export const cpuBenchmark: Benchmark = {
  name: "cpu",
  title: "Processor CPU per job",
  method:
    "The processor runs as Edge Function in a process of its own on the local stack and fetches " +
    "quotes from the simulator, without a limit in the way. The CPU time of that process (user and " +
    "system, all threads) over a run, divided by its jobs. A first small run boots the worker and is " +
    "left out; the median of the others counts.",
  usesPeers: false,
  async run({ quick, signal, progress }) {
    const jobs = 1_000;
    const runs = quick ? 2 : 3;
    const dataDir = await makeDataDir();
    let stack: Stack | undefined;
    try {
      stack = await started(signal, (starting) =>
        startStack({
          dataDir: dataDir.path,
          cron: false,
          net: false,
          functionEnv: {
            PROCESSOR_MOST_JOBS: String(jobs),
            PROCESSOR_LINGER_MS: "0",
          },
          simulator: { symbols: jobs },
          signal: starting,
        }));
      const sql = postgres(stack.databaseUrl, { max: 1, onnotice: () => {} });
      try {
        await openLimits(sql);
        await sql`select switchyard.set_stage('quote', 'live')`;
        await sql`
          update public.feature_flags set enabled = true where flag_name = 'use_queue_system'`;
        const boot = await run(stack, sql, WARM_UP_JOBS);
        const perJob: number[] = [];
        for (let round = 0; round < runs; round++) {
          signal.throwIfAborted();
          const { cpuMs } = await run(stack, sql, jobs);
          perJob.push(cpuMs / jobs);
        }
        progress(`${perJob.map(formatNumber).join(", ")} ms a job`);
        return {
          results: [
            alone({ name: "cpu", value: median(perJob), unit: "ms/job" }, {
              text: `<= ${MOST_MS}`,
              isMet: (value) => value <= MOST_MS,
            }),
          ],
          details: [
            `Runs of ${formatNumber(jobs)} jobs, concurrency 8: ${
              perJob.map(formatNumber).join(", ")
            } ms a job. Booting the worker and its first ${WARM_UP_JOBS} jobs took ${
              formatNumber(boot.cpuMs)
            } ms of CPU.`,
          ],
        };
      } finally {
        await sql.end({ timeout: 5 });
      }
    } finally {
      await stack?.stop();
      await dataDir.remove();
    }
  },
};

/** Queues quotes and has the processor fetch them all. */
async function run(
  stack: Stack,
  sql: postgres.Sql,
  jobs: number,
): Promise<{ cpuMs: number }> {
  const symbols = stack.simulator!.symbols.slice(0, jobs);
  // A call for each quote.
  await sql`update public.data_type_registry_v2 set batch_size = 1`;
  for (const { from, to } of batchesOf(jobs)) {
    await enqueue(sql, symbols.slice(from, to));
  }
  const before = await processorCpuMs(stack) ?? 0;
  const response = await fetch(`${stack.functionsUrl}/${PROCESSOR}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      apikey: stack.keys.secretKey,
    },
    body: JSON.stringify({ wait: true }),
  });
  const text = await response.text();
  if (response.status !== 200) {
    throw new Error(`Processor answered ${response.status}: ${text}`);
  }
  const report = reportSchema.parse(JSON.parse(text));
  if (report.jobs.completed !== jobs) {
    throw new Error(
      `Cannot tell the CPU time of ${jobs} jobs: ${report.jobs.completed} were completed; ${text}`,
    );
  }
  const after = await processorCpuMs(stack);
  if (after === undefined) {
    throw new Error("Cannot tell the CPU time: the processor's worker is gone");
  }
  return { cpuMs: after - before };
}

/** CPU time of the processor's worker so far; undefined while there is none. */
async function processorCpuMs(stack: Stack): Promise<number | undefined> {
  const worker = stack.functions.workers().find(({ name }) => name === PROCESSOR);
  if (worker === undefined) return undefined;
  return Deno.build.os === "linux" ? await cpuMsOnLinux(worker.pid) : await cpuMsByPs(worker.pid);
}

/** User and system time are the 14th and 15th field, in hundredths of a second. */
async function cpuMsOnLinux(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  // The second field is the name in brackets and may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** `[[dd-]hh:]mm:ss.cc`. */
async function cpuMsByPs(pid: number): Promise<number> {
  const { success, stdout } = await new Deno.Command("ps", {
    args: ["-o", "time=", "-p", String(pid)],
  }).output();
  if (!success) {
    throw new Error(`Cannot read the CPU time of process ${pid} with ps`);
  }
  const parts = new TextDecoder().decode(stdout).trim().split(/[-:]/).map(
    Number,
  ).reverse();
  const [seconds = 0, minutes = 0, hours = 0, days = 0] = parts;
  return (seconds + 60 * (minutes + 60 * (hours + 24 * days))) * 1_000;
}
