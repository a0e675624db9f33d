import { join } from "node:path";
import { RefusedError } from "../command.ts";
import { hashOf, type Manifest } from "../manifest.ts";
import { filesBelow, type Project, readIfThere } from "../project.ts";
import { countMentions, renameText, type SuffixedNames } from "./names.ts";

/** A file under its new name with its new text. */
export interface CodeChange {
  /** Where it is now. */
  from: string;
  /** Where it goes; often the same. */
  to: string;
  text: string;
}

export interface CodeChanges {
  changes: readonly CodeChange[];
  /** The manifest's files and keys under their new names. */
  files: Manifest["files"];
  config: readonly string[];
  /** Files of the user's that name what is renamed, and how often. */
  mentions: readonly { path: string; count: number }[];
}

/**
 * Works out what `finalize` changes in the code: the files that `install` has put there, all that lies in
 * folders of Edge Functions that are renamed, and config.toml. Throws {@linkcode RefusedError} when a
 * folder of a new name is there already.
 */
export async function planCodeChanges(
  project: Project,
  manifest: Manifest,
  names: SuffixedNames,
  tracked: readonly string[],
): Promise<CodeChanges> {
  const rename = (text: string) => renameText(text, names);
  const taken: string[] = [];
  const paths = new Set(Object.keys(manifest.files));
  for (const name of names.functions) {
    const folder = `supabase/functions/${name}`;
    if ((await filesBelow(join(project.folder, folder))).length > 0) taken.push(folder);
    const old = await filesBelow(join(project.folder, `${folder}-v2`));
    for (const path of old) paths.add(`${folder}-v2/${path}`);
  }
  if (taken.length > 0) {
    throw new RefusedError("Cannot finalize: folders that are wanted are taken", {
      detail: taken.join("\n"),
      next: "rename these Edge Functions, then run it again",
    });
  }
  const changes: CodeChange[] = [];
  const files: Manifest["files"] = {};
  for (const path of [...paths].sort()) {
    const before = await readIfThere(join(project.folder, path));
    const hash = manifest.files[path];
    const to = rename(path);
    if (before === undefined) {
      // Removed by its owner, as the manifest remembers.
      if (hash !== undefined) files[to] = hash;
      continue;
    }
    const text = rename(before);
    if (hash !== undefined) files[to] = await hashOf(before) === hash ? await hashOf(text) : hash;
    if (to !== path || text !== before) changes.push({ from: path, to, text });
  }
  const config = "supabase/config.toml";
  const before = await Deno.readTextFile(project.configFile);
  if (rename(before) !== before) changes.push({ from: config, to: config, text: rename(before) });
  const ours = new Set([...paths, config]);
  const mentions = [];
  for (const path of tracked) {
    if (ours.has(path) || /^supabase\/(migrations\/|switchyard)/.test(path)) continue;
    const count = countMentions(await readText(join(project.folder, path)), names);
    if (count > 0) mentions.push({ path, count });
  }
  return { changes, files, config: manifest.config.map(rename), mentions };
}

/** Larger files are no code. */
const LARGEST_BYTES = 2_000_000;

async function readText(path: string): Promise<string> {
  try {
    const { isFile, size } = await Deno.stat(path);
    return isFile && size <= LARGEST_BYTES ? await Deno.readTextFile(path) : "";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}
