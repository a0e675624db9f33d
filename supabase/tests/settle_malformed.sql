begin;
select plan(22);

insert into public.supported_symbols (symbol) values ('MA-1');
select public.queue_refresh_if_not_exists_v2('MA-1', 'quote');
create temp table claimed as select * from public.get_queue_batch_v2(10, null, true);
create function pg_temp.verdict(p_change jsonb) returns text language sql as $$
  select s.outcome || ': ' || s.detail
    from public.settle_queue_batch_v2((
      select jsonb_build_array(jsonb_build_object(
        'job_id', id, 'lease_token', lease_token, 'outcome', 'completed', 'rows', '[]'::jsonb, 'calls', 1, 'bytes', 1) || p_change)
        from claimed)) as s
$$;

select throws_ok($$select * from public.settle_queue_batch_v2(null)$$, 'SY012',
  'Cannot settle jobs: the payload is null, wanted an array of results', 'a null payload raises');
select throws_ok($$select * from public.settle_queue_batch_v2('{"job_id": 1}')$$, 'SY012',
  'Cannot settle jobs: the payload is object, wanted an array of results', 'an object as payload raises');
select throws_ok(
  $$select * from public.settle_queue_batch_v2((select jsonb_agg('{}'::jsonb) from generate_series(1, 1001)))$$, 'SY012',
  'Cannot settle jobs: 1001 results in one call, wanted at most 1000', 'too many results raise');
select is_empty($$select * from public.settle_queue_batch_v2('[]')$$, 'no results are no error');

select results_eq($$select outcome, detail from public.settle_queue_batch_v2('[[], 5]')$$,
  $$values ('malformed', 'a result is not an object but array'), ('malformed', 'a result is not an object but number')$$,
  'what is no object is malformed, arrays too');
select is(pg_temp.verdict('{"job_id": "1; drop table"}'), 'malformed: job_id is 1; drop table, wanted a whole number', 'job_id must be a number');
select is(pg_temp.verdict('{"job_id": null}'), 'malformed: job_id is missing, wanted a whole number', 'job_id must be there');
select is(pg_temp.verdict('{"lease_token": "abc"}'), 'malformed: lease_token is abc, wanted a uuid', 'lease_token must be a uuid');
select is(pg_temp.verdict('{"outcome": "done"}'),
  'malformed: outcome is done, wanted completed, empty, failed, released or progress', 'outcome must be known');
select is(pg_temp.verdict('{"rows": {"a": 1}}'), 'malformed: rows is object, wanted an array', 'rows must be an array');
select is(pg_temp.verdict('{"rows": null}'), 'malformed: rows is missing from a completed result', 'a completed result has rows');
select is(pg_temp.verdict('{"calls": -1}'), 'malformed: calls is -1, wanted a whole number', 'calls must be a count');
select is(pg_temp.verdict('{"bytes": "1e99"}'), 'malformed: bytes is 1e99, wanted a whole number', 'bytes must be a count');
select is(pg_temp.verdict('{"outcome": "failed"}'), 'malformed: error is missing from a failed result', 'a failed result has an error');
select is(pg_temp.verdict('{"outcome": "failed", "error": {"class": "odd"}}'),
  'malformed: error.class is odd, wanted retryable, rate_limited, quota, auth, permanent, dependency or batch_refused', 'of a known class');
select is(pg_temp.verdict('{"outcome": "failed", "error": {"class": "retryable"}}'),
  'malformed: error.message is missing from a failed result', 'and with a message');
select is(pg_temp.verdict('{"outcome": "progress"}'), 'malformed: progress is missing from a progress result', 'a part says how far it got');
select is(pg_temp.verdict('{"outcome": "progress", "progress": 5}'), 'malformed: progress is number, wanted an object', 'in an object');
select is(pg_temp.verdict(jsonb_build_object('outcome', 'progress', 'progress', jsonb_build_object('cursor', repeat('x', 10000)))),
  'malformed: progress.cursor has 10002 bytes, wanted at most 10000', 'of bounded size');
select is(pg_temp.verdict('{"outcome": "progress", "progress": {"lease_seconds": -1}}'),
  'malformed: progress.lease_seconds is -1, wanted a whole number', 'with a lease of so many seconds');
select is(pg_temp.verdict('{"outcome": "progress", "progress": {"settle_id": "one"}}'),
  'malformed: progress.settle_id is one, wanted a uuid of this settle', 'and an id of its own');
select is((select status from public.api_call_queue_v2 where symbol = 'MA-1'), 'processing',
  'nothing malformed has changed the job');

select * from finish();
rollback;
