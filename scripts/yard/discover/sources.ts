import { dirname, join, resolve } from "node:path";
import { readIfThere } from "../project.ts";
import type { Catalog } from "./catalog.ts";
import { readCalls, type SqlFunction, withoutComments } from "./jobs.ts";

/** What the code of an Edge Function says about where it writes. */
export interface Writes {
  table: string;
  /** The columns of `onConflict`, where they are named beside the write. */
  conflictColumns: string[] | undefined;
  /** The file, below `supabase/functions`, or the SQL function that it calls. */
  where: string;
}

export interface FunctionCode {
  writes: Writes[];
  /** Hosts that it calls. */
  hosts: string[];
}

/** Reads the code of every Edge Function that a cron job calls, where it lies in the folder. */
export async function readCode(
  functionsFolder: string,
  { jobs, sqlFunctions }: Catalog,
): Promise<Map<string, FunctionCode>> {
  const code = new Map<string, FunctionCode>();
  for (const { command } of jobs) {
    for (const name of readCalls(command, sqlFunctions).functions) {
      if (code.has(name)) continue;
      const found = await readFunctionCode(functionsFolder, name, sqlFunctions);
      if (found !== undefined) code.set(name, found);
    }
  }
  return code;
}

/** Reads the code of an Edge Function: its files, and what they import by relative path. */
async function readFunctionCode(
  functionsFolder: string,
  name: string,
  sqlFunctions: readonly SqlFunction[],
): Promise<FunctionCode | undefined> {
  const entry = join(functionsFolder, name, "index.ts");
  if (await readIfThere(entry) === undefined) return undefined;
  const writes: Writes[] = [];
  const hosts = new Set<string>();
  const seen = new Set<string>();
  const waiting = [entry];
  while (waiting.length > 0) {
    const file = waiting.pop()!;
    if (seen.has(file)) continue;
    seen.add(file);
    const text = await readIfThere(file);
    if (text === undefined) continue;
    const where = file.slice(resolve(functionsFolder).length + 1);
    writes.push(...writesIn(text, where, sqlFunctions));
    for (const [, host] of text.matchAll(/https?:\/\/([a-z0-9-]+(?:\.[a-z0-9-]+)+)/gi)) {
      if (!PLATFORM_HOST.test(host!)) hosts.add(host!.toLowerCase());
    }
    for (const [, path] of text.matchAll(/\bfrom\s*["'](\.\.?\/[^"']+)["']/g)) {
      waiting.push(resolve(dirname(file), path!));
    }
  }
  return { writes, hosts: [...hosts] };
}

/** Where modules come from, and examples: no vendors. */
const PLATFORM_HOST =
  /(^|\.)(supabase\.(co|com|in|net)|esm\.sh|deno\.(land|dev|com)|jsr\.io|npmjs\.com|unpkg\.com|skypack\.dev|example\.(com|org)|localhost|github\.com|w3\.org)$/i;

const CLIENT_WRITE =
  /\.from\(\s*["'`](\w+)["'`]\s*\)\s*\.\s*(?:upsert|insert|update)\s*\(((?:(?!\.from\()[\s\S]){0,400})/g;
const SQL_WRITE = /\binsert\s+into\s+(?:"?public"?\s*\.\s*)?"?(\w+)"?/gi;
const RPC = /\.rpc\(\s*["'`](\w+)["'`]/g;

function writesIn(text: string, where: string, sqlFunctions: readonly SqlFunction[]): Writes[] {
  const writes: Writes[] = [];
  for (const [, table, rest] of text.matchAll(CLIENT_WRITE)) {
    const columns = /onConflict\s*:\s*["'`]([\w\s,]+)["'`]/.exec(rest ?? "")?.[1];
    writes.push({
      table: table!,
      conflictColumns: columns?.split(",").map((column) => column.trim()),
      where,
    });
  }
  for (const [, table] of text.matchAll(SQL_WRITE)) {
    writes.push({ table: table!, conflictColumns: undefined, where });
  }
  for (const [, name] of text.matchAll(RPC)) {
    for (const called of sqlFunctions.filter((known) => known.name === name)) {
      for (const [, table] of withoutComments(called.source).matchAll(SQL_WRITE)) {
        writes.push({ table: table!, conflictColumns: undefined, where: `${where}, rpc ${name}` });
      }
    }
  }
  return writes;
}
