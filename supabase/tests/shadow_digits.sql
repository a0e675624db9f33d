-- Numbers that lose digits behind a tolerance: kept, counted, reported, and stopped by the gate.
begin;
select plan(27);

select results_eq(
  $$select switchyard.count_digits(v) from (values (jsonb '232.8'), ('-232.80'), ('233'), ('233000'), ('0.05'), ('1e3'), ('0'), ('"12"'), ('null')) as t (v)$$,
  $$values (4), (4), (3), (3), (1), (1), (null::integer), (null), (null)$$, 'digits are significant ones, of numbers');

create table public.shade (symbol text, place text default 'x', price numeric, volume bigint, told_at bigint, refreshed_at timestamptz, primary key (symbol, place));
insert into public.data_type_registry_v2 (data_type, table_name, symbol_column, timestamp_column, conflict_columns,
    source_timestamp_column, default_ttl_minutes, provider, fetcher, estimated_data_size_bytes, shadow_rules, gate_settings)
values ('shade', 'shade', 'symbol', 'refreshed_at', '{symbol,place}', 'told_at', 60, 'fmp', 'none', 1,
        '{"same_moment": ["volume"], "tolerances": {"price": {"relative": 0.05}, "volume": {"relative": 0.01}}}',
        '{"soak_hours": 0}');
select switchyard.set_stage('shade', 'shadow', 'test');
insert into public.shade select 'S' || n, 'x', 10.25, 1000, 1, clock_timestamp() from generate_series(1, 40) as n;

-- One comparison with a legacy price of 10.25: the verdict, and what is kept of the digits.
create function pg_temp.compare_rows(p_symbol text, p_rows jsonb) returns text language plpgsql as $$
declare
  v_id bigint;
begin
  insert into switchyard.shadow_results (data_type, symbol, fetched_at, settled_at, rows)
  values ('shade', p_symbol, clock_timestamp(), clock_timestamp(), p_rows)
  returning id into v_id;
  perform switchyard.compare_shadow('shade', array[v_id]);
  return (
    select concat_ws(' ', r.verdict, (select string_agg(concat_ws(' ', d.key, d.value ->> 'coarser', d.value ->> 'finer'), ', ' order by d.key)
                                        from jsonb_each(r.digits) as d))
      from switchyard.shadow_results as r where r.id = v_id);
end $$;
create function pg_temp.compare(p_price numeric, p_volume bigint default 1000, p_symbol text default 'S1') returns text language sql as $$
  select pg_temp.compare_rows(p_symbol, jsonb_build_array(
    jsonb_build_object('symbol', p_symbol, 'place', 'x', 'price', p_price, 'volume', p_volume, 'told_at', 1)))
$$;
create function pg_temp.coarser() returns text language sql as $$
  select string_agg(concat_ws(' ', c.column_name, c.coarser, c.finer), ', ') from switchyard.coarser_columns('shade', '-infinity') as c
$$;

select is(pg_temp.compare(10.25), 'match', 'equal numbers say nothing of digits');
select is(pg_temp.compare(10.31), 'match', 'nor do others of as many digits');
select is(pg_temp.compare(10.3), 'match price 1 0', 'fewer digits behind a tolerance are kept');
select is(pg_temp.compare(10.255), 'match price 0 1', '… and so are more');
select is(pg_temp.compare(10.9), 'mismatch', 'what no tolerance excuses is a mismatch');
select is(pg_temp.compare(10.3, 1005), 'inconclusive price 1 0, volume 0 1', 'of another moment they are kept as well');
delete from switchyard.shadow_results;

select is((select count(*) from generate_series(1, 20) as n where pg_temp.compare(10) = 'match price 1 0'), 20::bigint, 'twenty looks at one legacy row match');
select is(pg_temp.coarser(), null, '… and are one vote');
select is((select count(*) from generate_series(2, 9) as n where pg_temp.compare(10, 1000, 'S' || n) = 'match price 1 0'), 8::bigint, 'nine symbols that are rounded match');
select is(pg_temp.coarser(), null, '… and may be chance');
select is(pg_temp.compare(10.3, 1000, 'S10'), 'match price 1 0', 'the tenth matches');
select is(pg_temp.coarser(), 'price 10 0', '… and is one too many');
select results_eq(
  $$select holds, found, wanted, hint, numbers -> 'coarser' from public.migration_gates_v2('shade') where gate = 'match_rate'$$,
  $$values (false, '100.0 % (29 of 29), "price" has fewer digits than in legacy in 10 of 10', '99.5 %, digits lost as often as gained',
            'See select * from shadow_report_v2(''shade''); digits that are lost on purpose: the list coarser in shadow_rules',
            jsonb '{"price": {"coarser": 10, "finer": 0}}')$$, 'the gate does not hold, and says why');
select is(pg_temp.compare(12, 1000, 'S11'), 'mismatch', 'beside them a mismatch');
select results_eq(
  $$select kind, symbol, column_name, legacy_value, queue_value from public.shadow_report_v2('shade', 3)$$,
  $$values ('different', 'S11', 'price', jsonb '10.25', jsonb '12'), ('coarser', 'S10', 'price', '10.25', '10.3'), ('coarser', 'S9', 'price', '10.25', '10')$$,
  'the report has both sides, mismatches first');
select is((select count(*) from generate_series(12, 13) as n where pg_temp.compare(10.255, 1000, 'S' || n) = 'match price 0 1'), 2::bigint, 'with some that have more digits');
select is(pg_temp.coarser(), null, '… it is chance again');
delete from switchyard.shadow_results where digits @? '$.price ? (@.finer > 0)';
update public.data_type_registry_v2 set shadow_rules = shadow_rules || '{"coarser": ["price"]}' where data_type = 'shade';
select is(pg_temp.coarser(), null, 'what shadow_rules lists is meant');
update public.data_type_registry_v2 set shadow_rules = shadow_rules - 'coarser' where data_type = 'shade';
select switchyard.set_stage('shade', 'legacy', 'test');
select isnt_empty($$select from public.shadow_report_v2('shade')$$, 'in legacy the report has all that is kept');
select switchyard.set_stage('shade', 'shadow', 'test');
select is_empty($$select from public.shadow_report_v2('shade')$$, 'in shadow it is of this stay');

-- Many rows of one symbol.
insert into public.shade select 'MANY', 'p' || n, 10.25, 1000, 1, clock_timestamp() from generate_series(1, 30) as n;
create function pg_temp.many(p_price numeric, p_moved integer) returns text language sql as $$
  select pg_temp.compare_rows('MANY', jsonb_agg(jsonb_build_object(
    'symbol', 'MANY', 'place', 'p' || n, 'price', p_price, 'volume', case when n <= p_moved then 1005 else 1000 end, 'told_at', 1)))
    from generate_series(1, 30) as n
$$;
select is(pg_temp.many(10.3, 0), 'match price 30 0', 'each row is counted');
select is((select count(*) from switchyard.coarser_columns('shade', (select stage_entered_at from public.data_type_registry_v2 where data_type = 'shade'))), 0::bigint, '… and all are one vote');
select is(pg_temp.many(10.25, 1), 'match volume 0 1', 'a row of another moment leaves the others their say');
select is(pg_temp.many(10.25, 30), 'inconclusive volume 0 30', '… and when all are, nothing is said');

-- A difference that is known makes no other moment.
update public.shade set volume = null where symbol = 'S20';
update public.data_type_registry_v2 set shadow_rules = shadow_rules || '{"known_differences": [{"column": "volume", "legacy": null, "reason": "legacy leaves it out"}]}'
 where data_type = 'shade';
select is(pg_temp.compare(10.25, 1000, 'S20'), 'match', 'a known difference of a column in same_moment is no other moment');
select ok(switchyard.is_known_difference('{"known_differences": [{"column": "a", "legacy": 1}]}', 'a', '1', '2')
          and not switchyard.is_known_difference('{"known_differences": [{"column": "a", "legacy": 1}]}', 'a', '3', '2'), 'a side that is given has to be as it says');

select * from finish();
rollback;
