import { Stream } from "node:stream";
import postgres from "postgres";
import { errorMessage, resultMessage, type ServerError } from "./messages.ts";

/** How a job's command ended. */
export interface Outcome {
  status: "succeeded" | "failed";
  message: string;
}

export interface CommandOptions {
  /** Superuser connection string; its database is replaced by the job's. */
  adminUrl: string;
  database: string;
  username: string;
  command: string;
  /** Drops the connection. The server notices when it next writes to it, as with pg_cron. */
  signal: AbortSignal;
  /** Called once with the server process of the run, right before the command is sent. */
  onStart(pid: number): Promise<void>;
}

/** The run did not reach the point where the command is sent. */
export class ConnectionFailed extends Error {}

/**
 * Runs a command in a connection of its own, as the job's owner and with the owner's settings, in
 * one simple query: several statements are one transaction, as with pg_cron.
 * Of several statements the last one that answers decides the message; their counts are not told
 * apart when none but the last returns rows.
 * Throws ConnectionFailed when the command could not be sent, and when `signal` aborts.
 */
export async function runCommand(options: CommandOptions): Promise<Outcome> {
  const { adminUrl, database, username, command, signal, onStart } = options;
  const url = new URL(adminUrl);
  url.pathname = `/${encodeURIComponent(database)}`;
  const sql = postgres(url.href, {
    max: 1,
    connection: { application_name: "pg_cron" },
    fetch_types: false,
    onnotice: () => {},
    connect_timeout: 10,
  });
  const dropped = Promise.withResolvers<never>();
  const drop = () => {
    dropped.reject(signal.reason);
    void sql.end({ timeout: 0 });
  };
  signal.addEventListener("abort", drop);
  try {
    signal.throwIfAborted();
    return await Promise.race([dropped.promise, send()]);
  } finally {
    signal.removeEventListener("abort", drop);
    await sql.end({ timeout: 0 });
  }

  async function send(): Promise<Outcome> {
    let pid: number;
    try {
      pid = await becomeOwner(sql, username);
    } catch (cause) {
      throw new ConnectionFailed("connection failed", { cause });
    }
    await onStart(pid);
    try {
      const answer: unknown = await sql.unsafe(command).simple();
      if (isCopyStream(answer)) {
        // The stream fails when its connection is dropped, which is how it is ended here.
        answer.on("error", () => {});
        return { status: "failed", message: "COPY not supported" };
      }
      return { status: "succeeded", message: successMessage(answer) };
    } catch (error) {
      if (!(error instanceof postgres.PostgresError)) {
        return { status: "failed", message: "connection lost" };
      }
      return { status: "failed", message: errorMessage(serverError(error), command) };
    }
  }
}

/**
 * A connection as the owner would need the owner's password. SET SESSION AUTHORIZATION leaves out
 * the settings of the role (statement_timeout, search_path), so they are applied here.
 */
async function becomeOwner(sql: postgres.Sql, username: string): Promise<number> {
  const [self] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
  if (self === undefined) throw new Error("pg_backend_pid() returned no row");
  const settings = await sql<{ setting: string }[]>`
    select unnest(s.setconfig) as setting
    from pg_db_role_setting as s
    where s.setrole = ${username}::regrole
      and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
    order by s.setdatabase
  `;
  for (const { setting } of settings) {
    const equals = setting.indexOf("=");
    const name = setting.slice(0, equals);
    await sql`select set_config(${name}, ${setting.slice(equals + 1)}, false)`;
  }
  await sql.unsafe(`set session authorization ${quoteIdentifier(username)}`);
  return self.pid;
}

function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

interface Answer {
  command: string | null;
  count: number | null;
  length: number;
  columns: unknown;
}

/** postgres.js answers COPY with a stream. */
function isCopyStream(answer: unknown): answer is Stream {
  return answer instanceof Stream;
}

function successMessage(answer: unknown): string {
  const last = lastResult(answer);
  // An empty command, such as a comment, is a result without rows.
  if (last.command === null) return "0 rows";
  const hasColumns = last.columns !== null && last.columns !== undefined;
  const hasRows = hasColumns && ROWS_TAGS.has(last.command);
  return resultMessage({
    tag: last.command,
    count: COUNTING_TAGS.has(last.command) ? last.count : hasRows ? last.length : null,
    hasRows,
  });
}

/** Commands whose tag has a number; SET after SELECT keeps the number of the SELECT. */
const COUNTING_TAGS = new Set(["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "FETCH", "MOVE"]);

/** Commands that may answer with rows; SET after SELECT keeps the columns of the SELECT. */
const ROWS_TAGS = new Set([
  "SELECT",
  "INSERT",
  "UPDATE",
  "DELETE",
  "MERGE",
  "SHOW",
  "EXPLAIN",
  "FETCH",
  "CALL",
  "EXECUTE",
]);

function lastResult(answer: unknown): Answer {
  const results = Array.isArray(answer) && !("command" in answer) ? answer : [answer];
  const last: unknown = results.at(-1);
  if (last === null || typeof last !== "object" || !Array.isArray(last)) {
    throw new Error("Cannot read the answer to a cron command: it is no result");
  }
  const { command, count, statement } = last as unknown as {
    command: string | null;
    count: number | null;
    statement: { columns: unknown } | null;
  };
  return { command, count, length: last.length, columns: statement?.columns };
}

function serverError(error: postgres.PostgresError): ServerError {
  return {
    severity: error.severity,
    message: error.message,
    detail: error.detail,
    hint: error.hint,
    where: error.where,
    position: error.position,
    internalPosition: error.internal_position,
    internalQuery: error.internal_query,
  };
}
