import { join } from "node:path";
import { messageOf, RefusedError } from "./command.ts";
import { writeWhole } from "./project.ts";

/** A file to write, or (without a text) to remove. */
export interface FileChange {
  /** Below the folder, with `/`. */
  path: string;
  text: string | undefined;
}

/**
 * Writes and removes files below a folder, in the order given; folders that are empty then go too. Throws
 * {@linkcode RefusedError} when it breaks off, which says how far it came, and what is next.
 */
export async function applyChanges(
  folder: string,
  changes: readonly FileChange[],
  { next }: { next: string },
): Promise<void> {
  for (const [index, { path, text }] of changes.entries()) {
    try {
      if (text === undefined) await removeFile(folder, path);
      else await writeWhole(join(folder, path), text);
    } catch (cause) {
      throw new RefusedError(`Cannot ${text === undefined ? "remove" : "write"} "${path}"`, {
        detail: `${messageOf(cause)}; ${index} of ${changes.length} files are done`,
        next,
        cause,
      });
    }
  }
}

/** Removes a file, and its folders from the innermost out, as far as they are empty then. */
async function removeFile(folder: string, path: string): Promise<void> {
  await Deno.remove(join(folder, path));
  const parts = path.split("/");
  for (let depth = parts.length - 1; depth > 0; depth--) {
    const parent = join(folder, ...parts.slice(0, depth));
    for await (const _ of Deno.readDir(parent)) return;
    await Deno.remove(parent);
  }
}
