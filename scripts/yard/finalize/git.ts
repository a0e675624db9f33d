import { RefusedError } from "../command.ts";

/** The files that git knows below a folder, by their paths there; undefined where there is no git. */
export async function trackedFiles(folder: string): Promise<string[] | undefined> {
  const listed = await git(folder, ["ls-files", "-z"]);
  return listed?.split("\0").filter((path) => path !== "");
}

/** Throws {@linkcode RefusedError} unless git could take every change in the folder back. */
export async function refuseUncommitted(action: string, folder: string): Promise<void> {
  const status = await git(folder, ["status", "--porcelain", "--", "."]);
  const next = "commit first, or pass --out <folder> to write what changes there";
  if (status === undefined) {
    throw new RefusedError(`Cannot ${action} in "${folder}": it is in no git repository`, {
      detail: "it changes code, and git is the way back",
      next,
    });
  }
  if (status.trim() !== "") {
    throw new RefusedError(
      `Cannot ${action} in "${folder}": it has changes that are not committed`,
      {
        detail: status.trimEnd(),
        next,
      },
    );
  }
}

/** What brings a folder back to its last commit, where nothing but changes of `supabase/` was made since. */
export function wayBack(folder: string): string {
  return `git -C "${folder}" checkout -- . && git -C "${folder}" clean -fd -- supabase`;
}

async function git(folder: string, args: readonly string[]): Promise<string | undefined> {
  try {
    const { success, stdout } = await new Deno.Command("git", {
      args: ["-C", folder, ...args],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).output();
    return success ? new TextDecoder().decode(stdout) : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
