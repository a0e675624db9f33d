-- How legacy cron jobs are found, and which are left alone.
begin;
select plan(66);

create function pg_temp.job(p_name text) returns text language sql as $$
  select coalesce((select string_agg(case when active then 'active' else 'paused' end, ', ' order by jobid)
                     from cron.job where jobname = p_name), 'gone')
$$;
create function pg_temp.note(p_data_type text) returns text language sql as $$
  select string_agg(concat_ws(': ', j ->> 'action', j ->> 'note'), ', ' order by j ->> 'job_id')
    from (select detail from switchyard.migration_events where data_type = p_data_type order by id desc limit 1) as e
   cross join jsonb_array_elements(e.detail -> 'legacy_jobs') as j
$$;
create function pg_temp.call(p_function text) returns text language sql as $$
  select format('select net.http_post(url := (select decrypted_secret from vault.decrypted_secrets where name = %L) || %L)',
                'project_url', '/functions/v1/' || p_function)
$$;

-- By function, by name, and by neither.
select is(switchyard.called_functions(pg_temp.call('fetch-a') || '; ' || pg_temp.call('fetch-b?full=1') || pg_temp.call('fetch-a/x')),
  array['fetch-a', 'fetch-b'], 'functions are read from their URLs');
select is(switchyard.called_functions('select 1'), '{}'::text[], 'a command without a URL calls none');
select is(switchyard.types_served_by(null, pg_temp.call('fetch-fmp-profiles')), array['profile'], 'a job is known by the function it calls');
select is(switchyard.types_served_by(null, pg_temp.call('fetch-fmp-profiles-archive')), '{}'::text[], '… by its whole name');
select is(switchyard.types_served_by(null, pg_temp.call('Fetch-FMP-Profiles')), '{}'::text[], '… in its own letter case');
select is(switchyard.types_served_by('daily-fetch-all-exchange-market-status', 'select refresh_all()'),
  array['exchange-market-status'], 'a job is known by a drifted name');
select is(switchyard.types_served_by('x', pg_temp.call('fetch-fmp-exchange-prices-api')), array['quote'],
  'a data type may have several functions');
select is(switchyard.types_served_by('x', pg_temp.call('fetch-fmp-shares-float')), array['shares-float', 'shares-float-all'],
  'a function may serve several data types');
select results_eq(
  'select count(*), bool_and(active) from switchyard.legacy_jobs', 'values (13::bigint, true)', 'all thirteen are found');

-- Paused only when every type that a job serves is served by the queue.
update public.feature_flags set enabled = true where flag_name in ('use_queue_system', 'use_new_staleness_check');
select switchyard.set_stage('shares-float', 'live');
select is(pg_temp.job('daily-fetch-fmp-shares-float'), 'active', 'a job of two types runs while one of them is in legacy');
select switchyard.set_stage('shares-float-all', 'live');
select is(pg_temp.job('daily-fetch-fmp-shares-float'), 'paused', '… and rests when both are live');
select switchyard.set_stage('shares-float', 'legacy');
select is(pg_temp.job('daily-fetch-fmp-shares-float'), 'active', 'one that goes back takes it back');
savepoint both_types;
update public.data_type_registry_v2 set covers = null where data_type = 'shares-float-all';
delete from public.data_type_registry_v2 where data_type = 'shares-float';
select is(pg_temp.job('daily-fetch-fmp-shares-float'), 'paused', '… and one that is removed leaves it to the other');
select is((select string_agg(l ->> 'action', ', ') from switchyard.migration_events as e cross join jsonb_array_elements(e.detail -> 'legacy_jobs') as l
            where e.kind = 'registry' and e.data_type = 'shares-float' and e.reason = 'The registry was changed: delete'), 'paused', '… which is written down');
rollback to savepoint both_types;
select switchyard.set_stage('quote', 'canary');
select is(pg_temp.job('minute-fetch-fmp-quote-indicators'), 'active', 'in canary the legacy jobs go on');
select switchyard.set_stage('quote', 'live');
select is(pg_temp.job('minute-fetch-fmp-quote-indicators') || ' ' || pg_temp.job('minute-fetch-fmp-exchange-prices-api'),
  'paused paused', 'all jobs of a type rest');
select results_eq(
  $$select job_name, schedule, command = (select command from cron.job where jobid = job_id), database, username, found_active,
           data_types, node_name is not null and node_port is not null
      from switchyard.saved_cron_jobs where job_name ~ 'quote-indicators' and released_at is null$$,
  $$values ('minute-fetch-fmp-quote-indicators', '* * * * *', true, current_database()::text collate "default", 'postgres', true, array['quote'], true)$$,
  'a job is saved whole before it is paused');
select is(pg_temp.note('quote'), 'paused, paused', '… and the event tells');

-- What is saved is the way back.
select switchyard.set_stage('grades-historical', 'live');
select throws_ok($$delete from switchyard.saved_cron_jobs where released_at is null and 'grades-historical' = any (data_types)$$, 'SY028',
  'Cannot delete what is saved of legacy cron jobs that are held: "monthly-fetch-fmp-grades-historical"', 'the save of a held job cannot be deleted');
select throws_ok($$update switchyard.saved_cron_jobs set released_at = now(), outcome = 'x' where released_at is null and 'grades-historical' = any (data_types)$$, 'SY028',
  'Cannot release what is saved of legacy cron job "monthly-fetch-fmp-grades-historical"', '… nor released by hand');
select throws_ok($$truncate switchyard.saved_cron_jobs$$, 'SY028', null, '… nor all of them');
select is(switchyard.is_way_back('{nope,grades-historical}'), true, '… as it is the way back');
select is(switchyard.is_way_back('{nope,quote-of-old}'), false, '… of what nobody knows there is none');
insert into switchyard.saved_cron_jobs (job_id, schedule, command, database, username, node_name, node_port, found_active, data_types, newest_job_id, original_job_id)
values (900001, 'none', 'select 1', current_database(), current_user, 'localhost', 1, true, '{quote-of-old}', 900001, 900001);
select lives_ok($$update switchyard.saved_cron_jobs set released_at = now(), outcome = 'given up' where job_id = 900001$$, '… and such a save can be given up');
delete from switchyard.saved_cron_jobs where job_id = 900001;
select switchyard.set_stage('grades-historical', 'legacy');
select lives_ok($$delete from switchyard.saved_cron_jobs where 'grades-historical' = any (data_types)$$, '… until the job is back');

-- Already paused by somebody.
select cron.alter_job(jobid, active := false) from cron.job where jobname = 'daily-fetch-fmp-ratios-ttm';
select switchyard.set_stage('ratios-ttm', 'live');
select is(pg_temp.note('ratios-ttm'), 'found paused: it stays so when the data type is rolled back', 'a job that was paused is reported');
select switchyard.set_stage('ratios-ttm', 'legacy');
select is(pg_temp.job('daily-fetch-fmp-ratios-ttm'), 'paused', '… and stays as it was found');
select is(pg_temp.note('ratios-ttm'), 'left paused: somebody had paused it before', '… which is reported again');
select results_eq($$select rule, severity from switchyard.alerts where data_type = 'ratios-ttm' and resolved_at is null$$,
  $$values ('uncovered', 'critical')$$, '… and that nothing refreshes the type now is an alert');
select is(switchyard.watch_coverage(), '{ratios-ttm}'::text[], '… as long as it is so');
select results_eq($$select severity from switchyard.alerts where rule = 'uncovered' and resolved_at is null$$,
  $$values ('critical')$$, '… and as severe as it was');
select cron.alter_job(jobid, active := true) from cron.job where jobname = 'daily-fetch-fmp-ratios-ttm';
select is(switchyard.watch_coverage(), '{}'::text[], 'once the job runs it is refreshed');
select is((select count(*) from switchyard.alerts where rule = 'uncovered' and resolved_at is null), 0::bigint, '… and the alert is resolved');
select cron.alter_job(jobid, active := false) from cron.job where jobname = 'daily-fetch-fmp-ratios-ttm';
select is(array(select switchyard.uncovered_types()), '{ratios-ttm}'::text[], 'a type in legacy whose job somebody pauses is refreshed by nobody');
select switchyard.watch_coverage();
select is((select count(*) from switchyard.alerts where rule = 'uncovered' and resolved_at is null), 0::bigint, '… which is none of ours');
select switchyard.set_stage('ratios-ttm', 'shadow');
update switchyard.alerts set resolved_at = now() where resolved_at is null;
select switchyard.watch_coverage();
select results_eq($$select severity, message from switchyard.alerts where rule = 'uncovered' and resolved_at is null$$,
  $$values ('warning', 'Nothing refreshes "ratios-ttm" in stage shadow: none of its legacy jobs is active')$$,
  '… unless the type is on its way: then it is a warning, which keeps no gate shut');
select switchyard.set_stage('ratios-ttm', 'legacy');

-- No job at all.
select cron.unschedule('yearly-fetch-fmp-revenue-segmentation');
select switchyard.set_stage('revenue-segmentation', 'live');
select is(pg_temp.note('revenue-segmentation'), null, 'where there is no job, none is touched');
select switchyard.set_stage('revenue-segmentation', 'legacy');
select is(pg_temp.job('yearly-fetch-fmp-revenue-segmentation'), 'gone', '… and none is made');
select results_eq(
  $$select g.holds, g.found from switchyard.check_gates('revenue-segmentation', 'shadow') as g where g.gate = 'legacy_jobs'$$,
  $$values (false, 'none of those that the registry names')$$, '… and the gate says so');

-- Other work in the same job.
select cron.schedule('nightly', '0 5 * * *', pg_temp.call('fetch-fmp-dividend-history') || '; ' || pg_temp.call('send-newsletter'));
select is(switchyard.other_work_of(jobname::text, command), array['send-newsletter'], 'work of another kind is seen')
  from cron.job where jobname = 'nightly';
select switchyard.set_stage('dividend-history', 'live');
select is(pg_temp.job('nightly') || ' ' || pg_temp.job('quarterly-fetch-fmp-dividend-history'), 'active paused',
  'a job with other work goes on, beside the queue');
select results_eq(
  $$select g.holds, g.found ~ 'does other work too: send-newsletter' from switchyard.check_gates('dividend-history', 'live') as g
     where g.gate = 'legacy_jobs'$$,
  'values (false, true)', '… and keeps the gate to live shut');
select is(switchyard.other_work_of('x', pg_temp.call('refresh-everything')), '{}'::text[],
  'a job that calls nothing known is one by its name alone');
select cron.schedule('tidy', '0 5 * * *', 'delete from public.profiles where false; ' || pg_temp.call('fetch-fmp-shares-float'));
select set_eq($$select unnest(switchyard.other_work_of(jobname::text, command)) from cron.job where jobname = 'tidy'$$,
  $$values ('DELETE')$$, 'statements besides the call are other work');
select switchyard.set_stage('shares-float', 'live');
select is(pg_temp.job('tidy') || ' ' || pg_temp.job('daily-fetch-fmp-shares-float'), 'active paused', '… which goes on');
update public.data_type_registry_v2 set legacy_cron_jobs = legacy_cron_jobs || '{tidy}' where data_type = 'shares-float';
select is(pg_temp.job('tidy'), 'paused', '… until somebody lists the job by its name');
select switchyard.set_stage('shares-float', 'legacy');
select is(pg_temp.job('tidy'), 'active', '… and then it comes back with its type');
select is(switchyard.other_statements($c$do $d$ begin /* delete */ perform net.http_post('update', '{"call": 1}'); -- drop
  perform 1 from "insert" for update; end $d$$c$), '{}'::text[], 'words in texts, names and comments are none, nor is a lock');
select is(switchyard.other_statements($c$do $d$ begin refresh materialized view v; call p(); end $d$; Insert into x select 1$c$),
  '{CALL,INSERT,REFRESH}'::text[], 'code in dollar quotes is read');
select is(switchyard.called_functions($c$select 'https://a.b/functions/v1/fetch-a--x' -- '/functions/v1/old
/* it's /functions/v1/older */ ; select '/functions/v1/fetch-b'$c$), array['fetch-a--x', 'fetch-b'], 'not in comments');
select is(switchyard.called_functions('https://abc.functions.supabase.co/fetch-a?x=1 and /functions/v1/fetch-b/c'),
  array['fetch-a', 'fetch-b'], 'a function is found in both kinds of URL');

create function public.pull_reviews() returns void language plpgsql set search_path = '' as $$ begin end $$;
create function public.service_key() returns text language sql stable set search_path = '' as $$ select 'x' $$;
select is(switchyard.other_calls($c$select net.http_post('https://a.b/functions/v1/' || 'fetch-a', service_key()); select now();
  select net.http_get('/functions/v1/fetch-a?full=1'), 'public.pull_reviews()' -- pull_reviews()$c$), '{}'::text[],
  'calls of Edge Functions and of what cannot write are no other work');
select is(switchyard.other_calls($c$select Public . Pull_reviews ( ); select pull_reviews(); select other.pull_reviews()$c$),
  '{public.pull_reviews()}'::text[], 'a function that may write is');
select is(switchyard.other_calls($c$select net.http_post('https://a.b/functions/v1/fetch-a'), net.http_get('https://ping.example.org')$c$),
  array['an HTTP call'], 'so is a call to another address');
select is(switchyard.other_calls($c$select pgmq.send('q', '{}'), "cron" . Unschedule('x'), storage.filename('a/b'), 'vault.create_secret()', auth.uid()$c$),
  '{cron.unschedule(),pgmq.send()}'::text[], '… and one of a function of the platform that does more than tell');
select is(switchyard.other_work_of('x', pg_temp.call('fetch-fmp-profiles') || '; select public.pull_reviews()'),
  '{public.pull_reviews()}'::text[], '… of a job that no data type lists by name');
select is(array(select switchyard.function_urls($c$'/functions/v1/a' '/functions/v1/' || 'b' '/functions/v1/a'$c$)), '{a,b,a}'::text[],
  'each URL is found, in one text or in two');

-- Of another role.
grant usage on schema cron to service_role;
grant execute on function cron.schedule(text, text, text) to service_role;
set local role service_role;
select cron.schedule('their-job', '0 5 * * *', '/functions/v1/fetch-fmp-grades-historical');
reset role;
select switchyard.set_stage('grades-historical', 'live');
select is(pg_temp.job('their-job') || ' ' || pg_temp.job('monthly-fetch-fmp-grades-historical'), 'active paused',
  'a job of another role cannot be paused and goes on');
select matches(pg_temp.note('grades-historical'), 'left alone: it belongs to role service_role', '… which is reported');
select results_eq(
  $$select g.holds, g.found ~ '"their-job" \(of role service_role\)',
           g.hint ~ '^As postgres run select cron.schedule\(''their-job'', ''0 5 \* \* \*'', \(select command from cron.job where jobid = \d+\)\), then as service_role select cron.unschedule\(\d+\)'
      from switchyard.check_gates('grades-historical', 'live') as g where g.gate = 'legacy_jobs'$$,
  'values (false, true, true)', '… and the gate says what its owner must do');
select is(switchyard.owner(), 'postgres', 'Switchyard acts as the role that installed it');

-- Unnamed; and one that the registry learns of later.
select cron.schedule('0 6 * * *', pg_temp.call('fetch-exchange-rates'));
select switchyard.set_stage('exchange-rates', 'live');
select is((select string_agg(active::text, ' ') from cron.job where command ~ 'fetch-exchange-rates'), 'false false',
  'a job without a name rests too');
select cron.schedule('own-rates', '0 7 * * *', 'select 1');
update public.data_type_registry_v2 set legacy_cron_jobs = legacy_cron_jobs || '{own-rates}' where data_type = 'exchange-rates';
select is(pg_temp.job('own-rates'), 'paused', 'one that the registry is told of rests at once');
update public.data_type_registry_v2 set legacy_cron_jobs = '{daily-fetch-exchange-rates}' where data_type = 'exchange-rates';
select switchyard.set_stage('exchange-rates', 'legacy');
select is((select string_agg(active::text, ' ') from cron.job where command ~ 'fetch-exchange-rates'), 'true true', '… and comes back');
select is(pg_temp.job('own-rates'), 'active', '… also when the registry has forgotten it since');
select is_empty($$select job_name from switchyard.saved_cron_jobs where released_at is null and 'exchange-rates' = any (data_types)$$,
  'no save is left open');

select * from finish();
rollback;
