begin;
select plan(31);

insert into public.supported_symbols (symbol) select 'FA-' || n from generate_series(1, 9) as n;
create temp table claimed (id bigint, lease_token uuid);
create function pg_temp.fail(p_symbol text, p_class text, p_more jsonb default '{}', p_data_type text default 'quote')
returns text language sql as $$
  select public.queue_refresh_if_not_exists_v2(p_symbol, p_data_type);
  update public.api_call_queue_v2 set run_after = clock_timestamp() where symbol = p_symbol and status = 'pending';
  update public.api_providers_v2 set hold_until = null, breaker_state = 'closed';
  delete from claimed;
  insert into claimed select id, lease_token from public.get_queue_batch_v2(1, null, true);
  select s.outcome
    from public.settle_queue_batch_v2((
      select jsonb_agg(jsonb_build_object('job_id', id, 'lease_token', lease_token, 'outcome', 'failed', 'calls', 1, 'bytes', 20,
        'error', jsonb_build_object('class', p_class, 'code', 'test', 'message', 'told by the test') || p_more))
        from claimed)) as s;
$$;

select is(pg_temp.fail('FA-1', 'retryable'), 'rescheduled', 'a retryable failure is tried again');
select results_eq(
  $$select status, attempts, last_error, errors -> 0 ->> 'class', run_after > clock_timestamp()
      from public.api_call_queue_v2 where symbol = 'FA-1'$$,
  $$values ('pending', 1, 'told by the test', 'retryable', true)$$, 'later, with the error kept');
select pg_temp.fail('FA-1', 'retryable');
select pg_temp.fail('FA-1', 'retryable');
select pg_temp.fail('FA-1', 'retryable');
select is(pg_temp.fail('FA-1', 'retryable'), 'failed', 'the last attempt ends in failed');
select results_eq(
  $$select status, attempts, jsonb_array_length(errors) from public.api_call_queue_v2 where symbol = 'FA-1'$$,
  $$values ('failed', 5, 5)$$, 'with the errors of all attempts');
select is((select consecutive_failures from switchyard.refresh_state where symbol = 'FA-1'), 5, 'refresh_state counts them');
select results_eq(
  $$select calls, failed_calls, bytes from public.api_data_usage_v2 where data_type = 'quote'$$,
  $$values (5::bigint, 5::bigint, 100::bigint)$$, 'failed calls cost too');

select is(pg_temp.fail('FA-2', 'rate_limited', '{"retry_after_seconds": 120}'), 'released', 'a 429 gives the job back');
select results_eq(
  $$select status, attempts from public.api_call_queue_v2 where symbol = 'FA-2'$$,
  $$values ('pending', 0)$$, '… at no attempt');
select ok((select hold_until between clock_timestamp() + interval '110 seconds' and clock_timestamp() + interval '121 seconds'
             from public.api_providers_v2 where provider = 'fmp'), '… and holds the provider as long as it asked for');
select is_empty($$select * from public.get_queue_batch_v2(10, null, true)$$, '… so nothing is claimed');
select pg_temp.fail('FA-2', 'rate_limited');
select ok((select hold_until between clock_timestamp() + interval '50 seconds' and clock_timestamp() + interval '61 seconds'
             from public.api_providers_v2 where provider = 'fmp'), 'without Retry-After the hold is the default');
select switchyard.hold_provider('fmp', 5, 'shorter');
select ok((select hold_until > clock_timestamp() + interval '50 seconds' from public.api_providers_v2 where provider = 'fmp'),
  'a shorter hold does not shorten a longer one');
delete from switchyard.api_call_queue_v2_live where symbol = 'FA-2';

select is(pg_temp.fail('FA-3', 'auth'), 'released', 'a refused key burns no attempt');
select is((select breaker_state from public.api_providers_v2 where provider = 'fmp'), 'open', '… and opens the breaker');
delete from switchyard.api_call_queue_v2_live where symbol = 'FA-3';
select is(pg_temp.fail('FA-4', 'quota'), 'released', 'a used-up quota burns no attempt');
select ok((select hold_until > clock_timestamp() + interval '50 minutes' from public.api_providers_v2 where provider = 'fmp'),
  '… and stops the provider for long');
delete from switchyard.api_call_queue_v2_live where symbol = 'FA-4';

select is(pg_temp.fail('FA-5', 'permanent'), 'failed', 'a permanent failure ends the job at once');

select is(pg_temp.fail('FA-6', 'dependency', '{}', 'financial-statements'), 'released', 'a missing parent burns no attempt');
select is((select string_agg(data_type, ' ') from public.get_queue_batch_v2(10, null, true) where symbol = 'FA-6'), 'profile',
  'the next claim brings its parent');
select results_eq(
  $$select data_type, priority, status from public.api_call_queue_v2 where symbol = 'FA-6' order by data_type$$,
  $$values ('financial-statements', 9000, 'pending'), ('profile', 9000, 'processing')$$, '… with the priority of the child, which waits');
delete from switchyard.api_call_queue_v2_live where symbol = 'FA-6';
insert into switchyard.refresh_state (symbol, data_type, last_checked_at, empty_until)
values ('FA-6', 'profile', now(), now() + interval '1 hour');
select is(pg_temp.fail('FA-6', 'dependency', '{}', 'financial-statements'), 'failed',
  'a parent that the vendor does not have ends the child');
select is(
  (select last_error from public.api_call_queue_v2 where symbol = 'FA-6'),
  'told by the test; the vendor has no profile for it', '… and the error says why');
select public.queue_refresh_if_not_exists_v2('FA-8', 'financial-statements');
insert into switchyard.refresh_state (symbol, data_type, last_checked_at) values ('FA-8', 'profile', clock_timestamp());
select is(pg_temp.fail('FA-8', 'dependency', '{}', 'financial-statements'), 'rescheduled',
  'when the parent came since the job was made, a missing row counts an attempt');
select is_empty($$select * from public.api_call_queue_v2 where symbol = 'FA-8' and data_type = 'profile'$$,
  '… and the parent is not queued again');
select is(pg_temp.fail('FA-7', 'dependency'), 'failed', 'a type without a parent cannot wait for one');

select ok(switchyard.retry_at(0) between clock_timestamp() + interval '2 seconds' and clock_timestamp() + interval '8 seconds',
  'the first retry waits about five seconds');
select ok(switchyard.retry_at(50) <= clock_timestamp() + interval '1351 seconds', 'no retry waits longer than the longest backoff');
select results_eq(
  $$select switchyard.error_class_of(s) from unnest(array['23503', '40P01', '23502']) as s$$,
  $$values ('dependency'), ('collision'), ('retryable')$$, 'what a table raises has a class by its code');

update public.data_type_registry_v2 set batch_size = 50 where data_type = 'quote';
select is(pg_temp.fail('FA-9', 'batch_refused'), 'released', 'a plan that takes no groups costs no attempt');
select is((select batch_size from public.data_type_registry_v2 where data_type = 'quote'), 1, '… and is remembered');

update public.data_type_registry_v2 set fetcher = 'edge-function' where data_type = 'quote';
select pg_temp.fail('FA-9', 'retryable');
update public.api_call_queue_v2 set run_after = clock_timestamp(), delayed = false where symbol = 'FA-9' and status = 'pending';
select results_eq(
  $$select s.outcome, r.empty_until
      from public.settle_queue_batch_v2((
        select jsonb_agg(jsonb_build_object('job_id', id, 'lease_token', lease_token, 'outcome', 'completed', 'rows', '[]'::jsonb))
          from public.get_queue_batch_v2(10, null, true) where symbol = 'FA-9')) as s,
           switchyard.refresh_state as r where r.symbol = 'FA-9' and r.data_type = 'quote'$$,
  $$values ('completed', null::timestamptz)$$, 'what an Edge Function wrote by itself is completed, not empty');

select * from finish();
rollback;
