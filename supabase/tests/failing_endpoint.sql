-- One endpoint of the vendor that fails stops its own data type, not the others; one that never ends counts.
begin;
select plan(34);

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
  select concat_ws(' ', breaker_state, breaker_data_type, case when breaker_state <> 'closed' and breaker_opened_at is null then 'since when?' end)
    from public.api_providers_v2 where provider = 'fmp'
$$;
create function pg_temp.holds() returns text language sql as $$
  select string_agg(format('%s %s', data_type, round(extract(epoch from hold_until - clock_timestamp()))), ', ' order by data_type)
    from switchyard.data_type_holds where hold_until > clock_timestamp()
$$;
-- As if so many seconds had passed.
create function pg_temp.later(p_seconds integer) returns void language sql as $$
  update public.api_providers_v2
     set breaker_changed_at = breaker_changed_at - make_interval(secs => p_seconds),
         breaker_opened_at = breaker_opened_at - make_interval(secs => p_seconds);
  update switchyard.data_type_holds set hold_until = hold_until - make_interval(secs => p_seconds);
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

-- While others wait, the one that fails is held.
select ok(not switchyard.others_wait('fmp', 'profile'), 'nobody waits beside a type without jobs');
select pg_temp.enqueue('profile', 1, 12);
select pg_temp.enqueue('ratios-ttm', 21, 22);
select ok(switchyard.others_wait('fmp', 'profile'), 'jobs of another type wait');
update public.data_type_registry_v2 set priority = 900 where data_type = 'profile';
update switchyard.api_call_queue_v2_live set priority = 900 where data_type = 'profile';
select is(pg_temp.run(8, '{profile}'), 'profile 8', 'eight calls of one type go out');
select is(pg_temp.breaker(), 'closed', 'their failures open no breaker while another type waits');
select is(pg_temp.holds(), 'profile 60', '… but hold their own type');
select is(pg_temp.run(20, '{profile}'), 'ratios-ttm 2', 'the other one goes on');
select is(pg_temp.run(20, '{profile}'), null, '… and the held one does not');

-- Alone, it opens the breaker, which knows of whom.
select pg_temp.later(61);
select is(pg_temp.run(20, '{profile}'), 'profile 12', 'after the hold all goes out again');
select is(pg_temp.breaker(), 'open profile', 'where nobody else waits the breaker opens, for the type that failed');
select is(pg_temp.holds(), null, '… and nothing is held');
select pg_temp.later(61);
select is(pg_temp.run(20, '{profile}'), 'profile 1', 'one probe goes out');
select is(pg_temp.breaker() || coalesce(pg_temp.holds(), ''), 'open profile', '… which opens it again, for the same type, held by nobody');
select pg_temp.enqueue('ratios-ttm', 23, 25);
select pg_temp.later(61);
select is(pg_temp.run(20, '{profile}'), 'profile 1', 'the next probe is of the same type, though others have come');
select is(pg_temp.holds(), 'profile 180', '… and holds it now');
select pg_temp.later(61);
select is(pg_temp.run(20, '{profile}'), 'ratios-ttm 1', 'so that the next one is of another type');
select is(pg_temp.breaker(), 'closed', '… whose answer closes the breaker');
select is((select breaker_opened_at from public.api_providers_v2 where provider = 'fmp'), null, '… which is open since no time');
select is(pg_temp.run(20, '{profile}'), 'ratios-ttm 2', '… and lets the others go on');

-- A vendor that is down for all.
select pg_temp.enqueue('ratios-ttm', 21, 40);
select pg_temp.later(181);
select matches(pg_temp.run(40, '{profile,ratios-ttm}'), '^profile 12, ratios-ttm 20$', 'two types fail');
select is(pg_temp.breaker(), 'open', '… and the breaker opens for all');

-- What is trying without an end counts as failed, but not while the vendor is down for all.
create function pg_temp.breach(p_type text) returns text language sql as $$
  select switchyard.verdict_in_words(switchyard.error_breach(r)) from public.data_type_registry_v2 as r where r.data_type = p_type
$$;
select is(pg_temp.breach('profile'), null, 'a vendor that is down breaks no gate: the legacy jobs call the same one');
update public.api_providers_v2 set breaker_data_type = 'profile' where provider = 'fmp';
select is(pg_temp.breach('ratios-ttm'), null, 'who has been trying for less than breach_minutes is no breach');
select is(switchyard.trying_jobs(r, clock_timestamp()), 20, '… though it tries') from public.data_type_registry_v2 as r where data_type = 'ratios-ttm';
select is(pg_temp.breach('profile'), 'error_rate: 100.0 % (12 of 12 jobs), wanted at most 2.0 %', 'who has been for longer is one');
select set_config('switchyard.moves_stage', 'profile', true);
update public.data_type_registry_v2 set stage_entered_at = now() - interval '1 minute' where data_type = 'profile';
select is(pg_temp.breach('profile'), null, '… but not with failures of an earlier stage');
update public.data_type_registry_v2 set stage_entered_at = now() - interval '1 day' where data_type = 'profile';
select set_config('switchyard.moves_stage', '', true);

-- The alert.
select is(switchyard.watch_providers(), '{}'::text[], 'a breaker that has opened just now is told to nobody');
select pg_temp.later(301);
select is(switchyard.watch_providers(), array['fmp'], 'a breaker that stays open for breach_minutes is told');
select matches((select message from switchyard.alerts where rule = 'provider_down' and resolved_at is null),
  '^fmp answers no call of the queue since .* UTC, and nothing refreshes "profile", "ratios-ttm" \(the last failure: told by the test\)\.', '… with what nothing refreshes and why');
select matches((select refreshed_by from public.migration_status_v2 where data_type = 'profile'), '^queue, but the breaker is not closed since', 'the status tells of it');
select matches((select string_agg(action, ', ') from public.guard_migrations_v2() where data_type = 'profile'), '^rolled back from live: error_rate', 'the guard takes the type back');
select matches((select message from switchyard.alerts where rule = 'automatic_rollback' and data_type = 'profile' and resolved_at is null),
  '^"profile" was rolled back from live: error_rate: .*; the last failure: told by the test\. It stays in legacy until somebody has looked', '… and says why, and what comes next');
update public.api_providers_v2 set breaker_state = 'closed' where provider = 'fmp';
select is(switchyard.watch_providers(), '{}'::text[], 'a breaker that is closed is told no more');
select is((select count(*) from switchyard.alerts where rule = 'provider_down' and resolved_at is null), 0::bigint, '… and its alert is resolved');
select ok(switchyard.is_failure_of_vendor('{"class": "retryable"}') and switchyard.is_failure_of_vendor('{"class": "auth", "code": "http_401"}')
  and not switchyard.is_failure_of_vendor('{"class": "auth", "code": "edge_function_401"}') and not switchyard.is_failure_of_vendor('{"class": "permanent"}')
  and not switchyard.is_failure_of_vendor(null), 'timeouts, 5xx and refused keys are failures of the vendor');

select * from finish();
rollback;
