begin;
select plan(17);

insert into public.supported_symbols (symbol) select 'LE-' || n from generate_series(1, 5) as n;
select public.queue_refresh_if_not_exists_v2('LE-1', 'quote');
create temp table claimed as select * from public.get_queue_batch_v2(10, null, true);
create function pg_temp.result(p_outcome text default 'completed') returns jsonb language sql as $$
  select jsonb_build_object('job_id', id, 'lease_token', lease_token, 'outcome', p_outcome, 'calls', 1, 'bytes', 10,
    'rows', '[{"symbol": "LE-1", "current_price": 1, "api_timestamp": 1}]'::jsonb) from claimed
$$;

select results_eq(
  $$select outcome, rows_written from public.settle_queue_batch_v2(jsonb_build_array(
      pg_temp.result() || '{"lease_token": "11111111-1111-4111-8111-111111111111"}'))$$,
  $$values ('lease_lost', 0)$$, 'a settle with a wrong lease is told so');
select is((select status from public.api_call_queue_v2 where symbol = 'LE-1'), 'processing', '… and changes nothing');
select is_empty($$select * from public.live_quote_indicators where symbol = 'LE-1'$$, '… writes no row');
select is_empty($$select * from public.api_data_usage_v2$$, '… books no usage');

update public.api_call_queue_v2 set lease_expires_at = clock_timestamp() - interval '1 millisecond' where symbol = 'LE-1';
select results_eq(
  $$select outcome from public.settle_queue_batch_v2(jsonb_build_array(pg_temp.result()))$$,
  $$values ('lease_lost')$$, 'a settle after lease expiry is told so');
select is_empty($$select * from public.live_quote_indicators where symbol = 'LE-1'$$, '… and changes nothing');

select is(public.recover_stuck_jobs_v2(), 1, 'recovery takes the job back');
select results_eq(
  $$select status, attempts, lease_token, errors -> 0 ->> 'code' from public.api_call_queue_v2 where symbol = 'LE-1'$$,
  $$values ('pending', 1, null::uuid, 'lease_expired')$$, '… counting an attempt and keeping the error');
select is(public.recover_stuck_jobs_v2(), 0, 'recovery twice takes nothing more');

update public.api_call_queue_v2 set run_after = clock_timestamp() where symbol = 'LE-1';
truncate claimed;
insert into claimed select * from public.get_queue_batch_v2(10, null, true);
select results_eq(
  $$select outcome from public.settle_queue_batch_v2(jsonb_build_array(pg_temp.result(), pg_temp.result('empty')))
     order by outcome$$,
  $$values ('completed'), ('lease_lost')$$, 'a job settled twice in one batch is settled once');
select results_eq(
  $$select outcome from public.settle_queue_batch_v2(jsonb_build_array(pg_temp.result()))$$,
  $$values ('lease_lost')$$, 'settling a finished job again changes nothing');

select public.queue_refresh_if_not_exists_v2('LE-2', 'quote');
create temp table second as select * from public.get_queue_batch_v2(10, null, true);
select is(
  (select outcome from public.settle_queue_batch_v2((select jsonb_agg(
     jsonb_build_object('job_id', id, 'lease_token', lease_token, 'outcome', 'released')) from second))),
  'released', 'a processor can give back what it has not started');
select results_eq(
  $$select status, attempts, lease_token from public.api_call_queue_v2 where symbol = 'LE-2'$$,
  $$values ('pending', 0, null::uuid)$$, '… at no attempt');

select public.get_queue_batch_v2(10, null, true);
update public.api_call_queue_v2 set attempts = 4, lease_expires_at = clock_timestamp() where symbol = 'LE-2';
select public.recover_stuck_jobs_v2();
select results_eq(
  $$select status, attempts from public.api_call_queue_v2 where symbol = 'LE-2'$$,
  $$values ('failed', 5)$$, 'a job whose lease expires again and again ends in failed');
select isnt(public.queue_refresh_if_not_exists_v2('LE-2', 'quote'), null, 'a failed job does not hinder the next one');

select public.get_queue_batch_v2(10, null, true);
update public.api_call_queue_v2 set lease_expires_at = clock_timestamp() where status = 'processing';
select public.start_processor_run_v2(gen_random_uuid(), true);
select is_empty($$select * from public.api_call_queue_v2 where status = 'processing'$$,
  'a manual run recovers expired leases, with the flag off too');
select ok((select consecutive_failures > 0 from switchyard.refresh_state where symbol = 'LE-2' and data_type = 'quote'),
  'a lost lease counts as a failure of its symbol');

select * from finish();
rollback;
