import assert from "node:assert/strict";
import { join } from "node:path";
import { CHECKOUT } from "../../local/migrations.ts";
import { readToml } from "../../scripts/yard/config_toml.ts";
import { makeNewProject, readTree, withFolder, write } from "./projects.ts";
import { yard, yardJson } from "./yard.ts";

const LAST = "20991231000000_later.sql";

/** A repository with this version installed, and a checkout of a later one. */
async function withLaterVersion(
  work: (project: string, later: string) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const project = join(folder, "project");
    const later = join(folder, "later");
    await Deno.mkdir(project);
    await makeNewProject(project);
    await yardJson(["install", "--workdir", project]);
    await copyCheckout(later);
    const file = join(later, "package.json");
    const text = await Deno.readTextFile(file);
    await Deno.writeTextFile(file, text.replace(/"version": "[^"]+"/, '"version": "9.9.9"'));
    await work(project, later);
  });
}

async function copyCheckout(to: string): Promise<void> {
  const copy = async (path: string) => {
    await Deno.mkdir(join(to, path), { recursive: true });
    for await (const { name, isDirectory } of Deno.readDir(join(CHECKOUT, path))) {
      const below = join(path, name);
      if (isDirectory) await copy(below);
      else await Deno.copyFile(join(CHECKOUT, below), join(to, below));
    }
  };
  const folders = ["scripts", "local/cron", "local/database", "checklists", "supabase/migrations"];
  for (const folder of [...folders, "supabase/functions"]) await copy(folder);
  for (const file of ["package.json", "deno.json", "supabase/config.toml"]) {
    await Deno.copyFile(join(CHECKOUT, file), join(to, file));
  }
  await Deno.symlink(join(CHECKOUT, "node_modules"), join(to, "node_modules"));
}

Deno.test("an upgrade replaces what is unchanged, adds migrations, leaves what the user changed or removed", () =>
  withLaterVersion(async (project, later) => {
    const functions = join(project, "supabase/functions");
    const ofLater = join(later, "supabase/functions");
    await append(join(ofLater, "_shared/http.ts"), "// later\n");
    await append(join(ofLater, "_shared/env.ts"), "// later\n");
    await append(join(functions, "_shared/env.ts"), "// mine\n");
    await Deno.remove(join(ofLater, "_shared/pacing.ts"));
    await Deno.remove(join(functions, "_shared/auth.ts"));
    await write(join(ofLater, "_shared/fresh.ts"), "export {};\n");
    await write(join(later, "supabase/migrations", LAST), "select 1;\n");
    await write(join(later, "checklists/phase-7-later.md"), "# Later\n");
    await write(join(later, "checklists/phase-1.md"), "# Ours\n");
    await write(join(project, "checklists/phase-1.md"), "# Mine\n");
    const before = await readTree(project);

    const dry = await yardJson(["install", "--workdir", project, "--dry-run"], { checkout: later });
    assert.deepEqual(await readTree(project), before);
    const told = await yard(["install", "--workdir", project, "--dry-run"], { checkout: later });
    assert.match(told.stdout, /^Would upgrade Switchyard 0\.1\.0 to 9\.9\.9 in /);
    const answer = await yardJson(["install", "--workdir", project], { checkout: later });
    assert.deepEqual([answer.previousVersion, answer.version], [dry.previousVersion, "9.9.9"]);
    assert.deepEqual(answer.replaced, ["supabase/functions/_shared/http.ts"]);
    assert.deepEqual(answer.removed, ["supabase/functions/_shared/pacing.ts"]);
    assert.equal(answer.added.length, 3);
    assert.match(answer.added[0], /^supabase\/migrations\/\d{14}_switchyard_later\.sql$/);
    assert.deepEqual(answer.added.slice(1), [
      "supabase/functions/_shared/fresh.ts",
      "checklists/phase-7-later.md",
    ]);
    assert.deepEqual(
      answer.leftAlone.map(({ path, reason }: { path: string; reason: string }) => [path, reason]),
      [
        ["supabase/functions/_shared/auth.ts", "you removed it"],
        ["supabase/functions/_shared/env.ts", "you changed it"],
        ["checklists/phase-1.md", "yours"],
      ],
    );

    const after = await readTree(project);
    assert.match(after["supabase/functions/_shared/http.ts"]!, /later\n$/);
    assert.match(after["supabase/functions/_shared/env.ts"]!, /mine\n$/);
    for (const [path, text] of Object.entries(before)) {
      if (path.includes("/migrations/")) assert.equal(after[path], text, path);
    }
    const versions = Object.keys(after).filter((path) => path.includes("/migrations/")).sort();
    assert.match(versions.at(-1)!, /_later\.sql$/);

    // A folder where a file has to be.
    await Deno.remove(join(project, "supabase/functions/_shared/fresh.ts"));
    await write(join(later, "supabase/functions/_shared/newest/file.ts"), "export {};\n");
    await write(join(project, "supabase/functions/_shared/newest"), "");
    const broken = await yard(["install", "--workdir", project], { checkout: later });
    assert.equal(broken.code, 1, broken.stdout);
    assert.match(broken.stderr, /Cannot write "supabase\/functions\/_shared\/newest\/file\.ts"/);
    assert.match(broken.stderr, /Next: clear this up, then run it again/);
    await Deno.remove(join(project, "supabase/functions/_shared/newest"));
    await Deno.remove(join(later, "supabase/functions/_shared/newest"), { recursive: true });
    await write(join(project, "supabase/functions/_shared/fresh.ts"), "export {};\n");

    const again = await yardJson(["install", "--workdir", project], { checkout: later });
    assert.deepEqual([again.added, again.replaced, again.removed], [[], [], []]);
    assert.deepEqual(await readTree(project), after);
  }));

for (
  const [what, change] of [
    [
      "changed a migration",
      (later: string) =>
        append(join(later, "supabase/migrations/20261124000600_queue.sql"), "-- other\n"),
    ],
    [
      "put a migration between two others",
      (later: string) =>
        write(join(later, "supabase/migrations/20261124000601_between.sql"), "select 1;\n"),
    ],
    [
      "has a migration no more",
      (later: string) => Deno.remove(join(later, "supabase/migrations/20261124001400_runbook.sql")),
    ],
  ] as const
) {
  Deno.test(`an upgrade to a version that ${what} is refused, and writes nothing`, () =>
    withLaterVersion(async (project, later) => {
      await change(later);
      await append(join(later, "supabase/functions/_shared/http.ts"), "// later\n");
      const before = await readTree(project);
      const { code, stderr } = await yard(["install", "--workdir", project], { checkout: later });
      assert.equal(code, 1);
      assert.match(stderr, /an applied migration is never|before one that may be applied/);
      assert.match(stderr, /Next: npm run yard -- uninstall/);
      assert.deepEqual(await readTree(project), before);
    }));
}

Deno.test("a migration that the user changed is left, and pointed out", () =>
  withLaterVersion(async (project, later) => {
    const tree = await readTree(project);
    const path = Object.keys(tree).find((name) => name.endsWith("_switchyard_queue.sql"))!;
    await append(join(project, path), "-- mine\n");
    const { leftAlone } = await yardJson(["install", "--workdir", project], { checkout: later });
    assert.deepEqual(leftAlone.map((entry: { path: string }) => entry.path), [path]);
    assert.match(await Deno.readTextFile(join(project, path)), /-- mine\n$/);
  }));

Deno.test("an Edge Function that a version no longer has goes with its folder and its key", () =>
  withLaterVersion(async (project, later) => {
    await Deno.rename(
      join(later, "supabase/functions/queue-processor-v2"),
      join(later, "supabase/functions/queue-processor-v3"),
    );
    const ofLater = join(later, "supabase/config.toml");
    const text = await Deno.readTextFile(ofLater);
    await write(ofLater, text.replaceAll("queue-processor-v2", "queue-processor-v3"));
    const before = await readTree(project);
    const answer = await yardJson(["install", "--workdir", project], { checkout: later });
    assert.deepEqual(answer.removedKeys, ["functions.queue-processor-v2.verify_jwt"]);
    await assert.rejects(
      Deno.stat(join(project, "supabase/functions/queue-processor-v2")),
      Deno.errors.NotFound,
    );
    const config = "supabase/config.toml";
    assert.deepEqual(
      keysOf((await readTree(project))[config]!),
      keysOf(before[config]!).map((key) => key.replace("queue-processor-v2", "queue-processor-v3")),
    );
  }));

function keysOf(config: string): string[] {
  return readToml(config).map(({ path }) => path.join(".")).sort();
}

Deno.test("a manifest that cannot be read is refused", () =>
  withLaterVersion(async (project) => {
    const path = join(project, "supabase/switchyard.json");
    await Deno.writeTextFile(path, '{"version": 1}');
    const before = await readTree(project);
    const { code, stderr } = await yard(["install", "--workdir", project]);
    assert.equal(code, 1);
    assert.match(stderr, /Cannot read ".*switchyard\.json"/);
    assert.deepEqual(await readTree(project), before);
  }));

async function append(path: string, text: string): Promise<void> {
  await Deno.writeTextFile(path, await Deno.readTextFile(path) + text);
}
