-- A settle in stage shadow writes no data, and books all the rest.
begin;
select plan(24);

insert into public.supported_symbols (symbol) select 'SH-' || n from generate_series(1, 9) as n;
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
update public.data_type_registry_v2 set batch_size = 1, estimated_data_size_bytes = 500 where data_type = 'quote';
select switchyard.set_stage('quote', 'shadow', 'test');
insert into public.live_quote_indicators (symbol, current_price, api_timestamp, fetched_at) values ('SH-1', 10, 1700000000, now() - interval '30 seconds');

create temp table claimed (id bigint, symbol text, lease_token uuid);
create function pg_temp.settle(p_symbol text, p_source text, p_rows jsonb, p_outcome text default 'completed', p_error jsonb default null) returns text language plpgsql as $$
declare
  v_answer text;
begin
  perform switchyard.enqueue_jobs(array[p_symbol], array['quote'], array[case p_source when 'manual' then 9000 else 0 end], p_source);
  delete from claimed;
  insert into claimed select id, symbol, lease_token from public.get_queue_batch_v2(100);
  select s.outcome || ' ' || s.rows_written into v_answer
    from public.settle_queue_batch_v2((
      select jsonb_agg(jsonb_build_object('job_id', c.id, 'lease_token', c.lease_token, 'outcome', p_outcome, 'rows', p_rows,
                                          'error', p_error, 'calls', 1, 'bytes', 1000)) from claimed as c)) as s;
  return v_answer;
end $$;

select is(pg_temp.settle('SH-1', 'scheduled', '[{"symbol": "SH-1", "current_price": 10, "api_timestamp": 1700000000}]'), 'completed 0', 'the job is completed, without a row');
select results_eq($$select symbol, verdict, columns_compared > 0 from switchyard.shadow_results$$, $$values ('SH-1', 'match', true)$$, 'its rows were compared');
select is((select count(*) from switchyard.refresh_state where data_type = 'quote'), 0::bigint, 'refresh_state knows nothing of it');
select results_eq($$select calls, bytes from public.api_data_usage_v2 where data_type = 'quote'$$, $$values (1::bigint, 1000::bigint)$$, 'calls and bytes are booked');
select is((select estimated_data_size_bytes from public.data_type_registry_v2 where data_type = 'quote'), 600::bigint, 'the size estimate learns from it');

select is(pg_temp.settle('SH-1', 'scheduled', '[{"symbol": "SH-1", "current_price": 11, "api_timestamp": 1700000000}]'), 'completed 0', 'other values are no failure');
select is((select verdict from switchyard.shadow_results order by id desc limit 1), 'mismatch', '… but a mismatch');
select is((select current_price from public.live_quote_indicators where symbol = 'SH-1'), 10::float8, 'the table is as it was');
select pg_temp.settle('SH-2', 'scheduled', '[{"symbol": "SH-2", "current_price": 11, "api_timestamp": 1700000000}]');
select is((select count(*) from public.live_quote_indicators where symbol = 'SH-2'), 0::bigint, 'no row is made');
select is(pg_temp.settle('SH-3', 'scheduled', '[{"symbol": "OTHER", "current_price": 11, "api_timestamp": 1}]'), 'failed 0', 'rows of another symbol fail as ever');
select results_eq($$select verdict, reason from switchyard.shadow_results where symbol = 'SH-3'$$,
  $$values ('inconclusive', 'failed: row 1 has symbol "OTHER", wanted "SH-3"')$$, '… and are told in the shadow');
select is(pg_temp.settle('SH-4', 'scheduled', '[]'), 'empty 0', 'nothing from the vendor is told as ever');
select is((select verdict from switchyard.shadow_results where symbol = 'SH-4'), 'inconclusive', '… and legacy has nothing either');
select is(pg_temp.settle('SH-5', 'scheduled', null, 'failed', '{"class": "retryable", "code": "x", "message": "no answer"}'), 'rescheduled 0', 'failures are rescheduled as ever');
select is((select reason from switchyard.shadow_results where symbol = 'SH-5'), 'failed: no answer', '… and told in the shadow');
select is((select count(*) from switchyard.refresh_state where data_type = 'quote'), 0::bigint, 'none of it reached refresh_state');
delete from switchyard.api_call_queue_v2_live;

select is(pg_temp.settle('SH-6', 'manual', '[{"symbol": "SH-6", "current_price": 5, "api_timestamp": 1}]'), 'completed 1', 'what a person asked for is written');
select is((select count(*) from switchyard.shadow_results where symbol = 'SH-6'), 0::bigint, '… and not compared');

-- A fault of the comparison.
alter table public.live_quote_indicators rename to lost_quotes;
select is(pg_temp.settle('SH-7', 'scheduled', '[{"symbol": "SH-7", "current_price": 5, "api_timestamp": 1}]'), 'completed 0', 'a comparison that fails does not fail the settle');
select results_eq($$select r.verdict, e.data_type from switchyard.shadow_results as r, switchyard.queue_events as e where r.symbol = 'SH-7' and e.kind = 'shadow comparison failed'$$,
  $$values ('waiting', 'quote')$$, '… it waits, and an event tells why');
alter table public.lost_quotes rename to live_quote_indicators;

-- Many rows.
update switchyard.settings set value = '3' where name = 'shadow_rows_per_result';
select switchyard.set_stage('exchange-rates', 'shadow', 'test');
select switchyard.enqueue_jobs(array['GLOBAL'], array['exchange-rates'], array[0], 'scheduled');
create temp table global_job as select id, lease_token from public.get_queue_batch_v2(100) where data_type = 'exchange-rates';
select public.settle_queue_batch_v2((select jsonb_agg(jsonb_build_object('job_id', id, 'lease_token', lease_token, 'outcome', 'completed', 'calls', 1, 'bytes', 10,
  'rows', (select jsonb_agg(jsonb_build_object('base_code', 'USD', 'target_code', 'A' || n, 'rate', n, 'last_updated_at', '2026-01-01T00:00:00Z')) from generate_series(1, 10) as n))) from global_job));
select ok((select is_part from switchyard.shadow_results where data_type = 'exchange-rates'), 'of a large answer a part is compared');

-- Stage legacy.
select pg_temp.settle('SH-8', 'scheduled', '[{"symbol": "SH-8", "current_price": 5, "api_timestamp": 1}]');
delete from switchyard.shadow_results;
select switchyard.enqueue_jobs(array['SH-9'], array['quote'], array[0], 'scheduled');
insert into claimed select id, symbol, lease_token from public.get_queue_batch_v2(100) where data_type = 'quote';
select switchyard.set_stage('quote', 'legacy', 'test');
select results_eq($$select s.outcome, s.rows_written from public.settle_queue_batch_v2((select jsonb_agg(jsonb_build_object('job_id', c.id, 'lease_token', c.lease_token,
    'outcome', 'completed', 'calls', 1, 'bytes', 10, 'rows', '[{"symbol": "SH-9", "current_price": 5, "api_timestamp": 1}]'::jsonb)) from claimed as c where symbol = 'SH-9')) as s$$,
  $$values ('completed', 0)$$, 'a job that comes in after a rollback is completed');
select is((select count(*) from public.live_quote_indicators where symbol = 'SH-9') + (select count(*) from switchyard.shadow_results), 0::bigint, '… and its rows are dropped');
select is((select count(*) from switchyard.refresh_state where symbol = 'SH-9'), 0::bigint, '… without a trace in refresh_state');

select * from finish();
rollback;
