import assert from "node:assert/strict";
import { join } from "node:path";
import postgres from "postgres";
import { compareFingerprints, fingerprint } from "../../local/fingerprint.ts";
import type { DefaultPrivileges } from "../../local/stack.ts";
import {
  callFunction,
  processManually,
  type RunningStack,
  withStack,
} from "../integration/with_stack.ts";
import {
  cronJobs,
  fail,
  legacyRows,
  makeInstalledProject,
  publicTables,
  pushed,
  pushTo,
  succeed,
} from "./installed_project.ts";
import { makeNewProject, makeUnwritable, readTree, withFolder, write } from "./projects.ts";
import { supabase, yard, yardJson } from "./yard.ts";

for (const defaultPrivileges of ["legacy", "none"] as const) {
  Deno.test(
    `after install, use and uninstall the project is as it was (default privileges: ${defaultPrivileges})`,
    () =>
      withFolder((folder) =>
        withLegacy(defaultPrivileges, (before) =>
          withLegacy(defaultPrivileges, async (running) => {
            await makeOwnThings(before, folder);
            await makeOwnThings(running, folder);
            await leavesNoTrace({
              folder,
              before,
              running,
              checksDiff: defaultPrivileges === "legacy",
            });
          }))
      ),
  );
}

function withLegacy(
  defaultPrivileges: DefaultPrivileges,
  work: (running: RunningStack) => Promise<void>,
): Promise<void> {
  return withStack(
    { migrate: false, cron: false, net: false, defaultPrivileges, activeSymbols: 3 },
    work,
  );
}

/** What a project has besides the legacy system: a history of migrations, jobs of its own. */
async function makeOwnThings({ stack, sql }: RunningStack, folder: string): Promise<void> {
  await sql`select cron.schedule('mine', '0 0 * * *', 'select 1')`;
  await sql`
    select cron.alter_job(job_id := jobid, active := false) from cron.job
     where jobname = 'daily-fetch-fmp-exchange-variants'`;
  const own = join(folder, "own");
  await makeNewProject(own);
  await write(join(own, "supabase", "migrations", "20240101000000_mine.sql"), "select 1;\n");
  await pushed(own, stack);
  await Deno.remove(own, { recursive: true });
}

async function leavesNoTrace({ folder, before, running, checksDiff }: {
  folder: string;
  before: RunningStack;
  running: RunningStack;
  /** Whether to prove that `db diff` would see anything. */
  checksDiff: boolean;
}): Promise<void> {
  const { stack, sql } = running;
  const objects = await fingerprint(sql);
  const jobs = await cronJobs(sql);
  const tables = await publicTables(sql);
  await makeInstalledProject(folder);
  await pushed(folder, stack);
  const [from, to] = [before.stack.databaseUrl, stack.databaseUrl];
  if (checksDiff) {
    assert.match(await schemaDifference(from, to), /switchyard/, "the CLI sees what is installed");
  }
  await use(running);
  const rows = await legacyRows(sql, tables);
  const paused = [...(await cronJobs(sql)).values()].filter(({ jobname, active }) =>
    jobname?.includes("fetch-") && !active
  );
  assert.ok(paused.length >= 2, "legacy jobs rest while the queue serves their types");

  await yardJson(["uninstall", "--workdir", folder]);
  await pushed(folder, stack);

  assert.deepEqual(await legacyRows(sql, tables), rows, "no row of the legacy tables was touched");
  const isJob = ({ object }: { object: { kind: string } }) => object.kind === "cron job";
  const differences = compareFingerprints(objects, await fingerprint(sql));
  assert.deepEqual(differences.filter((difference) => !isJob(difference)), []);
  const jobsAfter = await cronJobs(sql);
  assert.deepEqual(byName(jobsAfter.values()), byName(jobs.values()));
  const moved = [...jobs].filter(([id, job]) => jobsAfter.get(id)?.jobname !== job.jobname);
  assert.deepEqual(
    moved.map(([, { jobname }]) => jobname),
    ["hourly-fetch-fmp-profiles"],
    "only the job of the retired type has another id",
  );
  const runs = await sql`select jobid from cron.job_run_details where command ~ '_v2'`;
  assert.equal(runs.length, 0, "no trace in the history of cron");
  assert.equal(await schemaDifference(from, to), "");
  const [secrets] = await sql`
    select count(*)::int as count from vault.secrets where name = 'switchyard_secret_key'`;
  assert.equal(secrets!.count, 1, "left to the operator, as the command says");
}

function byName(jobs: Iterable<{ jobname: string | null; command: string }>) {
  return [...jobs].sort((one, other) =>
    `${one.jobname} ${one.command}` < `${other.jobname} ${other.command}` ? -1 : 1
  );
}

/** Jobs are processed, flags are on, one data type is in each stage. */
async function use({ stack, sql }: RunningStack): Promise<void> {
  await sql`
    select queue_refresh_if_not_exists_v2(symbol, data_type)
      from supported_symbols cross join unnest(array['quote', 'profile']) as data_type
     where is_active`;
  const { jobs } = await processManually(stack);
  assert.equal(jobs["completed"], 6);
  await sql`
    select switchyard.set_stage(data_type, stage, 'test', '{}')
      from (values ('quote', 'live'), ('exchange-rates', 'live'), ('profile', 'retired'),
                   ('exchange-variants', 'live'), ('ratios-ttm', 'canary'),
                   ('dividend-history', 'shadow')) as moves (data_type, stage)`;
  await sql`
    update feature_flags set enabled = true
     where flag_name in ('use_queue_system', 'use_new_staleness_check')`;
  await sql`select record_baseline_v2('test')`;
  await sql`
    insert into api_call_queue_v2 (symbol, data_type)
    select symbol, 'quote' from supported_symbols where is_active`;
}

async function schemaDifference(from: string, to: string): Promise<string> {
  const output = await succeed(supabase(["db", "diff", `--from=${from}`, `--to=${to}`]));
  return output.split("\n").filter((line) => !/^(│|▲|\s*$)/.test(line)).join("\n");
}

Deno.test("an uninstallation that would take something of yours changes nothing and names it", () =>
  withFolder((folder) =>
    withLegacy("legacy", async ({ stack, sql }) => {
      await makeInstalledProject(folder);
      await pushed(folder, stack);
      await sql`select switchyard.set_stage('profile', 'retired', 'test', '{}')`;
      await sql`
        update feature_flags set enabled = true
         where flag_name in ('use_queue_system', 'use_new_staleness_check')`;
      await sql.unsafe(`
        create view public.my_flags as select flag_name from public.feature_flags;
        create table public.my_types (data_type text references public.data_type_registry_v2);
        create table public.my_rows (is_on boolean default public.is_feature_enabled('mine'));
        alter table public.my_rows enable row level security;
        create policy my_policy on public.my_rows using (public.is_feature_enabled('mine'));
        create function public.my_check() returns integer language plpgsql set search_path = '' as
          $$ begin return (select count(*) from public.api_call_queue_v2); end $$;
        create function public.my_row(p_flag public.feature_flags) returns text language sql
          set search_path = '' as $$ select 'x' $$;
        alter table public.feature_flags add column my_note text;
        create function public.my_trigger() returns trigger language plpgsql set search_path = '' as
          $$ begin return new; end $$;
        create trigger my_trigger before insert on public.feature_flags
          for each row execute function public.my_trigger();
        insert into public.feature_flags (flag_name) values ('my-flag');
        create view switchyard.my_view as select 1 as one;
        create materialized view public.my_numbers as select count(*) from switchyard.settings;
        select cron.schedule('my-job', '0 0 * * *', 'select public.compact_queue_v2()');
        create table public.my_queue (flag_name text, enabled boolean);
        create function public.is_feature_enabled(p_number integer) returns boolean language sql
          set search_path = '' as $$ select true $$;
      `).simple();
      const objects = await fingerprint(sql);
      await yardJson(["uninstall", "--workdir", folder]);
      const message = await fail(pushTo(stack, folder));
      assert.match(
        message,
        /Cannot uninstall Switchyard: 12 objects of yours would be lost or broken/,
      );
      for (
        const name of [
          "rule _RETURN on view my_flags",
          "constraint my_types_data_type_fkey on table my_types",
          "default value for column is_on of table my_rows",
          "policy my_policy on table my_rows",
          "function my_check()",
          "function my_row(feature_flags)",
          "column my_note of table feature_flags",
          "trigger my_trigger on table feature_flags",
          "feature flag my-flag",
          "view switchyard.my_view",
          "rule _RETURN on materialized view my_numbers",
          "cron job my-job",
        ]
      ) assert.ok(message.includes(name), `${name} in ${message}`);
      assert.deepEqual(compareFingerprints(objects, await fingerprint(sql)), []);

      await sql.unsafe(`
        drop view public.my_flags, switchyard.my_view;
        drop materialized view public.my_numbers;
        drop table public.my_types, public.my_rows;
        drop function public.my_row(public.feature_flags);
      `).simple();
      const migrations = join(folder, "supabase", "migrations");
      const written = await filesOf(migrations);
      const refused = await fail(yard(["uninstall", "--workdir", folder]));
      assert.match(refused, /switchyard_uninstall\.sql takes it out already/);
      assert.match(refused, /with --accept/);
      const nothing = await yard(["uninstall", "--workdir", folder, "--accept", ""]);
      assert.equal(nothing.code, 2);
      assert.match(nothing.stderr, /Cannot accept "": wanted an object of yours/);
      const accepted = [
        "function my_check()",
        "column my_note of table feature_flags",
        "trigger my_trigger on table feature_flags",
        "feature flag my-flag",
        "cron job my-job",
      ].flatMap((name) => ["--accept", name]);
      await yardJson(["uninstall", "--workdir", folder, ...accepted]);
      assert.deepEqual(await filesOf(migrations), written, "the same migration is written anew");
      await pushed(folder, stack);
      const late = await fail(
        yard(["uninstall", "--workdir", folder, "--db-url", stack.databaseUrl, ...accepted]),
      );
      assert.match(late, /Cannot change .*_switchyard_uninstall\.sql[^]*it is applied/);
      assert.deepEqual(
        (await sql`select to_regprocedure(name)::text as name
                     from unnest(array['public.my_check()', 'public.my_trigger()',
                                       'public.is_feature_enabled(integer)']) as mine (name)`)
          .map(({ name }) => name),
        ["my_check()", "my_trigger()", "is_feature_enabled(integer)"],
        "what is yours is there, of the same name too",
      );
      const [installed] = await sql`select to_regnamespace('switchyard') as schema`;
      assert.equal(installed!.schema, null);
    })
  ));

async function filesOf(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(folder)) names.push(name);
  return names.sort();
}

Deno.test("an uninstallation that waits for a reader keeps no rollback waiting, and names the reader", () =>
  withFolder((folder) =>
    withLegacy("legacy", async ({ stack, sql }) => {
      await makeInstalledProject(folder);
      await pushed(folder, stack);
      await sql`
        update feature_flags set enabled = true
         where flag_name in ('use_queue_system', 'use_new_staleness_check')`;
      const reader = postgres(stack.databaseUrl, {
        max: 1,
        connection: { application_name: "forgotten" },
      });
      const uninstaller = postgres(stack.databaseUrl, { max: 1, onnotice: () => {} });
      try {
        await reader`begin`;
        await reader`select from feature_flags`;
        await yardJson(["uninstall", "--workdir", folder]);
        const names = await filesOf(join(folder, "supabase", "migrations"));
        const migration = await Deno.readTextFile(
          join(folder, "supabase", "migrations", names.at(-1)!),
        );
        const uninstalling = uninstaller.unsafe(migration.replace("'1 minute'", "'20 seconds'"))
          .simple().execute();
        const refused = assert.rejects(uninstalling, {
          message: "Cannot uninstall Switchyard: its tables are in use",
          detail: /^session \d+ \(postgres, forgotten\): idle in transaction for \d+ s$/m,
          hint: /^Let these sessions end, .* and push again$/,
        });
        let moves = 0;
        let isRefused = false;
        void refused.finally(() => isRefused = true).catch(() => {});
        while (!isRefused) {
          await sql`select switchyard.set_stage('profile', 'live', 'test')`;
          await sql`select * from rollback_migration_v2('profile', 'test')`;
          moves += 1;
        }
        await refused;
        assert.ok(moves >= 3, `${moves} moves went on beside it`);
      } finally {
        await reader.end();
        await uninstaller.end();
      }
    })
  ));

Deno.test("a legacy job that cannot come back is named with the reason and a statement that runs", () =>
  withFolder((folder) =>
    withLegacy("legacy", async ({ stack, sql }) => {
      await makeInstalledProject(folder);
      await pushed(folder, stack);
      await sql`
        update feature_flags set enabled = true
         where flag_name in ('use_queue_system', 'use_new_staleness_check')`;
      await sql`select switchyard.set_stage('profile', 'retired', 'test', '{}')`;
      await sql`
        update switchyard.saved_cron_jobs set schedule = 'at noon' where 'profile' = any (data_types)`;
      const { migration } = await yardJson(["uninstall", "--workdir", folder]);
      const text = await Deno.readTextFile(join(folder, migration));
      let statement: string | undefined;
      await assert.rejects(sql.unsafe(text).simple(), ({ message, detail, hint }) => {
        assert.match(message, /Cannot uninstall Switchyard: legacy jobs could not be brought back/);
        assert.match(detail, /^hourly-fetch-fmp-profiles \([^]*\): invalid schedule: at noon$/);
        statement = /comes back by itself with (select .*)$/.exec(hint)?.[1];
        return true;
      });
      await sql`
        update switchyard.saved_cron_jobs set schedule = '0 * * * *' where schedule = 'at noon'`;
      const [row] = await sql.unsafe(statement!);
      assert.deepEqual([row!.data_type, row!.from_stage], ["profile", "retired"]);
      await pushed(folder, stack);
    })
  ));

Deno.test("uninstalled, endpoints serve legacy jobs as before, and Switchyard can be installed again", () =>
  withFolder((folder) =>
    withLegacy("legacy", async ({ stack, sql }) => {
      await makeInstalledProject(folder);
      await pushed(folder, stack);
      await yardJson(["uninstall", "--workdir", folder]);
      await pushed(folder, stack);
      await stack.gateway.reload();
      const response = await callFunction(stack, "fetch-fmp-quote-indicators", {}, {
        authorization: `Bearer ${stack.keys.anonKey}`,
      });
      assert.equal(response.status, 200, await response.text());
      assert.equal((await sql`select from live_quote_indicators`).length, 3);

      const again = await yardJson(["install", "--workdir", folder, "--data-types", "fmp"]);
      assert.ok(again.added.filter((path: string) => path.endsWith(".sql")).length > 20);
      await pushed(folder, stack);
      const [types] = await sql`select count(*)::int as count from data_type_registry_v2`;
      assert.equal(types!.count, 13);
      await yardJson(["uninstall", "--workdir", folder]);
      await pushed(folder, stack);
      const [installed] = await sql`select to_regnamespace('switchyard') as schema`;
      assert.equal(installed!.schema, null);
    })
  ));

Deno.test("--functions leaves the repository as it was, but for migrations and what you changed", () =>
  withFolder(async (folder) => {
    await makeNewProject(folder);
    const before = await readTree(folder);
    await yardJson(["install", "--workdir", folder, "--data-types", "none"]);
    const installed = Object.keys(await readTree(folder));
    const printed = await succeed(yard(["uninstall", "--workdir", folder, "--dry-run"]));
    assert.match(printed, /^do \$uninstall\$/m);
    assert.deepEqual(Object.keys(await readTree(folder)), installed, "a dry run writes nothing");

    const changed = "supabase/functions/_shared/http.ts";
    await write(join(folder, changed), "export const mine = true;\n");
    const answer = await yardJson(["uninstall", "--workdir", folder, "--functions"]);
    assert.deepEqual(answer.files.kept, [{ path: changed, reason: "you changed it" }]);
    assert.deepEqual(answer.afterwards, [
      "delete from vault.secrets where name = 'switchyard_secret_key';",
      "supabase functions delete queue-processor-v2",
    ]);
    const after = await readTree(folder);
    for (const path of Object.keys(after)) {
      const isOurs = path.startsWith("supabase/migrations/") || path === changed ||
        path === "supabase/switchyard.json";
      if (isOurs) delete after[path];
    }
    assert.deepEqual(after, before);
  }));

Deno.test("endpoints that install has added stay, for legacy jobs call them", () =>
  withFolder(async (folder) => {
    await makeInstalledProject(folder);
    const answer = await yardJson(["uninstall", "--workdir", folder, "--functions"]);
    assert.equal(answer.endpoints.length, 13);
    const left = Object.keys(await readTree(folder));
    assert.ok(left.includes("supabase/functions/fetch-fmp-profiles/index.ts"));
    assert.ok(left.includes("supabase/functions/_shared/http.ts"));
    assert.ok(!left.some((path) => path.includes("queue-processor")));
    const config = await Deno.readTextFile(join(folder, "supabase", "config.toml"));
    assert.match(config, /\[functions\.fetch-fmp-profiles\]/);
    assert.doesNotMatch(config, /queue-processor|switchyard_secret_key/);
  }));

Deno.test("the secret's key leaves config.toml at once, the rest with --functions, then or later", () =>
  withFolder(async (folder) => {
    await makeNewProject(folder);
    const config = join(folder, "supabase", "config.toml");
    await Deno.chmod(config, 0o600);
    const before = await readTree(folder);
    await yardJson(["install", "--workdir", folder, "--data-types", "none"]);
    assert.match(await Deno.readTextFile(config), /switchyard_secret_key/);
    const first = await yardJson(["uninstall", "--workdir", folder]);
    assert.deepEqual(first.removedKeys, ["db.vault.switchyard_secret_key"]);
    assert.doesNotMatch(await Deno.readTextFile(config), /switchyard_secret_key/);
    assert.match(await Deno.readTextFile(config), /queue-processor-v2/);
    const second = await yardJson(["uninstall", "--workdir", folder, "--functions"]);
    assert.equal(second.migration, first.migration);
    const after = Object.entries(await readTree(folder)).filter(([path]) =>
      !path.startsWith("supabase/migrations/")
    );
    assert.deepEqual(Object.fromEntries(after), before);
    assert.equal((await Deno.stat(config)).mode! & 0o777, 0o600, "its mode is as it was");
  }));

for (const file of ["supabase/config.toml", "supabase/switchyard.json"]) {
  Deno.test(`an uninstallation that broke off at ${file} is completed by the next one`, () =>
    withFolder(async (folder) => {
      await makeInstalledProject(folder);
      const uninstall = ["uninstall", "--workdir", folder, "--functions"];
      const restore = await makeUnwritable(join(folder, file));
      assert.match(
        await fail(yard(uninstall)),
        new RegExp(`^Cannot write "${file}"\n.*; [1-9]\\d* of \\d+ files are done\nNext: clear`),
      );
      await restore();
      const migrations = async () =>
        (await filesOf(join(folder, "supabase", "migrations"))).filter((name) =>
          name.endsWith("_switchyard_uninstall.sql")
        ).map((name) => `supabase/migrations/${name}`);
      const written = await migrations();
      const { migration, afterwards } = await yardJson(uninstall);
      assert.deepEqual([written, await migrations()], [[migration], [migration]]);
      assert.ok(afterwards.length >= 2, "the secret and the function, to be deleted by hand");
      const config = join(folder, "supabase", "config.toml");
      assert.doesNotMatch(
        await Deno.readTextFile(config),
        /queue-processor|switchyard_secret_key/,
      );
      assert.match(await fail(yard(["uninstall", "--workdir", folder])), /takes it out already/);
      const { leftAlone } = await yardJson(["install", "--workdir", folder]);
      assert.deepEqual(leftAlone, [], "nothing is remembered of what has gone");
      assert.match(await Deno.readTextFile(config), /queue-processor-v2\]/);
    }));
}

Deno.test("where nothing is installed, uninstall refuses and says so", () =>
  withFolder(async (folder) => {
    await makeNewProject(folder);
    const message = await fail(yard(["uninstall", "--workdir", folder]));
    assert.match(message, /Cannot uninstall: Switchyard is not installed in/);
  }));
