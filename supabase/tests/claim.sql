begin;
select plan(23);

-- One call for each quote.
update public.data_type_registry_v2 set batch_size = 1, estimated_data_size_bytes = 500 where data_type = 'quote';

-- By priority alone; tests/aging.sql is about the slots of the oldest.
update switchyard.settings set value = '0' where name = 'oldest_slots_percent';
insert into public.supported_symbols (symbol) select 'CL-' || n from generate_series(1, 12) as n;
select switchyard.enqueue_jobs(
  array['CL-1', 'CL-2', 'CL-3'], array['quote', 'quote', 'quote'], array[1000, 3000, 2000], 'demand');
select public.queue_refresh_if_not_exists_v2('CL-4', 'quote');

select is_empty($$select * from public.get_queue_batch_v2(10)$$, 'nothing is claimed while use_queue_system is off');
select is(
  (select string_agg(symbol, ' ') from public.get_queue_batch_v2(10, null, true)), 'CL-4',
  'a manual claim takes manual jobs only, with every flag off');

update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
create temp table claimed as select * from public.get_queue_batch_v2(2, '00000000-0000-4000-8000-000000000001', false, 60);
select is((select string_agg(symbol, ' ' order by priority desc) from claimed), 'CL-2 CL-3', 'the highest priorities are claimed first');
select is((select count(distinct lease_token) from claimed), 1::bigint, 'one claim carries one lease token');
select is(
  (select count(*) from public.api_call_queue_v2 as q join claimed as c using (id, lease_token)
    where q.status = 'processing' and q.claimed_by = '00000000-0000-4000-8000-000000000001'
      and q.lease_expires_at between clock_timestamp() + interval '50 seconds' and clock_timestamp() + interval '61 seconds'),
  2::bigint, 'the jobs are processing, with the lease and the run on them');
select is((select string_agg(symbol, ' ') from public.get_queue_batch_v2(10)), 'CL-1', 'the next claim takes what is left');
select is_empty($$select * from public.get_queue_batch_v2(10)$$, 'then nothing is left');
select is(
  (select calls_used_last_minute from public.get_quota_usage_v2('fmp')), 4::bigint,
  'the ledger holds one call per claimed quote');

select switchyard.enqueue_jobs(array['CL-5'], array['quote'], array[5000], 'demand');
update public.api_call_queue_v2 set run_after = clock_timestamp() + interval '1 hour' where symbol = 'CL-5';
select is_empty($$select * from public.get_queue_batch_v2(10)$$, 'a job is not claimed before run_after');
update public.api_call_queue_v2 set run_after = clock_timestamp() where symbol = 'CL-5';

update public.api_providers_v2 set calls_per_minute = null where provider = 'fmp';
select is_empty($$select * from public.get_queue_batch_v2(10)$$, 'an unknown call limit refuses the claim');
select is(switchyard.provider_refusal('fmp'), 'calls_per_minute is unknown', '… and says so');
update public.api_providers_v2 set calls_per_minute = 300, bytes_per_30_days = null where provider = 'fmp';
select is_empty($$select * from public.get_queue_batch_v2(10)$$, 'an unknown quota refuses the claim');
update public.api_providers_v2 set bytes_per_30_days = 20000000000, hold_until = clock_timestamp() + interval '1 minute', hold_reason = 'test'
 where provider = 'fmp';
select is_empty($$select * from public.get_queue_batch_v2(10)$$, 'a provider on hold refuses the claim');
update public.api_providers_v2 set hold_until = null where provider = 'fmp';
insert into public.api_data_usage_v2 (provider, data_type, hour, bytes)
values ('fmp', 'quote', date_trunc('hour', now(), 'UTC'), 19000000000);
select is(public.is_quota_exceeded_v2('fmp'), true, 'the quota counts its safety margin');
select is_empty($$select * from public.get_queue_batch_v2(10)$$, 'a used-up quota refuses the claim');
delete from public.api_data_usage_v2 where provider = 'fmp';

update public.api_providers_v2 set calls_per_minute = 9 where provider = 'fmp';
select switchyard.enqueue_jobs(
  array['CL-6', 'CL-7', 'CL-8', 'CL-9'], array['financial-statements', 'financial-statements', 'quote', 'quote'],
  array[900, 800, 700, 600], 'scheduled');
-- 9 allowed, 4 used: CL-5 takes one, CL-6 three; one is left, too little for CL-7.
select is(
  (select string_agg(symbol, ' ' order by priority desc) from public.get_queue_batch_v2(10)), 'CL-5 CL-6',
  'no more vendor calls are granted than the last minute leaves');
select is(
  (select calls_used_last_minute from public.get_quota_usage_v2('fmp')), 8::bigint, 'statements cost three calls');
update switchyard.call_grants set bucket = bucket - interval '80 seconds';
select is(
  (select string_agg(symbol, ' ' order by priority desc) from public.get_queue_batch_v2(10)), 'CL-7 CL-8 CL-9',
  'a minute later the calls are free again');

update switchyard.call_grants set bucket = bucket - interval '80 seconds';
select switchyard.enqueue_jobs(
  array['CL-10', 'CL-10'], array['profile', 'financial-statements'], array[1000, 5000], 'demand');
select is(
  (select string_agg(data_type, ' ') from public.get_queue_batch_v2(10)), 'profile',
  'a job whose parent is in the queue waits for it');

update switchyard.call_grants set bucket = bucket - interval '80 seconds';
select throws_ok($$select * from public.get_queue_batch_v2(0)$$, 'SY011',
  'Cannot claim jobs: batch size is 0, wanted 1 to 1000', 'a batch size of zero raises');
select throws_ok($$select * from public.get_queue_batch_v2(null)$$, 'SY011', null, 'a null batch size raises');
select throws_ok($$select * from public.get_queue_batch_v2(10, null, false, 1)$$, 'SY011', null, 'an absurd lease raises');
select throws_ok($$select * from public.get_quota_usage_v2('nobody')$$, 'SY004', null, 'an unknown provider has no quota');

select * from finish();
rollback;
