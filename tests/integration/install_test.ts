import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import postgres, { type Sql } from "postgres";
import { compareFingerprints, fingerprint, isOwnObject } from "../../local/fingerprint.ts";
import { CHECKOUT } from "../../local/migrations.ts";
import { type RunningStack, withStack } from "./with_stack.ts";

for (const defaultPrivileges of ["legacy", "none"] as const) {
  Deno.test(`installing changes no existing object, job or row (default privileges: ${defaultPrivileges})`, () =>
    withStack(
      { migrate: false, cron: false, net: false, defaultPrivileges },
      async (running) => {
        await installChangesNothing(running);
        await advisorsReportNothing(running);
      },
    ));
}

async function installChangesNothing({ stack, sql }: RunningStack): Promise<void> {
  await sql`insert into public.profiles (symbol, company_name) values ('AAPL', 'Apple Inc.')`;
  await sql`insert into public.live_quote_indicators (symbol, current_price, api_timestamp)
            values ('AAPL', 1, 1)`;
  const before = await fingerprint(sql);
  const rowsBefore = await legacyRows(sql);
  const jobsBefore = await sql`select * from cron.job order by jobid`;
  assert.equal(jobsBefore.length, 13);

  await stack.installMigrations();

  const differences = compareFingerprints(before, await fingerprint(sql));
  assert.deepEqual(
    differences.filter(({ change, object }) => change !== "added" || !isOwnObject(object)),
    [],
  );
  assert.ok(differences.length > 300, "the install was seen");
  assert.deepEqual(await legacyRows(sql), rowsBefore);
  const jobsAfter = await sql`select * from cron.job order by jobid`;
  assert.deepEqual(jobsAfter.slice(0, 13), [...jobsBefore]);
  assert.deepEqual(
    jobsAfter.slice(13).map(({ jobname, active }) => [jobname, active]),
    [
      ["check-stale-data-v2", false],
      ["compact-queue-v2", false],
      ["guard-migrations-v2", false],
      ["invoke-queue-processor-v2", false],
      ["maintain-queue-partitions-v2", false],
      ["prune-queue-history-v2", false],
      ["queue-scheduled-refreshes-v2", false],
      ["queue-shadow-samples-v2", false],
      ["sample-freshness-v2", false],
    ],
  );

  await stack.installMigrations();
  const second = compareFingerprints(before, await fingerprint(sql));
  assert.equal(second.length, differences.length, "a second push changes nothing");
}

/** A digest of the rows of every legacy table. */
async function legacyRows(sql: Sql): Promise<Record<string, string>> {
  const tables = await sql<{ name: string }[]>`
    select c.oid::regclass::text as name from pg_class as c
     where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
       and c.relname !~ '_v2$' and c.relname <> 'feature_flags' order by 1`;
  const digests: Record<string, string> = {};
  for (const { name } of tables) {
    const [row] = await sql.unsafe<[{ digest: string }]>(
      `select count(*) || ' ' || coalesce(md5(string_agg(t::text, '' order by t::text)), '') as digest
         from ${name} as t`,
    );
    digests[name] = row.digest;
  }
  assert.equal(Object.keys(digests).length, 14);
  return digests;
}

async function advisorsReportNothing({ stack }: RunningStack): Promise<void> {
  const findings = await runCli(["db", "advisors", `--remote=${stack.databaseUrl}`]) as {
    level: string;
    name: string;
    detail: string;
    metadata?: { schema?: string; name?: string };
  }[];
  const ours = findings.filter(({ level, metadata }) =>
    level !== "INFO" && (metadata?.schema === "switchyard" ||
      /_v2$|^feature_flags$|^is_feature_enabled/.test(metadata?.name ?? ""))
  );
  assert.deepEqual(ours.map(({ name, detail }) => `${name}: ${detail}`), []);
}

Deno.test({
  name: "supabase db lint finds no error and no warning in the functions",
  // It needs plpgsql_check, which the embedded server does not have.
  ignore: !hasPlpgsqlCheck(),
  fn: () =>
    withStack({ cron: false, net: false }, async ({ stack }) => {
      // As supabase_admin the CLI would become postgres, who may not create plpgsql_check here.
      const superuser = postgres(stack.adminUrl, { max: 1 });
      await superuser`create role linter superuser login password 'linter'`;
      await superuser.end();
      const remote = new URL(stack.adminUrl);
      remote.username = remote.password = "linter";
      const findings = await runCli([
        "db",
        "lint",
        `--remote=${remote.href}`,
        "--schema=public,switchyard",
        "--level=warning",
      ]) as { function: string; issues: { level: string; message: string }[] }[];
      assert.deepEqual(
        findings.flatMap(({ function: name, issues }) =>
          issues
            // What dynamic SQL returns cannot be known without running it.
            .filter(({ message }) => !/OUT variable .* is maybe unmodified/.test(message))
            .map(({ level, message }) => `${name}: ${level}: ${message}`)
        ),
        [],
      );
    }),
});

function hasPlpgsqlCheck(): boolean {
  const binaries = Deno.env.get("SWITCHYARD_POSTGRES_BIN");
  return Boolean(binaries) && existsSync(join(binaries!, "..", "lib", "plpgsql_check.so"));
}

/** Runs the CLI and parses the JSON array that it prints; no output is no finding. */
async function runCli(args: string[]): Promise<unknown[]> {
  const { code, stdout, stderr } = await new Deno.Command(
    join(CHECKOUT, "node_modules", ".bin", "supabase"),
    { args, cwd: CHECKOUT, stdin: "null", stdout: "piped", stderr: "piped" },
  ).output();
  const output = new TextDecoder().decode(stdout);
  assert.equal(code, 0, `supabase ${args[1]}: ${output}${new TextDecoder().decode(stderr)}`);
  const start = output.indexOf("[\n");
  return start < 0 ? [] : JSON.parse(output.slice(start, output.lastIndexOf("]") + 1));
}
