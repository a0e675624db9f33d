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
  v_day date;
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
    v_told_today := (v_market.last_fetched_at at time zone v_market.timezone)::date = v_local::date;
  exception when invalid_parameter_value then
    return true;
  end;
  select h.day into v_holiday
    from jsonb_array_elements(
           case when jsonb_typeof(v_market.raw_holidays_json) = 'array'
                then v_market.raw_holidays_json else '[]' end) as h (day)
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
    return true;
  elsif v_local >= v_opening and v_local < v_closing then
    return true;
  elsif v_local < v_opening then
    v_closing := null;
  end if;

  -- The last close before now; of earlier days neither a weekend nor a holiday had one.
  while v_closing is null loop
    v_day := v_day - 1;
    continue when extract(isodow from v_day) > 5
      or exists (
           select 1
             from jsonb_array_elements(
                    case when jsonb_typeof(v_market.raw_holidays_json) = 'array'
                         then v_market.raw_holidays_json else '[]' end) as h (day)
            where h.day ->> 'date' = v_day::text and 'true' in (h.day ->> 'isClosed', h.day ->> 'isFullyClosed'));
    v_closing := v_day + coalesce(switchyard.time_of_day(v_market.closing_time_local), '24:00');
  end loop;
  -- Until the closing prices have been fetched: vendors are late by minutes.
  return v_fetched_local < v_closing + make_interval(mins => switchyard.setting_integer('close_grace_minutes'));
end
$$;
comment on function switchyard.is_quote_worth_refreshing(text, timestamptz, timestamptz) is
  'Whether a quote of an exchange, fetched at p_fetched_at, can have changed at p_now: by the hours, holidays and early closes in exchange_market_status, in the exchange''s own time zone; out of hours until it has been fetched close_grace_minutes after the last close. True for whatever is unknown.';

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
  -- A refresh that found nothing new has left fetched_at alone.
  select q.exchange, greatest(q.fetched_at, s.last_checked_at) into v_exchange, v_fetched_at
    from public.live_quote_indicators as q
    left join switchyard.refresh_state as s on s.data_type = 'quote' and s.symbol = q.symbol
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
