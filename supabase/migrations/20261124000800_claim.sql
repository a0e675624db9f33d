-- Adds the claim: how processors take jobs. It returns nothing while use_queue_system is off.

create function switchyard.provider_refusal(p_provider text)
returns text
language sql
stable
set search_path = ''
as $$
  select case
           when p.calls_per_minute is null then 'calls_per_minute is unknown'
           when p.bytes_per_30_days is null then 'bytes_per_30_days is unknown'
           when p.hold_until > clock_timestamp()
             then format('on hold until %s: %s', p.hold_until, coalesce(p.hold_reason, 'no reason given'))
           when public.is_quota_exceeded_v2(p.provider) then 'the 30-day byte quota is used up'
         end
    from public.api_providers_v2 as p
   where p.provider = p_provider
$$;
comment on function switchyard.provider_refusal(text) is
  'Why no job of a provider can be claimed now; null when claims are open.';

create function switchyard.claim_provider_jobs(
  p_provider text,
  p_batch_size integer,
  p_run_id uuid,
  p_manual boolean,
  p_lease_seconds integer
)
returns setof switchyard.api_call_queue_v2_live
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_calls_left integer;
  v_bytes_left bigint;
  v_lease_token uuid := gen_random_uuid();
  v_refusal text;
begin
  -- Claims of one provider follow one another: the ledger below is only exact when each claim
  -- sees the grants of the one before. The lock is held for one statement's work.
  perform 1 from public.api_providers_v2 as p where p.provider = p_provider for no key update;

  v_refusal := switchyard.provider_refusal(p_provider);
  if v_refusal is not null then
    perform switchyard.record_event(
      'claim refused', jsonb_build_object('reason', v_refusal), 0, p_provider);
    return;
  end if;

  delete from switchyard.call_grants as g
   where g.provider = p_provider and g.granted_at <= clock_timestamp() - interval '60 seconds';

  select q.calls_allowed_per_minute - q.calls_used_last_minute, q.bytes_allowed - q.bytes_used
    into v_calls_left, v_bytes_left
    from public.get_quota_usage_v2(p_provider) as q;

  -- What is in flight has not been booked yet.
  select v_bytes_left - coalesce(sum(r.estimated_data_size_bytes), 0)
    into v_bytes_left
    from switchyard.api_call_queue_v2_live as q
    join public.data_type_registry_v2 as r using (data_type)
   where q.status = 'processing' and r.provider = p_provider;

  if v_calls_left <= 0 or v_bytes_left <= 0 then
    return;
  end if;

  return query
  with candidate as materialized (
    select q.id, q.data_type, q.priority, r.batch_size, r.api_calls_per_batch,
           r.estimated_data_size_bytes
      from switchyard.api_call_queue_v2_live as q
      join public.data_type_registry_v2 as r on r.data_type = q.data_type
     where q.status = 'pending'
       and q.run_after <= clock_timestamp()
       and r.provider = p_provider
       and (not p_manual or q.source = 'manual')
       and not exists (
         select 1
           from switchyard.api_call_queue_v2_live as parent
          where parent.data_type = r.depends_on and parent.symbol = q.symbol
       )
     order by q.priority desc, q.id
     limit p_batch_size
       for update of q skip locked
  ),
  numbered as (
    select c.*,
           row_number() over (partition by c.data_type order by c.priority desc, c.id) as place
      from candidate as c
  ),
  -- Jobs of one type share a group of calls: its first job pays for it.
  priced as (
    select n.*,
           case when (n.place - 1) % n.batch_size = 0 then n.api_calls_per_batch else 0 end as calls
      from numbered as n
  ),
  summed as (
    select p.*,
           sum(p.calls) over in_order as calls_so_far,
           sum(p.estimated_data_size_bytes) over in_order as bytes_so_far
      from priced as p
    window in_order as (order by p.priority desc, p.id)
  ),
  granted as (
    select s.id, s.calls
      from summed as s
     where s.calls_so_far <= v_calls_left and s.bytes_so_far <= v_bytes_left
  ),
  ledger as (
    insert into switchyard.call_grants (provider, calls)
    select p_provider, sum(g.calls)::integer from granted as g having sum(g.calls) > 0
  )
  update switchyard.api_call_queue_v2_live as q
     set status = 'processing',
         lease_token = v_lease_token,
         lease_expires_at = clock_timestamp() + make_interval(secs => p_lease_seconds),
         claimed_by = p_run_id,
         claimed_at = clock_timestamp()
    from granted as g
   where q.id = g.id
  returning q.*;
end
$$;
comment on function switchyard.claim_provider_jobs(text, integer, uuid, boolean, integer) is
  'Claims jobs of one provider within its limits: counts vendor calls against the grants of the last 60 seconds, and bytes (estimates, what is in flight included) against the quota.';

create function public.get_queue_batch_v2(
  p_batch_size integer default 50,
  p_run_id uuid default null,
  p_manual boolean default false,
  p_lease_seconds integer default 120
)
returns table (
  id bigint,
  symbol text,
  data_type text,
  priority integer,
  attempts integer,
  max_attempts integer,
  lease_token uuid,
  lease_expires_at timestamptz,
  batch_size integer,
  fetcher text,
  edge_function_name text
)
language plpgsql
volatile
set search_path = ''
as $$
#variable_conflict use_column
declare
  v_provider text;
  v_left integer := p_batch_size;
  v_claimed integer;
begin
  if p_batch_size is null or p_batch_size not between 1 and 1000 then
    raise exception 'Cannot claim jobs: batch size is %, wanted 1 to 1000',
      coalesce(p_batch_size::text, 'null')
      using errcode = 'SY011', hint = 'Leave p_batch_size out for 50';
  end if;
  if p_lease_seconds is null or p_lease_seconds not between 5 and 3600 then
    raise exception 'Cannot claim jobs: lease is % seconds, wanted 5 to 3600',
      coalesce(p_lease_seconds::text, 'null')
      using errcode = 'SY011', hint = 'Leave p_lease_seconds out for 120';
  end if;

  if not coalesce(p_manual, false) and not public.is_feature_enabled('use_queue_system') then
    return;
  end if;

  perform public.recover_stuck_jobs_v2();

  -- A loop over the few providers, because each has a ledger and limits of its own. The one
  -- with the most urgent job goes first.
  for v_provider in
    select r.provider
      from switchyard.api_call_queue_v2_live as q
      join public.data_type_registry_v2 as r on r.data_type = q.data_type
     where q.status = 'pending' and q.run_after <= clock_timestamp()
       and (not coalesce(p_manual, false) or q.source = 'manual')
     group by r.provider
     order by max(q.priority) desc, r.provider
  loop
    exit when v_left <= 0;
    return query
      select q.id, q.symbol, q.data_type, q.priority, q.attempts, r.max_attempts,
             q.lease_token, q.lease_expires_at, r.batch_size, r.fetcher, r.edge_function_name
        from switchyard.claim_provider_jobs(
               v_provider, v_left, p_run_id, coalesce(p_manual, false), p_lease_seconds) as q
        join public.data_type_registry_v2 as r on r.data_type = q.data_type
       order by q.priority desc, q.id;
    get diagnostics v_claimed = row_count;
    v_left := v_left - v_claimed;
    if v_claimed > 0 then
      perform switchyard.record_event(
        'claim', jsonb_build_object('run_id', p_run_id, 'manual', coalesce(p_manual, false)),
        v_claimed, v_provider);
    end if;
  end loop;
end
$$;
comment on function public.get_queue_batch_v2(integer, uuid, boolean, integer) is
  'Claims up to p_batch_size due jobs, most urgent first, within the limits of their providers; each comes with a lease token that settle wants back before lease_expires_at. Empty when nothing is due, the limits are used up, or use_queue_system is off and p_manual is false. p_manual claims manual jobs only, whatever the flags say. Raises SY011 for an absurd batch size or lease. For service_role and the SQL editor.';

revoke all on function
  switchyard.provider_refusal(text),
  switchyard.claim_provider_jobs(text, integer, uuid, boolean, integer),
  public.get_queue_batch_v2(integer, uuid, boolean, integer)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.provider_refusal(text),
  switchyard.claim_provider_jobs(text, integer, uuid, boolean, integer),
  public.get_queue_batch_v2(integer, uuid, boolean, integer)
to service_role;
