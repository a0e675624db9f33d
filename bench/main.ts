/** `npm run bench`: measures the queue, beside pg-boss and graphile-worker where they compare. */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Benchmark, Findings } from "./benchmark.ts";
import { serverBenchmarks, stackBenchmarks } from "./benchmarks/index.ts";
import { peerVersion } from "./contenders/peer_package.ts";
import { benchmarkDocument } from "./document.ts";
import { describeMachine } from "./machine.ts";
import { resultTable } from "./table.ts";
import { createWorkbench } from "./workbench.ts";

const ALL = [...serverBenchmarks, ...stackBenchmarks];

const USAGE = `Usage: npm run bench [-- options]

Measures the queue on PostgreSQL servers of its own and prints a table. A whole run takes about 20
minutes, wants the machine for itself, and writes docs/benchmarks.md (not with --json).

  --only <names>  only these, with commas: ${ALL.map(({ name }) => name).join(", ")}
  --quick         small sizes, for trying out: the numbers mean little
  --json          print one array of {name, value, unit, target, peer, peer_value, ratio, met}
  --help          print this

The peers are installed by npm ci --prefix bench.

Exit status: 0 every target is met, 1 a benchmark failed, 2 wrong usage, 3 a target is missed,
130 interrupted`;

const DOCUMENT = fileURLToPath(
  new URL("../docs/benchmarks.md", import.meta.url),
);

interface Choice {
  chosen: readonly Benchmark[];
  quick: boolean;
  json: boolean;
}

Deno.exit(await main(Deno.args));

async function main(args: string[]): Promise<number> {
  let choice: Choice | undefined;
  try {
    choice = choose(args);
  } catch (error) {
    console.error(
      `${error instanceof Error ? error.message : error}\n\n${USAGE}`,
    );
    return 2;
  }
  if (choice === undefined) {
    console.log(USAGE);
    return 0;
  }
  const interrupted = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(
      name,
      () => interrupted.abort(new Error("Interrupted")),
    );
  }
  try {
    return await measure(choice, interrupted.signal);
  } catch (error) {
    if (interrupted.signal.aborted) {
      console.error("Interrupted; everything was stopped");
      return 130;
    }
    console.error(`Failed: ${error instanceof Error ? error.message : error}`);
    return 1;
  }
}

/** Undefined when only help is wanted. */
function choose(args: string[]): Choice | undefined {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: "string", multiple: true },
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return undefined;
  const names = values.only?.flatMap((list) => list.split(","));
  const unknown = names?.find((name) => !ALL.some((each) => each.name === name));
  if (unknown !== undefined) {
    throw new Error(`There is no benchmark "${unknown}"`);
  }
  return {
    chosen: ALL.filter(({ name }) => names?.includes(name) ?? true),
    quick: values.quick,
    json: values.json,
  };
}

async function measure(
  { chosen, quick, json }: Choice,
  signal: AbortSignal,
): Promise<number> {
  // Known before the first long measurement, not after.
  if (chosen.some(({ usesPeers }) => usesPeers)) {
    for (const peer of ["pg-boss", "graphile-worker"]) await peerVersion(peer);
  }

  let name = "";
  const workbench = createWorkbench({
    quick,
    signal,
    progress: (line) => console.error(`${name}: ${line}`),
  });
  const measured: { benchmark: Benchmark; findings: Findings }[] = [];
  let machine: [string, string][] = [];
  const run = async (benchmarks: readonly Benchmark[]) => {
    for (
      const benchmark of benchmarks.filter((each) => chosen.includes(each))
    ) {
      signal.throwIfAborted();
      name = benchmark.name;
      try {
        measured.push({ benchmark, findings: await benchmark.run(workbench) });
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new Error(`Cannot measure ${benchmark.name}: ${reason}`, {
          cause,
        });
      }
    }
  };
  try {
    if (!json) {
      name = "machine";
      machine = await describeMachine((await workbench.server()).admin);
    }
    await run(serverBenchmarks);
  } finally {
    await workbench.clear();
  }
  await run(stackBenchmarks);

  const results = measured.flatMap(({ findings }) => findings.results);
  if (json) {
    console.log(JSON.stringify(results, null, 2));
  } else {
    for (const [label, value] of machine) {
      console.log(`${label.padEnd(18)}${value}`);
    }
    console.log(`\n${resultTable(results).join("\n")}`);
    if (quick) console.log("\nQuick sizes: the numbers mean little");
  }
  if (!quick && !json && chosen.length === ALL.length) {
    const document = benchmarkDocument({
      command: "npm run bench",
      date: new Date(),
      machine,
      measured,
    });
    await Deno.writeTextFile(DOCUMENT, document);
    console.error("Wrote docs/benchmarks.md");
  }
  return results.every(({ met }) => met !== false) ? 0 : 3;
}
