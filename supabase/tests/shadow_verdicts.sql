-- Each verdict of the comparison of fetched rows with those of the legacy jobs.
begin;
select plan(63);

create table public.shade (
  symbol text not null, place text not null, price float8, label text, info jsonb,
  made_at timestamptz not null default now(), refreshed_at timestamptz, primary key (symbol, place)
);
create table public.shade_dated (
  symbol text primary key, price float8, told_at bigint, first_name text default 'x', refreshed_at timestamptz
);
insert into public.data_type_registry_v2 (data_type, table_name, symbol_column, timestamp_column, conflict_columns,
    insert_only_columns, source_timestamp_column, default_ttl_minutes, provider, fetcher, estimated_data_size_bytes)
values ('shade', 'shade', 'symbol', 'refreshed_at', '{symbol,place}', '{}', null, 60, 'fmp', 'none', 1),
       ('shade-dated', 'shade_dated', 'symbol', 'refreshed_at', '{symbol}', '{first_name}', 'told_at', 60, 'fmp', 'none', 1);
update public.data_type_registry_v2 set shadow_rules = '{"comparable_minutes": 10, "source_lag_seconds": 60, "volatile": ["label"]}'
 where data_type like 'shade%';
select switchyard.set_stage('shade', 'shadow', 'test');
select switchyard.set_stage('shade-dated', 'shadow', 'test');
select set_config('switchyard.moves_stage', 'shade', true);
update public.data_type_registry_v2 set stage_entered_at = clock_timestamp() - interval '1 hour' where data_type = 'shade';
select set_config('switchyard.moves_stage', '', true);

-- Fetched a minute ago; the verdict and the kinds of the differences.
create function pg_temp.compare(p_type text, p_symbol text, p_rows jsonb, p_is_part boolean default false) returns text language plpgsql as $$
declare
  v_id bigint;
begin
  insert into switchyard.shadow_results (data_type, symbol, fetched_at, settled_at, rows, is_part)
  values (p_type, p_symbol, clock_timestamp() - interval '60 seconds', clock_timestamp() - interval '59 seconds', p_rows, p_is_part)
  returning id into v_id;
  perform switchyard.compare_shadow(p_type, array[v_id]);
  return pg_temp.verdict(v_id);
end $$;
create function pg_temp.verdict(p_id bigint) returns text language sql as $$
  select concat_ws(' ', r.verdict, (
           select string_agg(distinct d ->> 'kind', '+') from jsonb_array_elements(r.differences) as d where (d -> 'decides')::boolean or r.verdict = 'waiting'))
    from switchyard.shadow_results as r where r.id = p_id
$$;
create function pg_temp.again() returns text language plpgsql as $$
declare
  v_id bigint := (select max(id) from switchyard.shadow_results);
begin
  perform switchyard.relook_at_shadow((select data_type from switchyard.shadow_results where id = v_id));
  return pg_temp.verdict(v_id);
end $$;
create function pg_temp.legacy(p_symbol text, p_place text, p_price float8, p_ago interval, p_label text default 'a') returns void language sql as $$
  insert into public.shade (symbol, place, price, label, info, refreshed_at) values (p_symbol, p_place, p_price, p_label, '{"a": 1, "b": 2}', clock_timestamp() - p_ago)
      on conflict (symbol, place) do update set price = excluded.price, label = excluded.label, refreshed_at = excluded.refreshed_at
$$;

-- Without a source time.
select pg_temp.legacy('A', '1', 10, '5 hours');
select is(pg_temp.compare('shade', 'A', '[{"symbol": "A", "place": "1", "price": 10, "label": "a", "info": {"b": 2, "a": 1}}]'),
  'match', 'equal rows match, however old the legacy one is');
select is((select columns_compared || ' ' || rows_compared from switchyard.shadow_results where symbol = 'A'), '3 1', '… with the columns that were compared');
select is((select rows from switchyard.shadow_results where symbol = 'A'), null, '… and the rows are dropped');
select is(pg_temp.compare('shade', 'A', '[{"symbol": "A", "place": "1", "price": "10.0", "label": "a", "info": {"a": 1, "b": 2}}]'),
  'match', 'values are compared as the table would hold them');
select is(pg_temp.compare('shade', 'A', '[{"symbol": "A", "place": "1", "price": 11, "label": "a", "info": null}]'),
  'waiting different', 'what differs from a row that legacy refreshed long ago waits');
select is(pg_temp.again(), 'waiting different', '… while legacy does not refresh it');
select pg_temp.legacy('A', '1', 10, '0 seconds');
select is(pg_temp.again(), 'mismatch different', 'legacy said the same before and after: a mismatch');
select pg_temp.legacy('B', '1', 10, '5 hours');
select pg_temp.compare('shade', 'B', '[{"symbol": "B", "place": "1", "price": 11, "label": "a", "info": {"a": 1, "b": 2}}]');
select pg_temp.legacy('B', '1', 11, '0 seconds');
select is(pg_temp.again(), 'match', 'legacy caught up: a match');
select pg_temp.legacy('C', '1', 10, '5 hours');
update public.data_type_registry_v2 set shadow_rules = shadow_rules || '{"comparable_minutes": 0}' where data_type = 'shade';
select pg_temp.compare('shade', 'C', '[{"symbol": "C", "place": "1", "price": 11, "label": "a", "info": {"a": 1, "b": 2}}]');
select pg_temp.legacy('C', '1', 12, '0 seconds');
select is(pg_temp.again(), 'inconclusive', 'legacy had one value before and another after: nothing can be said');
update public.data_type_registry_v2 set shadow_rules = shadow_rules || '{"comparable_minutes": 10}' where data_type = 'shade';
select pg_temp.legacy('D', '1', 10, '5 minutes');
select is(pg_temp.compare('shade', 'D', '[{"symbol": "D", "place": "1", "price": 11, "label": "a", "info": {"a": 1, "b": 2}}]'),
  'mismatch different', 'what differs from a row that legacy has just refreshed is a mismatch at once');
select results_eq($$select symbol, row_key, column_name, kind, legacy_value, queue_value from public.shadow_report_v2('shade', 1)$$,
  $$values ('D', '{"symbol": "D", "place": "1"}'::jsonb, 'price', 'different', '10'::jsonb, '11'::jsonb)$$, 'the report shows both values');
select is(pg_temp.compare('shade', 'D', '[{"symbol": "D", "place": "1", "price": 10, "label": "a", "info": {"a": 1, "b": 3}}]'), 'mismatch different', 'objects are compared');
select results_eq($$select legacy_value, queue_value from public.shadow_report_v2('shade', 1)$$,
  $$values ('{"b": 2}'::jsonb, '{"b": 3}'::jsonb)$$, '… and the report shows the keys that differ');
select is(pg_temp.compare('shade', 'D', '[{"symbol": "D", "place": "1", "label": "a", "info": {"a": 1, "b": 2}}]'),
  'mismatch dropped', 'a column that fetched rows lack, and legacy has, is a mismatch');
select is(pg_temp.compare('shade', 'A', '[{"symbol": "A", "place": "1", "label": "a", "info": {"a": 1, "b": 2}}]'),
  'mismatch dropped', '… whenever legacy wrote it');
select is(pg_temp.compare('shade', 'D', '[{"symbol": "D", "place": "1", "price": "ten", "label": "a"}]'),
  'mismatch refused', 'a value that the table would not take is a mismatch');

-- Rows.
select is(pg_temp.compare('shade', 'D', '[{"symbol": "D", "place": "1", "price": 10, "label": "a", "info": {"a": 1, "b": 2}}, {"symbol": "D", "place": "2", "price": 1, "label": "a", "info": null}]'),
  'mismatch extra', 'a row that legacy, just refreshed, does not have is a mismatch');
select is(pg_temp.compare('shade', 'D', '[{"symbol": "D", "place": "1", "price": 10, "label": "a", "info": {"a": 1, "b": 2}}, {"symbol": "D", "place": "2", "price": 1, "label": "a", "info": null}]', true),
  'match', '… but not in a part of the rows');
select pg_temp.legacy('D', '3', 10, '5 minutes');
select is(pg_temp.compare('shade', 'D', '[{"symbol": "D", "place": "1", "price": 10, "label": "a", "info": {"a": 1, "b": 2}}]'),
  'mismatch missing', 'a row that was not fetched, though legacy has just refreshed it, is a mismatch');
select is(pg_temp.compare('shade', 'D', '[{"symbol": "D", "place": "1", "price": 10, "label": "a", "info": {"a": 1, "b": 2}}]', true),
  'match', '… but not in a part of the rows');
select pg_temp.legacy('D', '3', 10, '2 days');
select is(pg_temp.compare('shade', 'D', '[{"symbol": "D", "place": "1", "price": 10, "label": "a", "info": {"a": 1, "b": 2}}]'),
  'match', 'a row that the vendor sends no more is not missed');
select is(pg_temp.compare('shade', 'D', '[]'), 'mismatch missing', 'nothing fetched where legacy has rows is a mismatch');
select is(pg_temp.compare('shade', 'NONE', '[]'), 'inconclusive', 'nothing on either side says nothing');
select is(pg_temp.compare('shade', 'NEW', '[{"symbol": "NEW", "place": "1", "price": 1}]'), 'waiting extra', 'rows of a symbol that legacy has never had wait');
select pg_temp.legacy('NEW', '1', 1, '0 seconds', null);
update public.shade set info = null where symbol = 'NEW';
select is(pg_temp.again(), 'match', '… until it has');
select pg_temp.legacy('E', '1', 1, '5 hours');
select pg_temp.legacy('E', '2', 1, '5 hours');
select is(pg_temp.compare('shade', 'E', '[{"symbol": "E", "place": "1", "price": 1, "label": "a", "info": {"a": 1, "b": 2}}]'), 'waiting missing', 'a row of the last legacy refresh that was not fetched waits');
select pg_temp.legacy('E', '1', 1, '0 seconds');
select pg_temp.legacy('E', '2', 1, '0 seconds');
select is(pg_temp.again(), 'mismatch missing', '… and is a mismatch when legacy has it again');

-- A column that moves by itself.
select pg_temp.legacy('F', '1', 1, '5 minutes', 'open');
select is(pg_temp.compare('shade', 'F', '[{"symbol": "F", "place": "1", "price": 1, "label": "closed", "info": {"a": 1, "b": 2}}]'), 'waiting different', 'a volatile column never decides at the first look');
select pg_temp.legacy('F', '1', 1, '0 seconds', 'closed');
select is(pg_temp.again(), 'match', '… and agrees with what legacy has afterwards');
select pg_temp.legacy('F', '1', 1, '5 minutes', 'open');
select pg_temp.compare('shade', 'F', '[{"symbol": "F", "place": "1", "price": 1, "label": "closed", "info": {"a": 1, "b": 2}}]');
select pg_temp.legacy('F', '1', 1, '0 seconds', 'open');
select is(pg_temp.again(), 'mismatch different', '… or is a mismatch when legacy has another value before and after');
select pg_temp.legacy('F', '1', 1, '5 minutes', '10-19');
select pg_temp.compare('shade', 'F', '[{"symbol": "F", "place": "1", "price": 1, "label": "10-20", "info": {"a": 1, "b": 2}}]');
select pg_temp.legacy('F', '1', 1, '0 seconds', '10-21');
select is(pg_temp.again(), 'inconclusive', '… but says nothing when the numbers in it may have been on their way');
update public.data_type_registry_v2 set shadow_rules = shadow_rules || '{"volatile": ["label", "price"]}' where data_type = 'shade';
create function pg_temp.moves(p_before float8, p_queue float8, p_after float8) returns text language plpgsql as $$
begin
  perform pg_temp.legacy('F', '1', p_before, '5 minutes');
  perform pg_temp.compare('shade', 'F', jsonb_build_array(jsonb_build_object(
    'symbol', 'F', 'place', '1', 'price', p_queue, 'label', 'a', 'info', jsonb '{"a": 1, "b": 2}')));
  perform pg_temp.legacy('F', '1', p_after, '0 seconds');
  return pg_temp.again();
end
$$;
select is(pg_temp.moves(100, 105, 110), 'inconclusive', 'a number that moves may lie between what legacy has before and after');
select is(pg_temp.moves(100, 111, 110), 'mismatch different', '… but not outside of the two');
select is(pg_temp.moves(100, 105, 100), 'mismatch different', '… nor elsewhere while legacy stands');
create function pg_temp.passed(p_before text, p_value text, p_after text) returns boolean language sql as $$
  select switchyard.may_have_passed(p_before::jsonb, p_value::jsonb, p_after::jsonb)
$$;
select is(
  (select array_agg(concat_ws(' ', t.b, t.v, t.a)) from (values
     ('1', '2', '3', true), ('3', '2.5', '1', true), ('-2', '-1.5', '1e1', true), ('1', '4', '3', false), ('1', '0', '3', false),
     ('1', 'null', '3', false), ('null', '2', '3', false), (null, '2', '3', false), ('1', '"2"', '3', false), ('"1"', '2', '"3"', false),
     ('"10-19"', '"10-20"', '"10-21"', true), ('"202.71-257.3"', '"202.7-257.42"', '"202.5-257.5"', true),
     ('"10-19"', '"0-0"', '"10-21"', false), ('"10-19"', '"10-22"', '"10-21"', false), ('"10-19"', '"10"', '"10-21"', false),
     ('"10-19"', '"10 to 20"', '"10-21"', false), ('"open"', '"shut"', '"closed"', false), ('"open"', 'null', '"closed"', false),
     ('true', 'null', 'false', false), ('[1]', '[2]', '[3]', false), ('{"a": 1}', '{"a": 2}', '{"a": 3}', false), ('"a1"', '"a2"', '"b3"', false)
   ) as t (b, v, a, wanted)
   where pg_temp.passed(t.b, t.v, t.a) is distinct from t.wanted), null,
  'what may have been on its way is told from two looks: numbers between, and texts with numbers between');
select is(pg_temp.moves(100, null, 110), 'mismatch different', 'a value that is lost is no value on its way');
update public.data_type_registry_v2 set shadow_rules = shadow_rules || '{"volatile": ["label"]}' where data_type = 'shade';

-- With a source time.
create function pg_temp.dated(p_symbol text, p_price float8, p_told_at bigint, p_ago interval) returns void language sql as $$
  insert into public.shade_dated (symbol, price, told_at, refreshed_at) values (p_symbol, p_price, p_told_at, clock_timestamp() - p_ago)
      on conflict (symbol) do update set price = excluded.price, told_at = excluded.told_at, refreshed_at = excluded.refreshed_at
$$;
select pg_temp.dated('G', 10, 1000, '5 hours');
select is(pg_temp.compare('shade-dated', 'G', '[{"symbol": "G", "price": 10, "told_at": 1000}]'), 'match', 'equal source times and equal values match; columns with a default may be left out');
select is(pg_temp.compare('shade-dated', 'G', '[{"symbol": "G", "price": 10.5, "told_at": 1000}]'), 'mismatch different', 'equal source times and other values are a mismatch, however old the row');
select is(pg_temp.compare('shade-dated', 'G', '[{"symbol": "G", "price": 10, "told_at": 1000, "first_name": "y"}]'), 'match', 'columns that are only set once are not compared');
select is(pg_temp.compare('shade-dated', 'G', '[{"symbol": "G", "price": 12, "told_at": 1010}]'), 'waiting newer', 'a newer source time is no mismatch');
select pg_temp.dated('G', 13, 1010, '0 seconds');
select is(pg_temp.again(), 'mismatch different', '… and is compared when legacy has come as far');
select is(pg_temp.compare('shade-dated', 'G', '[{"symbol": "G", "price": 1, "told_at": 900}]'), 'inconclusive', 'an older one is none either when legacy refreshed after the fetch');
select pg_temp.dated('G', 13, 1010, '5 minutes');
select is(pg_temp.compare('shade-dated', 'G', '[{"symbol": "G", "price": 1, "told_at": 951}]'), 'inconclusive', '… or by no more than source_lag_seconds');
select is(pg_temp.compare('shade-dated', 'G', '[{"symbol": "G", "price": 13, "told_at": 900}]'), 'mismatch older', '… but beyond that data older than legacy''s, though fetched later, is a mismatch');
select is(pg_temp.compare('shade-dated', 'G', '[{"symbol": "G", "price": 13, "told_at": 900}, {"symbol": "G", "price": 13, "told_at": 1010}]'), 'match', 'of two rows of one key the newer one counts');
alter table public.shade_dated add column volume bigint;
update public.data_type_registry_v2 set shadow_rules = shadow_rules || '{"same_moment": ["volume"], "tolerances": {"volume": {"relative": 0.01}}}'
 where data_type = 'shade-dated';
update public.shade_dated set volume = 1000 where symbol = 'G';
select is(pg_temp.compare('shade-dated', 'G', '[{"symbol": "G", "price": 13, "told_at": 1010, "volume": 1005}]'), 'inconclusive', 'of one source time, same_moment columns may differ a little, and what agrees then says no more than what does not');
select is(pg_temp.compare('shade-dated', 'G', '[{"symbol": "G", "price": 13.1, "told_at": 1010, "volume": 1005}]'), 'inconclusive', '… and what else differs a little then is of another moment');
select is((select reason from switchyard.shadow_results where data_type = 'shade-dated' order by id desc limit 1), 'of another moment than the legacy row', '… which is told');
select is(pg_temp.compare('shade-dated', 'G', '[{"symbol": "G", "price": 130, "told_at": 1010, "volume": 1005}]'), 'mismatch different', '… ten times the price is not');
select is(pg_temp.compare('shade-dated', 'G', '[{"symbol": "G", "price": 13.6, "told_at": 1010, "volume": 1005}]'), 'inconclusive', '… five percent are');
update public.data_type_registry_v2 set shadow_rules = shadow_rules || '{"other_moment": {"price": {"absolute": 0.5}}}' where data_type = 'shade-dated';
select is(pg_temp.compare('shade-dated', 'G', '[{"symbol": "G", "price": 13.6, "told_at": 1010, "volume": 1005}]'), 'mismatch different', '… unless other_moment says less');
select is(pg_temp.compare('shade-dated', 'G', '[{"symbol": "G", "price": null, "told_at": 1010, "volume": 1005}]'), 'mismatch different', '… and what is no number does not move');
select is(pg_temp.compare('shade-dated', 'G', '[{"symbol": "G", "price": 13.1, "told_at": 1010, "volume": 1000}]'), 'mismatch different', '… but not when they are equal');
select is(pg_temp.compare('shade-dated', 'G', '[{"symbol": "G", "price": 13, "told_at": 1010, "volume": 1020}]'), 'mismatch different', '… and when they differ by more it is a mismatch');
-- A key without the symbol.
create table public.shade_shared (place text primary key, symbol text not null, price float8, refreshed_at timestamptz);
insert into public.data_type_registry_v2 (data_type, table_name, symbol_column, timestamp_column, conflict_columns,
    insert_only_columns, default_ttl_minutes, provider, fetcher, estimated_data_size_bytes)
values ('shade-shared', 'shade_shared', 'symbol', 'refreshed_at', '{place}', '{symbol}', 60, 'fmp', 'none', 1);
select switchyard.set_stage('shade-shared', 'shadow', 'test');
insert into public.shade_shared values ('1', 'H', 10, now()), ('2', 'I', 20, now());
select is(pg_temp.compare('shade-shared', 'H', '[{"place": "1", "symbol": "H", "price": 10}, {"place": "2", "symbol": "H", "price": 21}]'), 'match',
  'a row that legacy had from another symbol last is not compared');
select is(pg_temp.compare('shade-shared', 'I', '[{"place": "1", "symbol": "I", "price": 10}, {"place": "2", "symbol": "I", "price": 21}]'), 'mismatch different',
  '… and its own is');
select results_eq($$select matches, mismatches, inconclusive, waiting from switchyard.shadow_tally('shade-dated', now() - interval '1 hour')$$,
  $$values (3::bigint, 8::bigint, 5::bigint, 0::bigint)$$, 'the tally counts the verdicts');
select ok(switchyard.is_within('{"relative": 0.05}', '100', '95') and not switchyard.is_within('{"relative": 0.05}', '100', '94.9'), 'a relative tolerance is a share of the larger number');
select ok(switchyard.is_within('{"relative": 2}', '-0.01', '0.02'), '… of two, all numbers are within it');
select ok(not switchyard.is_within('{"absolute": 1}', '"a"', '"b"') and not switchyard.is_within('{"absolute": 1}', '1', 'null'), 'other values never are');
select ok(not switchyard.is_within(null, '1', '2'), '… nor without a tolerance');
select throws_ok($$select public.shadow_report_v2('nonsense')$$, 'SY008', null, 'a report on an unknown data type is refused');
select throws_ok($$select public.shadow_report_v2('shade', -1)$$, 'SY016',
  'Cannot report on data type "shade": limit is -1, wanted 1 or more', '… and one of less than nothing');

select * from finish();
rollback;
