import { type Own, type OwnObject, quoteName } from "../uninstall/own_objects.ts";
import { quoteText, textArray } from "../uninstall/sql_values.ts";
import { fillTemplate } from "../templates.ts";
import { renamedObject, renameText, sqlPatterns, type SuffixedNames } from "./names.ts";

/** The migration that drops the suffixes. The old names go on working for callers. */
export async function finalizeMigration(own: Own, names: SuffixedNames): Promise<string> {
  const { objects, jobs, texts } = sqlPatterns(names);
  return HEADERS.finalize + await fill("finalize", {
    ...lists(own.objects),
    seeded: textArray(own.seededTables.map((table) => renameText(table, names))),
    names: quoteText(objects),
    jobs: quoteText(jobs),
    texts: quoteText(texts),
    action: "finalize",
    again: "push again",
    renamed: "v_names",
  });
}

/** Names of the migrations, behind their versions. */
export const FINALIZE = "switchyard_finalize";
export const SWITCH_FUNCTIONS = "switchyard_switch_functions";
export const DROP_OLD_NAMES = "switchyard_drop_old_names";

/** Where the way back lies in the repository. */
export const UNDO = "supabase/switchyard/undo_finalize.sql";

/** The way back, as long as the old names are there. `versions`: migrations that it takes back. */
export async function undoScript(
  own: Own,
  names: SuffixedNames,
  versions: readonly string[],
): Promise<string> {
  return HEADERS.undo + await fill("undo_finalize", {
    ...lists(own.objects.map((object) => renamedObject(object, names))),
    versions: textArray(versions),
    action: "undo finalize",
    again: "run it again",
    renamed: quoteText(`^(${names.objects.join("|")})$`),
  });
}

/** The migration that makes the database call Edge Functions by their new names. */
export async function switchFunctionsMigration(own: Own, names: SuffixedNames): Promise<string> {
  return HEADERS.switchFunctions + await fill("switch_functions", {
    ...lists(own.objects.map((object) => renamedObject(object, names))),
    seeded: textArray(own.seededTables.map((table) => renameText(table, names))),
    texts: quoteText(sqlPatterns(names).functions),
  });
}

/** The migration that drops the old names. */
export async function dropOldNamesMigration(
  names: SuffixedNames,
  accepted: readonly string[],
): Promise<string> {
  return HEADERS.dropOldNames + await fill("drop_old_names", {
    accepted: textArray(accepted),
    texts: quoteText(sqlPatterns(names).all),
  });
}

const HEADERS = {
  finalize: `\
-- Drops the suffix _v2 from every name of Switchyard, in one transaction. What runs goes on: calls wait for
-- it, and the old names of tables and functions go on working, as views and functions over the new ones.
-- Its way back is supabase/switchyard/undo_finalize.sql.

`,
  undo: `\
-- Takes "yard finalize" back, in one transaction: run it in the SQL editor or with psql, before the old names
-- are dropped. It also takes the migrations of finalize out of the history. Then revert their commit.

`,
  switchFunctions: `\
-- From here on the database calls the Edge Functions by their new names, which must be deployed.

`,
  dropOldNames: `\
-- Drops the old names that finalize has kept. Waits for nothing: it refuses while a processor uses them.

`,
};

function lists(objects: readonly OwnObject[]): Record<string, string> {
  const of = (kinds: readonly string[]) =>
    textArray(
      objects.filter(({ kind }) => kinds.includes(kind))
        .map(({ schema, name, argumentTypes }) =>
          `${quoteName(schema)}.${quoteName(name)}` +
          (argumentTypes === undefined ? "" : `(${argumentTypes.join(", ")})`)
        ),
    );
  return {
    relations: of(["table", "view", "materialized view", "sequence"]),
    routines: of(["function", "procedure"]),
    types: of(["type", "domain"]),
  };
}

function fill(name: string, values: Readonly<Record<string, string>>): Promise<string> {
  return fillTemplate(new URL(`./${name}.sql`, import.meta.url), values);
}
