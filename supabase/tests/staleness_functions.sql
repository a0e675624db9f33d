begin;
select plan(12);

select is(public.is_data_stale_v2(now() - interval '61 minutes', 60), true, 'older than the TTL is stale');
select is(public.is_data_stale_v2(now() - interval '59 minutes', 60), false, 'younger than the TTL is fresh');
select is(public.is_data_stale_v2(now() - interval '60 minutes', 60), false, 'exactly as old as the TTL is fresh');
select is(public.is_data_stale_v2(null, 60), true, 'never refreshed is stale');
select is(public.is_data_stale_v2(now(), 2147483647), false, 'the longest TTL does not overflow');
select throws_ok(
  $$select public.is_data_stale_v2(now(), null)$$, 'SY006',
  'Cannot tell whether data is stale: TTL is null, wanted a positive number of minutes',
  'a null TTL raises');
select throws_ok($$select public.is_data_stale_v2(now(), 0)$$, 'SY006', null, 'a zero TTL raises');
select throws_ok($$select public.is_data_stale_v2(null, -5)$$, 'SY006',
  'Cannot tell whether data is stale: TTL is -5, wanted a positive number of minutes',
  'a negative TTL raises, for null data too');
select is(public.is_profile_stale_v2(now() - interval '2 hours', 60), true, 'a profile older than its TTL is stale');
select is(public.is_profile_stale_v2(now(), 60), false, 'a new profile is fresh');
select is(public.is_profile_stale_v2(null, 60), true, 'a profile never modified is stale');
select throws_ok($$select public.is_profile_stale_v2(now(), null)$$, 'SY006', null, 'a profile needs a TTL as well');

select * from finish();
rollback;
