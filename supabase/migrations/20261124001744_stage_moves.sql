-- Adds the moves of a data type from stage to stage. Nothing moves.

insert into switchyard.settings (name, value, lowest, highest, description) values
  ('canary_start_percent', '5', 1, 100, 'Share of the symbols with which a data type enters canary when its canary_percent is 0');

create type switchyard.gate_result as (
  gate text,
  holds boolean,
  found text,
  wanted text,
  hint text,
  numbers jsonb
);
comment on type switchyard.gate_result is
  'Verdict of one gate: what was found and what is wanted, in words; what to do when it does not hold; the numbers.';

-- Planner settings: by the index on (data_type, symbol), not through the whole queue; and no loop over the
-- queue for each job, which is what statistics of a partition that has just been emptied make of the join.
create function switchyard.cancel_pending_jobs(p_data_type text, p_manual_too boolean)
returns integer
language plpgsql
volatile
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_nestloop = off
as $$
declare
  v_cancelled integer;
begin
  delete from switchyard.missing_parents as m where m.data_type = p_data_type;
  -- The guard asks each minute for every type in legacy, which hardly ever has any.
  if not exists (
    select 1
      from switchyard.api_call_queue_v2_live as q
     where q.data_type = p_data_type and q.status = 'pending' and (p_manual_too or q.source <> 'manual'))
  then
    return 0;
  end if;
  -- Nothing is waited for: the way back must not hang on, or deadlock with, a claim or an enqueue. A job
  -- that is locked is being claimed, and then writes nothing, or is left for guard_migrations_v2.
  -- What was never tried leaves nothing behind: a hundred thousand rows of history would say no more
  -- than their number does.
  with free as materialized (
    select q.id
      from switchyard.api_call_queue_v2_live as q
     where q.data_type = p_data_type
       and q.status = 'pending'
       and (p_manual_too or q.source <> 'manual')
       for update skip locked
  ),
  gone as (
    delete from switchyard.api_call_queue_v2_live as q
     using free
     where q.id = free.id and q.finished_at = 'infinity'
    returning q.*
  ),
  kept as (
    insert into public.api_call_queue_v2 (
      id, symbol, data_type, provider, source, priority, status, attempts, run_after, claimed_by, claimed_at,
      created_at, finished_at, rows_written, vendor_calls, vendor_bytes, last_error, errors)
    select g.id, g.symbol, g.data_type, g.provider, g.source, g.priority, 'failed', g.attempts, g.run_after,
           g.claimed_by, g.claimed_at, g.created_at, clock_timestamp(), g.rows_written, g.vendor_calls,
           g.vendor_bytes, c.error ->> 'message', switchyard.with_error(g.errors, c.error)
      from gone as g
     cross join (
       select jsonb_build_object(
                'at', clock_timestamp(), 'class', 'permanent', 'code', 'cancelled',
                'message', format('Cancelled: %s is in stage legacy', p_data_type)) as error) as c
     where g.attempts > 0 or g.errors <> '[]'
  )
  select count(*) into v_cancelled from gone;
  if v_cancelled > 0 then
    perform switchyard.record_event(
      'cancel', jsonb_build_object('data_type', p_data_type, 'manual_too', p_manual_too),
      v_cancelled, null, p_data_type);
  end if;
  return v_cancelled;
end
$$;
comment on function switchyard.cancel_pending_jobs(text, boolean) is
  'Takes the pending jobs of a data type out of the queue, but for those that another session has locked; those that were tried before end in the history as failed with the code cancelled. Returns their number.';

create function switchyard.lock_data_type(p_data_type text)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_timeout text := current_setting('lock_timeout');
begin
  begin
    if v_timeout = '0' then
      perform set_config('lock_timeout', '1s', true);
    end if;
    perform 1 from public.data_type_registry_v2 as r where r.data_type = p_data_type for no key update;
    perform set_config('lock_timeout', v_timeout, true);
    return;
  exception when lock_not_available then
    perform switchyard.tell_of_holder(
      format('data type "%s"', p_data_type), 'public.data_type_registry_v2',
      format('t.data_type = %L', p_data_type), v_timeout = '0');
  end;
  perform 1 from public.data_type_registry_v2 as r where r.data_type = p_data_type for no key update;
end
$$;
comment on function switchyard.lock_data_type(text) is
  'Takes the row of a data type, which somebody who pauses or edits it may hold: after a second with a notice of the session that it waits for. Under a lock_timeout that passes it raises lock_not_available with the same words.';

create function switchyard.set_stage(
  p_data_type text,
  p_to_stage text,
  p_reason text default null,
  p_detail jsonb default '{}'
)
returns bigint
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_from_stage text;
  v_detail jsonb := p_detail;
  v_flag text := 'use_queue_for_' || p_data_type;
  v_is_on boolean := p_to_stage in ('live', 'retired');
begin
  perform switchyard.lock_migration();
  perform switchyard.lock_data_type(p_data_type);
  select r.stage into v_from_stage
    from public.data_type_registry_v2 as r
   where r.data_type = p_data_type;
  if not found then
    raise exception 'Cannot move "%" to %: unknown data type', p_data_type, p_to_stage
      using errcode = 'SY008', hint = 'See select data_type, stage from data_type_registry_v2';
  end if;
  if v_from_stage = p_to_stage then
    return null;
  end if;

  perform set_config('switchyard.moves_stage', p_data_type, true);
  update public.data_type_registry_v2 as r
     set stage = p_to_stage, stage_entered_at = clock_timestamp()
   where r.data_type = p_data_type;
  perform set_config('switchyard.moves_stage', '', true);
  if exists (select 1 from public.feature_flags as f where f.flag_name = v_flag and f.enabled <> v_is_on) then
    update public.feature_flags as f set enabled = v_is_on where f.flag_name = v_flag;
  end if;

  v_detail := v_detail || jsonb_build_object('legacy_jobs', switchyard.settle_legacy_jobs(array[p_data_type]));
  if p_to_stage = 'legacy' then
    v_detail := v_detail || jsonb_build_object(
      'cancelled_jobs', switchyard.cancel_pending_jobs(p_data_type, true),
      'uncovered', switchyard.report_uncovered_types(
        case when v_from_stage in ('live', 'retired') then array[p_data_type] end));
  end if;
  return switchyard.write_migration_event('stage', p_data_type, v_from_stage, p_to_stage, p_reason, v_detail);
end
$$;
comment on function switchyard.set_stage(text, text, text, jsonb) is
  'Moves a data type to a stage without asking any gate, with all that follows: its flag, its legacy jobs, in legacy its pending jobs, and the migration event, whose id it returns (null: it was there already). Raises SY008 for an unknown data type. For advance_migration_v2, rollback_migration_v2, the flags, and tests.';

create function switchyard.stage_rank(p_stage text)
returns integer
language sql
immutable
set search_path = ''
as $$
  select array_position(array['legacy', 'shadow', 'canary', 'live', 'retired'], p_stage)
$$;
comment on function switchyard.stage_rank(text) is
  'Place of a stage on the way, 1 for legacy to 5 for retired; null for no stage.';

create function switchyard.next_stage(p_stage text)
returns text
language sql
immutable
set search_path = ''
as $$
  select (array['shadow', 'canary', 'live', 'retired'])[switchyard.stage_rank(p_stage)]
$$;
comment on function switchyard.next_stage(text) is 'The stage after this one; null after retired.';

create function switchyard.verdict_in_words(p_gate switchyard.gate_result)
returns text
language sql
immutable
set search_path = ''
as $$
  select format('%s: %s, wanted %s', p_gate.gate, p_gate.found, p_gate.wanted) where p_gate.gate is not null
$$;
comment on function switchyard.verdict_in_words(switchyard.gate_result) is
  'A verdict as people say it: soak_time: 3 h, wanted 24 h; null for none.';

create function switchyard.move_up(p_data_type text, p_to_stage text, p_force boolean, p_reason text)
returns switchyard.migration_events
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_gates switchyard.gate_result[];
  v_broken text[];
  v_moves boolean;
  v_detail jsonb;
  v_percent integer;
  v_event switchyard.migration_events;
begin
  -- Twice, when the legacy jobs are to rest: once they are locked nobody can take them away between the
  -- look at them and the move. A move that is refused waits for nobody.
  for v_look in 1..2 loop
    v_gates := array(
      select g from switchyard.check_gates(p_data_type, p_to_stage) as g);
    v_broken := array(select g.gate from unnest(v_gates) as g where not g.holds);
    -- The queue cannot refresh a type with a broken registry row, and then nobody would.
    v_moves := v_broken = '{}' or (p_force and not 'registry' = any (v_broken));
    exit when v_look = 2 or not v_moves or p_to_stage not in ('live', 'retired');
    perform switchyard.lock_cron_job(l.job_id)
       from switchyard.legacy_jobs as l
      where p_data_type = any (l.data_types)
      order by l.save_id desc nulls last, l.job_id;
  end loop;
  v_detail := jsonb_build_object('gates', (select jsonb_agg(to_jsonb(g) - 'hint') from unnest(v_gates) as g));

  if v_moves then
    if p_to_stage = 'canary' then
      update public.data_type_registry_v2 as r
         set canary_percent = switchyard.setting_integer('canary_start_percent')
       where r.data_type = p_data_type and r.canary_percent = 0;
    end if;
    select r.canary_percent into v_percent
      from public.data_type_registry_v2 as r where r.data_type = p_data_type;
    v_event.id := switchyard.set_stage(p_data_type, p_to_stage, p_reason, v_detail || jsonb_build_object(
      'forced', v_broken <> '{}',
      'overridden', to_jsonb(v_broken),
      'canary_percent', v_percent));
  else
    v_event.id := switchyard.write_migration_event(
      'refusal', p_data_type,
      (select r.stage from public.data_type_registry_v2 as r where r.data_type = p_data_type),
      p_to_stage, p_reason, v_detail || jsonb_build_object(
        'missing', (select jsonb_agg(switchyard.verdict_in_words(g)) from unnest(v_gates) as g
                     where not g.holds and (g.gate = 'registry' or not p_force))));
  end if;
  perform switchyard.store_verdicts(p_data_type, p_to_stage, v_gates, v_event.id);
  select e.* into v_event from switchyard.migration_events as e where e.id = v_event.id;
  return v_event;
end
$$;
comment on function switchyard.move_up(text, text, boolean, text) is
  'Moves a data type onwards when its gates hold, or when forced, and returns the event: of kind stage with detail.overridden, or of kind refusal with detail.missing, in words. Keeps the verdicts of all gates in both cases. The gate registry cannot be forced.';

create function public.advance_migration_v2(
  p_data_type text,
  p_to_stage text default null,
  p_force boolean default false,
  p_reason text default null
)
returns table (
  data_type text,
  from_stage text,
  to_stage text,
  moved boolean,
  overridden text[],
  missing text[],
  hint text
)
language plpgsql
volatile
set search_path = ''
as $$
#variable_conflict use_column
declare
  -- As the caller saw it, before the wait for the lock.
  v_seen_stage text := (select r.stage from public.data_type_registry_v2 as r where r.data_type = p_data_type);
  v_from_stage text;
  v_to_stage text;
  v_force boolean := coalesce(p_force, false);
  v_event switchyard.migration_events;
begin
  perform switchyard.lock_migration();
  select r.stage into v_from_stage
    from public.data_type_registry_v2 as r
   where r.data_type = p_data_type;
  if not found then
    raise exception 'Cannot move "%" on: unknown data type', p_data_type
      using errcode = 'SY008', hint = 'See select data_type, stage from data_type_registry_v2';
  end if;
  v_to_stage := coalesce(p_to_stage, switchyard.next_stage(v_seen_stage), v_from_stage);
  if p_to_stage is null and v_from_stage <> v_seen_stage then
    v_to_stage := v_from_stage;
    raise warning '"%" stays in %: another session has just moved it there from %', p_data_type, v_from_stage, v_seen_stage
      using hint = format('Look at it, then run select * from advance_migration_v2(%L) again', p_data_type);
  end if;
  if coalesce(switchyard.stage_rank(v_to_stage) < switchyard.stage_rank(v_from_stage), true) then
    raise exception 'Cannot move "%" from % to "%": wanted %', p_data_type, v_from_stage, v_to_stage,
      coalesce(switchyard.next_stage(v_from_stage), 'no further stage')
      using errcode = 'SY023',
            hint = case when switchyard.stage_rank(v_to_stage) is null
                        then 'Leave the stage out for the next one'
                        else format('The way back is select * from rollback_migration_v2(%L)', p_data_type) end;
  end if;
  if v_force and btrim(coalesce(p_reason, '')) = '' then
    raise exception 'Cannot force "%" to %: no reason was given', p_data_type, v_to_stage
      using errcode = 'SY025',
            hint = format('Run select * from advance_migration_v2(%L, %L, true, ''…why…'')', p_data_type, v_to_stage);
  end if;

  data_type := p_data_type;
  from_stage := v_from_stage;
  to_stage := v_to_stage;
  moved := false;
  overridden := '{}'::text[];
  missing := '{}'::text[];
  if v_from_stage <> v_to_stage then
    v_event := switchyard.move_up(p_data_type, v_to_stage, v_force, p_reason);
    moved := v_event.kind = 'stage';
    overridden := array(select jsonb_array_elements_text(v_event.detail -> 'overridden'));
    missing := array(select jsonb_array_elements_text(v_event.detail -> 'missing'));
    if not moved then
      hint := case when v_force then 'The gate registry cannot be forced; see select * from registry_problems_v2'
                   else format('See select * from migration_gates_v2(%L, %L)', p_data_type, v_to_stage) end;
      -- For who runs this in a script, where nobody reads the row.
      raise warning '"%" stays in %: gates before % do not hold', p_data_type, v_from_stage, v_to_stage
        using detail = array_to_string(missing, '; '), hint = hint;
    end if;
  end if;
  return next;
end
$$;
comment on function public.advance_migration_v2(text, text, boolean, text) is
  'Moves a data type to the next stage (or to the given later one) when its gates hold; in the same transaction its flag, its legacy jobs and the migration event follow. moved is false when it is there already, when another session has moved it while this one waited for the next stage, and when gates do not hold: then missing says which, with what was found and what is wanted, hint where to look, a warning tells too, and nothing but the record of it changes. p_force overrides gates and wants a reason, which is recorded with the verdicts; the gate registry cannot be overridden. Raises SY008 (unknown data type), SY023 (not a later stage), SY025 (forced without reason). For postgres.';

create function public.rollback_migration_v2(p_data_type text, p_reason text default null)
returns table (data_type text, from_stage text, cancelled_jobs integer, legacy_jobs jsonb)
language plpgsql
volatile
set search_path = ''
as $$
#variable_conflict use_column
declare
  v_event_id bigint;
begin
  v_event_id := switchyard.set_stage(p_data_type, 'legacy', p_reason);
  return query
    select p_data_type, coalesce(e.from_stage, 'legacy'),
           coalesce((e.detail ->> 'cancelled_jobs')::integer, 0), coalesce(e.detail -> 'legacy_jobs', '[]')
      from (select v_event_id as id) as made
      left join switchyard.migration_events as e on e.id = made.id;
end
$$;
comment on function public.rollback_migration_v2(text, text) is
  'Moves a data type back to legacy, from whatever stage, in this one transaction: its legacy jobs run again as they were found, its pending jobs are cancelled, what is in flight writes nothing more. In legacy already nothing changes. No gate is asked. Raises SY008 for an unknown data type. For postgres.';

revoke all on function
  switchyard.cancel_pending_jobs(text, boolean),
  switchyard.lock_data_type(text),
  switchyard.set_stage(text, text, text, jsonb),
  switchyard.stage_rank(text),
  switchyard.next_stage(text),
  switchyard.verdict_in_words(switchyard.gate_result),
  switchyard.move_up(text, text, boolean, text),
  public.advance_migration_v2(text, text, boolean, text),
  public.rollback_migration_v2(text, text)
from public, anon, authenticated, service_role;
