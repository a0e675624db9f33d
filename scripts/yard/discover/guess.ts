import type { Catalog } from "./catalog.ts";
import { type Called, type Context, contextOf, isPlain } from "./context.ts";
import { guessConflict } from "./guess_conflict.ts";
import { guessSymbol } from "./guess_symbol.ts";
import { rankTables, tableGuessOf } from "./guess_table.ts";
import { guessTimestamp } from "./guess_timestamp.ts";
import {
  type Cadence,
  type CronJob,
  otherCalls,
  otherStatements,
  readCadence,
  readCalls,
} from "./jobs.ts";
import { guessKnownSymbols } from "./known_symbols.ts";
import { linkProposals } from "./links.ts";
import type { Confidence, Discovery, Guess, Proposal, Unproposed } from "./proposal.ts";
import type { FunctionCode } from "./sources.ts";
import { isTelling, splitName, wordsOf } from "./words.ts";

/** Guesses registry rows from the catalog and, where there is some, the code of the functions. */
export function guess(catalog: Catalog, code: ReadonlyMap<string, FunctionCode>): Discovery {
  const { called, unproposed, otherJobs } = findCalled(catalog);
  const registered = called.flatMap(({ functionName }) => {
    const dataType = catalog.registered.get(functionName);
    return dataType === undefined ? [] : [{ functionName, dataType }];
  });
  const open = called.filter(({ functionName }) => !catalog.registered.has(functionName));
  const context = contextOf(catalog, called);
  const proposals: Proposal[] = [];
  const names = new Set(catalog.dataTypes);
  for (const entry of open) {
    const proposal = propose(entry, context, code.get(entry.functionName), names);
    if ("reason" in proposal) unproposed.push(proposal);
    else {
      names.add(proposal.dataType);
      proposals.push(proposal);
    }
  }
  linkProposals(proposals, catalog.tables);
  const symbols = guessKnownSymbols(proposals, catalog);
  return {
    proposals,
    unproposed,
    registered,
    otherJobs,
    knownSymbols: symbols.known,
    symbolNotes: symbols.notes,
    suffix: catalog.suffix ?? "_v2",
    notes: catalog.notes,
  };
}

function findCalled({ jobs, sqlFunctions, ownJobs }: Catalog) {
  const byName = new Map<string, Called>();
  const unproposed: Unproposed[] = [];
  let otherJobs = 0;
  for (const job of jobs) {
    const { kind, functions, through } = readCalls(job.command, sqlFunctions);
    if (job.jobname !== null && ownJobs.has(job.jobname)) continue;
    if (kind === "unreadable") {
      unproposed.push({
        functionName: null,
        jobs: [nameOf(job)],
        reason: `${through ?? "its command"} calls an Edge Function whose name it puts together`,
      });
    } else if (kind !== "edge-function") {
      otherJobs++;
    }
    for (const functionName of functions) {
      const known = byName.get(functionName) ?? { functionName, jobs: [], through };
      known.jobs.push(job);
      byName.set(functionName, known);
    }
  }
  return { called: [...byName.values()], unproposed, otherJobs };
}

function nameOf({ jobid, jobname }: CronJob): string {
  return jobname ?? `#${jobid}`;
}

function propose(
  { functionName, jobs, through }: Called,
  context: Context,
  code: FunctionCode | undefined,
  names: ReadonlySet<string>,
): Proposal | Unproposed {
  const jobNames = jobs.map(nameOf);
  const refuse = (reason: string): Unproposed => ({ functionName, jobs: jobNames, reason });
  if (!/^[a-z0-9][a-z0-9_-]*$/.test(functionName)) {
    return refuse("its name has capital letters, which the registry does not take");
  }
  const cadence = leastCadence(jobs);
  const candidates = rankTables(functionName, jobs, cadence, context, code);
  const best = candidates[0];
  if (best === undefined) return refuse(noTable(functionName, code));
  const { table } = best;
  const full = fullName(table);
  const others = candidates.slice(1, 3).map((other) => fullName(other.table)).join(" and ");
  const refuseTable = (words: string) =>
    refuse(
      `its table seems to be ${words}${others === "" ? "" : `; the next to look at: ${others}`}`,
    );
  if (table.schema !== "public") {
    return refuseTable(`${full}, and the queue writes to schema public only`);
  }
  if (!isPlain(table.name)) return refuseTable(`"${table.name}", a name that needs quotes`);
  const timestamp = guessTimestamp(table, cadence, context.catalog.now);
  if (timestamp === undefined) {
    return refuseTable(`${full}, which has no column of type timestamptz`);
  }
  const onConflict = code?.writes.find((write) => write.table === table.name)?.conflictColumns;
  const symbol = guessSymbol(table, context);
  const conflict = guessConflict(table, symbol.value, onConflict);
  if (conflict === undefined) {
    return refuseTable(`${full}, which has no unique key`);
  }
  const tableGuess = tableGuessOf(candidates);
  const confidence = least([
    tableGuess.confidence,
    symbol.confidence,
    timestamp.confidence,
    conflict.confidence,
    ...(through !== undefined && jobs.some(({ jobname }) => jobname === null)
      ? ["low" as const]
      : []),
  ]);
  const notes: string[] = [];
  if (through !== undefined) notes.push(`Its jobs call it through ${through}`);
  if (jobs.every(({ active }) => !active)) notes.push("Its jobs are not active");
  if (cadence?.isPartial) {
    notes.push(
      `Its jobs run at some hours or days only (${
        jobs.map(({ schedule }) => schedule).join("; ")
      } ` +
        "UTC): a condition_function can say so to the queue",
    );
  }
  const unnamed = jobs.filter(({ jobname }) => jobname === null);
  const isFound = through === undefined;
  if (unnamed.length > 0) {
    notes.push(
      isFound
        ? "A job of it has no name; it is found by its command"
        : `A job of it has no name, and calls it through ${through}, so no flag can pause it: schedule it ` +
          "under a name, then run discover again",
    );
  }
  const busy = new Map<CronJob, string[]>();
  for (const job of jobs) {
    const work = [
      ...otherStatements(job.command),
      ...otherCalls(job.command, context.catalog.sqlFunctions, through),
    ];
    if (work.length > 0) busy.set(job, work);
  }
  for (const [job, work] of busy) {
    notes.push(
      `${nameOf(job)} also runs ${work.join(", ")}, so it is left running: ` +
        "split it, or list it in legacy_cron_jobs where all of it may rest",
    );
  }
  if (symbol.value !== null) {
    notes.push(`${functionName} must take {"symbols": […]} in its body, and refresh only those`);
  }
  return {
    dataType: dataTypeName(functionName, context.vendorWords, names),
    functionName,
    jobs: jobNames,
    // Jobs without a name are found by the function in their command.
    legacyCronJobs: jobs.flatMap((job) =>
      job.jobname === null || busy.has(job) ? [] : [job.jobname]
    ),
    table: tableGuess,
    symbolColumn: symbol,
    timestampColumn: timestamp,
    conflictColumns: conflict,
    ttlMinutes: ttlOf(jobs, cadence),
    strategy: symbol.value === null ? "scheduled" : "hybrid",
    provider: guessProvider(functionName, context, code),
    dependsOn: null,
    estimatedBytes: Math.max(100, Math.round(table.rowBytes ?? 1_000)),
    confidence,
    notes,
  };
}

function fullName({ schema, name }: { schema: string; name: string }): string {
  return `${schema}.${name}`;
}

function noTable(functionName: string, code: FunctionCode | undefined): string {
  const words = wordsOf(functionName).map((word) => `"${word}"`).join(", ");
  const names = `no table is near enough to ${words}, by its name or its columns`;
  return code === undefined
    ? `${names}; it may refresh nothing`
    : `${names}, and its code writes to none`;
}

function leastCadence(jobs: readonly CronJob[]): Cadence | undefined {
  return jobs.flatMap(({ schedule }) => readCadence(schedule) ?? [])
    .sort((one, other) => one.minutes - other.minutes)[0];
}

function ttlOf(jobs: readonly CronJob[], cadence: Cadence | undefined): Guess<number> {
  const schedules = jobs.map(({ schedule }) => `"${schedule}"`).join(" and ");
  return cadence === undefined
    ? {
      value: 1_440,
      confidence: "low",
      reasons: [`${schedules} has no cadence, so a day was taken`],
      alternatives: [],
    }
    : {
      value: cadence.minutes,
      confidence: "high",
      reasons: [`${schedules} runs ${cadence.words}`],
      alternatives: [],
    };
}

/** What is left of a function's name without what it does and whose data it is. */
function dataTypeName(
  functionName: string,
  vendors: ReadonlySet<string>,
  taken: ReadonlySet<string>,
): string {
  const words = splitName(functionName);
  const telling = words.filter((word) => isTelling(word) && !vendors.has(word));
  const chosen = telling.length === 0 ? words : telling;
  const base = chosen.join("-").replace(/^[^a-z]+/, "").slice(0, 56) || "data";
  let name = base;
  for (let number = 2; taken.has(name); number++) name = `${base}-${number}`;
  return name;
}

function guessProvider(
  functionName: string,
  { vendorWords: vendors }: Context,
  code: FunctionCode | undefined,
): Guess<string> {
  const word = splitName(functionName).find((part) => vendors.has(part));
  if (word !== undefined && /^[a-z]/.test(word)) {
    return {
      value: word,
      confidence: "medium",
      reasons: [`most functions have "${word}" in their names`],
      alternatives: [],
    };
  }
  const [host] = code?.hosts ?? [];
  if (host !== undefined) {
    const parts = host.split(".").filter((part) => !["api", "www", "open", "v1"].includes(part));
    const name = (parts.at(-2) ?? parts[0] ?? "").replaceAll(/[^a-z0-9_-]/g, "");
    if (/^[a-z]/.test(name)) {
      return {
        value: name,
        confidence: "medium",
        reasons: [`its code calls ${host}`],
        alternatives: (code?.hosts ?? []).slice(1),
      };
    }
  }
  return {
    value: "unknown",
    confidence: "low",
    reasons: ["nothing here says whose data it is"],
    alternatives: [],
  };
}

function least(values: readonly Confidence[]): Confidence {
  return (["low", "medium", "high"] as const).find((value) => values.includes(value)) ?? "low";
}
