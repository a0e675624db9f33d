-- Adds the runs of processors and what cron calls to start one. Nothing calls it yet.

create function switchyard.due_jobs(p_since timestamptz default '-infinity')
returns bigint
language sql
volatile
set search_path = ''
as $$
  select count(*)
    from switchyard.api_call_queue_v2_live as q
    join (
      select t.data_type, t.depends_on
        from (
          select p.provider, switchyard.bytes_left(p.provider) as bytes_left,
                 floor(p.calls_per_minute * (1 - p.calls_margin)) as calls_per_minute
            from public.api_providers_v2 as p
           where switchyard.provider_refusal(p.provider) is null
        ) as open
        join public.data_type_registry_v2 as t on t.provider = open.provider
       where not t.paused
         and not exists (
           select 1
             from switchyard.data_type_holds as h
            where h.data_type = t.data_type and h.hold_until > clock_timestamp())
         and t.estimated_data_size_bytes <= open.bytes_left
         and t.api_calls_per_batch <= open.calls_per_minute
    ) as r on r.data_type = q.data_type
   where q.status = 'pending' and q.run_after <= clock_timestamp()
     and greatest(q.created_at, q.run_after) >= p_since
     and not exists (
       select 1
         from switchyard.api_call_queue_v2_live as parent
        where parent.data_type = r.depends_on and parent.symbol = q.symbol)
$$;
comment on function switchyard.due_jobs(timestamptz) is
  'Jobs, due since p_since, that could be claimed if enough calls were left in this minute: work for which a processor is worth calling.';

create function public.next_claim_in_v2(p_manual boolean default false)
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  if not coalesce(p_manual, false) and not public.is_feature_enabled('use_queue_system') then
    return null;
  end if;
  return (
    select ceil(extract(epoch from min(waiting.until) - v_now) * 1000)::integer
      from (
        -- Calls come free when the oldest grant of the minute ends to count.
        select greatest(v_now, oldest.bucket + switchyard.ledger_window()) as until
          from public.api_providers_v2 as p
         cross join lateral (
           select g.bucket
             from switchyard.call_grants as g
            where g.provider = p.provider and g.bucket > v_now - switchyard.ledger_window()
            order by g.bucket
            limit 1) as oldest
         where switchyard.provider_refusal(p.provider) is null
           and switchyard.bytes_left(p.provider) > 0
           and exists (
             select 1
               from switchyard.api_call_queue_v2_live as q
               join public.data_type_registry_v2 as r on r.data_type = q.data_type
              where r.provider = p.provider
                and not r.paused
                and r.api_calls_per_batch > switchyard.calls_left(p.provider)
                and r.estimated_data_size_bytes <= switchyard.bytes_left(p.provider)
                and q.status = 'pending'
                and q.run_after <= v_now
                and (not coalesce(p_manual, false) or q.source = 'manual'))
        union all
        -- A retry that is worth staying for, unless a person waits for the report.
        select min(q.run_after)
          from switchyard.api_call_queue_v2_live as q
          join public.data_type_registry_v2 as r on r.data_type = q.data_type
         where q.delayed
           and q.run_after < v_now + interval '10 seconds'
           and not r.paused
           and switchyard.provider_refusal(r.provider) is null
           and switchyard.bytes_left(r.provider) > 0
           and not coalesce(p_manual, false)
      ) as waiting
     where waiting.until is not null
  );
end
$$;
comment on function public.next_claim_in_v2(boolean) is
  'Milliseconds after which a claim that found nothing may find something: when calls of the used-up minute come free, or a retry within 10 seconds is due (then at times 0 or less; not for p_manual). Null when only new work can change it. p_manual as for get_queue_batch_v2. For service_role and the SQL editor.';

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
  -- Work that came while this run was ending found a processor alive and woke none. Where this run
  -- could claim nothing from start to end, only what came lately is a reason to try again.
  -- A run that ended in error would fail again at once: cron tries within the minute.
  if coalesce(p_report ->> 'endedBy', '') <> 'error' and switchyard.due_jobs(
       case when p_report ->> 'endedBy' = 'idle' and p_report #>> '{jobs,claimed}' = '0'
            then clock_timestamp() - interval '5 seconds' else '-infinity' end) > 0 then
    perform switchyard.wake_processor();
  end if;
  return true;
end
$$;
comment on function public.finish_processor_run_v2(uuid, jsonb) is
  'Ends a run with its report and wakes the next one if jobs can be claimed; when this one ended idle and claimed none, only for jobs that came in the last 5 seconds; when it ended in error, for none. False when the run is unknown or finished already. For service_role.';

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
  switchyard.due_jobs(timestamptz),
  public.next_claim_in_v2(boolean),
  public.start_processor_run_v2(uuid, boolean),
  public.heartbeat_processor_run_v2(uuid),
  public.finish_processor_run_v2(uuid, jsonb),
  public.invoke_processor_loop_v2()
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.due_jobs(timestamptz),
  public.next_claim_in_v2(boolean),
  public.start_processor_run_v2(uuid, boolean),
  public.heartbeat_processor_run_v2(uuid),
  public.finish_processor_run_v2(uuid, jsonb),
  public.invoke_processor_loop_v2()
to service_role;
