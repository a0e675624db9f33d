-- Quotes are refreshed while their exchange is open, and once more after the close.
begin;
select plan(36);

insert into public.exchange_market_status
  (exchange_code, opening_time_local, closing_time_local, timezone, raw_holidays_json, last_fetched_at) values
  ('XNY', '09:30 AM -05:00', '04:00 PM -05:00', 'America/New_York',
   '[{"date": "2026-11-26", "name": "Thanksgiving", "isClosed": true, "adjOpenTime": null, "adjCloseTime": null},
     {"date": "2026-11-27", "name": "Early close", "isClosed": null, "isFullyClosed": false, "adjOpenTime": null, "adjCloseTime": "13:00"}]',
   '2026-11-25 12:00Z'),
  ('XTK', '09:00 AM +09:00', '03:30 PM +09:00', 'Asia/Tokyo', null, '2026-11-25 00:00Z'),
  ('XFX', '12:00 AM +00:00', '12:00 AM +00:00', 'UTC', null, '2026-11-25 00:00Z'),
  ('XNO', null, null, 'UTC', 'null', '2026-11-25 00:00Z'),
  ('XTZ', '09:00 AM', '05:00 PM', 'Mars/Olympus', null, '2026-11-25 00:00Z'),
  ('XWE', 'CLOSED', 'CLOSED', 'America/New_York', null, '2026-11-28 12:00Z'),
  ('XSA', '10:00 AM +03:00', '03:00 PM +03:00', 'Asia/Riyadh', null, '2026-11-26 12:00Z'),
  ('XCL', 'CLOSED', 'CLOSED', 'UTC', null, '2026-11-22 09:00Z');
create function pg_temp.open_at(p_exchange text, p_now timestamptz, p_fetched_at timestamptz default null) returns boolean language sql as $$
  select coalesce(p_fetched_at, p_now - interval '10 hours') < switchyard.quotes_good_from(p_exchange, p_now)
$$;

select is(switchyard.time_of_day('09:30 AM -04:00'), '09:30'::time, 'vendor times are read');
select is(switchyard.time_of_day('12:05 am'), '00:05'::time, '… midnight too');
select is(switchyard.time_of_day('12:00 PM'), '12:00'::time, '… and noon');
select is(switchyard.time_of_day('13:00'), '13:00'::time, '… and 24-hour times');
select is(switchyard.time_of_day('CLOSED'), null, 'CLOSED is no time');
select is(switchyard.time_of_day('99:99'), null, 'nor is nonsense');

select is(pg_temp.open_at('XNY', '2026-11-25 14:29Z'), false, 'before the opening nothing changes');
select is(pg_temp.open_at('XNY', '2026-11-25 14:30Z'), true, 'from the opening on it does, in the exchange''s time zone');
select is(pg_temp.open_at('XNY', '2026-07-01 13:30Z'), true, '… daylight saving included');
select is(pg_temp.open_at('XNY', '2026-11-25 20:59Z', '2026-11-25 20:58Z'), true, 'until the close');
select is(pg_temp.open_at('XNY', '2026-11-25 21:10Z', '2026-11-25 21:09Z'), true, 'and during the grace after it');
select is(pg_temp.open_at('XNY', '2026-11-25 23:00Z', '2026-11-25 20:00Z'), true, 'and later, when the closing price was missed');
select is(pg_temp.open_at('XNY', '2026-11-25 23:00Z', '2026-11-25 21:31Z'), false, 'but not once it was fetched');
select is(pg_temp.open_at('XNY', '2026-11-25 13:00Z', '2026-11-24 18:00Z'), true, 'the next morning too, if it was missed then');
select is(pg_temp.open_at('XWE', '2026-11-28 15:00Z', '2026-11-27 16:00Z'), true, 'and at the weekend');
select is(pg_temp.open_at('XWE', '2026-11-28 15:00Z', '2026-11-28 06:00Z'), false, '… once');
select is(pg_temp.open_at('XNY', '2026-11-26 15:00Z'), false, 'not on a holiday');
select is(pg_temp.open_at('XNY', '2026-11-27 17:59Z', '2026-11-27 17:58Z'), true, 'on a day that closes early until then');
select is(pg_temp.open_at('XNY', '2026-11-27 19:00Z', '2026-11-27 18:31Z'), false, '… and not after it');
select is(pg_temp.open_at('XTK', '2026-11-25 03:00Z', '2026-11-25 02:59Z'), true, 'a lunch break closes nothing');
select is(pg_temp.open_at('XFX', '2026-11-25 03:00Z', '2026-11-25 02:59Z'), true, 'nor does trading around the clock');
select is(pg_temp.open_at('XCL', '2026-11-22 12:00Z'), false, 'CLOSED holds for the day of which it was said');
select is(pg_temp.open_at('XCL', '2026-11-23 12:00Z'), true, '… and no longer');
select is(pg_temp.open_at('XNO', '2026-11-25 03:00Z'), true, 'unknown hours keep nothing back');
select is(pg_temp.open_at('XTZ', '2026-11-25 03:00Z'), true, 'nor does an unknown time zone');
select is(pg_temp.open_at('NOWHERE', '2026-11-25 03:00Z'), true, 'nor an unknown exchange');
select is(pg_temp.open_at('XSA', '2026-11-22 11:00Z', '2026-11-22 10:59Z'), true, 'in Riyadh Sunday is a day like others');
select is(pg_temp.open_at('XSA', '2026-11-23 06:00Z', '2026-11-22 11:00Z'), true, '… whose close counts on Monday');
select is(pg_temp.open_at('XSA', '2026-11-22 06:00Z', '2026-11-19 13:00Z'), false, '… and Friday and Saturday have none');
select is(switchyard.quotes_good_from('XSA', '2026-11-22 06:00Z'),
  '2026-11-19 12:00Z'::timestamptz + make_interval(mins => switchyard.setting_integer('close_grace_minutes')),
  'the last close is Thursday''s, with the grace');
select is(array[switchyard.is_weekend('2026-11-27', 'Europe/Paris'), switchyard.is_weekend('2026-11-28', 'Europe/Paris'),
                switchyard.is_weekend('2026-11-29', null)], array[false, true, true], 'elsewhere the weekend is Saturday and Sunday');
select is(public.is_exchange_open_v2('MH-NONE'), true, 'nor a symbol without a quote');

insert into public.live_quote_indicators (symbol, current_price, api_timestamp, exchange, fetched_at)
values ('MH-1', 1, 1, 'XNY', '2020-01-01');
update public.exchange_market_status set opening_time_local = 'CLOSED', last_fetched_at = now() where exchange_code = 'XNY';
insert into switchyard.refresh_state (symbol, data_type, last_checked_at) values ('MH-1', 'quote', now());
select is(public.is_exchange_open_v2('MH-1'), false, 'a refresh that found nothing new counts as one');


-- Asked for a set: what holds for each alone.
insert into public.profiles (symbol, company_name, exchange) values ('MH-2', 'Two', 'XNY');
insert into public.live_quote_indicators (symbol, current_price, api_timestamp, exchange, fetched_at) values
  ('MH-2', 1, 1, null, now()), ('MH-3', 1, 1, null, now()), ('MH-4', 1, 1, 'XNO', now()), ('MH-5', 1, 1, 'XNY', '2020-01-01');
select is(public.is_exchange_open_v2('MH-2'), false, 'a quote without an exchange has that of its profile');
select results_eq(
  $$select o from public.is_exchange_open_v2(array['MH-1', 'MH-2', 'MH-3', 'MH-4', 'MH-5', 'MH-NONE']) as o order by 1$$,
  $$values ('MH-3'), ('MH-4'), ('MH-5'), ('MH-NONE')$$, 'of a set those whose quotes may have changed are told');
select results_eq(
  $$select s from unnest(array['MH-1', 'MH-2', 'MH-3', 'MH-4', 'MH-5', 'MH-NONE']) as s where public.is_exchange_open_v2(s) order by 1$$,
  $$select o from public.is_exchange_open_v2(array['MH-1', 'MH-2', 'MH-3', 'MH-4', 'MH-5', 'MH-NONE']) as o order by 1$$,
  '… as one by one');

select * from finish();
rollback;
