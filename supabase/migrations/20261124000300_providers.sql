-- Adds the vendors with their limits, what was used of them, and the grants of the last minute.

create table public.api_providers_v2 (
  provider text primary key,
  calls_per_minute integer,
  bytes_per_30_days bigint,
  calls_margin numeric(4, 3) not null default 0,
  bytes_margin numeric(4, 3) not null default 0.05,
  hold_until timestamptz,
  hold_reason text,
  paused boolean not null default false,
  breaker_state text not null default 'closed',
  breaker_changed_at timestamptz not null default now(),
  breaker_opened_at timestamptz,
  breaker_data_types text[] not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint provider_names_are_plain check (provider ~ '^[a-z][a-z0-9_-]*$'),
  constraint calls_per_minute_is_positive check (calls_per_minute > 0),
  constraint bytes_per_30_days_is_positive check (bytes_per_30_days > 0),
  constraint calls_margin_is_a_share check (calls_margin >= 0 and calls_margin < 1),
  constraint bytes_margin_is_a_share check (bytes_margin >= 0 and bytes_margin < 1),
  constraint breaker_state_is_known check (breaker_state in ('closed', 'open', 'half-open'))
);
comment on table public.api_providers_v2 is
  'Vendors whose limits are shared by all their data types. A limit that is null is unknown, and an unknown limit refuses every claim.';
comment on column public.api_providers_v2.calls_per_minute is
  'Vendor calls allowed in any 60 seconds; null (unknown) refuses claims.';
comment on column public.api_providers_v2.bytes_per_30_days is
  'Bytes of vendor answers allowed in any 30 days; null (unknown) refuses claims.';
comment on column public.api_providers_v2.calls_margin is
  'Share of calls_per_minute that is never used, 0 to below 1.';
comment on column public.api_providers_v2.bytes_margin is
  'Share of bytes_per_30_days that is never used, 0 to below 1.';
comment on column public.api_providers_v2.hold_until is
  'No job of this provider is claimed before this time; set by a 429 or a used-up quota.';
comment on column public.api_providers_v2.paused is
  'Set by pause_provider_v2: nothing is claimed until pause_provider_v2(…, false).';
comment on column public.api_providers_v2.breaker_state is
  'closed: claims are open; open: too many attempts failed, or the key was refused; half-open: one job is out as a probe.';
comment on column public.api_providers_v2.breaker_opened_at is
  'While the breaker is not closed: since when.';
comment on column public.api_providers_v2.breaker_data_types is
  'While the breaker is not closed: data types whose calls have failed since, the last one last. Probes are rather of others.';

create table public.api_data_usage_v2 (
  provider text not null references public.api_providers_v2 (provider),
  data_type text not null,
  hour timestamptz not null,
  calls bigint not null default 0,
  failed_calls bigint not null default 0,
  bytes bigint not null default 0,
  primary key (provider, data_type, hour),
  constraint usage_hours_are_whole check (hour = date_trunc('hour', hour, 'UTC')),
  constraint usage_is_not_negative check (calls >= 0 and failed_calls >= 0 and bytes >= 0)
);
comment on table public.api_data_usage_v2 is
  'Vendor calls and answer bytes per provider, data type and UTC hour. Failed calls are part of calls.';

create index api_data_usage_v2_provider_hour_idx on public.api_data_usage_v2 (provider, hour);

create table switchyard.call_grants (
  provider text not null references public.api_providers_v2 (provider) on delete cascade,
  bucket timestamptz not null,
  calls integer not null,
  bytes bigint not null,
  in_flight_until timestamptz not null,
  endpoint_calls integer not null default 0,
  primary key (provider, bucket),
  constraint grants_are_not_negative check (calls >= 0 and bytes >= 0),
  constraint endpoint_calls_are_part_of_calls check (endpoint_calls between 0 and calls)
);
comment on table switchyard.call_grants is
  'Vendor calls and estimated bytes granted to the queue by claims, and calls granted to endpoints, per provider and tenth of a second. Kept for an hour.';
comment on column switchyard.call_grants.bucket is
  'When the last of these calls may start: the time of the claim, later by calls_spread_seconds of the data type. They count until ledger_window after it.';
comment on column switchyard.call_grants.endpoint_calls is
  'Those of calls that take_vendor_calls_v2 granted; the others are the queue''s.';
comment on column switchyard.call_grants.in_flight_until is
  'When the last lease of this grant ends: until then its bytes may still come and be booked.';

create table switchyard.failed_attempts (
  provider text not null references public.api_providers_v2 (provider) on delete cascade,
  bucket timestamptz not null,
  failures integer not null,
  primary key (provider, bucket),
  constraint failures_are_positive check (failures > 0)
);
comment on table switchyard.failed_attempts is
  'Vendor calls that failed, per provider and second, for the breaker. Kept for an hour.';

create table switchyard.quota_sums (
  provider text primary key references public.api_providers_v2 (provider) on delete cascade,
  hour timestamptz not null,
  bytes bigint not null
);
comment on table switchyard.quota_sums is
  'Bytes of the 30 days before an hour, summed once an hour: a claim adds only the current hour.';

create function switchyard.ledger_window()
returns interval
language sql
immutable
set search_path = ''
as $$
  -- A minute; half a second within which processors start what they were granted, or give it back;
  -- 0.2 seconds that a call may take to the vendor longer than another one; 0.1 of a bucket. Without
  -- these the vendor could see the late calls of one minute together with the early ones of the next.
  select interval '60.8 seconds'
$$;
comment on function switchyard.ledger_window() is
  'How long a granted call counts against calls_per_minute, from the start of its bucket.';

create function switchyard.calls_granted(p_provider text)
returns bigint
language plpgsql
stable
set search_path = ''
as $$
declare
  v_since timestamptz := clock_timestamp() - switchyard.ledger_window();
begin
  return (
    select coalesce(sum(g.calls), 0)
      from switchyard.call_grants as g
     where g.provider = p_provider and g.bucket > v_since
  );
end
$$;
comment on function switchyard.calls_granted(text) is
  'Vendor calls granted in the last minute (switchyard.ledger_window).';

create function public.get_quota_usage_v2(p_provider text)
returns table (
  provider text,
  bytes_used bigint,
  bytes_allowed bigint,
  calls_used_last_minute bigint,
  calls_allowed_per_minute integer
)
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
    select p.provider,
           coalesce((
             select sum(u.bytes)
               from public.api_data_usage_v2 as u
              where u.provider = p.provider
                and u.hour > clock_timestamp() - interval '30 days 1 hour'
           ), 0)::bigint,
           floor(p.bytes_per_30_days * (1 - p.bytes_margin))::bigint,
           switchyard.calls_granted(p.provider),
           floor(p.calls_per_minute * (1 - p.calls_margin))::integer
      from public.api_providers_v2 as p
     where p.provider = p_provider;

  if not found then
    raise exception 'Cannot read the quota of provider "%": no such provider', p_provider
      using errcode = 'SY004',
            hint = 'See select provider from api_providers_v2';
  end if;
end
$$;
comment on function public.get_quota_usage_v2(text) is
  'Bytes used in the rolling 30 days (whole hours) and calls granted in the last minute, beside what is allowed after the safety margins. Null allowed: the limit is unknown. Raises SY004 for an unknown provider. For service_role and the SQL editor.';

create function public.is_quota_exceeded_v2(p_provider text)
returns boolean
language sql
stable
set search_path = ''
as $$
  select coalesce(q.bytes_used >= q.bytes_allowed, true)
    from public.get_quota_usage_v2(p_provider) as q
$$;
comment on function public.is_quota_exceeded_v2(text) is
  'Whether the rolling 30-day byte quota of a provider is used up; true when the quota is unknown. Raises SY004 for an unknown provider. For service_role and the SQL editor.';

create function switchyard.hold_provider(p_provider text, p_seconds integer, p_reason text)
returns void
language sql
volatile
set search_path = ''
as $$
  update public.api_providers_v2 as p
     set hold_until = clock_timestamp() + make_interval(secs => least(p_seconds, 86400)),
         hold_reason = p_reason,
         updated_at = clock_timestamp()
   where p.provider = p_provider
     and (p.hold_until is null
          or p.hold_until < clock_timestamp() + make_interval(secs => least(p_seconds, 86400)))
$$;
comment on function switchyard.hold_provider(text, integer, text) is
  'Stops claims for a provider for some seconds, at most a day; never shortens a longer hold.';

alter table public.api_providers_v2 enable row level security;
alter table public.api_data_usage_v2 enable row level security;
alter table switchyard.call_grants enable row level security;
alter table switchyard.failed_attempts enable row level security;
alter table switchyard.quota_sums enable row level security;

revoke all on table
  public.api_providers_v2, public.api_data_usage_v2, switchyard.call_grants,
  switchyard.failed_attempts, switchyard.quota_sums
from public, anon, authenticated, service_role;
-- Row locks (claims take one) need the update privilege on a column.
grant select, update (hold_until, hold_reason, breaker_state, breaker_changed_at, breaker_opened_at,
                      breaker_data_types, updated_at)
  on table public.api_providers_v2 to service_role;
grant select, insert, update on table public.api_data_usage_v2 to service_role;
grant select, insert, update, delete
  on table switchyard.call_grants, switchyard.failed_attempts, switchyard.quota_sums to service_role;

revoke all on function
  switchyard.ledger_window(),
  switchyard.calls_granted(text),
  public.get_quota_usage_v2(text),
  public.is_quota_exceeded_v2(text),
  switchyard.hold_provider(text, integer, text)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.ledger_window(),
  switchyard.calls_granted(text),
  public.get_quota_usage_v2(text),
  public.is_quota_exceeded_v2(text),
  switchyard.hold_provider(text, integer, text)
to service_role;
