/** Texts that pg_cron writes into `return_message`, which are those of libpq. */

/** What one command of a job came to: rows read, or rows changed where the command counts them. */
export interface CommandResult {
  /** Command tag without numbers, e.g. `SELECT` or `CREATE TABLE`. */
  tag: string;
  /** Rows read or changed; null where the command counts none. */
  count: number | null;
  /** Whether the command answered with rows. */
  hasRows: boolean;
}

/** `1 row`, `0 rows`, or the command tag as in `INSERT 0 3`, `UPDATE 3`, `SET`. */
export function resultMessage({ tag, count, hasRows }: CommandResult): string {
  if (hasRows) return count === 1 ? "1 row" : `${count ?? 0} rows`;
  if (count === null) return tag;
  return tag === "INSERT" ? `INSERT 0 ${count}` : `${tag} ${count}`;
}

/** Fields of an error as the server sends them. */
export interface ServerError {
  severity: string;
  message: string;
  detail?: string | undefined;
  hint?: string | undefined;
  /** Context of the error, line by line. */
  where?: string | undefined;
  /** Character of the command that the error points at, from 1. */
  position?: string | undefined;
  /** Character of `internalQuery` that the error points at, from 1. */
  internalPosition?: string | undefined;
  internalQuery?: string | undefined;
}

/** The error as libpq prints it, with a line feed at the end. */
export function errorMessage(error: ServerError, command: string): string {
  let text = `${error.severity}:  ${error.message}\n`;
  if (error.position !== undefined) {
    text += pointer(command, Number(error.position));
  } else if (error.internalQuery !== undefined && error.internalPosition !== undefined) {
    text += pointer(error.internalQuery, Number(error.internalPosition));
  }
  if (error.detail !== undefined) text += `DETAIL:  ${error.detail}\n`;
  if (error.hint !== undefined) text += `HINT:  ${error.hint}\n`;
  if (error.internalQuery !== undefined) text += `QUERY:  ${error.internalQuery}\n`;
  if (error.where !== undefined) text += `CONTEXT:  ${error.where}\n`;
  return text;
}

/** Widest part of a line that libpq shows, and what it keeps right of the error. */
const DISPLAY_WIDTH = 60;
const RIGHT_WIDTH = 10;

/** `LINE n: …` and a caret below the character at `position`. */
function pointer(query: string, position: number): string {
  const characters = [...query];
  const at = Math.min(position - 1, characters.length);
  const before = characters.slice(0, at).join("");
  const lineNumber = before.split(/\r\n|\r|\n/).length;
  const lineStart = at - [...(before.split(/[\r\n]/).at(-1) ?? "")].length;
  const lineEnd = characters.findIndex((c, i) => i >= at && (c === "\n" || c === "\r"));
  const line = characters
    .slice(lineStart, lineEnd === -1 ? undefined : lineEnd)
    .map((c) => (c === "\t" ? " " : c));
  let from = 0;
  let to = line.length;
  const column = at - lineStart;
  let cutLeft = false;
  let cutRight = false;
  if (line.length > DISPLAY_WIDTH) {
    if (column + RIGHT_WIDTH < DISPLAY_WIDTH) {
      to = DISPLAY_WIDTH;
      cutRight = true;
    } else {
      if (column + RIGHT_WIDTH < line.length) {
        to = column + RIGHT_WIDTH;
        cutRight = true;
      }
      from = Math.max(0, to - DISPLAY_WIDTH);
      cutLeft = from > 0;
    }
  }
  const label = `LINE ${lineNumber}: ${cutLeft ? "..." : ""}`;
  const shown = line.slice(from, to).join("");
  return `${label}${shown}${cutRight ? "..." : ""}\n` +
    `${" ".repeat(label.length + column - from)}^\n`;
}
