-- Which symbols the data types in stage shadow are tried on.
begin;
select plan(24);

delete from public.supported_symbols;
insert into public.supported_symbols (symbol) select 'SA-' || n from generate_series(1, 30) as n;
insert into public.supported_symbols (symbol, is_active) values ('SA-OFF', false);
delete from realtime.subscription;
create function pg_temp.pass() returns text language plpgsql as $$
declare
  v_jobs text;
begin
  perform public.queue_shadow_samples_v2();
  select string_agg(q.data_type || ' ' || q.symbol, ', ' order by q.data_type, q.symbol) into v_jobs
    from public.api_call_queue_v2 as q where q.status = 'pending';
  return v_jobs;
end $$;
create function pg_temp.reason(p_type text) returns text language sql as $$
  select s.reason from public.queue_shadow_samples_v2() as s where s.data_type = p_type
$$;
create function pg_temp.tried(p_symbol text, p_ago interval, p_verdict text default 'match') returns void language sql as $$
  insert into switchyard.shadow_results (data_type, symbol, fetched_at, verdict, rows, compared_at, legacy_seen_at)
  values ('profile', p_symbol, clock_timestamp() - p_ago, p_verdict, case when p_verdict = 'waiting' then '[]'::jsonb end, now(),
          (select max(p.modified_at) from public.profiles as p where p.symbol = p_symbol))
$$;

select is((select reason from public.queue_shadow_samples_v2()), 'use_queue_system is off', 'nothing is tried while use_queue_system is off');
update public.feature_flags set enabled = true where flag_name in ('use_queue_system', 'use_new_staleness_check');
select is(pg_temp.pass(), null, 'nothing is tried of types in legacy');
select switchyard.set_stage('profile', 'shadow', 'test');
select ok(pg_temp.pass() is not null, 'a type in shadow is');
select results_eq($$select count(*), min(priority), max(priority), min(source), max(source) from public.api_call_queue_v2 where status = 'pending'$$,
  $$values (20::bigint, 0, 0, 'scheduled', 'scheduled')$$, 'on shadow_jobs_per_minute symbols, below everything else');
select is((select count(*) from public.api_call_queue_v2 where symbol = 'SA-OFF'), 0::bigint, 'inactive symbols are left alone');
select pg_temp.pass();
select is((select count(*) from public.api_call_queue_v2 where status = 'pending'), 20::bigint, 'while they are pending no more are queued');
delete from switchyard.api_call_queue_v2_live;

update switchyard.settings set value = '2' where name = 'shadow_jobs_per_minute';
select pg_temp.tried('SA-' || n, make_interval(mins => 100 + n)) from generate_series(1, 30) as n;
select is(pg_temp.pass(), 'profile SA-29, profile SA-30', 'the least recently tried are next');
delete from switchyard.api_call_queue_v2_live;
delete from switchyard.shadow_results where symbol = 'SA-5';
select is(pg_temp.pass(), 'profile SA-30, profile SA-5', '… and before them the never tried');
delete from switchyard.api_call_queue_v2_live;
insert into public.active_subscriptions_v2 (symbol, data_type, source, viewers) values ('SA-7', 'profile', 'presence', 1);
select is(pg_temp.pass(), 'profile SA-5, profile SA-7', '… and before all what somebody looks at');
delete from switchyard.api_call_queue_v2_live;
select pg_temp.tried('SA-7', '10 minutes');
select is(pg_temp.pass(), 'profile SA-30, profile SA-5', '… unless it was tried within the hour');
delete from switchyard.api_call_queue_v2_live;
insert into public.profiles (symbol, modified_at) values ('SA-25', now() - interval '1 minute');
select is(pg_temp.pass(), 'profile SA-25, profile SA-5', 'what legacy has just refreshed goes before the others');
delete from switchyard.api_call_queue_v2_live;
select pg_temp.tried('SA-25', '3 hours', 'waiting');
select pg_temp.tried('SA-5', '3 hours', 'waiting');
select is(pg_temp.pass(), 'profile SA-29, profile SA-30', 'what waits for its verdict is not tried again');
delete from switchyard.api_call_queue_v2_live;
delete from switchyard.shadow_results;
update public.data_type_registry_v2 set shadow_rules = '{"sample_percent": 40}' where data_type = 'profile';
update switchyard.settings set value = '100' where name = 'shadow_jobs_per_minute';
select pg_temp.pass();
select ok((select count(*) between 1 and 29 and bool_and(switchyard.symbol_bucket('profile', symbol) < 4000) from public.api_call_queue_v2 where status = 'pending'),
  'sample_percent leaves a fixed part of the symbols');
delete from switchyard.api_call_queue_v2_live;
update switchyard.settings set value = '2' where name = 'shadow_jobs_per_minute';

-- Not when it would hurt.
update public.api_providers_v2 set hold_until = clock_timestamp() + interval '1 minute', hold_reason = 'test' where provider = 'fmp';
select ok(pg_temp.reason('profile') is not null, 'nothing is tried while the provider is on hold');
update public.api_providers_v2 set hold_until = null, hold_reason = null where provider = 'fmp';
update switchyard.settings set value = '4' where name = 'most_pending_jobs';
insert into public.api_call_queue_v2 (symbol, data_type, source, priority) values ('SA-1', 'quote', 'scheduled', 1);
select is(pg_temp.reason('profile'), 'enough jobs are pending', '… nor while the queue is deep');
delete from switchyard.api_call_queue_v2_live;
update switchyard.settings set value = '5000' where name = 'most_pending_jobs';
select public.pause_data_type_v2('profile');
select is(pg_temp.reason('profile'), 'the data type is paused', '… nor of a paused type');
select public.pause_data_type_v2('profile', false);
insert into public.api_data_usage_v2 (provider, data_type, hour, calls, bytes) values ('fmp', 'x', date_trunc('hour', now()), 1, 30000000000);
select is(pg_temp.reason('profile'), 'the 30-day byte quota is used up', '… nor when the quota is used up');
delete from public.api_data_usage_v2;
delete from switchyard.api_call_queue_v2_live;
update public.data_type_registry_v2 set fetcher = 'edge-function' where data_type = 'profile';
select matches(pg_temp.reason('profile'), 'its Edge Function writes the rows itself', '… nor where the rows would be written');
update public.data_type_registry_v2 set fetcher = 'profile' where data_type = 'profile';

-- Faults, global types, conditions.
select switchyard.set_stage('ratios-ttm', 'shadow', 'test');
alter table public.ratios_ttm rename to lost;
select matches(pg_temp.reason('ratios-ttm'), '^failed: ', 'a type that is broken is told');
select is((select count(*) from public.api_call_queue_v2 where status = 'pending' and data_type = 'profile'), 2::bigint, '… and does not keep the others from it');
delete from switchyard.api_call_queue_v2_live;
select switchyard.set_stage('profile', 'legacy', 'test'), switchyard.set_stage('ratios-ttm', 'legacy', 'test'), switchyard.set_stage('available-exchanges', 'shadow', 'test');
select is(pg_temp.pass(), 'available-exchanges GLOBAL', 'a global type is tried as a whole');
delete from switchyard.api_call_queue_v2_live;
insert into switchyard.shadow_results (data_type, symbol, fetched_at, verdict) values ('available-exchanges', 'GLOBAL', now() - interval '59 minutes', 'match');
select is(pg_temp.pass(), null, '… once in its TTL');
select switchyard.set_stage('available-exchanges', 'legacy', 'test'), switchyard.set_stage('quote', 'shadow', 'test');
create function public.never(p_symbol text) returns boolean language sql as 'select false';
update public.data_type_registry_v2 set condition_function = 'never' where data_type = 'quote';
select is(pg_temp.pass(), null, 'a condition function that says not now is heard');

-- Without a table of known symbols.
update public.data_type_registry_v2 set condition_function = null where data_type = 'quote';
update switchyard.settings set value = 'null' where name in ('known_symbols_table', 'known_symbols_active_column');
insert into public.live_quote_indicators (symbol, current_price, api_timestamp) values ('SA-X', 1, 1);
select is(pg_temp.pass(), 'quote SA-X', 'without a table of known symbols those of the data table are tried');

select * from finish();
rollback;
