/** Folder of the processor's fetchers. */
export const FETCHERS = new URL(
  "../../supabase/functions/_shared/fetchers/",
  import.meta.url,
);

/** The text of `index.ts` for a folder of fetchers: the files in it that export `queueType`. */
export async function fetcherIndex(folder: URL): Promise<string> {
  const files: string[] = [];
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (!isFile || !name.endsWith(".ts") || name === "index.ts") continue;
    const text = await Deno.readTextFile(new URL(name, folder));
    if (/^export const queueType\b/m.test(text)) files.push(name);
  }
  files.sort();
  const names = files.map(nameOf);
  return `/**
 * The data types that the processor fetches by itself. Written by \`deno run -A scripts/fetchers.ts\`
 * from the files of this folder that export \`queueType\`.
 */
import type { Fetcher } from "./contract.ts";
${
    files.map((file, place) => `import { queueType as ${names[place]} } from "./${file}";`)
      .join("\n")
  }
import type { QueueType } from "./queue_type.ts";

export * from "./contract.ts";

/** By file name. */
export const queueTypes: readonly QueueType[] = [
${names.map((name) => `  ${name},`).join("\n")}
];

/** Fetchers by data type. */
export const fetchers: Record<string, Fetcher> = Object.fromEntries(
  queueTypes.map(({ fetcher }) => [fetcher.dataType, fetcher]),
);
`;
}

/** `shares_float.ts` → `sharesFloat`. */
function nameOf(file: string): string {
  return file.slice(0, -".ts".length).replaceAll(
    /_(\w)/g,
    (_match, letter: string) => letter.toUpperCase(),
  );
}
