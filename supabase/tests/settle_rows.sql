begin;
select plan(22);

-- One call for each quote.
update public.data_type_registry_v2 set batch_size = 1, estimated_data_size_bytes = 500 where data_type = 'quote';

insert into public.supported_symbols (symbol) select 'ST-' || n from generate_series(1, 9) as n;
create temp table claimed (id bigint, symbol text, data_type text, lease_token uuid);
create function pg_temp.claim(p_symbol text, p_data_type text) returns void language sql as $$
  select public.queue_refresh_if_not_exists_v2(p_symbol, p_data_type);
  delete from claimed;
  insert into claimed select id, symbol, data_type, lease_token from public.get_queue_batch_v2(100, null, true);
$$;
create function pg_temp.settle(p_rows jsonb) returns setof text language sql as $$
  select s.outcome || ' ' || s.rows_written
    from public.settle_queue_batch_v2((
      select jsonb_agg(jsonb_build_object(
        'job_id', c.id, 'lease_token', c.lease_token, 'outcome', 'completed', 'rows', p_rows, 'calls', 1, 'bytes', 1000))
        from claimed as c)) as s;
$$;

select pg_temp.claim('ST-1', 'quote');
select is(pg_temp.settle('[{"symbol": "ST-1", "current_price": 10.5, "volume": 7, "api_timestamp": 1700000000, "unknown_key": 1}]'),
  'completed 1', 'a row is written; unknown keys are ignored');
select results_eq(
  $$select current_price, volume, api_timestamp, fetched_at > now() - interval '1 minute'
      from public.live_quote_indicators where symbol = 'ST-1'$$,
  $$values (10.5::float8, 7::bigint, 1700000000::bigint, true)$$, 'with its values and the refresh time');
select results_eq(
  $$select q.status, q.rows_written, q.vendor_calls, q.vendor_bytes, q.finished_at <= clock_timestamp(), q.errors
      from public.api_call_queue_v2 as q join claimed using (id)$$,
  $$values ('completed', 1, 1, 1000::bigint, true, '[]'::jsonb)$$, 'the job is completed in the same transaction');
select is(
  (select q.tableoid::regclass::text from public.api_call_queue_v2 as q join claimed using (id)),
  'switchyard.' || switchyard.queue_partition_name((now() at time zone 'UTC')::date),
  'it moved to the partition of the day');
select results_eq(
  $$select calls, bytes from public.api_data_usage_v2 where data_type = 'quote'$$,
  $$values (1::bigint, 1000::bigint)$$, 'calls and bytes are booked');
select is((select estimated_data_size_bytes from public.data_type_registry_v2 where data_type = 'quote'), 600::bigint,
  'the size estimate moves towards what was seen');
select ok((select last_changed_at is not null and content_hash is not null and consecutive_failures = 0
             from switchyard.refresh_state where symbol = 'ST-1' and data_type = 'quote'), 'refresh_state knows it');

-- Marks the row: only an UPDATE of it moves the mark.
update public.live_quote_indicators set fetched_at = '2020-01-01', day_low = 3 where symbol = 'ST-1';
select pg_temp.claim('ST-1', 'quote');
select is(pg_temp.settle('[{"symbol": "ST-1", "current_price": 10.5, "volume": 7, "api_timestamp": 1700000000}]'),
  'completed 0', 'an unchanged row is not rewritten');
select is((select fetched_at from public.live_quote_indicators where symbol = 'ST-1'), '2020-01-01'::timestamptz, '… and stays as it is');
select ok((select last_checked_at > now() - interval '1 minute' from switchyard.refresh_state
            where symbol = 'ST-1' and data_type = 'quote'), 'but counts as checked');

select pg_temp.claim('ST-1', 'quote');
select is(pg_temp.settle('[{"symbol": "ST-1", "current_price": 9, "volume": 9, "api_timestamp": 1699999999}]'),
  'completed 0', 'an older source never overwrites a newer one');
select pg_temp.claim('ST-1', 'quote');
select is(pg_temp.settle('[{"symbol": "ST-1", "current_price": 11, "api_timestamp": 1700000000}]'),
  'completed 1', 'an equal source with new content is written');
select results_eq(
  $$select current_price, volume, day_low from public.live_quote_indicators where symbol = 'ST-1'$$,
  $$values (11::float8, 7::bigint, 3::float8)$$, 'columns that the row does not have keep their values');

select pg_temp.claim('ST-2', 'quote');
select is(pg_temp.settle('[{"symbol": "ST-2", "current_price": 1, "api_timestamp": 5}, {"symbol": "ST-2", "current_price": 2, "api_timestamp": 6}]'),
  'completed 1', 'two rows of one key do not collide');
select is((select current_price from public.live_quote_indicators where symbol = 'ST-2'), 2::float8, '… the newer one wins');

select pg_temp.claim('ST-3', 'profile');
select pg_temp.settle('[{"symbol": "ST-3", "company_name": "Old", "display_company_name": "Old"}]');
update public.profiles set display_company_name = 'Edited' where symbol = 'ST-3';
select pg_temp.claim('ST-3', 'profile');
select pg_temp.settle('[{"symbol": "ST-3", "company_name": "New", "display_company_name": "New"}]');
select results_eq(
  $$select company_name, display_company_name from public.profiles where symbol = 'ST-3'$$,
  $$values ('New', 'Edited')$$, 'insert-only columns are never overwritten');

select pg_temp.claim('ST-3', 'financial-statements');
select is(pg_temp.settle('[
  {"symbol": "ST-3", "date": "2024-09-28", "period": "FY", "accepted_date": "2024-11-01T10:01:36Z", "income_statement_payload": {"revenue": 1}},
  {"symbol": "ST-3", "date": "2023-09-30", "period": "FY", "accepted_date": "2023-11-02T22:08:27Z", "income_statement_payload": {"revenue": 2}}]'),
  'completed 2', 'many rows of one symbol are written together');

select pg_temp.claim('ST-4', 'quote');
select is(pg_temp.settle('[]'), 'empty 0', 'no rows: the vendor has nothing');
select ok((select empty_until > now() from switchyard.refresh_state where symbol = 'ST-4' and data_type = 'quote'),
  '… which is remembered, without a row');

-- One batch, one bad row.
select public.queue_refresh_if_not_exists_v2('ST-5', 'quote');
select public.queue_refresh_if_not_exists_v2('ST-6', 'quote');
select pg_temp.claim('ST-7', 'quote');
select results_eq(
  $$select c.symbol, s.outcome, s.rows_written
      from public.settle_queue_batch_v2((
        select jsonb_agg(jsonb_build_object(
          'job_id', c.id, 'lease_token', c.lease_token, 'outcome', 'completed', 'calls', 1, 'bytes', 1,
          'rows', jsonb_build_array(jsonb_build_object(
            'symbol', case c.symbol when 'ST-7' then 'ST-1' else c.symbol end,
            'current_price', case c.symbol when 'ST-5' then null else 4 end, 'api_timestamp', 1))))
          from claimed as c)) as s
      join claimed as c on c.id = s.job_id
     order by c.symbol$$,
  $$values ('ST-5', 'rescheduled', 0), ('ST-6', 'completed', 1), ('ST-7', 'failed', 0)$$,
  'a row that the table refuses fails its own job alone, and so does a row of another symbol');
select is((select current_price from public.live_quote_indicators where symbol = 'ST-1'), 11::float8,
  'a job cannot write another symbol''s row');
select is(
  (select last_error from public.api_call_queue_v2 where symbol = 'ST-7' and status = 'failed'),
  'row 1 has symbol "ST-1", wanted "ST-7"', 'the error says what was wrong');

select * from finish();
rollback;
