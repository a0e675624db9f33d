import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";

/** A file of a recorded vendor answer. */
export interface Recording {
  /** Its name in the folder. */
  file: string;
  path: string;
  /** What stands before `__`, or the whole name without `.json`. */
  endpoint: string;
  /** What stands after `__`, URL-decoded; null without it. */
  label: string | null;
}

/** Largest file that is read, in bytes: no answer of the vendor is nearly as large. */
const MOST_BYTES = 100_000_000;

/** The entries of a folder that are called `*.json`, by name; other entries are none of ours. */
export async function listRecordings(folder: string): Promise<Recording[]> {
  const names = (await readdir(folder)).filter((name) => /\.json$/i.test(name)).sort();
  return names.map((file) => {
    const name = file.slice(0, -".json".length);
    const cut = name.indexOf("__");
    return {
      file,
      path: join(folder, file),
      endpoint: cut === -1 ? name : name.slice(0, cut),
      label: cut === -1 ? null : decoded(name.slice(cut + 2)),
    };
  });
}

/**
 * The bytes of a recording. Throws an Error that says why it cannot be had: it is no file (reading
 * a pipe or a device might never end), too large, or the system refuses it.
 */
export async function readRecording(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const info = await stat(path);
  if (!info.isFile()) {
    throw new Error(
      `it is ${info.isDirectory() ? "a folder" : "a pipe, socket or device"}; wanted a file`,
    );
  }
  if (info.size > MOST_BYTES) {
    throw new Error(`it has ${info.size} bytes; wanted at most ${MOST_BYTES}`);
  }
  const file = await open(path);
  try {
    return new Uint8Array(await file.readFile());
  } finally {
    await file.close();
  }
}

function decoded(label: string): string {
  try {
    return decodeURIComponent(label);
  } catch (error) {
    if (error instanceof URIError) return label;
    throw error;
  }
}
