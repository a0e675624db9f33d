begin;
select plan(16);

create function pg_temp.today() returns date language sql as $$ select (clock_timestamp() at time zone 'UTC')::date $$;
create function pg_temp.finished(p_symbol text, p_status text, p_days_ago integer) returns void language sql as $$
  insert into public.api_call_queue_v2 (symbol, data_type, provider, status, finished_at)
  values (p_symbol, 'quote', 'fmp', p_status, clock_timestamp() - make_interval(days => p_days_ago));
$$;

select is(
  (select count(*) from pg_inherits where inhparent = 'public.api_call_queue_v2'::regclass), 10::bigint,
  'there is the live partition, the default one, today and seven days ahead');
-- The migrations may have run before midnight UTC, these tests after it.
select * from public.maintain_queue_partitions_v2();
select is_empty($$select * from public.maintain_queue_partitions_v2()$$, 'a second run finds nothing to do');

select pg_temp.finished('PA-1', 'completed', 3);
select is((select tableoid::regclass::text from public.api_call_queue_v2 where symbol = 'PA-1'),
  'switchyard.api_call_queue_v2_default', 'a day without partition goes to the default one: nothing fails');
select is(switchyard.make_queue_partition(pg_temp.today() - 3), true, 'its partition can still be made');
select is((select tableoid::regclass::text from public.api_call_queue_v2 where symbol = 'PA-1'),
  'switchyard.' || switchyard.queue_partition_name(pg_temp.today() - 3), '… and takes over its jobs');
select is(switchyard.make_queue_partition(pg_temp.today() - 3), false, 'making it again does nothing');

select switchyard.make_queue_partition(pg_temp.today() - 10);
select switchyard.make_queue_partition(pg_temp.today() - 40);
select pg_temp.finished('PA-2', 'completed', 10);
select pg_temp.finished('PA-3', 'failed', 10);
select pg_temp.finished('PA-4', 'failed', 40);
select results_eq(
  $$select action, partition_name from public.maintain_queue_partitions_v2()$$,
  $$values ('dropped', switchyard.queue_partition_name(pg_temp.today() - 40))$$, 'old partitions are dropped');
select pg_temp.finished('PA-5', 'completed', 90);
select is((select count(*) from switchyard.api_call_queue_v2_default), 1::bigint, 'what finished on a day without partition is in the default one');
select results_eq(
  $$select what, removed from public.prune_queue_history_v2() where what ~ 'jobs'$$,
  $$values ('completed jobs', 2::bigint), ('failed jobs', 0::bigint)$$, 'completed jobs leave earlier than failed ones, the default partition''s too');
select results_eq(
  $$select symbol from public.api_call_queue_v2 where symbol like 'PA-%' order by 1$$,
  $$values ('PA-1'), ('PA-3')$$, 'failed jobs are kept longer');

insert into public.api_data_usage_v2 (provider, data_type, hour, calls)
values ('fmp', 'quote', date_trunc('hour', now() - interval '36 days', 'UTC'), 1);
insert into switchyard.queue_events (kind, occurred_at) values ('ancient', now() - interval '15 days');
insert into switchyard.processor_runs (run_id, manual, started_at) values (gen_random_uuid(), true, now() - interval '15 days');
select public.prune_queue_history_v2();
select is_empty($$select * from public.api_data_usage_v2 where hour < now() - interval '35 days'$$, 'old usage is pruned');
select is_empty($$select * from switchyard.queue_events where kind = 'ancient'$$, 'old events are pruned');
select is_empty($$select * from switchyard.processor_runs where started_at < now() - interval '14 days'$$, 'old runs are pruned');

select is(
  (select bool_and(c.relrowsecurity) from pg_inherits as i join pg_class as c on c.oid = i.inhrelid
    where i.inhparent = 'public.api_call_queue_v2'::regclass), true, 'every partition has row security');
select is_empty(
  $$select c.relname, r.role, p.privilege
      from pg_inherits as i
      join pg_class as c on c.oid = i.inhrelid
     cross join unnest(array['anon', 'authenticated']) as r (role)
     cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate']) as p (privilege)
     where i.inhparent = 'public.api_call_queue_v2'::regclass
       and has_table_privilege(r.role, c.oid, p.privilege)$$,
  'no API caller has a privilege on any partition, new ones included');
select throws_ok(
  $$update public.api_call_queue_v2 set status = 'pending' where symbol = 'PA-3'$$, '23514', null,
  'a finished job cannot be set back to pending by halves');

select * from finish();
rollback;
