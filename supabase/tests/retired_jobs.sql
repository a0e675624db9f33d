-- Retired: the legacy jobs are gone from cron.job, and come back from what was saved.
begin;
select plan(19);

create function pg_temp.job(p_name text) returns text language sql as $$
  select coalesce((select string_agg(case when active then 'active' else 'paused' end, ', ' order by jobid)
                     from cron.job where jobname = p_name), 'gone')
$$;
create temp table before as select jobname, schedule, command, database, username, active from cron.job where jobname ~ 'profiles|quote|prices|float|ratios';
update public.feature_flags set enabled = true where flag_name in ('use_queue_system', 'use_new_staleness_check');

select switchyard.set_stage('profile', 'live');
select switchyard.set_stage('profile', 'retired');
select is(pg_temp.job('hourly-fetch-fmp-profiles'), 'gone', 'retired unschedules the legacy job');
select results_eq(
  $$select found_active, is_scheduled, schedule from switchyard.saved_cron_jobs where released_at is null$$,
  $$values (true, false, '0 * * * *')$$, '… and keeps its definition');

select results_eq(
  $$select data_type, reason from public.check_and_queue_stale_data_from_presence_v2()$$, $$values ('profile', null::text)$$,
  '… while the queue looks after what viewers see of it');
select results_eq(
  $$select data_type, reason from public.queue_scheduled_refreshes_v2()$$, $$values ('profile', null::text)$$,
  '… and after its schedule');

-- Shared with a type that is not retired.
select switchyard.set_stage('shares-float', 'retired');
select is(pg_temp.job('daily-fetch-fmp-shares-float'), 'active', 'a job shared with a type in legacy stays');
select switchyard.set_stage('shares-float-all', 'live');
select is(pg_temp.job('daily-fetch-fmp-shares-float'), 'paused', '… rests when that is live');
select switchyard.set_stage('shares-float-all', 'retired');
select is(pg_temp.job('daily-fetch-fmp-shares-float'), 'gone', '… and goes when both are retired');

-- Found paused.
select cron.alter_job(jobid, active := false) from cron.job where jobname = 'daily-fetch-fmp-ratios-ttm';
update before set active = false where jobname = 'daily-fetch-fmp-ratios-ttm';
select switchyard.set_stage('ratios-ttm', 'retired');
select is(pg_temp.job('daily-fetch-fmp-ratios-ttm'), 'gone', 'one that somebody had paused goes too');

-- Every flag off.
update public.feature_flags set enabled = false where flag_name = 'use_queue_system';
select results_eq(
  $$select jobname::text, schedule, command, database, username, active from cron.job where jobname ~ 'profiles|quote|prices|float|ratios' order by 1$$,
  $$select jobname::text, schedule, command, database, username, active from before order by 1$$,
  'with use_queue_system off all are there again, each as it was found');
select is((select stage from public.data_type_registry_v2 where data_type = 'profile'), 'retired', '… though the type stays retired');
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select is(pg_temp.job('hourly-fetch-fmp-profiles') || ' ' || pg_temp.job('daily-fetch-fmp-ratios-ttm'), 'gone gone',
  'with it on again they are gone again');

-- Back to live without going through legacy.
select switchyard.set_stage('profile', 'live');
select is(pg_temp.job('hourly-fetch-fmp-profiles'), 'paused', 'from retired to live the job is there again, at rest');
select switchyard.set_stage('profile', 'legacy');
select is(pg_temp.job('hourly-fetch-fmp-profiles'), 'active', '… and from there it runs again');

-- Rolled back.
update public.feature_flags set enabled = false where flag_name = 'use_queue_for_ratios-ttm';
select is(pg_temp.job('daily-fetch-fmp-ratios-ttm'), 'paused', 'a retired type whose flag goes off has its job as it was found');
select * from public.rollback_migration_v2('shares-float');
select is(pg_temp.job('daily-fetch-fmp-shares-float'), 'active', 'a shared job comes back with the first of its types');
select * from public.rollback_migration_v2('shares-float-all');
select results_eq(
  $$select jobname::text, schedule, command, database, username, active from cron.job where jobname ~ 'profiles|quote|prices|float|ratios' order by 1$$,
  $$select jobname::text, schedule, command, database, username, active from before order by 1$$,
  'after all of it the legacy jobs are as they were');
select is_empty('select 1 from switchyard.saved_cron_jobs where released_at is null', '… and nothing is held');

-- Made anew by somebody while retired.
select switchyard.set_stage('profile', 'retired');
select cron.schedule('hourly-fetch-fmp-profiles', '5 * * * *', '/functions/v1/fetch-fmp-profiles');
update public.feature_flags set enabled = false where flag_name = 'use_queue_system';
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select is(pg_temp.job('hourly-fetch-fmp-profiles'), 'gone', 'a job that somebody made again goes with the next switch');
update public.feature_flags set enabled = false where flag_name = 'use_queue_system';
select results_eq(
  $$select schedule, active from cron.job where jobname ~ '^hourly-fetch-fmp-profiles'$$, $$values ('5 * * * *', true)$$,
  '… and its last definition is the one that comes back');

select * from finish();
rollback;
