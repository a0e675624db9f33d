begin;
select plan(28);

update switchyard.settings set value = '0' where name = 'oldest_slots_percent';
insert into public.supported_symbols (symbol) select 'RU-' || n from generate_series(1, 9) as n;

-- Leases
select public.queue_refresh_if_not_exists_v2('RU-1', 'quote');
create temp table claimed as select * from public.get_queue_batch_v2(1, null, true, 5);
select is(public.extend_leases_v2((select lease_token from claimed), 600), 1, 'a lease can be extended');
select ok((select lease_expires_at > clock_timestamp() + interval '590 seconds' from public.api_call_queue_v2 where symbol = 'RU-1'),
  '… from now');
select is(public.extend_leases_v2((select lease_token from claimed), 5), 1, 'a shorter extension');
select ok((select lease_expires_at > clock_timestamp() + interval '580 seconds' from public.api_call_queue_v2 where symbol = 'RU-1'),
  '… shortens nothing');
select is(public.extend_leases_v2(gen_random_uuid()), 0, 'an unknown lease is extended for nobody');
update public.api_call_queue_v2 set lease_expires_at = clock_timestamp() - interval '1 second' where symbol = 'RU-1';
select is(public.extend_leases_v2((select lease_token from claimed)), 0, 'nor is an expired one');
select throws_ok($$select public.extend_leases_v2(gen_random_uuid(), 0)$$, 'SY011', null, 'an absurd time raises');

-- Cancel
update public.api_call_queue_v2 set lease_expires_at = clock_timestamp() + interval '1 minute' where symbol = 'RU-1';
select public.queue_refresh_if_not_exists_v2('RU-2', 'quote');
select public.queue_refresh_if_not_exists_v2('RU-2', 'profile');
select throws_ok($$select public.cancel_jobs_v2()$$, 'SY016', null, 'cancelling without a filter raises');
select throws_ok($$select public.cancel_jobs_v2('nonsense')$$, 'SY008', 'Cannot cancel jobs of "nonsense": unknown data type', 'a data type that nobody knows is no filter');
select throws_ok($$select public.retry_failed_jobs_v2('nonsense')$$, 'SY008', 'Cannot retry failed jobs of "nonsense": unknown data type', '… nor one of what to retry');
select is(public.cancel_jobs_v2('quote', 'RU-7'), 0, 'a filter that matches nothing cancels nothing');
select is(public.cancel_jobs_v2(p_data_type := 'quote'), 2, 'a filter cancels what it matches');
select results_eq(
  $$select symbol, data_type, status, attempts, last_error from public.api_call_queue_v2 where symbol like 'RU-%' order by 1, 2$$,
  $$values ('RU-1', 'quote', 'failed', 0, 'Cancelled by cancel_jobs_v2'),
           ('RU-2', 'profile', 'pending', 0, null),
           ('RU-2', 'quote', 'failed', 0, 'Cancelled by cancel_jobs_v2')$$,
  '… pending and processing ones, and nothing else');
select is((select outcome from public.settle_queue_batch_v2((select jsonb_agg(
    jsonb_build_object('job_id', id, 'lease_token', lease_token, 'outcome', 'empty')) from claimed))),
  'lease_lost', 'the settle of a cancelled job changes nothing');

-- Redrive
select public.queue_refresh_if_not_exists_v2('RU-2', 'quote', 9100);
select is(public.retry_failed_jobs_v2(p_data_type := 'quote'), 0, 'what was cancelled stays so');
update public.api_call_queue_v2 set errors = '[{"code": "http_500"}]' where symbol in ('RU-1', 'RU-2') and status = 'failed';
select is(public.retry_failed_jobs_v2(p_data_type := 'quote'), 1, 'what failed is queued anew, unless it is live again');
select is((select status from public.api_call_queue_v2 where symbol = 'RU-1' and finished_at = 'infinity'), 'pending', '… as a pending job');
select is((select count(*) from public.api_call_queue_v2 where symbol = 'RU-1' and status = 'failed'), 1::bigint, 'and the failed one is kept');
select is(public.retry_failed_jobs_v2(), 0, 'a second time makes nothing');
select is(public.retry_failed_jobs_v2(p_failed_after := clock_timestamp() + interval '1 hour'), 0, 'nothing failed after then');

-- Pause and resume
select public.pause_data_type_v2('quote');
select results_eq($$select data_type from public.get_queue_batch_v2(10, null, true)$$, $$values ('profile')$$,
  'a paused data type is not claimed, others are');
select is(public.pause_data_type_v2('quote', false), false, 'it can be resumed');
select public.pause_provider_v2('fmp');
select is_empty($$select * from public.get_queue_batch_v2(10, null, true)$$, 'of a paused provider nothing is claimed');
select is(switchyard.provider_refusal('fmp'), 'the provider is paused', '… and it says so');
select public.pause_provider_v2('fmp', false);
select results_eq($$select data_type from public.get_queue_batch_v2(10, null, true)$$, $$values ('quote'), ('quote')$$,
  'a resumed one is claimed again');
select throws_ok($$select public.pause_data_type_v2('horoscope')$$, 'SY008', null, 'an unknown data type cannot be paused');
select throws_ok($$select public.pause_provider_v2('nobody')$$, 'SY004', null, 'nor an unknown provider');
select throws_ok($$delete from public.data_type_registry_v2 where data_type = 'quote'$$, 'SY005', null,
  'a data type with live jobs cannot be removed');

select * from finish();
rollback;
