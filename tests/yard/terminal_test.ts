import assert from "node:assert/strict";
import { COMMANDS } from "../../scripts/yard/commands.ts";
import { addTomlKey, readToml, removeTomlKey } from "../../scripts/yard/config_toml.ts";
import { yard } from "./yard.ts";

Deno.test("--help tells of every command, and every command of its options and exit statuses", async () => {
  const overview = await yard(["--help"]);
  assert.equal(overview.code, 0);
  for (const { name, usage } of COMMANDS) {
    assert.match(overview.stdout, new RegExp(`\\n {2}${name} `));
    const help = await yard([name, "--help"]);
    assert.deepEqual([help.code, help.stdout, help.stderr], [0, `${usage}\n`, ""]);
    assert.match(usage, new RegExp(`^Usage: npm run yard -- ${name}\\b`));
    assert.match(usage, /\n {2}--json /);
    assert.match(usage, /\nExit status: 0 /);
  }
});

for (
  const [what, args, found] of [
    ["no command", [], /Cannot run: found no command/],
    ["an unknown command", ["fly"], /Cannot run "fly": no such command/],
    ["a misspelt command", ["statsu"], /did you mean "status"\?/],
    ["an unknown option", ["status", "--loud"], /Unknown option '--loud'/],
    ["an option without its value", ["status", "--db-url"], /argument missing/],
    ["an argument too many", ["install", "here"], /Cannot install: found "here", wanted none/],
    ["an argument too few", ["advance"], /wanted <data type> \[<stage>\]/],
    ["no connection string", ["status"], /found no --db-url, SUPABASE_DB_URL or DATABASE_URL/],
    ["what is no connection string", ["status", "--db-url", "db.example"], /wanted postgresql:/],
    [
      "a password that is not encoded",
      ["status", "--db-url", "postgresql://u:100%@h/x"],
      /percent-encoded/,
    ],
    ["minutes that are none", ["baseline", "--minutes", "soon"], /Cannot use --minutes soon/],
    ["data types that are none", ["install", "--data-types", "all"], /wanted fmp or none/],
  ] as const
) {
  Deno.test(`wrong usage ends with status 2 and the usage: ${what}`, async () => {
    const cwd = await Deno.makeTempDir();
    await Deno.mkdir(`${cwd}/supabase`);
    await Deno.writeTextFile(`${cwd}/supabase/config.toml`, "");
    const { code, stdout, stderr } = await yard(args, { cwd });
    await Deno.remove(cwd, { recursive: true });
    assert.equal(code, 2, stderr);
    assert.match(stderr, found);
    assert.match(stderr, /\n\nUsage: npm run yard -- /);
    assert.equal(stdout, "");
  });
}

Deno.test("an unreachable server ends with status 1, and the password is nowhere", async () => {
  const args = ["status", "--db-url", "postgresql://postgres:s3cret%40x@127.0.0.1:1/postgres"];
  const { code, stdout, stderr } = await yard(args);
  assert.equal(code, 1);
  assert.match(stderr, /^Cannot connect to postgres@127\.0\.0\.1:1\/postgres\n/);
  assert.match(stderr, /Next: check host, port, user and password/);
  const json = await yard([...args, "--json"]);
  assert.equal(
    JSON.parse(json.stdout).error.message,
    "Cannot connect to postgres@127.0.0.1:1/postgres",
  );
  assert.ok(!`${stdout}${stderr}${json.stdout}${json.stderr}`.includes("s3cret"));
});

Deno.test("--db-url wins over SUPABASE_DB_URL, and that over DATABASE_URL", async () => {
  const url = (port: number) => `postgresql://u@127.0.0.1:${port}/x`;
  const env = { SUPABASE_DB_URL: url(2), DATABASE_URL: url(3) };
  const place = async (args: string[], given: Record<string, string>) =>
    /127\.0\.0\.1:\d/.exec((await yard(["status", ...args], { env: given })).stderr)?.[0];
  assert.equal(await place(["--db-url", url(1)], env), "127.0.0.1:1");
  assert.equal(await place([], env), "127.0.0.1:2");
  assert.equal(await place([], { DATABASE_URL: url(3) }), "127.0.0.1:3");
});

const CONFIG = `# head
project_id = "x" # name

[functions]
[functions.old] # dotted, [not] a header: [a.b]
verify_jwt = false
entrypoint = """
[functions.fake]
verify_jwt = true
""""

[functions."with space"]
static_files = [
  "a]", # list
  "b",
]

[[things]] # some
x = { y = 1 }

[dotted]
inner.key = 1
`;

Deno.test("config.toml: keys are found, texts and lists are skipped over", () => {
  assert.deepEqual(
    readToml(CONFIG).map(({ path, value }) => [path.join("/"), value.split("\n")[0]]),
    [
      ["project_id", '"x"'],
      ["functions/old/verify_jwt", "false"],
      ["functions/old/entrypoint", '"""'],
      ["functions/with space/static_files", "["],
      ["things/x", "{ y = 1 }"],
      ["dotted/inner/key", "1"],
    ],
  );
});

for (
  const [what, table, key, outcome] of [
    ["a new table", ["functions", "new-one"], "verify_jwt", "added"],
    ["a new key of a table", ["functions", "with space"], "verify_jwt", "added"],
    ["a key behind a text of several lines", ["functions", "old"], "import_map", "added"],
    ["a key of a table made by dotted keys", ["dotted", "inner"], "other", "added"],
    ["a key that is there", ["functions", "old"], "verify_jwt", "there"],
    ["a key of an inline table", ["things", "x"], "z", "closed"],
  ] as const
) {
  Deno.test(`config.toml: adding ${what}, and removing it again, leaves the text as it was`, () => {
    const edit = addTomlKey(CONFIG, table, key, "false");
    assert.equal(edit.outcome, outcome);
    if (outcome !== "added") return assert.equal(edit.text, CONFIG);
    const path = [...table, key];
    const keys = readToml(edit.text);
    assert.deepEqual(
      keys.find((entry) => entry.path.join() === path.join()),
      { path, value: "false" },
    );
    assert.equal(keys.length, readToml(CONFIG).length + 1);
    assert.equal(addTomlKey(edit.text, table, key, "false").outcome, "there");
    assert.equal(addTomlKey(edit.text, table, key, "true").outcome, "other");
    assert.equal(removeTomlKey(edit.text, table, key), CONFIG);
  });
}

Deno.test("config.toml: a file without a last line end, and an empty one", () => {
  for (const text of ["a = 1", "a = 1\n", "", "[t]\r\na = 1\r\n"]) {
    const { text: after } = addTomlKey(text, ["db", "vault"], "k", '"v"');
    assert.deepEqual(readToml(after).at(-1), { path: ["db", "vault", "k"], value: '"v"' });
    assert.ok(after.startsWith(text));
  }
});

Deno.test("config.toml: a key behind the last line, which has no line end, in either form of line ends", () => {
  for (const lineEnd of ["\n", "\r\n"]) {
    const text = `[a]${lineEnd}b = 1${lineEnd}${lineEnd}[db.vault]${lineEnd}other = "v"`;
    const { text: once } = addTomlKey(text, ["db", "vault"], "k", '"v"');
    const { text: twice } = addTomlKey(once, ["functions", "f"], "verify_jwt", "false");
    assert.equal(
      twice,
      [text, 'k = "v"', "", "[functions.f]", "verify_jwt = false", ""].join(lineEnd),
    );
  }
});
