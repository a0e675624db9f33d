-- Adds what the existing endpoints ask while use_queue_system is on: runs, calls, usage.

create table switchyard.endpoint_runs (
  endpoint text primary key,
  run_id uuid not null,
  started_at timestamptz not null,
  expires_at timestamptz not null,
  finished_at timestamptz,
  constraint endpoint_names_are_plain check (endpoint ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$'),
  constraint runs_end_after_they_start check (expires_at > started_at and finished_at >= started_at)
);
comment on table switchyard.endpoint_runs is
  'The last run of each endpoint, which holds the endpoint until it is finished or expires.';
comment on column switchyard.endpoint_runs.expires_at is
  'When the run counts as dead; moved by each call that it takes (switchyard.endpoint_lease).';

create function switchyard.endpoint_lease()
returns interval
language sql
immutable
set search_path = ''
as $$
  -- Longer than a vendor call (10 s) and a write (30 s) take together.
  select interval '60 seconds'
$$;
comment on function switchyard.endpoint_lease() is
  'How long the run of an endpoint is taken for alive after it last took a call.';

create function public.start_endpoint_run_v2(
  p_endpoint text,
  p_run_id uuid,
  p_is_trusted boolean default false
)
returns jsonb
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_pause interval := make_interval(secs => case
    when p_is_trusted then 0 else switchyard.setting_integer('endpoint_pause_seconds') end);
  v_run switchyard.endpoint_runs;
begin
  if p_run_id is null or coalesce(p_endpoint !~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$', true) then
    raise exception 'Cannot start a run of endpoint "%" with id %: wanted the name of an Edge Function and a uuid',
      coalesce(left(p_endpoint, 40), 'null'), coalesce(p_run_id::text, 'null')
      using errcode = 'SY016', hint = 'Pass the name as in the URL of the function, and a new uuid';
  end if;
  if not public.is_feature_enabled('use_queue_system') then
    return null;
  end if;

  insert into switchyard.endpoint_runs as r (endpoint, run_id, started_at, expires_at)
  values (p_endpoint, p_run_id, v_now, v_now + switchyard.endpoint_lease())
      on conflict (endpoint) do update
     set run_id = excluded.run_id,
         started_at = excluded.started_at,
         expires_at = excluded.expires_at,
         finished_at = null
   where (r.finished_at is not null or r.expires_at <= excluded.started_at)
     and r.started_at <= excluded.started_at - v_pause
     and r.run_id <> excluded.run_id;
  if found then
    return jsonb_build_object('started', true);
  end if;

  select r.* into v_run from switchyard.endpoint_runs as r where r.endpoint = p_endpoint;
  if v_run.run_id = p_run_id then
    return jsonb_build_object('started', v_run.finished_at is null);
  end if;
  return jsonb_build_object(
    'started', false,
    'reason', case
      when v_run.finished_at is null and v_run.expires_at > v_now
        then format('a run has been in progress for %s s', floor(extract(epoch from v_now - v_run.started_at)))
      else format('the last run started %s s ago, and they are %s s apart',
                  floor(extract(epoch from v_now - v_run.started_at)), extract(epoch from v_pause)::integer)
    end);
end
$$;
comment on function public.start_endpoint_run_v2(text, uuid, boolean) is
  'Lets one run of an endpoint go on at a time, endpoint_pause_seconds apart (p_is_trusted: without a pause): {started, reason}. Null: use_queue_system is off, and runs start as they like. The same id twice is once. A run that takes no call for a minute counts as dead. Raises SY016 without a name or an id. For service_role.';

create function public.finish_endpoint_run_v2(p_endpoint text, p_run_id uuid)
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
begin
  update switchyard.endpoint_runs as r
     set finished_at = clock_timestamp()
   where r.endpoint = p_endpoint and r.run_id = p_run_id and r.finished_at is null;
  return found;
end
$$;
comment on function public.finish_endpoint_run_v2(text, uuid) is
  'Ends the run of an endpoint. False when it has ended already or another one took its place. For service_role.';

create function public.take_vendor_calls_v2(
  p_provider text,
  p_calls integer default 1,
  p_run_id uuid default null
)
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_now timestamptz;
  v_left bigint;
  v_queue_calls bigint;
  v_endpoint_calls bigint;
  v_share bigint;
  v_mine bigint;
  v_oldest timestamptz;
  v_is_old_system boolean;
begin
  if p_calls is null or p_calls not between 1 and 1000 then
    raise exception 'Cannot take vendor calls: % calls, wanted 1 to 1000', coalesce(p_calls::text, 'null')
      using errcode = 'SY016', hint = 'Leave p_calls out for 1';
  end if;
  if not public.is_feature_enabled('use_queue_system') then
    return null;
  end if;
  -- As claims do: from here to commit the grants of a provider follow one another.
  perform 1
     from public.api_providers_v2 as p
    where p.provider = p_provider
      for no key update;
  if not found then
    raise exception 'Cannot take vendor calls: no provider "%"', p_provider
      using errcode = 'SY004', hint = 'See select provider from api_providers_v2';
  end if;
  v_now := clock_timestamp();

  -- Both at most once a second or so: waiting endpoints ask often.
  insert into switchyard.endpoint_use as u (provider, asked_at)
  values (p_provider, v_now)
      on conflict (provider) do update set asked_at = excluded.asked_at
   where u.asked_at < excluded.asked_at - interval '1 second';
  update switchyard.endpoint_runs as r
     set expires_at = v_now + switchyard.endpoint_lease()
   where r.run_id = p_run_id
     and r.finished_at is null
     and r.expires_at < v_now + switchyard.endpoint_lease() - interval '5 seconds';

  -- While an endpoint is the old system of any data type, it stops for nothing but the vendor itself and
  -- the minute: the byte quota, a pause, the breaker, an unknown limit are the queue's affair.
  v_is_old_system := not public.is_feature_enabled('use_new_staleness_check') or exists (
    select 1
      from public.data_type_registry_v2 as r
     where r.provider = p_provider and r.stage not in ('live', 'retired'));
  if (v_is_old_system and exists (
        select 1 from public.api_providers_v2 as p where p.provider = p_provider and p.hold_until > v_now))
     or (not v_is_old_system and (
        switchyard.provider_refusal(p_provider) is not null or switchyard.bytes_left(p_provider) <= 0)) then
    -- Nobody knows when a pause ends or the quota has room again.
    return (
      select greatest(1000, least(86400000, ceil(extract(epoch from case
               when v_is_old_system then p.hold_until - v_now
               when p.paused or p.calls_per_minute is null or p.bytes_per_30_days is null then interval '1 hour'
               when p.hold_until > v_now then p.hold_until - v_now
               when p.breaker_state <> 'closed'
                 then p.breaker_changed_at - v_now
                      + make_interval(secs => switchyard.setting_integer('breaker_open_seconds'))
               else interval '1 hour'
             end) * 1000)))::integer
        from public.api_providers_v2 as p
       where p.provider = p_provider
    );
  end if;

  select floor(p.calls_per_minute * (1 - p.calls_margin)) - used.calls,
         used.calls - used.endpoint_calls,
         used.endpoint_calls,
         switchyard.endpoint_calls(p_provider)
    into v_left, v_queue_calls, v_endpoint_calls, v_share
    from public.api_providers_v2 as p
   cross join lateral (
     select coalesce(sum(g.calls), 0) as calls, coalesce(sum(g.endpoint_calls), 0) as endpoint_calls
       from switchyard.call_grants as g
      where g.provider = p.provider and g.bucket > v_now - switchyard.ledger_window()
   ) as used
   where p.provider = p_provider;

  -- Beyond their share endpoints take what the queue does not want, and while it has been at work
  -- in this minute they leave it as much as it leaves them, for the viewer who comes next.
  v_mine := case
    when v_endpoint_calls + p_calls <= v_share then v_left
    when switchyard.queue_wants_calls(p_provider) then least(v_left, v_share - v_endpoint_calls)
    when v_queue_calls > 0 then v_left - v_share
    else v_left
  end;
  if v_mine < p_calls then
    -- Short is the minute as a whole, or the endpoints' part of it.
    select min(g.bucket) into v_oldest
      from switchyard.call_grants as g
     where g.provider = p_provider
       and g.bucket > v_now - switchyard.ledger_window()
       and (v_left < p_calls or g.endpoint_calls > 0);
    return greatest(100, ceil(extract(epoch from coalesce(
      v_oldest + switchyard.ledger_window() - v_now, interval '1 second')) * 1000))::integer;
  end if;

  -- Two seconds for the answer to reach the endpoint.
  insert into switchyard.call_grants as g (provider, bucket, calls, bytes, in_flight_until, endpoint_calls)
  values (p_provider, date_bin('100 milliseconds', v_now + interval '2 seconds', 'epoch'), p_calls, 0, v_now, p_calls)
      on conflict (provider, bucket) do update
     set calls = g.calls + excluded.calls,
         endpoint_calls = g.endpoint_calls + excluded.endpoint_calls;
  return 0;
end
$$;
comment on function public.take_vendor_calls_v2(text, integer, uuid) is
  'For vendor calls outside of the queue: counts them in the ledger, so that all callers together keep the limit, and keeps endpoints to endpoint_calls_share while the queue has work. 0: granted, to be made within 2.5 seconds; more: milliseconds after which it may be granted (less when the queue runs dry before; an hour where nobody can know); null: use_queue_system is off, nothing is counted. While the queue does not serve every data type of the provider, only a hold and the calls of the minute refuse. p_run_id: the run (start_endpoint_run_v2) that this shows to be alive. Raises SY004 for an unknown provider, SY016 for an absurd number. For service_role and the SQL editor.';

create function public.book_endpoint_usage_v2(
  p_provider text,
  p_data_type text,
  p_calls integer,
  p_failed_calls integer,
  p_bytes bigint
)
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
begin
  if p_data_type is null or coalesce(p_calls < 0 or p_failed_calls not between 0 and p_calls or p_bytes < 0, true) then
    raise exception 'Cannot book usage of "%": % calls, % of them failed, % bytes, wanted numbers from 0 and no more failed calls than calls',
      coalesce(p_data_type, 'null'), coalesce(p_calls::text, 'null'),
      coalesce(p_failed_calls::text, 'null'), coalesce(p_bytes::text, 'null')
      using errcode = 'SY016', hint = 'Pass what was used since the last booking';
  end if;
  if not public.is_feature_enabled('use_queue_system') then
    return false;
  end if;
  if not exists (select 1 from public.api_providers_v2 as p where p.provider = p_provider) then
    raise exception 'Cannot book usage: no provider "%"', coalesce(p_provider, 'null')
      using errcode = 'SY004', hint = 'See select provider from api_providers_v2';
  end if;
  insert into public.api_data_usage_v2 as u (provider, data_type, hour, calls, failed_calls, bytes)
  values (p_provider, p_data_type, date_trunc('hour', clock_timestamp(), 'UTC'), p_calls, p_failed_calls, p_bytes)
      on conflict (provider, data_type, hour) do update
     set calls = u.calls + excluded.calls,
         failed_calls = u.failed_calls + excluded.failed_calls,
         bytes = u.bytes + excluded.bytes;
  return true;
end
$$;
comment on function public.book_endpoint_usage_v2(text, text, integer, integer, bigint) is
  'Adds calls (the failed ones included) and answer bytes of an endpoint to the hourly usage and thereby to the byte quota. False: use_queue_system is off, nothing is booked. Raises SY004 for an unknown provider, SY016 for an absurd number. For service_role and the SQL editor.';

alter table switchyard.endpoint_runs enable row level security;
revoke all on table switchyard.endpoint_runs from public, anon, authenticated, service_role;
grant select, insert, update on table switchyard.endpoint_runs to service_role;

revoke all on function
  switchyard.endpoint_lease(),
  public.start_endpoint_run_v2(text, uuid, boolean),
  public.finish_endpoint_run_v2(text, uuid),
  public.take_vendor_calls_v2(text, integer, uuid),
  public.book_endpoint_usage_v2(text, text, integer, integer, bigint)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.endpoint_lease(),
  public.start_endpoint_run_v2(text, uuid, boolean),
  public.finish_endpoint_run_v2(text, uuid),
  public.take_vendor_calls_v2(text, integer, uuid),
  public.book_endpoint_usage_v2(text, text, integer, integer, bigint)
to service_role;
