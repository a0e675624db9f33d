-- The gate of the legacy jobs: what is missing, and what its hint proposes.
begin;
select plan(8);

create function pg_temp.gate(p_data_type text, p_to_stage text) returns switchyard.gate_result language sql as $$
  select g from switchyard.check_gates(p_data_type, p_to_stage) as g where g.gate = 'legacy_jobs'
$$;
select is((pg_temp.gate('quote', 'shadow')).holds, true, 'all jobs that the registry names are there');
select cron.unschedule('minute-fetch-fmp-exchange-prices-api');
select matches((pg_temp.gate('quote', 'shadow')).found, '^"minute-fetch-fmp-quote-indicators".*, no job "minute-fetch-fmp-exchange-prices-api"$', 'one of two that is missing is told');
select is((pg_temp.gate('quote', 'shadow')).holds, true, '… as a name that it may have had');
update public.data_type_registry_v2 set legacy_cron_jobs = '{guard-migrations-v2,nope}', legacy_functions = '{}', edge_function_name = null where data_type = 'quote';
select is((pg_temp.gate('quote', 'shadow')).found, 'none of those that the registry names', 'a job of Switchyard is none');
select is((pg_temp.gate('quote', 'shadow')).holds, false, '… and without any the gate does not hold');

-- Jobs of another role, without names: each hint can be run, and takes nothing away.
create role other_owner;
grant other_owner to current_user;
grant usage on schema cron to other_owner;
grant execute on all functions in schema cron to other_owner;
set role other_owner;
select cron.schedule('10 1 * * *', $$select net.http_post(url := 'https://x.supabase.co/functions/v1/fetch-fmp-grades-historical?part=1')$$);
select cron.schedule('20 2 * * *', $$select net.http_post(url := 'https://x.supabase.co/functions/v1/fetch-fmp-grades-historical?part=2')$$);
reset role;
create function pg_temp.follow_hint() returns void language plpgsql as $$
declare
  v_step text[] := regexp_match((pg_temp.gate('grades-historical', 'live')).hint, 'run (select cron\.schedule.*), then as other_owner (select cron\.unschedule\(\d+\)): only');
begin
  execute v_step[1];
  set local role other_owner;
  execute v_step[2];
  reset role;
end
$$;
select pg_temp.follow_hint(), pg_temp.follow_hint();
select results_eq(
  $$select schedule, username from switchyard.legacy_jobs where '{grades-historical}' && data_types and schedule in ('10 1 * * *', '20 2 * * *') order by 1$$,
  $$values ('10 1 * * *', switchyard.owner()), ('20 2 * * *', switchyard.owner())$$, 'both jobs are there, as ours');
select is((pg_temp.gate('grades-historical', 'live')).holds, true, '… and the gate holds');

select public.pause_data_type_v2('quote');
update public.feature_flags set enabled = true where flag_name in ('use_queue_system', 'use_new_staleness_check');
select is((select hint from public.migration_gates_v2('quote', 'canary') where gate = 'flags'), 'Run select pause_data_type_v2(''quote'', false)', 'of a paused type the hint is to go on');

select * from finish();
rollback;
