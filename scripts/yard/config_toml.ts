/**
 * Edits of `supabase/config.toml` that leave every other line as it is: comments, order, line ends.
 * Reads as much of TOML as it takes to find tables and keys; values stay texts. Each of them throws
 * {@linkcode RefusedError} for a line that is no TOML.
 */
import { RefusedError } from "./command.ts";

/** A key of the file. */
export interface TomlKey {
  /** Full path, such as `["functions", "queue-processor-v2", "verify_jwt"]`. */
  path: readonly string[];
  /** As it stands behind the `=`, without a comment. */
  value: string;
}

export interface TomlEdit {
  text: string;
  /**
   * - `added`: the key stands in `text`
   * - `there`: it was there with this value
   * - `other`: it is there with another value, which `found` holds; nothing was changed
   * - `closed`: its table is written inline as `found`, and must be edited by hand
   */
  outcome: "added" | "there" | "other" | "closed";
  found?: string;
}

interface Line {
  /** Position in the array of lines, and of the line behind its last one. */
  first: number;
  end: number;
  kind: "header" | "key";
  /** Path of the table for a header, of the key for a key. */
  path: string[];
  /** Path of the key as it is written, below its header. */
  written: string[];
  value: string;
}

/** All keys of the file, in its order. */
export function readToml(text: string): TomlKey[] {
  return scan(text.split("\n")).filter(({ kind }) => kind === "key")
    .map(({ path, value }) => ({ path, value }));
}

/** Adds a key to a table, and the table where it is missing, unless the key is there. */
export function addTomlKey(
  text: string,
  table: readonly string[],
  key: string,
  value: string,
): TomlEdit {
  const lines = text.split("\n");
  const entries = scan(lines);
  const path = [...table, key];
  const known = entries.find((entry) => entry.kind === "key" && isEqual(entry.path, path));
  if (known !== undefined) {
    return known.value === value
      ? { text, outcome: "there" }
      : { text, outcome: "other", found: known.value };
  }
  const inline = entries.find((entry) =>
    entry.kind === "key" && startsWith(path, entry.path) && entry.path.length < path.length
  );
  if (inline !== undefined) {
    return { text, outcome: "closed", found: `${inline.path.join(".")} = ${inline.value}` };
  }
  const lineEnd = text.includes("\r\n") ? "\r" : "";
  const insert = (index: number, line: string): TomlEdit => ({
    // Behind the last line of a file without a last line end there is no line yet.
    text: index === lines.length
      ? `${text}${lineEnd}\n${line}${lineEnd}\n`
      : lines.toSpliced(index, 0, `${line}${lineEnd}`).join("\n"),
    outcome: "added",
  });

  const header = entries.findIndex((entry) =>
    entry.kind === "header" && isEqual(entry.path, table)
  );
  if (header >= 0) {
    let last = entries[header]!;
    for (const entry of entries.slice(header + 1)) {
      if (entry.kind === "header") break;
      last = entry;
    }
    return insert(last.end, `${quoteKey(key)} = ${value}`);
  }
  // A table made by dotted keys cannot be opened by a header too.
  const sibling = entries.findLast((entry) =>
    entry.kind === "key" && startsWith(entry.path, table) &&
    entry.written.length > entry.path.length - table.length
  );
  if (sibling !== undefined) {
    const depth = sibling.path.length - sibling.written.length;
    const written = path.slice(depth).map(quoteKey).join(".");
    return insert(sibling.end, `${written} = ${value}`);
  }
  const isClosed = text === "" || text.endsWith("\n");
  const block = [`[${table.map(quoteKey).join(".")}]`, `${quoteKey(key)} = ${value}`, ""];
  const gap = text.trim() === "" ? [] : [""];
  const added = [...gap, ...block].map((line, index, all) =>
    index === all.length - 1 ? line : `${line}${lineEnd}`
  ).join("\n");
  return { text: isClosed ? text + added : `${text}${lineEnd}\n${added}`, outcome: "added" };
}

/**
 * Removes a key, and its table's header when nothing else stands below it. The text is returned as it
 * is when the key is not there.
 */
export function removeTomlKey(text: string, table: readonly string[], key: string): string {
  const lines = text.split("\n");
  const entries = scan(lines);
  const at = entries.findIndex((entry) =>
    entry.kind === "key" && isEqual(entry.path, [...table, key])
  );
  if (at < 0) return text;
  const entry = entries[at]!;
  const before = entries[at - 1];
  const behind = entries[at + 1];
  const isLast = behind === undefined || behind.kind === "header";
  const isAlone = before?.kind === "header" && isEqual(before.path, table) && isLast &&
    before.end === entry.first &&
    // A comment right below belongs to the table.
    (lines[entry.end] ?? "").trim() === "";
  if (!isAlone) return lines.toSpliced(entry.first, entry.end - entry.first).join("\n");
  let first = before.first;
  if (first > 0 && lines[first - 1]!.trim() === "") first--;
  return lines.toSpliced(first, entry.end - first).join("\n");
}

function scan(lines: readonly string[]): Line[] {
  const entries: Line[] = [];
  let table: string[] = [];
  for (let index = 0; index < lines.length; index++) {
    const text = lines[index]!.replace(/\r$/, "");
    const header = /^\s*(\[\[?)/.exec(text);
    if (header !== null) {
      const { path, end } = readPath(text, header[0].length);
      const isClosed = (header[1] === "[" ? /^\s*\]\s*(#|$)/ : /^\s*\]\]\s*(#|$)/)
        .test(text.slice(end));
      if (path.length === 0 || !isClosed) throw noToml(index, text);
      table = path;
      entries.push({ first: index, end: index + 1, kind: "header", path, written: [], value: "" });
      continue;
    }
    if (/^\s*(#|$)/.test(text)) continue;
    const { path, end } = readPath(text, 0);
    const equals = /^\s*=\s*/.exec(text.slice(end));
    if (path.length === 0 || equals === null) throw noToml(index, text);
    const value = readValue(lines, index, end + equals[0].length);
    if (value.text === "" || !value.isClosed) throw noToml(index, text);
    entries.push({
      first: index,
      end: value.line + 1,
      kind: "key",
      path: [...table, ...path],
      written: path,
      value: value.text,
    });
    index = value.line;
  }
  return entries;
}

function noToml(index: number, text: string): RefusedError {
  return new RefusedError('Cannot read "supabase/config.toml": it is no TOML', {
    detail: `line ${index + 1}: found ${JSON.stringify(text.trim())}, ` +
      "wanted a comment, [table] or key = value",
    next: "correct this line, then run it again",
  });
}

/** Reads a dotted key from a position on. */
function readPath(text: string, from: number): { path: string[]; end: number } {
  const path: string[] = [];
  const part = /\s*(?:([A-Za-z0-9_-]+)|"((?:[^"\\]|\\.)*)"|'([^']*)')/y;
  let end = from;
  while (true) {
    part.lastIndex = end;
    const found = part.exec(text);
    if (found === null) return { path, end };
    path.push(found[1] ?? found[2] ?? found[3] ?? "");
    end = part.lastIndex;
    const dot = /\s*\./y;
    dot.lastIndex = end;
    if (dot.exec(text) === null) return { path, end };
    end = dot.lastIndex;
  }
}

/** Reads a value to its end, which may be some lines on: texts in three quotes, arrays, tables. */
function readValue(
  lines: readonly string[],
  firstLine: number,
  from: number,
): { text: string; line: number; isClosed: boolean } {
  let line = firstLine;
  let position = from;
  let depth = 0;
  let value = "";
  let quote: string | undefined;
  while (line < lines.length) {
    const text = lines[line]!.replace(/\r$/, "");
    while (position < text.length) {
      const rest = text.slice(position);
      if (quote !== undefined) {
        const escaped = quote.startsWith('"') && rest.startsWith("\\");
        // Of more than three quotes at the end of a text the first ones are part of it.
        const ends = !escaped && rest.startsWith(quote) &&
          !(quote.length === 3 && rest.startsWith(`${quote}${quote[0]}`));
        const step = escaped ? 2 : ends ? quote.length : 1;
        if (ends) quote = undefined;
        value += rest.slice(0, step);
        position += step;
        continue;
      }
      if (rest.startsWith("#")) break;
      quote = ['"""', "'''", '"', "'"].find((mark) => rest.startsWith(mark));
      if (quote === undefined) {
        if (/^[[{]/.test(rest)) depth++;
        if (/^[\]}]/.test(rest)) depth--;
      }
      const step = quote?.length ?? 1;
      value += rest.slice(0, step);
      position += step;
    }
    const isOpen = depth > 0 || quote?.length === 3;
    if (!isOpen) break;
    value += "\n";
    line++;
    position = 0;
  }
  return {
    text: value.trim(),
    line: Math.min(line, lines.length - 1),
    isClosed: depth === 0 && quote === undefined,
  };
}

function quoteKey(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key);
}

function isEqual(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && startsWith(one, other);
}

function startsWith(path: readonly string[], beginning: readonly string[]): boolean {
  return beginning.length <= path.length && beginning.every((part, index) => part === path[index]);
}
