import { arch, cpus, release, totalmem, type } from "node:os";
import type postgres from "postgres";
import { commitMs } from "./server.ts";

/** Settings that decide about the rates, as the server has them. */
const SETTINGS = [
  "shared_buffers",
  "max_wal_size",
  "wal_level",
  "fsync",
  "synchronous_commit",
  "full_page_writes",
  "autovacuum",
  "autovacuum_naptime",
  "max_connections",
] as const;

/** What was measured on: label and value, in reading order. */
export async function describeMachine(
  sql: postgres.Sql,
): Promise<[string, string][]> {
  const processors = cpus();
  const [server] = await sql<
    [{ version: string }]
  >`select version() as version`;
  const settings: string[] = [];
  for (const name of SETTINGS) {
    const [row] = await sql<
      [{ value: string }]
    >`select current_setting(${name}) as value`;
    settings.push(`${name} = ${row.value}`);
  }
  return [
    [
      "CPU",
      `${processors[0]?.model.trim() ?? "unknown"}, ${processors.length} cores (${arch()})`,
    ],
    ["Memory", `${(totalmem() / 1024 ** 3).toFixed(1)} GiB`],
    ["System", `${type()} ${release()}`],
    ["PostgreSQL", server.version],
    ["Settings", settings.join(", ")],
    [
      "Commit of one row",
      `${(await commitMs(sql)).toFixed(2)} ms (median of 200, one connection)`,
    ],
    ["Client", `Deno ${Deno.version.deno}, in one process on the same machine`],
  ];
}
