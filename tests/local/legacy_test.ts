import assert from "node:assert/strict";
import { getStorageSchemaSql } from "@supabase/lite";
import postgres from "postgres";
import { type Database, startDatabase } from "../../local/database/embedded.ts";
import { installAuthSchema } from "../../local/gateway/auth_schema.ts";
import { applyLegacyBaseline, applyPlatform } from "../../local/platform/apply.ts";

const PER_SYMBOL = [
  "dividend_history",
  "exchange_variants",
  "financial_statements",
  "grades_historical",
  "live_quote_indicators",
  "profiles",
  "ratios_ttm",
  "revenue_product_segmentation",
  "shares_float",
];

const JOBS: [name: string, schedule: string, endpoint: string, header: string, hasBody: boolean][] =
  [
    [
      "minute-fetch-fmp-quote-indicators",
      "* * * * *",
      "fetch-fmp-quote-indicators",
      "Content-type",
      false,
    ],
    [
      "minute-fetch-fmp-exchange-prices-api",
      "* * * * *",
      "fetch-fmp-exchange-prices-api",
      "Content-type",
      false,
    ],
    [
      "hourly-fetch-fmp-all-exchange-market-status",
      "0 * * * *",
      "fetch-fmp-all-exchange-market-status",
      "Content-Type",
      false,
    ],
    ["hourly-fetch-fmp-profiles", "0 * * * *", "fetch-fmp-profiles", "Content-Type", true],
    [
      "hourly-fetch-fmp-available-exchanges",
      "0 * * * *",
      "fetch-fmp-available-exchanges",
      "Content-Type",
      true,
    ],
    ["daily-fetch-exchange-rates", "0 1 * * *", "fetch-exchange-rates", "Content-Type", false],
    ["daily-fetch-fmp-ratios-ttm", "0 2 * * *", "fetch-fmp-ratios-ttm", "Content-Type", true],
    ["daily-fetch-fmp-shares-float", "0 3 * * *", "fetch-fmp-shares-float", "Content-Type", true],
    [
      "daily-fetch-fmp-exchange-variants",
      "0 4 * * *",
      "fetch-fmp-exchange-variants",
      "Content-Type",
      true,
    ],
    [
      "monthly-fetch-fmp-financial-statements",
      "0 0 1 * *",
      "fetch-fmp-financial-statements",
      "Content-Type",
      true,
    ],
    [
      "monthly-fetch-fmp-grades-historical",
      "0 0 2 * *",
      "fetch-fmp-grades-historical",
      "Content-Type",
      true,
    ],
    [
      "quarterly-fetch-fmp-dividend-history",
      "0 0 1 1,4,7,10 *",
      "fetch-fmp-dividend-history",
      "Content-Type",
      true,
    ],
    [
      "yearly-fetch-fmp-revenue-segmentation",
      "0 1 1 1 *",
      "fetch-fmp-revenue-segmentation",
      "Content-Type",
      true,
    ],
  ];

interface Setting {
  database: Database;
  /** Superuser, one connection. */
  admin: postgres.Sql;
  /** Role postgres, one connection. */
  sql: postgres.Sql;
  /** Runs a statement as a role, with the claims of a user if given, and rolls it back. */
  as(role: string, statement: string, user?: string): Promise<postgres.Row[]>;
}

async function withLegacySystem(
  defaultPrivileges: "legacy" | "none",
  work: (setting: Setting) => Promise<void>,
): Promise<void> {
  const database = await startDatabase();
  const admin = postgres(database.adminUrl, { max: 1, onnotice: () => {} });
  await applyPlatform({ adminUrl: database.adminUrl, defaultPrivileges });
  await installAuthSchema(database.adminUrl);
  await admin.unsafe(getStorageSchemaSql()).simple();
  await applyLegacyBaseline(database.url);
  const sql = postgres(database.url, { max: 1, onnotice: () => {} });
  const as: Setting["as"] = async (role, statement, user) => {
    let rows: postgres.Row[] = [];
    await admin.begin(async (transaction) => {
      await transaction.unsafe(`set local role ${role}`);
      const claims = JSON.stringify({ role, sub: user });
      await transaction`select set_config('request.jwt.claims', ${claims}, true)`;
      await transaction.unsafe("savepoint s");
      rows = [...await transaction.unsafe(statement)];
      await transaction.unsafe("rollback to savepoint s");
    });
    return rows;
  };
  try {
    await work({ database, admin, sql, as });
  } finally {
    await sql.end();
    await admin.end();
    await database.stop();
  }
}

Deno.test("The platform", async (t) => {
  await withLegacySystem("legacy", async ({ database, admin, sql, as }) => {
    await t.step("applying it again changes nothing", async () => {
      const snapshot = () =>
        admin`
          select 'role' as kind, rolname::text as name,
            (rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication,
              rolbypassrls)::text || coalesce(
                (select string_agg(s.setconfig::text, '' order by s.setdatabase)
                  from pg_db_role_setting as s where s.setrole = r.oid), '') as value
          from pg_roles as r where rolname !~ '^pg_'
          union all
          select 'relation', oid::regclass::text, coalesce(relacl::text, '') || relowner::regrole
          from pg_class where relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
          union all
          select 'function', oid::regprocedure::text, coalesce(proacl::text, '') || md5(prosrc)
          from pg_proc where pronamespace::regnamespace::text !~ '^(pg_|information_schema)'
          union all
          select 'schema', nspname, coalesce(nspacl::text, '') from pg_namespace
          union all
          select 'default', defaclrole::text || defaclobjtype::text, defaclacl::text
          from pg_default_acl
          order by 1, 2, 3
        `;
      const before = await snapshot();
      await applyPlatform({ adminUrl: database.adminUrl });
      assert.deepEqual([...await snapshot()], [...before]);
    });

    await t.step("postgres is no superuser, ignores row security and may make roles", async () => {
      const [row] = await sql`
        select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication
        from pg_roles where rolname = current_user
      `;
      assert.deepEqual({ ...row }, {
        rolsuper: false,
        rolbypassrls: true,
        rolcreaterole: true,
        rolcreatedb: true,
        rolreplication: true,
      });
      await sql`create role made_by_postgres`;
      await sql`drop role made_by_postgres`;
    });

    await t.step("postgres and authenticator may become the API roles", async () => {
      const authenticator = new URL(database.url);
      authenticator.username = "authenticator";
      for (const url of [database.url, authenticator.href]) {
        const session = postgres(url, { max: 1 });
        try {
          for (const role of ["anon", "authenticated", "service_role"]) {
            await session.unsafe(`set role ${role}`);
            const [row] = await session`select current_user`;
            assert.equal(row?.current_user, role);
            await session`reset role`;
          }
        } finally {
          await session.end();
        }
      }
    });

    await t.step("statements are limited by role and by database", async () => {
      const rows = await admin`
        select coalesce(r.rolname::text, 'database') as who, substring(entry from '=(.*)') as value
        from pg_db_role_setting as s
        left join pg_roles as r on r.oid = s.setrole
        cross join unnest(s.setconfig) as entry
        where entry like 'statement_timeout=%'
        order by 1
      `;
      assert.deepEqual(rows.map(({ who, value }) => [who, value]), [
        ["anon", "3s"],
        ["authenticated", "8s"],
        ["authenticator", "8s"],
        ["database", "2min"],
      ]);
      const [own] = await sql`show statement_timeout`;
      assert.equal(own?.statement_timeout, "2min");
    });

    await t.step(
      "postgres may add tables to the publication and triggers to subscriptions",
      async () => {
        await sql`create table public.published (id int primary key)`;
        await sql`alter publication supabase_realtime add table public.published`;
        await sql`create function public.on_subscription() returns trigger language plpgsql
        as 'begin return null; end'`;
        await sql`create trigger t after insert on realtime.subscription
        for each row execute function public.on_subscription()`;
        await sql`drop table public.published`;
      },
    );

    await t.step("a subscription has its role from its claims", async () => {
      await sql`
        insert into realtime.subscription (subscription_id, entity, filters, claims)
        values (
          gen_random_uuid(), 'public.profiles',
          array[('symbol', 'eq', 'AAPL', false)::realtime.user_defined_filter], '{"role": "anon"}'
        )
      `;
      const [row] = await sql`
        select s.entity::text, s.claims_role::text, f.column_name, f.op, f.value
        from realtime.subscription as s, unnest(s.filters) as f
      `;
      assert.deepEqual({ ...row }, {
        entity: "profiles",
        claims_role: "anon",
        column_name: "symbol",
        op: "eq",
        value: "AAPL",
      });
    });

    await t.step("messages sent today find their partition", async () => {
      await sql`insert into realtime.messages (topic, extension) values ('t', 'broadcast')`;
      await assert.rejects(
        () => sql`create table realtime.mine (id int)`,
        { code: "42501" },
      );
    });

    await t.step("whoever listens is told of a changed schema", async () => {
      const told: string[] = [];
      const listener = postgres(database.adminUrl, { max: 1 });
      try {
        await listener.listen("pgrst", (payload) => told.push(payload));
        await sql`create table public.new_table (id int)`;
        await sql`drop table public.new_table`;
        const deadline = Date.now() + 10_000;
        while (told.length < 2) {
          assert.ok(Date.now() < deadline, "not told within 10 s");
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        assert.deepEqual(told, ["reload schema", "reload schema"]);
      } finally {
        await listener.end();
      }
    });

    await t.step("legacy default privileges give new objects to the API roles", async () => {
      await sql`create table public.fresh (id bigserial)`;
      await as("anon", "truncate public.fresh");
      await as("anon", "select nextval('public.fresh_id_seq')");
      await sql`drop table public.fresh`;
    });
  });
});

Deno.test("The legacy system", async (t) => {
  await withLegacySystem("none", async ({ admin, sql, as }) => {
    await t.step(
      "without default privileges new tables are closed, functions are not",
      async () => {
        await sql`create table public.fresh (id bigserial)`;
        await sql`create function public.fresh_function() returns int language sql as 'select 1'`;
        for (const role of ["anon", "authenticated", "service_role"]) {
          await assert.rejects(() => as(role, "select * from public.fresh"), { code: "42501" });
        }
        const [row] = await as("anon", "select public.fresh_function() as n");
        assert.equal(row?.n, 1);
      },
    );

    await t.step("row security is on for every table", async () => {
      const rows = await sql`
        select relname from pg_class
        where relnamespace = 'public'::regnamespace and relkind = 'r' and relname <> 'fresh'
          and not relrowsecurity
      `;
      assert.deepEqual([...rows], []);
    });

    await sql`
      insert into public.supported_symbols (symbol, is_active) values ('AAPL', true), ('OLD', false)
    `;
    await sql`select public.upsert_profile('{"symbol": "AAPL", "company_name": "Apple Inc."}')`;

    await t.step("everyone reads the data, nobody but the service role writes it", async () => {
      for (const table of [...PER_SYMBOL, "exchange_market_status"]) {
        await as("anon", `select * from public.${table}`);
        assert.deepEqual(await as("anon", `delete from public.${table} returning *`), [], table);
      }
      assert.equal((await as("anon", "select from public.profiles")).length, 1);
      await assert.rejects(
        () => as("authenticated", "insert into public.profiles (symbol) values ('X')"),
        { code: "42501" },
      );
      const written = await as(
        "service_role",
        "insert into public.profiles (symbol) values ('X') returning symbol",
      );
      assert.equal(written.length, 1);
    });

    await t.step("visitors see active symbols only", async () => {
      for (const role of ["anon", "authenticated"]) {
        const rows = await as(role, "select symbol from public.supported_symbols");
        assert.deepEqual(rows.map(({ symbol }) => symbol), ["AAPL"]);
      }
      assert.equal((await as("service_role", "select from public.supported_symbols")).length, 2);
    });

    await t.step("TRUNCATE is not stopped by row security", async () => {
      await as("anon", "truncate public.exchange_rates");
    });

    await t.step("a user sees and changes the own profile only", async () => {
      const mine = crypto.randomUUID();
      const theirs = crypto.randomUUID();
      await admin`insert into auth.users (id, email) values (${mine}, 'a@x'), (${theirs}, 'b@x')`;
      const answers = await Promise.all([mine, theirs].map(async (id) => {
        const payload = { record: { id, raw_user_meta_data: { full_name: "N" } } };
        const [row] = await sql`
          select public.handle_user_created_webhook(${sql.json(payload)}) as answer
        `;
        return row?.answer;
      }));
      assert.deepEqual(answers.map(({ success }) => success), [true, true]);
      const seen = await as("authenticated", "select id from public.user_profiles", mine);
      assert.deepEqual(seen.map(({ id }) => id), [mine]);
      const changed = await as(
        "authenticated",
        "update public.user_profiles set username = 'abc' returning id",
        mine,
      );
      assert.deepEqual(changed.map(({ id }) => id), [mine]);
      assert.deepEqual(await as("anon", "select id from public.user_profiles"), []);
      await assert.rejects(
        () => as("authenticated", "update public.user_profiles set username = 'ab'", mine),
        { code: "23514" },
      );
      await admin`delete from auth.users where id = ${theirs}`;
      assert.equal((await sql`select from public.user_profiles`).length, 1);
    });

    await t.step("the webhook is answered when anon calls it twice", async () => {
      const id = crypto.randomUUID();
      await admin`insert into auth.users (id, email) values (${id}, 'c@x')`;
      const call = `public.handle_user_created_webhook('{"record": {"id": "${id}"}}')`;
      const [row] = await as("anon", `select ${call} as first, ${call} as second`);
      assert.deepEqual(row?.first, { success: true, user_id: id });
      assert.deepEqual(row?.second, row?.first);
    });

    await t.step("upsert_profile sets the display name at the insert only", async () => {
      await sql`update public.profiles set display_company_name = 'Apple' where symbol = 'AAPL'`;
      await as("anon", `select public.upsert_profile('{"symbol": "AAPL"}')`);
      await sql`
        select public.upsert_profile('{"symbol": "AAPL", "company_name": "Apple Corp", "price": 2}')
      `;
      await sql`select public.upsert_profile('{"symbol": "MSFT", "company_name": "Microsoft"}')`;
      const rows = await sql`
        select symbol, company_name, display_company_name, price from public.profiles order by 1
      `;
      assert.deepEqual(rows.map((row) => ({ ...row })), [
        {
          symbol: "AAPL",
          company_name: "Apple Corp",
          display_company_name: "Apple",
          price: 2,
        },
        {
          symbol: "MSFT",
          company_name: "Microsoft",
          display_company_name: "Microsoft",
          price: null,
        },
      ]);
    });

    await t.step("an update moves the time of the last change, not the first fetch", async () => {
      const stamp = "2026-01-01T00:00:00Z";
      await sql`
        insert into public.ratios_ttm (symbol, fetched_at, updated_at)
        values ('AAPL', ${stamp}, ${stamp})
      `;
      const [row] = await sql`
        update public.ratios_ttm set dividend_yield_ttm = 1
        returning fetched_at = ${stamp} as kept, updated_at > ${stamp}::timestamptz as moved
      `;
      assert.deepEqual({ ...row }, { kept: true, moved: true });
      const triggers = await sql`
        select tgrelid::regclass::text as table, encode(tgargs, 'escape') as column
        from pg_trigger join pg_proc on pg_proc.oid = tgfoid
        where proname = 'moddatetime' order by 1
      `;
      assert.deepEqual(triggers.map((row) => row.table), [
        "available_exchanges",
        "dividend_history",
        "exchange_variants",
        "financial_statements",
        "grades_historical",
        "profiles",
        "ratios_ttm",
        "revenue_product_segmentation",
        "shares_float",
        "user_profiles",
      ]);
    });

    await t.step("no row for a symbol without a profile, and none when it goes", async () => {
      await assert.rejects(
        () => sql`insert into public.dividend_history (symbol, date) values ('NOPE', now())`,
        { code: "23503" },
      );
      await sql`insert into public.shares_float (symbol, date) values ('NOPE', now())`;
      await sql`insert into public.dividend_history (symbol, date) values ('MSFT', now())`;
      await sql`delete from public.profiles where symbol = 'MSFT'`;
      assert.equal((await sql`select from public.dividend_history`).length, 0);
    });

    await t.step("the publication has the ten tables that clients watch", async () => {
      const rows = await sql`
        select tablename from pg_publication_tables where pubname = 'supabase_realtime' order by 1
      `;
      assert.deepEqual(
        rows.map(({ tablename }) => tablename),
        [...PER_SYMBOL, "exchange_market_status"].sort(),
      );
    });

    await t.step("there is a bucket for logos", async () => {
      const [row] = await sql`select name, public from storage.buckets`;
      assert.deepEqual({ ...row }, { name: "profile-images", public: true });
    });

    await t.step("thirteen jobs of postgres are active", async () => {
      const rows = await sql`
        select jobname, schedule from cron.job where active and username = 'postgres' order by jobid
      `;
      assert.deepEqual(
        rows.map(({ jobname, schedule }) => [jobname, schedule]),
        JOBS.map(([name, schedule]) => [name, schedule]),
      );
    });

    await t.step("each job's command queues its call with the two secrets", async () => {
      await sql`select vault.create_secret('https://x.example', 'project_url')`;
      await sql`select vault.create_secret('the-key', 'anon_key')`;
      for (const [name, , endpoint, header, hasBody] of JOBS) {
        const [job] = await sql`select command from cron.job where jobname = ${name}`;
        const rows = await sql.unsafe(job?.command);
        assert.deepEqual(Object.keys(rows[0] ?? {}), ["request_id"], name);
        const [request] = await sql`
          delete from net.http_request_queue where id = ${rows[0]?.request_id}
          returning method, url, headers, convert_from(body, 'UTF8') as body, timeout_milliseconds
        `;
        assert.deepEqual({ ...request }, {
          method: "POST",
          url: `https://x.example/functions/v1/${endpoint}`,
          headers: { [header]: "application/json", Authorization: "Bearer the-key" },
          body: "{}",
          timeout_milliseconds: 5000,
        }, name);
        assert.equal(/\bbody\s*:=/.test(job?.command), hasBody, name);
      }
    });

    await t.step(
      "the commands differ in letter case and in the white space around them",
      async () => {
        const rows = await sql`select command from cron.job`;
        const commands = rows.map(({ command }) => String(command));
        assert.ok(new Set(commands.map((c) => /select/i.exec(c)?.[0])).size > 1);
        assert.ok(new Set(commands.map((c) => /^\s*/.exec(c)?.[0])).size > 1);
        assert.ok(new Set(commands.map((c) => /\s*$/.exec(c)?.[0])).size > 1);
      },
    );
  });
});
