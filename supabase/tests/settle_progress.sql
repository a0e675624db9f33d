begin;
select plan(27);

update public.data_type_registry_v2 set api_calls_per_batch = 2 where data_type = 'shares-float-all';
insert into public.supported_symbols (symbol, is_active)
values ('PR-1', true), ('PR-2', true), ('PR-3', false);
select public.queue_refresh_if_not_exists_v2('GLOBAL', 'shares-float-all');
create temp table claimed (id bigint, lease_token uuid);
create function pg_temp.claim() returns bigint language sql as $$
  delete from claimed;
  insert into claimed select id, lease_token from public.get_queue_batch_v2(10, null, true);
  select count(*) from claimed;
$$;
create function pg_temp.settle(p_result jsonb) returns text language sql as $$
  select string_agg(s.outcome || ' ' || s.rows_written, ', ')
    from public.settle_queue_batch_v2((
      select jsonb_build_array(jsonb_build_object('job_id', c.id, 'lease_token', c.lease_token, 'calls', 1, 'bytes', 100) || p_result)
        from claimed as c)) as s;
$$;
create function pg_temp.progress() returns jsonb language sql as $$
  select public.job_progress_v2(c.id, c.lease_token) from claimed as c;
$$;

select is(pg_temp.claim(), 1::bigint, 'the job of the whole market is claimed');
select is(pg_temp.progress(), null, 'at its beginning there is no progress');
update switchyard.api_call_queue_v2_live set lease_expires_at = clock_timestamp() + interval '5 seconds' where id = (select id from claimed);

select is(
  pg_temp.settle('{"outcome": "progress", "progress": {"settle_id": "00000000-0000-4000-8000-000000000001", "cursor": {"page": 1}, "lease_seconds": 90}, "rows": [
    {"symbol": "PR-1", "date": "2026-11-20", "free_float": 1}, {"symbol": "PR-3", "date": "2026-11-20", "free_float": 3},
    {"symbol": "OTHER", "date": "2026-11-20", "free_float": 4}]}'),
  'progress 3', 'a part writes its rows');
select results_eq(
  $$select q.status, q.lease_token = c.lease_token, q.lease_expires_at > clock_timestamp() + interval '80 seconds',
           q.rows_written, q.vendor_calls, q.vendor_bytes, q.attempts
      from public.api_call_queue_v2 as q join claimed as c using (id)$$,
  $$values ('processing', true, true, 3, 1, 100::bigint, 0)$$,
  'the job keeps its lease, for longer, and adds up rows, calls and bytes');
select is(pg_temp.progress(), '{"page": 1}'::jsonb, 'the cursor is kept');
select is((select public.job_progress_v2(id, gen_random_uuid()) from claimed), null, '… for the holder of the lease alone');
select results_eq($$select calls, bytes from public.api_data_usage_v2 where data_type = 'shares-float-all'$$,
  $$values (1::bigint, 100::bigint)$$, 'usage is booked');
select is_empty($$select 1 from switchyard.refresh_state where data_type = 'shares-float-all'$$,
  'a part does not count as a refresh of the whole');
select results_eq($$select symbol, empty_until from switchyard.refresh_state where data_type = 'shares-float'$$,
  $$values ('PR-1', null::timestamptz)$$, 'but symbols that are known and active count as checked for the type that it covers');

update switchyard.refresh_state set last_checked_at = '2020-01-01', consecutive_failures = 3, failing_until = 'infinity',
       empty_until = 'infinity' where symbol = 'PR-1';
select is(pg_temp.settle('{"outcome": "progress", "progress": {"settle_id": "00000000-0000-4000-8000-000000000002", "cursor": {"page": 2}}, "rows": [
    {"symbol": "PR-1", "date": "2026-11-20", "free_float": 1}, {"symbol": "PR-2", "date": "2026-11-20", "free_float": 2}]}'),
  'progress 1', 'the next part');
select results_eq(
  $$select symbol, last_checked_at > now() - interval '1 minute', empty_until, failing_until, consecutive_failures
      from switchyard.refresh_state where data_type = 'shares-float' order by symbol$$,
  $$values ('PR-1', true, null::timestamptz, null::timestamptz, 0), ('PR-2', true, null::timestamptz, null::timestamptz, 0)$$,
  'rows that came clear what was known of failures and of having nothing');
select results_eq('select cursor, parts from switchyard.job_progress', $$values ('{"page": 2}'::jsonb, 2)$$, 'parts are counted');

select is(pg_temp.settle('{"outcome": "progress", "progress": {"settle_id": "00000000-0000-4000-8000-000000000002", "cursor": {"page": 2}},
    "rows": [{"symbol": "PR-1", "date": "2026-11-20", "free_float": 9}]}'),
  'progress 0', 'the same settle again, after a lost answer, writes nothing');
select results_eq(
  $$select q.rows_written, q.vendor_calls, u.calls, u.bytes, j.parts, f.free_float::integer
      from public.api_call_queue_v2 as q
      join claimed as c using (id)
      join public.api_data_usage_v2 as u on u.data_type = q.data_type
      join switchyard.job_progress as j on j.job_id = q.id
      join public.shares_float as f on f.symbol = 'PR-1' and f.date = '2026-11-20'$$,
  $$values (4, 2, 2::bigint, 200::bigint, 2, 1)$$, '… and books nothing');
select is(pg_temp.settle('{"outcome": "progress", "progress": {"cursor": {"page": 3}}, "rows": []}'), 'malformed 0',
  'a part without an id is not settled');

select is(pg_temp.settle('{"outcome": "released", "calls": 0, "bytes": 0}'), 'released 0', 'the job is given back in between');
select is(pg_temp.claim(), 1::bigint, 'and claimed again');
select is(pg_temp.progress(), '{"page": 2}'::jsonb, 'it goes on where it was');

select is(pg_temp.settle('{"outcome": "progress", "progress": {"settle_id": "00000000-0000-4000-8000-000000000003", "cursor": {"page": 3}}, "rows": [{"symbol": "PR-1"}]}'),
  'failed 0', 'rows that are refused fail the job, as everywhere');
select is(pg_temp.settle('{"outcome": "completed", "rows": [], "progress": {}}'), 'lease_lost 0', 'which then is not held any more');
select public.queue_refresh_if_not_exists_v2('GLOBAL', 'shares-float-all');
select is(pg_temp.claim(), 1::bigint, 'a new job');
select is(pg_temp.progress(), null, 'begins at the beginning');
select pg_temp.settle('{"outcome": "progress", "progress": {"settle_id": "00000000-0000-4000-8000-000000000004", "cursor": {"page": 1}}, "rows": [{"symbol": "PR-1", "date": "2026-11-21"}]}');
select is(
  (select string_agg(s.outcome, ', ' order by s.outcome)
     from public.settle_queue_batch_v2((
       select jsonb_agg(jsonb_build_object('job_id', c.id, 'lease_token', c.lease_token, 'outcome', 'progress',
                'rows', '[]'::jsonb, 'progress', jsonb_build_object('settle_id', gen_random_uuid(), 'cursor', n)))
         from claimed as c cross join generate_series(1, 2) as n)) as s),
  'lease_lost, progress', 'of two parts in one settle the first counts');
select is(pg_temp.progress(), '1'::jsonb, '… with its cursor');
select is(pg_temp.settle('{"outcome": "completed", "calls": 0, "bytes": 0, "rows": [], "progress": {}}'), 'completed 0', 'the end completes the job');
select results_eq(
  $$select q.status, q.rows_written, s.empty_until from public.api_call_queue_v2 as q join claimed using (id)
      join switchyard.refresh_state as s on s.data_type = q.data_type and s.symbol = q.symbol$$,
  $$values ('completed', 1, null::timestamptz)$$, 'with the rows of all parts, and not as empty');
select is_empty('select 1 from switchyard.job_progress', 'and its progress is forgotten');

select * from finish();
rollback;
