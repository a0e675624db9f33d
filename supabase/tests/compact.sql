-- The live partition gives back the space of finished jobs.
begin;
select plan(8);

-- One call for each quote.
update public.data_type_registry_v2 set batch_size = 1, estimated_data_size_bytes = 500 where data_type = 'quote';

select is(public.compact_queue_v2(), false, 'a small partition is left alone');
select switchyard.enqueue_jobs(array_agg('CO-' || n), array_agg('quote'::text), array_agg(100), 'scheduled')
  from generate_series(1, 45000) as n;
select is(public.compact_queue_v2(), false, 'so is one that is full of live jobs');

delete from switchyard.api_call_queue_v2_live where id % 100 <> 0;
select id from public.get_queue_batch_v2(10);
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
create temp table claimed as select id, lease_token from public.get_queue_batch_v2(10);
create temp table before as select * from switchyard.api_call_queue_v2_live;
select is((select count(*) from claimed), 10::bigint, 'some jobs are in flight');
select is(public.compact_queue_v2(), true, 'few jobs in a large partition are written anew');
select ok(pg_total_relation_size('switchyard.api_call_queue_v2_live') < 1000000, 'and take little space');
select set_eq('select * from switchyard.api_call_queue_v2_live', 'select * from before', 'every job is as it was');
select is(
  (select count(*) from public.settle_queue_batch_v2((
     select jsonb_agg(jsonb_build_object('job_id', id, 'lease_token', lease_token, 'outcome', 'empty')) from claimed))
    where outcome = 'empty'), 10::bigint, 'what was in flight is settled');
select is((select count(*) from public.get_queue_batch_v2(1000)), 290::bigint, 'and the others can be claimed, within the limit of 300 calls');

select * from finish();
rollback;
