-- Adds recovery and the functions for people and runbooks. Nothing calls them by itself yet.

create function public.recover_stuck_jobs_v2()
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_conclusions switchyard.job_conclusion[];
  v_symbols text[];
  v_data_types text[];
begin
  select array_agg(stuck.symbol), array_agg(stuck.data_type), array_agg((
           stuck.id, null,
           case when stuck.attempts + 1 >= r.max_attempts then 'failed' else 'pending' end,
           1, switchyard.retry_at(stuck.attempts),
           jsonb_build_object(
             'at', clock_timestamp(), 'class', 'retryable', 'code', 'lease_expired',
             'message', format('Lease of processor run %s expired at %s',
                               coalesce(stuck.claimed_by::text, 'unknown'), stuck.lease_expires_at)),
           0, 0, 0
         )::switchyard.job_conclusion)
    into v_symbols, v_data_types, v_conclusions
    from (
      select q.*
        from switchyard.api_call_queue_v2_live as q
       where q.status = 'processing' and q.lease_expires_at <= clock_timestamp()
       order by q.id
         for update skip locked
    ) as stuck
    join public.data_type_registry_v2 as r on r.data_type = stuck.data_type;

  if v_conclusions is null then
    return 0;
  end if;
  perform switchyard.conclude_jobs(v_conclusions);
  -- A child that waits for a parent whose processors die must hear of it.
  insert into switchyard.refresh_state as s (symbol, data_type, last_checked_at, consecutive_failures)
  select lost.symbol, lost.data_type, '-infinity', 1
    from unnest(v_symbols, v_data_types) as lost (symbol, data_type)
   order by lost.data_type, lost.symbol
      on conflict (data_type, symbol) do update
     set consecutive_failures = s.consecutive_failures + 1;
  perform switchyard.record_event('recover', '{}', cardinality(v_conclusions));
  return cardinality(v_conclusions);
end
$$;
comment on function public.recover_stuck_jobs_v2() is
  'Gives back jobs whose lease expired, counting an attempt; those out of attempts end in failed. Returns their number. For service_role and the SQL editor.';

create function switchyard.settle_one_job(p_result jsonb)
returns text
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_outcome text;
  v_detail text;
begin
  select s.outcome, s.detail into v_outcome, v_detail
    from public.settle_queue_batch_v2(jsonb_build_array(p_result)) as s;
  if v_outcome in ('lease_lost', 'malformed') then
    raise exception 'Cannot settle job %: %', p_result ->> 'job_id', v_detail
      using errcode = case v_outcome when 'lease_lost' then 'SY013' else 'SY012' end,
            hint = 'See select status, lease_token, lease_expires_at from api_call_queue_v2 where id = …';
  end if;
  return v_outcome;
end
$$;
comment on function switchyard.settle_one_job(jsonb) is
  'Settles a single result and returns its outcome. Raises SY013 for a lost lease, SY012 for a malformed result.';

create function public.complete_queue_job_v2(
  p_job_id bigint,
  p_lease_token uuid,
  p_rows jsonb default '[]',
  p_calls integer default 0,
  p_bytes bigint default 0
)
returns text
language sql
volatile
set search_path = ''
as $$
  select switchyard.settle_one_job(jsonb_build_object(
    'job_id', p_job_id, 'lease_token', p_lease_token, 'outcome', 'completed',
    'rows', p_rows, 'calls', p_calls, 'bytes', p_bytes))
$$;
comment on function public.complete_queue_job_v2(bigint, uuid, jsonb, integer, bigint) is
  'Settles one claimed job as completed with its rows ([]: the vendor has nothing). Returns the outcome. Raises SY013 when the lease is lost. For service_role and the SQL editor.';

create function public.fail_queue_job_v2(
  p_job_id bigint,
  p_lease_token uuid,
  p_message text,
  p_class text default 'retryable',
  p_code text default 'manual'
)
returns text
language sql
volatile
set search_path = ''
as $$
  select switchyard.settle_one_job(jsonb_build_object(
    'job_id', p_job_id, 'lease_token', p_lease_token, 'outcome', 'failed',
    'error', jsonb_build_object('class', p_class, 'code', p_code, 'message', p_message)))
$$;
comment on function public.fail_queue_job_v2(bigint, uuid, text, text, text) is
  'Settles one claimed job as failed with an error class (retryable, rate_limited, quota, auth, permanent, dependency). Returns the outcome: rescheduled, released or failed. Raises SY013 when the lease is lost. For service_role and the SQL editor.';

create function public.reset_job_immediate_v2(p_job_id bigint)
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
begin
  update switchyard.api_call_queue_v2_live as q
     set status = 'pending',
         lease_token = null,
         lease_expires_at = null,
         delayed = false,
         run_after = clock_timestamp()
   where q.id = p_job_id;
  if found then
    perform switchyard.wake_processor();
    return true;
  end if;
  return false;
end
$$;
comment on function public.reset_job_immediate_v2(bigint) is
  'Makes a live job due at once and voids its lease, whoever holds it; counts no attempt. False when there is no such live job. For service_role and the SQL editor.';

create function public.extend_leases_v2(p_lease_token uuid, p_lease_seconds integer default 120)
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_extended integer;
begin
  if p_lease_seconds is null or p_lease_seconds not between 5 and 3600 then
    raise exception 'Cannot extend a lease: % seconds, wanted 5 to 3600',
      coalesce(p_lease_seconds::text, 'null')
      using errcode = 'SY011', hint = 'Leave p_lease_seconds out for 120';
  end if;
  -- Locked in the order of the unique key, as all that lock several jobs do.
  with held as materialized (
    select q.id
      from switchyard.api_call_queue_v2_live as q
     where q.status = 'processing'
       and q.lease_token = p_lease_token
       and q.lease_expires_at > clock_timestamp()
     order by q.data_type, q.symbol
       for update
  )
  update switchyard.api_call_queue_v2_live as q
     set lease_expires_at = greatest(
           q.lease_expires_at, clock_timestamp() + make_interval(secs => p_lease_seconds))
   where q.id = any (array(select h.id from held as h)) and q.finished_at = 'infinity';
  get diagnostics v_extended = row_count;
  -- Their bytes are in flight for as much longer.
  insert into switchyard.call_grants as g (provider, bucket, calls, bytes, in_flight_until)
  select q.provider, date_bin('100 milliseconds', clock_timestamp(), 'epoch'), 0,
         sum(r.estimated_data_size_bytes), clock_timestamp() + make_interval(secs => p_lease_seconds)
    from switchyard.api_call_queue_v2_live as q
    join public.data_type_registry_v2 as r on r.data_type = q.data_type
   where q.status = 'processing' and q.lease_token = p_lease_token
   group by q.provider
   order by q.provider
      on conflict (provider, bucket) do update
     set bytes = g.bytes + excluded.bytes,
         in_flight_until = greatest(g.in_flight_until, excluded.in_flight_until);
  return v_extended;
end
$$;
comment on function public.extend_leases_v2(uuid, integer) is
  'Lets the jobs that a lease still holds be held longer, from now; never shortens. Returns their number: 0 when the lease is lost. Raises SY011 for an absurd time. For service_role and the SQL editor.';

create function public.cancel_jobs_v2(
  p_data_type text default null,
  p_symbol text default null,
  p_source text default null,
  p_created_before timestamptz default null
)
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_conclusions switchyard.job_conclusion[];
begin
  if p_data_type is null and p_symbol is null and p_source is null and p_created_before is null then
    raise exception 'Cannot cancel jobs: no filter was given'
      using errcode = 'SY016', hint = 'To cancel all, run select cancel_jobs_v2(p_created_before := now())';
  end if;
  if p_data_type is not null
     and not exists (select 1 from public.data_type_registry_v2 as r where r.data_type = p_data_type)
  then
    raise exception 'Cannot cancel jobs of "%": unknown data type', p_data_type
      using errcode = 'SY008', hint = 'See select data_type from data_type_registry_v2';
  end if;
  -- Processing jobs too: their settle then finds the lease lost.
  select array_agg((
           c.id, 'failed', 'failed', 0, null,
           jsonb_build_object('at', clock_timestamp(), 'class', 'permanent', 'code', 'cancelled',
                              'message', 'Cancelled by cancel_jobs_v2'),
           0, 0, 0)::switchyard.job_conclusion)
    into v_conclusions
    from (
      select q.id
        from switchyard.api_call_queue_v2_live as q
       where (p_data_type is null or q.data_type = p_data_type)
         and (p_symbol is null or q.symbol = p_symbol)
         and (p_source is null or q.source = p_source)
         and (p_created_before is null or q.created_at < p_created_before)
       order by q.data_type, q.symbol
         for update
    ) as c;
  if v_conclusions is null then
    return 0;
  end if;
  perform switchyard.conclude_jobs(v_conclusions);
  perform switchyard.record_event(
    'cancel',
    jsonb_build_object('data_type', p_data_type, 'symbol', p_symbol, 'source', p_source,
                       'created_before', p_created_before),
    cardinality(v_conclusions));
  return cardinality(v_conclusions);
end
$$;
comment on function public.cancel_jobs_v2(text, text, text, timestamptz) is
  'Ends the live jobs that match every given filter as failed, with the error code cancelled; returns their number. Processing jobs too: what their processor settles later changes nothing. Raises SY008 for an unknown data type, SY016 without a filter. For service_role and the SQL editor.';

create function public.retry_failed_jobs_v2(
  p_data_type text default null,
  p_symbol text default null,
  p_failed_after timestamptz default now() - interval '1 day',
  p_limit integer default 10000
)
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_made integer;
begin
  if p_failed_after is null or p_limit is null or p_limit not between 1 and 100000 then
    raise exception 'Cannot retry failed jobs: limit is %, failed after %, wanted 1 to 100000 and a time',
      coalesce(p_limit::text, 'null'), coalesce(p_failed_after::text, 'null')
      using errcode = 'SY016', hint = 'Leave them out for 10000 and a day ago';
  end if;
  if p_data_type is not null
     and not exists (select 1 from public.data_type_registry_v2 as r where r.data_type = p_data_type)
  then
    raise exception 'Cannot retry failed jobs of "%": unknown data type', p_data_type
      using errcode = 'SY008', hint = 'See select data_type from data_type_registry_v2';
  end if;
  select switchyard.enqueue_jobs(
           array_agg(f.symbol), array_agg(f.data_type), array_agg(f.priority), null)
    into v_made
    from (
      select distinct on (q.data_type, q.symbol) q.data_type, q.symbol, q.priority
        from public.api_call_queue_v2 as q
        join public.data_type_registry_v2 as r on r.data_type = q.data_type
       where q.status = 'failed'
         and q.finished_at > p_failed_after
         and q.finished_at < 'infinity'
         -- What a person cancelled stays cancelled.
         and q.errors -> -1 ->> 'code' is distinct from 'cancelled'
         and (p_data_type is null or q.data_type = p_data_type)
         and (p_symbol is null or q.symbol = p_symbol)
       order by q.data_type, q.symbol, q.finished_at desc
       limit p_limit
    ) as f;
  if v_made > 0 then
    perform switchyard.record_event(
      'retry', jsonb_build_object('data_type', p_data_type, 'symbol', p_symbol,
                                  'failed_after', p_failed_after), v_made);
    perform switchyard.wake_processor();
  end if;
  return v_made;
end
$$;
comment on function public.retry_failed_jobs_v2(text, text, timestamptz, integer) is
  'Queues anew what failed since p_failed_after (by default a day) and matches the filters, each symbol and data type once, with its old priority; the failed jobs stay as they are, and what a person cancelled stays cancelled. Returns the number of new jobs: those that are live again already are not made twice. Raises SY008 for an unknown data type, SY016 for a null or absurd argument. For service_role and the SQL editor.';

create function public.pause_data_type_v2(p_data_type text, p_paused boolean default true)
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
begin
  if p_paused is null then
    raise exception 'Cannot pause data type "%": p_paused is null, wanted true or false', p_data_type
      using errcode = 'SY016', hint = 'Leave p_paused out to pause';
  end if;
  update public.data_type_registry_v2 as r
     set paused = p_paused
   where r.data_type = p_data_type;
  if not found then
    raise exception 'Cannot pause data type "%": unknown data type', p_data_type
      using errcode = 'SY008', hint = 'See select data_type from data_type_registry_v2';
  end if;
  perform switchyard.record_event(
    case when p_paused then 'pause' else 'resume' end, '{}', 0, null, p_data_type);
  if not p_paused then
    perform switchyard.wake_processor();
  end if;
  return p_paused;
end
$$;
comment on function public.pause_data_type_v2(text, boolean) is
  'Stops claims of a data type, or with false resumes them; jobs wait meanwhile. Raises SY008 for an unknown data type. For the SQL editor.';

create function public.pause_provider_v2(p_provider text, p_paused boolean default true)
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
begin
  if p_paused is null then
    raise exception 'Cannot pause provider "%": p_paused is null, wanted true or false', p_provider
      using errcode = 'SY016', hint = 'Leave p_paused out to pause';
  end if;
  update public.api_providers_v2 as p
     set paused = p_paused, updated_at = clock_timestamp()
   where p.provider = p_provider;
  if not found then
    raise exception 'Cannot pause provider "%": no such provider', p_provider
      using errcode = 'SY004', hint = 'See select provider from api_providers_v2';
  end if;
  perform switchyard.record_event(case when p_paused then 'pause' else 'resume' end, '{}', 0, p_provider);
  if not p_paused then
    perform switchyard.wake_processor();
  end if;
  return p_paused;
end
$$;
comment on function public.pause_provider_v2(text, boolean) is
  'Stops claims of all data types of a provider, or with false resumes them. Raises SY004 for an unknown provider. For the SQL editor.';

revoke all on function
  public.recover_stuck_jobs_v2(),
  switchyard.settle_one_job(jsonb),
  public.extend_leases_v2(uuid, integer),
  public.cancel_jobs_v2(text, text, text, timestamptz),
  public.retry_failed_jobs_v2(text, text, timestamptz, integer),
  public.pause_data_type_v2(text, boolean),
  public.pause_provider_v2(text, boolean),
  public.complete_queue_job_v2(bigint, uuid, jsonb, integer, bigint),
  public.fail_queue_job_v2(bigint, uuid, text, text, text),
  public.reset_job_immediate_v2(bigint)
from public, anon, authenticated, service_role;
grant execute on function
  public.recover_stuck_jobs_v2(),
  switchyard.settle_one_job(jsonb),
  public.extend_leases_v2(uuid, integer),
  public.cancel_jobs_v2(text, text, text, timestamptz),
  public.retry_failed_jobs_v2(text, text, timestamptz, integer),
  public.complete_queue_job_v2(bigint, uuid, jsonb, integer, bigint),
  public.fail_queue_job_v2(bigint, uuid, text, text, text),
  public.reset_job_immediate_v2(bigint)
to service_role;
