-- Symbols that go on failing count once for the guard; a vendor that begins to fail counts at once.
begin;
select plan(22);

delete from public.supported_symbols;
insert into public.supported_symbols (symbol) select 'FS-' || n from generate_series(1, 300) as n;
update public.data_type_registry_v2 set batch_size = 100, max_attempts = 2 where data_type in ('profile', 'exchange-rates');
update public.feature_flags set enabled = true where flag_name in ('use_queue_system', 'use_new_staleness_check');
-- Claims jobs of symbols and settles all, through every attempt.
create function pg_temp.settle(p_from integer, p_to integer, p_class text default null, p_type text default 'profile', p_attempts integer default 2) returns void language plpgsql as $$
begin
  perform switchyard.enqueue_jobs(array_agg(case p_type when 'profile' then 'FS-' || n else 'GLOBAL' end), array_agg(p_type), array_agg(0), 'scheduled')
     from generate_series(p_from, p_to) as n;
  for attempt in 1 .. p_attempts loop
    perform public.settle_queue_batch_v2(coalesce(jsonb_agg(jsonb_build_object(
              'job_id', c.id, 'lease_token', c.lease_token, 'calls', 1, 'bytes', 2, 'rows', '[]'::jsonb)
              || case when p_class is null then '{"outcome": "empty"}'
                      else jsonb_build_object('outcome', 'failed', 'error', jsonb_build_object('class', p_class, 'code', 'test', 'message', 'x')) end), '[]'))
       from public.get_queue_batch_v2(100) as c;
    update switchyard.api_call_queue_v2_live set run_after = now(), delayed = false where delayed;
    update public.api_providers_v2 set breaker_state = 'closed';
  end loop;
end $$;
create function pg_temp.told(p_type text default 'profile') returns text language sql as $$
  select format('%s failed, %s again', sum(failed), sum(failed_again)) from switchyard.job_outcomes where data_type = p_type
$$;
create function pg_temp.later(p_type text default 'profile') returns void language sql as $$
  update switchyard.job_outcomes set finished_at = finished_at - interval '2 hours' where data_type = p_type
$$;
create function pg_temp.breach(p_type text default 'profile') returns text language sql as $$
  select switchyard.verdict_in_words(switchyard.error_breach(r)) from public.data_type_registry_v2 as r where r.data_type = p_type
$$;
create function pg_temp.enter(p_type text, p_stage text) returns void language sql as $$
  select switchyard.set_stage(p_type, p_stage);
  select set_config('switchyard.moves_stage', p_type, true);
  update public.data_type_registry_v2 set stage_entered_at = now() - interval '1 day' where data_type = p_type;
  select set_config('switchyard.moves_stage', '', true)
$$;

select is(switchyard.left_shadow_at('profile'), null, 'the queue has not written it yet');
select pg_temp.enter('profile', 'live');
select ok(switchyard.left_shadow_at('profile') >= now(), 'now it may');

select pg_temp.settle(101, 200), pg_temp.settle(201, 300), pg_temp.settle(1, 95);
select pg_temp.settle(96, 100, 'retryable');
select is(pg_temp.told(), '5 failed, 0 again', 'a symbol that fails is counted');
select is(pg_temp.breach(), null, '… and five of three hundred are no breach');
select pg_temp.later();
select pg_temp.settle(96, 100, 'retryable');
select is(pg_temp.told(), '10 failed, 5 again', 'what fails again, with all of its attempts, is told apart');
select is(pg_temp.breach(), null, '… so that a quiet hour, in which nothing else is due, is no breach');
select pg_temp.settle(96, 100, 'permanent');
select is(pg_temp.told(), '15 failed, 10 again', '… however it fails');
select pg_temp.settle(91, 100, 'permanent');
select is(pg_temp.breach(), 'error_rate: 3.3 % (10 of 300 symbols go on failing), wanted at most 2.0 %', 'others that begin to fail are one');
select pg_temp.later();
select pg_temp.settle(91, 100, 'permanent');
select is(pg_temp.breach(), 'error_rate: 3.3 % (10 of 300 symbols go on failing), wanted at most 2.0 %', '… also for who looks late');

-- Only symbols that are the queue's.
select is(switchyard.failing_symbols(r), 10, 'ten of them fail') from public.data_type_registry_v2 as r where data_type = 'profile';
insert into switchyard.refresh_state (data_type, symbol, last_checked_at, consecutive_failures, failed_at)
select 'profile', 'TYPO-' || n, '-infinity', 1, clock_timestamp() from generate_series(1, 20) as n;
select is(pg_temp.breach(), 'error_rate: 3.3 % (10 of 300 symbols go on failing), wanted at most 2.0 %', '… and what nobody knows is none of them');
update public.supported_symbols set is_active = false where symbol between 'FS-92' and 'FS-99';
select is(switchyard.failing_symbols(r), 2, '… nor what was deactivated') from public.data_type_registry_v2 as r where data_type = 'profile';
select is(pg_temp.breach(), null, '… which is no breach then');
update public.supported_symbols set is_active = true where symbol between 'FS-92' and 'FS-99';
select is(switchyard.failing_symbols(jsonb_populate_record(r, '{"stage": "canary", "canary_percent": 0}')), 0, '… nor what the share leaves to legacy')
  from public.data_type_registry_v2 as r where data_type = 'profile';
select is(pg_temp.breach() is not null, true, '… and they count again');
delete from switchyard.refresh_state where symbol like 'TYPO-%';
update public.data_type_registry_v2 set gate_settings = '{"error_rate": 0.04}' where data_type = 'profile';
select is(pg_temp.breach(), null, '… unless as many may fail');
update public.data_type_registry_v2 set gate_settings = '{}' where data_type = 'profile';
select pg_temp.settle(96, 100);
select pg_temp.settle(96, 100, 'retryable', p_attempts := 1);
select is((select consecutive_failures from switchyard.refresh_state where symbol = 'FS-96' and data_type = 'profile'), 1, 'what has answered in between');
select pg_temp.settle(96, 100, 'retryable', p_attempts := 1);
select is(pg_temp.told(), '40 failed, 25 again', '… counts anew');

-- A canary that begins again.
select switchyard.set_stage('profile', 'legacy');
select pg_temp.settle(1, 100, 'permanent');
update public.data_type_registry_v2 set canary_percent = 100 where data_type = 'profile';
select pg_temp.enter('profile', 'canary');
delete from switchyard.job_outcomes;
select pg_temp.settle(91, 100, 'permanent');
select is(pg_temp.told(), '10 failed, 0 again', 'what failed before the queue wrote the type again is no excuse');

-- Few symbols: all that fail are all there are.
update public.supported_symbols set is_active = false where symbol not in ('FS-91', 'FS-92');
select pg_temp.settle(91, 92, 'permanent') from generate_series(1, 3);
delete from switchyard.job_outcomes where failed > failed_again;
select is(pg_temp.breach(), 'error_rate: 100.0 % (6 of 6 jobs), wanted at most 2.0 %', 'of fewer symbols than breach_least_failures every failure counts');

-- A global type.
select pg_temp.enter('exchange-rates', 'live');
select pg_temp.settle(1, 1, 'permanent', 'exchange-rates') from generate_series(1, 5);
select is(pg_temp.told('exchange-rates'), '5 failed, 0 again', 'of a global type too');
select is(pg_temp.breach('exchange-rates'), 'error_rate: 100.0 % (5 of 5 jobs), wanted at most 2.0 %', '… which goes back');

select * from finish();
rollback;
