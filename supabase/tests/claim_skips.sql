-- What cannot go out is skipped, never waited for.
begin;
select plan(15);

-- One call for each quote.
update public.data_type_registry_v2 set batch_size = 1, estimated_data_size_bytes = 500 where data_type = 'quote';

update switchyard.settings set value = '0' where name = 'oldest_slots_percent';
insert into public.supported_symbols (symbol) select 'SK-' || n from generate_series(1, 60) as n;
create function pg_temp.claim(p_size integer) returns text language sql as $$
  select string_agg(c.data_type || ' × ' || c.jobs, ', ' order by c.data_type)
    from (select data_type, count(*) as jobs from public.get_queue_batch_v2(p_size, null, true) group by 1) as c
$$;

select public.queue_refresh_if_not_exists_v2('SK-' || n, 'financial-statements') from generate_series(1, 30) as n;
select public.queue_refresh_if_not_exists_v2('SK-' || n, 'profile') from generate_series(1, 30) as n;
select public.queue_refresh_if_not_exists_v2('SK-' || n, 'quote') from generate_series(1, 5) as n;
select is(pg_temp.claim(20), 'profile × 20', 'children that wait for their parents do not fill the batch');
select is(pg_temp.claim(20), 'profile × 10, quote × 5', '… nor keep unrelated jobs out');
select is(pg_temp.claim(20), null, 'while the parents are in flight the children wait');
select count(*) from public.settle_queue_batch_v2((
  select jsonb_agg(jsonb_build_object('job_id', id, 'lease_token', lease_token, 'outcome', 'empty'))
    from public.api_call_queue_v2 where status = 'processing'));
select is(pg_temp.claim(50), 'financial-statements × 30', '… and go when these are done');
select public.cancel_jobs_v2(p_created_before := 'infinity');

update switchyard.call_grants set bucket = bucket - interval '80 seconds';
update public.api_providers_v2 set calls_per_minute = 2 where provider = 'fmp';
select public.queue_refresh_if_not_exists_v2('SK-40', 'financial-statements', 9999);
select public.queue_refresh_if_not_exists_v2('SK-' || n, 'quote') from generate_series(41, 48) as n;
select is(pg_temp.claim(5), 'quote × 2', 'a job with more calls than are left is skipped');

update public.api_providers_v2 set calls_per_minute = 300, bytes_per_30_days = 100000, bytes_margin = 0 where provider = 'fmp';
update public.data_type_registry_v2 set estimated_data_size_bytes = 200000 where data_type = 'financial-statements';
update public.data_type_registry_v2 set estimated_data_size_bytes = 10000 where data_type = 'quote';
update switchyard.call_grants set bytes = 0;
select is(pg_temp.claim(20), 'quote × 6', 'so is one with more bytes than are left');
select public.queue_refresh_if_not_exists_v2('SK-' || n, 'quote') from generate_series(50, 58) as n;
select is(pg_temp.claim(20), 'quote × 4', 'what is in flight counts against the quota');
select is(pg_temp.claim(20), null, '… until it is used up');

-- Whoever claims, what others hold is in flight.
select public.cancel_jobs_v2(p_created_before := 'infinity');
truncate switchyard.call_grants;
insert into public.supported_symbols (symbol) select 'SL-' || n from generate_series(1, 40) as n;
select public.queue_refresh_if_not_exists_v2('SL-' || n, 'quote') from generate_series(1, 40) as n;
select is((select count(*) from public.get_queue_batch_v2(50, null, true, 3600)), 10::bigint, 'a long lease holds the bytes of ten');
update switchyard.call_grants set bucket = bucket - interval '10 seconds';
select is((select count(*) from public.get_queue_batch_v2(50, null, true, 5)), 0::bigint, 'of which a short one finds nothing left');
update switchyard.call_grants set in_flight_until = now() - interval '1 second';
select is((select count(*) from public.get_queue_batch_v2(50, null, true, 5)), 10::bigint, '… until it has ended');

-- Calls that start later count for longer.
update public.api_providers_v2 set bytes_per_30_days = 1000000000 where provider = 'fmp';
truncate switchyard.call_grants;
update public.data_type_registry_v2 set calls_spread_seconds = 30 where data_type = 'quote';
select count(*) from public.get_queue_batch_v2(5, null, true);
select ok((select min(bucket) > clock_timestamp() + interval '28 seconds' from switchyard.call_grants),
  'the calls of a slow fetcher count from when the last of them may start');
select is(switchyard.calls_granted('fmp'), 5::bigint, '… and from now on');
select is(
  (select outcome from public.settle_queue_batch_v2((
     select jsonb_agg(jsonb_build_object('job_id', id, 'lease_token', lease_token, 'outcome', 'empty', 'calls', 4))
       from (select id, lease_token from public.api_call_queue_v2
              where status = 'processing' order by claimed_at desc limit 1) as c))), 'empty', 'a job reports four calls, granted one');
select is((select calls from switchyard.call_grants where bucket < clock_timestamp() + interval '1 second'), 3,
  'calls beyond the grant are counted when they are reported');

select * from finish();
rollback;
