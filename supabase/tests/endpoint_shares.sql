-- The queue and the endpoints have a share each of a provider's calls, and lend what they do not use.
begin;
select plan(26);

-- 100 calls a minute, 30 of them the endpoints'; a call for each quote.
update public.api_providers_v2 set calls_per_minute = 100, calls_margin = 0 where provider = 'fmp';
update public.data_type_registry_v2 set batch_size = 1 where data_type = 'quote';
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
insert into public.supported_symbols (symbol) select 'ES-' || n from generate_series(1, 300) as n;
create function pg_temp.queue_quotes() returns void language sql as $$
  select switchyard.enqueue_jobs(
    array_agg('ES-' || n), array_agg('quote'::text), array_agg(1000), 'demand') from generate_series(1, 300) as n
$$;
create function pg_temp.claim(p_size integer) returns bigint language sql as $$
  select count(*) from public.get_queue_batch_v2(p_size)
$$;
-- Asks for one call after the other until one is refused; returns how many were granted.
create function pg_temp.take() returns integer language plpgsql as $$
declare v_granted integer := 0;
begin
  while v_granted < 1000 and public.take_vendor_calls_v2('fmp') = 0 loop v_granted := v_granted + 1; end loop;
  return v_granted;
end $$;
create function pg_temp.start_over() returns void language sql as $$
  truncate switchyard.call_grants, switchyard.endpoint_use, switchyard.claim_cursors;
  delete from switchyard.api_call_queue_v2_live
$$;

select is(switchyard.endpoint_calls('fmp'), 30::bigint, 'the endpoints'' share follows the limit');
select is(switchyard.calls_left('fmp'), 100::bigint, 'while no endpoint asks, all calls are the queue''s');
select pg_temp.queue_quotes();
select is(pg_temp.claim(200), 100::bigint, '… and a backlog uses them all');

select pg_temp.start_over();
select is(pg_temp.take(), 100, 'while the queue is idle, all calls are the endpoints''');
select is(switchyard.calls_left('fmp'), 0::bigint, '… and the window stays exact');

-- Both at work.
select pg_temp.start_over();
select pg_temp.queue_quotes();
insert into switchyard.processor_runs (run_id, manual) values (gen_random_uuid(), false);
select is(switchyard.queue_wants_calls('fmp'), true, 'a processor with due jobs wants calls');
select is(pg_temp.take(), 30, 'endpoints never take more than their share while the queue has work');
select ok(public.take_vendor_calls_v2('fmp') between 61000 and 62800, '… and hear when their own calls come free');
select is(pg_temp.claim(200), 70::bigint, 'which leaves the rest to the queue');
select is(pg_temp.claim(200), 0::bigint, '… to the last call');
select is(
  (select array[sum(calls), sum(endpoint_calls)] from switchyard.call_grants where provider = 'fmp'),
  array[100, 30]::bigint[], 'the ledger tells whose they are');

select pg_temp.start_over();
select pg_temp.queue_quotes();
select public.take_vendor_calls_v2('fmp');
select is(pg_temp.claim(200), 70::bigint, 'once an endpoint has asked, the queue leaves it its share');
select is(pg_temp.take(), 29, '… which is there when it comes back');
update switchyard.endpoint_use set asked_at = clock_timestamp() - interval '61 seconds';
update switchyard.call_grants set bucket = bucket - interval '70 seconds' where endpoint_calls > 0;
select is(pg_temp.claim(200), 30::bigint, 'a window after it last asked, its share is the queue''s');

-- The queue has run dry, but was at work a moment ago.
select pg_temp.start_over();
select switchyard.enqueue_jobs(array['ES-1'], array['quote'], array[1000], 'demand');
select pg_temp.claim(1);
select is(switchyard.queue_wants_calls('fmp'), false, 'a queue whose jobs are all in flight wants no calls');
select is(pg_temp.take(), 69, 'endpoints then leave it as much as it leaves them');
select is(switchyard.calls_left('fmp'), 30::bigint, '… for the viewer who comes next');

-- What counts as work.
select pg_temp.start_over();
select pg_temp.queue_quotes();
update public.data_type_registry_v2 set paused = true where data_type = 'quote';
select is(switchyard.queue_wants_calls('fmp'), false, 'jobs of a paused type want no calls');
update public.data_type_registry_v2 set paused = false where data_type = 'quote';
select switchyard.hold_data_type('quote', 60, 'test');
select is(switchyard.queue_wants_calls('fmp'), false, 'nor do those of a held one');
delete from switchyard.data_type_holds;
update switchyard.processor_runs set heartbeat_at = clock_timestamp() - interval '1 hour';
select is(switchyard.queue_wants_calls('fmp'), false, 'nor does a queue without a processor');
select is(pg_temp.take(), 100, '… so that a dead queue keeps nothing from the endpoints');
update switchyard.processor_runs set heartbeat_at = clock_timestamp();

-- A type that needs most of the minute at once still gets it.
select pg_temp.start_over();
update public.data_type_registry_v2 set api_calls_per_batch = 95 where data_type = 'shares-float-all';
select is(switchyard.endpoint_calls('fmp'), 5::bigint, 'the share leaves room for the type that needs most at once');
select public.take_vendor_calls_v2('fmp');
select switchyard.enqueue_jobs(array['GLOBAL'], array['shares-float-all'], array[1000], 'demand');
select is(pg_temp.claim(1), 1::bigint, '… which is claimed though endpoints are in use');
update public.data_type_registry_v2 set api_calls_per_batch = 20 where data_type = 'shares-float-all';

-- The setting.
update switchyard.settings set value = '0' where name = 'endpoint_calls_share';
select is(switchyard.endpoint_calls('fmp'), 0::bigint, 'without a share endpoints get what the queue does not want');
update switchyard.settings set value = '1' where name = 'endpoint_calls_share';
select is(switchyard.endpoint_calls('fmp'), 80::bigint, 'with all of it they still leave the queue what its largest type needs');
update public.api_providers_v2 set calls_per_minute = null where provider = 'fmp';
select is(switchyard.calls_left('fmp'), null, 'an unknown limit leaves nobody a number');

select * from finish();
rollback;
