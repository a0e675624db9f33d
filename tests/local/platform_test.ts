import assert from "node:assert/strict";
import postgres from "postgres";
import { applyPlatform } from "../../local/platform/apply.ts";
import { withLegacySystem } from "./legacy_system.ts";
import { eventually } from "../eventually.ts";

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
        await eventually("both notifications", () => told.length >= 2 || undefined);
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
