import { type Own, type OwnKind, type OwnObject, quoteName } from "./own_objects.ts";
import { fillTemplate } from "../templates.ts";
import { quoteText, textArray } from "./sql_values.ts";

const TEMPLATE = new URL("./uninstall.sql", import.meta.url);

export interface UninstallMigrationOptions {
  /** What was installed, under the names that it has now. */
  own: Own;
  /** Names that `finalize` keeps for callers, dropped before all else when they are there. */
  oldNames?: readonly OwnObject[];
  /** Objects of the user's that may be lost, as the refusal writes them. */
  accepted?: readonly string[];
}

/** Writes the migration that takes Switchyard out of a database. */
export async function uninstallMigration(options: UninstallMigrationOptions): Promise<string> {
  const { own, oldNames = [], accepted = [] } = options;
  const objects = [...own.objects, ...oldNames];
  const named = (kinds: readonly string[]) =>
    objects.filter(({ kind }) => kinds.includes(kind)).map(qualified);
  const onTables = (wanted: string) =>
    objects.filter(({ kind }) => kind === wanted)
      .map(({ name, table }) => `${name} on ${table!.schema}.${table!.name}`);
  // With the suffix or without it, as it is named now.
  const inPublic = (wanted: OwnKind, name: string) => {
    const found = objects.find((object) =>
      object.schema === "public" && object.kind === wanted &&
      (object.name === name || object.name === `${name}_v2`)
    );
    if (found !== undefined) return `public.${found.name}`;
    throw new Error(`Cannot write the uninstallation: the migrations make no ${wanted} "${name}"`);
  };
  const values: Record<string, string> = {
    schemas: textArray(objects.filter(({ kind }) => kind === "schema").map(({ name }) => name)),
    relations: textArray(named(["table", "view", "materialized view", "sequence"])),
    routines: textArray(named(["function", "procedure"])),
    types: textArray(named(["type", "domain"])),
    columns: textArray(
      objects.flatMap((object) =>
        (object.columns ?? []).map((column) => `${object.schema}.${object.name}.${column}`)
      ),
    ),
    triggers: textArray(onTables("trigger")),
    policies: textArray(onTables("policy")),
    flags: textArray(own.flags.filter((flag) => /^[a-z][a-z0-9_-]*$/.test(flag))),
    drops: textArray(objects.toReversed().flatMap(dropStatement)),
    accepted: textArray(accepted),
    names: quoteText(mentionPattern(objects)),
    registry: inPublic("table", "data_type_registry"),
    rollback: inPublic("function", "rollback_migration"),
    action: "uninstall Switchyard",
    again: "push again",
  };
  return `${HEADER}\n${await fillTemplate(TEMPLATE, values)}`;
}

const HEADER = `\
-- Takes Switchyard out, in one transaction. Running jobs are not waited for: what they were about to
-- write is not written. First every legacy cron job runs again as it was found, then all that
-- Switchyard's migrations made is dropped. Where something of yours needs any of it, nothing happens.
`;

function qualified({ schema, name, argumentTypes }: OwnObject): string {
  const text = `${quoteName(schema)}.${quoteName(name)}`;
  return argumentTypes === undefined ? text : `${text}(${argumentTypes.join(", ")})`;
}

function dropStatement(object: OwnObject): string[] {
  const { kind, name, table } = object;
  if (kind === "schema") return [`drop schema ${quoteName(name)}`];
  // Goes with its table, which is Switchyard's.
  if (kind === "index") return [];
  if (table !== undefined) {
    return [
      `drop ${kind} if exists ${quoteName(name)} on ${qualified({ ...table, kind: "table" })}`,
    ];
  }
  return [`drop ${kind} if exists ${qualified(object)}`];
}

/** Matches bodies and commands that mention what is dropped. */
function mentionPattern(objects: readonly OwnObject[]): string {
  const names = objects.filter(({ schema, kind }) =>
    schema === "public" && kind !== "trigger" && kind !== "policy" && kind !== "index"
  ).map(({ name }) => name);
  return `\\m(${[...new Set(names)].sort().join("|")})\\M|\\mswitchyard\\.`;
}
