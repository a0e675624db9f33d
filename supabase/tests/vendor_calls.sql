-- Calls outside of the queue count in its ledger.
begin;
select plan(13);

update public.api_providers_v2 set calls_per_minute = 3, calls_margin = 0 where provider = 'fmp';
select is(public.take_vendor_calls_v2('fmp'), null, 'with the flag off nothing is counted');
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select is(public.take_vendor_calls_v2('fmp', 2), 0, 'calls are granted while there are some');
select is(switchyard.calls_granted('fmp'), 2::bigint, '… and counted');
select ok(public.take_vendor_calls_v2('fmp', 2) between 61000 and 62800, 'else it says how long to wait: they count from when the last may start');
select is(public.take_vendor_calls_v2('fmp', 1), 0, 'fewer may still go');
update public.api_providers_v2 set hold_until = clock_timestamp() + interval '20 seconds' where provider = 'fmp';
select ok(public.take_vendor_calls_v2('fmp') between 19000 and 20000, 'a hold is waited for');

-- The old system stops for nothing else; once the queue serves all, endpoints are guests in it.
update public.api_providers_v2 set hold_until = null, calls_per_minute = null, bytes_per_30_days = 1, paused = true, breaker_state = 'open' where provider = 'fmp';
select is(public.take_vendor_calls_v2('fmp'), 0, 'while endpoints are the old system, only the vendor and the minute stop them');
select switchyard.set_stage(data_type, 'live') from public.data_type_registry_v2 where data_type <> 'profile' and provider = 'fmp';
update public.feature_flags set enabled = true where flag_name = 'use_new_staleness_check';
select is(public.take_vendor_calls_v2('fmp'), 0, '… of any data type');
select switchyard.set_stage('profile', 'live');
update public.api_providers_v2 set paused = false, breaker_state = 'closed', bytes_per_30_days = 1000000 where provider = 'fmp';
select is(public.take_vendor_calls_v2('fmp'), 3600000, 'an unknown limit grants nothing');
select throws_ok($$select public.take_vendor_calls_v2('nobody')$$, 'SY004',
  'Cannot take vendor calls: no provider "nobody"', 'an unknown provider is an error');
update public.api_providers_v2 set calls_per_minute = 300, bytes_per_30_days = 1000 where provider = 'fmp';
select public.book_endpoint_usage_v2('fmp', 'quote', 1, 0, 2000);
select is(public.take_vendor_calls_v2('fmp'), 3600000, 'nor does a byte quota that endpoints have used up');
update public.api_providers_v2 set bytes_per_30_days = 100000, breaker_state = 'open', breaker_changed_at = clock_timestamp() - interval '50 seconds';
select ok(public.take_vendor_calls_v2('fmp') between 9000 and 10000, 'nor an open breaker, until it lets a probe through');
update public.api_providers_v2 set breaker_state = 'closed';
select throws_ok($$select public.take_vendor_calls_v2('fmp', 0)$$, 'SY016', null, 'so is no call');

select * from finish();
rollback;
