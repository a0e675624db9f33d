-- Adds the first half of a claim: which jobs it takes. Nothing calls it yet.

create type switchyard.claimed_job as (
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
  edge_function_name text,
  calls integer,
  bytes bigint,
  for_its_age boolean
);
comment on type switchyard.claimed_job is
  'A job as a processor gets it, and the vendor calls and estimated bytes that its claim counts.';

-- Planner settings: the queue goes from empty to full between two ANALYZE runs, and plans are kept.
-- At every size only the ordered index scan is right to find jobs, the key to touch them, and a hash
-- to join them with what is known about them; a loop would be over the whole queue if it was empty when
-- the plan was made.
-- Lock timeout: "skip locked" does wait when the row that it has found was updated a moment ago and its new
-- version is being changed, and whoever changes it may wait for a row that this claim has marked. Shorter
-- than deadlock_timeout, so that the claim gives way (55P03, asked again by processors), not the other.
create function switchyard.mark_jobs(
  p_provider text,
  p_batch_size integer,
  p_calls_left bigint,
  p_bytes_left bigint,
  p_run_id uuid,
  p_manual boolean,
  p_lease_seconds integer,
  p_lease_token uuid,
  p_from_rank integer,
  p_from_job_id bigint,
  p_oldest_share double precision,
  p_oldest_from bigint,
  p_left_out text[]
)
returns switchyard.claimed_job[]
language plpgsql
volatile
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_nestloop = off
set plan_cache_mode = force_generic_plan
set lock_timeout = '100ms'
as $$
declare
  v_jobs switchyard.claimed_job[];
  v_held_types text[];
  v_child_types text[];
  v_parent_types text[];
  v_started_at timestamptz := clock_timestamp();
  -- Where in the first tenth (or whatever the share is) the first of the oldest comes.
  v_phase double precision := random();
begin
  update switchyard.api_call_queue_v2_live as q
     set delayed = false
   where q.id = any (array(
           select d.id
             from switchyard.api_call_queue_v2_live as d
            where d.delayed and d.run_after <= v_started_at
              for update skip locked))
     and q.finished_at = 'infinity';

  -- What cannot go out must not fill the batch either: paused and held types, and those of which a single
  -- group of calls or a single job is more than is left.
  select coalesce(array_agg(r.data_type) filter (
           where r.paused or r.data_type = any (p_left_out) or r.api_calls_per_batch > p_calls_left
              or r.estimated_data_size_bytes > p_bytes_left
              or exists (
                select 1
                  from switchyard.data_type_holds as h
                 where h.data_type = r.data_type and h.hold_until > v_started_at)), '{}'),
         coalesce(array_agg(r.data_type order by r.data_type) filter (where r.depends_on is not null), '{}'),
         coalesce(array_agg(r.depends_on order by r.data_type) filter (where r.depends_on is not null), '{}')
    into v_held_types, v_child_types, v_parent_types
    from public.data_type_registry_v2 as r
   where r.provider = p_provider;

  with urgent as materialized (
    select q.id, q.data_type, q.priority
      from switchyard.api_call_queue_v2_live as q
     where q.provider = p_provider
       and not q.delayed
       and (-q.priority, q.id) >= (p_from_rank, p_from_job_id)
       and q.status = 'pending'
       and q.run_after <= v_started_at
       and (not p_manual or q.source = 'manual')
       and q.data_type <> all (v_held_types)
       and (q.data_type <> all (v_child_types)
            or not exists (
              select 1
                from switchyard.api_call_queue_v2_live as parent
               where parent.data_type = v_parent_types[array_position(v_child_types, q.data_type)]
                 and parent.symbol = q.symbol))
     order by -q.priority, q.id
     limit p_batch_size
       for update skip locked
  ),
  oldest as materialized (
    select q.id, q.data_type, q.priority
      from switchyard.api_call_queue_v2_live as q
     where q.provider = p_provider
       and not q.delayed
       and q.id > p_oldest_from
       and q.status = 'pending'
       and q.run_after <= v_started_at
       and (not p_manual or q.source = 'manual')
       and q.data_type <> all (v_held_types)
       and (q.data_type <> all (v_child_types)
            or not exists (
              select 1
                from switchyard.api_call_queue_v2_live as parent
               where parent.data_type = v_parent_types[array_position(v_child_types, q.data_type)]
                 and parent.symbol = q.symbol))
     order by q.id
     limit ceil(p_batch_size * p_oldest_share)
       for update skip locked
  ),
  -- One of the oldest comes among so many urgent ones, wherever the grant ends; what they displace
  -- stays pending.
  candidate as materialized (
    select c.id, c.data_type, c.for_its_age, r.batch_size, r.api_calls_per_batch,
           r.estimated_data_size_bytes as bytes,
           row_number() over (order by c.turn, c.id) as place
      from (
        select o.id, o.data_type, true as for_its_age,
               (row_number() over (order by o.id) - v_phase) / p_oldest_share as turn
          from oldest as o
        union all
        select u.id, u.data_type, false,
               row_number() over (order by -u.priority, u.id) / greatest(1 - p_oldest_share, 1e-9)
          from urgent as u
         where u.id <> all (array(select o.id from oldest as o))
        order by turn, id
        limit p_batch_size
      ) as c
      join public.data_type_registry_v2 as r on r.data_type = c.data_type
  ),
  priced as (
    select c.id, c.for_its_age, c.bytes, c.place,
           -- Jobs of one type share a group of calls: its first job pays for it.
           case when (row_number() over (partition by c.data_type order by c.place) - 1)
                     % c.batch_size = 0
                then c.api_calls_per_batch else 0 end as calls
      from candidate as c
  ),
  granted as materialized (
    select s.id, s.for_its_age, s.bytes, s.place, s.calls
      from (
        select p.*,
               sum(p.calls) over in_order as calls_so_far,
               sum(p.bytes) over in_order as bytes_so_far
          from priced as p
        window in_order as (order by p.place)
      ) as s
     where s.calls_so_far <= p_calls_left and s.bytes_so_far <= p_bytes_left
  ),
  marked as (
    update switchyard.api_call_queue_v2_live as q
       set status = 'processing',
           lease_token = p_lease_token,
           lease_expires_at = clock_timestamp() + make_interval(secs => p_lease_seconds),
           claimed_by = p_run_id,
           claimed_at = clock_timestamp()
     where q.id = any (array(select g.id from granted as g)) and q.finished_at = 'infinity'
    returning q.id, q.symbol, q.data_type, q.priority, q.attempts, q.lease_expires_at
  )
  select array_agg((
           m.id, m.symbol, m.data_type, m.priority, m.attempts, r.max_attempts, p_lease_token,
           m.lease_expires_at, r.batch_size, r.api_calls_per_batch, r.fetcher, r.edge_function_name,
           g.calls, g.bytes, g.for_its_age
         )::switchyard.claimed_job order by g.place)
    into v_jobs
    from marked as m
    join granted as g on g.id = m.id
    join public.data_type_registry_v2 as r on r.data_type = m.data_type;
  return v_jobs;
end
$$;
comment on function switchyard.mark_jobs(text, integer, bigint, bigint, uuid, boolean, integer, uuid, integer, bigint, double precision, bigint, text[]) is
  'Marks due jobs of one provider as processing, most urgent first, as many as the given calls and bytes pay for. Starts at (p_from_rank, p_from_job_id) in the order of urgency; a share of them (0 to 1) are the oldest jobs after p_oldest_from, spread among the others. None of the data types in p_left_out.';

create function switchyard.is_saving_calls(
  p_provider text,
  p_calls_left bigint,
  p_bytes_left bigint,
  p_manual boolean
)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  v_starved_since timestamptz := clock_timestamp()
    - make_interval(secs => switchyard.setting_integer('starved_after_seconds'));
begin
  -- Under a used-up limit calls come free one at a time, and types that need one would take each
  -- before there are enough for the others. Some jobs of a type stand for all.
  return exists (
    select 1
      from public.data_type_registry_v2 as r
     where r.provider = p_provider
       and not r.paused
       and not exists (
         select 1
           from switchyard.data_type_holds as h
          where h.data_type = r.data_type and h.hold_until > clock_timestamp())
       and r.estimated_data_size_bytes <= p_bytes_left
       and r.api_calls_per_batch > p_calls_left
       and r.api_calls_per_batch <= (
         select floor(p.calls_per_minute * (1 - p.calls_margin))
           from public.api_providers_v2 as p
          where p.provider = p_provider)
       and exists (
         select 1
           from (select q.symbol, q.run_after
                   from switchyard.api_call_queue_v2_live as q
                  where q.data_type = r.data_type
                    and q.status = 'pending'
                    and not q.delayed
                    and (not p_manual or q.source = 'manual')
                  limit 1000) as few
          where few.run_after < v_starved_since
            and not exists (
              select 1
                from switchyard.api_call_queue_v2_live as parent
               where parent.data_type = r.depends_on and parent.symbol = few.symbol))
  );
end
$$;
comment on function switchyard.is_saving_calls(text, bigint, bigint, boolean) is
  'Whether the calls that are left are saved up for a type whose jobs need more than that and have waited starved_after_seconds.';

revoke all on function
  switchyard.mark_jobs(text, integer, bigint, bigint, uuid, boolean, integer, uuid, integer, bigint, double precision, bigint, text[]),
  switchyard.is_saving_calls(text, bigint, bigint, boolean)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.mark_jobs(text, integer, bigint, bigint, uuid, boolean, integer, uuid, integer, bigint, double precision, bigint, text[]),
  switchyard.is_saving_calls(text, bigint, bigint, boolean)
to service_role;
