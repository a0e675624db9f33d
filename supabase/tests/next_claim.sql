-- When the minute is used up: how long to wait, and for whom the next calls are.
begin;
select plan(20);

-- One call for each quote.
update public.data_type_registry_v2 set batch_size = 1, estimated_data_size_bytes = 500 where data_type = 'quote';

update switchyard.settings set value = '0' where name = 'oldest_slots_percent';
insert into public.supported_symbols (symbol) select 'NC-' || n from generate_series(1, 60) as n;
insert into public.profiles (symbol) select 'NC-' || n from generate_series(1, 60) as n;
update public.api_providers_v2 set calls_per_minute = 3, calls_margin = 0 where provider = 'fmp';
create function pg_temp.claim(p_size integer) returns text language sql as $$
  select string_agg(c.data_type || ' × ' || c.jobs, ', ' order by c.data_type)
    from (select data_type, count(*) as jobs from public.get_queue_batch_v2(p_size, null, true) group by 1) as c
$$;

select is(public.next_claim_in_v2(), null, 'with the flag off nothing is waited for');
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select is(public.next_claim_in_v2(), null, 'an empty queue has no next claim but new work');
select public.queue_refresh_if_not_exists_v2('NC-' || n, 'quote') from generate_series(1, 5) as n;
select is(public.next_claim_in_v2(), null, 'nor has one from which jobs can be claimed at once');
select is(pg_temp.claim(10), 'quote × 3', 'the minute is used up');
select ok(public.next_claim_in_v2() between 60000 and 60800, 'then calls come free when the oldest grant stops counting');
update switchyard.call_grants set bucket = clock_timestamp() - switchyard.ledger_window() + interval '2 seconds';
select ok(public.next_claim_in_v2(true) between 1500 and 2000, '… whenever that is');
update public.api_providers_v2 set hold_until = clock_timestamp() + interval '1 minute';
select is(public.next_claim_in_v2(), null, 'a provider on hold is not waited for');
update public.api_providers_v2 set hold_until = null;
update public.data_type_registry_v2 set paused = true where data_type = 'quote';
select is(public.next_claim_in_v2(), null, 'nor is a paused data type');
update public.data_type_registry_v2 set paused = false where data_type = 'quote';
select public.cancel_jobs_v2(p_created_before := 'infinity');
select is(public.next_claim_in_v2(), null, 'without due jobs there is nothing to wait for');

truncate switchyard.call_grants;
select public.queue_refresh_if_not_exists_v2('NC-9', 'quote');
update switchyard.api_call_queue_v2_live set run_after = clock_timestamp() + interval '5 seconds', delayed = true where symbol = 'NC-9';
select ok(public.next_claim_in_v2() between 4000 and 5000, 'a retry within seconds is');
update switchyard.api_call_queue_v2_live set run_after = clock_timestamp() + interval '1 minute' where symbol = 'NC-9';
select is(public.next_claim_in_v2(), null, '… but not a later one');
select public.cancel_jobs_v2(p_created_before := 'infinity');

-- financial-statements needs three calls.
insert into switchyard.call_grants (provider, bucket, calls, bytes, in_flight_until) values ('fmp', clock_timestamp(), 2, 0, now());
select public.queue_refresh_if_not_exists_v2('NC-20', 'financial-statements');
select public.queue_refresh_if_not_exists_v2('NC-21', 'quote');
select is(switchyard.is_saving_calls('fmp', 1, 1000000000, true), false, 'a single call is not saved up for a young job');
update switchyard.api_call_queue_v2_live set run_after = clock_timestamp() - interval '2 minutes' where data_type = 'financial-statements';
select is(pg_temp.claim(10), null, 'but it is for one that has waited for a minute');
select ok(public.next_claim_in_v2() > 0, '… and processors wait for the others');
select public.queue_refresh_if_not_exists_v2('NC-20', 'profile');
select is(switchyard.is_saving_calls('fmp', 1, 1000000000, true), false, 'nor for one that waits for its parent');
delete from switchyard.api_call_queue_v2_live where symbol = 'NC-20' and data_type = 'profile';
select is(switchyard.is_saving_calls('fmp', 1, 10, true), false, 'nor for one that is more than the bytes that are left');
truncate switchyard.call_grants;
select is(pg_temp.claim(10), 'financial-statements × 1', 'which it then gets, before more urgent ones');

-- Two providers.
update public.api_providers_v2 set calls_per_minute = 1000 where provider = 'fmp';
insert into public.api_providers_v2 (provider, calls_per_minute, bytes_per_30_days) values ('zzz', 1000, 1000000000);
select public.queue_refresh_if_not_exists_v2('NC-' || n, 'quote') from generate_series(30, 49) as n;
select is(pg_temp.claim(20), 'quote × 20', 'a provider without work leaves its share of the batch to the others');

-- What is worth a processor.
select public.cancel_jobs_v2(p_created_before := 'infinity');
select public.queue_refresh_if_not_exists_v2('NC-50', 'profile');
select public.queue_refresh_if_not_exists_v2('NC-50', 'financial-statements');
select is(switchyard.due_jobs(), 1::bigint, 'a child that waits for its parent is not due');
select is(switchyard.due_jobs(clock_timestamp() + interval '1 second'), 0::bigint, 'due_jobs can look at what came lately alone');

select * from finish();
rollback;
