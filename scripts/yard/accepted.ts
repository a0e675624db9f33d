import { join } from "node:path";
import { UsageError } from "./command.ts";
import { type Project, titleOf, writeWhole } from "./project.ts";
import { textArray } from "./uninstall/sql_values.ts";

/** The list in a migration; each text of it ends its line, and the list its paragraph. */
const LIST = /^( *v_accepted constant text\[\] := )[\s\S]*?;\n\n/m;

/** What `--accept` was given. Throws {@linkcode UsageError} for one that names nothing. */
export function acceptedOf(values: { readonly accept?: readonly string[] }): readonly string[] {
  const { accept = [] } = values;
  if (accept.some((object) => object.trim() === "")) {
    throw new UsageError(
      'Cannot accept "": wanted an object of yours as the refusal names it, such as "function public.my_count()"',
    );
  }
  return accept;
}

/** The newest migration of a title in the folder, if there is one. */
export function newestOf(project: Project, title: string): string | undefined {
  return project.migrations.findLast((name) => titleOf(name) === title);
}

/**
 * Writes the objects of the user's that may go or break into a migration that an earlier run has
 * written, in place of those that it has accepted so far. It keeps its version. Returns its text.
 */
export async function rewriteAccepted(
  project: Project,
  migration: string,
  { accepted, isDryRun }: { accepted: readonly string[]; isDryRun: boolean },
): Promise<string> {
  const path = join(project.migrationsFolder, migration);
  const text = await Deno.readTextFile(path);
  if (!LIST.test(text)) {
    throw new Error(`Cannot accept anything in "${path}": it has no list v_accepted`);
  }
  const written = text.replace(
    LIST,
    (_, beginning: string) => `${beginning}${textArray(accepted)};\n\n`,
  );
  if (!isDryRun) await writeWhole(path, written);
  return written;
}
