-- Where rows go: by stage, by the share of a canary, and by who asked.
begin;
select plan(22);

select is(switchyard.destination('legacy', 50, 'profile', 'DE-1', 'scheduled'), 'discard', 'in legacy what still comes in is dropped');
select is(switchyard.destination('legacy', 50, 'profile', 'DE-1', 'manual'), 'table', '… unless a person asked for it');
select is(switchyard.destination('shadow', 50, 'profile', 'DE-1', 'demand'), 'shadow', 'in shadow nothing is written');
select is(switchyard.destination('shadow', 50, 'profile', 'DE-1', 'manual'), 'table', '… unless a person asked for it');
select is(switchyard.destination('live', 0, 'profile', 'DE-1', 'scheduled'), 'table', 'in live everything is');
select is(switchyard.destination('retired', 0, 'profile', 'DE-1', 'demand'), 'table', '… and in retired');

select ok(bool_and(switchyard.symbol_bucket('quote', 'S' || n) between 0 and 9999), 'buckets go from 0 to 9999')
  from generate_series(1, 1000) as n;
select is(switchyard.symbol_bucket('quote', 'AAPL'), switchyard.symbol_bucket('quote', 'AAPL'), 'a symbol keeps its bucket');
select ok((select count(*) between 2700 and 3300 from generate_series(1, 10000) as n where switchyard.is_in_share('quote', 'S' || n, 30)),
  'a share of 30 % takes about 30 % of the symbols');
select ok((select count(*) between 2700 and 3300 from generate_series(1, 10000) as n where switchyard.is_in_share('profile', 'S' || n, 30)),
  '… of another type too');
select ok((select count(*) < 1500 from generate_series(1, 10000) as n
            where switchyard.is_in_share('profile', 'S' || n, 30) and switchyard.is_in_share('quote', 'S' || n, 30)),
  '… but others');
select is((select count(*) from generate_series(1, 2000) as n, generate_series(0, 99) as percent
            where switchyard.is_in_share('quote', 'S' || n, percent) and not switchyard.is_in_share('quote', 'S' || n, percent + 1)),
  0::bigint, 'a growing share lets no symbol go');
select is((select count(*) from generate_series(1, 2000) as n where switchyard.is_in_share('quote', 'S' || n, 0)), 0::bigint, 'none is in a share of 0');
select is((select count(*) from generate_series(1, 2000) as n where not switchyard.is_in_share('quote', 'S' || n, 100)), 0::bigint, 'all are in one of 100');
select ok(switchyard.is_in_share('available-exchanges', 'GLOBAL', 1), 'a global type is in any share above 0');
select ok(not switchyard.is_in_share('available-exchanges', 'GLOBAL', 0), '… and not in none');

select is(switchyard.listed_symbols('profile'), '{}'::text[], 'no symbols are listed at first');
update public.feature_flags set metadata = metadata || '{"symbols": ["DE-7", "DE-8"]}' where flag_name = 'use_queue_for_profile';
select is(switchyard.listed_symbols('profile'), array['DE-7', 'DE-8'], 'the flag of the type lists symbols');
select ok(switchyard.is_in_share('profile', 'DE-7', 0) and not switchyard.is_in_share('quote', 'DE-7', 0), '… which are in the share of that type whatever their bucket');
select is(switchyard.destination('canary', 0, 'profile', 'DE-7', 'scheduled') || ' ' || switchyard.destination('canary', 0, 'profile', 'DE-9', 'scheduled'),
  'table shadow', 'a canary writes its share and compares the rest');

-- The condition for whole sets says the same as the function for one symbol.
select switchyard.set_stage('profile', 'canary', 'test');
update public.data_type_registry_v2 set canary_percent = 25 where data_type = 'profile';
create function pg_temp.by_condition(p_symbol text) returns boolean language plpgsql as $$
declare
  v_is_in boolean;
begin
  execute format('select %s from (select $1) as k (symbol)',
    (select switchyard.share_sql(r, 'k.symbol') from public.data_type_registry_v2 as r where r.data_type = 'profile'))
    into v_is_in using p_symbol;
  return v_is_in;
end $$;
select is((select count(*) from generate_series(1, 500) as n where pg_temp.by_condition('DE-' || n) <> switchyard.is_in_share('profile', 'DE-' || n, 25)),
  0::bigint, 'the condition for sets takes the same symbols');
select is((select switchyard.share_sql(r, 'k.symbol') from public.data_type_registry_v2 as r where r.data_type = 'quote'), 'true', '… and all in another stage');

select * from finish();
rollback;
