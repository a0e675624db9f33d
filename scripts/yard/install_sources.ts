import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readToml } from "./config_toml.ts";
import { filesBelow } from "./project.ts";

/** The checkout of Switchyard that this command line belongs to. */
export const CHECKOUT = fileURLToPath(new URL("../..", import.meta.url));

/** Whether Financial Modeling Prep's data types and endpoints are wanted. */
export type DataTypes = "fmp" | "none";

/** Where the functions' shared code lies in this checkout. */
export const DEFAULT_SHARED_FOLDER = "_shared";

export interface SourceMigration {
  /** Its file name here. */
  name: string;
  text: string;
}

/**
 * What a file is for:
 * - `function`: one of Switchyard's own Edge Functions
 * - `shared`: code that functions share
 * - `endpoint`: an endpoint of the legacy system, on Switchyard's fetchers
 * - `checklist`: for people
 */
export type FileKind = "function" | "shared" | "endpoint" | "checklist";

export interface SourceFile {
  kind: FileKind;
  /** Its path in the repository it is installed into, with `/`. */
  path: string;
  /** The Edge Function that it is part of; undefined for the other kinds. */
  functionName?: string;
  text: string;
}

export interface SourceKey {
  table: readonly string[];
  key: string;
  value: string;
  /** The Edge Function that it is about. */
  functionName?: string;
}

/** What one version of Switchyard consists of. */
export interface Sources {
  version: string;
  migrations: readonly SourceMigration[];
  files: readonly SourceFile[];
  /** Keys of `supabase/config.toml`. */
  keys: readonly SourceKey[];
}

export interface SourceChoice {
  dataTypes: DataTypes;
  /** Folder below `supabase/functions` for the shared code. */
  sharedFolder: string;
}

/** Reads what is to be installed. */
export async function readSources(choice: SourceChoice): Promise<Sources> {
  const supabase = join(CHECKOUT, "supabase");
  const { version } = JSON.parse(await Deno.readTextFile(join(CHECKOUT, "package.json")));
  const files = [
    ...await readFunctions(join(supabase, "functions"), choice),
    ...await readChecklists(join(CHECKOUT, "checklists")),
  ];
  const names = new Set(files.map(({ functionName }) => functionName));
  const config = readToml(await Deno.readTextFile(join(supabase, "config.toml")));
  const keys = config.flatMap(({ path, value }): SourceKey[] => {
    const [first, second, third] = path;
    if (first === "functions" && second !== undefined && third !== undefined) {
      return names.has(second)
        ? [{ table: [first, second], key: third, value, functionName: second }]
        : [];
    }
    return first === "db" && second === "vault" && third !== undefined
      ? [{ table: [first, second], key: third, value }]
      : [];
  });
  return {
    version,
    migrations: await readMigrations(join(supabase, "migrations"), choice.dataTypes),
    files,
    keys,
  };
}

/** Whether a migration is about the tables of the data types of Financial Modeling Prep. */
export function isForFmp(migration: string): boolean {
  return /^\d+_fmp_.*\.sql$/.test(migration);
}

async function readMigrations(folder: string, dataTypes: DataTypes): Promise<SourceMigration[]> {
  const names = (await filesBelow(folder)).filter((name) =>
    name.endsWith(".sql") && (dataTypes === "fmp" || !isForFmp(name))
  );
  return await Promise.all(
    names.map(async (name) => ({ name, text: await Deno.readTextFile(join(folder, name)) })),
  );
}

async function readFunctions(folder: string, choice: SourceChoice): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  for (const path of await filesBelow(folder)) {
    const [functionName = "", ...rest] = path.split("/");
    // Files in the folder itself, and hidden ones (.env), are the checkout's own.
    if (rest.length === 0 || path.split("/").some((part) => part.startsWith("."))) continue;
    const isEndpoint = functionName.startsWith("fetch-");
    if (isEndpoint && choice.dataTypes === "none") continue;
    const text = await Deno.readTextFile(join(folder, path));
    if (functionName === DEFAULT_SHARED_FOLDER) {
      files.push({
        kind: "shared",
        path: `supabase/functions/${choice.sharedFolder}/${rest.join("/")}`,
        text,
      });
    } else {
      files.push({
        kind: isEndpoint ? "endpoint" : "function",
        path: `supabase/functions/${path}`,
        functionName,
        text: importFrom(text, choice.sharedFolder),
      });
    }
  }
  return files;
}

/** Points the imports of shared code to another folder. */
function importFrom(text: string, sharedFolder: string): string {
  return text.replaceAll(/(["'](?:\.\.\/)+)_shared\//g, (_, up: string) => `${up}${sharedFolder}/`);
}

async function readChecklists(folder: string): Promise<SourceFile[]> {
  const names = (await filesBelow(folder)).filter((name) => name.endsWith(".md"));
  return await Promise.all(names.map(async (name): Promise<SourceFile> => ({
    kind: "checklist",
    path: `checklists/${name}`,
    text: await Deno.readTextFile(join(folder, name)),
  })));
}
