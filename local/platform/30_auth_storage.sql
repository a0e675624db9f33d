-- Schemas of the Auth and Storage services. Run as supabase_admin. Safe to run again.
-- The services make their tables themselves at their start; the grants on them are default
-- privileges, so that the order does not matter.

create schema if not exists auth;
grant usage on schema auth to postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema auth
  grant all on tables to postgres;
alter default privileges for role supabase_admin in schema auth
  grant all on sequences to postgres;

create schema if not exists storage;
grant usage on schema storage to postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema storage
  grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema storage
  grant all on sequences to postgres, anon, authenticated, service_role;

-- Of what is there already (a server that was used before).
grant all on all tables in schema auth to postgres;
grant all on all tables in schema storage to postgres, anon, authenticated, service_role;

create or replace function auth.uid() returns uuid
language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')
  )::uuid
$$;

create or replace function auth.role() returns text
language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.role', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role')
  )
$$;

create or replace function auth.email() returns text
language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.email', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email')
  )
$$;

create or replace function auth.jwt() returns jsonb
language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')
  )::jsonb
$$;
