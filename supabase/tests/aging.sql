-- Without aging, scheduled jobs would wait as long as there is demand. Under a load of demand that
-- is renewed before every claim, one slot in ten drains the oldest jobs.
begin;
select plan(4);

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

-- Under a used-up minute a claim is granted a few calls at a time.
select public.cancel_jobs_v2(p_created_before := 'infinity');
update public.data_type_registry_v2 set batch_size = 1 where data_type = 'quote';
select switchyard.enqueue_jobs(array_agg('AG-OLD-' || n), array_agg('quote'::text), array_agg(100), 'scheduled')
  from generate_series(1, 300) as n;
select switchyard.enqueue_jobs(array_agg('AG-NEW-' || n), array_agg('quote'::text), array_agg(9500), 'manual')
  from generate_series(1, 300) as n;
create function pg_temp.old_of_granted(p_calls integer, p_claims integer) returns numeric language plpgsql as $$
declare
  v_old integer := 0;
  v_all integer := 0;
begin
  for n in 1..p_claims loop
    truncate switchyard.call_grants;
    update public.api_providers_v2 set calls_per_minute = p_calls, calls_margin = 0 where provider = 'fmp';
    select v_old + count(*) filter (where q.priority = 100), v_all + count(*) into v_old, v_all
      from public.get_queue_batch_v2(8) as q;
  end loop;
  if v_all <> p_calls * p_claims then
    raise exception 'granted %', v_all;
  end if;
  return round(100.0 * v_old / v_all);
end $$;
select ok(share between 2 and 20, format('with two calls a claim about one in ten goes to the oldest (%s %%)', share))
  from (select pg_temp.old_of_granted(2, 100) as share) as s;

select * from finish();
rollback;
