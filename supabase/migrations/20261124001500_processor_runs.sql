-- Adds the runs of processors and what cron calls to start one. Nothing calls it yet.

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
  if p_run_id is null then
    raise exception 'Cannot start a processor run: its id is null'
      using errcode = 'SY016', hint = 'Pass a new uuid';
  end if;
  -- With the flag off no cron job recovers what a processor that died has held.
  perform public.recover_stuck_jobs_v2();
  insert into switchyard.processor_runs (run_id, manual)
  values (p_run_id, coalesce(p_manual, false))
      on conflict (run_id) do nothing;
  return jsonb_build_object('started', true, 'reason', null);
end
$$;
comment on function public.start_processor_run_v2(uuid, boolean) is
  'Registers a processor run and recovers expired leases. Not started while use_queue_system is off, unless it is manual; twice is once. Raises SY016 without an id. For service_role.';

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
  switchyard.due_jobs(),
  public.start_processor_run_v2(uuid, boolean),
  public.heartbeat_processor_run_v2(uuid),
  public.finish_processor_run_v2(uuid, jsonb),
  public.invoke_processor_loop_v2()
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.due_jobs(),
  public.start_processor_run_v2(uuid, boolean),
  public.heartbeat_processor_run_v2(uuid),
  public.finish_processor_run_v2(uuid, jsonb),
  public.invoke_processor_loop_v2()
to service_role;
