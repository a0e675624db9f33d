import assert from "node:assert/strict";
import { join } from "node:path";
import type { Sql } from "postgres";
import { CHECKOUT } from "../../local/migrations.ts";
import { withStack } from "../integration/with_stack.ts";

const FOLDER = join(CHECKOUT, "checklists");
const PHASES = ["safety", "install", "queue", "shadow", "canary", "live", "complete"];
const SECTIONS = ["Before deployment", "After deployment", "Rollback", "Success criteria"];

interface Item {
  section: string;
  text: string;
  sql: string | undefined;
}

Deno.test("each phase has a checklist with all four sections, and an item in each", async () => {
  const names = [...Deno.readDirSync(FOLDER)].map(({ name }) => name).sort();
  assert.deepEqual(names, PHASES.map((name, index) => `phase-${index}-${name}.md`));
  for (const [index] of PHASES.entries()) {
    const items = await readChecklist(index);
    for (const section of SECTIONS) {
      assert.ok(items.some((item) => item.section === section), `phase ${index}: ${section}`);
    }
    assert.deepEqual([...new Set(items.map(({ section }) => section))], SECTIONS);
  }
});

Deno.test("checks of checklists hold when a phase went well, and tell what is wrong when not", () =>
  withStack({ cron: false, net: false, activeSymbols: 3 }, async ({ sql }) => {
    await sql`select cron.schedule('failing', '0 0 1 1 *', 'select 1 / 0')`;
    assert.deepEqual(await failing(sql, 0), []);
    await sql`
      insert into cron.job_run_details (jobid, runid, database, username, command, status, return_message, start_time)
      select jobid, 1000000, database, username, command, 'failed', 'division by zero', now()
        from cron.job where jobname = 'failing'`;
    assert.deepEqual(await failing(sql, 0), ["failing: division by zero"]);

    assert.deepEqual(await failing(sql, 1), ["0 data types recorded", "no sample yet"]);
    await sql`select public.record_baseline_v2('before')`;
    await sql`select public.sample_freshness_v2()`;
    assert.deepEqual(await failing(sql, 1), []);
    await sql`update api_providers_v2 set calls_per_minute = null where provider = 'fmp'`;
    await setLegacyJob(sql, false);
    const wrong = (await failing(sql, 1)).join("; ");
    assert.match(wrong, /profile: legacy, nobody/);
    assert.match(wrong, /has no calls_per_minute/);
    await sql`update api_providers_v2 set calls_per_minute = 300 where provider = 'fmp'`;
    await setLegacyJob(sql, true);
    // A data type without a legacy job, as discover may propose.
    await sql`create table stars (symbol text primary key, refreshed_at timestamptz)`;
    await sql`
      insert into data_type_registry_v2 (data_type, table_name, symbol_column, timestamp_column,
        conflict_columns, default_ttl_minutes, provider, fetcher, edge_function_name,
        estimated_data_size_bytes)
      values ('stars', 'stars', 'symbol', 'refreshed_at', '{symbol}', 60, 'fmp', 'edge-function',
        'fetch-stars', 1)`;
    assert.deepEqual(await failing(sql, 1), []);

    assert.match((await failing(sql, 2)).join("; "), /use_queue_system off[^]*compact-queue/);
    await sql`
      update feature_flags set enabled = true
       where flag_name in ('use_queue_system', 'use_new_staleness_check')`;
    assert.deepEqual(await failing(sql, 2), []);
    assert.deepEqual(await failing(sql, 1), ["use_new_staleness_check, use_queue_system"]);

    assert.deepEqual(await failing(sql, 3), []);
    await entered(sql, "stars", "shadow");
    assert.ok(!(await failing(sql, 3)).some((detail) => detail.includes("none yet")));
    await entered(sql, "stars", "legacy");
    await entered(sql, "profile", "shadow");
    const untried = await failing(sql, 3);
    assert.equal(untried[0], "profile: none yet");
    assert.match(untried[1]!, /profile: sample is 0 comparisons, wanted/);

    assert.deepEqual(await failing(sql, 4), []);
    await entered(sql, "profile", "canary");
    await setLegacyJob(sql, false);
    const unjudged = await failing(sql, 4);
    assert.equal(unjudged[0], "profile: 0 of 1");
    assert.match(unjudged[1]!, /profile: sample is 0 completed jobs/);
    assert.deepEqual(await failing(sql, 5), []);
    await sql`
      select cron.schedule('busy', '0 5 * * *',
        'vacuum; select net.http_post(''https://x.supabase.co/functions/v1/fetch-fmp-profiles'')')`;
    assert.match((await failing(sql, 5)).join("; "), /profile: .*does other work too: VACUUM/);
    await sql`select cron.unschedule('busy')`;

    await setLegacyJob(sql, true);
    await entered(sql, "profile", "live");
    assert.deepEqual(await failing(sql, 5), []);
    await sql`
      update switchyard.freshness_samples set very_stale_rows = 2, rows = 3 where data_type = 'profile'`;
    assert.deepEqual(await failing(sql, 5), ["profile: 2 of 3"]);

    assert.match((await failing(sql, 6))[0]!, /available-exchanges legacy/);
    const types = await sql<{ data_type: string }[]>`select data_type from data_type_registry_v2`;
    for (const { data_type } of types) await entered(sql, data_type, "retired");
    assert.deepEqual(await failing(sql, 6), []);
    await sql`update feature_flags set enabled = false where flag_name = 'use_queue_system'`;
    assert.match((await failing(sql, 6)).join("; "), /quote by legacy jobs/);
  }));

async function setLegacyJob(sql: Sql, isActive: boolean): Promise<void> {
  await sql`
    select cron.alter_job(jobid, active := ${isActive}) from cron.job
     where jobname = 'hourly-fetch-fmp-profiles'`;
}

/** The details of the checks of a phase that do not hold. */
async function failing(sql: Sql, phase: number): Promise<string[]> {
  const details: string[] = [];
  for (const { text, sql: check } of await readChecklist(phase)) {
    if (check === undefined) continue;
    const rows = await sql.begin("read only", (tx) => tx.unsafe(check)) as unknown as {
      ok: boolean;
      detail: string;
    }[];
    assert.equal(rows.length, 1, `one row: ${text}`);
    const [row] = rows;
    assert.deepEqual(Object.keys(row!), ["ok", "detail"], text);
    assert.equal(typeof row!.ok, "boolean", text);
    assert.equal(typeof row!.detail, "string", text);
    if (!row!.ok) details.push(row!.detail);
  }
  return details;
}

/** Puts a data type into a stage, two days ago. */
async function entered(sql: Sql, dataType: string, stage: string): Promise<void> {
  await sql`select switchyard.set_stage(${dataType}, ${stage}, 'test', '{}')`;
  await sql.begin(async (transaction) => {
    await transaction`select set_config('switchyard.moves_stage', ${dataType}, true)`;
    await transaction`
      update data_type_registry_v2 set stage_entered_at = now() - interval '2 days'
       where data_type = ${dataType}`;
    await transaction`
      update switchyard.migration_events set occurred_at = occurred_at - interval '2 days'`;
  });
}

/** The items of a checklist: task-list lines, each with the SQL block that may follow it. */
async function readChecklist(phase: number): Promise<Item[]> {
  const text = await Deno.readTextFile(join(FOLDER, `phase-${phase}-${PHASES[phase]}.md`));
  const items: Item[] = [];
  let section = "";
  let block: string[] | undefined;
  for (const line of text.split("\n")) {
    if (block !== undefined) {
      if (/^\s*```$/.test(line)) block = undefined;
      else {
        block.push(line);
        const item = items.at(-1)!;
        item.sql = block.join("\n");
      }
    } else if (/^ {2}```sql$/.test(line)) block = [];
    else if (line.startsWith("## ")) section = line.slice(3);
    else if (line.startsWith("- [ ] ")) {
      items.push({ section, text: line.slice(6), sql: undefined });
    }
  }
  return items;
}
