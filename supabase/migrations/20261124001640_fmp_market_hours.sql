-- Adds the condition for quotes: only while their exchange is open. Reads legacy tables, changes none.

create function switchyard.time_of_day(p_text text)
returns time
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_parts text[] := regexp_match(p_text, '^\s*([0-9]{1,2}):([0-9]{2})(?::[0-9]{2})?\s*([AaPp])?');
  v_hour integer := v_parts[1]::integer;
begin
  if v_parts[3] is not null then
    v_hour := v_hour % 12 + case when upper(v_parts[3]) = 'P' then 12 else 0 end;
  end if;
  return case when v_hour < 24 and v_parts[2]::integer < 60
              then make_time(v_hour, v_parts[2]::integer, 0) end;
end
$$;
comment on function switchyard.time_of_day(text) is
  'The time in a text such as "09:30 AM -04:00" or "13:00", its offset left aside; null where there is none, as in CLOSED.';

create function switchyard.is_weekend(p_day date, p_timezone text)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
begin
  -- Where markets trade from Sunday to Thursday.
  if p_timezone in ('Asia/Riyadh', 'Asia/Kuwait', 'Asia/Qatar', 'Asia/Bahrain', 'Asia/Muscat', 'Asia/Amman',
                    'Africa/Cairo')
  then
    return extract(isodow from p_day) in (5, 6);
  end if;
  return extract(isodow from p_day) > 5;
end
$$;
comment on function switchyard.is_weekend(date, text) is
  'Whether a market in this time zone has no session on this day of the week: Friday and Saturday in Saudi Arabia, Kuwait, Qatar, Bahrain, Oman, Jordan and Egypt, Saturday and Sunday elsewhere. The vendor tells the hours of today alone.';

create function switchyard.quotes_good_from(p_exchange text, p_now timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
declare
  v_market public.exchange_market_status;
  v_holidays jsonb;
  v_local timestamp;
  v_told_today boolean;
  v_holiday jsonb;
  v_opening timestamp;
  v_closing timestamp;
  v_day date;
begin
  select m.* into v_market
    from public.exchange_market_status as m
   where m.exchange_code = p_exchange;
  -- What is not known must not keep anything from being refreshed.
  if not found then
    return timestamptz 'infinity';
  end if;
  begin
    v_local := p_now at time zone v_market.timezone;
    v_told_today := (v_market.last_fetched_at at time zone v_market.timezone)::date = v_local::date;
  exception when invalid_parameter_value then
    return timestamptz 'infinity';
  end;
  v_holidays := case when jsonb_typeof(v_market.raw_holidays_json) = 'array'
                     then v_market.raw_holidays_json else '[]' end;
  select h.day into v_holiday
    from jsonb_array_elements(v_holidays) as h (day)
   where h.day ->> 'date' = v_local::date::text
   limit 1;

  v_opening := v_local::date + coalesce(switchyard.time_of_day(v_holiday ->> 'adjOpenTime'),
                                        switchyard.time_of_day(v_market.opening_time_local));
  v_closing := v_local::date + coalesce(switchyard.time_of_day(v_holiday ->> 'adjCloseTime'),
                                        switchyard.time_of_day(v_market.closing_time_local));
  v_day := v_local::date;
  -- CLOSED and "is a holiday" are about the day on which the vendor said so.
  if coalesce('true' in (v_holiday ->> 'isClosed', v_holiday ->> 'isFullyClosed'), false)
     or (v_told_today and (v_market.current_day_is_holiday or v_market.opening_time_local ~* 'closed')) then
    v_closing := null;
  -- No hours, or trading around the clock or past midnight.
  elsif v_opening is null or v_closing is null or v_closing <= v_opening then
    return timestamptz 'infinity';
  elsif v_local >= v_opening and v_local < v_closing then
    return timestamptz 'infinity';
  elsif v_local < v_opening then
    v_closing := null;
  end if;

  -- The last close before now; of earlier days neither a weekend nor a holiday had one.
  while v_closing is null loop
    v_day := v_day - 1;
    continue when switchyard.is_weekend(v_day, v_market.timezone)
      or exists (
           select 1
             from jsonb_array_elements(v_holidays) as h (day)
            where h.day ->> 'date' = v_day::text and 'true' in (h.day ->> 'isClosed', h.day ->> 'isFullyClosed'));
    v_closing := v_day + coalesce(switchyard.time_of_day(v_market.closing_time_local), '24:00');
  end loop;
  -- Vendors have the closing prices minutes late.
  return v_closing at time zone v_market.timezone
         + make_interval(mins => switchyard.setting_integer('close_grace_minutes'));
end
$$;
comment on function switchyard.quotes_good_from(text, timestamptz) is
  'From when on a quote of an exchange that was fetched is still good at p_now: close_grace_minutes after the last close, by the hours, holidays and early closes in exchange_market_status, in the exchange''s own time zone. Infinity (no quote is) while it is open, and for whatever is unknown.';

create function public.is_exchange_open_v2(p_symbols text[])
returns setof text
language plpgsql
stable
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  return query
    with quoted as materialized (
      select a.symbol, coalesce(q.exchange, p.exchange) as exchange,
             -- A refresh that found nothing new has left fetched_at alone.
             case when q.symbol is not null then greatest(q.fetched_at, s.last_checked_at) end as fetched_at
        from unnest(p_symbols) as a (symbol)
        left join public.live_quote_indicators as q on q.symbol = a.symbol
        left join public.profiles as p on p.symbol = q.symbol and q.exchange is null
        left join switchyard.refresh_state as s on s.data_type = 'quote' and s.symbol = q.symbol
    ),
    -- Asked once for each exchange: it takes longer than all the rest for a row.
    market as materialized (
      select e.exchange, switchyard.quotes_good_from(e.exchange, v_now) as good_from
        from (select distinct q.exchange from quoted as q where q.exchange is not null) as e
    )
    select q.symbol
      from quoted as q
      left join market as m on m.exchange = q.exchange
     where q.fetched_at is null or m.good_from is null or q.fetched_at < m.good_from;
end
$$;
comment on function public.is_exchange_open_v2(text[]) is
  'Which of these symbols is_exchange_open_v2(text) is true for, asked once for each exchange. For service_role and the SQL editor.';

create function public.is_exchange_open_v2(p_symbol text)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (select 1 from public.is_exchange_open_v2(array[p_symbol]) as o);
end
$$;
comment on function public.is_exchange_open_v2(text) is
  'Condition function of the data type quote: whether the quote of a symbol may have changed since it was fetched: its exchange is open, or has closed since then. True for a symbol without a quote. For service_role and the SQL editor.';

revoke all on function
  switchyard.time_of_day(text),
  switchyard.is_weekend(date, text),
  switchyard.quotes_good_from(text, timestamptz),
  public.is_exchange_open_v2(text[]),
  public.is_exchange_open_v2(text)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.time_of_day(text),
  switchyard.is_weekend(date, text),
  switchyard.quotes_good_from(text, timestamptz),
  public.is_exchange_open_v2(text[]),
  public.is_exchange_open_v2(text)
to service_role;
