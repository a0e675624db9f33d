/** Writes the list of the processor's fetchers; Edge Functions are bundled, so no folder can be read then. */
import { fileURLToPath } from "node:url";
import { fetcherIndex, FETCHERS } from "./fetchers/index_text.ts";

const USAGE = `Usage: deno run -A scripts/fetchers.ts [--check]

Writes supabase/functions/_shared/fetchers/index.ts from the files beside it that export queueType.

  --check  write nothing; exit 1 when the file is not up to date`;

const [option, ...others] = Deno.args;
if (others.length > 0 || (option !== undefined && option !== "--check")) {
  console.error(USAGE);
  Deno.exit(option === "--help" ? 0 : 2);
}
const file = fileURLToPath(new URL("index.ts", FETCHERS));
const wanted = await fetcherIndex(FETCHERS);
if (wanted === await Deno.readTextFile(file)) Deno.exit(0);
if (option === "--check") {
  console.error(`${file} is not up to date: run deno run -A scripts/fetchers.ts`);
  Deno.exit(1);
}
await Deno.writeTextFile(file, wanted);
console.log(`Wrote ${file}`);
