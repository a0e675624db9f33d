import { fileURLToPath } from "node:url";
import type { Row } from "./fmp_client.ts";

/** The project's own example answers. */
export const fixtures = fileURLToPath(new URL("../fixtures/fmp", import.meta.url));
/** The vendor's documentation; not in every checkout. */
export const documented = fileURLToPath(new URL("../../../shared/fmp/examples", import.meta.url));
/** The vendor's examples where they are, the project's elsewhere. */
export const examplesDir = folderExists(documented) ? documented : fixtures;

/** The rows of an example file. */
export function readRows(path: string): Row[] {
  return JSON.parse(Deno.readTextFileSync(path));
}

/** Whether a folder is there. */
export function folderExists(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
