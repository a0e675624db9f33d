import assert from "node:assert/strict";
import { join } from "node:path";
import type { Sql } from "postgres";
import { fingerprint } from "../../local/fingerprint.ts";
import { type RunningStack, withStack } from "../integration/with_stack.ts";
import { commit, fail, makeInstalledProject } from "./installed_project.ts";
import { makeUnwritable, readTree, withFolder, write } from "./projects.ts";
import { yard, yardJson } from "./yard.ts";

/** What a test of `yard finalize` works with. */
export interface Finalizing extends RunningStack {
  /** The repository. */
  folder: string;
  /** What is deployed: the Edge Functions that the stack serves. */
  deployed: string;
  /** Types `finalize` there, which must succeed. */
  finalize(...args: string[]): ReturnType<typeof yardJson>;
}

/** A stack with Switchyard installed from a repository under git. */
export function withInstalled(
  options: Parameters<typeof withStack>[0],
  test: (finalizing: Finalizing) => Promise<void>,
): Promise<void> {
  return withFolder((folder) =>
    withFolder(async (deployed) => {
      await makeInstalledProject(folder);
      await commit(folder);
      await deploy(folder, deployed);
      await knowSettings(deployed);
      await withStack({ cron: false, ...options, projectDir: deployed }, (running) =>
        test({
          ...running,
          folder,
          deployed,
          finalize: (...args) =>
            yardJson([
              "finalize",
              "--workdir",
              folder,
              "--db-url",
              running.stack.databaseUrl,
              ...args,
            ]),
        }));
    })
  );
}

/** Copies the repository over what is deployed; what is deployed besides stays. */
export async function deploy(folder: string, deployed: string): Promise<void> {
  for (const [path, text] of Object.entries(await tree(folder))) {
    await write(join(deployed, path), text);
  }
}

/** The stack reads verify_jwt once, the platform with each deployment. */
async function knowSettings(deployed: string): Promise<void> {
  const config = join(deployed, "supabase", "config.toml");
  const text = await Deno.readTextFile(config);
  await write(config, `${text}\n[functions.queue-processor]\nverify_jwt = false\n`);
}

/** The files of a repository, without those of git itself. */
export async function tree(folder: string): Promise<Record<string, string>> {
  const files = await readTree(folder);
  return Object.fromEntries(Object.entries(files).filter(([path]) => !path.startsWith(".git/")));
}

/**
 * Lets `finalize` break off where it writes a file: neither it nor `uninstall` goes on then, before the way
 * back that it names was gone. Leaves the repository as it was.
 */
export async function breaksOff(folder: string, file: string, args: readonly string[]) {
  const restore = await makeUnwritable(join(folder, file));
  await commit(folder);
  const before = await tree(folder);
  const finalizes = ["finalize", "--workdir", folder, ...args];
  assert.match(
    await fail(yard(finalizes)),
    new RegExp(`^Cannot write "${file}"\n.*; [1-9]\\d* of \\d+ files are done\nNext: .*git -C`),
  );
  const half = await tree(folder);
  let said = "";
  for (const again of [finalizes, ["uninstall", "--workdir", folder]]) {
    said = await fail(yard(again));
    assert.match(said, /^Cannot .*: a run of finalize broke off\n +found \d+_switchyard_/);
  }
  assert.deepEqual(await tree(folder), half);
  const [wayBack] = /git -C .* -- supabase/.exec(said)!;
  const { success } = await new Deno.Command("sh", { args: ["-c", wayBack!] }).output();
  assert.ok(success);
  assert.deepEqual(await tree(folder), before);
  await restore();
  await commit(folder);
}

/** Every data type retired, and the queue on: what `finalize` asks for. */
export async function retireAll(sql: Sql): Promise<void> {
  await sql`
    select switchyard.set_stage(data_type, 'retired', 'test', '{}') from data_type_registry_v2`;
  await sql`
    update feature_flags set enabled = true
     where flag_name in ('use_queue_system', 'use_new_staleness_check')`;
}

/** Whatever of Switchyard still has the suffix: names, definitions, comments, texts in its tables. */
export async function suffixed(sql: Sql): Promise<string[]> {
  const found = (await fingerprint(sql))
    .filter(({ identity, definition }) => /[_-]v2(?![a-z0-9])/.test(identity + definition))
    .map(({ kind, identity }) => `${kind} ${identity}`);
  const comments = await sql<{ description: string }[]>`
    select description from pg_description where description ~ '[_-]v2(?![[:alnum:]])'`;
  found.push(...comments.map(({ description }) => description));
  const columns = await sql<{ table: string; column: string }[]>`
    select c.oid::regclass::text as table, a.attname::text as column
      from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0
     where c.relkind in ('r', 'p') and not c.relispartition
       and (c.relnamespace = 'switchyard'::regnamespace
            or c.oid in ('data_type_registry'::regclass, 'feature_flags'::regclass,
                         'api_providers'::regclass))
       and a.atttypid in ('text'::regtype, 'text[]'::regtype, 'jsonb'::regtype)`;
  for (const { table, column } of columns) {
    // What happened before keeps its words.
    if (/_(events|changes|verdicts|cron_jobs_saved)$|baseline/.test(table)) continue;
    const rows = await sql.unsafe(
      `select from ${table} as t where t.${column}::text ~ '[_-]v2(?![[:alnum:]])'`,
    );
    if (rows.length > 0) found.push(`${rows.length} rows of ${table}.${column}`);
  }
  return found;
}
