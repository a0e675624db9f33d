-- Adds the gates between stages: which ones a move has to pass, and their verdicts. Nothing moves.

create function switchyard.gates_for(p_to_stage text)
returns text[]
language sql
immutable
set search_path = ''
as $$
  select case p_to_stage
    when 'shadow' then array['registry', 'legacy_jobs']
    when 'canary' then array['registry', 'flags', 'stage', 'soak_time', 'sample', 'match_rate',
                             'error_rate', 'queue_depth', 'quota', 'alerts']
    when 'live' then array['registry', 'flags', 'stage', 'legacy_jobs', 'soak_time', 'sample',
                           'error_rate', 'empty_rate', 'freshness', 'queue_depth', 'quota', 'alerts']
    when 'retired' then array['registry', 'flags', 'stage', 'legacy_jobs', 'soak_time', 'sample',
                              'error_rate', 'empty_rate', 'freshness', 'queue_depth', 'alerts']
    else '{}'::text[]
  end
$$;
comment on function switchyard.gates_for(text) is
  'Gates that stand before a stage, in the order in which they are told.';

create function switchyard.check_gates(p_data_type text, p_to_stage text)
returns setof switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_type public.data_type_registry_v2;
  v_gate text;
begin
  select r.* into strict v_type
    from public.data_type_registry_v2 as r
   where r.data_type = p_data_type;
  -- A loop over names, because each gate is a function of its own.
  foreach v_gate in array switchyard.gates_for(p_to_stage) loop
    return next case v_gate
      when 'registry' then switchyard.gate_registry(v_type)
      when 'flags' then switchyard.gate_flags(v_type)
      when 'stage' then switchyard.gate_stage(v_type, p_to_stage)
      when 'legacy_jobs' then switchyard.gate_legacy_jobs(v_type, p_to_stage)
      when 'soak_time' then switchyard.gate_soak_time(v_type)
      when 'sample' then switchyard.gate_sample(v_type)
      when 'match_rate' then switchyard.gate_match_rate(v_type)
      when 'error_rate' then switchyard.gate_error_rate(v_type)
      when 'empty_rate' then switchyard.gate_empty_rate(v_type)
      when 'freshness' then switchyard.gate_freshness(v_type)
      when 'queue_depth' then switchyard.gate_queue_depth(v_type)
      when 'quota' then switchyard.gate_quota(v_type)
      when 'alerts' then switchyard.gate_alerts(v_type)
    end;
  end loop;
end
$$;
comment on function switchyard.check_gates(text, text) is
  'The verdicts of all gates before a stage, now.';

create function switchyard.store_verdicts(
  p_data_type text,
  p_to_stage text,
  p_gates switchyard.gate_result[],
  p_migration_event_id bigint default null,
  p_only_changed boolean default false
)
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_stored integer;
begin
  insert into switchyard.gate_verdicts (
    data_type, to_stage, gate, holds, found, wanted, numbers, migration_event_id)
  select p_data_type, p_to_stage, g.gate, g.holds, g.found, g.wanted, g.numbers, p_migration_event_id
    from unnest(p_gates) as g
   where p_migration_event_id is not null
      -- Who asks again and again does not fill the table.
      or not exists (
        select 1
          from (
            select v.holds, v.checked_at
              from switchyard.gate_verdicts as v
             where v.data_type = p_data_type and v.to_stage = p_to_stage and v.gate = g.gate
             order by v.id desc
             limit 1
          ) as last
         where last.holds = g.holds
           and (p_only_changed or last.checked_at > clock_timestamp() - interval '1 minute'));
  get diagnostics v_stored = row_count;
  return v_stored;
end
$$;
comment on function switchyard.store_verdicts(text, text, switchyard.gate_result[], bigint, boolean) is
  'Keeps verdicts of gates: of a move all; else only those that differ from the last one, or with p_only_changed false those whose last one is a minute old too. Returns how many.';

create function public.migration_gates_v2(p_data_type text, p_to_stage text default null)
returns setof switchyard.gate_result
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_stage text;
  v_to_stage text;
  v_gates switchyard.gate_result[];
begin
  select r.stage into v_stage
    from public.data_type_registry_v2 as r
   where r.data_type = p_data_type;
  if not found then
    raise exception 'Cannot check the gates of "%": unknown data type', p_data_type
      using errcode = 'SY008', hint = 'See select data_type, stage from data_type_registry_v2';
  end if;
  v_to_stage := coalesce(p_to_stage, switchyard.next_stage(v_stage));
  if v_to_stage is not null and coalesce(switchyard.stage_rank(v_to_stage), 1) = 1 then
    raise exception 'Cannot check the gates of "%" before "%": wanted shadow, canary, live or retired',
      p_data_type, v_to_stage
      using errcode = 'SY023', hint = 'Leave the stage out for the next one';
  end if;
  v_gates := array(select g from switchyard.check_gates(p_data_type, v_to_stage) as g);
  perform switchyard.store_verdicts(p_data_type, v_to_stage, v_gates);
  return query
    select g.gate, g.holds, g.found, g.wanted, case when not g.holds then g.hint end, g.numbers
      from unnest(v_gates) with ordinality as g (gate, holds, found, wanted, hint, numbers, place)
     order by g.place;
end
$$;
comment on function public.migration_gates_v2(text, text) is
  'The gates before the next stage of a data type, or before the given one: whether each holds, with what was found and what is wanted, and what to do if not. Numbers are those that the verdict saw. Keeps the verdicts in switchyard.gate_verdicts, of each gate one a minute at most unless it changes. No rows for a retired type. Raises SY008 (unknown data type), SY023 (no such stage). For postgres.';

revoke all on function
  switchyard.gates_for(text),
  switchyard.check_gates(text, text),
  switchyard.store_verdicts(text, text, switchyard.gate_result[], bigint, boolean),
  public.migration_gates_v2(text, text)
from public, anon, authenticated, service_role;
