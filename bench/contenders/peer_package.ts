/** A peer's module. `find` picks out of it what is used, or throws. */
export async function importPeer<Module>(name: string): Promise<Module> {
  // Not a literal: the peers are installed in this folder only, and checking the project's types
  // must not need them.
  const specifier: string = name;
  try {
    return await import(specifier) as Module;
  } catch (error) {
    if (error instanceof TypeError || isNotFound(error)) {
      throw new PeerMissingError(
        `Cannot load "${name}": ${
          error instanceof Error ? error.message : error
        }; run npm ci --prefix bench`,
      );
    }
    throw error;
  }
}

/** The packages of this folder are not installed. */
export class PeerMissingError extends Error {
  override readonly name = "PeerMissingError";
}

/** The version of an installed peer. */
export async function peerVersion(name: string): Promise<string> {
  const file = new URL(`../node_modules/${name}/package.json`, import.meta.url);
  try {
    return JSON.parse(await Deno.readTextFile(file)).version;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new PeerMissingError(
      `Cannot find "${name}": it is not installed; run npm ci --prefix bench`,
    );
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof Error && "code" in error &&
    error.code === "ERR_MODULE_NOT_FOUND";
}
