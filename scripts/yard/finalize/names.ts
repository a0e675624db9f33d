import type { Own, OwnObject } from "../uninstall/own_objects.ts";

/** What loses its suffix. All without it. */
export interface SuffixedNames {
  /** Names in SQL before `_v2`, which stands at their end or before a further part. */
  objects: readonly string[];
  /** Names of cron jobs before `-v2`. */
  jobs: readonly string[];
  /** Names of Edge Functions before `-v2`. */
  functions: readonly string[];
}

/** Derives the names from what the migrations make and from the Edge Functions' folders. */
export function suffixedNames(own: Own, functionFolders: readonly string[]): SuffixedNames {
  const withoutSuffix = (names: Iterable<string>) =>
    [...new Set([...names].flatMap((name) => /^([a-z0-9-]+)-v2$/.exec(name)?.[1] ?? []))].sort();
  const functions = withoutSuffix(functionFolders);
  return {
    objects: [...new Set(own.objects.flatMap(({ name }) => baseOf(name) ?? []))].sort(),
    jobs: withoutSuffix(own.texts).filter((name) => !functions.includes(name)),
    functions,
  };
}

function baseOf(name: string): string | undefined {
  return /^(.+?)_v2(?![a-z0-9])/.exec(name)?.[1];
}

/** The same object under its new name. */
export function renamedObject(object: OwnObject, names: SuffixedNames): OwnObject {
  const rename = (text: string) => renameText(text, names);
  return {
    ...object,
    name: rename(object.name),
    ...(object.argumentTypes === undefined
      ? {}
      : { argumentTypes: object.argumentTypes.map(rename) }),
    ...(object.table === undefined
      ? {}
      : { table: { ...object.table, name: rename(object.table.name) } }),
  };
}

/** What there is once `finalize` was applied: all under its new name, and what keeps the old ones. */
export function oldNamesOf(
  own: Own,
  names: SuffixedNames,
): { renamed: Own; oldNames: readonly OwnObject[] } {
  const renamed = own.objects.map((object) => renamedObject(object, names));
  const oldNames = own.objects.flatMap((object, index): OwnObject[] => {
    const { kind, schema, name } = object;
    const { argumentTypes } = renamed[index]!;
    if (name === renamed[index]!.name) return [];
    if (kind === "table" || kind === "view") return [{ kind: "view", schema, name }];
    if (argumentTypes !== undefined) return [{ kind, schema, name, argumentTypes }];
    return [];
  });
  return {
    renamed: {
      ...own,
      objects: renamed,
      seededTables: own.seededTables.map((table) => renameText(table, names)),
    },
    oldNames: [OLD_NAMES, ...oldNames],
  };
}

/** The table of `finalize.sql`. */
const OLD_NAMES: OwnObject = {
  kind: "table",
  schema: "switchyard",
  name: "old_names",
  columns: ["id", "kind", "old_name", "new_name", "undo"],
};

/** Drops the suffix from every name that stands in a text: code, SQL, TOML, prose, a path. */
export function renameText(text: string, names: SuffixedNames): string {
  return text.replaceAll(
    pattern(names),
    (_, object?: string, dashed?: string) => object ?? dashed!,
  );
}

/** How often a text names what loses its suffix. */
export function countMentions(text: string, names: SuffixedNames): number {
  return [...text.matchAll(pattern(names))].length;
}

const patterns = new WeakMap<SuffixedNames, RegExp>();

function pattern(names: SuffixedNames): RegExp {
  const known = patterns.get(names);
  if (known !== undefined) return known;
  const dashed = [...names.jobs, ...names.functions];
  // A letter may be part of an escape, as in "\bapi_call_queue_v2\b".
  const before = String.raw`(?<=^|[^A-Za-z0-9_]|\\[bnrt])`;
  const made = new RegExp(
    `${before}${oneOf(names.objects)}_v2(?![A-Za-z0-9])|` +
      String.raw`(?<![\w-])` + `${oneOf(dashed)}-v2` + String.raw`(?![\w-])`,
    "g",
  );
  patterns.set(names, made);
  return made;
}

/** Patterns of PostgreSQL that match the same. Each leaves the name as `\1` or `\2`. */
export interface SqlPatterns {
  objects: string;
  jobs: string;
  functions: string;
  /** Objects (`\1`) and jobs (`\2`). */
  texts: string;
  /** All three. */
  all: string;
}

export function sqlPatterns({ objects, jobs, functions }: SuffixedNames): SqlPatterns {
  const underscored = String.raw`\m` + `${oneOf(objects)}_v2(?![[:alnum:]])`;
  const dashed = (names: readonly string[]) =>
    String.raw`(?<![\w-])` + `${oneOf(names)}-v2` + String.raw`(?![\w-])`;
  return {
    objects: underscored,
    jobs: dashed(jobs),
    functions: `${dashed(functions)}()`,
    texts: `${underscored}|${dashed(jobs)}`,
    all: `${underscored}|${dashed([...jobs, ...functions])}`,
  };
}

/** A group that matches one of the names, and nothing when there are none. */
function oneOf(names: readonly string[]): string {
  return names.length === 0 ? "(?!)()" : `(${names.join("|")})`;
}
