-- Flags that are on for a share of keys: sticky, growing without losing one.
begin;
select plan(21);

insert into public.feature_flags (flag_name) values ('use_new_cards');
create function pg_temp.share() returns bigint language sql as $$
  select count(*) from generate_series(1, 1000) as n where public.is_feature_enabled_for('use_new_cards', 'K' || n)
$$;
create function pg_temp.set_metadata(p_metadata jsonb) returns void language sql as $$
  update public.feature_flags set metadata = p_metadata where flag_name = 'use_new_cards'
$$;

select is(pg_temp.share(), 0::bigint, 'a flag that is off is on for no key');
update public.feature_flags set enabled = true where flag_name = 'use_new_cards';
select is(pg_temp.share(), 1000::bigint, 'one that is on is on for every key');
select pg_temp.set_metadata('{"percentage": 0}');
select is(pg_temp.share(), 0::bigint, 'no percent is none');
select pg_temp.set_metadata('{"percentage": 20}');
select ok(pg_temp.share() between 140 and 260, 'a fifth is about a fifth');
create temp table fifth as
  select 'K' || n as key from generate_series(1, 1000) as n where public.is_feature_enabled_for('use_new_cards', 'K' || n);
select pg_temp.set_metadata('{"percentage": 50}');
select is_empty($$select key from fifth where not public.is_feature_enabled_for('use_new_cards', key)$$,
  'a growing share loses no key');
select pg_temp.set_metadata('{"percentage": 20}');
select results_eq(
  $$select n from generate_series(1, 1000) as n where public.is_feature_enabled_for('use_new_cards', 'K' || n)$$,
  $$select substr(key, 2)::integer from fifth$$, '… and shrinks to the same keys');
select pg_temp.set_metadata('{"percentage": 0, "symbols": ["K7", "K8"]}');
select is(pg_temp.share(), 2::bigint, 'listed keys are in whatever the percentage');
select pg_temp.set_metadata('{"symbols": ["K7"]}');
select is(pg_temp.share(), 1::bigint, 'a list alone is for those only');
select is(public.is_feature_enabled_for('use_new_cards', null), false, 'no key is in no share');
select throws_ok($$select public.is_feature_enabled_for('use_magic', 'K1')$$, 'SY003', null, 'an unknown flag is an error');

select throws_ok($$select pg_temp.set_metadata('{"percentage": 101}')$$, 'SY026',
  'Cannot set percentage of flag "use_new_cards" to 101: wanted a number from 0 to 100', 'more than all is refused');
select throws_ok($$select pg_temp.set_metadata('{"percentage": "20"}')$$, 'SY026', null, 'and a percentage that is no number');
select throws_ok($$select pg_temp.set_metadata('{"symbols": "AAPL"}')$$, 'SY026',
  'Cannot set symbols of flag "use_new_cards" to "AAPL": wanted an array of strings', 'and a list that is none');
select throws_ok($$select pg_temp.set_metadata('{"symbols": [1]}')$$, 'SY026', null, '… or not of strings');

-- The flag of a data type answers for the symbols that the queue writes.
select is(public.is_feature_enabled_for('use_queue_for_profile', 'AAPL'), false, 'legacy: for none');
select switchyard.set_stage('profile', 'canary');
update public.data_type_registry_v2 set canary_percent = 20 where data_type = 'profile';
select ok((select count(*) from generate_series(1, 1000) as n
            where public.is_feature_enabled_for('use_queue_for_profile', 'K' || n)) between 140 and 260,
  'canary: for its share, though the flag is off');
update public.data_type_registry_v2 set canary_percent = 0 where data_type = 'profile';
update public.feature_flags set metadata = '{"symbols": ["AAPL"]}' where flag_name = 'use_queue_for_profile';
select is(public.is_feature_enabled_for('use_queue_for_profile', 'AAPL'), true, 'listed symbols are in');
select is(public.is_feature_enabled_for('use_queue_for_profile', 'MSFT'), false, '… and no others');
select switchyard.set_stage('profile', 'live');
select is(public.is_feature_enabled_for('use_queue_for_profile', 'MSFT'), true, 'live: for all');
select throws_ok(
  $$update public.feature_flags set metadata = '{"percentage": 10}' where flag_name = 'use_queue_for_profile'$$, 'SY026',
  'Cannot set a percentage on flag "use_queue_for_profile": its share is canary_percent of the registry',
  'the share of a data type has one place');
select is(
  (select count(*) from switchyard.flag_changes where flag_name = 'use_queue_for_profile' and enabled_after), 1::bigint,
  'the flag followed the stage, which is written down');

select * from finish();
rollback;
