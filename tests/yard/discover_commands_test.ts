import assert from "node:assert/strict";
import {
  otherCalls,
  otherStatements,
  readCadence,
  readCalls,
} from "../../scripts/yard/discover/jobs.ts";
import { readCatalog } from "../../scripts/yard/discover/catalog.ts";
import { withStack } from "../integration/with_stack.ts";

Deno.test("commands: comments, other schemas, quotes, functions in between", () => {
  const calls = (command: string) => readCalls(command, []);
  const url = "'https://x.supabase.co/functions/v1/one'";
  assert.deepEqual(calls(`select net.http_post(${url})`).functions, ["one"]);
  assert.deepEqual(calls(`SELECT Net . Http_Get ( ${url} )`).functions, ["one"]);
  assert.deepEqual(calls(`select extensions.http_get(${url})`).functions, ["one"]);
  assert.deepEqual(calls(`select http_post(${url}, '{}', 'application/json')`).functions, ["one"]);
  assert.equal(calls(`-- select net.http_post(${url})\nselect 1`).kind, "none");
  assert.equal(calls(`/* ${url} */ select net.http_get('https://a.example')`).kind, "other");
  assert.deepEqual(calls(`select net.http_post('https://x--y/functions/v1/one')`).functions, [
    "one",
  ]);
  assert.deepEqual(
    calls(`select net.http_post(${url}), net.http_post(${url.replace("one", "two")})`).functions,
    ["one", "two"],
  );
  assert.equal(calls("select * from net._http_response").kind, "none");
  const go = (name: string, source: string) => ({ schema: "app", name, source, isVolatile: true });
  const through = [
    go("again", "select app.go()"),
    go("go", `perform net.http_post(${url});`),
    go("write", "insert into t select 1"),
  ];
  assert.deepEqual(
    calls("select net.http_post('https://x.supabase.co/functions/v1/' || 'one')").functions,
    ["one"],
  );
  assert.deepEqual(readCalls("select app.go()", through), {
    kind: "edge-function",
    functions: ["one"],
    through: "app.go",
  });
  assert.equal(readCalls("select app.going()", through).kind, "none");
  assert.deepEqual(readCalls("select app.again()", through).functions, ["one"], "through two");
  assert.deepEqual(otherCalls("select app.again(), app.write()", through, "app.again"), [
    "app.write()",
  ]);
});

Deno.test("cadences: what a schedule comes to", () => {
  const minutes = (schedule: string) => readCadence(schedule)?.minutes;
  assert.deepEqual(
    [
      "* * * * *",
      "*/5 * * * *",
      "*/7 * * * *",
      "0 */6 * * *",
      "0 9-17 * * 1-5",
      "0 5 * * 1",
      "0 5 * * 7",
      "0 0 1,15 * *",
      "0 0 1 * *",
      "0 0 $ * *",
      "30 seconds",
      "@hourly",
    ].map(minutes),
    [1, 5, 7, 360, 60, 10_080, 10_080, 20_160, 43_200, 43_200, 1, 60],
  );
  assert.equal(minutes("@reboot"), undefined);
  assert.equal(minutes("often"), undefined);
  assert.equal(readCadence("*/5 9-16 * * 1-5")?.isPartial, true);
  assert.equal(readCadence("*/5 * * * *")?.isPartial, false);
});

Deno.test("discover and the database read commands alike", () =>
  withStack({ cron: false, net: false }, async ({ sql }) => {
    await sql.unsafe(`
      create function public.pull_reviews() returns void language plpgsql as $$ begin end $$;
      create function public.service_key() returns text language sql stable begin atomic select 'x'; end;
    `).simple();
    const url = "'https://a.supabase.co/functions/v1/fetch-a'";
    const commands = [
      `select net.http_post(url := ${url}, body := '{"call": "update"}')`,
      `-- it's /functions/v1/older\nselect net.http_post(${url}) /* '/functions/v1/old' */`,
      `delete from t; select net.http_get(${url}); Vacuum t`,
      `do $d$ begin -- drop it\n  insert into t values ('--', ${url}); perform net.http_get(${url}); end $d$`,
      `select net.http_post($$https://a.functions.supabase.co/fetch-b$$) from "update" for no key update`,
      `select net.http_post('https://a.b/functions/v1/' || 'fetch-c'), public.pull_reviews(), service_key()`,
      `select net.http_get(${url}), "Cron" . schedule('a', '* * * * *', 'b'), pgmq.send('q', '{}'), storage.filename('a/b'), vault.create_secret('x'), now()`,
      `select net.http_get(${url}), setval('s', 1), "pg_catalog".pg_Notify('a', 'b'), pg_sleep(1), pg_stat_reset_shared('x'); grant select on t to anon; lock t; comment on table t is ''`,
      `select net.http_get(${url}), t.comment, t.lock, security, comment, import, lo_price(1), lo_unlink(1) from t`,
      `select net.http_get('https://a.b/functions/v1/fetch-d'), extensions.http_get('https://ping.example.org'); select pull_reviews()`,
    ];
    const { sqlFunctions } = await readCatalog(sql, () => {});
    for (const command of commands) {
      const [row] = await sql`
        select switchyard.called_functions(${command}) as functions,
               switchyard.other_statements(${command}) as statements,
               switchyard.other_calls(${command}) as calls`;
      assert.deepEqual(
        [row!.functions, row!.statements, row!.calls],
        [
          readCalls(command, []).functions,
          otherStatements(command),
          otherCalls(command, sqlFunctions),
        ],
        command,
      );
    }
  }));
