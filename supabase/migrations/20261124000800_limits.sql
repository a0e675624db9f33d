-- Adds what holds claims back: refusals and the byte quota. Nothing asks yet.

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

revoke all on function
  switchyard.provider_refusal(text),
  switchyard.quota_bytes_used(text),
  switchyard.bytes_left(text)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.provider_refusal(text),
  switchyard.quota_bytes_used(text),
  switchyard.bytes_left(text)
to service_role;
