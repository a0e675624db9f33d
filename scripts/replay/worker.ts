/**
 * The process that touches recordings. It is one of its own because an answer can be such that
 * reading it takes all memory, which ends a process and cannot be caught.
 */
import postgres from "postgres";
import { contentsOf } from "./contents.ts";
import { lineOf, linesOf, messageOf, type Reply, type Request } from "./protocol.ts";
import { readRecording } from "./recordings.ts";
import { replayUnit } from "./replay_unit.ts";

let sql: postgres.Sql | undefined;
for await (const line of linesOf(Deno.stdin.readable)) {
  const reply = lineOf(await answer(JSON.parse(line)));
  for (let sent = 0; sent < reply.length;) sent += await Deno.stdout.write(reply.subarray(sent));
}
await sql?.end();

async function answer(request: Request): Promise<Reply<unknown>> {
  try {
    if (request.kind === "inspect") {
      return { result: contentsOf(await readRecording(request.path)) };
    }
    sql ??= postgres(request.scratch.databaseUrl, { max: 1, onnotice: () => {} });
    return { result: await replayUnit(request.unit, sql, request.scratch) };
  } catch (error) {
    return { problem: messageOf(error) };
  }
}
