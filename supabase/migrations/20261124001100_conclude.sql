-- Adds what moves jobs on, and the shape of a settle. Nothing calls it yet.

create type switchyard.job_conclusion as (
  job_id bigint,
  outcome text,
  status text,
  attempts_added integer,
  run_after timestamptz,
  error jsonb,
  rows_written integer,
  vendor_calls integer,
  vendor_bytes bigint
);
comment on type switchyard.job_conclusion is
  'Where a job goes: status completed or failed finishes it, pending gives it back, processing leaves it where it is. outcome is what the processor is told. A null run_after leaves the one it has.';

create function switchyard.with_error(p_errors jsonb, p_error jsonb)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  -- Releases count no attempt, so that nothing else bounds the list.
  return case when jsonb_array_length(p_errors) >= 20 then (p_errors || p_error) - 0
              else p_errors || p_error end;
end
$$;
comment on function switchyard.with_error(jsonb, jsonb) is
  'The errors of a job and one more; the latest 20 are kept.';

-- A row per batch and data type, not per job: an index over the finished jobs by data type and time would
-- cost a claim and settle more than this and its readers together.
create table switchyard.job_outcomes (
  data_type text not null,
  finished_at timestamptz not null default clock_timestamp(),
  completed integer not null,
  failed integer not null,
  failed_again integer not null default 0
);
comment on table switchyard.job_outcomes is
  'How many jobs of a data type each settle completed and failed for good, manual and cancelled ones aside: what gates and the guard go by. Kept for outcome_retention_days.';
comment on column switchyard.job_outcomes.failed_again is
  'Of the failed ones those whose symbols have failed ever since an earlier job of theirs (switchyard.failed_before).';

create index job_outcomes_data_type_idx on switchyard.job_outcomes (data_type, finished_at);

create function switchyard.failed_before(p_data_type text, p_symbol text, p_attempts integer)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return p_symbol <> 'GLOBAL' and exists (
    select 1
      from switchyard.refresh_state as s
     where s.data_type = p_data_type
       and s.symbol = p_symbol
       and s.consecutive_failures > p_attempts
       and s.failed_at > switchyard.left_shadow_at(p_data_type));
end
$$;
comment on function switchyard.failed_before(text, text, integer) is
  'Whether a symbol has failed ever since an earlier job of it ended in failed, while the queue wrote its data type: the failures in a row are more than the attempts of the job at hand. Never for GLOBAL, whose every failure counts.';

-- Planner settings: as for claims (switchyard.mark_jobs).
create function switchyard.conclude_jobs(p_conclusions switchyard.job_conclusion[])
returns void
language plpgsql
volatile
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_nestloop = off
as $$
begin
  update switchyard.api_call_queue_v2_live as q
     set status = 'pending',
         lease_token = null,
         lease_expires_at = null,
         attempts = q.attempts + c.attempts_added,
         run_after = coalesce(c.run_after, q.run_after),
         delayed = coalesce(c.run_after, q.run_after) > clock_timestamp(),
         vendor_calls = q.vendor_calls + c.vendor_calls,
         vendor_bytes = q.vendor_bytes + c.vendor_bytes,
         last_error = coalesce(c.error ->> 'message', q.last_error),
         errors = case when c.error is null then q.errors else switchyard.with_error(q.errors, c.error) end
    from unnest(p_conclusions) as c
   where q.id = any (array(select p.job_id from unnest(p_conclusions) as p where p.status = 'pending'))
     and q.id = c.job_id
     and q.finished_at = 'infinity';

  with finished as (
    delete from switchyard.api_call_queue_v2_live as q
     using unnest(p_conclusions) as c
     where q.id = any (array(
             select p.job_id from unnest(p_conclusions) as p where p.status in ('completed', 'failed')))
       and q.id = c.job_id
       and q.finished_at = 'infinity'
    returning q.*, c.status as final_status, c.attempts_added, c.error as final_error,
              c.rows_written as final_rows, c.vendor_calls as added_calls, c.vendor_bytes as added_bytes
  ),
  counted as (
    insert into switchyard.job_outcomes (data_type, completed, failed, failed_again)
    select f.data_type, count(*) filter (where f.final_status = 'completed'),
           count(*) filter (where f.final_status = 'failed'),
           count(*) filter (where case when f.final_status = 'failed'
                                       then switchyard.failed_before(f.data_type, f.symbol, f.attempts) end)
      from finished as f
     where f.source <> 'manual' and f.final_error ->> 'code' is distinct from 'cancelled'
     group by f.data_type
  )
  insert into public.api_call_queue_v2 (
    id, symbol, data_type, provider, source, priority, status, attempts, run_after, claimed_by,
    claimed_at, created_at, finished_at, rows_written, vendor_calls, vendor_bytes, last_error, errors
  )
  select f.id, f.symbol, f.data_type, f.provider, f.source, f.priority, f.final_status,
         f.attempts + f.attempts_added, f.run_after, f.claimed_by, f.claimed_at, f.created_at,
         clock_timestamp(), coalesce(f.rows_written + f.final_rows, f.final_rows), f.vendor_calls + f.added_calls,
         f.vendor_bytes + f.added_bytes,
         case when f.final_status = 'failed' then coalesce(f.final_error ->> 'message', f.last_error)
              else f.last_error end,
         case when f.final_error is null then f.errors
              else switchyard.with_error(f.errors, f.final_error) end
    from finished as f;
end
$$;
comment on function switchyard.conclude_jobs(switchyard.job_conclusion[]) is
  'Moves jobs on: back to pending in the live partition, or out of it into the partition of today, with their numbers into switchyard.job_outcomes. The caller holds their row locks and has checked their leases.';

create function switchyard.retry_at(p_attempts integer)
returns timestamptz
language sql
volatile
set search_path = ''
as $$
  select clock_timestamp() + make_interval(secs => least(
    switchyard.setting_integer('backoff_max_seconds')::double precision,
    (0.5 + random()) * switchyard.setting_integer('backoff_base_seconds')
      * 2::double precision ^ least(p_attempts, 20)))
$$;
comment on function switchyard.retry_at(integer) is
  'When a job that failed p_attempts times before is tried again: exponential, with jitter of half to one and a half, at most backoff_max_seconds.';

create function switchyard.error_class_of(p_sqlstate text)
returns text
language sql
immutable
set search_path = ''
as $$
  select case
    when p_sqlstate = '23503' then 'dependency'
    when p_sqlstate in ('40001', '40P01', '55P03') then 'collision'
    else 'retryable'
  end
$$;
comment on function switchyard.error_class_of(text) is
  'Error class of what a data table raised: a missing parent row is a dependency, a deadlock or serialization failure a collision (no attempt), all else a failed attempt.';

create type switchyard.held_result as (
  position integer,
  job_id bigint,
  symbol text,
  data_type text,
  provider text,
  attempts integer,
  max_attempts integer,
  outcome text,
  rows jsonb,
  vendor_calls integer,
  vendor_bytes bigint,
  error jsonb,
  rows_written integer,
  destination text
);
comment on type switchyard.held_result is
  'One settle result whose lease holds, beside what the queue knows of its job; destination as switchyard.destination says.';

create function switchyard.ends_in_failed(p_result switchyard.held_result)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select coalesce(
    p_result.error ->> 'class' = 'permanent'
    or (p_result.error ->> 'class' = 'retryable' and p_result.attempts + 1 >= p_result.max_attempts), false)
$$;
comment on function switchyard.ends_in_failed(switchyard.held_result) is
  'Whether a result is the end of its job: a permanent failure, or one without a further attempt.';

alter table switchyard.job_outcomes enable row level security;
revoke all on table switchyard.job_outcomes from public, anon, authenticated, service_role;
grant insert on table switchyard.job_outcomes to service_role;

revoke all on function
  switchyard.with_error(jsonb, jsonb),
  switchyard.failed_before(text, text, integer),
  switchyard.conclude_jobs(switchyard.job_conclusion[]),
  switchyard.retry_at(integer),
  switchyard.error_class_of(text),
  switchyard.ends_in_failed(switchyard.held_result)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.with_error(jsonb, jsonb),
  switchyard.failed_before(text, text, integer),
  switchyard.conclude_jobs(switchyard.job_conclusion[]),
  switchyard.retry_at(integer),
  switchyard.error_class_of(text),
  switchyard.ends_in_failed(switchyard.held_result)
to service_role;
