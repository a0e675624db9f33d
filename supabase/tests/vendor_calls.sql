-- Calls outside of the queue count in its ledger.
begin;
select plan(9);

update public.api_providers_v2 set calls_per_minute = 3, calls_margin = 0 where provider = 'fmp';
select is(public.take_vendor_calls_v2('fmp'), null, 'with the flag off nothing is counted');
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select is(public.take_vendor_calls_v2('fmp', 2), 0, 'calls are granted while there are some');
select is(switchyard.calls_granted('fmp'), 2::bigint, '… and counted');
select ok(public.take_vendor_calls_v2('fmp', 2) between 59000 and 60800, 'else it says how long to wait');
select is(public.take_vendor_calls_v2('fmp', 1), 0, 'fewer may still go');
update public.api_providers_v2 set hold_until = clock_timestamp() + interval '20 seconds' where provider = 'fmp';
select ok(public.take_vendor_calls_v2('fmp') between 19000 and 20000, 'a hold is waited for');
update public.api_providers_v2 set hold_until = null, calls_per_minute = null where provider = 'fmp';
select is(public.take_vendor_calls_v2('fmp'), 5000, 'an unknown limit grants nothing');
select throws_ok($$select public.take_vendor_calls_v2('nobody')$$, 'SY004',
  'Cannot take vendor calls: no provider "nobody"', 'an unknown provider is an error');
select throws_ok($$select public.take_vendor_calls_v2('fmp', 0)$$, 'SY016', null, 'so is no call');

select * from finish();
rollback;
