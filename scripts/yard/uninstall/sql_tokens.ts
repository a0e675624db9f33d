/** A piece of SQL text. White space and comments are left out. */
export interface SqlToken {
  /**
   * - `word`: a keyword or a plain name, in lower case
   * - `name`: a name in double quotes, without them
   * - `string`: a text in quotes or dollars, without them; escapes stay as they are written
   * - `symbol`: anything else, one character each; numbers whole
   */
  kind: "word" | "name" | "string" | "symbol";
  text: string;
  /** Where it begins and ends in the SQL text. */
  start: number;
  end: number;
}

const PIECE = new RegExp(
  [
    /\s+/,
    /--[^\n]*/,
    /(?<block>\/\*)/,
    /(?<dollar>\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$)/,
    /(?<string>[eE]'(?:[^'\\]|\\[\s\S]|'')*'|(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*')/,
    /(?<name>"(?:[^"]|"")*")/,
    /(?<word>[A-Za-z_\u0080-\uffff][A-Za-z0-9_$\u0080-\uffff]*)/,
    /(?<symbol>[0-9]+(?:\.[0-9]+)?|[\s\S])/,
  ].map(({ source }) => source).join("|"),
  "y",
);

/** Takes SQL apart, as PostgreSQL does with standard_conforming_strings on. */
export function readTokens(sql: string): SqlToken[] {
  const tokens: SqlToken[] = [];
  PIECE.lastIndex = 0;
  for (let start = 0; start < sql.length; start = PIECE.lastIndex) {
    PIECE.lastIndex = start;
    const { block, dollar, string, name, word, symbol } = PIECE.exec(sql)!.groups ?? {};
    if (block !== undefined) {
      PIECE.lastIndex = endOfComment(sql, start);
      continue;
    }
    if (dollar !== undefined) {
      const close = sql.indexOf(dollar, start + dollar.length);
      PIECE.lastIndex = close < 0 ? sql.length : close + dollar.length;
    }
    const end = PIECE.lastIndex;
    const push = (kind: SqlToken["kind"], text: string) => tokens.push({ kind, text, start, end });
    if (dollar !== undefined) push("string", sql.slice(start + dollar.length, end - dollar.length));
    else if (string !== undefined) push("string", string.slice(string.indexOf("'") + 1, -1));
    else if (name !== undefined) push("name", name.slice(1, -1).replaceAll('""', '"'));
    else if (word !== undefined) push("word", word.toLowerCase());
    else if (symbol !== undefined) push("symbol", symbol);
  }
  return tokens;
}

/** Block comments may stand within one another. */
function endOfComment(sql: string, start: number): number {
  const mark = /\/\*|\*\//g;
  mark.lastIndex = start;
  let depth = 0;
  for (let found = mark.exec(sql); found !== null; found = mark.exec(sql)) {
    depth += found[0] === "/*" ? 1 : -1;
    if (depth === 0) return mark.lastIndex;
  }
  return sql.length;
}

/** The statements of a file; a body in `begin atomic … end` stays whole. */
export function readStatements(sql: string): SqlToken[][] {
  const statements: SqlToken[][] = [[]];
  let depth = 0;
  let blocks = 0;
  let last: SqlToken | undefined;
  for (const token of readTokens(sql)) {
    const { kind, text } = token;
    if (kind === "symbol" && text === "(") depth++;
    if (kind === "symbol" && text === ")") depth--;
    if (kind === "word" && text === "atomic" && last?.text === "begin") blocks++;
    if (kind === "word" && text === "case" && blocks > 0) blocks++;
    if (kind === "word" && text === "end" && blocks > 0) blocks--;
    if (kind === "symbol" && text === ";" && depth === 0 && blocks === 0) statements.push([]);
    else statements.at(-1)!.push(token);
    last = token;
  }
  return statements.filter((statement) => statement.length > 0);
}

/** Splits tokens at the commas that stand in no parentheses or brackets. */
export function splitAtCommas(tokens: readonly SqlToken[]): SqlToken[][] {
  const parts: SqlToken[][] = [[]];
  let depth = 0;
  for (const token of tokens) {
    if (token.kind === "symbol" && "([".includes(token.text)) depth++;
    if (token.kind === "symbol" && ")]".includes(token.text)) depth--;
    if (token.kind === "symbol" && token.text === "," && depth === 0) parts.push([]);
    else parts.at(-1)!.push(token);
  }
  return parts.filter((part) => part.length > 0);
}
