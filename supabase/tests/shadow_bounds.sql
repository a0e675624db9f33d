-- The shadow takes no more room than it may.
begin;
select plan(16);

select switchyard.set_stage('profile', 'shadow', 'test');
create function pg_temp.result(p_symbol text, p_verdict text, p_ago interval default '0 seconds') returns void language sql as $$
  insert into switchyard.shadow_results (data_type, symbol, fetched_at, verdict, rows, compared_at, legacy_seen_at, differences)
  values ('profile', p_symbol, clock_timestamp() - p_ago, p_verdict,
          case when p_verdict = 'waiting' then jsonb_build_array(jsonb_build_object('symbol', p_symbol, 'company_name', 'x')) end, now(), null,
          (select jsonb_agg(jsonb_build_object('kind', 'extra', 'key', jsonb_build_object('symbol', p_symbol), 'decides', false)) from generate_series(1, 30)))
$$;
create function pg_temp.kept(p_verdict text) returns text language sql as $$
  select string_agg(symbol, ' ' order by id) from switchyard.shadow_results where verdict = p_verdict
$$;

update switchyard.settings set value = '3' where name = 'shadow_waiting_per_type';
select pg_temp.result('W' || n, 'waiting') from generate_series(1, 5) as n;
select is(switchyard.relook_at_shadow('profile'), 0, 'what has seen no legacy refresh is not looked at again');
select is(pg_temp.kept('waiting'), 'W3 W4 W5', 'of too many that wait the oldest give way');
select results_eq($$select symbol, verdict, reason, rows is null, jsonb_array_length(differences) from switchyard.shadow_results where symbol in ('W1', 'W2') order by 1$$,
  $$values ('W1', 'inconclusive', 'gave way to newer ones', true, 20), ('W2', 'inconclusive', 'gave way to newer ones', true, 20)$$, '… and drop their rows');
insert into public.profiles (symbol, company_name) values ('W3', 'x');
select is(switchyard.relook_at_shadow('profile'), 1, 'what has seen one is');
select is(pg_temp.kept('waiting'), 'W4 W5', '… and has its verdict');
update switchyard.shadow_results set fetched_at = clock_timestamp() - interval '1501 minutes' where symbol = 'W4';
select is(switchyard.relook_at_shadow('profile'), 1, 'what has waited shadow_wait_minutes is looked at once more');
select is((select reason from switchyard.shadow_results where symbol = 'W4'), 'legacy did not refresh it in time', '… and waits no more');
select switchyard.set_stage('profile', 'canary', 'test');
select switchyard.relook_at_shadow('profile');
select is((select reason from switchyard.shadow_results where symbol = 'W5'), 'the stage is canary now', 'nothing waits in another stage, where the queue writes itself');

select switchyard.set_stage('profile', 'legacy', 'test');
select switchyard.set_stage('profile', 'shadow', 'test');
update switchyard.settings set value = '100' where name = 'shadow_waiting_per_type';
update switchyard.settings set value = '1' where name = 'shadow_look_seconds';
create function pg_temp.slowly() returns trigger language plpgsql as $$ begin perform pg_sleep(0.12); return new; end $$;
create trigger slowly before update on switchyard.shadow_results for each row execute function pg_temp.slowly();
insert into public.profiles (symbol, company_name) select 'B' || n, 'x' from generate_series(1, 25) as n;
select pg_temp.result('B' || n, 'waiting') from generate_series(1, 25) as n;
select is(switchyard.relook_at_shadow('profile'), 10, 'a pass ends when shadow_look_seconds are over, with the portion that it is at');
drop trigger slowly on switchyard.shadow_results;
select is(switchyard.relook_at_shadow('profile'), 15, '… and the next one goes on with all that is left');
select is(switchyard.relook_at_shadow('profile'), 0, '… once each');

delete from switchyard.shadow_results;
update switchyard.settings set value = '100' where name = 'shadow_results_per_type';
select pg_temp.result('M' || n, 'mismatch') from generate_series(1, 40) as n;
select pg_temp.result('O' || n, 'match') from generate_series(1, 100) as n;
select is(switchyard.prune_shadow(), 40::bigint, 'beyond shadow_results_per_type results are deleted');
select results_eq($$select matches, mismatches from switchyard.shadow_tally('profile', now() - interval '1 hour')$$, $$values (60::bigint, 40::bigint)$$,
  '… matches first: without its mismatches a rate would look better than it was');
select is((select min(symbol) from switchyard.shadow_results where symbol in ('O40', 'O41')), 'O41', '… and the oldest of them');
update switchyard.settings set value = '30000' where name = 'shadow_results_per_type';
select pg_temp.result('OLD', 'mismatch', '15 days');
select is((select removed from public.prune_queue_history_v2() where what = 'shadow results'), 1::bigint, 'the hourly clean-up deletes what is past its retention');
select is((select count(*) from switchyard.shadow_results where symbol = 'OLD'), 0::bigint, '… whatever its verdict');

select * from finish();
rollback;
