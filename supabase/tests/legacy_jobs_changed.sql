-- What people do to a legacy job while Switchyard holds it paused.
begin;
select plan(41);

create function pg_temp.job(p_name text) returns text language sql as $$
  select coalesce((select string_agg(case when active then 'active' else 'paused' end, ', ' order by jobid)
                     from cron.job where jobname = p_name), 'gone')
$$;
create function pg_temp.id(p_name text) returns bigint language sql as $$
  select jobid from cron.job where jobname = p_name
$$;
create function pg_temp.note(p_data_type text) returns text language sql as $$
  select string_agg(concat_ws(': ', j ->> 'action', j ->> 'note'), ', ' order by j ->> 'job_id')
    from (select detail from switchyard.migration_events where data_type = p_data_type order by id desc limit 1) as e
   cross join jsonb_array_elements(e.detail -> 'legacy_jobs') as j
$$;
create function pg_temp.command(p_function text) returns text language sql as $$ select '/functions/v1/' || p_function $$;
update public.feature_flags set enabled = true where flag_name in ('use_queue_system', 'use_new_staleness_check');

-- Changed.
select switchyard.set_stage('profile', 'live');
select cron.alter_job(pg_temp.id('hourly-fetch-fmp-profiles'), schedule := '30 * * * *');
select switchyard.set_stage('profile', 'legacy');
select is(pg_temp.job('hourly-fetch-fmp-profiles'), 'active', 'a job that was changed runs again');
select is((select schedule from cron.job where jobname = 'hourly-fetch-fmp-profiles'), '30 * * * *', '… as it was changed');
select is(pg_temp.note('profile'), 'resumed: changed since it was saved; the change stays', '… which is reported');

-- Made active again.
select switchyard.set_stage('profile', 'live');
select cron.alter_job(pg_temp.id('hourly-fetch-fmp-profiles'), active := true);
select switchyard.set_stage('quote', 'live');
select is(pg_temp.job('hourly-fetch-fmp-profiles'), 'active', 'a job that somebody made active stays so while other types move');
select switchyard.set_stage('profile', 'legacy');
select is(pg_temp.note('profile'), 'was active already', '… also on the way back');
select switchyard.set_stage('profile', 'live');
select cron.alter_job(pg_temp.id('hourly-fetch-fmp-profiles'), active := true);
update public.feature_flags set enabled = false where flag_name = 'use_queue_system';
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select is(pg_temp.job('hourly-fetch-fmp-profiles'), 'paused', '… until the queue is switched on anew');
select switchyard.set_stage('profile', 'legacy');

-- Removed.
select switchyard.set_stage('profile', 'live');
create temp table removed as select * from cron.job where jobname = 'hourly-fetch-fmp-profiles';
select cron.unschedule('hourly-fetch-fmp-profiles');
select switchyard.set_stage('profile', 'legacy');
select is(pg_temp.job('hourly-fetch-fmp-profiles'), 'active', 'a job that was removed is scheduled anew');
select results_eq(
  $$select j.schedule, j.command, j.database, j.username from cron.job as j where j.jobname = 'hourly-fetch-fmp-profiles'$$,
  $$select r.schedule, r.command, r.database, r.username from removed as r$$, '… as it was saved');
select matches(pg_temp.note('profile'), '^scheduled anew: somebody had removed it; it has the id \d+ now$', '… which is reported');

-- Removed, and it had been found paused.
select cron.alter_job(pg_temp.id('daily-fetch-fmp-ratios-ttm'), active := false);
select switchyard.set_stage('ratios-ttm', 'live');
select cron.unschedule('daily-fetch-fmp-ratios-ttm');
select switchyard.set_stage('ratios-ttm', 'legacy');
select is(pg_temp.job('daily-fetch-fmp-ratios-ttm'), 'gone', 'one that had been paused before stays away');

-- Made anew under its name.
select switchyard.set_stage('profile', 'live');
select cron.unschedule('hourly-fetch-fmp-profiles');
select cron.schedule('hourly-fetch-fmp-profiles', '15 * * * *', pg_temp.command('fetch-fmp-profiles'));
select switchyard.set_stage('profile', 'legacy');
select results_eq(
  $$select schedule, active from cron.job where jobname ~ '^hourly-fetch-fmp-profiles'$$, $$values ('15 * * * *', true)$$,
  'what was made in its place is kept, and no second one is made');
select matches(pg_temp.note('profile'), '^replaced: somebody had removed it; job \d+ "hourly-fetch-fmp-profiles" takes its place$',
  '… which is reported');

-- Made anew under another name; at rest, since that is what its maker saw.
select switchyard.set_stage('profile', 'live');
select cron.unschedule('hourly-fetch-fmp-profiles');
select cron.alter_job(cron.schedule('profiles-each-hour', '0 * * * *', pg_temp.command('fetch-fmp-profiles')), active := false);
select switchyard.set_stage('profile', 'legacy');
select is(pg_temp.job('profiles-each-hour') || ' ' || pg_temp.job('hourly-fetch-fmp-profiles'), 'active gone',
  'a renamed job runs again under its new name');
select matches(pg_temp.note('profile'), 'takes its place and was made active$', '… which is reported');

-- Made anew while the type is live: it is a legacy job of its own, and held by the next switch.
select switchyard.set_stage('profile', 'live');
select cron.unschedule('profiles-each-hour');
select cron.schedule('hourly-fetch-fmp-profiles', '45 * * * *', pg_temp.command('fetch-fmp-profiles'));
update public.feature_flags set enabled = false where flag_name = 'use_new_staleness_check';
select is(pg_temp.job('hourly-fetch-fmp-profiles') || ' ' || pg_temp.job('profiles-each-hour'), 'active gone',
  'replaced while live, the new one covers');
update public.feature_flags set enabled = true where flag_name = 'use_new_staleness_check';
select is(pg_temp.job('hourly-fetch-fmp-profiles'), 'paused', '… and rests when the queue is back');
select switchyard.set_stage('profile', 'legacy');
select is(pg_temp.job('hourly-fetch-fmp-profiles'), 'active', '… and runs after it');
select is((select count(*) from cron.job where command ~ '/functions/v1/fetch-fmp-profiles'), 1::bigint, 'there is one such job');

-- Made into something else.
select switchyard.set_stage('dividend-history', 'live');
select cron.alter_job(pg_temp.id('quarterly-fetch-fmp-dividend-history'), command := pg_temp.command('fetch-fmp-dividend-history'));
update public.data_type_registry_v2 set legacy_cron_jobs = '{}' where data_type = 'dividend-history';
select cron.alter_job(pg_temp.id('quarterly-fetch-fmp-dividend-history'), command := 'select 1', active := true);
update public.feature_flags set enabled = false where flag_name = 'use_queue_system';
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select is((select command || ' ' || active from cron.job where jobname = 'quarterly-fetch-fmp-dividend-history'), 'select 1 true',
  'a job that does something else now is left alone');
select is(
  (select count(*) || ' ' || bool_or(active) from cron.job where jobname ~ '^quarterly-fetch-fmp-dividend-history-restored-\d+$'),
  '1 false', '… and what it did is a job beside it, under a name of its own, at rest while the type is live');
select switchyard.set_stage('dividend-history', 'legacy');
select is(
  (select count(*) || ' ' || bool_or(active) from cron.job where jobname ~ '^quarterly-fetch-fmp-dividend-history-restored-\d+$'),
  '1 true', '… and runs after it');

-- Its name taken by something else.
select switchyard.set_stage('available-exchanges', 'live');
update public.data_type_registry_v2 set legacy_cron_jobs = '{}' where data_type = 'available-exchanges';
select cron.unschedule('hourly-fetch-fmp-available-exchanges');
select cron.schedule('hourly-fetch-fmp-available-exchanges', '0 * * * *', 'select 2');
select switchyard.set_stage('available-exchanges', 'legacy');
select is((select command from cron.job where jobname = 'hourly-fetch-fmp-available-exchanges'), 'select 2',
  'a name that was taken is not overwritten');
select is((select count(*) from cron.job where active and command ~ '/functions/v1/fetch-fmp-available-exchanges'), 1::bigint,
  '… and the job is back under another');

-- Unnamed and removed; in a database of its own.
select cron.schedule('0 6 * * *', pg_temp.command('fetch-exchange-rates'));
select cron.unschedule('daily-fetch-exchange-rates');
select switchyard.set_stage('exchange-rates', 'live');
select cron.unschedule(jobid) from cron.job where command ~ 'fetch-exchange-rates';
select switchyard.set_stage('exchange-rates', 'legacy');
select results_eq(
  $$select jobname::text, schedule, active from cron.job where command ~ 'fetch-exchange-rates'$$,
  $$values (null::text, '0 6 * * *', true)$$, 'a job without a name is scheduled anew without one');
select lives_ok(
  $$select cron.schedule_in_database('elsewhere', '0 6 * * *', pg_temp.command('fetch-fmp-exchange-variants'), 'template1')$$,
  'a job may run in another database');
select switchyard.set_stage('exchange-variants', 'live');
select is(pg_temp.job('elsewhere'), 'paused', '… and is paused as others are');
select cron.unschedule('elsewhere');
select switchyard.set_stage('exchange-variants', 'legacy');
select is((select database from cron.job where jobname = 'elsewhere' and active), 'template1', '… and comes back where it was');

-- Every few seconds, where pg_cron can do that.
create function pg_temp.schedule_seconds() returns text language plpgsql as $$
begin
  perform cron.schedule('half-minute', '30 seconds', '/functions/v1/fetch-fmp-revenue-segmentation');
  perform switchyard.set_stage('revenue-segmentation', 'live');
  perform cron.unschedule('half-minute');
  perform switchyard.set_stage('revenue-segmentation', 'legacy');
  return (select schedule || ' ' || active from cron.job where jobname = 'half-minute');
exception when others then
  return sqlerrm;
end $$;
select is(pg_temp.schedule_seconds(),
  case when exists (select 1 from pg_extension where extname = 'pg_cron' and extversion ~ '^1\.[0-4]\M') then 'invalid schedule: 30 seconds'
       else '30 seconds true' end, 'a schedule in seconds comes back as it was');

-- A new data type that shares a job which rests.
select switchyard.set_stage('shares-float', 'live');
select switchyard.set_stage('shares-float-all', 'live');
insert into public.data_type_registry_v2
select (jsonb_populate_record(r, '{"data_type": "float-of-a-third-kind", "stage": "legacy", "legacy_cron_jobs": []}')).*
  from public.data_type_registry_v2 as r where r.data_type = 'shares-float';
select is(pg_temp.job('daily-fetch-fmp-shares-float'), 'active', 'a job that rests runs again when a new data type needs it');

-- What cannot be had back is an alert, and keeps nothing else from coming back.
select switchyard.set_stage('financial-statements', 'live');
select switchyard.set_stage('grades-historical', 'live');
select cron.unschedule('monthly-fetch-fmp-financial-statements');
update switchyard.saved_cron_jobs set schedule = 'whenever' where job_name = 'monthly-fetch-fmp-financial-statements' and released_at is null;
select lives_ok($$update public.feature_flags set enabled = false where flag_name = 'use_queue_system'$$,
  'the way back is open, though one job cannot be scheduled');
select is(pg_temp.job('monthly-fetch-fmp-grades-historical'), 'active', '… and the others run again');
select matches((select message from switchyard.alerts where data_type = 'financial-statements' and rule = 'legacy_job' and resolved_at is null),
  'Nothing refreshes "financial-statements"|could not be made', '… and an alert tells');
select is((select count(*) from switchyard.saved_cron_jobs where released_at is null), 1::bigint,
  '… and its definition is kept for the next try');

-- Several jobs that call one function, retired: each comes back, however often.
update public.feature_flags set enabled = true where flag_name in ('use_queue_system', 'use_new_staleness_check');
select cron.schedule('twin-0', '0 * * * *', pg_temp.command('fetch-fmp-ratios-ttm') || '?half=0');
select cron.schedule('twin-1', '1 * * * *', pg_temp.command('fetch-fmp-ratios-ttm') || '?half=1');
select cron.schedule('twin-2', '2 * * * *', pg_temp.command('fetch-fmp-ratios-ttm') || '?half=2');
create function pg_temp.twins() returns text language sql as $$
  select string_agg(concat_ws(' ', jobname, case when active then 'active' else 'paused' end), ', ' order by jobname)
    from cron.job where command ~ 'fetch-fmp-ratios-ttm'
$$;
select switchyard.set_stage('ratios-ttm', 'retired');
select is(pg_temp.twins(), null, 'retired jobs are unscheduled');
update public.feature_flags set enabled = false where flag_name = 'use_queue_system';
select is(pg_temp.twins(), 'twin-0 active, twin-1 active, twin-2 active', '… and each is back when the queue is off');
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select is(pg_temp.twins(), null, '… gone again');
select switchyard.set_stage('ratios-ttm', 'live');
select is(pg_temp.twins(), 'twin-0 paused, twin-1 paused, twin-2 paused', '… in live there, but at rest');
select cron.unschedule('twin-1');
select switchyard.set_stage('ratios-ttm', 'legacy');
select is(pg_temp.twins(), 'twin-0 active, twin-1 active, twin-2 active', '… and the one that somebody removed is not taken for another');
select switchyard.set_stage('ratios-ttm', 'retired');
update public.feature_flags set enabled = false where flag_name = 'use_new_staleness_check';
select is(pg_temp.twins(), 'twin-0 active, twin-1 active, twin-2 active', 'a second time too');

-- Removed in the moment in which it is to rest.
select is(switchyard.rest_legacy_job(0, null, '{profile}', false)::text,
  '{"note": "somebody has just removed it", "action": "gone", "job_id": 0}', 'a job that goes before it is saved is told as gone');
select lives_ok($$select switchyard.touch_cron_job(jsonb_populate_record(null::cron.job, '{"jobid": 0}'))$$, '… and is no error to who locks it');

select * from finish();
rollback;
