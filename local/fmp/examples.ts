import { fileURLToPath } from "node:url";
import { z } from "zod";
import type { JsonRow } from "./json.ts";

const rowsSchema: z.ZodType<JsonRow[]> = z.array(z.record(z.string(), z.json()));

/** Recorded answers of the vendor, one file for each endpoint; a missing file has no rows. */
export class Examples {
  /** The folder they came from. */
  readonly folder: string;
  #rows: ReadonlyMap<string, readonly JsonRow[]>;

  constructor(folder: string, rows: ReadonlyMap<string, readonly JsonRow[]>) {
    this.folder = folder;
    this.#rows = rows;
  }

  /** Rows of one example file, named without ".json". */
  rows(file: string): readonly JsonRow[] {
    return this.#rows.get(file) ?? [];
  }

  /** Rows of one example file that belong to a symbol. */
  rowsOf(file: string, symbol: string): readonly JsonRow[] {
    return this.rows(file).filter((row) => row.symbol === symbol);
  }
}

/** The project's own answers of the documented shapes. */
const ownExamples = fileURLToPath(new URL("../../tests/fixtures/fmp", import.meta.url));

/** The examples of a folder, or the project's own where it does not exist or none is named. */
export async function findExamples(folder: string | undefined): Promise<Examples> {
  for (const candidate of [folder, ownExamples]) {
    if (candidate !== undefined && await isFolder(candidate)) return await loadExamples(candidate);
  }
  return new Examples(ownExamples, new Map());
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Reads the example files of a folder. Throws on a file that is not an array of objects. */
export async function loadExamples(folder: string): Promise<Examples> {
  const rows = new Map<string, readonly JsonRow[]>();
  for await (const entry of Deno.readDir(folder)) {
    if (!entry.isFile || !entry.name.endsWith(".json") || entry.name === errorBodiesFile) continue;
    const path = `${folder}/${entry.name}`;
    const parsed = rowsSchema.safeParse(JSON.parse(await Deno.readTextFile(path)));
    if (!parsed.success) {
      throw new Error(`Cannot read the examples in ${path}: ${z.prettifyError(parsed.error)}`);
    }
    rows.set(entry.name.slice(0, -".json".length), parsed.data);
  }
  return new Examples(folder, rows);
}

/** Lies beside the examples, holds bodies and no rows. */
const errorBodiesFile = "error-bodies.json";

/** How an example is laid over the generated rows. */
export interface Overlay {
  /** The example's rows. */
  examples: readonly JsonRow[];
  /** Tells which generated row an example takes the place of. */
  key(row: JsonRow): string;
  /** Keys that keep the generated value because they move with the clock. */
  moving: readonly string[];
  /** The example takes the whole row's place, moving values and further keys included. */
  verbatim: boolean;
}

/**
 * Lays examples over generated rows: an example gives every value but the moving ones, and a
 * generated key that the example lacks stays. An example without a generated row is left out.
 */
export function overlay(generated: readonly JsonRow[], overlay: Overlay): JsonRow[] {
  const byKey = new Map(overlay.examples.map((row) => [overlay.key(row), row]));
  return generated.map((row) => {
    const example = byKey.get(overlay.key(row));
    if (!example) return row;
    if (overlay.verbatim) return example;
    const constant = Object.entries(example).filter(([key]) => !overlay.moving.includes(key));
    return { ...row, ...Object.fromEntries(constant) };
  });
}
