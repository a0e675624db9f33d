-- An Edge Function of this project that refuses our key stops its own data type, not the vendor.
begin;
select plan(10);

update switchyard.settings set value = '1' where name = 'breaker_least_failures';
insert into public.supported_symbols (symbol) select 'OK-' || n from generate_series(1, 5) as n;
update public.data_type_registry_v2
   set fetcher = 'edge-function', edge_function_name = 'fetch-fmp-shares-float', calls_spread_seconds = 60
 where data_type = 'shares-float';
select public.queue_refresh_if_not_exists_v2('OK-' || n, 'shares-float') from generate_series(1, 3) as n;
create function pg_temp.claim() returns text language sql as $$
  select string_agg(c.data_type, ' ' order by c.data_type) from public.get_queue_batch_v2(10, null, true) as c
$$;

create temp table settled as
  select s.* from public.settle_queue_batch_v2((
    select jsonb_agg(jsonb_build_object('job_id', c.id, 'lease_token', c.lease_token, 'outcome', 'failed', 'calls', 1,
             'error', '{"class": "auth", "code": "edge_function_401", "message": "refused by the test"}'::jsonb))
      from public.get_queue_batch_v2(10, null, true) as c)) as s;
select results_eq('select outcome, count(*) from settled group by 1', $$values ('released', 3::bigint)$$, 'the jobs are given back');
select is((select sum(attempts) from public.api_call_queue_v2 where symbol ~ '^OK-'), 0::bigint, '… without a burnt attempt');
select is((select breaker_state from public.api_providers_v2 where provider = 'fmp'), 'closed', 'the vendor''s breaker stays closed');
select is_empty('select * from switchyard.failed_attempts', '… and counts nothing');
select is(
  (select detail ->> 'message' from switchyard.queue_events where kind = 'failure: auth' and data_type = 'shares-float' limit 1),
  'refused by the test', 'an event tells of it');
select is(pg_temp.claim(), null, 'the data type is held');
select is(switchyard.is_saving_calls('fmp', 0, 1000000000, true), false, 'nothing is saved up for it');
select public.queue_refresh_if_not_exists_v2('OK-4', 'quote');
select is(pg_temp.claim(), 'quote', 'the others go on');
select switchyard.hold_data_type('shares-float', 10, 'shorter');
select is((select reason from switchyard.data_type_holds where data_type = 'shares-float'), 'refused by the test',
  'a hold is never shortened');
update switchyard.data_type_holds set hold_until = clock_timestamp();
select is(pg_temp.claim(), 'shares-float shares-float shares-float', 'when it ends the jobs go out again');

select * from finish();
rollback;
