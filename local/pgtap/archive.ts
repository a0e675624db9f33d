import { gunzipSync } from "node:zlib";

const BLOCK = 512;

/** The text files of a gzipped tar archive, by path. */
export function readTarGz(archive: Uint8Array): Map<string, string> {
  const bytes = new Uint8Array(gunzipSync(archive));
  const decoder = new TextDecoder();
  const field = (start: number, length: number) =>
    decoder.decode(bytes.subarray(start, start + length)).split("\0", 1)[0] ?? "";
  const files = new Map<string, string>();
  for (let header = 0; header + BLOCK <= bytes.length && bytes[header] !== 0;) {
    const size = parseInt(field(header + 124, 12), 8);
    const prefix = field(header + 345, 155);
    const path = (prefix === "" ? "" : `${prefix}/`) + field(header, 100);
    const start = header + BLOCK;
    const isFile = ["0", ""].includes(field(header + 156, 1));
    if (isFile) files.set(path, decoder.decode(bytes.subarray(start, start + size)));
    header = start + Math.ceil(size / BLOCK) * BLOCK;
  }
  return files;
}
