begin;
select plan(42);

create function pg_temp.register(p_data_type text, p_changes jsonb default '{}')
returns void
language sql
as $$
  insert into public.data_type_registry_v2
  select (jsonb_populate_record(
    (select r from public.data_type_registry_v2 as r where r.data_type = 'quote'),
    jsonb_build_object('data_type', p_data_type, 'legacy_cron_jobs', '[]'::jsonb) || p_changes)).*
$$;

select is_empty($$select * from public.registry_problems_v2$$, 'the shipped registry has no problem');
select results_eq(
  $$select data_type, depends_on from public.data_type_registry_v2 where stage = 'legacy' order by data_type collate "C"$$,
  $$values ('available-exchanges', null), ('dividend-history', 'profile'), ('exchange-market-status', null),
           ('exchange-rates', null), ('exchange-variants', 'profile'), ('financial-statements', 'profile'),
           ('grades-historical', 'profile'), ('profile', null), ('quote', null), ('ratios-ttm', 'profile'),
           ('revenue-segmentation', 'profile'), ('shares-float', null), ('shares-float-all', null)$$,
  'the data types of the legacy system are registered, all in stage legacy');

select lives_ok($$select pg_temp.register('copy')$$, 'a well-formed row is accepted');
select throws_ok($$select pg_temp.register('bad', '{"table_name": "x; drop table profiles"}')$$, 'SY005',
  'Cannot register data type "bad": table_name "x; drop table profiles" is not a plain identifier',
  'a table name that is no identifier is refused');
select throws_ok($$select pg_temp.register('bad', '{"conflict_columns": ["symbol", "Date"]}')$$, 'SY005', null,
  'so is a conflict column');
select throws_ok($$select pg_temp.register('bad', '{"conflict_columns": []}')$$, 'SY005', null,
  'and an empty key');
select throws_ok($$select pg_temp.register('bad', '{"default_ttl_minutes": 0}')$$, '23514', null,
  'a TTL of zero is refused');
select throws_ok($$select pg_temp.register('bad', '{"default_ttl_minutes": null}')$$, '23502', null,
  'a null TTL is refused');
select throws_ok($$select pg_temp.register('bad', '{"refresh_strategy": "sometimes"}')$$, '23514', null,
  'an unknown strategy is refused');
select throws_ok($$select pg_temp.register('bad', '{"stage": "halfway"}')$$, 'SY023',
  'Cannot register data type "bad" in stage "halfway": a data type begins in legacy', 'a data type begins in legacy');
select throws_ok($$select pg_temp.register('bad', '{"staleness_function": "no_such_function"}')$$, 'SY005',
  'Cannot register data type "bad": staleness_function "no_such_function" is not callable as (timestamptz, integer) → boolean',
  'a staleness function that does not exist is refused');
create function public.wrong_result(timestamptz, integer) returns integer language sql as 'select 1';
select throws_ok($$select pg_temp.register('bad', '{"staleness_function": "wrong_result"}')$$, 'SY005', null,
  'so is one that does not return a boolean');
select throws_ok($$select pg_temp.register('bad', '{"condition_function": "no_such_function"}')$$, 'SY005', null,
  'a condition function must be callable as (text)');
create function public.always_open(p_symbol text) returns boolean language sql as 'select true';
select lives_ok($$select pg_temp.register('conditional', '{"condition_function": "always_open"}')$$,
  'a callable condition function is accepted');
create function public.always_open(p_symbols text[]) returns text[] language sql as 'select p_symbols';
select throws_ok($$select pg_temp.register('bad', '{"condition_function": "always_open"}')$$, 'SY005',
  'Cannot register data type "bad": condition_function "always_open" with text[] returns something else than setof text',
  'one whose form for sets returns no set is not');
drop function public.always_open(text[]);
select throws_ok($$select pg_temp.register('bad', '{"provider": "nobody"}')$$, '23503', null,
  'an unknown provider is refused');
select throws_ok($$select pg_temp.register('bad', '{"fetcher": "edge-function", "edge_function_name": null}')$$,
  '23514', null, 'an edge-function fetcher must name its function');

select pg_temp.register('ghost', '{"table_name": "no_such_table"}');
select pg_temp.register('torn', '{"timestamp_column": "symbol", "conflict_columns": ["exchange"], "symbol_column": "ticker"}');
select results_eq(
  $$select problem from public.registry_problems_v2 where data_type in ('ghost', 'torn') order by data_type, problem$$,
  $$values
    ('Table public.no_such_table does not exist'),
    ('Column "symbol" (timestamp_column) of public.live_quote_indicators is not a timestamptz'),
    ('Column "ticker" (symbol_column) is not in public.live_quote_indicators'),
    ('public.live_quote_indicators has no unique index on exactly (exchange)')$$,
  'what cannot be refused is listed with a sentence each');
select pg_temp.register('ruled', '{"shadow_rules": {"ignore": ["symbol", "igno"], "volatile": ["vola"], "coarser": ["coar"], "tolerances": {"tole": {"absolute": 1}},
  "known_differences": [{"column": "known", "legacy": 1, "queue": 2, "reason": "test"}]}}');
select results_eq(
  $$select problem from public.registry_problems_v2 where data_type = 'ruled' order by problem$$,
  $$select format('Column "%s" (shadow_rules) is not in public.live_quote_indicators', name)
      from unnest(array['coar', 'igno', 'known', 'tole', 'vola']) as name$$,
  'so are columns of shadow_rules that the table lacks');

select throws_ok($$update public.data_type_registry_v2 set depends_on = 'financial-statements' where data_type = 'profile'$$,
  'SY005', 'Cannot change data type "profile": depends_on "financial-statements" leads back to it',
  'types cannot depend on each other in a circle');

select throws_ok($$select pg_temp.register('world', '{"symbol_column": null, "depends_on": "profile"}')$$, 'SY005',
  'Cannot register data type "world": "world" depends on "profile", but only one of them has a symbol_column',
  'a global type cannot depend on one with symbols');
select pg_temp.register('world', '{"symbol_column": null}');
select throws_ok($$select pg_temp.register('child', '{"depends_on": "world"}')$$, 'SY005', null, 'nor the reverse');
select throws_ok($$update public.data_type_registry_v2 set depends_on = 'profile' where data_type = 'world'$$, 'SY005', null,
  'a type cannot come to depend on one that does not agree');
select throws_ok($$update public.data_type_registry_v2 set symbol_column = null where data_type = 'financial-statements'$$,
  'SY005', null, 'a child cannot turn global alone');
select throws_ok($$update public.data_type_registry_v2 set symbol_column = null where data_type = 'profile'$$, 'SY005',
  'Cannot change data type "profile": "dividend-history" depends on "profile", but only one of them has a symbol_column',
  'nor can its parent');
select throws_ok(
  $$insert into public.data_type_registry_v2
    select (jsonb_populate_record(r, v.changes)).*
      from public.data_type_registry_v2 as r
     cross join (values
       (1, '{"data_type": "early-child", "depends_on": "late-parent"}'::jsonb),
       (2, '{"data_type": "late-parent", "symbol_column": null}')) as v (place, changes)
     where r.data_type = 'quote'
     order by v.place$$, 'SY005',
  'Cannot register data type "late-parent": "early-child" depends on "late-parent", but only one of them has a symbol_column',
  'a child that is registered before its parent in one statement is no way around');
select lives_ok($$select pg_temp.register('world-child', '{"symbol_column": null, "depends_on": "world"}')$$,
  'global types may depend on each other');
select throws_ok($$update public.data_type_registry_v2 set symbol_column = 'symbol' where data_type = 'world'$$, 'SY005', null,
  'the parent of a global type stays global');
update public.data_type_registry_v2 set depends_on = null where data_type = 'world-child';
update public.data_type_registry_v2 set symbol_column = 'symbol' where data_type in ('world', 'world-child');
select lives_ok($$update public.data_type_registry_v2 set depends_on = 'world' where data_type = 'world-child'$$,
  'both may change while neither depends on the other');

update public.api_providers_v2 set calls_per_minute = 2 where provider = 'fmp';
select results_eq($$select problem from public.registry_problems_v2 where data_type = 'financial-statements'$$,
  $$values ('One group of calls (api_calls_per_batch = 3) is more than provider "fmp" allows in a minute')$$,
  'calls that never fit the limit are a problem');
update public.api_providers_v2 set calls_per_minute = null, bytes_per_30_days = null where provider = 'fmp';
select is(
  (select count(*) from public.registry_problems_v2 where data_type = 'quote'), 2::bigint,
  'unknown limits are problems');
select is(switchyard.has_column('profiles', 'symbol') and not switchyard.has_column('profiles', 'nope'), true,
  'has_column tells present from absent');

update public.api_providers_v2 set calls_per_minute = 300, bytes_per_30_days = 20000000000 where provider = 'fmp';

create table public.other_symbols (symbol text primary key);
insert into public.other_symbols values ('ZZ-1');
update switchyard.settings set value = '"other_symbols"' where name = 'known_symbols_table';
update switchyard.settings set value = 'null' where name = 'known_symbols_active_column';
delete from public.ratios_ttm;
select is_empty($$select problem from public.registry_problems_v2 where data_type = 'ratios-ttm' and problem like '%known_symbols%'$$,
  'of an empty table nobody can say that its symbols are others');
insert into public.profiles (symbol) values ('ZY-1') on conflict do nothing;
select is(switchyard.lists_symbols('profiles', 'symbol'), false, 'a list without any symbol of the table is another list');
select results_eq($$select problem from public.registry_problems_v2 where data_type = 'profile' and problem like '%known_symbols_table%'$$,
  $$values ('The symbols of public.profiles are not in public.other_symbols, which known_symbols_table names, so nothing of it would be refreshed')$$,
  'which is a problem of the type');
insert into public.other_symbols values ('ZY-1');
select is(switchyard.lists_symbols('profiles', 'symbol'), true, 'one symbol in common is enough');
select is_empty($$select problem from public.registry_problems_v2 where data_type = 'profile' and problem like '%known_symbols%'$$,
  '… and no problem');
update switchyard.settings set value = '"is_active"' where name = 'known_symbols_active_column';
select results_eq($$select problem from public.registry_problems_v2 where data_type = 'profile' and problem like '%known_symbols%'$$,
  $$values ('Column "is_active" (known_symbols_active_column) is not in the table of known symbols, public.other_symbols')$$,
  'nor may its active column be missing');
drop table public.other_symbols;
select results_eq($$select problem from public.registry_problems_v2 where data_type = 'profile' and problem like '%known_symbols%'$$,
  $$values ('public.other_symbols, which known_symbols_table names, does not exist')$$, 'nor the table');
select is_empty($$select problem from public.registry_problems_v2 where data_type = 'available-exchanges' and problem like '%known_symbols%'$$,
  'a type without symbols has no need of a list');
update switchyard.settings set value = '"supported_symbols"' where name = 'known_symbols_table';

insert into switchyard.refresh_state (symbol, data_type, last_checked_at) values ('X', 'copy', now());
select lives_ok($$delete from public.data_type_registry_v2 where data_type = 'copy'$$, 'a data type without live jobs can be removed');
select is_empty($$select * from switchyard.refresh_state where data_type = 'copy'$$, '… and its refresh state goes with it');

select * from finish();
rollback;
