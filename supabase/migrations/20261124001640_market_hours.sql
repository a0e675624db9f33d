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

create function switchyard.is_quote_worth_refreshing(
  p_exchange text,
  p_fetched_at timestamptz,
  p_now timestamptz
)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  v_market public.exchange_market_status;
  v_local timestamp;
  v_fetched_local timestamp;
  v_told_today boolean;
  v_holiday jsonb;
  v_opening timestamp;
  v_closing timestamp;
begin
  select m.* into v_market
    from public.exchange_market_status as m
   where m.exchange_code = p_exchange;
  -- What is not known must not keep anything from being refreshed.
  if not found or p_fetched_at is null then
    return true;
  end if;
  begin
    v_local := p_now at time zone v_market.timezone;
    v_fetched_local := p_fetched_at at time zone v_market.timezone;
    -- A check that found nothing new has left last_fetched_at alone.
    v_told_today := (
      greatest(v_market.last_fetched_at, (
        select s.last_checked_at
          from switchyard.refresh_state as s
         where s.data_type = 'exchange-market-status' and s.symbol = 'GLOBAL'))
      at time zone v_market.timezone)::date = v_local::date;
  exception when invalid_parameter_value then
    return true;
  end;
  select h.day into v_holiday
    from jsonb_array_elements(
           case when jsonb_typeof(v_market.raw_holidays_json) = 'array'
                then v_market.raw_holidays_json else '[]' end) as h (day)
   where h.day ->> 'date' = v_local::date::text
   limit 1;

  -- CLOSED and "is a holiday" are about the day on which the vendor said so.
  if v_holiday ->> 'isClosed' = 'true'
     or (v_told_today and (v_market.current_day_is_holiday or v_market.opening_time_local ~* 'closed')) then
    return false;
  end if;
  v_opening := v_local::date + coalesce(switchyard.time_of_day(v_holiday ->> 'adjOpenTime'),
                                        switchyard.time_of_day(v_market.opening_time_local));
  v_closing := v_local::date + coalesce(switchyard.time_of_day(v_holiday ->> 'adjCloseTime'),
                                        switchyard.time_of_day(v_market.closing_time_local));
  -- No hours, or trading around the clock or past midnight.
  if v_opening is null or v_closing is null or v_closing <= v_opening then
    return true;
  end if;
  -- After the close until the closing prices have been fetched: vendors are late by minutes.
  return v_local >= v_opening
     and (v_local < v_closing
          or v_fetched_local < v_closing + make_interval(mins => switchyard.setting_integer('close_grace_minutes')));
end
$$;
comment on function switchyard.is_quote_worth_refreshing(text, timestamptz, timestamptz) is
  'Whether a quote of an exchange, fetched at p_fetched_at, can have changed at p_now: by the hours, holidays and early closes in exchange_market_status, in the exchange''s own time zone; after the close until it has been fetched close_grace_minutes later. True for whatever is unknown.';

create function public.is_exchange_open_v2(p_symbol text)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  v_exchange text;
  v_fetched_at timestamptz;
begin
  select q.exchange, q.fetched_at into v_exchange, v_fetched_at
    from public.live_quote_indicators as q
   where q.symbol = p_symbol;
  if not found then
    return true;
  end if;
  if v_exchange is null then
    select p.exchange into v_exchange from public.profiles as p where p.symbol = p_symbol;
  end if;
  return switchyard.is_quote_worth_refreshing(v_exchange, v_fetched_at, clock_timestamp());
end
$$;
comment on function public.is_exchange_open_v2(text) is
  'Condition function of the data type quote: whether the exchange of a symbol is open, or closed lately. True for a symbol without a quote. For service_role and the SQL editor.';

revoke all on function
  switchyard.time_of_day(text),
  switchyard.is_quote_worth_refreshing(text, timestamptz, timestamptz),
  public.is_exchange_open_v2(text)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.time_of_day(text),
  switchyard.is_quote_worth_refreshing(text, timestamptz, timestamptz),
  public.is_exchange_open_v2(text)
to service_role;
