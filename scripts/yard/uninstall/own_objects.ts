import { readStatements, splitAtCommas, type SqlToken } from "./sql_tokens.ts";

/** What a migration makes and can be dropped by name. */
export type OwnKind =
  | "schema"
  | "table"
  | "view"
  | "materialized view"
  | "sequence"
  | "type"
  | "domain"
  | "index"
  | "function"
  | "procedure"
  | "trigger"
  | "policy";

export interface OwnObject {
  kind: OwnKind;
  /** Empty for a schema. */
  schema: string;
  name: string;
  /** Types of the arguments as SQL has them, for functions and procedures. */
  argumentTypes?: readonly string[];
  /** Names of the columns, for tables that list them. */
  columns?: readonly string[];
  /** Table that a trigger, policy or index belongs to. */
  table?: { schema: string; name: string };
}

/** What migrations make, all in all. */
export interface Own {
  /** In the order in which it was made; what later migrations drop is not in it. */
  objects: readonly OwnObject[];
  /** Tables, as `schema.name`, that the migrations fill with rows. */
  seededTables: readonly string[];
  /** Feature flags that the migrations make. */
  flags: readonly string[];
  /** All texts in quotes, of functions too. */
  texts: ReadonlySet<string>;
}

const KINDS: readonly OwnKind[] = [
  "schema",
  "table",
  "view",
  "sequence",
  "type",
  "domain",
  "index",
  "function",
  "procedure",
  "trigger",
  "policy",
];

/**
 * Reads from migrations, given in the order in which they are applied, which objects they make. Knows
 * `create`, `drop`, `alter … rename` and `alter table … add column`; what statements make that are put
 * together at run time is not seen, such as partitions, which belong to their table.
 */
export function readOwn(migrations: readonly string[]): Own {
  const objects: OwnObject[] = [];
  const seeded = new Set<string>();
  const flags = new Set<string>();
  const texts = new Set<string>();
  for (const sql of migrations) {
    collectTexts(sql, texts);
    for (const statement of readStatements(sql)) {
      const reader = new Reader(statement);
      if (reader.take("create")) readCreate(reader, objects);
      else if (reader.take("drop")) readDrop(reader, objects);
      else if (reader.take("alter")) readAlter(reader, objects);
      else if (reader.take("insert") && reader.take("into")) {
        const { schema, name } = reader.qualifiedName();
        seeded.add(`${schema}.${name}`);
        if (schema === "public" && name === "feature_flags") {
          for (const { kind, text } of statement) if (kind === "string") flags.add(text);
        }
      }
    }
  }
  return { objects, seededTables: [...seeded], flags: [...flags], texts };
}

function collectTexts(sql: string, into: Set<string>): void {
  for (const statement of readStatements(sql)) {
    for (const { kind, text } of statement) {
      if (kind !== "string") continue;
      into.add(text);
      // A body, or a text that quotes others.
      if (text.includes("'")) collectTexts(text.replaceAll("''", "'"), into);
    }
  }
}

function readCreate(reader: Reader, objects: OwnObject[]): void {
  const before = ["or", "replace", "unlogged", "constraint", "unique", "recursive"];
  while (reader.takeAny(before));
  const isMaterialized = reader.take("materialized");
  const kind = reader.takeAny(KINDS) as OwnKind | undefined;
  // Temporary tables go by themselves.
  if (kind === undefined) return;
  reader.take("concurrently");
  reader.skipIfExists();
  if (kind === "schema") {
    add(objects, { kind, schema: "", name: reader.name() });
    return;
  }
  if (kind === "trigger" || kind === "policy" || kind === "index") {
    if (reader.peek("on")) return;
    const name = reader.name();
    reader.skipTo("on");
    reader.take("only");
    const table = reader.qualifiedName();
    add(objects, { kind, schema: table.schema, name, table });
    return;
  }
  const { schema, name } = reader.qualifiedName();
  if (kind === "function" || kind === "procedure") {
    add(objects, { kind, schema, name, argumentTypes: argumentTypes(reader.parenthesised()) });
  } else if (kind === "table" && reader.peek("(")) {
    add(objects, { kind, schema, name, columns: columnNames(reader.parenthesised()) });
  } else {
    add(objects, { kind: isMaterialized ? "materialized view" : kind, schema, name });
  }
}

function add(objects: OwnObject[], object: OwnObject): void {
  if (!objects.some((known) => isSame(known, object))) objects.push(object);
}

function isSame(one: OwnObject, other: OwnObject): boolean {
  return one.kind === other.kind && one.schema === other.schema && one.name === other.name &&
    one.table?.name === other.table?.name &&
    String(one.argumentTypes) === String(other.argumentTypes);
}

function readDrop(reader: Reader, objects: OwnObject[]): void {
  const isMaterialized = reader.take("materialized");
  const word = reader.takeAny([...KINDS, "routine"]);
  if (word === undefined) return;
  const kind = isMaterialized ? "materialized view" : word;
  reader.take("concurrently");
  reader.skipIfExists();
  do {
    let matches: (object: OwnObject) => boolean;
    if (kind === "schema") {
      const name = reader.name();
      matches = (object) => object.kind === "schema" && object.name === name;
    } else if (kind === "trigger" || kind === "policy") {
      const name = reader.name();
      reader.skipTo("on");
      const table = reader.qualifiedName();
      matches = (object) =>
        object.kind === kind && object.name === name && object.table?.name === table.name &&
        object.table.schema === table.schema;
    } else {
      const { schema, name } = reader.qualifiedName();
      const types = reader.peek("(") ? argumentTypes(reader.parenthesised()) : undefined;
      matches = (object) =>
        (object.kind === kind || (kind === "routine" && object.argumentTypes !== undefined)) &&
          object.schema === schema && object.name === name &&
          (types === undefined || String(object.argumentTypes) === String(types)) ||
        // What belongs to a table goes with it.
        (kind === "table" && object.table?.schema === schema && object.table.name === name);
    }
    for (let index = objects.length - 1; index >= 0; index--) {
      if (matches(objects[index]!)) objects.splice(index, 1);
    }
  } while (reader.take(","));
}

function readAlter(reader: Reader, objects: OwnObject[]): void {
  const isMaterialized = reader.take("materialized");
  const word = reader.takeAny([...KINDS, "routine"]);
  if (word === undefined) return;
  const kind = isMaterialized ? "materialized view" : word;
  reader.skipIfExists();
  reader.take("only");
  if (kind === "trigger" || kind === "policy") {
    const name = reader.name();
    reader.skipTo("on");
    const table = reader.qualifiedName();
    if (!reader.take("rename") || !reader.take("to")) return;
    const renamed = reader.name();
    for (const object of objects) {
      const isIt = object.kind === kind && object.name === name &&
        object.table?.schema === table.schema && object.table.name === table.name;
      if (isIt) object.name = renamed;
    }
    return;
  }
  if (kind === "schema") return;
  const { schema, name } = reader.qualifiedName();
  const types = reader.peek("(") ? argumentTypes(reader.parenthesised()) : undefined;
  const found = objects.filter((object) =>
    (object.kind === kind || (kind === "routine" && object.argumentTypes !== undefined)) &&
    object.schema === schema && object.name === name &&
    (types === undefined || String(object.argumentTypes) === String(types))
  );
  if (reader.take("rename")) {
    if (reader.take("to")) {
      const renamed = reader.name();
      for (const object of found) object.name = renamed;
      for (const { table } of objects) {
        if (table?.schema === schema && table.name === name) table.name = renamed;
      }
    } else if (kind === "table" && !reader.take("constraint")) {
      reader.take("column");
      const [from, to] = [reader.name(), reader.take("to") ? reader.name() : undefined];
      for (const object of found) {
        if (to === undefined || object.columns === undefined) continue;
        object.columns = object.columns.map((column) => column === from ? to : column);
      }
    }
    return;
  }
  if (kind !== "table") return;
  for (const action of splitAtCommas(reader.rest())) {
    const parts = new Reader(action);
    if (!parts.take("add")) continue;
    const isNamed = parts.take("column");
    if (!isNamed && parts.takeAny(TABLE_PARTS) !== undefined) continue;
    parts.skipIfExists();
    const column = parts.name();
    for (const object of found) object.columns = [...object.columns ?? [], column];
  }
}

/** Words that begin a part of `create table (…)` which is no column. */
const TABLE_PARTS = ["constraint", "primary", "unique", "check", "foreign", "exclude", "like"];

function columnNames(tokens: readonly SqlToken[]): string[] {
  return splitAtCommas(tokens).flatMap(([first]) =>
    first === undefined || (first.kind === "word" && TABLE_PARTS.includes(first.text))
      ? []
      : [first.text]
  );
}

/** Words with which types of several words begin: behind them no type can follow. */
const LONG_TYPES = ["double", "character", "bit", "national", "time", "timestamp", "interval"];

function argumentTypes(tokens: readonly SqlToken[]): string[] {
  return splitAtCommas(tokens).flatMap((argument) => {
    const mode = argument[0]?.kind === "word" && argument.length > 1 ? argument[0].text : undefined;
    if (mode === "out") return [];
    let type = mode === "in" || mode === "inout" || mode === "variadic"
      ? argument.slice(1)
      : argument;
    const end = type.findIndex(({ kind, text }) =>
      (kind === "word" && text === "default") ||
      (kind === "symbol" && (text === "=" || text === ":"))
    );
    if (end >= 0) type = type.slice(0, end);
    const [first, second] = type;
    const isNamed = first !== undefined && second !== undefined && second.kind !== "symbol" &&
      !(first.kind === "word" && LONG_TYPES.includes(first.text));
    return [writeType(isNamed ? type.slice(1) : type)];
  });
}

function writeType(tokens: readonly SqlToken[]): string {
  let text = "";
  let last: SqlToken | undefined;
  for (const token of tokens) {
    if (last !== undefined && last.kind !== "symbol" && token.kind !== "symbol") text += " ";
    text += token.kind === "name" ? quoteName(token.text) : token.text;
    last = token;
  }
  return text;
}

/** A name as SQL wants it, in quotes where it must. */
export function quoteName(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

class Reader {
  #tokens: readonly SqlToken[];
  #at = 0;

  constructor(tokens: readonly SqlToken[]) {
    this.#tokens = tokens;
  }

  /** Whether the next token is this word or symbol. */
  peek(text: string): boolean {
    const token = this.#tokens[this.#at];
    return token !== undefined && (token.kind === "word" || token.kind === "symbol") &&
      token.text === text;
  }

  take(text: string): boolean {
    if (!this.peek(text)) return false;
    this.#at++;
    return true;
  }

  takeAny(words: readonly string[]): string | undefined {
    return words.find((word) => this.take(word));
  }

  skipIfExists(): void {
    if (!this.take("if")) return;
    this.take("not");
    this.take("exists");
  }

  /** Goes behind the next such word that stands in no parentheses. */
  skipTo(word: string): void {
    let depth = 0;
    while (this.#at < this.#tokens.length) {
      if (this.peek("(")) depth++;
      if (this.peek(")")) depth--;
      if (depth === 0 && this.take(word)) return;
      this.#at++;
    }
  }

  name(): string {
    const token = this.#tokens[this.#at++];
    if (token === undefined || (token.kind !== "word" && token.kind !== "name")) {
      throw new Error(
        `Cannot read a migration: found "${token?.text ?? "its end"}", wanted a name`,
      );
    }
    return token.text;
  }

  qualifiedName(): { schema: string; name: string } {
    const first = this.name();
    return this.take(".")
      ? { schema: first, name: this.name() }
      : { schema: "public", name: first };
  }

  /** What stands between the parentheses that begin here. */
  parenthesised(): readonly SqlToken[] {
    if (!this.take("(")) return [];
    const first = this.#at;
    for (let depth = 1; depth > 0 && this.#at < this.#tokens.length; this.#at++) {
      if (this.peek("(")) depth++;
      if (this.peek(")")) depth--;
    }
    return this.#tokens.slice(first, this.#at - 1);
  }

  rest(): readonly SqlToken[] {
    return this.#tokens.slice(this.#at);
  }
}
