import assert from "node:assert/strict";
import { join } from "node:path";
import type { Sql } from "postgres";
import type { Stack } from "../../local/stack.ts";
import { makeNewProject, write } from "./projects.ts";
import { type Ran, supabase, yard } from "./yard.ts";

/** A repository with a migration of its own, and Switchyard with the data types of fmp. */
export async function makeInstalledProject(folder: string): Promise<void> {
  await makeNewProject(folder);
  await write(join(folder, "supabase", "migrations", "20240101000000_mine.sql"), "select 1;\n");
  await succeed(yard(["install", "--workdir", folder, "--data-types", "fmp"]));
}

/** Puts everything in a folder under git. */
export async function commit(folder: string): Promise<void> {
  for (const args of [["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "State"]]) {
    const { code, stderr } = await new Deno.Command("git", {
      args: ["-C", folder, "-c", "user.name=test", "-c", "user.email=test@localhost", ...args],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
  }
}

/** Waits for a command, which must succeed. Returns what it printed. */
export async function succeed(ran: Promise<Ran>): Promise<string> {
  const { code, stdout, stderr } = await ran;
  assert.equal(code, 0, `${stdout}${stderr}`);
  return stdout;
}

/** Waits for a command, which must fail. Returns what it printed. */
export async function fail(ran: Promise<Ran>): Promise<string> {
  const { code, stdout, stderr } = await ran;
  assert.equal(code, 1, `${stdout}${stderr}`);
  return `${stdout}${stderr}`;
}

/** Applies the migrations of a repository to a stack, with the stack's own secret key. */
export function pushTo(stack: Stack, folder: string): Promise<Ran> {
  return supabase(
    ["db", "push", `--remote=${stack.databaseUrl}`, "--yes", `--workdir=${folder}`],
    { SWITCHYARD_SECRET_KEY: stack.keys.secretKey },
  );
}

/** The same, which must succeed. */
export function pushed(folder: string, stack: Stack): Promise<string> {
  return succeed(pushTo(stack, folder));
}

/** A cron job without its id. */
export interface Job {
  jobname: string | null;
  schedule: string;
  command: string;
  database: string;
  username: string;
  active: boolean;
}

/** All cron jobs by their ids. */
export async function cronJobs(sql: Sql): Promise<Map<string, Job>> {
  const rows = await sql<(Job & { jobid: string })[]>`
    select jobid::text, jobname::text, schedule, command, database, username, active
      from cron.job order by jobid`;
  return new Map(rows.map(({ jobid, ...job }) => [jobid, job]));
}

/** A digest of the rows of every table of the legacy system. */
export async function legacyRows(
  sql: Sql,
  tables: readonly string[],
): Promise<Record<string, string>> {
  const digests: Record<string, string> = {};
  for (const table of tables) {
    const [row] = await sql<[{ digest: string }]>`
      select count(*) || ' ' || coalesce(md5(string_agg(t::text, '' order by t::text)), '') as digest
        from public.${sql(table)} as t`;
    digests[table] = row.digest;
  }
  return digests;
}

/** Names of the tables in `public`. */
export async function publicTables(sql: Sql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select relname::text as name from pg_class
     where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') order by 1`;
  return rows.map(({ name }) => name);
}
