begin;
select plan(30);

insert into public.supported_symbols (symbol) select 'WA-' || n from generate_series(1, 5) as n;
create function pg_temp.put_secret(p_name text, p_value text) returns void language sql as $$
  select case when exists (select from vault.secrets where name = p_name)
    then (select vault.update_secret(s.id, p_value)::text from vault.secrets as s where s.name = p_name)
    else vault.create_secret(p_value, p_name)::text end
$$;
-- Legacy cron jobs send requests too, and real pg_cron starts them at any full minute.
create view pg_temp.wake_requests as select * from net.http_request_queue where url like 'http://127.0.0.1:9/%';
create function pg_temp.requests() returns bigint language sql as $$ select count(*) from pg_temp.wake_requests $$;
select pg_temp.put_secret('project_url', 'http://127.0.0.1:9/');
select pg_temp.put_secret('switchyard_secret_key', 'sb_secret_test');

select is(public.invoke_processor_loop_v2() ->> 'reason', 'use_queue_system is off', 'with the flag off no processor is invoked');
select public.queue_refresh_if_not_exists_v2('WA-1', 'quote');
select is(pg_temp.requests(), 0::bigint, 'and enqueueing wakes none');
select is(switchyard.wake_processor(), false, 'nor does a wake');

update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select is(switchyard.wake_processor(), true, 'with the flag on a wake asks pg_net for a call');
select results_eq(
  $$select method::text, url, headers ->> 'apikey', convert_from(body, 'UTF8')::jsonb, timeout_milliseconds from pg_temp.wake_requests$$,
  $$values ('POST', 'http://127.0.0.1:9/functions/v1/queue-processor-v2', 'sb_secret_test', '{"reason": "wake"}'::jsonb, 5000)$$,
  'of the processor, with the secret key in apikey');
select is(switchyard.wake_processor(), false, 'a second wake within a second asks for none');
select public.queue_refresh_if_not_exists_v2('WA-2', 'quote');
select is(pg_temp.requests(), 1::bigint, 'neither does an enqueue');
update switchyard.wakes set last_wake_at = clock_timestamp() - interval '2 seconds';
select public.queue_refresh_if_not_exists_v2('WA-3', 'quote');
select is(pg_temp.requests(), 2::bigint, 'a second later it does');

update switchyard.wakes set last_wake_at = '-infinity';
update public.api_providers_v2 set hold_until = clock_timestamp() + interval '1 minute';
insert into public.api_call_queue_v2 (symbol, data_type) values ('WA-5', 'quote');
select is(pg_temp.requests(), 2::bigint, 'while the provider is on hold nothing wakes');
update public.api_providers_v2 set hold_until = null;
update public.api_call_queue_v2 set run_after = clock_timestamp() + interval '1 hour' where symbol = 'WA-5';
select set_config('switchyard.woken_in', 'another transaction', true);
insert into public.api_call_queue_v2 (symbol, data_type) values ('WA-6', 'quote'), ('WA-7', 'quote');
select is(pg_temp.requests(), 3::bigint, 'a plain insert wakes, once for all its rows');
delete from switchyard.api_call_queue_v2_live where symbol in ('WA-5', 'WA-6', 'WA-7');

select results_eq(
  $$select answer ->> 'invoked', answer ->> 'due' from (select public.invoke_processor_loop_v2() as answer) as a$$,
  $$values ('true', '3')$$, 'the cron job invokes a processor while jobs are due');

update public.api_providers_v2 set hold_until = clock_timestamp() + interval '1 minute';
select is(public.invoke_processor_loop_v2() ->> 'reason', 'no job can be claimed', 'but not while their provider is on hold');
update public.api_providers_v2 set hold_until = null;
select is(switchyard.due_jobs(), 3::bigint, 'due_jobs counts what can be claimed');
select switchyard.hold_data_type('quote', 60, 'test');
select is(switchyard.due_jobs(), 0::bigint, '… which a data type on hold cannot');
delete from switchyard.data_type_holds;

select is(public.start_processor_run_v2('00000000-0000-4000-8000-00000000000a') ->> 'started', 'true', 'a run starts');
select is(switchyard.is_processor_alive(), true, 'its heartbeat shows that it is alive');
select is(public.invoke_processor_loop_v2() ->> 'reason', 'a processor is alive', 'a second processor is not invoked');
select is(public.heartbeat_processor_run_v2('00000000-0000-4000-8000-00000000000a'), true, 'a heartbeat is taken');
update switchyard.processor_runs set heartbeat_at = clock_timestamp() - interval '21 seconds';
select is(switchyard.is_processor_alive(), false, 'a run without heartbeat counts as dead');
update switchyard.wakes set last_wake_at = '-infinity';
select is(public.finish_processor_run_v2('00000000-0000-4000-8000-00000000000a', '{"claims": 1}'), true, 'a run finishes with its report');
select is(pg_temp.requests(), 5::bigint, '… and wakes the next one when jobs are due');
select public.start_processor_run_v2('00000000-0000-4000-8000-00000000000b');
update switchyard.wakes set last_wake_at = '-infinity';
select public.finish_processor_run_v2('00000000-0000-4000-8000-00000000000b', '{"endedBy": "error"}');
select is(pg_temp.requests(), 5::bigint, 'a run that ended in error wakes none: cron tries again');
select ok(switchyard.takes_second(), 'the first of a second takes it');
select is(switchyard.takes_second() and switchyard.takes_second(), false, 'the others do not');
select is(public.finish_processor_run_v2('00000000-0000-4000-8000-00000000000a', '{}'), false, 'it finishes once');
select is(public.heartbeat_processor_run_v2('00000000-0000-4000-8000-00000000000a'), false, 'a finished run has no heartbeat');

update public.feature_flags set enabled = false where flag_name = 'use_queue_system';
select is(public.start_processor_run_v2(gen_random_uuid()) ->> 'reason', 'use_queue_system is off', 'with the flag off no run starts');

update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select vault.update_secret(s.id, new_name := 'mislaid') from vault.secrets as s where s.name = 'switchyard_secret_key';
select throws_ok($$select public.invoke_processor_loop_v2()$$, 'SY007',
  'Cannot call queue-processor-v2: Vault has no secret switchyard_secret_key', 'a missing secret fails the cron run, by name');
update switchyard.wakes set last_wake_at = '-infinity';
select results_eq(
  $$select public.queue_refresh_if_not_exists_v2('WA-4', 'quote') is not null, (select last_problem from switchyard.wakes)$$,
  $$values (true, null::text)$$, 'but never an enqueue');

select is((select last_problem from switchyard.wakes),
  'Cannot call queue-processor-v2: Vault has no secret switchyard_secret_key', 'whose wake keeps the problem');

select * from finish();
rollback;
