-- Adds the claim: how processors take jobs. It returns nothing while use_queue_system is off.

create table switchyard.claim_cursors (
  provider text primary key references public.api_providers_v2 (provider) on delete cascade,
  rank integer not null,
  job_id bigint not null,
  oldest_id bigint not null,
  next_pass_at timestamptz not null
) with (fillfactor = 20);
comment on table switchyard.claim_cursors is
  'Where the claims of a provider have got to in the two orders of the queue. Until next_pass_at claims go on from there; then the next one begins at the head.';
comment on column switchyard.claim_cursors.rank is
  'Negative priority of the last job; with job_id its place in the order of urgency.';
comment on column switchyard.claim_cursors.oldest_id is
  'Last job that was claimed for its age.';

create function switchyard.claim_provider_jobs(
  p_provider text,
  p_batch_size integer,
  p_run_id uuid,
  p_manual boolean,
  p_lease_seconds integer,
  p_from_head boolean default false
)
returns switchyard.claimed_job[]
language plpgsql
volatile
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_cursor switchyard.claim_cursors;
  v_from_head boolean;
  v_last integer;
  v_lease_token uuid := gen_random_uuid();
  v_refusal text := switchyard.provider_refusal(p_provider);
  v_batch_size integer := p_batch_size;
  v_breaker text;
  v_failed_types text[];
  v_left_out text[];
  v_jobs switchyard.claimed_job[];
  v_calls_left bigint;
  v_bytes_left bigint;
  v_calls bigint;
  v_bytes bigint;
  v_kept integer;
  v_started_at timestamptz;
  v_scan_ms double precision;
begin
  if v_refusal is not null then
    perform switchyard.record_event(
      'claim refused', jsonb_build_object('reason', v_refusal), 0, p_provider);
    return null;
  end if;
  v_calls_left := switchyard.calls_left(p_provider);
  v_bytes_left := switchyard.bytes_left(p_provider);
  if v_calls_left <= 0 or v_bytes_left <= 0
     or switchyard.is_saving_calls(p_provider, v_calls_left, v_bytes_left, p_manual) then
    return null;
  end if;
  select p.breaker_state, case when p.breaker_state <> 'closed' then p.breaker_data_types else '{}' end
    into v_breaker, v_failed_types
    from public.api_providers_v2 as p
   where p.provider = p_provider;
  if v_breaker <> 'closed' then
    v_batch_size := 1;
  end if;

  v_started_at := clock_timestamp();
  select c.* into v_cursor
    from switchyard.claim_cursors as c
   where c.provider = p_provider and c.next_pass_at > v_started_at and not p_from_head;
  v_from_head := not found;
  if v_from_head then
    v_cursor := (p_provider, -2147483648, 0, 0, v_started_at);
  end if;
  -- A probe is of a data type that has not failed, else of one that has not failed last, else of any: one
  -- endpoint of the vendor that goes on failing must not keep the others from closing the breaker.
  for v_left_out in
    select v_failed_types
    union all
    select v_failed_types[cardinality(v_failed_types):] where cardinality(v_failed_types) > 1
    union all
    select '{}' where v_failed_types <> '{}'
  loop
    v_jobs := switchyard.mark_jobs(
      p_provider, v_batch_size, v_calls_left, v_bytes_left, p_run_id, p_manual, p_lease_seconds,
      v_lease_token, v_cursor.rank, v_cursor.job_id,
      switchyard.setting_integer('oldest_slots_percent') / 100.0, v_cursor.oldest_id, v_left_out);
    exit when v_jobs is not null;
  end loop;
  if v_jobs is null then
    if not v_from_head then
      -- Nothing is left from there on: look at the whole queue before saying that it is empty.
      return switchyard.claim_provider_jobs(
        p_provider, p_batch_size, p_run_id, p_manual, p_lease_seconds, true);
    end if;
    return null;
  end if;
  perform switchyard.record_event(
    'claim', jsonb_build_object('run_id', p_run_id, 'manual', p_manual), cardinality(v_jobs),
    p_provider);
  v_scan_ms := extract(epoch from clock_timestamp() - v_started_at) * 1000;

  -- From here to commit claims of one provider follow one another: the ledger is only exact when
  -- each sees the grants of the one before. What another claim has used up since is given back, from
  -- the end of the order in which the calls were priced: who pays for a group stays in it.
  select p.breaker_state into v_breaker
    from public.api_providers_v2 as p
   where p.provider = p_provider
     for no key update;
  -- A hold, a pause or an open breaker may have come in while the scan went on.
  v_calls_left := case when switchyard.provider_refusal(p_provider) is null
                       then switchyard.calls_left(p_provider) else 0 end;
  v_bytes_left := switchyard.bytes_left(p_provider);
  v_kept := cardinality(v_jobs);
  select sum(m.calls), sum(m.bytes) into v_calls, v_bytes from unnest(v_jobs) as m;
  if v_calls > v_calls_left or v_bytes > v_bytes_left or v_breaker <> 'closed' then
    select count(*) into v_kept
      from (
        select sum(m.calls) over (order by m.place) as calls,
               sum(m.bytes) over (order by m.place) as bytes,
               m.place
          from unnest(v_jobs) with ordinality as m (
                 id, symbol, data_type, priority, attempts, max_attempts, lease_token,
                 lease_expires_at, batch_size, api_calls_per_batch, fetcher, edge_function_name,
                 calls, bytes, for_its_age, place)
      ) as so_far
     where so_far.calls <= v_calls_left
       and so_far.bytes <= v_bytes_left
       and (v_breaker = 'closed' or so_far.place = 1);
  end if;

  if v_kept < cardinality(v_jobs) then
    update switchyard.api_call_queue_v2_live as q
       set status = 'pending', lease_token = null, lease_expires_at = null
     where q.id = any (array(select given_back.id from unnest(v_jobs[v_kept + 1:]) as given_back))
       and q.finished_at = 'infinity';
    if v_kept = 0 then
      return null;
    end if;
    v_jobs := v_jobs[:v_kept];
  end if;
  insert into switchyard.call_grants as g (provider, bucket, calls, bytes, in_flight_until)
  select p_provider,
         date_bin('100 milliseconds', clock_timestamp() + make_interval(secs => spread.seconds), 'epoch'),
         sum(spread.calls), sum(spread.bytes),
         clock_timestamp() + make_interval(secs => p_lease_seconds)
    from (
      select m.calls, m.bytes,
             greatest(r.calls_spread_seconds, case when r.fetcher = 'edge-function' then 60 else 0 end) as seconds
        from unnest(v_jobs) as m
        join public.data_type_registry_v2 as r on r.data_type = m.data_type
    ) as spread
   group by spread.seconds
   order by spread.seconds
      on conflict (provider, bucket) do update
     set calls = g.calls + excluded.calls,
         bytes = g.bytes + excluded.bytes,
         in_flight_until = greatest(g.in_flight_until, excluded.in_flight_until);
  if v_breaker <> 'closed' then
    update public.api_providers_v2 as p
       set breaker_state = 'half-open', breaker_changed_at = clock_timestamp()
     where p.provider = p_provider;
  end if;

  -- At the head of the queue lie the jobs that others hold and the entries of those just finished;
  -- while an old snapshot keeps vacuum away, of all finished since. So under a backlog claims go on
  -- from where the last one stopped, for 20 ms or ten times what a scan from the head took; what
  -- comes in or back at the head meanwhile waits that long.
  if v_kept = v_batch_size and v_batch_size >= 20 then
    select coalesce(max(m.id), v_cursor.oldest_id) into v_cursor.oldest_id
      from unnest(v_jobs) as m
     where m.for_its_age;
    v_last := v_kept;
    while v_last > 0 and v_jobs[v_last].for_its_age loop
      v_last := v_last - 1;
    end loop;
    if v_last > 0 then
      v_cursor.rank := -v_jobs[v_last].priority;
      v_cursor.job_id := v_jobs[v_last].id;
    end if;
    if v_from_head then
      v_cursor.next_pass_at := v_started_at + make_interval(secs => greatest(0.02, least(v_scan_ms / 100, 1)));
    end if;
    insert into switchyard.claim_cursors as c (provider, rank, job_id, oldest_id, next_pass_at)
    select v_cursor.*
        on conflict (provider) do update
       set rank = excluded.rank,
           job_id = excluded.job_id,
           oldest_id = excluded.oldest_id,
           next_pass_at = excluded.next_pass_at;
  elsif not v_from_head then
    update switchyard.claim_cursors as c
       set next_pass_at = v_started_at
     where c.provider = p_provider;
  end if;

  return v_jobs;
end
$$;
comment on function switchyard.claim_provider_jobs(text, integer, uuid, boolean, integer, boolean) is
  'Claims jobs of one provider within its limits: counts vendor calls against the grants of the last minute, and bytes (estimates, what is in flight included) against the quota. p_from_head: whatever the cursor says.';

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
  api_calls_per_batch integer,
  fetcher text,
  edge_function_name text
)
language plpgsql
volatile
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
  v_provider text;
  v_share integer;
  v_jobs switchyard.claimed_job[];
  v_claimed_so_far integer := 0;
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
  perform switchyard.queue_missing_parents();

  -- A loop over the few providers, because each has a ledger and limits of its own. In the order of
  -- their names, or two claims could wait for each other; those with work each have their share of
  -- the batch, or the first could keep all of it from the others.
  for v_provider, v_share in
    select p.provider,
           ceil(p_batch_size::numeric / count(*) over ()
                * row_number() over (order by p.provider))::integer
      from public.api_providers_v2 as p
        -- A cursor that is in use means a backlog, and spares the look past what others hold.
     where exists (
             select 1
               from switchyard.claim_cursors as c
              where c.provider = p.provider and c.next_pass_at > clock_timestamp())
        or exists (
             select 1
               from switchyard.api_call_queue_v2_live as q
              where q.provider = p.provider and not q.delayed and q.status = 'pending'
                and q.run_after <= clock_timestamp())
        or exists (
             select 1
               from switchyard.api_call_queue_v2_live as q
              where q.provider = p.provider and q.delayed and q.run_after <= clock_timestamp())
     order by p.provider
  loop
    continue when v_claimed_so_far >= v_share;
    v_jobs := switchyard.claim_provider_jobs(
      v_provider, v_share - v_claimed_so_far, p_run_id, coalesce(p_manual, false), p_lease_seconds);
    v_claimed_so_far := v_claimed_so_far + coalesce(cardinality(v_jobs), 0);
    return query
      select j.id, j.symbol, j.data_type, j.priority, j.attempts, j.max_attempts, j.lease_token,
             j.lease_expires_at, j.batch_size, j.api_calls_per_batch, j.fetcher,
             j.edge_function_name
        from unnest(v_jobs) as j;
  end loop;
end
$$;
comment on function public.get_queue_batch_v2(integer, uuid, boolean, integer) is
  'Claims up to p_batch_size due jobs, most urgent first (one slot in ten: oldest first), within the limits of their providers; each comes with a lease token that settle wants back before lease_expires_at. Empty when nothing is due, the limits are used up, or use_queue_system is off and p_manual is false. p_manual claims manual jobs only, whatever the flags say. Raises SY011 for an absurd batch size or lease. For service_role and the SQL editor.';

alter table switchyard.claim_cursors enable row level security;
revoke all on table switchyard.claim_cursors from public, anon, authenticated, service_role;
grant select, insert, update on table switchyard.claim_cursors to service_role;

revoke all on function
  switchyard.claim_provider_jobs(text, integer, uuid, boolean, integer, boolean),
  public.get_queue_batch_v2(integer, uuid, boolean, integer)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.claim_provider_jobs(text, integer, uuid, boolean, integer, boolean),
  public.get_queue_batch_v2(integer, uuid, boolean, integer)
to service_role;
