import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { processManually, withStack } from "./with_stack.ts";

const CHECKOUT = fileURLToPath(new URL("../..", import.meta.url));

const FETCH_WEATHER = `
export default {
  async fetch(request) {
    const { symbols } = await request.json();
    const known = symbols.filter((symbol) => symbol !== "NOWHERE");
    const answer = await fetch(Deno.env.get("SUPABASE_URL") + "/rest/v1/weather", {
      method: "POST",
      headers: {
        "content-type": "application/json",
        apikey: Deno.env.get("SUPABASE_SERVICE_ROLE_KEY"),
        authorization: "Bearer " + Deno.env.get("SUPABASE_SERVICE_ROLE_KEY"),
      },
      body: JSON.stringify(known.map((symbol) => ({ symbol, degrees: symbol.length }))),
    });
    if (!answer.ok) return new Response(await answer.text(), { status: 500 });
    const details = symbols.map((symbol) => ({
      symbol,
      success: symbol !== "NOWHERE",
      message: symbol === "NOWHERE" ? "no such place" : "written",
    }));
    return Response.json({ message: "done", details, vendorCalls: 1, bytes: 40 }, { status: 207 });
  },
};
`;

Deno.test("a made-up data type takes a table, a registry row and an Edge Function, nothing else", async () => {
  const project = await Deno.makeTempDir({ prefix: "switchyard-added-type-" });
  try {
    await copyProject(project);
    await withStack(
      { cron: false, net: false, activeSymbols: 0, projectDir: project },
      async ({ stack, sql }) => {
        await sql`insert into public.supported_symbols (symbol)
                  values ('OSLO'), ('ROME'), ('NOWHERE') on conflict do nothing`;
        await sql`create table public.weather (
                    symbol text primary key, degrees integer, updated_at timestamptz default now())`;
        await sql`grant all on public.weather to service_role`;
        await sql`notify pgrst, 'reload schema'`;
        await sql`insert into public.data_type_registry_v2
          (data_type, table_name, symbol_column, timestamp_column, conflict_columns,
           default_ttl_minutes, provider, fetcher, edge_function_name, batch_size,
           estimated_data_size_bytes)
          values ('weather', 'weather', 'symbol', 'updated_at', '{symbol}', 60, 'fmp',
                  'edge-function', 'fetch-weather', 10, 100)`;
        await sql`select public.queue_refresh_if_not_exists_v2(symbol, 'weather')
                    from unnest(array['OSLO', 'ROME', 'NOWHERE']) as symbol`;

        const report = await processManually(stack);
        assert.deepEqual(
          [report.jobs.completed, report.jobs.rescheduled, report.vendorCalls],
          [2, 1, 1],
          JSON.stringify(report),
        );
        assert.match(report.errors[0]!.message, /weather for "NOWHERE": no such place/);
        const rows = await sql`select symbol, degrees from public.weather order by symbol`;
        assert.deepEqual(rows.map((row) => ({ ...row })), [
          { symbol: "OSLO", degrees: 4 },
          { symbol: "ROME", degrees: 4 },
        ]);
        const jobs = await sql`
          select symbol, status from public.api_call_queue_v2 where data_type = 'weather' order by 1`;
        assert.deepEqual(jobs.map((job) => ({ ...job })), [
          { symbol: "NOWHERE", status: "pending" },
          { symbol: "OSLO", status: "completed" },
          { symbol: "ROME", status: "completed" },
        ]);
        const [usage] = await sql`
          select calls::int, bytes::int from public.api_data_usage_v2 where data_type = 'weather'`;
        assert.deepEqual({ ...usage }, { calls: 1, bytes: 40 });
      },
    );
  } finally {
    await Deno.remove(project, { recursive: true });
  }
});

/** The checkout's project by links, with one function more. */
async function copyProject(project: string): Promise<void> {
  const own = join(project, "supabase", "functions");
  await Deno.mkdir(own, { recursive: true });
  const supabase = join(CHECKOUT, "supabase");
  await Deno.symlink(join(CHECKOUT, "node_modules"), join(project, "node_modules"));
  for (const file of ["package.json", "deno.json"]) {
    await Deno.copyFile(join(CHECKOUT, file), join(project, file));
  }
  await Deno.symlink(join(supabase, "migrations"), join(project, "supabase", "migrations"));
  for await (const { name } of Deno.readDir(join(supabase, "functions"))) {
    await Deno.symlink(join(supabase, "functions", name), join(own, name));
  }
  await Deno.mkdir(join(own, "fetch-weather"));
  await Deno.writeTextFile(join(own, "fetch-weather", "index.ts"), FETCH_WEATHER);
  const config = await Deno.readTextFile(join(supabase, "config.toml"));
  await Deno.writeTextFile(
    join(project, "supabase", "config.toml"),
    `${config}\n[functions.fetch-weather]\nverify_jwt = false\n`,
  );
}
