begin;
select plan(15);

insert into public.supported_symbols (symbol) select 'OP-' || n from generate_series(1, 5) as n;
create temp table claimed (id bigint, lease_token uuid);
create function pg_temp.claim(p_symbol text) returns void language sql as $$
  select public.queue_refresh_if_not_exists_v2(p_symbol, 'quote');
  delete from claimed;
  insert into claimed select id, lease_token from public.get_queue_batch_v2(1, null, true);
$$;

select pg_temp.claim('OP-1');
select is(
  public.complete_queue_job_v2((select id from claimed), (select lease_token from claimed),
    '[{"symbol": "OP-1", "current_price": 1, "api_timestamp": 1}]', 1, 100),
  'completed', 'complete_queue_job_v2 settles one job');
select is((select current_price from public.live_quote_indicators where symbol = 'OP-1'), 1::float8, '… with its rows');
select throws_ok(
  $$select public.complete_queue_job_v2((select id from claimed), (select lease_token from claimed))$$, 'SY013', null,
  'a second time it says that the lease is lost');

select pg_temp.claim('OP-2');
select is(public.complete_queue_job_v2((select id from claimed), (select lease_token from claimed)),
  'empty', 'without rows it settles as empty');

select pg_temp.claim('OP-3');
select is(public.fail_queue_job_v2((select id from claimed), (select lease_token from claimed), 'by hand'),
  'rescheduled', 'fail_queue_job_v2 reschedules a retryable failure');
select is((select last_error from public.api_call_queue_v2 where symbol = 'OP-3'), 'by hand', '… and keeps the message');
select throws_ok(
  $$select public.fail_queue_job_v2((select id from claimed), (select lease_token from claimed), 'x', 'odd')$$, 'SY012',
  null, 'an unknown error class is malformed');

select is(public.reset_job_immediate_v2((select id from claimed)), true, 'reset_job_immediate_v2 makes a waiting job due');
select ok((select run_after <= clock_timestamp() and attempts = 1 from public.api_call_queue_v2 where symbol = 'OP-3'),
  '… at once, and keeps its attempts');
select pg_temp.claim('OP-3');
select is(public.reset_job_immediate_v2((select id from claimed)), true, 'it takes a job from its holder');
select is((select outcome from public.settle_queue_batch_v2((select jsonb_agg(
    jsonb_build_object('job_id', id, 'lease_token', lease_token, 'outcome', 'released')) from claimed))),
  'lease_lost', '… whose settle then changes nothing');
select is(public.reset_job_immediate_v2(0), false, 'an unknown job is not reset');

select throws_ok($$select switchyard.setting('no_such_setting')$$, 'SY002',
  'Cannot read setting "no_such_setting": no such row in switchyard.settings', 'an unknown setting raises');
select is(switchyard.setting_integer('completed_retention_days'), 7, 'a numeric setting is read as a number');
select switchyard.record_event('test', '{"a": 1}', 3, 'fmp', 'quote');
select results_eq(
  $$select kind, provider, data_type, job_count, detail from switchyard.queue_events order by id desc limit 1$$,
  $$values ('test', 'fmp', 'quote', 3, '{"a": 1}'::jsonb)$$, 'events are written down');

select * from finish();
rollback;
