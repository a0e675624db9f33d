-- Database, schemas and extensions as on the platform. Run as supabase_admin. Safe to run again.

do $$
begin
  execute format('alter database %I owner to postgres', current_database());
  execute format('alter database %I set statement_timeout = ''2min''', current_database());
  execute format(
    'alter database %I set search_path = "$user", public, extensions', current_database()
  );
end
$$;

alter schema public owner to pg_database_owner;
grant usage on schema public to anon, authenticated, service_role;
grant all on schema public to postgres;

create schema if not exists extensions;
grant usage on schema extensions to postgres, anon, authenticated, service_role;
grant all on schema extensions to postgres;

create extension if not exists pgcrypto schema extensions;
create extension if not exists "uuid-ossp" schema extensions;
create extension if not exists moddatetime schema extensions;

do $$
begin
  -- Without the library its view raises on every read.
  if current_setting('shared_preload_libraries') ~ '\mpg_stat_statements\M' then
    create extension if not exists pg_stat_statements schema extensions;
  end if;
end
$$;

-- Empty on the platform as well until pg_graphql is switched on.
create schema if not exists graphql;
create schema if not exists graphql_public;
grant usage on schema graphql, graphql_public to postgres, anon, authenticated, service_role;
