import type { Catalog, Column, Table, UniqueKey } from "./discover_catalog.ts";
import {
  type Cadence,
  type CronJob,
  everyMinutes,
  readCadence,
  readCalls,
} from "./discover_jobs.ts";
import type { FunctionCode } from "./discover_sources.ts";
import { isTelling, likeness, splitName, weigh, wordsOf } from "./discover_words.ts";

export type Confidence = "high" | "medium" | "low";

/** A guess, how sure it is, and why. */
export interface Guess<Value> {
  value: Value;
  confidence: Confidence;
  /** Each a clause in words. */
  reasons: string[];
  /** What else it may be. */
  alternatives: string[];
}

/** A registry row that may be right. */
export interface Proposal {
  dataType: string;
  functionName: string;
  /** Named jobs, and the ids of those without a name as `#12`. */
  jobs: string[];
  table: Guess<string>;
  /** Null: global, one job refreshes all rows. */
  symbolColumn: Guess<string | null>;
  timestampColumn: Guess<string>;
  conflictColumns: Guess<string[]>;
  ttlMinutes: Guess<number>;
  strategy: "scheduled" | "hybrid";
  provider: Guess<string>;
  /** Data type whose rows must be there first. */
  dependsOn: string | null;
  estimatedBytes: number;
  /** The least of table, symbol, timestamp and conflict columns. */
  confidence: Confidence;
  /** What its owner should know or decide. */
  notes: string[];
}

/** A function that cron calls and that no row can be proposed for. */
export interface Unproposed {
  functionName: string | null;
  jobs: string[];
  reason: string;
}

export interface KnownSymbols {
  table: string;
  column: string;
  activeColumn: string | null;
  reasons: string[];
}

export interface Discovery {
  proposals: Proposal[];
  unproposed: Unproposed[];
  /** Jobs of functions that the registry names already: function, data type. */
  registered: { functionName: string; dataType: string }[];
  /** Other jobs, that call no Edge Function. */
  otherJobs: number;
  /** The table that lists the symbols, when it is not the one that is set. */
  knownSymbols: KnownSymbols | undefined;
  notes: string[];
}

interface Called {
  functionName: string;
  jobs: CronJob[];
  through: string | undefined;
}

/** Guesses registry rows from the catalog and, where there is some, the code of the functions. */
export function guess(catalog: Catalog, code: ReadonlyMap<string, FunctionCode>): Discovery {
  const { called, unproposed, otherJobs } = findCalled(catalog);
  const registered = called.flatMap(({ functionName }) => {
    const dataType = catalog.registered.get(functionName);
    return dataType === undefined ? [] : [{ functionName, dataType }];
  });
  const open = called.filter(({ functionName }) => !catalog.registered.has(functionName));
  const context: Context = {
    catalog,
    tables: catalog.tables,
    functionWeight: weigh(called.map(({ functionName }) => wordsOf(functionName))),
    tableWeight: weigh(catalog.tables.map(({ name }) => wordsOf(name))),
    keyNames: countKeyNames(catalog.tables),
    vendorWords: vendorWords(called),
  };
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
  return {
    proposals,
    unproposed,
    registered,
    otherJobs,
    knownSymbols: guessKnownSymbols(proposals, catalog),
    notes: catalog.notes,
  };
}

interface Context {
  catalog: Catalog;
  tables: readonly Table[];
  functionWeight: (word: string) => number;
  tableWeight: (word: string) => number;
  /** In how many tables a column is part of a unique key. */
  keyNames: ReadonlyMap<string, number>;
  /** Words that most functions have in their names: the vendor's, probably. */
  vendorWords: ReadonlySet<string>;
}

function findCalled({ jobs, sqlFunctions }: Catalog) {
  const byName = new Map<string, Called>();
  const unproposed: Unproposed[] = [];
  let otherJobs = 0;
  for (const job of jobs) {
    const { kind, functions, through } = readCalls(job.command, sqlFunctions);
    if (isOwn(job, functions)) continue;
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

/** Whether a job is one of Switchyard's. */
function isOwn(job: CronJob, functions: readonly string[]): boolean {
  const isNamedSo = /-v2$/.test(job.jobname ?? "");
  return (isNamedSo && /\b(public\.)?\w+_v2\s*\(/.test(job.command)) ||
    functions.includes("queue-processor-v2");
}

function nameOf({ jobid, jobname }: CronJob): string {
  return jobname ?? `#${jobid}`;
}

function countKeyNames(tables: readonly Table[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { keys } of tables) {
    for (const name of new Set(keys.flatMap(({ columns }) => columns))) {
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  return counts;
}

function vendorWords(called: readonly Called[]): Set<string> {
  if (called.length < 3) return new Set();
  const counts = new Map<string, number>();
  for (const { functionName } of called) {
    for (const word of new Set(splitName(functionName).filter(isTelling))) {
      counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  return new Set(
    [...counts].filter(([, count]) => count > called.length / 2).map(([word]) => word),
  );
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
  const full = `${table.schema}.${table.name}`;
  if (table.schema !== "public") {
    return refuse(`its table seems to be ${full}, and the queue writes to schema public only`);
  }
  if (!isPlain(table.name)) {
    return refuse(`its table seems to be "${table.name}", a name that needs quotes`);
  }
  const timestamp = guessTimestamp(table, cadence, context.catalog.now);
  if (timestamp === undefined) {
    return refuse(`its table seems to be ${full}, which has no column of type timestamptz`);
  }
  const onConflict = code?.writes.find((write) => write.table === table.name)?.conflictColumns;
  const symbol = guessSymbol(table, context);
  const conflict = guessConflict(table, symbol.value, onConflict);
  if (conflict === undefined) {
    return refuse(`its table seems to be ${full}, which has no unique key`);
  }
  const tableGuess = tableGuessOf(candidates);
  const confidence = least([
    tableGuess.confidence,
    symbol.confidence,
    timestamp.confidence,
    conflict.confidence,
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
  if (unnamed.length > 0) notes.push("A job of it has no name; it is found by its command");
  if (symbol.value !== null) {
    notes.push(`${functionName} must take {"symbols": […]} in its body, and refresh only those`);
  }
  return {
    dataType: dataTypeName(functionName, context.vendorWords, names),
    functionName,
    jobs: jobNames,
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

function noTable(functionName: string, code: FunctionCode | undefined): string {
  const words = wordsOf(functionName).map((word) => `"${word}"`).join(", ");
  const names = `no table has a name or columns like ${words}`;
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

interface Candidate {
  table: Table;
  /** 0 to 1. */
  score: number;
  reasons: string[];
}

const LEAST_SCORE = 0.3;

function rankTables(
  functionName: string,
  jobs: readonly CronJob[],
  cadence: Cadence | undefined,
  context: Context,
  code: FunctionCode | undefined,
): Candidate[] {
  const candidates = context.tables.flatMap((table): Candidate[] => {
    const written = code?.writes.filter((write) => write.table === table.name) ?? [];
    const byName = scoreName(functionName, table, context);
    const byJob = Math.max(
      0,
      ...jobs.map(({ jobname }) => scoreName(jobname ?? "", table, context).score * 0.9),
    );
    const reasons = [...byName.reasons];
    let { score } = byName;
    if (byJob > score) {
      score = byJob;
      reasons.push("the name of its job is like it");
    }
    if (written.length > 0 && table.schema === "public") {
      reasons.unshift(`its code writes to it (${written[0]!.where})`);
      // Where it writes to several, the name decides.
      score = 0.85 + score * 0.15;
    }
    const moved = judgeMovement(table, cadence, context.catalog.now);
    if (moved !== undefined && score > 0) {
      score = Math.min(1, score * moved.factor);
      reasons.push(moved.reason);
    }
    return score >= LEAST_SCORE ? [{ table, score, reasons }] : [];
  });
  return candidates.sort((one, other) => other.score - one.score);
}

/** How well a table's name, and the names of its columns, meet a function's. */
function scoreName(
  name: string,
  table: Table,
  { functionWeight, tableWeight }: Context,
): { score: number; reasons: string[] } {
  const wanted = wordsOf(name);
  const found = wordsOf(table.name);
  if (wanted.length === 0) return { score: 0, reasons: [] };
  if (wanted.join("") === found.join("")) {
    return { score: 1, reasons: [`its name says "${found.join(" ")}", as the table's does`] };
  }
  const columnWords = new Set(table.columns.flatMap((column) => wordsOf(column.name)));
  let met = 0;
  let total = 0;
  const shared: string[] = [];
  const inColumns: string[] = [];
  for (const word of wanted) {
    const weight = functionWeight(word);
    total += weight;
    const like = Math.max(0, ...found.map((other) => likeness(word, other)));
    if (like > 0) shared.push(word);
    else if (columnWords.has(word)) inColumns.push(word);
    met += weight * (like > 0 ? like : columnWords.has(word) ? 0.5 : 0);
  }
  const ofTable = found.map((word) => ({
    weight: tableWeight(word),
    like: Math.max(0, ...wanted.map((other) => likeness(word, other))),
  }));
  const sum = (values: readonly number[]) => values.reduce((one, other) => one + other, 0);
  const precision = sum(ofTable.map(({ weight, like }) => weight * like)) /
    sum(ofTable.map(({ weight }) => weight));
  const reasons = [
    ...(shared.length === 0 ? [] : [`both names have ${listed(shared)}`]),
    ...(inColumns.length === 0 ? [] : [`it has columns named for ${listed(inColumns)}`]),
  ];
  return { score: 0.6 * (met / total) + 0.4 * precision, reasons };
}

/** Whether the table's rows move as often as the jobs run. */
function judgeMovement(
  table: Table,
  cadence: Cadence | undefined,
  now: Date,
): { factor: number; reason: string } | undefined {
  const newest = newestOf(table);
  if (newest === undefined || cadence === undefined || cadence.isPartial) return undefined;
  const age = (now.getTime() - newest.getTime()) / 60_000;
  if (age > cadence.minutes * 3 + 5) {
    return {
      factor: 0.5,
      reason: `nothing in it moved for ${inWords(age)}, though the job runs ${cadence.words}`,
    };
  }
  // That something moved within a year says little.
  if (cadence.minutes > 1_440) return undefined;
  return { factor: 1.2, reason: `rows in it moved ${inWords(age)} ago` };
}

function newestOf(table: Table): Date | undefined {
  return [...table.newest.values()].sort((one, other) => other.getTime() - one.getTime())[0];
}

function tableGuessOf(candidates: readonly Candidate[]): Guess<string> {
  const [best, second] = candidates;
  const { score, table, reasons } = best!;
  const margin = score - (second?.score ?? 0);
  const near = candidates.slice(1).filter((other) => score - other.score < 0.15).slice(0, 3);
  return {
    value: table.name,
    confidence: score >= 0.7 && margin >= 0.15
      ? "high"
      : score >= 0.5 && margin >= 0.08
      ? "medium"
      : "low",
    reasons,
    alternatives: near.map((other) => other.table.name),
  };
}

const TIMESTAMPTZ = "timestamp with time zone";

const TIMESTAMP_NAMES: readonly [pattern: RegExp, score: number][] = [
  [/^(last_)?(updated|modified|refreshed|synced|synchronized)(_at|_on|_time)?$/, 0.6],
  [
    /^(last_)?(update|modification|refresh|sync|modified|updated)(_at|_on|_time|_timestamp)?$/,
    0.55,
  ],
  [
    /^(last_)?(fetched|retrieved|loaded|imported|ingested|checked|polled|pulled|scraped)(_at|_on|_time)?$/,
    0.5,
  ],
  [/^(last_)?(fetch|import|check|poll|pull|load)(_at|_on|_time)?$/, 0.45],
  [/(updated|modified|refreshed|synced|fetched|seen)/, 0.4],
  [/^(created|inserted|added|registered|first_seen)(_at|_on|_time)?$/, -0.6],
  [
    /(deleted|archived|expires|expiry|starts?|ends?|valid|due|scheduled|published|accepted|kickoff|birth|opened|closed)/,
    -0.4,
  ],
];

/** The column that moves on every refresh, of those that hold a time. */
function guessTimestamp(
  table: Table,
  cadence: Cadence | undefined,
  now: Date,
): Guess<string> | undefined {
  const times = table.columns.filter(({ type }) => type === TIMESTAMPTZ);
  const latest = newestOf(table);
  const scored = times.filter(({ name }) => isPlain(name)).map(({ name }) => {
    const reasons: string[] = [];
    let score = 0;
    const named = TIMESTAMP_NAMES.find(([pattern]) => pattern.test(name));
    if (named !== undefined) {
      score += named[1];
      reasons.push(named[1] > 0 ? "its name says so" : "its name says otherwise");
    }
    if (table.touchedColumns.includes(name)) {
      score += 0.6;
      reasons.push("a trigger sets it on every update");
    }
    const newest = table.newest.get(name);
    if (newest !== undefined && latest !== undefined) {
      const behind = latest.getTime() - newest.getTime();
      const age = (now.getTime() - newest.getTime()) / 60_000;
      if (behind < 1_000 && times.length > 1) {
        score += 0.25;
        reasons.push("it holds the newest time of the row's columns");
      } else if (behind > 60_000) {
        score -= 0.25;
      }
      if (age < 0) score -= 0.3;
      else if (cadence !== undefined && age <= cadence.minutes * 2 + 5) {
        score += 0.15;
        reasons.push(`its newest value is ${inWords(age)} old`);
      }
    }
    return { name, score, reasons };
  }).sort((one, other) => other.score - one.score);
  const [best, second] = scored;
  if (best === undefined) return undefined;
  const margin = best.score - (second?.score ?? -1);
  if (scored.length === 1) best.reasons.push("it is the only timestamptz of the table");
  return {
    value: best.name,
    confidence: best.score >= 0.5 && margin >= 0.15
      ? "high"
      : best.score >= 0.3 && margin > 0
      ? "medium"
      : "low",
    reasons: best.reasons.length === 0 ? ["it is a timestamptz"] : best.reasons,
    alternatives: scored.slice(1).filter((other) => best.score - other.score < 0.3)
      .map(({ name }) => name),
  };
}

const TEXT = /^(text|character varying(\(\d+\))?)$/;
const SYMBOL_NAME = /^(symbol|ticker)$/;
const NO_SYMBOL =
  /(^|_)(date|day|month|year|period|season|currency|type|kind|status|language|locale|country|name|unit|source|provider|exchange)($|_)/;

/** The column that says what a row is about, or null for a table that is refreshed as one. */
function guessSymbol(table: Table, context: Context): Guess<string | null> {
  const keyColumns = new Set(table.keys.flatMap(({ columns }) => columns));
  const scored = table.columns.map((column) => ({
    column,
    ...scoreSymbol(column, table, keyColumns, context),
  }))
    .filter(({ score }) => score > 0)
    .sort((one, other) => other.score - one.score);
  const best = scored.find(({ column }) => TEXT.test(column.type) && isPlain(column.name));
  const other = scored.find(({ column }) => !TEXT.test(column.type));
  if (best !== undefined && best.score >= 0.45) {
    return {
      value: best.column.name,
      confidence: best.score >= 0.7 ? "high" : "medium",
      reasons: best.reasons,
      alternatives: scored.filter((entry) => entry !== best && best.score - entry.score < 0.2)
        .map(({ column }) => column.name),
    };
  }
  if (other !== undefined && other.score >= 0.45) {
    return {
      value: null,
      confidence: "low",
      reasons: [
        `"${other.column.name}" would be it, but is of type ${other.column.type}, and symbols are text`,
        "so it is proposed as global: one job refreshes all, as its cron job does",
      ],
      alternatives: [other.column.name],
    };
  }
  const doubtful = best !== undefined && best.score >= 0.3;
  return {
    value: null,
    confidence: doubtful ? "low" : "medium",
    reasons: [
      "no column of its key names a thing that other tables are about too",
      "so it is global: one job refreshes all, as its cron job does",
    ],
    alternatives: doubtful ? [best.column.name] : [],
  };
}

function scoreSymbol(
  column: Column,
  table: Table,
  keyColumns: ReadonlySet<string>,
  { tables, keyNames }: Context,
): { score: number; reasons: string[] } {
  const { name } = column;
  const reasons: string[] = [];
  let score = 0;
  const isKey = keyColumns.has(name);
  const foreign = table.foreignKeys.find((key) => key.column === name);
  if (column.isGenerated) return { score, reasons };
  if (SYMBOL_NAME.test(name)) {
    score += 0.5;
    reasons.push("it is called so");
  } else if (NO_SYMBOL.test(name)) {
    score -= 0.4;
  }
  if (foreign !== undefined && (isKey || column.isRequired)) {
    score += 0.45;
    reasons.push(`it refers to ${foreign.table}`);
  }
  const others = (keyNames.get(name) ?? 0) - (isKey ? 1 : 0);
  if (others >= 1 && (isKey || column.isRequired) && !GENERIC_KEY.test(name)) {
    score += others >= 2 ? 0.35 : 0.25;
    reasons.push(
      `${others === 1 ? "another table has" : `${others} other tables have`} it in a key`,
    );
  }
  const list = tables.find((other) => other !== table && isListOf(other, name));
  if (list !== undefined && isKey) {
    score += 0.2;
    reasons.push(`${list.name} lists its values`);
  }
  if (isKey) {
    score += 0.1;
    const first = table.keys.some(({ columns }) => columns[0] === name);
    if (first) score += 0.05;
    if (score > 0.2) reasons.push("it is part of the key");
  }
  return { score, reasons };
}

const GENERIC_KEY = /^(id|uuid|name|date|day|code|key|slug|type)$/;

/** Whether a table lists things by a column: its only key, with a flag that says which are in use. */
function isListOf(table: Table, column: string): boolean {
  return table.keys.some(({ columns }) => columns.length === 1 && columns[0] === column) &&
    activeColumn(table) !== undefined;
}

function activeColumn(table: Table): string | undefined {
  return table.columns.find(({ name, type }) =>
    type === "boolean" && /^(is_)?(active|enabled|tracked|in_use)$/.test(name)
  )?.name;
}

/** The unique key that the function's upserts meet. */
function guessConflict(
  table: Table,
  symbol: string | null,
  onConflict: readonly string[] | undefined,
): Guess<string[]> | undefined {
  const generated = new Set(
    table.columns.filter(({ isGenerated }) => isGenerated).map(({ name }) => name),
  );
  const isNatural = ({ columns }: UniqueKey) => !columns.some((name) => generated.has(name));
  const plain = table.keys.filter(({ columns }) => columns.every(isPlain));
  const natural = plain.filter(isNatural);
  const named = plain.find(({ columns }) =>
    onConflict !== undefined && isSame(columns, onConflict)
  );
  if (named !== undefined) {
    return {
      value: named.columns,
      confidence: "high",
      reasons: ["its code names it as onConflict"],
      alternatives: [],
    };
  }
  if (natural.length === 0) {
    const [only] = plain;
    return only === undefined ? undefined : {
      value: only.columns,
      confidence: "low",
      reasons: [
        "the database makes the values of the only unique key, so a refresh always adds rows",
        "make a unique index on what tells two rows apart",
      ],
      alternatives: [],
    };
  }
  const rank = (key: UniqueKey) =>
    (symbol !== null && key.columns.includes(symbol) ? 2 : 0) + (key.isPrimary ? 1 : 0);
  const [best, ...rest] = [...natural].sort((one, other) => rank(other) - rank(one));
  const isOnly = rest.length === 0;
  return {
    value: best!.columns,
    confidence: isOnly ? "high" : "medium",
    reasons: [
      best!.isPrimary
        ? "it is the primary key"
        : isOnly
        ? "it is the only unique key whose values the database does not make"
        : "it is a unique key",
    ],
    alternatives: rest.map(({ columns }) => columns.join(", ")),
  };
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((name) => other.includes(name));
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

/** What can be said only with all proposals at hand. */
function linkProposals(proposals: readonly Proposal[], tables: readonly Table[]): void {
  for (const proposal of proposals) {
    const table = tables.find(({ schema, name }) =>
      schema === "public" && name === proposal.table.value
    )!;
    const foreign = table.foreignKeys.find(({ column }) => column === proposal.symbolColumn.value);
    const parent = proposals.find((other) =>
      other !== proposal && `public.${other.table.value}` === foreign?.table &&
      other.symbolColumn.value !== null
    );
    if (parent !== undefined) {
      proposal.dependsOn = parent.dataType;
      proposal.notes.push(`Rows of ${parent.table.value} must be there first (a foreign key)`);
    }
    for (const other of proposals) {
      if (other === proposal || other.table.value !== proposal.table.value) continue;
      proposal.notes.push(
        `${other.functionName} seems to write the same table: where both fill the same columns, make ` +
          `it one data type with legacy_functions '{${other.functionName}}'`,
      );
    }
  }
}

/** The table that lists what the types with symbols are about. */
function guessKnownSymbols(
  proposals: readonly Proposal[],
  { tables, knownSymbolsTable }: Catalog,
): KnownSymbols | undefined {
  if (knownSymbolsTable !== undefined) return undefined;
  const votes = new Map<string, { known: KnownSymbols; score: number }>();
  for (const { table: { value }, symbolColumn } of proposals) {
    if (symbolColumn.value === null) continue;
    const table = tables.find(({ schema, name }) => schema === "public" && name === value)!;
    const foreign = table.foreignKeys.find(({ column }) => column === symbolColumn.value);
    for (const list of tables) {
      if (list.schema !== "public" || list === table || !isPlain(list.name)) continue;
      const refers = foreign?.table === `public.${list.name}`;
      const column = refers ? foreign!.foreignColumn : symbolColumn.value;
      const isKey = list.keys.some(({ columns }) => columns.length === 1 && columns[0] === column);
      if (!isKey) continue;
      const active = activeColumn(list) ?? null;
      const vote = votes.get(list.name) ??
        { known: { table: list.name, column, activeColumn: active, reasons: [] }, score: 0 };
      vote.score += (refers ? 1 : 0.5) + (active === null ? 0 : 1);
      const reason = refers
        ? `${value}.${symbolColumn.value} refers to it`
        : `${value} has its key`;
      if (!vote.known.reasons.includes(reason)) vote.known.reasons.push(reason);
      votes.set(list.name, vote);
    }
  }
  return [...votes.values()].sort((one, other) => other.score - one.score)[0]?.known;
}

function least(values: readonly Confidence[]): Confidence {
  return (["low", "medium", "high"] as const).find((value) => values.includes(value)) ?? "low";
}

/** What the registry takes as a name. */
function isPlain(name: string): boolean {
  return /^[a-z_][a-z0-9_]{0,62}$/.test(name);
}

function listed(words: readonly string[]): string {
  return words.map((word) => `"${word}"`).join(", ");
}

/** `40 seconds`, `3 hours`: about so long. */
function inWords(minutes: number): string {
  const seconds = Math.max(0, Math.round(minutes * 60));
  if (seconds < 120) return `${seconds} seconds`;
  if (minutes < 120) return `${Math.round(minutes)} minutes`;
  if (minutes < 2 * 1_440) return `${Math.round(minutes / 60)} hours`;
  return everyMinutes(Math.round(minutes / 1_440) * 1_440).replace(/^every /, "");
}
