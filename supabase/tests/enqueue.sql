begin;
select plan(24);

insert into public.supported_symbols (symbol, is_active) values
  ('SY-A', true), ('SY-B', true), ('SY-OFF', false);

select ok(public.queue_refresh_if_not_exists_v2('SY-A', 'quote') is not null, 'a refresh is queued by hand');
select results_eq(
  $$select source, priority, status, attempts, finished_at from public.api_call_queue_v2 where symbol = 'SY-A'$$,
  $$values ('manual', 9000, 'pending', 0, 'infinity'::timestamptz)$$,
  'as a pending manual job');
select is(
  public.queue_refresh_if_not_exists_v2('SY-A', 'quote'),
  (select id from public.api_call_queue_v2 where symbol = 'SY-A'),
  'asking again returns the same job');
select is((select count(*) from public.api_call_queue_v2 where symbol = 'SY-A'), 1::bigint, '… and makes no second one');
select public.queue_refresh_if_not_exists_v2('SY-A', 'quote', 9500);
select is((select priority from public.api_call_queue_v2 where symbol = 'SY-A'), 9500, 'a higher priority raises it');
select public.queue_refresh_if_not_exists_v2('SY-A', 'quote', 9001);
select is((select priority from public.api_call_queue_v2 where symbol = 'SY-A'), 9500, 'a lower one does not lower it');

select is(
  switchyard.enqueue_jobs(array['SY-A', 'SY-B', 'SY-B'], array['quote', 'quote', 'quote'], array[1000, 1000, 2000], 'demand'),
  1, 'a set with a duplicate and a live job makes one new job');
select results_eq(
  $$select symbol, source, priority from public.api_call_queue_v2 where symbol like 'SY-%' order by symbol$$,
  $$values ('SY-A', 'manual', 9500), ('SY-B', 'demand', 2000)$$,
  'the duplicate gives its highest priority, the live job keeps its own');
select is(switchyard.enqueue_jobs('{}', '{}', '{}', 'demand'), 0, 'nothing asked makes nothing');

select throws_ok($$select public.queue_refresh_if_not_exists_v2('SY-A', 'horoscope')$$, 'SY008',
  'Cannot queue "horoscope" for "SY-A": unknown data type', 'an unknown data type raises');
select throws_ok($$select public.queue_refresh_if_not_exists_v2('SY-NONE', 'quote')$$, 'SY009',
  'Cannot queue "quote" for "SY-NONE": unknown symbol', 'an unknown symbol raises');
select throws_ok($$select public.queue_refresh_if_not_exists_v2('SY-OFF', 'quote')$$, 'SY009', null, 'so does an inactive one');
select throws_ok($$select public.queue_refresh_if_not_exists_v2(null, 'quote')$$, 'SY009', null, 'and null');
select throws_ok($$select public.queue_refresh_if_not_exists_v2('SY-A', 'quote', 1)$$, 'SY010', null,
  'a priority outside the manual band raises');

insert into public.api_call_queue_v2 (symbol, data_type) values ('SY-A', 'profile');
select is((select source from public.api_call_queue_v2 where symbol = 'SY-A' and data_type = 'profile'), 'manual',
  'a plain INSERT makes a manual job');
select throws_ok($$insert into public.api_call_queue_v2 (symbol, data_type) values ('SY-A', 'profile')$$, '23505', null,
  'a second live job for the same symbol and data type is impossible');
select throws_ok($$insert into public.api_call_queue_v2 (symbol, data_type) values ('SY-A', 'horoscope')$$, 'SY008', null,
  'a job of an unknown data type is impossible');
insert into public.api_call_queue_v2 (symbol, data_type, provider) values ('SY-C', 'quote', 'bogus');
select is((select provider from public.api_call_queue_v2 where symbol = 'SY-C'), 'fmp',
  'the provider is that of the data type, whatever a person writes');
select throws_ok($$insert into public.api_call_queue_v2 (symbol, data_type, provider) values ('SY-D', 'horoscope', 'fmp')$$,
  'SY008', null, 'also with a provider an unknown data type raises');
select throws_ok($$insert into public.api_call_queue_v2 (symbol, data_type) values ('GLOBAL', 'quote')$$, 'SY009', null,
  'GLOBAL is no symbol of a type by symbol');
select throws_ok($$select switchyard.enqueue_jobs(array['SY-A'], array['horoscope'], array[1000], 'demand')$$, 'SY008',
  'Cannot queue jobs: unknown data type "horoscope"', 'a set with an unknown data type raises');
select throws_ok($$insert into public.api_call_queue_v2 (symbol, data_type) values ('a b; --', 'quote')$$, '23514', null,
  'a symbol that is none is impossible');
select throws_ok($$insert into public.api_call_queue_v2 (symbol, data_type, status) values ('SY-B', 'profile', 'processing')$$,
  '23514', null, 'a processing job without a lease is impossible');

update switchyard.settings set value = 'null' where name = 'known_symbols_table';
select is(switchyard.is_known_symbol('ANYTHING'), true, 'without a table of symbols every symbol is known');

select * from finish();
rollback;
