-- What an UPDATE of flags does, whichever rows it has and in whatever order.
begin;
select plan(31);

create function pg_temp.job(p_name text) returns text language sql as $$
  select coalesce((select string_agg(case when active then 'active' else 'paused' end, ', ' order by jobid)
                     from cron.job where jobname = p_name), 'gone')
$$;
create function pg_temp.own_jobs() returns text language sql as $$
  select string_agg(distinct case when j.active then 'active' else 'paused' end, ' and ')
    from cron.job as j join switchyard.cron_jobs as o on o.job_name = j.jobname
$$;
create function pg_temp.set_flag(p_flag text, p_enabled boolean) returns void language sql as $$
  update public.feature_flags set enabled = p_enabled where flag_name = p_flag
$$;
-- All that keeps profile and quote from live.
create function pg_temp.make_ready(p_data_type text) returns void language sql as $$
  select switchyard.set_stage(p_data_type, 'canary');
  update public.data_type_registry_v2 set gate_settings = '{"soak_hours": 0, "least_sample": 1, "most_age_ttls": 1000}'
   where data_type = p_data_type;
  insert into switchyard.job_outcomes (data_type, completed, failed) values (p_data_type, 1000, 0);
  insert into switchyard.freshness_samples (
    data_type, stage, symbols_known, left_out, rows, stale_rows, very_stale_rows, p95_age_seconds, max_age_seconds, duration_ms)
  values (p_data_type, 'canary', 1, 0, 1, 0, 0, 1, 1, 1)
$$;

-- The cron jobs of Switchyard.
select pg_temp.set_flag('use_queue_system', true);
select is(pg_temp.own_jobs(), 'active', 'use_queue_system on makes the cron jobs of Switchyard active');
select pg_temp.set_flag('use_new_staleness_check', true);
select is(pg_temp.own_jobs(), 'active', '… and use_new_staleness_check on leaves them so');
select pg_temp.set_flag('use_new_staleness_check', false);
select is(pg_temp.own_jobs(), 'paused', 'use_new_staleness_check off makes them inactive');
select pg_temp.set_flag('use_new_staleness_check', true);
select is(pg_temp.own_jobs(), 'active', '… and on active again, as use_queue_system is on');
select pg_temp.set_flag('use_queue_system', false);
select pg_temp.set_flag('use_new_staleness_check', false);
select pg_temp.set_flag('use_new_staleness_check', true);
select is(pg_temp.own_jobs(), 'paused', 'without it they stay inactive');
select pg_temp.set_flag('use_presence_tracking', true);
select is(pg_temp.own_jobs(), 'paused', 'use_presence_tracking has no part in this');

-- One flag of a type.
select pg_temp.make_ready('profile');
select throws_ok($$select pg_temp.set_flag('use_queue_for_profile', true)$$, 'SY024',
  'Cannot move "profile" to live: 1 of 12 gates do not hold', 'use_queue_for_X fails while a gate does not hold');
select pg_temp.set_flag('use_queue_system', true);
select lives_ok($$select pg_temp.set_flag('use_queue_for_profile', true)$$, 'it goes on when all hold');
select is((select stage from public.data_type_registry_v2 where data_type = 'profile'), 'live', '… the type is live');
select is(pg_temp.job('hourly-fetch-fmp-profiles'), 'paused', '… and its legacy job rests');
select results_eq(
  $$select from_stage, to_stage, forced, reason from switchyard.migration_events where data_type = 'profile' order by id desc limit 1$$,
  $$values ('canary', 'live', false, 'use_queue_for_profile was turned on')$$, '… which is written down');
select lives_ok($$select pg_temp.set_flag('use_queue_for_profile', true)$$, 'on again changes nothing');

-- Off, and on again: the types that were moved come along.
select pg_temp.set_flag('use_queue_system', false);
select is(pg_temp.job('hourly-fetch-fmp-profiles'), 'active', 'use_queue_system off lets the legacy jobs of live types run');
select is(public.is_feature_enabled('use_queue_for_profile'), true, '… and leaves them live');
select pg_temp.set_flag('use_queue_system', true);
select is(pg_temp.job('hourly-fetch-fmp-profiles'), 'paused', 'on again lets them rest again');
select pg_temp.set_flag('use_new_staleness_check', false);
select is(pg_temp.job('hourly-fetch-fmp-profiles'), 'active', 'use_new_staleness_check off does the same');
select results_eq(
  $$select kind, detail -> 'turned_off', detail -> 'legacy_jobs' -> 0 ->> 'action' from switchyard.migration_events order by id desc limit 1$$,
  $$values ('flags', '["use_new_staleness_check"]'::jsonb, 'resumed')$$, '… which is written down');

-- Many in one statement.
select pg_temp.make_ready('quote');
select throws_ok('update public.feature_flags set enabled = true', 'SY024', null, 'all on at once fails for those whose gates do not hold');
select is(pg_temp.own_jobs(), 'paused', '… and nothing of it remains');
update public.feature_flags set enabled = true
 where flag_name in ('use_queue_system', 'use_new_staleness_check', 'use_queue_for_quote', 'use_queue_for_profile');
select is(pg_temp.job('minute-fetch-fmp-quote-indicators') || ' ' || pg_temp.own_jobs(), 'paused active',
  'the queue and a type that is ready for it may go on together');
update public.feature_flags set enabled = false;
select is(
  (select count(*) filter (where l.active) || ' of ' || count(*) from switchyard.legacy_jobs as l), '13 of 13',
  'all off at once: every legacy job runs');
select is_empty($$select data_type from public.data_type_registry_v2 where stage in ('live', 'retired')$$, '… and no type is live');
select is(pg_temp.own_jobs(), 'paused', '… and no v2 cron job is active');

-- Off, of a type whose flag was off already.
select switchyard.set_stage('profile', 'canary'), switchyard.set_stage('quote', 'shadow');
update public.feature_flags set metadata = '{"symbols": ["AAPL"]}' where flag_name = 'use_queue_for_profile';
select is((select stage from public.data_type_registry_v2 where data_type = 'profile'), 'canary', 'who writes the symbols of a canary leaves it one');
insert into public.api_call_queue_v2 (symbol, data_type) values ('FM-1', 'profile');
select pg_temp.set_flag('use_queue_for_profile', false);
select is((select stage from public.data_type_registry_v2 where data_type = 'profile'), 'legacy', 'use_queue_for_X off takes a canary back');
select is_empty($$select 1 from public.api_call_queue_v2 where symbol = 'FM-1' and finished_at = 'infinity'$$, '… and cancels its jobs');
select results_eq(
  $$select from_stage, to_stage, reason from switchyard.migration_events order by id desc limit 1$$,
  $$values ('canary', 'legacy', 'use_queue_for_profile was turned off')$$, '… which is written down');
select pg_temp.set_flag('use_queue_for_profile', false);
select is((select from_stage from switchyard.migration_events order by id desc limit 1), 'canary', '… and in legacy nothing more happens');
update public.feature_flags set enabled = false;
select is((select stage from public.data_type_registry_v2 where data_type = 'quote'), 'legacy', 'all off takes what is in shadow too');

-- As programs write flags.
select lives_ok(
  $$insert into public.feature_flags (flag_name, enabled) values ('use_queue_system', true)
    on conflict (flag_name) do update set enabled = excluded.enabled$$, 'an upsert of a flag is an UPDATE');
select is(pg_temp.own_jobs(), 'active', '… with the same effect');
select * from finish();
rollback;
