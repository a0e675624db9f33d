-- What viewers look at and what is stale, in sets.
begin;
select plan(40);

insert into public.supported_symbols (symbol) select 'SS-' || n from generate_series(1, 40) as n;
insert into public.supported_symbols (symbol, is_active) values ('SS-OFF', false);
insert into public.profiles (symbol, modified_at) select 'SS-' || n, now() from generate_series(1, 40) as n;
delete from realtime.subscription;
select switchyard.set_stage(data_type, 'live') from public.data_type_registry_v2 where data_type in ('quote', 'profile', 'financial-statements');
update public.data_type_registry_v2 set refresh_strategy = 'on-demand' where data_type = 'quote';
create function pg_temp.look(p_symbol text, p_data_type text, p_viewers integer default 1) returns void language sql as $$
  insert into public.active_subscriptions_v2 (symbol, data_type, source, viewers) values (p_symbol, p_data_type, 'presence', p_viewers)
$$;
create function pg_temp.subscribe(p_table text, p_op text, p_value text, p_role text default 'anon') returns void language sql as $$
  insert into realtime.subscription (subscription_id, entity, filters, claims)
  values (gen_random_uuid(), p_table::regclass,
          array[('symbol', p_op, p_value, false)::realtime.user_defined_filter], jsonb_build_object('role', p_role))
$$;
-- The jobs that one pass makes, and away with them.
create function pg_temp.pass() returns text language plpgsql as $$
declare
  v_jobs text;
begin
  perform public.check_and_queue_stale_data_from_presence_v2();
  select string_agg(q.data_type || ' ' || q.symbol || ' ' || q.priority, ', ' order by q.data_type, q.symbol) into v_jobs
    from public.api_call_queue_v2 as q where q.status = 'pending';
  delete from switchyard.api_call_queue_v2_live;
  return v_jobs;
end $$;
create function pg_temp.scheduled() returns text language plpgsql as $$
declare
  v_jobs text;
begin
  perform public.queue_scheduled_refreshes_v2();
  select string_agg(q.data_type || ' ' || q.symbol || ' ' || q.priority, ', ' order by q.data_type, q.symbol) into v_jobs
    from public.api_call_queue_v2 as q where q.status = 'pending';
  delete from switchyard.api_call_queue_v2_live;
  return v_jobs;
end $$;

select pg_temp.look('SS-1', 'quote');
select is(pg_temp.pass(), null, 'nothing is queued while use_queue_system is off');
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select is(pg_temp.pass(), null, '… nor while use_new_staleness_check is off');
update public.feature_flags set enabled = true where flag_name = 'use_new_staleness_check';
select is(pg_temp.pass(), 'quote SS-1 1000', 'what one viewer looks at and has no row yet is queued');

insert into public.live_quote_indicators (symbol, current_price, api_timestamp, fetched_at)
values ('SS-1', 1, 1, now()), ('SS-2', 1, 1, now() - interval '61 seconds');
select is(pg_temp.pass(), null, 'a fresh row is not');
select pg_temp.look('SS-2', 'quote', 100);
select is(pg_temp.pass(), 'quote SS-2 1099', 'a stale one is, by its viewers');
update public.active_subscriptions_v2 set viewers = 100000 where symbol = 'SS-2';
select is(pg_temp.pass(), 'quote SS-2 8999', 'capped within the band');
update public.active_subscriptions_v2 set last_seen_at = now() - interval '121 seconds' where symbol = 'SS-2';
select is(pg_temp.pass(), null, 'demand that was not seen lately has expired');
delete from public.active_subscriptions_v2;

-- Row-change subscribers.
select pg_temp.subscribe('public.live_quote_indicators', 'eq', 'SS-3');
select pg_temp.subscribe('public.live_quote_indicators', 'eq', 'SS-3', 'authenticated');
select is(pg_temp.pass(), 'quote SS-3 1001', 'row-change subscribers are viewers, anonymous ones too');
select pg_temp.subscribe('public.live_quote_indicators', 'in', '{SS-3,"SS-4"}');
select is(pg_temp.pass(), 'quote SS-3 1002, quote SS-4 1000', 'an in filter names several symbols');
select pg_temp.subscribe('public.live_quote_indicators', 'in', '{SS-4,SS-4,SS-4,SS-4}');
select is(pg_temp.pass(), 'quote SS-3 1002, quote SS-4 1001', 'and one symbol once, however often');
insert into realtime.subscription (subscription_id, entity, filters, claims)
select gen_random_uuid(), 'public.live_quote_indicators'::regclass,
       array[('symbol', 'eq', 'SS-4', false)::realtime.user_defined_filter], '{"role": "anon"}' from generate_series(1, 200);
select is(pg_temp.pass(), 'quote SS-3 1002, quote SS-4 1099', 'a hundred subscriptions count at most: anybody can open more');
delete from realtime.subscription;
insert into realtime.subscription (subscription_id, entity, filters, claims)
values (gen_random_uuid(), 'public.user_profiles'::regclass,
        array[('username', 'eq', 'SS-3', false)::realtime.user_defined_filter], '{"role": "anon"}'),
       (gen_random_uuid(), 'public.live_quote_indicators'::regclass,
        array[('exchange', 'eq', 'SS-3', false)::realtime.user_defined_filter, ('symbol', 'gt', 'SS-3', false)::realtime.user_defined_filter], '{"role": "anon"}'),
       (gen_random_uuid(), 'public.live_quote_indicators'::regclass, '{}', '{"role": "anon"}'),
       (gen_random_uuid(), 'public.live_quote_indicators'::regclass,
        array[('symbol', 'eq', 'SS-3', true)::realtime.user_defined_filter], '{"role": "anon"}');
select is(pg_temp.pass(), null, 'other tables, columns, operators and negated filters are no demand');
insert into realtime.subscription (subscription_id, entity, filters, claims)
values (gen_random_uuid(), 'public.live_quote_indicators'::regclass,
        array[('symbol', 'eq', 'SS-3', null)::realtime.user_defined_filter], '{"role": "anon"}');
select is(pg_temp.pass(), 'quote SS-3 1000', '… but one of which nobody said that it is negated');
delete from realtime.subscription;
select pg_temp.subscribe('public.live_quote_indicators', 'eq', 'NOT-LISTED');
select pg_temp.subscribe('public.live_quote_indicators', 'eq', 'SS-OFF');
select pg_temp.subscribe('public.live_quote_indicators', 'eq', '''; drop table profiles; --');
select is(pg_temp.pass(), null, 'unknown, inactive and absurd symbols are dropped');
select pg_temp.subscribe('public.live_quote_indicators', 'eq', 'SS-5');
update switchyard.settings set value = '0' where name = 'demand_from_row_changes';
select is(pg_temp.pass(), null, 'a setting turns row changes off as a source');
update switchyard.settings set value = '1' where name = 'demand_from_row_changes';
select pg_temp.look('SS-5', 'quote', 2);
select is(pg_temp.pass(), 'quote SS-5 1002', 'viewers of both sources add up');
delete from realtime.subscription;
delete from public.active_subscriptions_v2;

-- Verdicts.
insert into public.financial_statements (symbol, date, period, updated_at)
values ('SS-6', '2020-12-31', 'FY', now() - interval '5 years'), ('SS-6', '2025-12-31', 'FY', now()),
       ('SS-7', '2025-12-31', 'FY', now() - interval '31 days');
select pg_temp.look('SS-6', 'financial-statements');
select pg_temp.look('SS-7', 'financial-statements');
select is(pg_temp.pass(), 'financial-statements SS-7 1000',
  'of many rows the newest counts: old rows that the vendor sends no more make nothing stale');
insert into switchyard.refresh_state (symbol, data_type, last_checked_at) values ('SS-7', 'financial-statements', now());
select is(pg_temp.pass(), null, 'what was checked lately and found unchanged is fresh, whatever its rows say');
update switchyard.refresh_state set last_checked_at = now() - interval '31 days', empty_until = now() + interval '1 day' where symbol = 'SS-7';
select is(pg_temp.pass(), null, 'a symbol that is known to be empty is left alone');
update switchyard.refresh_state set empty_until = now() - interval '1 second' where symbol = 'SS-7';
select is(pg_temp.pass(), 'financial-statements SS-7 1000', '… until it is asked again');
update switchyard.refresh_state set failing_until = now() + interval '1 minute' where symbol = 'SS-7';
select is(pg_temp.pass(), null, 'one whose last attempt failed is left alone for a while');
select switchyard.set_stage('financial-statements', 'legacy');
update switchyard.refresh_state set failing_until = null;
select is(pg_temp.pass(), null, 'a data type in stage legacy is left to its legacy jobs');
delete from public.active_subscriptions_v2;

create table public.nullable_times (symbol text primary key, refreshed_at timestamptz);
create table public.world (place text primary key, refreshed_at timestamptz);
insert into public.nullable_times values ('SS-8', null), ('SS-9', now());
insert into public.data_type_registry_v2 (data_type, table_name, symbol_column, timestamp_column, conflict_columns,
    default_ttl_minutes, refresh_strategy, priority, provider, fetcher, estimated_data_size_bytes)
values ('nullable', 'nullable_times', 'symbol', 'refreshed_at', '{symbol}', 10, 'on-demand', 1, 'fmp', 'none', 1),
       ('world', 'world', null, 'refreshed_at', '{place}', 10, 'scheduled', 7, 'fmp', 'none', 1);
select switchyard.set_stage(data_type, 'live') from unnest(array['nullable', 'world']) as data_type;
select pg_temp.look('SS-8', 'nullable');
select pg_temp.look('SS-9', 'nullable');
select is(pg_temp.pass(), 'nullable SS-8 1000', 'a null timestamp is stale');
select pg_temp.look('GLOBAL', 'world', 3);
select pg_temp.look('SS-8', 'world', 3);
select is(pg_temp.pass(), 'nullable SS-8 1000, world GLOBAL 1002', 'a global type has the symbol GLOBAL and no other');
insert into public.world values ('here', now());
select is(pg_temp.pass(), 'nullable SS-8 1000', '… and is fresh by any of its rows');

-- Bounds and faults.
drop table public.nullable_times;
select pg_temp.look('SS-10', 'quote', 5);
select pg_temp.look('SS-11', 'quote', 9);
select is(pg_temp.pass(), 'quote SS-10 1004, quote SS-11 1008', 'a data type that is broken does not keep the others from it');
select results_eq(
  $$select data_type, detail ->> 'sqlstate' from switchyard.queue_events where kind = 'demand check failed'$$,
  $$values ('nullable', '42P01')$$, '… and is reported');
select switchyard.set_stage('nullable', 'legacy');
delete from public.data_type_registry_v2 where data_type = 'nullable';
update switchyard.settings set value = '1' where name = 'most_pending_jobs';
select is(pg_temp.pass(), 'quote SS-11 1008', 'no more is queued than may be pending, what most look at first');
update switchyard.settings set value = '4' where name = 'most_pending_jobs';
select pg_temp.look('SS-' || n, 'quote', 100) from generate_series(12, 20) as n;
delete from public.profiles where symbol = 'SS-30';
select pg_temp.look('SS-30', 'profile');
select is(pg_temp.pass(), 'profile SS-30 1000, quote SS-12 1099, quote SS-13 1099', 'the most wanted type leaves half of the room to the others');
insert into public.api_call_queue_v2 (symbol, data_type, source, priority) select 'SS-' || n, 'quote', 'demand', 1000 from generate_series(31, 34) as n;
select is(public.check_and_queue_stale_batch_v2('SS-35', array['quote']) #>> '{0,reason}', 'enough jobs are pending', 'single checks keep to the same bound');
delete from switchyard.api_call_queue_v2_live;
delete from public.active_subscriptions_v2 where symbol not in ('SS-10', 'SS-11');
update switchyard.settings set value = '5000' where name = 'most_pending_jobs';
update public.api_providers_v2 set hold_until = clock_timestamp() + interval '1 minute', hold_reason = 'test' where provider = 'fmp';
select is(pg_temp.pass(), null, 'nothing is queued for a provider on hold');
select is((select count(*) from switchyard.queue_events where kind = 'demand check skipped' and detail ->> 'reason' like 'on hold%') > 0,
  true, '… which an event says');
update public.api_providers_v2 set hold_until = null;
delete from public.active_subscriptions_v2;

-- On schedule: 40 active profiles were refreshed at different times, TTL 60 minutes.
delete from switchyard.refresh_state;
delete from public.supported_symbols where symbol not like 'SS-%';
delete from public.profiles;
insert into public.profiles (symbol, modified_at) select 'SS-' || n, now() - interval '2 hours' from generate_series(1, 40) as n;
insert into switchyard.refresh_state (symbol, data_type, last_checked_at)
select 'SS-' || n, 'profile', now() - interval '1 hour' - make_interval(mins => n) from generate_series(2, 40) as n;
select is(pg_temp.scheduled(), 'profile SS-1 300', 'on schedule a pass takes its share, what was refreshed longest ago first; world is fresh');
delete from switchyard.refresh_state;
update public.data_type_registry_v2 set default_ttl_minutes = 30 where data_type = 'profile';
delete from public.profiles where symbol = 'SS-22';
insert into public.profiles (symbol, modified_at) values ('SS-22', now() - interval '4 hours');
select is(pg_temp.scheduled(), 'profile SS-1 300, profile SS-22 300', 'also on the first day, when nothing was checked yet: by the data');
update public.data_type_registry_v2 set default_ttl_minutes = 60 where data_type = 'profile';
delete from switchyard.refresh_state;
insert into switchyard.refresh_state (symbol, data_type, last_checked_at)
select 'SS-' || n, 'profile', now() - interval '1 hour' - make_interval(mins => n) from generate_series(2, 40) as n;
update switchyard.refresh_state set last_checked_at = now();
insert into switchyard.refresh_state (symbol, data_type, last_checked_at) values ('SS-1', 'profile', now());
update switchyard.refresh_state set last_checked_at = now() - interval '70 minutes' where symbol = 'SS-30';
select is(pg_temp.scheduled(), 'profile SS-30 300', 'then the oldest, in the lowest band');
update public.world set refreshed_at = now() - interval '1 day';
select is(pg_temp.scheduled(), 'profile SS-30 300, world GLOBAL 7', 'global types are scheduled too');
update public.world set refreshed_at = now();
update switchyard.refresh_state set last_checked_at = now() - interval '58 minutes 50 seconds' where symbol = 'SS-30';
select is(pg_temp.scheduled(), null, 'a pass leaves alone what lives until the next one');
update switchyard.refresh_state set last_checked_at = now() - interval '59 minutes 10 seconds' where symbol = 'SS-30';
select is(pg_temp.scheduled(), 'profile SS-30 300', '… and takes what would be stale before it');
delete from public.live_quote_indicators;
insert into public.live_quote_indicators (symbol, current_price, api_timestamp, fetched_at)
select 'SS-' || n, 1, 1, now() - make_interval(secs => case n when 1 then 32 else 25 end) from generate_series(1, 40) as n;
update public.data_type_registry_v2 set refresh_strategy = 'hybrid' where data_type = 'quote';
update switchyard.refresh_state set last_checked_at = now();
select is(pg_temp.scheduled(), 'quote SS-1 500', '… of a TTL of a minute what is older than half of it, so that each pass takes it once');
select is(switchyard.scheduled_share(r), 1, 'a share is a TTL''s worth of passes and half of that more')
  from public.data_type_registry_v2 as r where r.data_type = 'profile';

select * from finish();
rollback;
