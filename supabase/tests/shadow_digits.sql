-- Numbers that lose digits behind a tolerance: noted, counted, reported, and stopped by the gate.
begin;
select plan(18);

select results_eq(
  $$select switchyard.count_digits(v) from (values (jsonb '232.8'), ('-232.80'), ('233'), ('233000'), ('0.05'), ('1e3'), ('0'), ('"12"'), ('null')) as t (v)$$,
  $$values (4), (4), (3), (3), (1), (1), (0), (null::integer), (null)$$, 'digits are significant ones, of numbers');

create table public.shade (symbol text primary key, price numeric, volume bigint, told_at bigint, refreshed_at timestamptz);
insert into public.data_type_registry_v2 (data_type, table_name, symbol_column, timestamp_column, conflict_columns,
    source_timestamp_column, default_ttl_minutes, provider, fetcher, estimated_data_size_bytes, shadow_rules, gate_settings)
values ('shade', 'shade', 'symbol', 'refreshed_at', '{symbol}', 'told_at', 60, 'fmp', 'none', 1,
        '{"same_moment": ["volume"], "tolerances": {"price": {"relative": 0.05}, "volume": {"relative": 0.01}}}',
        '{"soak_hours": 0}');
select switchyard.set_stage('shade', 'shadow', 'test');

-- One comparison with a legacy price of 10.25: the verdict, and what is noted of the digits.
create function pg_temp.compare(p_price numeric, p_volume bigint default 1000) returns text language plpgsql as $$
declare
  v_id bigint;
begin
  insert into switchyard.shadow_results (data_type, symbol, fetched_at, settled_at, rows)
  values ('shade', 'A', clock_timestamp(), clock_timestamp(),
          jsonb_build_array(jsonb_build_object('symbol', 'A', 'price', p_price, 'volume', p_volume, 'told_at', 1)))
  returning id into v_id;
  perform switchyard.compare_shadow('shade', array[v_id]);
  return (
    select concat_ws(' ', r.verdict, (select string_agg(d.item ->> 'column' || ' ' || (d.item ->> 'kind'), ', ' order by d.place)
                                        from jsonb_array_elements(r.differences) with ordinality as d (item, place)))
      from switchyard.shadow_results as r where r.id = v_id);
end $$;
create function pg_temp.coarser() returns text language sql as $$
  select string_agg(concat_ws(' ', c.column_name, c.coarser, c.finer), ', ') from switchyard.coarser_columns('shade', '-infinity') as c
$$;
insert into public.shade values ('A', 10.25, 1000, 1, clock_timestamp());

select is(pg_temp.compare(10.25), 'match', 'equal numbers leave no note');
select is(pg_temp.compare(10.31), 'match', 'nor do others of as many digits');
select is(pg_temp.compare(10.3), 'match price coarser', 'fewer digits behind a tolerance are noted');
select is(pg_temp.compare(10.255), 'match price finer', '… and so are more');
select is(pg_temp.compare(10.9), 'mismatch price different', 'what no tolerance excuses is a mismatch');
select is(pg_temp.compare(10.3, 1005), 'inconclusive price coarser, volume finer', 'of another moment they are noted as well');
delete from switchyard.shadow_results;

select is((select count(*) from generate_series(1, 9) as n where pg_temp.compare(10) = 'match price coarser'), 9::bigint, 'nine that are rounded match');
select is(pg_temp.coarser(), null, '… and may be chance');
select is(pg_temp.compare(10.3), 'match price coarser', 'the tenth matches');
select is(pg_temp.coarser(), 'price 10 0', '… and is one too many');
select results_eq(
  $$select holds, found, wanted, numbers -> 'coarser' from public.migration_gates_v2('shade') where gate = 'match_rate'$$,
  $$values (false, '100.0 % (10 of 10), "price" has fewer digits than in legacy in 10 of 10', '99.5 %, digits lost as often as gained',
            jsonb '{"price": {"coarser": 10, "finer": 0}}')$$, 'the gate does not hold, and says why');
select results_eq(
  $$select kind, column_name, legacy_value, queue_value, count(*) from public.shadow_report_v2('shade') group by 1, 2, 3, 4 order by 4$$,
  $$values ('coarser', 'price', jsonb '10.25', jsonb '10', 9::bigint), ('coarser', 'price', '10.25', '10.3', 1)$$, 'the report has both sides');
select is((select count(*) from generate_series(1, 2) as n where pg_temp.compare(10.255) = 'match price finer'), 2::bigint, 'with some that have more digits');
select is(pg_temp.coarser(), null, '… it is chance again');
delete from switchyard.shadow_results where differences @> '[{"kind": "finer"}]';
update public.data_type_registry_v2 set shadow_rules = shadow_rules || '{"known_differences": [{"column": "price", "legacy": 0, "reason": "whole numbers are meant"}]}'
 where data_type = 'shade';
select is(pg_temp.coarser(), null, 'what known_differences has is meant');
update public.data_type_registry_v2 set shadow_rules = shadow_rules - 'known_differences' where data_type = 'shade';
select switchyard.set_stage('shade', 'legacy', 'test');
select isnt_empty($$select from public.shadow_report_v2('shade')$$, 'in legacy the report has all that is kept');
select switchyard.set_stage('shade', 'shadow', 'test');
select is_empty($$select from public.shadow_report_v2('shade')$$, 'the report is of this stay in shadow');

select * from finish();
rollback;
