-- Adds what is left of the limits, for claims. Nothing asks yet.

create function switchyard.provider_refusal(p_provider text)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select case
             when p.paused then 'the provider is paused'
             when p.calls_per_minute is null then 'calls_per_minute is unknown'
             when p.bytes_per_30_days is null then 'bytes_per_30_days is unknown'
             when p.hold_until > clock_timestamp()
               then format('on hold until %s: %s', p.hold_until, coalesce(p.hold_reason, 'no reason given'))
             when p.breaker_state <> 'closed'
                  and p.breaker_changed_at > clock_timestamp()
                    - make_interval(secs => switchyard.setting_integer('breaker_open_seconds'))
               then format('the breaker is %s since %s', p.breaker_state, p.breaker_changed_at)
           end
      from public.api_providers_v2 as p
     where p.provider = p_provider
  );
end
$$;
comment on function switchyard.provider_refusal(text) is
  'Why no job of a provider can be claimed now, used-up limits aside; null when claims are open.';

create function switchyard.quota_bytes_used(p_provider text)
returns bigint
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_hour timestamptz := date_trunc('hour', clock_timestamp(), 'UTC');
  v_bytes bigint;
begin
  select s.bytes into v_bytes
    from switchyard.quota_sums as s
   where s.provider = p_provider and s.hour = v_hour;
  if not found then
    select coalesce(sum(u.bytes), 0) into v_bytes
      from public.api_data_usage_v2 as u
     where u.provider = p_provider
       and u.hour > v_hour - interval '30 days 1 hour'
       and u.hour < v_hour;
    insert into switchyard.quota_sums as s (provider, hour, bytes)
    values (p_provider, v_hour, v_bytes)
        on conflict (provider) do update set hour = excluded.hour, bytes = excluded.bytes;
  end if;
  return v_bytes + coalesce((
    select sum(u.bytes)
      from public.api_data_usage_v2 as u
     where u.provider = p_provider and u.hour >= v_hour), 0);
end
$$;
comment on function switchyard.quota_bytes_used(text) is
  'Bytes used in the rolling 30 days; sums the complete hours once an hour.';

create function switchyard.calls_left(p_provider text)
returns bigint
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select floor(p.calls_per_minute * (1 - p.calls_margin))::bigint - switchyard.calls_granted(p.provider)
      from public.api_providers_v2 as p
     where p.provider = p_provider
  );
end
$$;
comment on function switchyard.calls_left(text) is
  'Vendor calls that a claim may grant now; negative after the limit was lowered, null when it is unknown.';

create function switchyard.bytes_left(p_provider text)
returns bigint
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  -- What was granted under a lease that goes on may be in flight and is not booked yet.
  return (
    select floor(p.bytes_per_30_days * (1 - p.bytes_margin))::bigint
           - switchyard.quota_bytes_used(p.provider)
           - coalesce((
               select sum(g.bytes)
                 from switchyard.call_grants as g
                where g.provider = p.provider and g.in_flight_until > v_now), 0)
      from public.api_providers_v2 as p
     where p.provider = p_provider
  );
end
$$;
comment on function switchyard.bytes_left(text) is
  'Bytes that a claim may grant now: the quota less what was used in 30 days and what may be in flight; null when the quota is unknown.';

create function public.take_vendor_calls_v2(p_provider text, p_calls integer default 1)
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_hold_until timestamptz;
  v_oldest timestamptz;
begin
  if p_calls is null or p_calls not between 1 and 1000 then
    raise exception 'Cannot take vendor calls: % calls, wanted 1 to 1000', coalesce(p_calls::text, 'null')
      using errcode = 'SY016', hint = 'Leave p_calls out for 1';
  end if;
  if not public.is_feature_enabled('use_queue_system') then
    return null;
  end if;
  -- As claims do: from here to commit the grants of a provider follow one another.
  select p.hold_until into v_hold_until
    from public.api_providers_v2 as p
   where p.provider = p_provider
     for no key update;
  if not found then
    raise exception 'Cannot take vendor calls: no provider "%"', p_provider
      using errcode = 'SY004', hint = 'See select provider from api_providers_v2';
  end if;
  if switchyard.provider_refusal(p_provider) is not null or switchyard.bytes_left(p_provider) <= 0 then
    return greatest(5000, ceil(extract(epoch from v_hold_until - clock_timestamp()) * 1000))::integer;
  end if;
  if switchyard.calls_left(p_provider) < p_calls then
    select min(g.bucket) into v_oldest
      from switchyard.call_grants as g
     where g.provider = p_provider and g.bucket > clock_timestamp() - switchyard.ledger_window();
    return greatest(100, ceil(extract(epoch from
      v_oldest + switchyard.ledger_window() - clock_timestamp()) * 1000))::integer;
  end if;
  insert into switchyard.call_grants as g (provider, bucket, calls, bytes, in_flight_until)
  values (p_provider, date_bin('100 milliseconds', clock_timestamp(), 'epoch'), p_calls, 0, clock_timestamp())
      on conflict (provider, bucket) do update set calls = g.calls + excluded.calls;
  return 0;
end
$$;
comment on function public.take_vendor_calls_v2(text, integer) is
  'For vendor calls outside of the queue: counts them in the ledger, so that all callers together keep the limit. 0: granted, to be made within half a second; more: milliseconds to wait before asking again; null: use_queue_system is off, nothing is counted. Raises SY004 for an unknown provider, SY016 for an absurd number. For service_role and the SQL editor.';

revoke all on function
  switchyard.provider_refusal(text),
  switchyard.quota_bytes_used(text),
  switchyard.calls_left(text),
  switchyard.bytes_left(text),
  public.take_vendor_calls_v2(text, integer)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.provider_refusal(text),
  switchyard.quota_bytes_used(text),
  switchyard.calls_left(text),
  switchyard.bytes_left(text),
  public.take_vendor_calls_v2(text, integer)
to service_role;
