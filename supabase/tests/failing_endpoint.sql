-- One endpoint of the vendor that fails keeps no other from closing the breaker; failures without an end count.
begin;
select plan(42);

update switchyard.settings set value = '0' where name = 'oldest_slots_percent';
update switchyard.settings set value = '8' where name = 'breaker_least_failures';
update public.feature_flags set enabled = true where flag_name in ('use_queue_system', 'use_new_staleness_check');
update public.data_type_registry_v2 set batch_size = 1, max_attempts = 9;
insert into public.supported_symbols (symbol) select 'FE-' || n from generate_series(1, 40) as n;
create function pg_temp.enqueue(p_type text, p_from integer, p_to integer) returns void language sql as $$
  select switchyard.enqueue_jobs(array_agg('FE-' || n), array_agg(p_type), array_agg(500), 'scheduled') from generate_series(p_from, p_to) as n
$$;
-- Claims up to so many jobs: those of the failing types fail, the others are empty. Tells what was claimed.
create function pg_temp.run(p_jobs integer, p_failing text[]) returns text language plpgsql as $$
declare
  v_claimed text;
begin
  create temp table claimed on commit drop as select * from public.get_queue_batch_v2(p_jobs);
  perform public.settle_queue_batch_v2(coalesce(jsonb_agg(jsonb_build_object(
            'job_id', c.id, 'lease_token', c.lease_token, 'calls', 1, 'bytes', 2, 'rows', '[]'::jsonb)
            || case when c.data_type = any (p_failing)
                    then '{"outcome": "failed", "error": {"class": "retryable", "code": "http_500", "message": "told by the test"}}'
                    else '{"outcome": "empty"}'::jsonb end), '[]'))
     from claimed as c;
  select string_agg(t.words, ', ' order by t.words) into v_claimed
    from (select format('%s %s', c.data_type, count(*)) as words from claimed as c group by c.data_type) as t;
  drop table claimed;
  return v_claimed;
end
$$;
create function pg_temp.breaker() returns text language sql as $$
  select concat_ws(' ', breaker_state, nullif(array_to_string(breaker_data_types, '+'), ''), case when breaker_state <> 'closed' and breaker_opened_at is null then 'since when?' end)
    from public.api_providers_v2 where provider = 'fmp'
$$;
-- As if so many seconds had passed.
create function pg_temp.later(p_seconds integer) returns void language sql as $$
  update public.api_providers_v2
     set breaker_changed_at = breaker_changed_at - make_interval(secs => p_seconds),
         breaker_opened_at = breaker_opened_at - make_interval(secs => p_seconds);
  update switchyard.failed_attempts set bucket = bucket - make_interval(secs => p_seconds);
  update switchyard.api_call_queue_v2_live
     set run_after = run_after - make_interval(secs => p_seconds), delayed = delayed and run_after - make_interval(secs => p_seconds) > now(),
         errors = (select coalesce(jsonb_agg(e.item || jsonb_build_object('at', (e.item ->> 'at')::timestamptz - make_interval(secs => p_seconds))), '[]')
                     from jsonb_array_elements(errors) as e (item));
$$;
create function pg_temp.put(p_type text, p_stage text) returns void language sql as $$
  select switchyard.set_stage(p_type, p_stage);
  select set_config('switchyard.moves_stage', p_type, true);
  update public.data_type_registry_v2 set stage_entered_at = now() - interval '3 days' where data_type = p_type;
  select set_config('switchyard.moves_stage', '', true)
$$;
select pg_temp.put('profile', 'live');
select pg_temp.put('ratios-ttm', 'live');

-- Probes.
select pg_temp.enqueue('profile', 1, 12);
update public.data_type_registry_v2 set priority = 900 where data_type = 'profile';
update switchyard.api_call_queue_v2_live set priority = 900 where data_type = 'profile';
select is(pg_temp.run(8, '{profile}'), 'profile 8', 'eight calls of one type go out');
select is(pg_temp.breaker(), 'open profile', 'their failures open the breaker, which knows of whom');
select pg_temp.later(61);
select is(pg_temp.run(20, '{profile}'), 'profile 1', 'where nobody else waits the probe is of the same type');
select is(pg_temp.breaker(), 'open profile', '… and opens it again');
select pg_temp.enqueue('ratios-ttm', 1, 3);
select pg_temp.enqueue('ratios-ttm', 21, 23);
select pg_temp.later(61);
select is(pg_temp.run(20, '{profile}'), 'ratios-ttm 1', 'the next one is of another type, whose jobs are less urgent');
select is(pg_temp.breaker(), 'closed', '… whose answer closes the breaker');
select is((select (breaker_opened_at, breaker_data_types)::text from public.api_providers_v2 where provider = 'fmp'), '(,{})', '… of which nothing is left');
select is(pg_temp.run(20, '{profile}'), 'profile 12, ratios-ttm 2', 'all go on but those that wait for their profile');
select is(pg_temp.breaker(), 'open profile', '… until it has failed as often again');

-- Several fail.
select pg_temp.enqueue('ratios-ttm', 24, 30);
select pg_temp.enqueue('shares-float', 31, 33);
select pg_temp.later(61);
select is(pg_temp.run(20, '{profile,ratios-ttm}'), 'ratios-ttm 1', 'a probe of another type may fail too');
select is(pg_temp.breaker(), 'open profile+ratios-ttm', '… and is remembered');
select pg_temp.later(61);
select is(pg_temp.run(20, '{profile,ratios-ttm,shares-float}'), 'shares-float 1', 'the next one is of a third');
select is(pg_temp.breaker(), 'open profile+ratios-ttm+shares-float', '… until all have failed');
select pg_temp.later(61);
select is(pg_temp.run(20, '{profile,ratios-ttm,shares-float}'), 'profile 1', 'then of those that have not failed last the most urgent');
select pg_temp.later(61);
select isnt(pg_temp.run(20, '{profile,ratios-ttm,shares-float}'), 'profile 1', '… and never of the same twice in a row');

-- A key that one endpoint refuses.
update public.api_providers_v2 set breaker_state = 'closed';
create temp table refused on commit drop as select * from public.get_queue_batch_v2(1);
select public.fail_queue_job_v2(id, lease_token, 'told by the test', 'auth', 'http_403') from refused;
select is(pg_temp.breaker(), 'open profile', 'a refused key opens the breaker for the type whose call it was');
select pg_temp.later(61);
select matches(pg_temp.run(20, '{profile}'), '^(ratios-ttm|shares-float) 1$', '… and the probe is of another one');
select is(pg_temp.breaker(), 'closed', '… to which the key may be as good as ever');

-- What fails without an end.
create function pg_temp.breach(p_type text) returns text language sql as $$
  select switchyard.verdict_in_words(switchyard.error_breach(r)) from public.data_type_registry_v2 as r where r.data_type = p_type
$$;
create function pg_temp.provider(p_sql text) returns void language plpgsql as $$
begin
  execute 'update public.api_providers_v2 set ' || p_sql || ' where provider = ''fmp''';
end
$$;
delete from switchyard.api_call_queue_v2_live;
delete from switchyard.job_outcomes;
delete from switchyard.call_grants;
select pg_temp.enqueue('profile', 1, 8);
select pg_temp.provider('breaker_state = ''closed''');
select pg_temp.run(8, '{profile}');
select is(pg_temp.breach('profile'), null, 'failures that have just begun are no breach');
select pg_temp.later(301);
select is(pg_temp.breach('profile'), null, '… nor such as have only waited since');
select pg_temp.run(1, '{profile}');
select is(pg_temp.breaker(), 'open profile', 'a probe fails');
select is(pg_temp.breach('profile'), 'error_rate: 8 jobs fail without an end, and none was completed for 5 min, wanted at most 2.0 %', '… and five minutes of failures alone are one');
select pg_temp.provider('breaker_data_types = ''{quote,profile}''');
select is(pg_temp.breach('profile'), null, 'a vendor that is down for several types breaks no gate: the legacy jobs call the same one');
select pg_temp.provider('breaker_data_types = ''{profile}'', breaker_state = ''closed''');
select is(pg_temp.breach('profile'), null, '… nor one that answers again: then jobs end by themselves');
select switchyard.hold_data_type('profile', 60, 'its own Edge Function refuses our key');
select matches(pg_temp.breach('profile'), '^error_rate: 8 jobs fail without an end', '… unless the type is held');
delete from switchyard.data_type_holds;
select pg_temp.provider('breaker_state = ''open'', hold_until = now() + interval ''1 minute''');
select is(pg_temp.breach('profile'), null, '… nor one that asks to wait');
select pg_temp.provider('hold_until = null, paused = true');
select is(pg_temp.breach('profile'), null, '… nor one that somebody has paused');
select pg_temp.provider('paused = false');
update public.data_type_registry_v2 set paused = true where data_type = 'profile';
select is(pg_temp.breach('profile'), null, '… nor a type that is');
select is((select refreshed_by from public.migration_status_v2 where data_type = 'profile'), 'queue, but the data type is paused', '… of which the status tells');
update public.data_type_registry_v2 set paused = false where data_type = 'profile';
insert into switchyard.job_outcomes (data_type, completed, failed) values ('profile', 1, 0);
select is(pg_temp.breach('profile'), null, 'nor one of which a job was completed');
delete from switchyard.job_outcomes;
select set_config('switchyard.moves_stage', 'profile', true);
update public.data_type_registry_v2 set stage_entered_at = now() - interval '1 minute' where data_type = 'profile';
select is(pg_temp.breach('profile'), null, '… nor one that failed in an earlier stage');
update public.data_type_registry_v2 set stage_entered_at = now() - interval '1 day' where data_type = 'profile';
select set_config('switchyard.moves_stage', '', true);
select is(switchyard.failing_without_end(r, clock_timestamp() - interval '5 minutes'), 8, 'the jobs are counted')
  from public.data_type_registry_v2 as r where data_type = 'profile';
select is(switchyard.last_failure('{profile}'), 'told by the test', '… and the last of their errors is told');
select is(switchyard.last_failure('{quote}'), null, '… if there is one');

-- The alert.
select pg_temp.provider('breaker_opened_at = now()');
select is(switchyard.watch_providers(), '{}'::text[], 'a breaker that has opened just now is told to nobody');
select pg_temp.provider('breaker_opened_at = now() - interval ''301 seconds''');
select is(switchyard.watch_providers(), array['fmp'], 'one that stays open for breach_minutes is');
select matches((select message from switchyard.alerts where rule = 'provider_down' and resolved_at is null),
  '^fmp answers no call of the queue since .* UTC, and nothing refreshes "profile", "ratios-ttm" \(the last failure: told by the test\)\.', '… with what nothing refreshes and why');
select matches((select refreshed_by from public.migration_status_v2 where data_type = 'profile'), '^queue, but the breaker is ', 'the status tells of it');
select matches((select string_agg(action, ', ') from public.guard_migrations_v2() where data_type = 'profile'), '^rolled back from live: error_rate', 'the guard takes the type back');
select matches((select message from switchyard.alerts where rule = 'automatic_rollback' and data_type = 'profile' and resolved_at is null),
  '^"profile" was rolled back from live: error_rate: .*; the last failure: told by the test\. It stays in legacy until somebody has looked', '… and says why, and what comes next');
select switchyard.set_stage('ratios-ttm', 'legacy');
select is(switchyard.watch_providers(), '{}'::text[], 'where no type needs it the alert is resolved');
select is((select note from switchyard.alerts where rule = 'provider_down'), 'No data type in live or retired needs it now', '… for that reason');

select * from finish();
rollback;
