-- Adds recovery and the functions for people and runbooks. Nothing calls them by itself yet.

create function public.recover_stuck_jobs_v2()
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_conclusions switchyard.job_conclusion[];
begin
  select array_agg((
           stuck.id, null,
           case when stuck.attempts + 1 >= r.max_attempts then 'failed' else 'pending' end,
           1, switchyard.retry_at(stuck.attempts),
           jsonb_build_object(
             'at', clock_timestamp(), 'class', 'retryable', 'code', 'lease_expired',
             'message', format('Lease of processor run %s expired at %s',
                               coalesce(stuck.claimed_by::text, 'unknown'), stuck.lease_expires_at)),
           0, 0, 0
         )::switchyard.job_conclusion)
    into v_conclusions
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

create function switchyard.due_jobs()
returns bigint
language sql
stable
set search_path = ''
as $$
  select count(*)
    from switchyard.api_call_queue_v2_live as q
    join public.data_type_registry_v2 as r on r.data_type = q.data_type
    join (
      select p.provider
        from public.api_providers_v2 as p
       where switchyard.provider_refusal(p.provider) is null
         and not public.is_quota_exceeded_v2(p.provider)
    ) as open on open.provider = r.provider
   where q.status = 'pending' and q.run_after <= clock_timestamp() and not r.paused
$$;
comment on function switchyard.due_jobs() is
  'Jobs that are due and whose provider refuses no claims: work for which a processor is worth calling.';

create function public.start_processor_run_v2(p_run_id uuid, p_manual boolean default false)
returns jsonb
language plpgsql
volatile
set search_path = ''
as $$
begin
  if not coalesce(p_manual, false) and not public.is_feature_enabled('use_queue_system') then
    return jsonb_build_object('started', false, 'reason', 'use_queue_system is off');
  end if;
  insert into switchyard.processor_runs (run_id, manual)
  values (p_run_id, coalesce(p_manual, false));
  return jsonb_build_object('started', true, 'reason', null);
end
$$;
comment on function public.start_processor_run_v2(uuid, boolean) is
  'Registers a processor run. Not started while use_queue_system is off, unless it is manual. For service_role.';

create function public.heartbeat_processor_run_v2(p_run_id uuid)
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
begin
  update switchyard.processor_runs as r
     set heartbeat_at = clock_timestamp()
   where r.run_id = p_run_id and r.finished_at is null;
  return found;
end
$$;
comment on function public.heartbeat_processor_run_v2(uuid) is
  'Shows that a run is alive. False when the run is unknown or finished. For service_role.';

create function public.finish_processor_run_v2(p_run_id uuid, p_report jsonb)
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
begin
  update switchyard.processor_runs as r
     set heartbeat_at = clock_timestamp(),
         finished_at = clock_timestamp(),
         report = p_report
   where r.run_id = p_run_id and r.finished_at is null;
  if not found then
    return false;
  end if;
  -- Work that came while this run was ending found a processor alive and woke none.
  if switchyard.due_jobs() > 0 then
    perform switchyard.wake_processor();
  end if;
  return true;
end
$$;
comment on function public.finish_processor_run_v2(uuid, jsonb) is
  'Ends a run with its report and wakes the next one if jobs can be claimed. False when the run is unknown or finished already. For service_role.';

create function public.invoke_processor_loop_v2()
returns jsonb
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_recovered integer;
  v_due bigint;
begin
  if not public.is_feature_enabled('use_queue_system') then
    return jsonb_build_object('invoked', false, 'reason', 'use_queue_system is off');
  end if;

  v_recovered := public.recover_stuck_jobs_v2();
  v_due := switchyard.due_jobs();

  if v_due = 0 then
    return jsonb_build_object('invoked', false, 'reason', 'no job can be claimed', 'recovered', v_recovered);
  end if;
  if switchyard.is_processor_alive() then
    return jsonb_build_object('invoked', false, 'reason', 'a processor is alive',
                              'recovered', v_recovered, 'due', v_due);
  end if;
  return jsonb_build_object(
    'invoked', true, 'recovered', v_recovered, 'due', v_due,
    'request_id', switchyard.post_to_processor('{"reason": "cron"}'));
end
$$;
comment on function public.invoke_processor_loop_v2() is
  'Called by cron each minute: recovers expired leases and, when jobs can be claimed and no processor is alive, asks pg_net to call one (the loop itself is in the processor). Says what it did. Raises SY007 when Vault lacks project_url or switchyard_secret_key. For service_role and the SQL editor.';

revoke all on function
  public.recover_stuck_jobs_v2(),
  switchyard.settle_one_job(jsonb),
  switchyard.due_jobs(),
  public.complete_queue_job_v2(bigint, uuid, jsonb, integer, bigint),
  public.fail_queue_job_v2(bigint, uuid, text, text, text),
  public.reset_job_immediate_v2(bigint),
  public.start_processor_run_v2(uuid, boolean),
  public.heartbeat_processor_run_v2(uuid),
  public.finish_processor_run_v2(uuid, jsonb),
  public.invoke_processor_loop_v2()
from public, anon, authenticated, service_role;
grant execute on function
  public.recover_stuck_jobs_v2(),
  switchyard.settle_one_job(jsonb),
  switchyard.due_jobs(),
  public.complete_queue_job_v2(bigint, uuid, jsonb, integer, bigint),
  public.fail_queue_job_v2(bigint, uuid, text, text, text),
  public.reset_job_immediate_v2(bigint),
  public.start_processor_run_v2(uuid, boolean),
  public.heartbeat_processor_run_v2(uuid),
  public.finish_processor_run_v2(uuid, jsonb),
  public.invoke_processor_loop_v2()
to service_role;
