-- Adds the shares that the queue and the endpoints have in a provider's calls. Nothing asks yet.

create table switchyard.endpoint_use (
  provider text primary key references public.api_providers_v2 (provider) on delete cascade,
  asked_at timestamptz not null
);
comment on table switchyard.endpoint_use is
  'When an endpoint last asked for calls of a provider, to the second: for a ledger_window after that endpoints count as in use.';

create table switchyard.data_type_holds (
  data_type text primary key references public.data_type_registry_v2 (data_type)
    on update cascade on delete cascade,
  hold_until timestamptz not null,
  reason text not null
);
comment on table switchyard.data_type_holds is
  'Data types of which nothing is claimed before hold_until, while the other types of their provider go on. Deleting the row ends the hold.';

create function switchyard.hold_data_type(p_data_type text, p_seconds integer, p_reason text)
returns void
language sql
volatile
set search_path = ''
as $$
  insert into switchyard.data_type_holds as h (data_type, hold_until, reason)
  values (p_data_type, clock_timestamp() + make_interval(secs => p_seconds), p_reason)
      on conflict (data_type) do update
     set hold_until = excluded.hold_until, reason = excluded.reason
   where h.hold_until < excluded.hold_until
$$;
comment on function switchyard.hold_data_type(text, integer, text) is
  'Stops claims of one data type for some seconds; never shortens a longer hold.';

create function switchyard.endpoint_calls(p_provider text)
returns bigint
language plpgsql
stable
set search_path = ''
as $$
begin
  -- What is left of the minute must be enough for the type that needs most at once, or saving up for it
  -- would go on for as long as endpoints are in use.
  return (
    select greatest(0, least(
             ceil(l.allowed * (switchyard.setting('endpoint_calls_share') #>> '{}')::numeric),
             l.allowed - coalesce((
               select max(r.api_calls_per_batch)
                 from public.data_type_registry_v2 as r
                where r.provider = p_provider and r.api_calls_per_batch <= l.allowed), 0)))
      from (
        select floor(p.calls_per_minute * (1 - p.calls_margin)) as allowed
          from public.api_providers_v2 as p
         where p.provider = p_provider
      ) as l
  );
end
$$;
comment on function switchyard.endpoint_calls(text) is
  'Calls in a minute that are the endpoints'' own: endpoint_calls_share of what is allowed, or less where the queue has a data type that needs the rest at once. Null when the limit is unknown.';

create function switchyard.calls_left(p_provider text)
returns bigint
language plpgsql
stable
set search_path = ''
as $$
declare
  v_since timestamptz := clock_timestamp() - switchyard.ledger_window();
begin
  return (
    select floor(p.calls_per_minute * (1 - p.calls_margin))::bigint - used.calls
           - case
               when exists (
                 select 1
                   from switchyard.endpoint_use as u
                  where u.provider = p.provider and u.asked_at > v_since)
               then greatest(0, switchyard.endpoint_calls(p.provider) - used.endpoint_calls)
               else 0
             end
      from public.api_providers_v2 as p
     cross join lateral (
       select coalesce(sum(g.calls), 0) as calls, coalesce(sum(g.endpoint_calls), 0) as endpoint_calls
         from switchyard.call_grants as g
        where g.provider = p.provider and g.bucket > v_since
     ) as used
     where p.provider = p_provider
  );
end
$$;
comment on function switchyard.calls_left(text) is
  'Vendor calls that a claim may grant now: what is left of the minute, less what is left of the endpoints'' share while they are in use. Negative after the limit was lowered, null when it is unknown.';

-- Planner setting: as for claims (switchyard.mark_jobs).
create function switchyard.queue_wants_calls(p_provider text)
returns boolean
language plpgsql
stable
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  -- A queue whose processors have died must not keep calls from the endpoints.
  return switchyard.is_processor_alive() and exists (
    select 1
      from public.data_type_registry_v2 as r
     where r.provider = p_provider
       and not r.paused
       and not exists (
         select 1
           from switchyard.data_type_holds as h
          where h.data_type = r.data_type and h.hold_until > v_now)
       and exists (
         select 1
           from switchyard.api_call_queue_v2_live as q
          where q.data_type = r.data_type
            and q.status = 'pending'
            and not q.delayed
            and q.run_after <= v_now
            and not exists (
              select 1
                from switchyard.api_call_queue_v2_live as parent
               where parent.data_type = r.depends_on and parent.symbol = q.symbol))
  );
end
$$;
comment on function switchyard.queue_wants_calls(text) is
  'Whether a processor is alive and has due jobs of a provider that it could fetch with more calls.';

alter table switchyard.endpoint_use enable row level security;
alter table switchyard.data_type_holds enable row level security;

revoke all on table switchyard.endpoint_use, switchyard.data_type_holds
  from public, anon, authenticated, service_role;
grant select, insert, update on table switchyard.endpoint_use, switchyard.data_type_holds to service_role;

revoke all on function
  switchyard.hold_data_type(text, integer, text),
  switchyard.endpoint_calls(text),
  switchyard.calls_left(text),
  switchyard.queue_wants_calls(text)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.hold_data_type(text, integer, text),
  switchyard.endpoint_calls(text),
  switchyard.calls_left(text),
  switchyard.queue_wants_calls(text)
to service_role;
