-- What keeps the queue from running, and who notices.
begin;
select plan(75);

create function pg_temp.alter(p_name text, p_active boolean default null, p_schedule text default null, p_command text default null)
returns void language sql as $$
  select cron.alter_job(jobid, active := p_active, schedule := p_schedule, command := p_command) from cron.job where jobname = p_name
$$;
create function pg_temp.legacy() returns boolean language sql as $$
  select bool_and(active) from switchyard.legacy_jobs where 'profile' = any (data_types)
$$;
update public.feature_flags set enabled = true where flag_name in ('use_queue_system', 'use_new_staleness_check');
select switchyard.set_stage('profile', 'live');
select ok(switchyard.queue_runs(), 'the queue runs');
select is(pg_temp.legacy(), false, '… and the legacy job rests');
select is(switchyard.watch_queue(), 0, '… as it should');

-- Not as ours.
select pg_temp.alter('check-stale-data-v2', p_schedule := '0 0 1 1 *');
select ok(not switchyard.queue_runs(), 'with a schedule of once a year it does not');
select matches(switchyard.report_resting_jobs(), '"check-stale-data-v2" was changed', '… which is told');
select switchyard.schedule_cron_jobs();
select ok(switchyard.queue_runs(), '… until it is scheduled anew');
select pg_temp.alter('queue-scheduled-refreshes-v2', p_command := 'select 1');
select ok(not switchyard.queue_runs(), 'with another command it does not');
select switchyard.schedule_cron_jobs();
update switchyard.cron_jobs set schedule = '*/2 * * * *' where job_name = 'queue-scheduled-refreshes-v2';
select switchyard.schedule_cron_jobs();
select ok(switchyard.queue_runs(), 'a schedule of one''s own belongs in switchyard.cron_jobs');
select is((select schedule from cron.job where jobname = 'queue-scheduled-refreshes-v2'), '*/2 * * * *', '… and is used');
select cron.unschedule('invoke-queue-processor-v2');
select results_eq('select problem from switchyard.cron_job_problems()', $$values ('"invoke-queue-processor-v2" is not there')$$, 'without the processor''s job it does not');
select is(switchyard.watch_queue(), 1, '… and the legacy job takes over');
select is(pg_temp.legacy(), true, '… which runs again');
select matches((select message from switchyard.alerts where rule = 'queue_rests' and severity = 'critical' and resolved_at is null),
  '^The queue does not run: "invoke-queue-processor-v2" is not there\. .* run select switchyard\.schedule_cron_jobs\(\)$',
  '… with a critical alert that says what to do');
select switchyard.watch_queue();
select is((select count(*) from switchyard.alerts where rule = 'queue_rests' and resolved_at is null), 1::bigint, '… which stays open');
update switchyard.alerts set opened_at = opened_at - interval '1 minute';
select switchyard.schedule_cron_jobs();
select is(pg_temp.legacy(), false, 'once that is done the legacy job rests');
select is((select count(*) from switchyard.migration_events where reason = 'The cron jobs of Switchyard were scheduled anew'), 4::bigint, '… which is written down');
select switchyard.schedule_cron_jobs();
select is((select count(*) from switchyard.migration_events where reason = 'The cron jobs of Switchyard were scheduled anew'), 4::bigint, '… a second time is none');
select switchyard.watch_queue();
select is((select count(*) from switchyard.alerts where resolved_at is null), 0::bigint, '… and the alerts are resolved');

-- A job that was changed is not mended by switching it off and on.
select pg_temp.alter('invoke-queue-processor-v2', p_schedule := '*/2 * * * *');
select is(switchyard.watch_queue(), 1, 'with another schedule the legacy job takes over');
update switchyard.alerts set opened_at = opened_at - interval '1 minute';
update public.feature_flags set enabled = false where flag_name = 'use_queue_system';
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select switchyard.watch_queue();
select is((select count(*) from switchyard.alerts where rule = 'queue_rests' and resolved_at is null), 1::bigint, 'the alert stays open while it does not run');
update public.feature_flags set enabled = false where flag_name = 'use_queue_system';
select switchyard.watch_queue();
select is((select count(*) from switchyard.alerts where rule = 'queue_rests' and resolved_at is null), 0::bigint, '… unless it was switched off');
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select switchyard.schedule_cron_jobs();
select is(pg_temp.legacy(), false, 'scheduled anew it runs');

-- What the list lacks would be taken to run.
select throws_ok($$delete from switchyard.cron_jobs where job_name = 'invoke-queue-processor-v2'$$, 'SY028',
  'Cannot delete cron jobs of Switchyard from their list: "invoke-queue-processor-v2"', 'the list of the cron jobs keeps its rows');
select throws_ok('update switchyard.cron_jobs set refreshes = false', 'SY028', null, '… and what refreshes in them');
select throws_ok('truncate switchyard.cron_jobs', 'SY028', 'Cannot delete cron jobs of Switchyard from their list', '… all of them');

-- With one flag alone.
update public.feature_flags set enabled = false where flag_name = 'use_new_staleness_check';
select switchyard.schedule_cron_jobs();
select is((select count(*) from cron.job as c join switchyard.cron_jobs as j on j.job_name = c.jobname where c.active), 0::bigint, 'scheduled anew with use_new_staleness_check off they stay inactive');
update public.feature_flags set enabled = false where flag_name = 'use_queue_system';
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select is((select bool_and(c.active) from cron.job as c join switchyard.cron_jobs as j on j.job_name = c.jobname), true, '… switched on with use_queue_system they are active');
select switchyard.schedule_cron_jobs();
select is((select bool_and(c.active) from cron.job as c join switchyard.cron_jobs as j on j.job_name = c.jobname), true, '… and stay so');
select is(pg_temp.legacy(), true, '… beside the legacy jobs');
update public.feature_flags set enabled = true where flag_name = 'use_new_staleness_check';
select is(pg_temp.legacy(), false, '… which rest with both flags on');

-- The guard switched off beside a job that refreshes: whatever still runs notices.
select pg_temp.alter('guard-migrations-v2', p_active := false), pg_temp.alter('invoke-queue-processor-v2', p_active := false);
select is(pg_temp.legacy(), false, 'nobody has looked yet');
select results_eq('select problem from public.sample_freshness_v2()', $$values ('legacy jobs run again; samples are taken from the next run on')$$,
  'the freshness sample lets the legacy job run, and ends, so that nothing takes that back');
select is(pg_temp.legacy(), true, '… it runs');
select ok((select count(*) > 1 from public.sample_freshness_v2()), '… and the next one takes its samples');
select switchyard.schedule_cron_jobs();
select pg_temp.alter(job_name, p_active := false) from switchyard.cron_jobs where job_name <> 'prune-queue-history-v2';
select is((select count(*) from public.prune_queue_history_v2()), 0::bigint, 'the clean-up ends as well');
select is(pg_temp.legacy(), true, '… and the hourly clean-up does when that is off as well');

-- Legacy jobs that could not be brought back, until they could.
select switchyard.open_alert('legacy_job', 'critical', null, 'The legacy jobs could not be brought back: lock timeout');
select switchyard.watch_queue();
select is((select count(*) from switchyard.alerts where rule = 'legacy_job' and resolved_at is null), 0::bigint, 'the alert that they could not be brought back closes');

-- A baseline that ends while the cron jobs are off.
select switchyard.schedule_cron_jobs();
update public.feature_flags set enabled = false where flag_name = 'use_new_staleness_check';
select is(switchyard.cron_jobs_are_on(), false, 'the flags want the cron jobs off');
update switchyard.settings set value = '1' where name = 'freshness_sampling';
select is((select array_agg(c.jobname::text order by c.jobname) from cron.job as c join switchyard.cron_jobs as j on j.job_name = c.jobname where c.active),
  '{prune-queue-history-v2,sample-freshness-v2}', '… a baseline lets those run that record');
update switchyard.settings set value = '0' where name = 'freshness_sampling';
select is((select count(*) from cron.job as c join switchyard.cron_jobs as j on j.job_name = c.jobname where c.active), 0::bigint, '… and they rest when it ends');
update public.feature_flags set enabled = true where flag_name = 'use_new_staleness_check';

-- Nothing refreshes a live type: its legacy job was found paused.
select switchyard.schedule_cron_jobs();
select switchyard.set_stage('profile', 'legacy');
select pg_temp.alter('hourly-fetch-fmp-profiles', p_active := false);
select switchyard.set_stage('profile', 'live');
delete from switchyard.alerts;
select switchyard.watch_queue();
select is((select count(*) from switchyard.alerts), 0::bigint, 'while the queue refreshes it all is well');
select pg_temp.alter('invoke-queue-processor-v2', p_active := false);
select switchyard.watch_queue();
select results_eq($$select severity, message from switchyard.alerts where rule = 'uncovered' and resolved_at is null$$,
  $$values ('critical', 'Nothing refreshes "profile" in stage live: none of its legacy jobs is active')$$, '… and without it that is a critical alert');
update switchyard.alerts set severity = 'warning' where rule = 'uncovered';
select switchyard.watch_queue();
select is((select severity from switchyard.alerts where rule = 'uncovered' and resolved_at is null), 'critical', '… also where there was a warning before');

-- A table that cannot be read.
select switchyard.schedule_cron_jobs();
select switchyard.set_stage('grades-historical', 'live');
create function pg_temp.breach() returns text language sql as $$
  select switchyard.verdict_in_words(switchyard.sample_breach(r)) from public.data_type_registry_v2 as r where r.data_type = 'grades-historical'
$$;
alter table public.grades_historical rename to grades_of_old;
select count(*) from public.sample_freshness_v2(), generate_series(1, 1);
select count(*) from public.sample_freshness_v2();
select count(*) from public.sample_freshness_v2();
select is(pg_temp.breach(), null, 'three failed samples are not yet five minutes');
select count(*) from public.sample_freshness_v2();
select matches(pg_temp.breach(), '^freshness: its table could not be read for 5 min: relation "public.grades_historical" does not exist', '… four are');
select matches((select action from public.guard_migrations_v2() where data_type = 'grades-historical'), '^rolled back from live: freshness: its table could not be read',
  '… and the type goes back');
select is((select severity from switchyard.alerts where rule = 'automatic_rollback' and data_type = 'grades-historical'), 'critical', '… with an alert');
-- A live type that never had a legacy job.
update public.data_type_registry_v2 set edge_function_name = null, legacy_cron_jobs = '{}' where data_type = 'revenue-segmentation';
select switchyard.set_stage('revenue-segmentation', 'live');
select cron.alter_job(jobid, active := false) from cron.job where jobname = 'invoke-queue-processor-v2';
select switchyard.watch_queue();
select is((select severity from switchyard.alerts where rule = 'uncovered' and data_type = 'revenue-segmentation' and resolved_at is null), 'critical',
  'a live type without legacy jobs is refreshed by nobody when the queue stops');
select switchyard.schedule_cron_jobs();

-- Repaired by hand instead: scheduling the jobs still lets the queue take over.
select switchyard.set_stage('ratios-ttm', 'live');
select cron.alter_job(jobid, active := false) from cron.job where jobname = 'invoke-queue-processor-v2';
select switchyard.watch_queue();
select cron.alter_job(jobid, active := true) from cron.job where jobname = 'invoke-queue-processor-v2';
select switchyard.schedule_cron_jobs();
select is((select refreshed_by from public.migration_status_v2 where data_type = 'ratios-ttm'), 'queue', 'jobs that were repaired by hand take over when they are scheduled');

-- A held job that was made to refresh a type in legacy too.
select cron.alter_job(jobid, command := command || '; select net.http_post(''/functions/v1/fetch-fmp-exchange-variants'')')
  from cron.job where jobname = 'daily-fetch-fmp-ratios-ttm';
select cron.unschedule('daily-fetch-fmp-exchange-variants');
select is((select refreshed_by from public.migration_status_v2 where data_type = 'exchange-variants'), 'nobody', 'a held job that was made to refresh another type does not');
select is((select action from public.guard_migrations_v2() where data_type is null), 'legacy jobs run again, because they refresh other data types too: 1', '… until the guard looks');
select is((select refreshed_by from public.migration_status_v2 where data_type = 'exchange-variants'), 'legacy jobs', '… which brings it back');
select is((select count(*) from switchyard.alerts where rule = 'queue_rests' and resolved_at is null), 0::bigint, '… and the queue runs on');
select switchyard.set_stage('ratios-ttm', 'legacy');

-- No processor comes.
select is(switchyard.watch_processor(), false, 'nothing is due');
insert into public.api_call_queue_v2 (symbol, data_type) values ('QS-1', 'revenue-segmentation');
select is(switchyard.watch_processor(), false, '… or has been for a moment');
update public.api_call_queue_v2 set created_at = now() - interval '11 minutes', run_after = now() - interval '11 minutes' where symbol = 'QS-1';
select is(switchyard.watch_processor(), true, 'due for ten minutes, and no processor has come');
select matches((select severity || ' ' || message from switchyard.alerts where rule = 'processor_stopped' and resolved_at is null),
  '^critical No processor has come for 10 min, and 1 jobs are due', '… is a critical alert');
insert into switchyard.processor_runs (run_id, manual) values (gen_random_uuid(), false);
select is(switchyard.watch_processor(), false, '… until one comes');

-- A registry row that breaks in live.
update public.api_providers_v2 set calls_per_minute = null where provider = 'fmp';
select count(*) from public.guard_migrations_v2();
select matches((select message from switchyard.alerts where rule = 'registry' and data_type = 'revenue-segmentation' and severity = 'critical' and resolved_at is null),
  '^The queue cannot refresh "revenue-segmentation" in live: Provider "fmp" has no calls_per_minute', 'a registry row that has a problem in live is a critical alert');
update public.api_providers_v2 set calls_per_minute = 300 where provider = 'fmp';
select count(*) from public.guard_migrations_v2();
select is((select count(*) from switchyard.alerts where rule = 'registry' and resolved_at is null), 0::bigint, '… until it has none');

-- What is retired gets the alert alone.
select switchyard.set_stage('dividend-history', 'retired');
insert into switchyard.job_outcomes (data_type, completed, failed) values ('dividend-history', 0, 10);
select matches((select action from public.guard_migrations_v2() where data_type = 'dividend-history'), '^alert: error_rate', 'a type in retired is watched too');
select is((select stage from public.data_type_registry_v2 where data_type = 'dividend-history'), 'retired', '… and stays');
select is((select severity from switchyard.alerts where rule = 'breach' and data_type = 'dividend-history' and resolved_at is null), 'critical', '… with a critical alert');
select switchyard.resolve_alerts(array(select id from switchyard.alerts where rule = 'breach'), 'seen');
select is((select note from switchyard.alerts where rule = 'breach'), 'seen', 'alerts are resolved with a note');
select switchyard.resolve_alerts(array(select id from switchyard.alerts where rule = 'breach'), 'seen again');
select is((select note from switchyard.alerts where rule = 'breach'), 'seen', '… once');
select is(switchyard.try_lock_migration(), true, 'the lock of the moves is free');
select is((select who from switchyard.migration_holder()), null, '… for no other session holds it');
select is((select h::text from switchyard.row_holder('public.data_type_registry_v2', 'data_type = ''quote''') as h), '(,)', '… or writes the registry');
select throws_ok($$select switchyard.tell_of_holder('cron job "x"', 'cron.job', 'false', false)$$, '55P03', 'Cannot change cron job "x": it is held by another session',
  'who may not wait is told by an error');
select lives_ok($$select switchyard.tell_of_holder('cron job "x"', 'cron.job', 'false', true)$$, '… who may by a notice');
select matches(switchyard.session_in_words(pg_backend_pid()), '^session \d+ \(postgres[^)]*\): active for \d+ s$', 'a session as people say it');

-- A legacy job that cannot be brought back ends no sample, and its alert stays open.
select switchyard.schedule_cron_jobs();
select switchyard.set_stage('exchange-rates', 'live');
select cron.alter_job(jobid, command := $$select net.http_post(url := 'https://x.supabase.co/functions/v1/fetch-fmp-available-exchanges')$$)
  from cron.job where jobname = 'daily-fetch-exchange-rates';
update switchyard.saved_cron_jobs set schedule = 'none' where job_name = 'daily-fetch-exchange-rates' and released_at is null;
select is(switchyard.watch_queue(), 0, 'a job that cannot be brought back is none that runs again');
select is((select count(*) from switchyard.alerts where rule = 'legacy_job' and resolved_at is null), 1::bigint, '… and an alert');
select ok((select count(*) > 1 from public.sample_freshness_v2()), '… and samples are taken');
select is((select count(*) from switchyard.alerts where rule = 'legacy_job' and resolved_at is null), 1::bigint, '… and the alert stays');

select * from finish();
rollback;
