-- What a staleness pass leaves alone, and that one type does not stop the others.
begin;
select plan(15);

insert into public.supported_symbols (symbol) select 'SK-' || n from generate_series(1, 3) as n;
delete from realtime.subscription;
select switchyard.set_stage(data_type, 'live') from public.data_type_registry_v2 where data_type in ('quote', 'profile');
update public.data_type_registry_v2 set condition_function = null where data_type = 'quote';
update public.feature_flags set enabled = true where flag_name in ('use_queue_system', 'use_new_staleness_check');
insert into public.active_subscriptions_v2 (symbol, data_type, source, viewers)
select 'SK-' || n, 'quote', 'presence', 1 from generate_series(1, 3) as n;
create function pg_temp.pass() returns text language sql as $$
  select concat_ws(': ', p.queued, p.reason)
    from public.check_and_queue_stale_data_from_presence_v2() as p where p.data_type = 'quote'
$$;
create function pg_temp.again() returns void language sql as $$delete from switchyard.api_call_queue_v2_live$$;

select is(pg_temp.pass(), '3', 'three symbols that viewers look at are queued');
update switchyard.api_call_queue_v2_live
   set status = 'processing', lease_token = gen_random_uuid(), lease_expires_at = now() + interval '1 hour', claimed_at = now()
 where symbol = 'SK-1';
update public.active_subscriptions_v2 set viewers = 50;
select is(pg_temp.pass(), '0', 'no new job is made of what is queued or being processed');
select is((select priority from switchyard.api_call_queue_v2_live where symbol = 'SK-1'), 1000, '… and what is being processed keeps its priority');
select is((select priority from switchyard.api_call_queue_v2_live where symbol = 'SK-2'), 1049, '… while what waits is raised');
select pg_temp.again();

create function public.sk_open(p_symbol text) returns boolean language sql as $$select p_symbol = 'SK-2'$$;
update public.data_type_registry_v2 set condition_function = 'sk_open' where data_type = 'quote';
select is(pg_temp.pass(), '1', 'a symbol whose condition says not now is not queued');
select pg_temp.again();
create function public.sk_open(p_symbols text[]) returns setof text language sql as $$select s from unnest(p_symbols) as s where s in ('SK-1', 'SK-3')$$;
select is(pg_temp.pass(), '2', '… nor one that its form for sets leaves out, which is asked in its place');
select pg_temp.again();
create function public.sk_none(p_symbol text) returns boolean language sql as $$select null::boolean$$;
update public.data_type_registry_v2 set condition_function = 'sk_none' where data_type = 'quote';
select is(pg_temp.pass(), '0', '… nor one of which it says nothing');
update public.data_type_registry_v2 set condition_function = null where data_type = 'quote';

update public.data_type_registry_v2 set paused = true where data_type = 'quote';
select is(pg_temp.pass(), '0: the data type is paused', 'nor is a paused type');
select is((select count(*) from switchyard.queue_events where kind = 'demand check skipped' and data_type = 'quote'), 1::bigint, '… with an event');
update public.data_type_registry_v2 set paused = false where data_type = 'quote';

insert into public.api_data_usage_v2 (provider, data_type, hour, bytes) values ('fmp', 'quote', date_trunc('hour', now(), 'UTC'), 20000000000);
select is(pg_temp.pass(), '0: the 30-day byte quota is used up', 'nor any when the quota is used up');
delete from public.api_data_usage_v2;

-- One symbol: the fault of a type is told beside the verdicts of the others.
create function public.sk_broken(p_symbol text) returns boolean language plpgsql as $$begin return 1 / length(p_symbol) / 0; end$$;
update public.data_type_registry_v2 set condition_function = 'sk_broken' where data_type = 'profile';
select results_eq(
  $$select a ->> 'data_type', a -> 'queued', a ->> 'reason' from jsonb_array_elements(
      public.check_and_queue_stale_batch_v2('SK-1', array['profile', 'quote'])) as a$$,
  $$values ('profile', 'false'::jsonb, 'failed: division by zero'), ('quote', 'true'::jsonb, null)$$,
  'a type that is broken has its problem told, the others are queued');
select is((select count(*) from switchyard.queue_events where kind = 'symbol check failed' and data_type = 'profile'), 1::bigint, '… as an event');
select is((select count(*) from switchyard.api_call_queue_v2_live where symbol = 'SK-1'), 1::bigint, '… and one job is there');

-- Holidays, by either of the vendor's two words for a day without trading.
insert into public.exchange_market_status (exchange_code, timezone, opening_time_local, closing_time_local, current_day_is_holiday, last_fetched_at, raw_holidays_json)
values ('SK-X', 'UTC', '09:00 AM +00:00', '05:00 PM +00:00', false, '2026-11-20', '[{"date": "2026-11-25", "isClosed": null, "isFullyClosed": true}]');
select results_eq(
  $$select t - interval '1 minute' < switchyard.quotes_good_from('SK-X', t)
      from unnest(array['2026-11-25 12:00+00', '2026-11-26 12:00+00']::timestamptz[]) with ordinality as d (t, n) order by n$$,
  'values (false), (true)', 'a fully closed day is a holiday');
select is('2026-11-27 18:00+00' < switchyard.quotes_good_from('SK-X', '2026-11-30 08:00+00'), false,
  'on Monday before the opening Friday''s close is the last one');

select * from finish();
rollback;
