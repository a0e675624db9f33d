import { type CronFields, parseSchedule } from "../../../local/cron/schedule.ts";

/** A row of `cron.job`. */
export interface CronJob {
  jobid: number;
  jobname: string | null;
  schedule: string;
  command: string;
  database: string;
  username: string;
  active: boolean;
}

/** An SQL function that a command may call. */
export interface SqlFunction {
  schema: string;
  name: string;
  source: string;
  /** Whether it may write: it is neither stable nor immutable. */
  isVolatile: boolean;
}

/** What a job's command calls. */
export interface Calls {
  /** Names of Edge Functions. */
  functions: string[];
  /** The SQL function through which it calls them, if not by itself. */
  through: string | undefined;
  /**
   * - `edge-function`: it calls those
   * - `unreadable`: it makes a call to Edge Functions whose name is put together elsewhere
   * - `other`: it calls something else over HTTP
   * - `none`: it makes no call
   */
  kind: "edge-function" | "unreadable" | "other" | "none";
}

/** pg_net's functions, and those of the extension http. */
const HTTP_CALL =
  /(?<![\w.])(?:"?\w+"?\s*\.\s*)?"?http(?:_(?:post|get|put|patch|delete))?"?\s*\(/gi;
const FUNCTION_URL =
  /\/functions\/v1\/([A-Za-z0-9][A-Za-z0-9_-]*)|\.functions\.supabase\.(?:co|net|in)\/([A-Za-z0-9][A-Za-z0-9_-]*)/g;

/** Functions that call functions are followed so far. */
const MOST_LEVELS = 4;

/** Finds the Edge Functions that a command calls, by itself or through SQL functions. */
export function readCalls(
  command: string,
  sqlFunctions: readonly SqlFunction[],
  levels = MOST_LEVELS,
): Calls {
  const text = withoutComments(command);
  const direct = callsIn(text);
  if (direct.kind === "edge-function" || direct.kind === "unreadable" || levels === 0) {
    return { ...direct, through: undefined };
  }
  for (const candidate of sqlFunctions) {
    const call = callOf(candidate).exec(text);
    if (call === null) continue;
    const inside = readCalls(candidate.source, sqlFunctions, levels - 1);
    if (inside.kind === "none") continue;
    const through = `${candidate.schema}.${candidate.name}`;
    if (inside.kind !== "unreadable") return { ...inside, through };
    // The name may be an argument: select call_edge_function('refresh-scores').
    const argument = /'([a-z0-9][a-z0-9_-]*)'/i.exec(call[1] ?? "")?.[1];
    return argument === undefined
      ? { ...inside, through }
      : { kind: "edge-function", functions: [argument], through };
  }
  return { ...direct, through: undefined };
}

/** Matches a call of an SQL function, with or without its schema, and its arguments. */
function callOf({ schema, name }: SqlFunction): RegExp {
  return new RegExp(
    `(?:"?${escaped(schema)}"?\\s*\\.\\s*|(?<![\\w."]))"?${escaped(name)}"?\\s*\\(([^)]*)`,
    "i",
  );
}

function callsIn(text: string): Pick<Calls, "kind" | "functions"> {
  if (text.search(HTTP_CALL) < 0) return { kind: "none", functions: [] };
  const names = functionUrls(text);
  if (names.length > 0) return { kind: "edge-function", functions: [...new Set(names)] };
  const isFunction = /\/functions\/v1\b|\.functions\.supabase\./.test(text);
  return { kind: isFunction ? "unreadable" : "other", functions: [] };
}

/** The Edge Function of each URL; two texts with `||` between them are one. */
function functionUrls(text: string): string[] {
  return [...text.replaceAll(/'\s*\|\|\s*'/g, "").matchAll(FUNCTION_URL)]
    .map(([, one, other]) => one ?? other ?? "");
}

/** SQL without comments, as `switchyard.without_comments` gives it; texts in quotes stay. */
export function withoutComments(sql: string): string {
  const part = /('(?:[^']|'')*'|"[^"]*")|--[^\n]*|\/\*[\s\S]*?\*\//g;
  return sql.replaceAll(part, (_, text: string | undefined) => text ?? " ");
}

const STATEMENT =
  /(?<!\.)\b(insert|update|delete|merge|truncate|copy|call|refresh|vacuum|analyze|reindex|cluster|create|alter|drop|notify|grant|revoke|comment(?=\s+on\b)|lock|import(?=\s+foreign\b)|execute)\b/gi;

/**
 * Statements of a command that do more than read and call, by their first words, as
 * `switchyard.other_statements` finds them.
 */
export function otherStatements(command: string): string[] {
  const code = withoutComments(command)
    .replaceAll(/'(?:[^']|'')*'|"[^"]*"|\bfor\s+(?:no\s+key\s+)?update\b/gi, " ");
  return [...new Set([...code.matchAll(STATEMENT)].map(([word]) => word.toUpperCase()))].sort();
}

/** A call of a function of the platform that does more than tell. */
const PLATFORM_CALL =
  /(?<![\w."])"?(cron|graphql|pgmq|realtime|storage|vault)"?\s*\.\s*"?(\w+)"?\s*\(/gi;
const TELLING_FUNCTIONS = new Set([
  "realtime.topic()",
  "storage.extension()",
  "storage.filename()",
  "storage.foldername()",
]);

/** A call of a function of Postgres that does more than tell. */
const POSTGRES_CALL =
  /(?<![\w."])(?:"?pg_catalog"?\s*\.\s*)?"?(setval|nextval|lo_(?:creat|create|export|from_bytea|import|put|truncate|truncate64|unlink)|lowrite|brin_(?:de)?summarize_\w+|gin_clean_pending_list|pg_(?:notify|terminate_backend|cancel_backend|reload_conf|rotate_logfile|promote|switch_wal|create_restore_point|export_snapshot|import_system_collations|log_\w+|logical_\w+|replication_\w+|\w*replication_slot\w*|stat_reset\w*|wal_replay_\w+))"?\s*\(/gi;

/**
 * What a command calls besides Edge Functions that its URLs spell out, as `switchyard.other_calls` finds
 * it: SQL functions that may write, but for the one through which it calls an Edge Function, functions of
 * the platform, those of Postgres that do something, and HTTP calls to other addresses.
 */
export function otherCalls(
  command: string,
  sqlFunctions: readonly SqlFunction[],
  through?: string,
): string[] {
  const text = withoutComments(command);
  const code = text.replaceAll(/'(?:[^']|'')*'/g, " ");
  const called = sqlFunctions.filter((candidate) =>
    candidate.isVolatile && `${candidate.schema}.${candidate.name}` !== through &&
    callOf(candidate).test(code)
  ).map(({ schema, name }) => `${schema}.${name}()`);
  const ofPlatform = [...code.matchAll(PLATFORM_CALL)]
    .map(([, schema, name]) => `${schema}.${name}()`.toLowerCase())
    .filter((call) => !TELLING_FUNCTIONS.has(call));
  const ofPostgres = [...code.matchAll(POSTGRES_CALL)].map(([, name]) => `${name}()`.toLowerCase());
  const calls = code.match(HTTP_CALL)?.length ?? 0;
  return [
    ...(calls > functionUrls(text).length ? ["an HTTP call"] : []),
    ...new Set([...called, ...ofPlatform, ...ofPostgres]),
  ].sort();
}

function escaped(name: string): string {
  return name.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** How often a schedule runs, and what is odd about it. */
export interface Cadence {
  /** Minutes between two runs, at least 1; months count as 30 days. */
  minutes: number;
  /** In words: `every 5 minutes`, `every 30 days`. */
  words: string;
  /** Whether it runs at some hours or on some days only. */
  isPartial: boolean;
}

/** The cadence of a schedule; undefined for `@reboot` and what pg_cron would not take. */
export function readCadence(schedule: string): Cadence | undefined {
  const parsed = parseSchedule(schedule);
  if (parsed === undefined || parsed.kind === "reboot") return undefined;
  if (parsed.kind === "seconds") {
    return { minutes: 1, words: `every ${parsed.seconds} seconds`, isPartial: false };
  }
  const minutes = minutesBetween(parsed);
  const isHourly = minutes < 1_440;
  const isPartial = (isHourly && parsed.hours.size < 24 && minutes <= 60) ||
    (minutes <= 1_440 && parsed.daysOfWeek.size < 7);
  return { minutes, words: everyMinutes(minutes), isPartial };
}

function minutesBetween(fields: CronFields): number {
  if (fields.minutes.size > 1) return usualGap(fields.minutes, 60);
  if (fields.hours.size > 1) return usualGap(fields.hours, 24) * 60;
  // Sunday is 0 and 7.
  const daysOfWeek = new Set([...fields.daysOfWeek].map((day) => day % 7));
  const byWeek = daysOfWeek.size < 7;
  const byMonth = fields.daysOfMonth.size < 31;
  if (byWeek && !byMonth) {
    return (daysOfWeek.size === 1 ? 7 : usualGap(daysOfWeek, 7)) * 1_440;
  }
  if (!byMonth && !fields.lastDayOfMonth) return 1_440;
  if (fields.daysOfMonth.size > 1) return usualGap(fields.daysOfMonth, 30) * 1_440;
  if (fields.months.size === 1) return 365 * 1_440;
  return usualGap(fields.months, 12) * 30 * 1_440;
}

/**
 * The distance between two of the values that is there most often, on a clock of so many: of minutes in
 * steps of 7 it is 7, though it is 4 from 56 to the hour.
 */
function usualGap(values: ReadonlySet<number>, size: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  const counts = new Map<number, number>();
  for (const [index, value] of sorted.entries()) {
    const gap = index === 0 ? value + size - sorted.at(-1)! : value - sorted[index - 1]!;
    counts.set(gap, (counts.get(gap) ?? 0) + 1);
  }
  const [[gap]] = [...counts].sort(([gap, count], [otherGap, otherCount]) =>
    otherCount - count || gap - otherGap
  ) as [[number, number]];
  return gap;
}

/** `every minute`, `every 6 hours`, `every 30 days`. */
export function everyMinutes(minutes: number): string {
  const [count, unit] = minutes % 1_440 === 0
    ? [minutes / 1_440, "day"]
    : minutes % 60 === 0
    ? [minutes / 60, "hour"]
    : [minutes, "minute"];
  return count === 1 ? `every ${unit}` : `every ${count} ${unit}s`;
}
