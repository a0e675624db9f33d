-- Rows whose key does not hold the symbol, rows that are gone, and the mark on the known symbols.
begin;
select plan(17);

select switchyard.set_stage(data_type, 'live') from unnest(array['exchange-variants', 'profile', 'shares-float']) as data_type;
update public.feature_flags set enabled = true where flag_name in ('use_queue_system', 'use_new_staleness_check');
insert into public.supported_symbols (symbol) values ('RO-A'), ('RO-B'), ('RO-C'), ('RO-D');
insert into public.profiles (symbol, modified_at) values ('RO-A', now()), ('RO-B', now()), ('RO-C', now());

create temp table claimed (id bigint, symbol text, lease_token uuid);
create function pg_temp.settle(p_symbol text, p_data_type text, p_rows jsonb) returns text language sql as $$
  select public.queue_refresh_if_not_exists_v2(p_symbol, p_data_type);
  delete from claimed;
  insert into claimed select id, symbol, lease_token from public.get_queue_batch_v2(100, null, true);
  select s.outcome || ' ' || s.rows_written
    from public.settle_queue_batch_v2((
      select jsonb_agg(jsonb_build_object('job_id', c.id, 'lease_token', c.lease_token, 'outcome', 'completed', 'rows', p_rows))
        from claimed as c where c.symbol = p_symbol)) as s;
$$;
create function pg_temp.variants(p_symbol text, p_price integer) returns jsonb language sql as $$
  select jsonb_agg(jsonb_build_object('symbol', p_symbol, 'symbol_variant', v, 'exchange_short_name', 'X', 'price', p_price))
    from unnest(array['RO-A', 'RO-B']) as v
$$;
create function pg_temp.stale() returns setof text language sql as $$
  delete from switchyard.api_call_queue_v2_live;
  delete from public.active_subscriptions_v2;
  insert into public.active_subscriptions_v2 (symbol, data_type, source, viewers)
  select s, t, 'presence', 1 from unnest(array['RO-A', 'RO-B', 'RO-C', 'RO-D']) as s
   cross join unnest(array['exchange-variants', 'profile', 'shares-float']) as t;
  select public.check_and_queue_stale_data_from_presence_v2();
  select q.data_type || ' ' || q.symbol from switchyard.api_call_queue_v2_live as q
   where q.source = 'demand' and q.symbol ~ '^RO-' order by 1;
$$;

select is(pg_temp.settle('RO-A', 'exchange-variants', pg_temp.variants('RO-A', 1)), 'completed 2', 'the first listing brings the rows');
select is(pg_temp.settle('RO-B', 'exchange-variants', pg_temp.variants('RO-B', 2)), 'empty 0', 'another listing of the company has none of its own');
select results_eq('select distinct symbol, price from public.exchange_variants', $$values ('RO-A', 2::float8)$$,
  'it keeps the values fresh, and the rows stay with the first');
select ok((select empty_until > now() from switchyard.refresh_state where symbol = 'RO-B' and data_type = 'exchange-variants'),
  'which is remembered, so that it is not asked for again and again');
select is(pg_temp.settle('RO-A', 'exchange-variants', pg_temp.variants('RO-A', 2)), 'completed 0', 'unchanged rows of the first are no reason');
select is(pg_temp.settle('RO-C', 'exchange-variants',
  '[{"symbol": "RO-C", "symbol_variant": "RO-C", "exchange_short_name": "X"}, {"symbol": "RO-C", "symbol_variant": "RO-A", "exchange_short_name": "X"}]'),
  'completed 1', 'nor is a part of the rows that belongs to another');

-- Profiles and floats of all but RO-D are checked and there.
insert into public.shares_float (symbol, date) select s, '2026-11-20' from unnest(array['RO-A', 'RO-B', 'RO-C']) as s;
insert into switchyard.refresh_state (symbol, data_type, last_checked_at)
select s, t, now() from unnest(array['RO-A', 'RO-B', 'RO-C']) as s cross join unnest(array['profile', 'shares-float']) as t;
insert into switchyard.refresh_state (symbol, data_type, last_checked_at, empty_until)
select 'RO-D', t, now(), now() + interval '1 hour' from unnest(array['exchange-variants', 'profile', 'shares-float']) as t;
select is_empty('select pg_temp.stale()', 'what was checked lately is not stale');

delete from public.profiles where symbol = 'RO-C';
delete from public.shares_float where symbol = 'RO-A';
select results_eq('select pg_temp.stale()',
  $$values ('exchange-variants RO-C'), ('profile RO-C'), ('shares-float RO-A')$$,
  'a symbol whose rows are gone is, whatever the last check said, its cascaded rows too');
select is(switchyard.newest_refresh('profile', 'RO-C'), null, 'and asked for alone it was never refreshed');
select ok(switchyard.newest_refresh('profile', 'RO-B') is not null, 'unlike one with a row');
select is(switchyard.newest_refresh('shares-float', 'RO-D'), now(), 'or one that is known to be empty');
update switchyard.refresh_state set empty_until = now() where symbol = 'RO-D' and data_type = 'shares-float';
select ok('shares-float RO-D' = any (array(select pg_temp.stale())), 'until that has to be asked again');

update public.data_type_registry_v2 set fetcher = 'edge-function', edge_function_name = 'x' where data_type = 'shares-float';
select ok('shares-float RO-A' <> all (array(select pg_temp.stale())), 'what an Edge Function writes may have been nothing');
select is(switchyard.newest_refresh('shares-float', 'RO-A'), now(), '… for one symbol too');

insert into public.profiles (symbol) values ('RO-C');
delete from switchyard.api_call_queue_v2_live;
select is(pg_temp.settle('RO-C', 'financial-statements', '[{"symbol": "RO-C", "date": "2026-09-30", "period": "FY"}]'), 'completed 1', 'statements come in');
select results_eq($$select symbol, last_processed_at > now() - interval '1 minute' from public.supported_symbols where last_processed_at is not null$$,
  $$values ('RO-C', true)$$, 'and their symbol is marked as processed');
update public.data_type_registry_v2 set processed_column = 'no_such_column' where data_type = 'financial-statements';
select is(pg_temp.settle('RO-C', 'financial-statements', '[{"symbol": "RO-C", "date": "2026-09-30", "period": "FY", "cik": "1"}]'),
  'completed 1', 'a mark that cannot be set does not keep the rows out');

select * from finish();
rollback;
