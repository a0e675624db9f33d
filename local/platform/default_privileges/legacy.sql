-- What a project made before 2026-05-30 grants on whatever postgres creates in public.
-- Run as supabase_admin, instead of none.sql. EXECUTE for PUBLIC on functions is PostgreSQL's own
-- default and stays in both.

alter default privileges for role postgres in schema public
  grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on sequences to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on functions to postgres, anon, authenticated, service_role;
