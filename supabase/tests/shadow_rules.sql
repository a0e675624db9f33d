-- What shadow_rules allow, and what they may hold.
begin;
select plan(24);

create table public.ruled (symbol text primary key, price float8, volume bigint, label text, refreshed_at timestamptz);
insert into public.data_type_registry_v2 (data_type, table_name, symbol_column, timestamp_column, conflict_columns,
    default_ttl_minutes, provider, fetcher, estimated_data_size_bytes)
values ('ruled', 'ruled', 'symbol', 'refreshed_at', '{symbol}', 60, 'fmp', 'none', 1);
select switchyard.set_stage('ruled', 'shadow', 'test');
insert into public.ruled values ('R', 100, 1000, 'legacy', now());
create function pg_temp.under(p_rules jsonb, p_row jsonb) returns text language plpgsql as $$
declare
  v_id bigint;
begin
  update public.data_type_registry_v2 set shadow_rules = p_rules where data_type = 'ruled';
  insert into switchyard.shadow_results (data_type, symbol, fetched_at, rows)
  values ('ruled', 'R', clock_timestamp(), jsonb_build_array('{"symbol": "R", "price": 100, "volume": 1000, "label": "legacy"}' || p_row))
  returning id into v_id;
  perform switchyard.compare_shadow('ruled', array[v_id]);
  return (select r.verdict from switchyard.shadow_results as r where r.id = v_id);
end $$;

select is(pg_temp.under('{}', '{"price": 100.4}'), 'mismatch', 'without rules each difference counts');
select is(pg_temp.under('{"tolerances": {"price": {"absolute": 0.5}}}', '{"price": 100.4}'), 'match', 'within an absolute tolerance values agree');
select is(pg_temp.under('{"tolerances": {"price": {"absolute": 0.5}}}', '{"price": 100.6}'), 'mismatch', '… and not beyond it');
select is(pg_temp.under('{"tolerances": {"price": {"relative": 0.01}}}', '{"price": 99.1}'), 'match', 'within a relative tolerance values agree');
select is(pg_temp.under('{"tolerances": {"price": {"relative": 0.01}}}', '{"price": 98.5}'), 'mismatch', '… and not beyond it');
select is(pg_temp.under('{"tolerances": {"price": {"relative": 0.01}}}', '{"volume": 1001}'), 'mismatch', 'a tolerance is for its column alone');
select is(pg_temp.under('{"tolerances": {"price": {"absolute": 1000}}}', '{"price": null}'), 'mismatch', 'no tolerance makes a value of nothing');
select is(pg_temp.under('{"ignore": ["label"]}', '{"label": "queue"}'), 'match', 'ignored columns are not compared');
select is(pg_temp.under('{"known_differences": [{"column": "label", "legacy": "legacy", "queue": "queue", "reason": "renamed"}]}', '{"label": "queue"}'),
  'match', 'a known difference is none');
select is(pg_temp.under('{"known_differences": [{"column": "label", "legacy": "legacy", "queue": "queue", "reason": "renamed"}]}', '{"label": "other"}'),
  'mismatch', '… but only between the values that it names');
select is(pg_temp.under('{"known_differences": [{"column": "label", "queue": null, "reason": "not fetched"}]}', '{"label": null}'),
  'match', 'a value that it leaves out stands for any');

create function pg_temp.problem(p_rules jsonb) returns text language plpgsql as $$
begin
  update public.data_type_registry_v2 set shadow_rules = p_rules where data_type = 'ruled';
  return null;
exception when sqlstate 'SY005' then
  return sqlerrm;
end $$;
select is(pg_temp.problem('{"ignore": ["a"], "volatile": ["b"], "same_moment": ["c"], "tolerances": {"c": {"relative": 0.1}}, "known_differences": [{"column": "d", "legacy": 1, "reason": "r"}],
  "comparable_minutes": 2.5, "source_lag_seconds": 0, "sample_percent": 50}'), null, 'all keys may be used');
select matches(pg_temp.problem('{"ignored": ["a"]}'), 'unknown key "ignored"', 'an unknown key is refused');
select matches(pg_temp.problem('{"ignore": "a"}'), 'ignore', 'ignore is an array');
select matches(pg_temp.problem('{"volatile": [1]}'), 'volatile', 'volatile is an array of names');
select matches(pg_temp.problem('{"same_moment": ["c"], "tolerances": {"d": {"absolute": 1}}}'), 'same_moment has "c", which has no tolerance',
  'same_moment wants a tolerance, or it says nothing');
select matches(pg_temp.problem('{"other_moment": {"c": 5}}'), 'shadow_rules.other_moment is not an object of', '… as what other moments may change is of tolerances');
select matches(pg_temp.problem('{"same_moment": "c"}'), 'same_moment is not an array', '… and is an array');
select matches(pg_temp.problem('{"tolerances": {"c": 1}}'), 'tolerances', 'a tolerance is absolute or relative');
select matches(pg_temp.problem('{"tolerances": {"c": {"absolute": -1}}}'), 'tolerances', '… and not negative');
select matches(pg_temp.problem('{"known_differences": [{"column": "d", "legacy": 1}]}'), 'known_differences', 'a known difference has a reason');
select matches(pg_temp.problem('{"comparable_minutes": "5"}'), 'comparable_minutes', 'minutes are a number');
select matches(pg_temp.problem('{"sample_percent": 101}'), 'sample_percent', 'a percentage ends at 100');
select is((select count(*) from public.data_type_registry_v2 as r where r.shadow_rules <> '{}' and r.data_type <> 'ruled'
             and exists (select 1 from (
               select jsonb_array_elements_text(r.shadow_rules -> 'ignore') as name
               union all select jsonb_array_elements_text(r.shadow_rules -> 'volatile')
               union all select jsonb_array_elements_text(r.shadow_rules -> 'same_moment')
               union all select jsonb_object_keys(r.shadow_rules -> 'tolerances')
               union all select jsonb_array_elements(r.shadow_rules -> 'known_differences') ->> 'column') as named
              where not switchyard.has_column(r.table_name, named.name))), 0::bigint, 'the rules of the registered types name columns that exist');

select * from finish();
rollback;
