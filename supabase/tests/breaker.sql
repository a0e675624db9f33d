begin;
select plan(15);

update switchyard.settings set value = '0' where name = 'oldest_slots_percent';
update switchyard.settings set value = '3' where name = 'breaker_least_failures';
insert into public.supported_symbols (symbol) select 'BR-' || n from generate_series(1, 9) as n;
create function pg_temp.state() returns text language sql as $$ select breaker_state from public.api_providers_v2 where provider = 'fmp' $$;
-- Claims one job and settles it: failed with a class, or as empty.
create function pg_temp.attempt(p_symbol text, p_class text default null) returns text language sql as $$
  select public.queue_refresh_if_not_exists_v2(p_symbol, 'quote');
  select s.outcome
    from public.settle_queue_batch_v2((
      select jsonb_agg(jsonb_build_object('job_id', c.id, 'lease_token', c.lease_token, 'calls', 1, 'bytes', 1,
        'outcome', case when p_class is null then 'empty' else 'failed' end,
        'error', jsonb_build_object('class', p_class, 'code', 'test', 'message', 'told by the test')))
        from public.get_queue_batch_v2(1, null, true) as c)) as s
$$;
create function pg_temp.wait_open() returns void language sql as $$
  update public.api_providers_v2 set breaker_changed_at = clock_timestamp() - interval '61 seconds'
$$;

-- Our own tables are not the vendor: three quotes for which the table has no place.
alter table public.live_quote_indicators add constraint full_up check (symbol !~ '^BX') not valid;
insert into public.supported_symbols (symbol) select 'BX-' || n from generate_series(1, 3) as n;
select public.queue_refresh_if_not_exists_v2('BX-' || n, 'quote') from generate_series(1, 3) as n;
select count(*)
  from public.settle_queue_batch_v2((
    select jsonb_agg(jsonb_build_object('job_id', c.id, 'lease_token', c.lease_token, 'calls', 1, 'bytes', 1,
             'outcome', 'completed',
             'rows', jsonb_build_array(jsonb_build_object('symbol', c.symbol, 'current_price', 1, 'api_timestamp', 1))))
      from public.get_queue_batch_v2(3, null, true) as c)) as s
 where s.outcome = 'rescheduled';
select is(pg_temp.state(), 'closed', 'rows that our own tables refuse leave the breaker closed');
select public.cancel_jobs_v2(p_created_before := 'infinity');
select pg_temp.attempt('BR-1', 'retryable');
select pg_temp.attempt('BR-2', 'retryable');
select is(pg_temp.state(), 'closed', 'a few failures leave the breaker closed');
select pg_temp.attempt('BR-3', 'retryable');
select is(pg_temp.state(), 'open', 'enough of them open it');
select public.queue_refresh_if_not_exists_v2('BR-4', 'quote');
select public.queue_refresh_if_not_exists_v2('BR-5', 'quote');
select is_empty($$select * from public.get_queue_batch_v2(10, null, true)$$, 'nothing is claimed while it is open');
select is(public.recover_stuck_jobs_v2(), 0, 'recovery still runs');

select pg_temp.wait_open();
create temp table probe as select * from public.get_queue_batch_v2(10, null, true);
select is((select count(*) from probe), 1::bigint, 'after a while one job goes out as a probe');
select is(pg_temp.state(), 'half-open', 'and the breaker is half-open');
select is_empty($$select * from public.get_queue_batch_v2(10, null, true)$$, 'a second probe does not go out');
select public.fail_queue_job_v2((select id from probe), (select lease_token from probe), 'still down');
select is(pg_temp.state(), 'open', 'a probe that fails opens it again');

select pg_temp.wait_open();
truncate probe;
insert into probe select * from public.get_queue_batch_v2(10, null, true);
select public.complete_queue_job_v2((select id from probe), (select lease_token from probe));
select is(pg_temp.state(), 'closed', 'a probe that is answered closes it');
select public.queue_refresh_if_not_exists_v2('BR-8', 'quote');
select isnt_empty($$select * from public.get_queue_batch_v2(10, null, true)$$, 'and claims are open again');
select pg_temp.attempt('BR-7', 'permanent');
select is(pg_temp.state(), 'closed', 'a permanent failure is an answer');
select pg_temp.attempt('BR-6', 'auth');
select is(pg_temp.state(), 'open', 'a refused key opens it at once');

-- Jobs that share a call are one failure.
update public.api_providers_v2 set breaker_state = 'closed';
truncate switchyard.failed_attempts;
update public.data_type_registry_v2 set batch_size = 50 where data_type = 'quote';
insert into public.supported_symbols (symbol) select 'BY-' || n from generate_series(1, 50) as n;
select public.queue_refresh_if_not_exists_v2('BY-' || n, 'quote') from generate_series(1, 50) as n;
select is(
  (select count(*)
     from public.settle_queue_batch_v2((
       select jsonb_agg(jsonb_build_object('job_id', c.id, 'lease_token', c.lease_token, 'outcome', 'failed',
                'calls', case when c.nth = 1 then 1 else 0 end, 'bytes', 0,
                'error', '{"class": "retryable", "code": "timeout", "message": "told by the test"}'::jsonb))
         from (select *, row_number() over () as nth from public.get_queue_batch_v2(50, null, true)) as c)) as s
    where s.outcome = 'rescheduled'), 50::bigint, 'a call for fifty jobs fails');
select is(pg_temp.state(), 'closed', '… which is one failure, not fifty');

select * from finish();
rollback;
