-- Legacy jobs that are held and made into something else under their own name: that name refreshes nothing.
begin;
select plan(51);

create function pg_temp.jobs(p_like text) returns text language sql as $$
  select string_agg(format('%s %s %s', regexp_replace(jobname, '\d+$', 'N'), case when active then 'active' else 'paused' end,
                           case when command ~ '/functions/v1/' then 'calls' else command end), ', ' order by jobid)
    from cron.job where jobname like p_like
$$;
create function pg_temp.id(p_name text) returns bigint language sql as $$
  select jobid from cron.job where jobname = p_name
$$;
create function pg_temp.note(p_data_type text) returns text language sql as $$
  select regexp_replace(string_agg(concat_ws(': ', j ->> 'action', j ->> 'note'), ', ' order by j ->> 'job_id'), '\d+', 'N', 'g')
    from (select detail from switchyard.migration_events where data_type = p_data_type order by id desc limit 1) as e
   cross join jsonb_array_elements(e.detail -> 'legacy_jobs') as j
$$;
create function pg_temp.refreshed_by(p_data_type text) returns text language sql as $$
  select refreshed_by from public.migration_status_v2 where data_type = p_data_type
$$;
update public.feature_flags set enabled = true where flag_name in ('use_queue_system', 'use_new_staleness_check');

-- What does the work of a saved job.
create function pg_temp.does(p_name text, p_command text, p_saved_name text, p_saved_command text, p_types text[]) returns boolean language sql as $$
  select switchyard.does_work_of(p_name, p_command, 'postgres', jsonb_populate_record(null::switchyard.saved_cron_jobs,
    jsonb_build_object('job_name', p_saved_name, 'command', p_saved_command, 'database', 'postgres', 'data_types', to_jsonb(p_types))))
$$;
create function public.pull_all() returns void language plpgsql set search_path = '' as $$ begin end $$;
create function public.pull_some() returns void language plpgsql set search_path = '' as $$ begin end $$;
select ok(pg_temp.does('a', 'X(/functions/v1/fetch-fmp-profiles?full=1)', 'a', '/functions/v1/fetch-fmp-profiles', '{profile}'), 'the same function does the same work');
select ok(not pg_temp.does('a', 'select 1', 'a', '/functions/v1/fetch-fmp-profiles', '{profile}'), '… none does not');
select ok(not pg_temp.does('a', '/functions/v1/fetch-fmp-profiles', 'a', '/functions/v1/fetch-fmp-profiles /functions/v1/fetch-exchange-rates', '{profile,exchange-rates}'),
  '… nor does one of two');
select ok(pg_temp.does('hourly-fetch-fmp-profiles', 'select public.pull_all() -- anew', 'hourly-fetch-fmp-profiles', 'select public.pull_all()', '{profile}'),
  'of a job known by its name alone the same SQL function does');
select ok(not pg_temp.does('hourly-fetch-fmp-profiles', 'select public.pull_some()', 'hourly-fetch-fmp-profiles', 'select public.pull_all()', '{profile}'),
  '… not another one');
select ok(not pg_temp.does('hourly-fetch-fmp-profiles', 'select 1', 'hourly-fetch-fmp-profiles', 'select public.pull_all()', '{profile}'), '… nor none');
select ok(pg_temp.does('anything', '/functions/v1/fetch-fmp-profiles', 'hourly-fetch-fmp-profiles', 'select public.pull_all()', '{profile}'),
  '… but the Edge Function of its types does');
select ok(not pg_temp.does('anything', 'select public.pull_all()', 'hourly-fetch-fmp-profiles', 'select public.pull_all()', '{profile}'),
  '… and under another name nobody knows');
select ok(not switchyard.does_work_of('a', '/functions/v1/fetch-fmp-profiles', 'elsewhere', jsonb_populate_record(null::switchyard.saved_cron_jobs,
    '{"job_name": "a", "command": "/functions/v1/fetch-fmp-profiles", "database": "postgres", "data_types": ["profile"]}')), 'in another database it does not');
select ok(not pg_temp.does('hourly-fetch-fmp-profiles', $$select pg_notify('housekeeping', 'cache')$$, 'hourly-fetch-fmp-profiles', $$select pg_notify('refresh', 'profiles')$$, '{profile}'),
  'that both notify somebody says nothing');
select ok(not pg_temp.does('hourly-fetch-fmp-profiles', $$select cron.schedule('y', '* * * * *', 'select 2')$$, 'hourly-fetch-fmp-profiles', $$select cron.schedule('x', '* * * * *', 'select 1')$$, '{profile}'),
  '… nor that both schedule something');
select ok(pg_temp.does('hourly-fetch-fmp-profiles', $$select  pg_notify('refresh', 'profiles') -- now$$, 'hourly-fetch-fmp-profiles', $$select pg_notify('refresh', 'profiles')$$, '{profile}'),
  '… the same command does');
select is(switchyard.called_known_functions('/functions/v1/fetch-fmp-profiles /functions/v1/send-mail'), '{fetch-fmp-profiles}'::text[],
  'functions that refresh a type are known');

-- Its command changed.
select switchyard.set_stage('profile', 'live');
select cron.alter_job(pg_temp.id('hourly-fetch-fmp-profiles'), command := 'select 1');
select switchyard.set_stage('profile', 'legacy');
select is(pg_temp.jobs('hourly-fetch-fmp-profiles%'), 'hourly-fetch-fmp-profiles paused select 1, hourly-fetch-fmp-profiles-restored-N active calls',
  'a job that does nothing now is left alone, and what it did is scheduled beside it');
select is(pg_temp.note('profile'), 'scheduled anew: job N does something else now and was left alone, paused as it is (select cron.alter_job(N, active := true) lets it run); it has the id N now', '… which is reported');
select is(pg_temp.refreshed_by('profile'), 'legacy jobs', '… so that the type is refreshed');
select is_empty($$select 1 from switchyard.saved_cron_jobs where released_at is null$$, '… and nothing is held');
select switchyard.set_stage('profile', 'live');
select is(pg_temp.jobs('hourly-fetch-fmp-profiles%'), 'hourly-fetch-fmp-profiles paused select 1, hourly-fetch-fmp-profiles-restored-N paused calls',
  'a second time both rest');
select switchyard.set_stage('profile', 'legacy');
select is(pg_temp.jobs('hourly-fetch-fmp-profiles%'), 'hourly-fetch-fmp-profiles paused select 1, hourly-fetch-fmp-profiles-restored-N active calls',
  '… and come back as they were');

-- Removed, and made again under its name as something else.
select switchyard.set_stage('exchange-rates', 'live');
select cron.unschedule('daily-fetch-exchange-rates');
select cron.schedule('daily-fetch-exchange-rates', '0 0 * * *', 'select 1');
select switchyard.set_stage('exchange-rates', 'legacy');
select is(pg_temp.jobs('daily-fetch-exchange-rates%'), 'daily-fetch-exchange-rates active select 1, daily-fetch-exchange-rates-restored-N active calls',
  'one that was made again as something else takes no place');
select is(pg_temp.note('exchange-rates'), 'scheduled anew: somebody had removed it; it has the id N now', '… which is reported');

-- The restored name taken too.
select switchyard.set_stage('dividend-history', 'live');
select cron.schedule('quarterly-fetch-fmp-dividend-history', '0 0 1 1 *', 'select 1');
select cron.schedule('quarterly-fetch-fmp-dividend-history-restored-' || id, '9 9 * * *', 'select 2')
  from switchyard.saved_cron_jobs where released_at is null and job_name like 'quarterly-fetch-fmp-dividend%';
select switchyard.set_stage('dividend-history', 'legacy');
select is((select string_agg(command, ', ' order by jobid) from cron.job where jobname like 'quarterly-fetch-fmp-dividend%' and command ~ '^select \d'),
  'select 1, select 2', 'whatever its names are taken by is left alone');
select is(pg_temp.refreshed_by('dividend-history'), 'legacy jobs', '… and the type is refreshed');

-- As long a name as pg_cron 1.4 keeps.
select cron.unschedule('daily-fetch-fmp-exchange-variants');
select cron.schedule(repeat('v', 63), '0 4 * * *', 'select net.http_post(''http://x/functions/v1/fetch-fmp-exchange-variants'')');
select switchyard.set_stage('exchange-variants', 'live');
select cron.schedule(repeat('v', 63), '5 5 * * *', 'select 1');
select switchyard.set_stage('exchange-variants', 'legacy');
select is((select schedule || ' ' || command from cron.job where jobname = repeat('v', 63)), '5 5 * * * select 1', 'what was put under a long name is left alone');
select results_eq($$select schedule, active from cron.job where jobname ~ '^v{5,}-restored-\d+$'$$, $$values ('0 4 * * *', true)$$, '… and what it did comes back beside it');
select is(pg_temp.refreshed_by('exchange-variants'), 'legacy jobs', '… and refreshes the type');

-- Its name forgotten by the registry too.
select switchyard.set_stage('grades-historical', 'live');
select cron.alter_job(pg_temp.id('monthly-fetch-fmp-grades-historical'), command := 'select 1');
update public.data_type_registry_v2 set legacy_cron_jobs = '{}' where data_type = 'grades-historical';
select is(pg_temp.jobs('monthly-fetch-fmp-grades-historical%'), 'monthly-fetch-fmp-grades-historical paused select 1', 'it stays held while the type is live');
select switchyard.set_stage('grades-historical', 'legacy');
select is(pg_temp.jobs('monthly-fetch-fmp-grades-historical%'),
  'monthly-fetch-fmp-grades-historical paused select 1, monthly-fetch-fmp-grades-historical-restored-N active calls', '… and comes back beside');
select is(pg_temp.refreshed_by('grades-historical'), 'legacy jobs', '… so that the type is refreshed');

-- One job of two types, made again for one of them.
select cron.unschedule('quarterly-fetch-fmp-dividend-history');
select cron.unschedule('daily-fetch-fmp-ratios-ttm');
select cron.schedule('both', '0 0 * * *', '/functions/v1/fetch-fmp-dividend-history; /functions/v1/fetch-fmp-ratios-ttm');
select switchyard.set_stage('dividend-history', 'live');
select switchyard.set_stage('ratios-ttm', 'live');
select is(pg_temp.jobs('both%'), 'both paused calls', 'a job of two types rests when both are live');
select cron.unschedule('both');
select cron.schedule('both', '0 0 * * *', '/functions/v1/fetch-fmp-ratios-ttm');
update public.feature_flags set enabled = false where flag_name = 'use_queue_system';
select is(pg_temp.jobs('both%'), 'both active calls, both-restored-N active calls', 'one that is made again for one of them takes no place');
select is(pg_temp.refreshed_by('dividend-history') || ', ' || pg_temp.refreshed_by('ratios-ttm'), 'legacy jobs, legacy jobs', '… so that both are refreshed');
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';

-- Changed and made active again, then retired: what was saved stays what was saved.
select switchyard.set_stage('available-exchanges', 'live');
select cron.alter_job(pg_temp.id('hourly-fetch-fmp-available-exchanges'), command := 'select 1', active := true);
select switchyard.set_stage('available-exchanges', 'retired');
select is(pg_temp.jobs('hourly-fetch-fmp-available-exchanges%'), 'hourly-fetch-fmp-available-exchanges active select 1', 'it is left alone');
select matches((select command from switchyard.saved_cron_jobs where job_name = 'hourly-fetch-fmp-available-exchanges' and released_at is null),
  '/functions/v1/fetch-fmp-available-exchanges', '… and the save is not overwritten');
select switchyard.set_stage('available-exchanges', 'legacy');
select is(pg_temp.jobs('hourly-fetch-fmp-available-exchanges%'),
  'hourly-fetch-fmp-available-exchanges active select 1, hourly-fetch-fmp-available-exchanges-restored-N active calls', '… so that it comes back');

-- A wrapper, known by its name alone.
update public.data_type_registry_v2 set legacy_cron_jobs = '{wrapper}', edge_function_name = null where data_type = 'revenue-segmentation';
select cron.unschedule('yearly-fetch-fmp-revenue-segmentation');
select cron.schedule('wrapper', '0 0 1 1 *', 'select public.pull_all()');
select switchyard.set_stage('revenue-segmentation', 'live');
select cron.alter_job(pg_temp.id('wrapper'), schedule := '0 1 1 1 *', command := 'select public.pull_all() /* an hour later */');
select switchyard.set_stage('revenue-segmentation', 'legacy');
select is(pg_temp.jobs('wrapper%'), 'wrapper active select public.pull_all() /* an hour later */', 'a wrapper that still calls its function runs again as it was changed');
select is(pg_temp.note('revenue-segmentation'), 'resumed: changed since it was saved; the change stays', '… which is reported');
select switchyard.set_stage('revenue-segmentation', 'live');
select cron.alter_job(pg_temp.id('wrapper'), command := 'select public.pull_some()');
select switchyard.set_stage('revenue-segmentation', 'legacy');
select is(pg_temp.jobs('wrapper%'), 'wrapper paused select public.pull_some(), wrapper-restored-N active select public.pull_all() /* an hour later */',
  'one that calls another function is left alone, and what it did comes back beside it');
select is(pg_temp.refreshed_by('revenue-segmentation'), 'legacy jobs', '… known as what it was');
select switchyard.set_stage('revenue-segmentation', 'live');
select is(pg_temp.jobs('wrapper%'), 'wrapper paused select public.pull_some(), wrapper-restored-N paused select public.pull_all() /* an hour later */',
  '… so that it rests again');
select switchyard.set_stage('revenue-segmentation', 'legacy');
select is(switchyard.restored_name('wrapper-restored-1', '22') || ' ' || switchyard.restored_name('a-restored-job', '3'),
  'wrapper-restored-22 a-restored-job-restored-3', 'a restored name ends with one number');
select is(switchyard.restored_name(repeat('n', 63), '7') || ' ' || switchyard.restored_name(repeat('ü', 40), '123'),
  repeat('n', 52) || '-restored-7 ' || repeat('ü', 25) || '-restored-123', '… and is no longer than pg_cron 1.4 keeps');
select ok(switchyard.is_listed('wrapper-restored-22', '{other,wrapper}'), '… and is known by the name it comes from');
select ok(switchyard.is_listed(repeat('n', 52) || '-restored-7', array[repeat('n', 63)]), '… however long that was');
select ok(switchyard.is_listed('a-restored-3', '{a-restored-3}'), 'a listed name may look like one');
select ok(not switchyard.is_listed('wrapper-restored', '{wrapper}') and not switchyard.is_listed('wrappers-restored-1', '{wrapper}')
          and not coalesce(switchyard.is_listed(null, '{wrapper}'), false), 'no other name is listed');
select results_eq($$select active, command from switchyard.lock_cron_job(pg_temp.id('wrapper'))$$, $$values (false, 'select public.pull_some()')$$,
  'a job is read once it is locked');
select is((select jobid from switchyard.lock_cron_job(-1)), null::bigint, '… and one that is gone is none');

-- A job of another role under the name of one of ours is no cron job of Switchyard.
grant usage on schema cron to service_role;
grant execute on function cron.schedule(text, text, text) to service_role;
set local role service_role;
select cron.schedule('compact-queue-v2', '0 5 * * *', '/functions/v1/fetch-fmp-exchange-variants');
reset role;
select ok(exists (select 1 from switchyard.legacy_jobs where job_name = 'compact-queue-v2' and username = 'service_role'), 'it is a legacy job like any other');
select is((select count(*) from switchyard.cron_job_problems()), 0::bigint, '… beside ours, which runs');
select cron.unschedule(jobid) from cron.job where jobname = 'compact-queue-v2' and username = 'postgres';
select results_eq('select job_name, refreshes, problem from switchyard.cron_job_problems()',
  $$values ('compact-queue-v2', false, '"compact-queue-v2" belongs to role service_role')$$, '… and takes no place of it');

select * from finish();
rollback;
