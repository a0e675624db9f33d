-- Adds the settle: how processors report what became of claimed jobs. Nothing calls it yet.

-- Planner settings: as for claims (switchyard.mark_jobs).
create function switchyard.hold_jobs(p_results switchyard.settle_result[])
returns switchyard.held_result[]
language plpgsql
volatile
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_nestloop = off
as $$
declare
  v_held switchyard.held_result[];
begin
  -- Locked in the order of the unique key, as all that lock several jobs do. The clock is the
  -- wall clock: the transaction may have waited for these locks past an expiry.
  with locked as materialized (
    select q.id, q.symbol, q.data_type, q.provider, q.source, q.attempts, q.lease_token, q.lease_expires_at
      from switchyard.api_call_queue_v2_live as q
     where q.id = any (array(select x.job_id from unnest(p_results) as x where x.problem is null))
       and q.finished_at = 'infinity'
       and q.status = 'processing'
     order by q.data_type, q.symbol
       for update
  )
  select array_agg((
           h.position, h.id, h.symbol, h.data_type, h.provider, h.attempts,
           h.max_attempts, h.outcome, h.rows, h.calls, h.bytes, h.error, 0, h.destination
         )::switchyard.held_result order by h.position)
    into v_held
    from (
      select first.*, row_number() over (order by first.id)::integer as position
        from (
          select distinct on (q.id)
                 q.id, q.symbol, q.data_type, q.provider, q.attempts, r.max_attempts,
                 -- Completed without rows means that the vendor has nothing, unless the rows were
                 -- written elsewhere or in parts.
                 case when x.outcome = 'completed' and x.rows = '[]' and r.fetcher <> 'edge-function'
                           and x.progress is null
                      then 'empty' else x.outcome end as outcome,
                 coalesce(x.rows, '[]') as rows, x.calls, x.bytes,
                 case when x.outcome = 'failed' then x.error end as error,
                 -- Most are of live types: those need no call.
                 case when r.stage = 'live' then 'table'
                      else switchyard.destination(r.stage, r.canary_percent, q.data_type, q.symbol, q.source)
                 end as destination
            from locked as q
            join unnest(p_results) as x on x.job_id = q.id and x.lease_token = q.lease_token
            join public.data_type_registry_v2 as r on r.data_type = q.data_type
           where x.problem is null
             and q.lease_expires_at > clock_timestamp()
           order by q.id, x.place
        ) as first
    ) as h;
  return v_held;
end
$$;
comment on function switchyard.hold_jobs(switchyard.settle_result[]) is
  'Locks the jobs of well-formed results whose lease holds, and returns the first result of each beside what the queue knows of it, by id.';

create function public.settle_queue_batch_v2(p_results jsonb)
returns table (job_id bigint, outcome text, rows_written integer, detail text)
language plpgsql
volatile
set search_path = ''
as $$
#variable_conflict use_column
declare
  v_results switchyard.settle_result[];
  v_held switchyard.held_result[];
  v_reported switchyard.held_result[];
  v_conclusions switchyard.job_conclusion[];
  v_result switchyard.held_result;
  v_written switchyard.held_result[];
  v_data_types text[];
  v_has_errors boolean;
  v_has_rows boolean;
  v_has_parts boolean;
  v_has_shadow boolean;
  v_is_written boolean;
  v_emptied bigint[] := '{}'::bigint[];
begin
  if jsonb_typeof(p_results) is distinct from 'array' then
    raise exception 'Cannot settle jobs: the payload is %, wanted an array of results',
      coalesce(jsonb_typeof(p_results), 'null')
      using errcode = 'SY012',
            hint = 'Send [{"job_id": …, "lease_token": …, "outcome": …, "rows": […]}]';
  end if;
  if jsonb_array_length(p_results) > 1000 then
    raise exception 'Cannot settle jobs: % results in one call, wanted at most 1000',
      jsonb_array_length(p_results)
      using errcode = 'SY012', hint = 'Split the results over several calls';
  end if;

  if jsonb_path_exists(p_results, 'strict $[*] ? (@.type() != "object")') then
    return query
      select null::bigint, 'malformed', 0,
             format('a result is not an object but %s', jsonb_typeof(e.item))
        from jsonb_array_elements(p_results) as e (item)
       where jsonb_typeof(e.item) <> 'object';
    v_results := switchyard.read_settle_results(
      jsonb_path_query_array(p_results, 'strict $[*] ? (@.type() == "object")'));
  else
    v_results := switchyard.read_settle_results(p_results);
  end if;

  v_held := switchyard.hold_jobs(v_results);
  if coalesce(cardinality(v_held), 0) < cardinality(v_results) then
    return query
      select x.job_id,
             case when x.problem is null then 'lease_lost' else 'malformed' end,
             0,
             coalesce(x.problem, format(
               'Job %s is not held by lease %s any more; nothing was changed', x.job_id, x.lease_token))
        from (
          select r.*, row_number() over (partition by r.job_id, r.problem is null order by r.place) as nth
            from unnest(v_results) as r
        ) as x
       where x.problem is not null
          or x.nth > 1
          or x.job_id <> all (array(select h.job_id from unnest(v_held) as h));
  end if;
  if v_held is null then
    return;
  end if;

  -- One look at all results says for which of the rarer steps below there is work.
  select array_agg(t.data_type), bool_or(t.has_errors), bool_or(t.has_rows), bool_or(t.has_parts),
         bool_or(t.has_shadow), bool_and(t.is_written)
    into v_data_types, v_has_errors, v_has_rows, v_has_parts, v_has_shadow, v_is_written
    from (
      select h.data_type,
             bool_or(h.error is not null) as has_errors,
             bool_or(h.outcome in ('completed', 'progress')) as has_rows,
             bool_or(h.outcome = 'progress') as has_parts,
             bool_or(h.destination = 'shadow') as has_shadow,
             bool_and(h.destination = 'table') as is_written
        from unnest(v_held) as h
       group by h.data_type
    ) as t;

  -- The breaker goes by what the vendor did, not by what our own tables refuse afterwards.
  if v_has_errors or exists (select 1 from public.api_providers_v2 as p where p.breaker_state <> 'closed') then
    v_reported := v_held;
  end if;

  if v_has_parts then
    v_held := switchyard.drop_repeated_parts(v_results, v_held);
    v_is_written := (select bool_and(h.destination = 'table') from unnest(v_held) as h);
  end if;
  if v_has_rows then
    v_held := switchyard.apply_held_rows(v_held);
    if exists (
      select 1
        from public.data_type_registry_v2 as t
       where t.data_type = any (v_data_types) and t.symbol_column <> all (t.conflict_columns))
    then
      v_held := switchyard.tell_rows_of_others(v_held);
    end if;
  end if;
  if v_has_shadow then
    perform switchyard.record_shadow(v_held);
  end if;

  if exists (select 1 from unnest(v_held) as h where h.error is not null) then
    -- Whatever failures change about a provider, they change under its lock.
    perform 1
       from public.api_providers_v2 as p
      where p.provider in (select h.provider from unnest(v_held) as h where h.error is not null)
      order by p.provider
        for no key update;

    -- A loop over the few failures that concern more than their own job.
    for v_result in
      select h.* from unnest(v_held) as h
       where h.error ->> 'class' in ('rate_limited', 'quota', 'auth', 'dependency', 'batch_refused')
       order by h.position
    loop
      v_held[v_result.position] := switchyard.answer_failure(v_result);
    end loop;
  end if;

  select array_agg((
           h.job_id,
           case
             when h.outcome <> 'failed' then h.outcome
             when switchyard.ends_in_failed(h) then 'failed'
             when h.error ->> 'class' <> 'retryable' then 'released'
             else 'rescheduled'
           end,
           case
             when h.outcome in ('completed', 'empty') then 'completed'
             when h.outcome = 'released' then 'pending'
             when h.outcome = 'progress' then 'processing'
             when switchyard.ends_in_failed(h) then 'failed'
             else 'pending'
           end,
           case when h.error ->> 'class' in ('retryable', 'permanent') then 1 else 0 end,
           case h.error ->> 'class'
             when 'retryable' then switchyard.retry_at(h.attempts)
             when 'dependency' then clock_timestamp() + interval '2 seconds'
             when 'collision' then clock_timestamp() + (0.1 + random()) * interval '1 second'
           end,
           case when h.error is not null then jsonb_build_object(
             'at', clock_timestamp(), 'class', h.error ->> 'class', 'code', left(h.error ->> 'code', 100),
             'message', left(h.error ->> 'message', 2000)) end,
           h.rows_written, h.vendor_calls, h.vendor_bytes
         )::switchyard.job_conclusion order by h.position)
    into v_conclusions
    from unnest(v_held) as h;

  if exists (select 1 from unnest(v_held) as h where h.outcome = 'empty' and h.destination = 'table') then
    v_emptied := switchyard.emptied_jobs(v_held);
  end if;
  perform switchyard.conclude_jobs(v_conclusions);
  -- Hardly ever is there a job in parts.
  if v_has_parts or exists (select 1 from switchyard.job_progress) then
    perform switchyard.note_progress(v_results, v_held);
  end if;
  -- What was not written says nothing about what viewers see.
  v_written := v_held;
  if not v_is_written then
    v_written := array(select h from unnest(v_held) as h where h.destination = 'table' order by h.position);
  end if;
  perform switchyard.note_refresh_state(v_written, v_emptied);
  if exists (
    select 1
      from public.data_type_registry_v2 as t
     where t.data_type = any (v_data_types) and (t.covers is not null or t.processed_column is not null))
  then
    perform switchyard.note_covered_symbols(v_written);
    perform switchyard.stamp_processed_symbols(v_written);
  end if;
  if v_reported is not null then
    perform switchyard.move_breaker(v_reported);
  end if;
  perform switchyard.record_event(
    'settle',
    (select jsonb_object_agg(s.outcome, s.jobs)
       from (select c.outcome, count(*) as jobs from unnest(v_conclusions) as c group by c.outcome) as s),
    cardinality(v_held));
  -- Last, because all settles of an hour add to the same row.
  perform switchyard.book_usage(v_held);

  return query
    select c.job_id, c.outcome, c.rows_written, c.error ->> 'message'
      from unnest(v_conclusions) as c;
end
$$;
comment on function public.settle_queue_batch_v2(jsonb) is
  'Settles up to 1000 claimed jobs in one transaction: writes their rows (of data types in stage shadow, and outside of the share of a canary, compares them; in stage legacy drops them; those of manual jobs are always written), finishes or gives back the jobs, books usage. p_results is an array of {job_id, lease_token, outcome: completed | empty | failed | released | progress, rows: […], calls, bytes, error: {class, code, message, retry_after_seconds}, progress: {settle_id, cursor, lease_seconds}}. progress writes the rows of a part (nothing when the settle_id, a uuid, is that of the part before: its answer was lost), keeps the cursor for job_progress_v2 and leaves the job with its lease; completed with progress ends such a job. Returns one row per result: completed, empty, rescheduled, released, failed, progress, lease_lost (nothing changed) or malformed (nothing changed; detail says why). A bad row fails its own job alone. Raises SY012 when the payload is no array or too long. For service_role and the SQL editor.';

revoke all on function
  switchyard.hold_jobs(switchyard.settle_result[]),
  public.settle_queue_batch_v2(jsonb)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.hold_jobs(switchyard.settle_result[]),
  public.settle_queue_batch_v2(jsonb)
to service_role;
