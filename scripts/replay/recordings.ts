import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";

/** A file of a recorded vendor answer. */
export interface Recording {
  /** Its name in the folder. */
  file: string;
  path: string;
  /** What stands before `__`, or the whole name without `.json`. */
  endpoint: string;
  /** What stands after `__`, URL-decoded and without its status; null without it. */
  label: string | null;
  /** HTTP status that it is served with. */
  status: number;
  /** What is wrong with its status, in a sentence; it is served with 200 then. */
  statusProblem: string | null;
}

/** Largest file that is read, in bytes: no answer of the vendor is nearly as large. */
const MOST_BYTES = 100_000_000;

/** Bytes that are read at once. */
const CHUNK_BYTES = 1_048_576;

/** Ends a label that tells the status: `AAPL-http-402`, or nothing but `http-402`. */
const STATUS_LABEL = /(?:^|[-_.])http-(\d{3})$/i;

/** Largest file with a status, in bytes. */
const MOST_STATUS_BYTES = 1_000;

/**
 * The entries of a folder that are called `*.json`, by name; other entries are none of ours, but for
 * `<name>.status` beside `<name>.json`, which holds the status of its answer.
 */
export async function listRecordings(folder: string): Promise<Recording[]> {
  const entries = (await readdir(folder)).sort();
  const names = entries.filter((name) => /\.json$/i.test(name));
  return await Promise.all(names.map(async (file) => {
    const name = file.slice(0, -".json".length);
    const cut = name.indexOf("__");
    const label = cut === -1 ? null : decoded(name.slice(cut + 2));
    const ofLabel = STATUS_LABEL.exec(label ?? "")?.[1];
    const sidecar = `${name}.status`;
    const told = entries.includes(sidecar)
      ? { by: sidecar, text: await statusText(join(folder, sidecar)) }
      : { by: "the label", text: ofLabel ?? "200" };
    const status = statusOf(told.text);
    return {
      file,
      path: join(folder, file),
      endpoint: cut === -1 ? name : name.slice(0, cut),
      label: ofLabel === undefined ? label : (label ?? "").replace(STATUS_LABEL, ""),
      status: status ?? 200,
      statusProblem: status === undefined
        ? `the status of ${told.by} is ${
          JSON.stringify(told.text)
        }; wanted a number from 200 to 599; served with 200`
        : null,
    };
  }));
}

/** The text of a file with a status, or why it cannot be had: no entry of a folder may end a replay. */
async function statusText(path: string): Promise<string> {
  try {
    const info = await stat(path);
    if (!info.isFile() || info.size > MOST_STATUS_BYTES) return "no small file";
    return new TextDecoder().decode(await readRecording(path)).trim();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Undefined for what is no status of an answer. */
function statusOf(text: string): number | undefined {
  return /^[2-5]\d\d$/.test(text) ? Number(text) : undefined;
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
    // The size is not to be relied on: files of /proc have none, and others grow while they are read.
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    let size = 0;
    for (;;) {
      const chunk = new Uint8Array(CHUNK_BYTES);
      const { bytesRead } = await file.read(chunk);
      if (bytesRead === 0) return new Uint8Array(await new Blob(chunks).arrayBuffer());
      size += bytesRead;
      if (size > MOST_BYTES) {
        throw new Error(`it has more than ${MOST_BYTES} bytes, though its size is ${info.size}`);
      }
      chunks.push(chunk.subarray(0, bytesRead));
    }
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
