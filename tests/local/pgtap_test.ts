import assert from "node:assert/strict";
import { join } from "node:path";
import postgres from "postgres";
import { startDatabase } from "../../local/database/embedded.ts";
import { formatPgtapReport, type PgtapReport, runPgtap } from "../../local/pgtap.ts";
import { readTap } from "../../local/pgtap/tap.ts";

const ROLES = `
  create role postgres login bypassrls password 'postgres';
  create role anon;
  grant anon to postgres;
  create schema extensions;
  grant all on schema extensions to postgres;
  grant usage on schema extensions to anon;
  create function extensions.other() returns int language sql as 'select 1';
`;

interface Run {
  report: PgtapReport;
  /** Names of what schema extensions holds after the run. */
  left: string[];
}

async function run(files: Record<string, string>): Promise<Run> {
  const folder = await Deno.makeTempDir({ prefix: "switchyard-test-" });
  const database = await startDatabase();
  const admin = postgres(database.adminUrl, { max: 1, onnotice: () => {} });
  try {
    await admin.unsafe(ROLES);
    for (const [name, text] of Object.entries(files)) {
      await Deno.mkdir(join(folder, name, ".."), { recursive: true });
      await Deno.writeTextFile(join(folder, name), text);
    }
    const report = await runPgtap(database.url, folder);
    const left = await admin<{ name: string }[]>`
      select proname as name from pg_proc where pronamespace = 'extensions'::regnamespace
      union all select typname from pg_type where typnamespace = 'extensions'::regnamespace`;
    return { report, left: left.map(({ name }) => name) };
  } finally {
    await admin.end();
    await database.stop();
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("passing files are counted, also below folders, and pgTAP is gone afterwards", async () => {
  const { report, left } = await run({
    "first.sql": `begin; select plan(2); select ok(true, 'one'); select is(1, 1, 'two');
      select * from finish(); rollback;`,
    "deeper/second.sql": `begin; select no_plan(); select pass('three');
      select * from finish(); rollback;`,
    "notes.txt": "not a test",
  });
  assert.ok(report.ok, formatPgtapReport(report));
  assert.deepEqual(report.files.map(({ file, ran }) => ({ file, ran })), [
    { file: "deeper/second.sql", ran: 1 },
    { file: "first.sql", ran: 2 },
  ]);
  assert.equal(report.passed, 3);
  assert.deepEqual(left, ["other"]);
});

Deno.test("files run as postgres with pgTAP on the search path, also after becoming another role", async () => {
  const { report } = await run({
    "roles.sql": `begin; select plan(2); select is(current_user, 'postgres');
      set local role anon; select is(current_user, 'anon'); select * from finish(); rollback;`,
  });
  assert.ok(report.ok, formatPgtapReport(report));
});

Deno.test("a failing test, a wrong plan, no plan, no tests and an SQL error each fail the run", async () => {
  const { report, left } = await run({
    "1_not_ok.sql": `begin; select plan(2); select is(1, 2, 'one is two'); select pass('fine');
      select * from finish(); rollback;`,
    "2_too_few.sql": `begin; select plan(3); select pass(); rollback;`,
    "3_too_many.sql": `begin; select plan(1); select pass(); select pass(); rollback;`,
    "4_no_plan.sql": `begin; select 1; rollback;`,
    "5_no_tests.sql": `begin; select no_plan(); select * from finish(); rollback;`,
    "6_error.sql": `begin; select plan(1); select pass('before');\nselect absent(1);\nrollback;`,
    "7_fine.sql": `begin; select plan(1); select pass(); select * from finish(); rollback;`,
  });
  assert.equal(report.ok, false);
  const problems = Object.fromEntries(
    report.files.map((file): [string, string[]] => [file.file.slice(0, 1), file.problems]),
  );
  assert.match(
    problems["1"]?.[0] ?? "",
    /^not ok 1 - one is two\n# Failed test 1.*\n#\s+have: 1\n#\s+want: 2/,
  );
  assert.deepEqual(problems["2"], ["Planned 3 tests but ran 1"]);
  assert.deepEqual(problems["3"], ["Planned 1 tests but ran 2"]);
  assert.match(problems["4"]?.[0] ?? "", /There is no plan/);
  assert.ok(problems["5"]?.some((problem) => problem.includes("ran no tests")), `${problems["5"]}`);
  assert.match(problems["6"]?.[0] ?? "", /function absent\(integer\) does not exist[^]*LINE 2/);
  assert.equal(report.files[5]?.passed, 1, "tests before the error are counted");
  assert.deepEqual(problems["7"], []);
  assert.deepEqual(left, ["other"]);
  assert.match(formatPgtapReport(report), /FAIL 1_not_ok\.sql[^]*pgTAP: 7 files/);
});

Deno.test("a folder without test files fails the run", async () => {
  const { report } = await run({ "readme.md": "" });
  assert.equal(report.ok, false);
  assert.match(report.problems[0] ?? "", /no \.sql or \.pg file/);
});

Deno.test("expected failures and skipped tests do not fail a file, subtests do not count", () => {
  assert.deepEqual(
    readTap([
      "1..3",
      "    not ok 1 - inside a subtest",
      "ok 1 - fine",
      "not ok 2 - later # TODO not built yet",
      "ok 3 # SKIP no network",
    ]),
    { planned: 3, ran: 3, passed: 2, failed: 0, skipped: 1, problems: [] },
  );
  assert.deepEqual(readTap(["1..0 # SKIP nothing here"]).problems, []);
});

Deno.test("a bail out, a second plan and a wrong test number are problems", () => {
  assert.deepEqual(readTap(["1..1", "ok 1", "Bail out! no more"]).problems, ["Bail out! no more"]);
  assert.deepEqual(readTap(["1..1", "1..1", "ok 1"]).problems, ["Found a second plan: 1..1"]);
  assert.deepEqual(readTap(["1..1", "ok 2"]).problems, ["Found test number 2, wanted 1: ok 2"]);
});
