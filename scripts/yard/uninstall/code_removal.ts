import { join } from "node:path";
import { removeTomlKey } from "../config_toml.ts";
import { hashOf, type Manifest } from "../manifest.ts";
import { type Project, readIfThere } from "../project.ts";

/** What an uninstallation takes out of a repository besides the database's objects. */
export interface CodeRemoval {
  /** Files that `install` has written and nobody has changed since. */
  remove: readonly string[];
  /** Files that stay, and why. */
  keep: readonly { path: string; reason: string }[];
  /** Keys of config.toml that `install` has added and that go. */
  configKeys: readonly string[];
  /** Text of config.toml without them. */
  config: string;
  /** Those of them that go in any case: each push would write their secrets into Vault again. */
  secretKeys: readonly string[];
  /** Text of config.toml without only those. */
  configWithoutSecrets: string;
  /** Edge Functions whose folders go. */
  functions: readonly string[];
  /** Endpoints that `install` has put there: legacy cron jobs call them. */
  endpoints: readonly string[];
  /** Names in Vault that config.toml has set. */
  secrets: readonly string[];
  /** What is left of the manifest's files, and of its keys. */
  files: Manifest["files"];
  keys: Manifest["config"];
}

/** Works out what can go. Changes nothing. */
export async function planCodeRemoval(
  project: Project,
  manifest: Pick<Manifest, "sharedFolder" | "files" | "config">,
): Promise<CodeRemoval> {
  const functionOf = (path: string) => /^supabase\/functions\/([^_/][^/]*)\//.exec(path)?.[1];
  const functions = new Set<string>();
  const endpoints = new Set<string>();
  for (const path of Object.keys(manifest.files)) {
    const name = functionOf(path);
    if (name !== undefined) (name.startsWith("fetch-") ? endpoints : functions).add(name);
  }
  const shared = `supabase/functions/${manifest.sharedFolder}/`;
  const remove: string[] = [];
  const keep: { path: string; reason: string }[] = [];
  const files: Manifest["files"] = {};
  for (const [path, hash] of Object.entries(manifest.files)) {
    const text = await readIfThere(join(project.folder, path));
    if (text === undefined) continue;
    const reason = endpoints.has(functionOf(path) ?? "")
      ? "legacy cron jobs call it"
      : endpoints.size > 0 && path.startsWith(shared)
      ? "endpoints import it"
      : await hashOf(text) !== hash
      ? "you changed it"
      : undefined;
    if (reason === undefined) {
      remove.push(path);
    } else {
      keep.push({ path, reason });
      files[path] = hash;
    }
  }
  let config = await Deno.readTextFile(project.configFile);
  let configWithoutSecrets = config;
  const configKeys: string[] = [];
  const secretKeys: string[] = [];
  const secrets: string[] = [];
  const keys: string[] = [];
  for (const name of manifest.config) {
    const [table, key] = splitKey(name);
    const [first, second = ""] = table;
    if (first === "functions" && !functions.has(second)) {
      keys.push(name);
      continue;
    }
    const without = removeTomlKey(config, table, key);
    if (without !== config) configKeys.push(name);
    config = without;
    if (first === "db" && second === "vault") {
      secretKeys.push(name);
      secrets.push(key);
      configWithoutSecrets = removeTomlKey(configWithoutSecrets, table, key);
    }
  }
  return {
    remove,
    keep,
    configKeys,
    config,
    secretKeys,
    configWithoutSecrets,
    functions: [...functions].sort(),
    endpoints: [...endpoints].sort(),
    secrets,
    files,
    keys,
  };
}

/** `functions.queue-processor-v2.verify_jwt`: the table and the key. */
export function splitKey(name: string): [string[], string] {
  const parts = name.split(".");
  return [parts.slice(0, -1), parts.at(-1)!];
}
