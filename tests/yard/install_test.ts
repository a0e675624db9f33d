import assert from "node:assert/strict";
import { join } from "node:path";
import { CHECKOUT } from "../../local/migrations.ts";
import { filesBelow } from "../../scripts/yard/project.ts";
import { readOwn } from "../../scripts/yard/uninstall/own_objects.ts";
import {
  LEGACY_FUNCTIONS,
  makeLegacyProject,
  makeNewProject,
  readTree,
  withFolder,
  withPlatform,
  write,
} from "./projects.ts";
import { push, supabase, yard, yardJson } from "./yard.ts";

Deno.test("install into the legacy project: two pushes, the second up to date, every job and file as before", () =>
  withFolder((folder) =>
    withPlatform(async ({ url, sql }) => {
      await makeLegacyProject(folder);
      assertPushed(await push(folder, url));
      const jobs = await sql`select * from cron.job order by jobid`;
      assert.equal(jobs.length, 13);
      const before = await readTree(folder);

      const answer = await yardJson(["install", "--workdir", folder]);
      assert.equal(answer.dataTypes, "fmp");
      const after = await readTree(folder);
      for (const [path, text] of Object.entries(before)) {
        if (path !== "supabase/config.toml") assert.equal(after[path], text, path);
      }
      assertLinesKept(before["supabase/config.toml"]!, after["supabase/config.toml"]!);
      assert.deepEqual(
        answer.leftAlone.map(({ path }: { path: string }) => path).sort(),
        Object.keys(LEGACY_FUNCTIONS).map((name) => `supabase/functions/${name}`).sort(),
      );
      assert.ok(!after["supabase/config.toml"]!.includes("[functions.fetch-fmp-dividend-history]"));

      const first = await push(folder, url);
      assertPushed(first);
      assert.match(first.stdout + first.stderr, /switchyard_registry/);
      const second = await push(folder, url);
      assert.equal(second.code, 0, second.stderr);
      assert.match(second.stdout + second.stderr, /up to date/);

      const jobsAfter = await sql`select * from cron.job order by jobid`;
      assert.deepEqual(jobsAfter.slice(0, 13), [...jobs]);
      assert.ok(jobsAfter.slice(13).every(({ active }) => active === false), "its own jobs rest");
      const problems = await sql`select * from registry_problems_v2`;
      assert.deepEqual([...problems], []);
    })
  ));

Deno.test("install into a new project: two pushes, the second up to date, an empty registry", () =>
  withFolder((folder) =>
    withPlatform(async ({ url, sql }) => {
      await makeNewProject(folder);
      const config = await Deno.readTextFile(join(folder, "supabase/config.toml"));
      const answer = await yardJson(["install", "--workdir", folder]);
      assert.equal(answer.dataTypes, "none");
      assertLinesKept(config, await Deno.readTextFile(join(folder, "supabase/config.toml")));

      assertPushed(await push(folder, url));
      const second = await push(folder, url);
      assert.match(second.stdout + second.stderr, /up to date/);
      const [row] = await sql`
        select (select count(*)::int from data_type_registry_v2) as types,
               (select count(*)::int from api_providers_v2) as providers,
               (select count(*)::int from vault.secrets where name = 'switchyard_secret_key') as secrets,
               (select count(*)::int from cron.job where active) as active`;
      assert.deepEqual({ ...row }, { types: 0, providers: 0, secrets: 1, active: 0 });
    })
  ));

Deno.test("names that are taken are said before anything is made", () =>
  withFolder((folder) =>
    withPlatform(async ({ url, sql }) => {
      await makeNewProject(folder);
      await yardJson(["install", "--workdir", folder]);
      await sql.unsafe(`
        create table public.feature_flags (name text);
        create function public.is_feature_enabled(p_name text) returns boolean language sql as 'select true';
        create function public.is_feature_enabled_for(p_name text) returns boolean language sql as 'select true';
        select cron.schedule('compact-queue-v2', '0 0 * * *', 'select 1');
      `).simple();
      const { code, stdout, stderr } = await push(folder, url);
      assert.equal(code, 1);
      // Behind it the statement follows, which has all names.
      const [said = ""] = (stdout + stderr).split("At statement");
      assert.match(said, /Cannot install Switchyard: names that it needs are taken/);
      for (
        const name of [
          "relation public.feature_flags",
          "function public.is_feature_enabled(text)",
          "cron job compact-queue-v2",
        ]
      ) assert.ok(said.includes(name), `${name} in ${said}`);
      assert.doesNotMatch(
        said,
        /is_feature_enabled_for/,
        "one with other arguments is no obstacle",
      );
      const [left] = await sql`
        select to_regnamespace('switchyard') as schema,
               (select command from cron.job where jobname = 'compact-queue-v2') as command`;
      assert.deepEqual({ ...left }, { schema: null, command: "select 1" });

      await sql.unsafe(`
        drop table public.feature_flags;
        drop function public.is_feature_enabled(text);
        select cron.unschedule('compact-queue-v2');
      `).simple();
      assertPushed(await push(folder, url));
    })
  ));

Deno.test("the first migration looks for every name that a later one takes", async () => {
  const folder = join(CHECKOUT, "supabase", "migrations");
  const names = await filesBelow(folder);
  const texts = await Promise.all(names.map((name) => Deno.readTextFile(join(folder, name))));
  const { objects } = readOwn(texts);
  const listed = (name: string) =>
    [...new RegExp(`${name} constant text\\[\\] := array\\[([^;]*);`).exec(texts[0]!)![1]!
      .matchAll(/'([^']+)'/g)].map(([, text]) => text!).sort();
  const inPublic = (kinds: readonly string[]) =>
    objects.filter(({ schema, kind, table }) =>
      schema === "public" && table === undefined && kinds.includes(kind)
    ).map(({ name, argumentTypes }) =>
      `public.${name}${argumentTypes === undefined ? "" : `(${argumentTypes.join(",")})`}`
    ).sort();
  assert.deepEqual(
    listed("v_relations"),
    inPublic(["table", "view", "materialized view", "sequence", "type", "domain"]),
  );
  assert.deepEqual(listed("v_functions"), inPublic(["function", "procedure"]));
  const jobs = texts.flatMap((text) =>
    /insert into switchyard\.cron_jobs[^;]*?values\n([^]*?);\n\n/.exec(text)?.[1] ?? []
  ).flatMap((rows) => [...rows.matchAll(/^ {2}\('([a-z0-9-]+)'/gm)].map(([, name]) => name!));
  assert.deepEqual(listed("v_jobs"), jobs.sort());
});

Deno.test("what install copies is complete: the functions check in their new place", () =>
  withFolder(async (folder) => {
    await makeNewProject(folder);
    await yardJson([
      "install",
      "--workdir",
      folder,
      "--data-types",
      "fmp",
      "--shared-folder",
      "_shared/switchyard",
    ]);
    const functions = join(folder, "supabase", "functions");
    await Deno.symlink(join(CHECKOUT, "node_modules"), join(folder, "node_modules"));
    for (const file of ["package.json", "deno.json"]) {
      await Deno.copyFile(join(CHECKOUT, file), join(folder, file));
    }
    const entries: string[] = [];
    for await (const { name } of Deno.readDir(functions)) {
      if (name !== "_shared") entries.push(join(functions, name, "index.ts"));
    }
    assert.ok(entries.length > 10, "functions and endpoints");
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", ...entries],
      cwd: folder,
      env: { NO_COLOR: "1" },
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    // The CLI reads what was written into config.toml.
    const listed = await supabase(["--workdir", folder, "migration", "new", "proof"]);
    assert.equal(listed.code, 0, listed.stderr);
  }));

Deno.test("a dry run changes nothing, and says what the run does", () =>
  withFolder(async (folder) => {
    await makeLegacyProject(folder);
    const before = await readTree(folder);
    const dry = await yardJson(["install", "--workdir", folder, "--dry-run"]);
    assert.deepEqual(await readTree(folder), before);
    const real = await yardJson(["install", "--workdir", folder]);
    const withoutVersion = (paths: string[]) => paths.map((path) => path.replace(/\/\d{14}_/, "/"));
    assert.deepEqual(withoutVersion(real.added), withoutVersion(dry.added));
    assert.deepEqual(real.configKeys, dry.configKeys);
    assert.equal(dry.dryRun, true);
  }));

Deno.test("a second install changes nothing", () =>
  withFolder(async (folder) => {
    await makeLegacyProject(folder);
    await yardJson(["install", "--workdir", folder]);
    const before = await readTree(folder);
    const again = await yardJson(["install", "--workdir", folder]);
    assert.deepEqual([again.added, again.replaced, again.removed, again.configKeys], [
      [],
      [],
      [],
      [],
    ]);
    assert.deepEqual(await readTree(folder), before);
    const spoken = await yard(["install", "--workdir", folder]);
    assert.match(spoken.stdout, /nothing to change/);
  }));

Deno.test("an install that broke off is completed by the next one", () =>
  withFolder(async (folder) => {
    await makeNewProject(folder);
    await yardJson(["install", "--workdir", folder]);
    const whole = await readTree(folder);
    await Deno.remove(join(folder, "supabase/switchyard.json"));
    const lost = Object.keys(whole).filter((path) =>
      path.includes("_shared/processor/") || path.endsWith("_profile_logos.sql")
    );
    for (const path of lost) await Deno.remove(join(folder, path));
    const again = await yardJson(["install", "--workdir", folder]);
    assert.equal(again.added.length, lost.length);
    const migrations = (tree: Record<string, string>) =>
      Object.keys(tree).filter((path) => path.includes("/migrations/")).length;
    assert.equal(migrations(await readTree(folder)), migrations(whole), "no migration twice");
  }));

Deno.test("an install that broke off before its manifest knows its keys again, and says what is next", () =>
  withFolder(async (folder) => {
    await makeNewProject(folder);
    const before = await readTree(folder);
    const manifest = join(folder, "supabase/switchyard.json");
    await Deno.mkdir(join(manifest, "in the way"), { recursive: true });
    const broken = await yard(["install", "--workdir", folder]);
    assert.equal(broken.code, 1);
    assert.match(
      broken.stderr,
      /^Cannot write "supabase\/switchyard\.json"\n .*; [1-9]\d* of \d+ files are done\nNext: clear/,
    );
    await Deno.remove(manifest, { recursive: true });
    const again = await yard(["install", "--workdir", folder]);
    assert.equal(again.code, 0, again.stderr);
    assert.match(
      again.stdout,
      /^Installed Switchyard .*\n(.*\n)*Next:\n +export SWITCHYARD_SECRET/,
    );
    assert.match(again.stdout, /\n +supabase db push\n/);
    const { afterwards } = await yardJson(["uninstall", "--workdir", folder, "--functions"]);
    assert.equal(
      afterwards[0],
      "delete from vault.secrets where name = 'switchyard_secret_key';",
    );
    const after = Object.entries(await readTree(folder)).filter(([path]) =>
      !path.startsWith("supabase/migrations/")
    );
    assert.deepEqual(Object.fromEntries(after), before);
  }));

Deno.test("a key that was there before the first install stays the user's", () =>
  withFolder(async (folder) => {
    await makeNewProject(folder);
    const config = join(folder, "supabase/config.toml");
    const mine = "\n[functions.queue-processor-v2]\nverify_jwt = false\n";
    await write(config, await Deno.readTextFile(config) + mine);
    const { configKeys } = await yardJson(["install", "--workdir", folder]);
    assert.deepEqual(configKeys, ["db.vault.switchyard_secret_key"]);
    await yardJson(["uninstall", "--workdir", folder, "--functions"]);
    assert.ok((await Deno.readTextFile(config)).endsWith(mine));
  }));

Deno.test("what a killed install has left beside its files goes with the next one, and nothing else", () =>
  withFolder(async (folder) => {
    await makeNewProject(folder);
    const names = (uuid: string) => [
      `supabase/functions/_shared/.http.ts.${uuid}`,
      `supabase/migrations/.20260101000000_switchyard_queue.sql.${uuid}`,
      `supabase/.config.toml.${uuid}`,
      `supabase/.switchyard.json.${uuid}`,
    ];
    const left = names(crypto.randomUUID());
    const others = [
      ...names("not-one"),
      `supabase/functions/_shared/.mine.ts.${crypto.randomUUID()}`,
      `supabase/migrations/.20260101000000_mine.sql.${crypto.randomUUID()}`,
    ];
    for (const path of [...left, ...others]) await write(join(folder, path), "half");
    const { removed } = await yardJson(["install", "--workdir", folder]);
    assert.deepEqual(removed.sort(), left.sort());
    const tree = await readTree(folder);
    assert.deepEqual(left.filter((path) => path in tree), []);
    assert.deepEqual(others.filter((path) => !(path in tree)), []);
    const again = join(folder, "supabase/functions/queue-processor-v2");
    await write(join(again, `.index.ts.${crypto.randomUUID()}`), "half");
    assert.equal((await yardJson(["install", "--workdir", folder])).removed.length, 1);
  }));

Deno.test("versions are later than the newest migration, of the folder and of the database, in order", () =>
  withFolder((folder) =>
    withPlatform(async ({ url, sql }) => {
      await makeNewProject(folder);
      await write(join(folder, "supabase/migrations/20991231235958_far.sql"), "select 1;\n");
      await sql`create schema supabase_migrations`;
      await sql`create table supabase_migrations.schema_migrations (version text primary key)`;
      await sql`insert into supabase_migrations.schema_migrations values ('21000101000000')`;
      const { added } = await yardJson(["install", "--workdir", folder, "--db-url", url]);
      const versions = added.flatMap((path: string) => /migrations\/(\d+)_/.exec(path)?.[1] ?? []);
      assert.equal(versions[0], "21000101000001");
      assert.deepEqual(versions, [...versions].sort());
      const sources = JSON.parse(await Deno.readTextFile(join(folder, "supabase/switchyard.json")))
        .migrations.map(({ source }: { source: string }) => source);
      assert.deepEqual(sources, [...sources].sort());
    })
  ));

for (
  const { name, migration, first } of [
    { name: "a date without a time", migration: "20991231_far.sql", first: "20991231000001" },
    { name: "milliseconds", migration: "20990101000000123_far.sql", first: "20990101000001" },
    { name: "no time at all", migration: "77777777777777_far.sql", first: "77777777777778" },
  ]
) {
  Deno.test(`a newest version with ${name} is passed too`, () =>
    withFolder(async (folder) => {
      await makeNewProject(folder);
      await write(join(folder, "supabase/migrations", migration), "select 1;\n");
      const { added } = await yardJson(["install", "--workdir", folder, "--dry-run"]);
      assert.match(added[0], new RegExp(`/${first}_`));
    }));
}

Deno.test("a newest version that nothing can follow is refused", () =>
  withFolder(async (folder) => {
    await makeNewProject(folder);
    await write(join(folder, "supabase/migrations/99999999999999_last.sql"), "select 1;\n");
    const { code, stderr } = await yard(["install", "--workdir", folder]);
    assert.equal(code, 1);
    assert.match(stderr, /Cannot name a migration later than version 99999999999999/);
  }));

Deno.test("shared code of the user is never overwritten: refused, or put elsewhere", () =>
  withFolder(async (folder) => {
    await makeNewProject(folder);
    const own = join(folder, "supabase/functions/_shared/auth.ts");
    await write(own, "export const mine = true;\n");
    const before = await readTree(folder);
    const refused = await yard(["install", "--workdir", folder]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /_shared\/auth\.ts: there is another file of yours/);
    assert.match(refused.stderr, /Next: .*--shared-folder _shared\/switchyard/);
    assert.deepEqual(await readTree(folder), before);

    await yardJson(["install", "--workdir", folder, "--shared-folder", "_shared/switchyard"]);
    assert.equal(await Deno.readTextFile(own), "export const mine = true;\n");
    const processor = await Deno.readTextFile(
      join(folder, "supabase/functions/queue-processor-v2/index.ts"),
    );
    assert.match(processor, /"\.\.\/_shared\/switchyard\//);
    const again = await yardJson(["install", "--workdir", folder]);
    assert.deepEqual([again.added, again.replaced], [[], []]);
  }));

Deno.test("a function of the user with the name of ours is never overwritten", () =>
  withFolder(async (folder) => {
    await makeNewProject(folder);
    await write(join(folder, "supabase/functions/queue-processor-v2/index.ts"), "// mine\n");
    const before = await readTree(folder);
    const { code, stderr } = await yard(["install", "--workdir", folder]);
    assert.equal(code, 1);
    assert.match(stderr, /queue-processor-v2\/index\.ts: there is another file of yours/);
    assert.deepEqual(await readTree(folder), before);
  }));

Deno.test("settings of the user in config.toml stay, and are pointed out", () =>
  withFolder(async (folder) => {
    await makeNewProject(folder);
    const file = join(folder, "supabase/config.toml");
    const config = (await Deno.readTextFile(file)).replace(
      '# [db.vault]\n# secret_key = "env(SECRET_VALUE)"\n',
      '[db.vault]\n# ours\nother_key = "env(OTHER)" # kept\n',
    ) + '\n[functions."queue-processor-v2"]\nverify_jwt = true\nimport_map = "./x.json"\n';
    await Deno.writeTextFile(file, config.replaceAll("\n", "\r\n"));
    const { leftAlone, configKeys } = await yardJson(["install", "--workdir", folder]);
    assert.deepEqual(configKeys, ["db.vault.switchyard_secret_key"]);
    assert.match(leftAlone[0].reason, /functions\.queue-processor-v2\.verify_jwt is true/);
    const after = await Deno.readTextFile(file);
    assert.match(
      after,
      /other_key = "env\(OTHER\)" # kept\r\nswitchyard_secret_key = "env\(SWITCHYARD_SECRET_KEY\)"\r\n/,
    );
    assert.ok(!/[^\r]\n/.test(after), "line ends stay");
  }));

Deno.test("endpoints that are as ours are taken over, others are left", () =>
  withFolder(async (folder) => {
    await makeLegacyProject(folder);
    const name = "fetch-fmp-profiles";
    const ours = await Deno.readTextFile(join(CHECKOUT, "supabase/functions", name, "index.ts"));
    await write(join(folder, "supabase/functions", name, "index.ts"), ours);
    await Deno.remove(join(folder, "supabase/functions/fetch-fmp-ratios-ttm"), { recursive: true });
    const { leftAlone, added } = await yardJson(["install", "--workdir", folder]);
    const left = leftAlone.map(({ path }: { path: string }) => path);
    assert.ok(!left.includes(`supabase/functions/${name}`));
    assert.ok(added.includes("supabase/functions/fetch-fmp-ratios-ttm/index.ts"));
    assert.equal(left.length, 11);
  }));

Deno.test("a copy made by hand is adopted when it is of this version, and refused when it is not", () =>
  withFolder(async (folder) => {
    await makeNewProject(folder);
    const migrations = join(folder, "supabase/migrations");
    await Deno.mkdir(migrations);
    for await (const { name } of Deno.readDir(join(CHECKOUT, "supabase/migrations"))) {
      await Deno.copyFile(join(CHECKOUT, "supabase/migrations", name), join(migrations, name));
    }
    const { added, unchanged } = await yardJson([
      "install",
      "--workdir",
      folder,
      "--data-types",
      "fmp",
      "--dry-run",
    ]);
    assert.ok(unchanged > 20);
    assert.deepEqual(added.filter((path: string) => path.includes("/migrations/")), []);

    const registry = join(migrations, "20261124000500_registry.sql");
    await Deno.writeTextFile(registry, `${await Deno.readTextFile(registry)}\n-- older\n`);
    const { code, stderr } = await yard(["install", "--workdir", folder, "--data-types", "fmp"]);
    assert.equal(code, 1);
    assert.match(stderr, /20261124000500_registry\.sql: it makes data_type_registry_v2/);
  }));

Deno.test("outside a Supabase repository nothing is written, and the next step is named", () =>
  withFolder(async (folder) => {
    const { code, stderr } = await yard(["install"], { cwd: folder });
    assert.equal(code, 1);
    assert.match(stderr, /Cannot open the Supabase repository/);
    assert.match(stderr, /Next: pass --workdir .* or run supabase init/);
    assert.deepEqual(await readTree(folder), {});
    await makeNewProject(folder);
    const inside = await yard(["install"], { cwd: join(folder, "supabase") });
    assert.match(inside.stderr, new RegExp(`Next: pass --workdir ${folder}\n`));
    const own = await yard(["install", "--workdir", CHECKOUT]);
    assert.equal(own.code, 1);
    assert.match(own.stderr, /into its own repository/);
  }));

Deno.test("a file where the folder of the migrations has to be is refused, and what to do is said", () =>
  withFolder(async (folder) => {
    await makeNewProject(folder);
    await write(join(folder, "supabase/migrations"), "");
    const before = await readTree(folder);
    const { code, stderr } = await yard(["install", "--workdir", folder]);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^Cannot read the folder ".*supabase\/migrations"\n +found a file of this/,
    );
    assert.match(stderr, /^Next: move the file away/m);
    assert.deepEqual(await readTree(folder), before);
  }));

Deno.test("a config.toml that is no TOML is refused with the line, and nothing is written", () =>
  withFolder(async (folder) => {
    await makeNewProject(folder);
    const config = await Deno.readTextFile(join(folder, "supabase/config.toml"));
    const line = config.split("\n").length;
    for (const wrong of ["[db", "[db]]", "[]", "no key", "key =", 'key = "open', "key = [1,"]) {
      await write(join(folder, "supabase/config.toml"), `${config}${wrong}\n\n`);
      const before = await readTree(folder);
      const { code, stderr } = await yard(["install", "--workdir", folder]);
      assert.equal(code, 1, wrong);
      assert.ok(
        stderr.startsWith(
          'Cannot read "supabase/config.toml": it is no TOML\n' +
            `  line ${line}: found ${JSON.stringify(wrong)}, wanted`,
        ),
        stderr,
      );
      assert.deepEqual(await readTree(folder), before);
    }
  }));

/** Every line of the one text stands in the other, in order. */
function assertLinesKept(before: string, after: string): void {
  const lines = after.split("\n");
  let position = 0;
  for (const line of before.split("\n")) {
    const found = lines.indexOf(line, position);
    assert.ok(found >= 0, `line is gone or moved: ${line}`);
    position = found + 1;
  }
  assert.ok(lines.length > before.split("\n").length, "something was added");
}

function assertPushed({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) {
  assert.equal(code, 0, `${stdout}${stderr}`);
}
