-- Without aging, scheduled jobs would wait as long as there is demand. Under a load of demand that
-- is renewed before every claim, one slot in ten drains the oldest jobs.
begin;
select plan(3);

insert into public.supported_symbols (symbol) select 'AG-' || n from generate_series(1, 40) as n;
update public.api_providers_v2 set calls_per_minute = 100000 where provider = 'fmp';
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select switchyard.enqueue_jobs(
  array_agg('AG-' || n), array_agg('profile'::text), array_agg(0), 'scheduled') from generate_series(1, 40) as n;

create function pg_temp.claim_under_load(p_claims integer, p_name text) returns integer language plpgsql as $$
declare
  v_scheduled integer := 0;
begin
  for n in 1..p_claims loop
    perform switchyard.enqueue_jobs(
      array_agg('DE-' || p_name || n || '-' || s), array_agg('quote'::text), array_agg(8000), 'demand')
       from generate_series(1, 20) as s;
    select v_scheduled + count(*) filter (where c.data_type = 'profile') into v_scheduled
      from public.get_queue_batch_v2(20) as c;
  end loop;
  return v_scheduled;
end
$$;

update switchyard.settings set value = '0' where name = 'oldest_slots_percent';
select is(pg_temp.claim_under_load(20, 'A'), 0, 'without slots for the oldest, 400 claimed jobs include no scheduled one');
update switchyard.settings set value = '10' where name = 'oldest_slots_percent';
select is(pg_temp.claim_under_load(20, 'B'), 40, 'with one slot in ten, all 40 scheduled jobs are among 400 claimed ones');
select is(
  (select count(*) from public.api_call_queue_v2 where symbol like 'DE-%' and status = 'pending'), 40::bigint,
  'the demand that they displaced is what waits');

select * from finish();
rollback;
