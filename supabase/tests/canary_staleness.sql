-- Of a canary the queue refreshes the share alone, and goes by what it did itself.
begin;
select plan(14);

delete from public.supported_symbols;
delete from realtime.subscription;
insert into public.supported_symbols (symbol) select 'CA-' || n from generate_series(1, 6) as n;
insert into public.profiles (symbol, modified_at) select 'CA-' || n, now() from generate_series(1, 6) as n;
update public.feature_flags set enabled = true where flag_name in ('use_queue_system', 'use_new_staleness_check');
select switchyard.set_stage('profile', 'canary', 'test');
update public.data_type_registry_v2 set canary_percent = 0 where data_type = 'profile';
update public.feature_flags set metadata = '{"symbols": ["CA-1", "CA-2"]}' where flag_name = 'use_queue_for_profile';
insert into public.active_subscriptions_v2 (symbol, data_type, source, viewers) select 'CA-' || n, 'profile', 'presence', 1 from generate_series(1, 6) as n;
create function pg_temp.jobs() returns text language plpgsql as $$
declare
  v_jobs text := (select string_agg(q.symbol, ' ' order by q.symbol) from public.api_call_queue_v2 as q where q.status = 'pending');
begin
  delete from switchyard.api_call_queue_v2_live;
  return v_jobs;
end $$;

select public.check_and_queue_stale_data_from_presence_v2();
select is(pg_temp.jobs(), 'CA-1 CA-2', 'what is in the share is queued, though legacy has just refreshed it; nothing else is');
select public.queue_scheduled_refreshes_v2();
select is((select count(*) from switchyard.api_call_queue_v2_live where symbol not in ('CA-1', 'CA-2')), 0::bigint, '… on schedule too');
select isnt(pg_temp.jobs(), null, '… and not never');
insert into switchyard.refresh_state (symbol, data_type, last_checked_at) values ('CA-1', 'profile', now());
select public.check_and_queue_stale_data_from_presence_v2();
select is(pg_temp.jobs(), 'CA-2', 'what the queue has just checked is fresh');
update switchyard.refresh_state set last_checked_at = now() - interval '61 minutes';
select public.check_and_queue_stale_data_from_presence_v2();
select is(pg_temp.jobs(), 'CA-1 CA-2', '… until its TTL is over');
update public.data_type_registry_v2 set canary_percent = 100 where data_type = 'profile';
select public.check_and_queue_stale_data_from_presence_v2();
select is(pg_temp.jobs(), 'CA-1 CA-2 CA-3 CA-4 CA-5 CA-6', 'a share of 100 % takes all');
update public.data_type_registry_v2 set canary_percent = 0 where data_type = 'profile';

-- One symbol.
select is(switchyard.newest_refresh('profile', 'CA-2'), null, 'in the share a symbol that the queue never checked was never refreshed');
select ok(switchyard.newest_refresh('profile', 'CA-3') is not null, '… outside it legacy did');
update switchyard.refresh_state set last_checked_at = now();
select results_eq($$select a ->> 'stale', a ->> 'reason' from jsonb_array_elements(public.check_and_queue_stale_batch_v2('CA-1', array['profile'])) as a$$,
  $$values ('false', 'fresh')$$, 'asked for one: fresh');
select results_eq($$select a ->> 'stale', a ->> 'queued' from jsonb_array_elements(public.check_and_queue_stale_batch_v2('CA-2', array['profile'])) as a$$,
  $$values ('true', 'true')$$, '… stale and queued');
update public.profiles set modified_at = now() where symbol = 'CA-3';
alter table public.profiles disable trigger handle_modified_at;
update public.profiles set modified_at = now() - interval '2 hours' where symbol = 'CA-3';
select is(public.check_and_queue_stale_batch_v2('CA-3', array['profile']) #>> '{0,reason}', 'not in the share of the canary: the legacy jobs refresh it', '… left to the legacy jobs');

-- A global type.
select switchyard.set_stage('available-exchanges', 'canary', 'test');
update public.data_type_registry_v2 set canary_percent = 0 where data_type = 'available-exchanges';
delete from switchyard.api_call_queue_v2_live;
select public.queue_scheduled_refreshes_v2();
select is((select count(*) from switchyard.api_call_queue_v2_live where symbol = 'GLOBAL'), 0::bigint, 'a global type is not in a share of 0');
update public.data_type_registry_v2 set canary_percent = 1 where data_type = 'available-exchanges';
select public.queue_scheduled_refreshes_v2();
select is((select count(*) from switchyard.api_call_queue_v2_live where symbol = 'GLOBAL'), 1::bigint, '… and in any other as a whole');

-- A child whose parent is left to the legacy jobs.
select switchyard.set_stage('ratios-ttm', 'live', 'test');
update public.supported_symbols set is_active = true;
delete from switchyard.api_call_queue_v2_live;
select switchyard.enqueue_jobs(array['CA-9'], array['ratios-ttm'], array[0], 'scheduled');
create temp table child as select id, lease_token from public.get_queue_batch_v2(10) where data_type = 'ratios-ttm';
select results_eq($$select s.outcome, s.detail ~ 'its profile is left to the legacy jobs$' from public.settle_queue_batch_v2((select jsonb_agg(jsonb_build_object('job_id', id, 'lease_token', lease_token,
    'outcome', 'completed', 'calls', 1, 'bytes', 10, 'rows', '[{"symbol": "CA-9"}]'::jsonb)) from child)) as s$$,
  $$values ('failed', true)$$, 'a child whose parent the queue may not write is not tried for ever');

select * from finish();
rollback;
