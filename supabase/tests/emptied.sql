-- A vendor that has nothing any more for symbols that have rows.
begin;
select plan(18);

delete from public.supported_symbols;
insert into public.supported_symbols (symbol) select 'EM-' || n from generate_series(1, 20) as n;
insert into public.profiles (symbol, modified_at) select 'EM-' || n, now() - interval '30 minutes' from generate_series(1, 10) as n;
update public.data_type_registry_v2 set batch_size = 100 where data_type in ('profile', 'exchange-rates');
update public.feature_flags set enabled = true where flag_name in ('use_queue_system', 'use_new_staleness_check');
select switchyard.set_stage('profile', 'live');
-- Claims jobs of n symbols and settles all with the outcome; returns how many are told empty.
create function pg_temp.settle(p_from integer, p_to integer, p_outcome text default 'completed', p_type text default 'profile') returns bigint language plpgsql as $$
declare
  v_count bigint;
begin
  perform switchyard.enqueue_jobs(array_agg(case p_type when 'profile' then 'EM-' || n else 'GLOBAL' end), array_agg(p_type), array_agg(0), 'scheduled')
     from generate_series(p_from, p_to) as n;
  select count(*) filter (where s.outcome = 'empty') into v_count
    from public.settle_queue_batch_v2((
      select jsonb_agg(jsonb_build_object('job_id', c.id, 'lease_token', c.lease_token, 'outcome', p_outcome, 'rows', '[]'::jsonb, 'calls', 1, 'bytes', 2))
        from public.get_queue_batch_v2(100) as c)) as s;
  return v_count;
end $$;
create function pg_temp.completed() returns bigint language sql as $$
  select sum(completed) from switchyard.job_outcomes where data_type = 'profile'
$$;
create function pg_temp.minutes(p_symbol text) returns numeric language sql as $$
  select round(extract(epoch from empty_until - last_checked_at) / 60) from switchyard.refresh_state where symbol = p_symbol and data_type = 'profile'
$$;

select is(pg_temp.settle(1, 20), 20::bigint, 'completed without rows is empty');
select is(pg_temp.minutes('EM-11'), 1440::numeric, 'that there is nothing is believed for empty_recheck_minutes');
select is(pg_temp.minutes('EM-1'), 60::numeric, '… of a symbol that has rows for a TTL');
select is(pg_temp.settle(1, 2, 'empty'), 2::bigint, 'a processor may say so itself');
select is(pg_temp.completed(), 22::bigint, '… and its jobs are completed');
select is(switchyard.emptied_jobs('{}'), '{}'::bigint[], 'of no results none is emptied');

-- Freshness: only symbols without rows are left out.
create function pg_temp.told() returns text language sql as $$
  select format('known %s, out %s, rows %s', m.symbols_known, m.left_out, m.rows)
    from public.data_type_registry_v2 as r cross join lateral switchyard.measure_freshness(r) as m where r.data_type = 'profile'
$$;
select is(pg_temp.told(), 'known 20, out 10, rows 10', 'a symbol that has rows is judged, whatever the vendor says');

select is((select m.emptied from public.data_type_registry_v2 as r cross join lateral switchyard.measure_freshness(r) as m where r.data_type = 'profile'), 10,
  '… and counted');

-- The guard: by the share of the symbols, so that a few dead ones are no breach when nothing else is due.
create function pg_temp.sample(p_emptied integer) returns void language sql as $$
  insert into switchyard.freshness_samples (
    data_type, sampled_at, stage, symbols_known, left_out, rows, stale_rows, very_stale_rows, emptied, p95_age_seconds, max_age_seconds, duration_ms)
  select 'profile', clock_timestamp() - n * interval '1 minute', 'live', 200, 100, 100, 0, 0, p_emptied, 1, 1, 1 from generate_series(0, 3) as n
$$;
create function pg_temp.breach() returns text language sql as $$
  select switchyard.verdict_in_words(switchyard.freshness_breach(r)) from public.data_type_registry_v2 as r where r.data_type = 'profile'
$$;
select set_config('switchyard.moves_stage', 'profile', true);
update public.data_type_registry_v2 set stage_entered_at = now() - interval '1 day' where data_type = 'profile';
select set_config('switchyard.moves_stage', '', true);
select pg_temp.sample(10);
select is(pg_temp.breach(), null, 'a tenth of the symbols is no breach');
update switchyard.freshness_samples set emptied = 11;
select is(pg_temp.breach(), 'empty_rate: 11.0 % (11 of 100 symbols) that have rows came back empty for 5 min, wanted at most 10.0 %', 'more is one');
update public.data_type_registry_v2 set gate_settings = '{"empty_rate": 0.6}' where data_type = 'profile';
select is(pg_temp.breach(), null, '… unless a type may have more');
update public.data_type_registry_v2 set gate_settings = '{"breach_least_failures": 13}' where data_type = 'profile';
select is(pg_temp.breach(), null, '… or there are few');
update public.data_type_registry_v2 set gate_settings = '{}' where data_type = 'profile';
update switchyard.freshness_samples set emptied = 0 where sampled_at = (select min(sampled_at) from switchyard.freshness_samples);
select is(pg_temp.breach(), null, '… or a sample says otherwise');
update switchyard.freshness_samples set emptied = 100;
select is((select action from public.guard_migrations_v2() where data_type = 'profile'),
  'rolled back from live: empty_rate: 100.0 % (100 of 100 symbols) that have rows came back empty for 5 min, wanted at most 10.0 %', 'the type goes back');
select results_eq($$select active from switchyard.legacy_jobs where 'profile' = any (data_types)$$, 'values (true)', '… to its legacy job');
select switchyard.set_stage('profile', 'shadow');
select is(pg_temp.settle(1, 5), 5::bigint, 'in shadow nothing is written');

-- A global type.
insert into public.exchange_rates (base_code, target_code, rate, last_updated_at) values ('USD', 'EUR', 1, now());
select switchyard.set_stage('exchange-rates', 'live');
select is(pg_temp.settle(1, 1, 'completed', 'exchange-rates'), 1::bigint, 'a global type may come back empty too');
select is((select round(extract(epoch from s.empty_until - s.last_checked_at) / 60)::integer <= r.default_ttl_minutes
             from switchyard.refresh_state as s join public.data_type_registry_v2 as r using (data_type) where data_type = 'exchange-rates'),
  true, '… which is believed for a TTL when its table has rows');

select * from finish();
rollback;
