-- The extension pg_cron itself, with the platform's grants to postgres. Run as supabase_admin,
-- after local/platform, instead of cron.sql, where shared_preload_libraries has pg_cron and
-- cron.database_name is this database. Safe to run again.
--
-- pg_cron connects to cron.host as the owner of a job without a password, so pg_hba.conf must trust
-- connections from the server itself (or cron.use_background_workers be on).

create extension if not exists pg_cron schema pg_catalog;

grant usage on schema cron to postgres with grant option;
grant execute on all functions in schema cron to postgres with grant option;
grant all on all tables in schema cron to postgres with grant option;
revoke all on table cron.job from postgres;
grant select on table cron.job to postgres with grant option;
