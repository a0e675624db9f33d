import { join } from "node:path";
import { z } from "zod";
import { messageOf, RefusedError } from "./command.ts";
import { type Project, readIfThere } from "./project.ts";

/**
 * {@linkcode MANIFEST}: what `install` put into a repository. A hash is that of the text as it
 * was written, so a file that has another one was changed by its owner since.
 */
const Manifest = z.object({
  /** The version of Switchyard that was installed last. */
  version: z.string(),
  /** Whether the data types and endpoints of Financial Modeling Prep were installed. */
  dataTypes: z.enum(["fmp", "none"]),
  /** Folder below `supabase/functions` with the code that the functions share. */
  sharedFolder: z.string(),
  /** In the order in which they are applied: the name here, the name there, the hash. */
  migrations: z.array(z.object({ source: z.string(), file: z.string(), hash: z.string() })),
  /** Hashes of all other files, by their path in the repository, with `/`. */
  files: z.record(z.string(), z.string()),
  /** Keys that were added to `supabase/config.toml`, such as `functions.queue-processor-v2.verify_jwt`. */
  config: z.array(z.string()),
  /** What `finalize` has done; absent before. */
  finalized: z.object({
    /** Its migrations, in the order in which they are applied. */
    migrations: z.array(z.string()),
    /** Edge Functions that lost their suffix, without it. */
    functions: z.array(z.string()),
    /** Whether the migrations that drop the old names are written. */
    oldNamesDropped: z.boolean(),
  }).optional(),
});

export type Manifest = z.infer<typeof Manifest>;

/** Where it lies in the repository. */
export const MANIFEST = "supabase/switchyard.json";

/** What was installed, or undefined where nothing was. */
export async function readManifest(project: Project): Promise<Manifest | undefined> {
  const path = join(project.folder, MANIFEST);
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  try {
    return Manifest.parse(JSON.parse(text));
  } catch (cause) {
    throw new RefusedError(`Cannot read "${path}"`, {
      detail: cause instanceof z.ZodError ? z.prettifyError(cause) : messageOf(cause),
      next: `git checkout ${MANIFEST}`,
      cause,
    });
  }
}

/** The manifest as it is written. */
export function formatManifest(manifest: Manifest): string {
  const files = Object.fromEntries(
    Object.entries(manifest.files).sort(([one], [other]) => one < other ? -1 : 1),
  );
  return `${JSON.stringify({ ...manifest, files }, null, 2)}\n`;
}

/** `sha256:…` of a text. */
export async function hashOf(text: string): Promise<string> {
  // Git may check files out with other line ends than they were written with.
  const bytes = new TextEncoder().encode(text.replaceAll("\r\n", "\n"));
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return `sha256:${new Uint8Array(digest).toHex()}`;
}
