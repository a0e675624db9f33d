-- Samples of how old the data of each type is.
begin;
select plan(43);

delete from public.supported_symbols;
delete from realtime.subscription;
insert into public.supported_symbols (symbol) select 'FR-' || n from generate_series(1, 10) as n;
insert into public.supported_symbols (symbol, is_active) values ('FR-OFF', false);
create table public.aged (symbol text, place text, refreshed_at timestamptz, primary key (symbol, place));
create table public.aged_world (place text primary key, refreshed_at timestamptz);
insert into public.data_type_registry_v2 (data_type, table_name, symbol_column, timestamp_column, conflict_columns,
    default_ttl_minutes, refresh_strategy, provider, fetcher, estimated_data_size_bytes)
values ('aged', 'aged', 'symbol', 'refreshed_at', '{symbol,place}', 60, 'hybrid', 'fmp', 'none', 1),
       ('aged-world', 'aged_world', null, 'refreshed_at', '{place}', 60, 'scheduled', 'fmp', 'none', 1);
create function pg_temp.sample(p_type text default 'aged') returns switchyard.freshness_samples language sql as $$
  select m.* from public.data_type_registry_v2 as r cross join lateral switchyard.measure_freshness(r) as m where r.data_type = p_type
$$;
-- In tens of seconds, which is as exact as a slow machine allows.
create function pg_temp.tens(p_seconds double precision) returns text language sql as $$
  select (10 * floor(p_seconds / 10))::text
$$;
create function pg_temp.told(p_type text default 'aged') returns text language sql as $$
  select format('known %s, out %s, rows %s, stale %s, very stale %s, p50 %s, p95 %s, max %s', s.symbols_known, s.left_out, s.rows, s.stale_rows,
                s.very_stale_rows, pg_temp.tens(s.p50_age_seconds), pg_temp.tens(s.p95_age_seconds), pg_temp.tens(s.max_age_seconds))
    from pg_temp.sample(p_type) as s
$$;

select is(pg_temp.told(), 'known 10, out 0, rows 0, stale 10, very stale 0, p50 , p95 , max ', 'symbols without rows are stale and have no age');
insert into public.aged select 'FR-' || n, 'a', now() - make_interval(secs => n * 100) from generate_series(1, 10) as n;
insert into public.aged values ('FR-OFF', 'a', '2020-01-01'), ('UNKNOWN', 'a', '2020-01-01');
select is(pg_temp.told(), 'known 10, out 0, rows 10, stale 0, very stale 0, p50 500, p95 1000, max 1000', 'the known, active symbols count');
insert into public.aged select 'FR-' || n, 'b', '2020-01-01' from generate_series(1, 10) as n;
select is(pg_temp.told(), 'known 10, out 0, rows 10, stale 0, very stale 0, p50 500, p95 1000, max 1000', 'of many rows the newest counts');
update public.aged set refreshed_at = now() - interval '61 minutes' where symbol = 'FR-1' and place = 'a';
update public.aged set refreshed_at = now() - interval '121 minutes' where symbol = 'FR-2' and place = 'a';
select is(pg_temp.told(), 'known 10, out 0, rows 10, stale 2, very stale 1, p50 700, p95 7260, max 7260', 'stale is older than the TTL, very stale than twice that');
update public.aged set refreshed_at = null where symbol = 'FR-2';
select is(pg_temp.told(), 'known 10, out 0, rows 10, stale 2, very stale 1, p50 700, p95 3660, max 3660', 'an unknown age is very stale, and no number');
delete from public.aged where symbol = 'FR-2';
select is(pg_temp.told(), 'known 10, out 0, rows 9, stale 2, very stale 0, p50 700, p95 3660, max 3660', 'no rows are stale');
insert into switchyard.refresh_state (symbol, data_type, last_checked_at, empty_until)
values ('FR-2', 'aged', now(), now() + interval '1 day'), ('FR-1', 'aged', now(), null);
select is(pg_temp.told(), 'known 10, out 1, rows 9, stale 1, very stale 0, p50 700, p95 3660, max 3660', 'what the vendor has nothing for is left out; in legacy the checks of the queue say nothing');
update switchyard.refresh_state set empty_until = now() - interval '59 minutes' where symbol = 'FR-2';
select is((select left_out from pg_temp.sample()), 1, '… a TTL longer than until it is asked again');
update switchyard.refresh_state set empty_until = now() - interval '61 minutes' where symbol = 'FR-2';
select is((select left_out from pg_temp.sample()), 0, '… and no longer');
update switchyard.refresh_state set empty_until = now() + interval '1 day' where symbol = 'FR-2';
select switchyard.set_stage('aged', 'live', 'test');
select is(pg_temp.told(), 'known 10, out 1, rows 9, stale 0, very stale 0, p50 600, p95 1000, max 1000', 'in live a check that found nothing new counts as a refresh');
delete from public.aged where symbol = 'FR-3';
update switchyard.refresh_state set symbol = 'FR-3' where symbol = 'FR-1';
select is(pg_temp.told(), 'known 10, out 1, rows 8, stale 2, very stale 0, p50 700, p95 3660, max 3660', '… but not for rows that are gone since');
insert into switchyard.refresh_state (symbol, data_type, last_checked_at) values ('FR-1', 'aged', '-infinity');
select is(pg_temp.told(), 'known 10, out 1, rows 8, stale 2, very stale 0, p50 700, p95 3660, max 3660', 'an attempt that failed is no check');

-- A condition.
create function public.fr_closed(p_symbol text) returns boolean language sql as $$select p_symbol not in ('FR-1', 'FR-4')$$;
update public.data_type_registry_v2 set condition_function = 'fr_closed' where data_type = 'aged';
select is(pg_temp.told(), 'known 10, out 2, rows 7, stale 1, very stale 0, p50 700, p95 1000, max 1000', 'stale symbols whose condition says not now are left out');
update public.data_type_registry_v2 set condition_function = null where data_type = 'aged';

-- A canary.
select switchyard.set_stage('aged', 'legacy', 'test'), switchyard.set_stage('aged', 'canary', 'test');
update public.data_type_registry_v2 set canary_percent = 0 where data_type = 'aged';
update public.feature_flags set metadata = '{"symbols": ["FR-5", "FR-6"]}' where flag_name = 'use_queue_for_aged';
delete from switchyard.refresh_state where data_type = 'aged';
select is(pg_temp.told(), 'known 2, out 0, rows 2, stale 0, very stale 0, p50 0, p95 0, max 0', 'of a canary the share is judged, from when it became one');
-- As switchyard.set_stage may: to tell the clock.
create function pg_temp.entered(p_ago interval) returns void language plpgsql as $$
begin
  perform set_config('switchyard.moves_stage', 'aged', true);
  update public.data_type_registry_v2 set stage_entered_at = clock_timestamp() - p_ago, share_changed_at = clock_timestamp() - p_ago where data_type = 'aged';
  perform set_config('switchyard.moves_stage', '', true);
end $$;
select pg_temp.entered('3 hours');
insert into switchyard.refresh_state (symbol, data_type, last_checked_at) values ('FR-6', 'aged', now() - interval '10 minutes');
select is(pg_temp.told(), 'known 2, out 0, rows 2, stale 1, very stale 1, p50 600, p95 10800, max 10800', '… by what the queue did, though legacy moves the rows');

-- Who comes to the share later is judged from then on.
update public.data_type_registry_v2 set canary_percent = 100 where data_type = 'aged';
select is(pg_temp.told(), 'known 10, out 0, rows 8, stale 2, very stale 0, p50 0, p95 0, max 0', 'a share that grows is not stale at once');
select ok((select share_changed_at > clock_timestamp() - interval '1 minute' from public.data_type_registry_v2 where data_type = 'aged'), '… because it is known when it grew');
create function pg_temp.changed(p_ago interval) returns void language sql as $$
  update public.data_type_registry_v2 set share_changed_at = clock_timestamp() - p_ago where data_type = 'aged'
$$;
select pg_temp.changed('3 hours');
select ok((select very_stale_rows from pg_temp.sample()) > 0, '… for ever it is not excused');
update public.feature_flags set metadata = '{"symbols": ["FR-5"]}' where flag_name = 'use_queue_for_aged';
select is((select very_stale_rows from pg_temp.sample()), 0, 'the same for symbols that are listed');
select pg_temp.changed('3 hours');
select switchyard.write_migration_event('flags', null, null, null, 'test', '{}');
select is((select very_stale_rows from pg_temp.sample()), 0, 'and when the queue was switched on just now');
update switchyard.migration_events set occurred_at = occurred_at - interval '1 day' where kind = 'flags';
update public.feature_flags set metadata = metadata || '{"about": "x"}' where flag_name = 'use_queue_for_aged';
select ok((select very_stale_rows from pg_temp.sample()) > 0, '… and nothing else of the flag');

-- On demand.
select switchyard.set_stage('aged', 'legacy', 'test');
update public.data_type_registry_v2 set refresh_strategy = 'on-demand' where data_type = 'aged';
select is((select symbols_known from pg_temp.sample()), 10, 'in legacy all symbols of an on-demand type are judged');
select switchyard.set_stage('aged', 'live', 'test');
select is(pg_temp.told(), 'known 0, out 0, rows 0, stale 0, very stale 0, p50 , p95 , max ', 'in live only what somebody looks at');
insert into public.active_subscriptions_v2 (symbol, data_type, source, viewers) values ('FR-1', 'aged', 'presence', 3), ('FR-8', 'aged', 'presence', 1);
select is(pg_temp.told(), 'known 2, out 0, rows 2, stale 0, very stale 0, p50 0, p95 0, max 0', '… from when they began to');
update switchyard.watched_symbols set since = now() - interval '65 minutes';
select is(pg_temp.told(), 'known 2, out 0, rows 2, stale 1, very stale 0, p50 800, p95 3660, max 3660', '… and from then on like any other');
delete from public.active_subscriptions_v2 where symbol = 'FR-1';
select is((select symbols_known from pg_temp.sample()), 1, 'who leaves is not judged any more');
select is((select string_agg(symbol, ' ') from switchyard.watched_symbols where data_type = 'aged'), 'FR-8', '… nor remembered');

-- A global type.
select is(pg_temp.told('aged-world'), 'known 1, out 0, rows 0, stale 1, very stale 0, p50 , p95 , max ', 'a global type without rows is stale');
insert into public.aged_world values ('a', now() - interval '2 minutes'), ('b', '2020-01-01');
select is(pg_temp.told('aged-world'), 'known 1, out 0, rows 1, stale 0, very stale 0, p50 120, p95 120, max 120', '… and as old as its newest row');

-- All types.
select ok((select count(*) = count(distinct data_type) and bool_and(problem is null) from public.sample_freshness_v2()), 'all types are sampled');
select is((select count(*) from switchyard.freshness_samples), (select count(*) from public.data_type_registry_v2), '… and kept, with their stage');
select is((select stage from switchyard.freshness_samples where data_type = 'aged'), 'live', '… as it was');
select ok((select count(*) >= 1 from public.sample_freshness_v2() where data_type = 'aged'), 'a live type is sampled again at once');
update switchyard.freshness_samples set duration_ms = 60000 where data_type = 'aged-world';
select is((select count(*) from public.sample_freshness_v2() where data_type = 'aged-world'), 0::bigint, 'one in legacy that takes long less often');
update switchyard.freshness_samples set sampled_at = sampled_at - interval '51 minutes' where data_type = 'aged-world';
select is((select count(*) from public.sample_freshness_v2() where data_type = 'aged-world'), 1::bigint, '… so that it takes no more than its part of the time');
update switchyard.freshness_samples set sampled_at = sampled_at + interval '1 day' where data_type = 'aged-world';
select is((select count(*) from public.sample_freshness_v2() where data_type = 'aged-world'), 1::bigint, '… and goes on after the clock was set back');
drop table public.aged;
select matches((select problem from public.sample_freshness_v2() where data_type = 'aged'), 'aged', 'a type that is broken has its problem told');
select is((select count(*) from switchyard.queue_events where kind = 'freshness sample failed' and data_type = 'aged'), 1::bigint, '… as an event');
select ok((select count(*) > 10 from switchyard.freshness_samples where sampled_at > now()), '… and keeps no other from it');
update switchyard.freshness_samples set sampled_at = sampled_at - interval '15 days' where data_type = 'profile';
select ok((select removed >= 1 from public.prune_queue_history_v2() where what = 'freshness samples'), 'the hourly clean-up deletes what is past its retention');
select is((select count(*) from switchyard.freshness_samples where sampled_at < now() - interval '14 days'), 0::bigint, '… and all of it');

-- Without a table of known symbols.
update switchyard.settings set value = 'null' where name in ('known_symbols_table', 'known_symbols_active_column');
insert into public.profiles (symbol, modified_at) values ('FR-X', now());
select is((select symbols_known from pg_temp.sample('profile')), (select count(*)::integer from public.profiles), 'without a table of known symbols those with rows are judged');
select is((select problem from public.sample_freshness_v2() where data_type = 'profile'), null, '… in the sample of all');

select * from finish();
rollback;
