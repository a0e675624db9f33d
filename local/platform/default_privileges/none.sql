-- What newer projects grant on whatever postgres creates in public: nothing.
-- Run as supabase_admin, instead of legacy.sql; takes its grants back for objects made from now on.

alter default privileges for role postgres in schema public
  revoke all on tables from postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  revoke all on sequences from postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  revoke all on functions from postgres, anon, authenticated, service_role;
