-- The roles of a Supabase project, made on an empty server or completed on one that has some.
-- Run as the superuser supabase_admin. Safe to run again.

do $$
begin
  if current_user <> 'supabase_admin' then
    raise exception 'Cannot set up the platform roles as "%": connect as supabase_admin', current_user
      using hint = 'initdb -U supabase_admin makes it the bootstrap superuser, as on the platform';
  end if;
  -- A cluster bootstrapped as postgres cannot give up that superuser, and every test of what
  -- postgres may not do would then be worth nothing.
  if exists (select from pg_roles where rolname = 'postgres' and oid = 10) then
    raise exception 'Cannot make postgres an ordinary role: it is the bootstrap superuser of this server'
      using hint = 'Use a server made with initdb -U supabase_admin';
  end if;
end
$$;

do $$
declare
  v_role text;
begin
  -- One statement per role that is missing: CREATE ROLE knows no IF NOT EXISTS.
  foreach v_role in array array[
    'postgres', 'anon', 'authenticated', 'service_role', 'authenticator', 'supabase_realtime_admin'
  ] loop
    if not exists (select from pg_roles where rolname = v_role) then
      execute format('create role %I', v_role);
    end if;
  end loop;
end
$$;

alter role postgres
  with login nosuperuser createdb createrole replication bypassrls inherit password 'postgres';
alter role anon with nologin noinherit nosuperuser nobypassrls;
alter role authenticated with nologin noinherit nosuperuser nobypassrls;
alter role service_role with nologin noinherit nosuperuser bypassrls;
alter role authenticator with login noinherit nosuperuser nobypassrls password 'postgres';
alter role supabase_realtime_admin with nologin noinherit nosuperuser;

-- From PostgreSQL 16 on a role that may create roles manages only those it holds with ADMIN.
-- Neither INHERIT nor SET is spelled out: the defaults, inheriting as the member does and allowing
-- SET ROLE, are what PostgreSQL 15 does without being asked.
grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role, authenticator to postgres with admin option;
grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres with admin option;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role postgres set search_path = "$user", public, extensions;
alter role supabase_admin set search_path = "$user", public, extensions;
