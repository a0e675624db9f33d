-- One run of an endpoint at a time, and what it used.
begin;
select plan(23);

create function pg_temp.start(p_run integer, p_trusted boolean default false) returns text language sql as $$
  select coalesce(s ->> 'started', 'off')
    from public.start_endpoint_run_v2('fetch-x', format('00000000-0000-4000-8000-00000000000%s', p_run)::uuid, p_trusted) as s
$$;
create function pg_temp.finish(p_run integer) returns boolean language sql as $$
  select public.finish_endpoint_run_v2('fetch-x', format('00000000-0000-4000-8000-00000000000%s', p_run)::uuid)
$$;
create function pg_temp.age(p_by interval) returns void language sql as $$
  update switchyard.endpoint_runs set started_at = started_at - p_by, expires_at = expires_at - p_by, finished_at = finished_at - p_by
$$;

select is(pg_temp.start(1), 'off', 'with the flag off runs start as they like');
select is_empty('select * from switchyard.endpoint_runs', '… and nothing is kept');
select is(public.book_endpoint_usage_v2('fmp', 'quote', 1, 0, 10), false, '… nor booked');
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';

select is(pg_temp.start(1), 'true', 'with it on the first run starts');
select is(pg_temp.start(1), 'true', 'asking twice is once');
select is(pg_temp.start(2), 'false', 'a second one does not while the first goes on');
select is(pg_temp.start(2, true), 'false', '… whoever asks');
select matches(
  (select public.start_endpoint_run_v2('fetch-x', gen_random_uuid()) ->> 'reason'), '^a run has been in progress for 0 s$', '… and hears why');
select is(public.start_endpoint_run_v2('fetch-y', gen_random_uuid()) ->> 'started', 'true', 'another endpoint is another matter');
select is(pg_temp.finish(2), false, 'only its own run ends it');
select is(pg_temp.finish(1), true, 'which it does');
select is(pg_temp.finish(1), false, '… once');
select is(pg_temp.start(1), 'false', 'a finished run does not start again');
select is(pg_temp.start(2), 'false', 'runs are a pause apart');
select is(pg_temp.start(2, true), 'true', '… except for trusted callers');
select pg_temp.finish(2);
select pg_temp.age('31 seconds');
select is(pg_temp.start(3), 'true', 'after the pause anybody may start one');

-- A run that died.
select pg_temp.age('59 seconds');
select is(pg_temp.start(4), 'false', 'a run is not taken for dead early');
select public.take_vendor_calls_v2('fmp', 1, '00000000-0000-4000-8000-000000000003');
select pg_temp.age('2 seconds');
select is(pg_temp.start(4), 'false', 'each call that it takes shows it to be alive');
select pg_temp.age('61 seconds');
select is(pg_temp.start(4), 'true', 'without calls for a minute it makes room');

select throws_ok($$select public.start_endpoint_run_v2('../x', gen_random_uuid())$$, 'SY016', null, 'an odd name is refused');

select public.book_endpoint_usage_v2('fmp', 'quote', 3, 1, 500);
select public.book_endpoint_usage_v2('fmp', 'quote', 2, 0, 100);
select results_eq($$select calls, failed_calls, bytes from public.api_data_usage_v2 where data_type = 'quote'$$,
  $$values (5::bigint, 1::bigint, 600::bigint)$$, 'usage adds up, failed calls too');
select throws_ok($$select public.book_endpoint_usage_v2('nobody', 'quote', 1, 0, 1)$$, 'SY004', null, 'an unknown provider is an error');
select throws_ok($$select public.book_endpoint_usage_v2('fmp', 'quote', 1, 2, 1)$$, 'SY016', null, 'so are absurd numbers');

select * from finish();
rollback;
