import assert from "node:assert/strict";
import { join } from "node:path";
import type postgres from "postgres";
import { compareFingerprints, fingerprint } from "../../local/fingerprint.ts";
import { breaksOff, retireAll, tree, withInstalled } from "./finalizing.ts";
import { commit, fail, makeInstalledProject } from "./installed_project.ts";
import { makeNewProject, withFolder, write } from "./projects.ts";
import { yard } from "./yard.ts";

Deno.test("finalize refuses, and writes nothing, while anything stands in its way", () =>
  withInstalled({ net: false, activeSymbols: 3 }, async ({ stack, sql, folder, finalize }) => {
    const options = ["--workdir", folder, "--db-url", stack.databaseUrl];
    const before = await tree(folder);
    const refused = async (...more: string[]) => {
      const message = await fail(yard(["finalize", ...options, ...more]));
      assert.deepEqual(await tree(folder), before, message);
      return message;
    };
    await sql`select switchyard.set_stage('quote', 'retired', 'test', '{}')`;
    assert.match(
      await refused(),
      /Cannot finalize: 12 data types are not retired\n(.*\n)*.*profile is in legacy/,
    );
    assert.match(
      await refused("--drop-old-names"),
      /Cannot drop the old names: .* was not finalized/,
    );
    await retireAll(sql);
    await sql.unsafe(`
      create table public.api_call_queue (mine integer);
      create function public.extend_leases(p_mine integer) returns integer language sql
        set search_path = '' as $$ select 1 $$;
      select cron.schedule('check-stale-data', '0 0 * * *', 'select 1');
    `).simple();
    const taken =
      /relation api_call_queue\n(.*\n)*.*function extend_leases\(integer\)|cron job check-stale-data/;
    assert.match(await refused(), taken);

    // The migration by itself: pushed where it was not meant for.
    const out = await Deno.makeTempDir();
    try {
      await sql`drop table public.api_call_queue`;
      await sql`drop function public.extend_leases(integer)`;
      await sql`select cron.unschedule('check-stale-data')`;
      const { migrations } = await finalize("--out", out);
      assert.deepEqual(await tree(folder), before);
      const migration = await Deno.readTextFile(join(out, migrations[0]));
      assert.ok(await Deno.stat(join(out, "supabase/functions/queue-processor/index.ts")));
      await sql`select rollback_migration_v2('quote', 'test')`;
      const objects = await fingerprint(sql);
      await assert.rejects(
        sql.unsafe(migration).simple(),
        (error: postgres.PostgresError) =>
          /not every data type is retired/.test(error.message) &&
          error.detail === "quote is in legacy",
      );
      await retireAll(sql);
      await sql`create table public.api_call_queue (mine integer)`;
      await assert.rejects(
        sql.unsafe(migration).simple(),
        (error: postgres.PostgresError) =>
          /names that are wanted are taken/.test(error.message) &&
          error.detail === "table public.api_call_queue",
      );
      await sql`drop table public.api_call_queue`;
      const differences = compareFingerprints(objects, await fingerprint(sql));
      assert.deepEqual(differences.filter(({ object }) => object.kind !== "cron job"), []);
    } finally {
      await Deno.remove(out, { recursive: true });
    }

    await write(join(folder, "supabase/functions/queue-processor/index.ts"), "export {};\n");
    const folderTaken = await fail(yard(["finalize", ...options, "--dry-run"]));
    assert.match(
      folderTaken,
      /folders that are wanted are taken\n *supabase\/functions\/queue-processor/,
    );
    await Deno.remove(join(folder, "supabase/functions/queue-processor"), { recursive: true });
    await write(join(folder, "mine.ts"), 'rpc("check_and_queue_stale_batch_v2");\n');
    assert.match(
      await fail(yard(["finalize", ...options])),
      /it has changes that are not committed\n *\?\? mine\.ts/,
    );
    await commit(folder);
    const { mentions } = await finalize("--dry-run");
    assert.deepEqual(mentions, [{ path: "mine.ts", count: 1 }]);

    for (const file of ["supabase/config.toml", "supabase/switchyard.json"]) {
      await breaksOff(folder, file, ["--db-url", stack.databaseUrl]);
    }

    await sql`select rollback_migration_v2(data_type, 'test') from data_type_registry_v2`;
    await sql`update data_type_registry_v2 set covers = null, depends_on = null`;
    await sql`delete from data_type_registry_v2`;
    assert.match(
      await fail(yard(["finalize", ...options])),
      /Cannot finalize: no data type is registered/,
    );
  }));

Deno.test("a repository without Switchyard, or finalized, is told so", () =>
  withFolder(async (folder) => {
    await makeNewProject(folder);
    assert.match(
      await fail(yard(["finalize", "--workdir", folder])),
      /Cannot finalize: Switchyard is not installed in/,
    );
    await makeInstalledProject(join(folder, "installed"));
    const installed = join(folder, "installed");
    const manifestFile = join(installed, "supabase", "switchyard.json");
    const manifest = JSON.parse(await Deno.readTextFile(manifestFile));
    const finalized = { migrations: [], functions: ["queue-processor"], oldNamesDropped: false };
    await write(manifestFile, JSON.stringify({ ...manifest, finalized }));
    assert.match(await fail(yard(["install", "--workdir", installed])), /it was finalized/);
  }));
