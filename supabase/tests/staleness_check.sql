begin;
select plan(26);

insert into public.supported_symbols (symbol) values ('SC-1'), ('SC-2');
insert into public.profiles (symbol) values ('SC-1');
create function pg_temp.reason(p_symbol text, p_data_type text) returns text language sql as $$
  select coalesce(a ->> 'reason', 'queued')
    from jsonb_array_elements(public.check_and_queue_stale_batch_v2(p_symbol, array[p_data_type])) as a
$$;

select is(pg_temp.reason('SC-1', 'quote'), 'use_queue_system is off', 'nothing is queued while use_queue_system is off');
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select is(pg_temp.reason('SC-1', 'quote'), 'use_new_staleness_check is off', '… nor without use_new_staleness_check');
update public.feature_flags set enabled = true where flag_name = 'use_new_staleness_check';
select is(pg_temp.reason('SC-1', 'quote'), 'stage legacy: the legacy jobs refresh it', '… nor in stage legacy');
select switchyard.set_stage(data_type, 'live') from public.data_type_registry_v2;
select is(pg_temp.reason('SC-1', 'quote'), 'queued', 'a live type that was never refreshed is queued');
select results_eq(
  $$select data_type, source, priority from public.api_call_queue_v2 where symbol = 'SC-1'$$,
  $$values ('quote', 'demand', 1000)$$, 'as a demand job');

select is(pg_temp.reason('SC-1', 'profile'), 'fresh', 'a fresh row is not queued');
-- Its trigger would set the time to now.
alter table public.profiles disable trigger user;
update public.profiles set modified_at = now() - interval '2 hours' where symbol = 'SC-1';
select is(pg_temp.reason('SC-1', 'profile'), 'queued', 'a row older than its TTL is');

insert into public.financial_statements (symbol, date, period, updated_at) values
  ('SC-1', '2020-01-01', 'FY', now() - interval '5 years'), ('SC-1', '2024-01-01', 'FY', now());
select is(pg_temp.reason('SC-1', 'financial-statements'), 'fresh', 'only the newest row of a symbol counts');
select is(switchyard.newest_refresh('financial-statements', 'SC-1'), now(), 'newest_refresh tells its time');
alter table public.financial_statements disable trigger user;
update public.financial_statements set updated_at = now() - interval '5 years' where symbol = 'SC-1';
insert into switchyard.refresh_state (symbol, data_type, last_checked_at) values ('SC-1', 'financial-statements', now());
select is(pg_temp.reason('SC-1', 'financial-statements'), 'fresh', 'a check that found nothing new counts as a refresh');
update switchyard.refresh_state set last_checked_at = now() - interval '5 years', empty_until = now() + interval '1 day' where symbol = 'SC-1';
select is(pg_temp.reason('SC-1', 'financial-statements'), 'the vendor has nothing for it', 'a symbol known to be empty is not asked for');

create function public.never(p_symbol text) returns boolean language sql as 'select false';
update public.data_type_registry_v2 set condition_function = 'never' where data_type = 'quote';
select is(pg_temp.reason('SC-2', 'quote'), 'never says not now', 'a condition function can hold it back');
update public.data_type_registry_v2 set condition_function = null where data_type = 'quote';
select is(pg_temp.reason('GLOBAL', 'quote'), 'not a global data type', 'GLOBAL is no symbol of a type by symbol');
insert into public.api_data_usage_v2 (provider, data_type, hour, bytes) values ('fmp', 'quote', date_trunc('hour', now(), 'UTC'), 30000000000);
select is(pg_temp.reason('SC-2', 'quote'), 'the 30-day byte quota is used up', 'nothing is queued past the quota');
delete from public.api_data_usage_v2;

select throws_ok($$select public.check_and_queue_stale_batch_v2('SC-9', array['quote'])$$, 'SY009',
  'Cannot check "SC-9": unknown symbol', 'an unknown symbol raises');
select throws_ok($$select public.check_and_queue_stale_batch_v2(null, array['quote'])$$, 'SY009', null, 'so does null');
select throws_ok($$select public.check_and_queue_stale_batch_v2('SC-1', array['quote', 'horoscope'])$$, 'SY008',
  'Cannot check "SC-1": unknown data type "horoscope"', 'an unknown data type raises');
select throws_ok($$select public.check_and_queue_stale_batch_v2('SC-1', '{}')$$, 'SY008', null, 'no data type at all raises');
select throws_ok($$select public.check_and_queue_stale_batch_v2('SC-1', array['quote'], 9000)$$, 'SY010', null,
  'a priority outside the demand band raises');

-- As a signed-in user.
update switchyard.settings set value = '2' where name = 'caller_checks_per_minute';
set local role authenticated;
set local request.jwt.claims = '{"sub": "5f0c9f6e-0000-4000-8000-000000000002", "role": "authenticated"}';
select is(public.check_and_queue_stale_batch_v2('SC-9', array['quote']) -> 0 ->> 'reason',
  'unknown symbol or data type, or not 1 to 50 data types', 'a signed-in user gets an answer for an unknown symbol');
select public.check_and_queue_stale_batch_v2('SC-1', array['horoscope']);
select throws_ok($$select public.check_and_queue_stale_batch_v2('SC-9', array['quote'])$$, 'SY014', null,
  '… which counts like any other');
set local request.jwt.claims = '{"role": "authenticated"}';
select public.check_and_queue_stale_batch_v2('SC-2', array['quote']);
select public.check_and_queue_stale_batch_v2('SC-2', array['quote']);
select throws_ok($$select public.check_and_queue_stale_batch_v2('SC-2', array['quote'])$$, 'SY014', null,
  'callers without a sub share one count');
set local request.jwt.claims = '{"sub": "5f0c9f6e-0000-4000-8000-000000000001", "role": "authenticated"}';
select lives_ok($$select public.check_and_queue_stale_batch_v2('SC-2', array['quote'], 8999)$$, 'a signed-in user may ask');
select lives_ok($$select public.check_and_queue_stale_batch_v2('SC-2', array['quote'])$$, '… a second time');
select throws_ok($$select public.check_and_queue_stale_batch_v2('SC-2', array['quote'])$$, 'SY014', null, '… but not without end');
reset role;
select is((select priority from public.api_call_queue_v2 where symbol = 'SC-2'), 1100, 'whose priority is capped');

select * from finish();
rollback;
