-- Adds the gates that look at settings and time: registry, flags, stage, legacy_jobs, soak_time.

create function switchyard.gate_registry(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language sql
stable
set search_path = ''
as $$
  select ('registry', count(*) = 0,
          case when count(*) = 0 then 'no problem' else string_agg(p.problem, '; ' order by p.problem) end,
          'no problem', 'See select * from registry_problems_v2',
          jsonb_build_object('problems', count(*)))::switchyard.gate_result
    from public.registry_problems_v2 as p
   where p.data_type = p_type.data_type
$$;
comment on function switchyard.gate_registry(public.data_type_registry_v2) is
  'Gate: the registry row has no problem. Cannot be forced.';

create function switchyard.gate_flags(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_queue boolean := public.is_feature_enabled('use_queue_system');
  v_staleness boolean := public.is_feature_enabled('use_new_staleness_check');
  v_refusal text := case when p_type.paused then 'the data type is paused'
                         else switchyard.provider_refusal(p_type.provider) end;
  v_resting text;
begin
  select string_agg(format('cron job %s', p.problem), ', ' order by p.job_name)
    into v_resting
    from switchyard.cron_job_problems() as p;
  return (
    'flags', v_queue and v_staleness and v_resting is null and v_refusal is null,
    concat_ws(', ',
      case when v_queue then 'use_queue_system on' else 'use_queue_system off' end,
      case when v_staleness then 'use_new_staleness_check on' else 'use_new_staleness_check off' end,
      case when v_queue and v_staleness then v_resting end, v_refusal),
    'both on, its cron jobs active, claims open',
    case when v_queue and v_staleness and v_resting is not null then 'Run select switchyard.schedule_cron_jobs()'
         when v_queue and v_staleness and p_type.paused
         then format('Run select pause_data_type_v2(%L, false)', p_type.data_type)
         when v_queue and v_staleness
         then format('See select * from api_providers_v2 where provider = %L', p_type.provider)
         else 'Run update feature_flags set enabled = true where flag_name in (''use_queue_system'', ''use_new_staleness_check'')' end,
    jsonb_build_object('use_queue_system', v_queue, 'use_new_staleness_check', v_staleness))::switchyard.gate_result;
end
$$;
comment on function switchyard.gate_flags(public.data_type_registry_v2) is
  'Gate: the queue runs, with all of its cron jobs, and neither the data type nor its provider is held back, so that it can refresh what the legacy jobs leave to it, and the guard can roll it back.';

create function switchyard.gate_stage(p_type public.data_type_registry_v2, p_to_stage text)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_wanted text := (array['legacy', 'shadow', 'canary', 'live'])[switchyard.stage_rank(p_to_stage) - 1];
begin
  return (
    'stage', p_type.stage = v_wanted, p_type.stage, v_wanted,
    format('Run select * from advance_migration_v2(%L) first: each stage is proof for the next', p_type.data_type),
    '{}')::switchyard.gate_result;
end
$$;
comment on function switchyard.gate_stage(public.data_type_registry_v2, text) is
  'Gate: no stage is left out.';

create function switchyard.gate_legacy_jobs(p_type public.data_type_registry_v2, p_to_stage text)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_owner text := switchyard.owner();
  v_names_any boolean := p_type.edge_function_name is not null or p_type.legacy_cron_jobs <> '{}'
                         or p_type.legacy_functions <> '{}';
  v_jobs integer;
  v_active integer;
  v_foreign integer;
  v_mixed integer;
  -- Told, and no fault: legacy_cron_jobs has the names that a job may have, of which one is there.
  v_missing text[] := array(
    select n.name
      from unnest(p_type.legacy_cron_jobs) as n (name)
     where not exists (
       select 1
         from switchyard.legacy_jobs as l
        where switchyard.is_listed(l.job_name, array[n.name]))
     order by n.name);
  v_found text;
  v_hint text;
begin
  -- Only jobs that still run can be in the way.
  select count(*), count(*) filter (where l.active),
         count(*) filter (where l.active and l.username <> v_owner),
         count(*) filter (where l.active and l.other_work <> '{}'),
         string_agg(concat_ws(' ',
           coalesce('"' || l.job_name || '"', format('job %s', l.job_id)),
           case when l.username <> v_owner then format('(of role %s)', l.username) end,
           case when l.other_work <> '{}'
                then format('(does other work too: %s)', array_to_string(l.other_work, ', ')) end,
           case when not l.active and l.save_id is null then '(paused by somebody)' end,
           case when f.names <> '{}' and not switchyard.called_functions(l.command) && f.names
                then format('(by its name alone: calls none of %s)', array_to_string(f.names, ', ')) end,
           case when cardinality(l.data_types) > 1
                then format('(shared with %s)',
                            array_to_string(array_remove(l.data_types, p_type.data_type), ', ')) end), ', '
           order by l.job_id)
    into v_jobs, v_active, v_foreign, v_mixed, v_found
    from switchyard.legacy_jobs as l
   cross join (
     select array(
       select o.function_name
         from switchyard.functions_of_types() as o
        where o.data_type = p_type.data_type
        order by o.function_name) as names) as f
   where p_type.data_type = any (l.data_types);

  select case
           when l.username <> v_owner then format(
             'As %s run select cron.schedule(%L, %L, (select command from cron.job where jobid = %s)), then as %s select cron.unschedule(%s): only a job''s owner can pause it',
             v_owner,
             -- cron.schedule overwrites a job of the same name and role. Beside it a job is still the one that
             -- legacy_cron_jobs names.
             case when exists (
                    select 1 from cron.job as o where o.jobname::text = proposed.name and o.username = v_owner)
                  then switchyard.restored_name(proposed.name, l.job_id::text)
                  else proposed.name end,
             l.schedule, l.job_id, l.username, l.job_id)
           else format(
             'Split job %s (%s); or, where all of it may rest, list its functions in legacy_functions, and its name in legacy_cron_jobs for its other statements',
             l.job_id, array_to_string(l.other_work, ', '))
         end
    into v_hint
    from switchyard.legacy_jobs as l
   cross join lateral (select coalesce(l.job_name, 'legacy-' || p_type.data_type) as name) as proposed
   where p_type.data_type = any (l.data_types)
     and l.active
     and (l.username <> v_owner or l.other_work <> '{}')
   order by l.job_id
   limit 1;

  return (
    'legacy_jobs',
    (v_jobs > 0 or not v_names_any) and (p_to_stage = 'shadow' or v_foreign + v_mixed = 0),
    concat_ws(', ',
      coalesce(v_found, case when v_names_any then 'none of those that the registry names' else 'none named, none found' end),
      case when v_missing <> '{}' and v_jobs > 0
           then 'no job "' || array_to_string(v_missing, '", "') || '"' end),
    case when p_to_stage = 'shadow' then 'one that the registry names is there, or it names none'
         else format('each belongs to %s, and does nothing else', v_owner) end,
    coalesce(v_hint, 'Name them in legacy_cron_jobs or legacy_functions, or leave both and edge_function_name empty when there are none'),
    jsonb_build_object('jobs', v_jobs, 'active', v_active, 'of_other_roles', v_foreign, 'with_other_work', v_mixed,
                       'missing', to_jsonb(v_missing))
  )::switchyard.gate_result;
end
$$;
comment on function switchyard.gate_legacy_jobs(public.data_type_registry_v2, text) is
  'Gate: the legacy jobs are known, and for live each of them can be paused.';

create function switchyard.gate_soak_time(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  -- What passes while the queue is switched off is proof of nothing.
  v_since timestamptz := greatest(p_type.stage_entered_at, (
    select max(e.occurred_at) from switchyard.migration_events as e where e.kind = 'flags'));
  -- A clock that was set back must not make it negative.
  v_seconds numeric := greatest(0, extract(epoch from clock_timestamp() - v_since));
  v_wanted numeric := 3600 * switchyard.gate_setting(p_type, 'soak_hours');
begin
  return (
    'soak_time', v_seconds >= v_wanted,
    switchyard.in_words(v_seconds)
      || case when v_since > p_type.stage_entered_at then ' since the queue was switched' else '' end,
    switchyard.in_words(v_wanted),
    'Wait, or change soak_hours in gate_settings',
    jsonb_build_object('seconds', round(v_seconds), 'wanted_seconds', v_wanted))::switchyard.gate_result;
end
$$;
comment on function switchyard.gate_soak_time(public.data_type_registry_v2) is
  'Gate: the data type has been in its stage for soak_hours, and the queue has been on for as long.';

revoke all on function
  switchyard.gate_registry(public.data_type_registry_v2),
  switchyard.gate_flags(public.data_type_registry_v2),
  switchyard.gate_stage(public.data_type_registry_v2, text),
  switchyard.gate_legacy_jobs(public.data_type_registry_v2, text),
  switchyard.gate_soak_time(public.data_type_registry_v2)
from public, anon, authenticated, service_role;
