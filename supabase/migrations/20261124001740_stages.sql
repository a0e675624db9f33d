-- Adds the stages: how a data type moves, and what the flags do in the same transaction. Nothing moves.

create table switchyard.migration_events (
  id bigint generated always as identity primary key,
  occurred_at timestamptz not null default clock_timestamp(),
  kind text not null,
  data_type text,
  from_stage text,
  to_stage text,
  forced boolean not null default false,
  automatic boolean not null default false,
  reason text,
  changed_by text not null,
  caller_sub text,
  detail jsonb not null default '{}',
  constraint migration_event_kind_is_known check (kind in ('stage', 'flags')),
  constraint stage_events_name_their_type
    check ((kind = 'stage') = (data_type is not null and from_stage is not null and to_stage is not null)),
  constraint forced_moves_have_a_reason check (not forced or reason is not null)
);
comment on table switchyard.migration_events is
  'Every move of a data type between stages, and every change of use_queue_system and use_new_staleness_check, with what was done to the legacy jobs and the gates as they were.';
comment on column switchyard.migration_events.automatic is
  'Made by guard_migrations_v2, not by a person.';
comment on column switchyard.migration_events.detail is
  'legacy_jobs: what was done to which job; gates: the verdicts, with numbers; overridden: gates that did not hold when the move was forced; cancelled_jobs.';

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

create index migration_events_data_type_idx on switchyard.migration_events (data_type, occurred_at);

create function switchyard.lock_migration()
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  -- With the snapshot of an older moment a move would not see what another one has just changed.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'Cannot change flags or stages: the transaction is %, wanted read committed',
      current_setting('transaction_isolation')
      using errcode = 'SY018',
            hint = 'Do it in a transaction of its own: begin isolation level read committed';
  end if;
  perform pg_advisory_xact_lock(hashtext('switchyard.migration'));
end
$$;
comment on function switchyard.lock_migration() is
  'Lets one transaction at a time change flags, stages and legacy jobs, until it ends. The first lock of each: so no two of them wait for each other. Raises SY018 in another isolation level than read committed.';

create function switchyard.lock_migration_first()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
begin
  perform switchyard.lock_migration();
  return null;
end
$$;
comment on function switchyard.lock_migration_first() is
  'Trigger: takes the lock before the statement locks any row.';

create trigger lock_migration_first
  before insert or update or delete on public.feature_flags
  for each statement execute function switchyard.lock_migration_first();

-- Not for what settles and pauses write, which must not wait for a person's open transaction.
create trigger lock_migration_first
  before insert or delete or
    update of data_type, table_name, symbol_column, timestamp_column, conflict_columns, insert_only_columns,
      source_timestamp_column, rewrites_unchanged, staleness_function, condition_function, default_ttl_minutes,
      empty_recheck_minutes, refresh_strategy, priority, provider, fetcher, edge_function_name,
      api_calls_per_batch, calls_spread_seconds, max_attempts, depends_on, covers, processed_column,
      legacy_cron_jobs, legacy_functions, stage, stage_entered_at, canary_percent, shadow_rules, gate_settings
  on public.data_type_registry_v2
  for each statement execute function switchyard.lock_migration_first();

create function switchyard.keep_stage()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
begin
  if tg_op = 'TRUNCATE' then
    raise exception 'Cannot truncate data_type_registry_v2: Switchyard reads it'
      using errcode = 'SY023', hint = 'Delete single rows of data types in stage legacy or shadow';
  end if;
  if tg_op = 'INSERT' then
    if new.stage <> 'legacy' then
      raise exception 'Cannot register data type "%" in stage "%": a data type begins in legacy',
        new.data_type, new.stage
        using errcode = 'SY023',
              hint = format('Insert it without a stage, then run select * from advance_migration_v2(%L)', new.data_type);
    end if;
    new.stage_entered_at := clock_timestamp();
    return new;
  end if;
  if (tg_op = 'DELETE' or new.data_type <> old.data_type) and old.stage not in ('legacy', 'shadow') then
    raise exception 'Cannot % data type "%": it is in stage %',
      case tg_op when 'DELETE' then 'remove' else 'rename' end, old.data_type, old.stage
      using errcode = 'SY023',
            hint = format('Run select * from rollback_migration_v2(%L) first', old.data_type);
  end if;
  if tg_op = 'DELETE' then
    return old;
  end if;
  if new.stage <> old.stage
     and coalesce(current_setting('switchyard.moves_stage', true), '') <> old.data_type then
    raise exception 'Cannot change the stage of "%" from % to % with an UPDATE: its legacy jobs and flag would not follow',
      old.data_type, old.stage, new.stage
      using errcode = 'SY023',
            hint = case new.stage
              when 'legacy' then format('Run select * from rollback_migration_v2(%L)', old.data_type)
              else format('Run select * from advance_migration_v2(%L)', old.data_type) end;
  end if;
  return new;
end
$$;
comment on function switchyard.keep_stage() is
  'Trigger: a data type begins in legacy, changes its stage only by switchyard.set_stage, and is removed or renamed only in legacy and shadow (SY023).';

create trigger keep_stage
  before insert or delete or update of stage, data_type on public.data_type_registry_v2
  for each row execute function switchyard.keep_stage();

create trigger keep_all_stages
  before truncate on public.data_type_registry_v2
  for each statement execute function switchyard.keep_stage();

create function switchyard.keep_type_flag()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
begin
  if tg_op in ('DELETE', 'UPDATE') then
    delete from public.feature_flags as f where f.flag_name = 'use_queue_for_' || old.data_type;
  end if;
  if tg_op in ('INSERT', 'UPDATE') then
    insert into public.feature_flags (flag_name, metadata)
    values ('use_queue_for_' || new.data_type,
            jsonb_build_object('about', format('The queue alone refreshes %s; its legacy jobs rest', new.data_type)));
  end if;
  return null;
end
$$;
comment on function switchyard.keep_type_flag() is
  'Trigger: each data type has its flag use_queue_for_<data type>, which is on in stage live and retired.';

create trigger keep_type_flag
  after insert or delete on public.data_type_registry_v2
  for each row execute function switchyard.keep_type_flag();

create trigger rename_type_flag
  after update of data_type on public.data_type_registry_v2
  for each row
  when (new.data_type <> old.data_type)
  execute function switchyard.keep_type_flag();

create function switchyard.follow_legacy_names()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
begin
  perform switchyard.settle_legacy_jobs();
  return null;
end
$$;
comment on function switchyard.follow_legacy_names() is
  'Trigger: when the registry learns of a data type, or of a legacy job, or forgets one, the jobs rest or run as the stages and flags want it.';

create trigger follow_legacy_names
  after update of edge_function_name, legacy_cron_jobs, legacy_functions on public.data_type_registry_v2
  for each row
  when ((new.edge_function_name, new.legacy_cron_jobs, new.legacy_functions)
        is distinct from (old.edge_function_name, old.legacy_cron_jobs, old.legacy_functions))
  execute function switchyard.follow_legacy_names();

-- A job that rests for a type in live may be that of the new one too.
create trigger follow_new_type
  after insert on public.data_type_registry_v2
  for each row execute function switchyard.follow_legacy_names();

create function switchyard.write_migration_event(
  p_kind text,
  p_data_type text,
  p_from_stage text,
  p_to_stage text,
  p_reason text,
  p_detail jsonb
)
returns bigint
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_id bigint;
begin
  insert into switchyard.migration_events as e (
    kind, data_type, from_stage, to_stage, forced, automatic, reason, changed_by, caller_sub, detail)
  values (
    p_kind, p_data_type, p_from_stage, p_to_stage,
    coalesce((p_detail ->> 'forced')::boolean, false), coalesce((p_detail ->> 'automatic')::boolean, false),
    p_reason,
    coalesce(nullif(current_setting('role', true), 'none'), session_user),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub',
    p_detail - array['forced', 'automatic'])
  returning e.id into v_id;
  return v_id;
end
$$;
comment on function switchyard.write_migration_event(text, text, text, text, text, jsonb) is
  'Appends one row to switchyard.migration_events, with who did it; forced and automatic are taken out of the detail.';

-- Planner settings: by the index on (data_type, symbol), not through the whole queue.
create function switchyard.cancel_pending_jobs(p_data_type text, p_manual_too boolean)
returns integer
language plpgsql
volatile
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_cancelled integer;
begin
  delete from switchyard.missing_parents as m where m.data_type = p_data_type;
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

create function switchyard.report_uncovered_types(p_data_types text[])
returns text[]
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_data_type text;
  v_uncovered text[] := '{}'::text[];
begin
  -- A loop over the few for which there is something to say.
  for v_data_type in
    select r.data_type
      from public.data_type_registry_v2 as r
     where r.data_type = any (p_data_types)
       and not switchyard.is_served_by_queue(r.data_type)
       and (r.edge_function_name is not null or r.legacy_cron_jobs <> '{}' or r.legacy_functions <> '{}')
       and not exists (
         select 1
           from switchyard.legacy_jobs as l
          where l.active and r.data_type = any (l.data_types))
     order by r.data_type
  loop
    v_uncovered := v_uncovered || v_data_type;
    perform switchyard.open_alert(
      'legacy_job', 'critical', v_data_type,
      format('Nothing refreshes "%s": none of its legacy jobs is active', v_data_type));
    raise warning 'Nothing refreshes "%": none of its legacy jobs is active', v_data_type
      using hint = 'See select * from switchyard.legacy_jobs and select * from switchyard.saved_cron_jobs';
  end loop;
  return v_uncovered;
end
$$;
comment on function switchyard.report_uncovered_types(text[]) is
  'Opens a critical alert for each of these data types that neither the queue nor an active legacy job refreshes, because somebody had paused or removed that job. Returns them.';

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

create function switchyard.move_up(p_data_type text, p_to_stage text, p_force boolean, p_reason text)
returns text[]
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_gates switchyard.gate_result[];
  v_broken text[];
  v_event_id bigint;
  v_percent integer;
begin
  v_gates := array(
    select g from switchyard.check_gates(p_data_type, p_to_stage) as g);
  v_broken := array(select g.gate from unnest(v_gates) as g where not g.holds);
  -- The queue cannot refresh a type with a broken registry row, and then nobody would.
  if v_broken <> '{}' and (not p_force or 'registry' = any (v_broken)) then
    raise exception 'Cannot move "%" to %: % of % gates do not hold',
      p_data_type, p_to_stage, cardinality(v_broken), cardinality(v_gates)
      using errcode = 'SY024',
            detail = (select string_agg(format('%s: %s, wanted %s', g.gate, g.found, g.wanted), '; ')
                        from unnest(v_gates) as g where not g.holds),
            hint = case when p_force then 'The gate registry cannot be forced; see select * from registry_problems_v2'
                        else format('See select * from migration_gates_v2(%L, %L)', p_data_type, p_to_stage) end;
  end if;

  if p_to_stage = 'canary' then
    update public.data_type_registry_v2 as r
       set canary_percent = switchyard.setting_integer('canary_start_percent')
     where r.data_type = p_data_type and r.canary_percent = 0;
  end if;
  select r.canary_percent into v_percent
    from public.data_type_registry_v2 as r where r.data_type = p_data_type;
  v_event_id := switchyard.set_stage(p_data_type, p_to_stage, p_reason, jsonb_build_object(
    'gates', (select jsonb_agg(to_jsonb(g) - 'hint') from unnest(v_gates) as g),
    'forced', v_broken <> '{}',
    'overridden', to_jsonb(v_broken),
    'canary_percent', v_percent));
  perform switchyard.store_verdicts(p_data_type, p_to_stage, v_gates, v_event_id);
  return v_broken;
end
$$;
comment on function switchyard.move_up(text, text, boolean, text) is
  'Moves a data type onwards when its gates hold, or when forced; returns the gates that were overridden. Raises SY024 with what is missing. The gate registry cannot be forced.';

create function public.advance_migration_v2(
  p_data_type text,
  p_to_stage text default null,
  p_force boolean default false,
  p_reason text default null
)
returns table (data_type text, from_stage text, to_stage text, overridden text[])
language plpgsql
volatile
set search_path = ''
as $$
#variable_conflict use_column
declare
  v_from_stage text;
  v_to_stage text;
  v_force boolean := coalesce(p_force, false);
begin
  perform switchyard.lock_migration();
  select r.stage into v_from_stage
    from public.data_type_registry_v2 as r
   where r.data_type = p_data_type;
  if not found then
    raise exception 'Cannot move "%" on: unknown data type', p_data_type
      using errcode = 'SY008', hint = 'See select data_type, stage from data_type_registry_v2';
  end if;
  v_to_stage := coalesce(p_to_stage, switchyard.next_stage(v_from_stage), v_from_stage);
  if coalesce(switchyard.stage_rank(v_to_stage) < switchyard.stage_rank(v_from_stage), true) then
    raise exception 'Cannot move "%" from % to "%": wanted %', p_data_type, v_from_stage, v_to_stage,
      coalesce(switchyard.next_stage(v_from_stage), 'no further stage')
      using errcode = 'SY023',
            hint = format('The way back is select * from rollback_migration_v2(%L)', p_data_type);
  end if;
  if v_force and btrim(coalesce(p_reason, '')) = '' then
    raise exception 'Cannot force "%" to %: no reason was given', p_data_type, v_to_stage
      using errcode = 'SY025',
            hint = format('Run select * from advance_migration_v2(%L, %L, true, ''…why…'')', p_data_type, v_to_stage);
  end if;

  data_type := p_data_type;
  from_stage := v_from_stage;
  to_stage := v_to_stage;
  overridden := case when v_from_stage = v_to_stage then '{}'::text[]
                     else switchyard.move_up(p_data_type, v_to_stage, v_force, p_reason) end;
  return next;
end
$$;
comment on function public.advance_migration_v2(text, text, boolean, text) is
  'Moves a data type to the next stage (or to the given later one) when its gates hold; in the same transaction its flag, its legacy jobs and the migration event follow. Where it is already, nothing changes. p_force overrides gates and wants a reason, which is recorded with the verdicts; the gate registry cannot be overridden. Raises SY008 (unknown data type), SY023 (not a later stage), SY024 (gates do not hold: detail says which, with numbers), SY025 (forced without reason). For postgres.';

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

-- After the whole statement, so that one UPDATE of many flags has one outcome whatever the order of its
-- rows. Definer: a flag may be changed by a role that owns neither the registry nor the cron jobs.
create function switchyard.follow_flags()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_turned_off text[];
  v_turned_on text[];
  v_data_type text;
  v_queue_is_on boolean := public.is_feature_enabled('use_queue_system');
  v_refused text[] := '{}'::text[];
  v_message text;
  v_detail text;
  v_details text[] := '{}'::text[];
begin
  select coalesce(array_agg(n.flag_name order by n.flag_name) filter (where not n.enabled), '{}'::text[]),
         coalesce(array_agg(n.flag_name order by n.flag_name) filter (where n.enabled), '{}'::text[])
    into v_turned_off, v_turned_on
    from new_flags as n
    join old_flags as o on o.flag_name = n.flag_name
   where o.enabled <> n.enabled;
  if v_turned_off = '{}' and v_turned_on = '{}' then
    return null;
  end if;

  -- Loops over data types, because each moves by itself.
  for v_data_type in
    select r.data_type
      from public.data_type_registry_v2 as r
     where 'use_queue_for_' || r.data_type = any (v_turned_off) and r.stage in ('live', 'retired')
     order by r.data_type
  loop
    perform switchyard.set_stage(
      v_data_type, 'legacy', format('use_queue_for_%s was turned off', v_data_type));
  end loop;

  -- Off wins over on.
  if v_turned_off && array['use_queue_system', 'use_new_staleness_check'] then
    perform switchyard.set_cron_jobs_active(false);
  elsif 'use_queue_system' = any (v_turned_on)
        or ('use_new_staleness_check' = any (v_turned_on) and v_queue_is_on) then
    perform switchyard.set_cron_jobs_active(true);
  end if;

  for v_data_type in
    select r.data_type
      from public.data_type_registry_v2 as r
     where 'use_queue_for_' || r.data_type = any (v_turned_on) and r.stage not in ('live', 'retired')
     order by r.data_type
  loop
    begin
      perform switchyard.move_up(
        v_data_type, 'live', false, format('use_queue_for_%s was turned on', v_data_type));
    exception when sqlstate 'SY024' then
      get stacked diagnostics v_message = message_text, v_detail = pg_exception_detail;
      v_refused := v_refused || v_data_type;
      v_details := v_details || v_detail;
    end;
  end loop;
  if v_refused <> '{}' then
    if cardinality(v_refused) > 1 then
      v_message := format('Cannot move %s to live: gates do not hold',
                          (select string_agg(format('"%s"', t), ', ') from unnest(v_refused) as t));
      v_detail := (select string_agg(format('%s: %s', d.data_type, d.detail), E'\n')
                     from unnest(v_refused, v_details) as d (data_type, detail));
    end if;
    raise exception '%', v_message
      using errcode = 'SY024',
            detail = v_detail,
            hint = format('See select * from migration_gates_v2(%L, ''live'')', v_refused[1]);
  end if;

  if (v_turned_off || v_turned_on) && array['use_queue_system', 'use_new_staleness_check'] then
    perform switchyard.write_migration_event(
      'flags', null, null, null, null,
      jsonb_build_object(
        'turned_on', to_jsonb(v_turned_on), 'turned_off', to_jsonb(v_turned_off),
        'legacy_jobs', switchyard.settle_legacy_jobs(),
        'uncovered', switchyard.report_uncovered_types(array(
          select r.data_type from public.data_type_registry_v2 as r where r.stage in ('live', 'retired')))));
  end if;
  return null;
end
$$;
comment on function switchyard.follow_flags() is
  'Trigger: what an UPDATE of flags does, in its transaction (docs/stages.md has the table). use_queue_system and use_new_staleness_check switch the v2 cron jobs and let the legacy jobs of types in live and retired rest or run; use_queue_for_<data type> moves its type to live when the gates hold (else SY024), or back to legacy.';

create trigger follow_flags
  after update on public.feature_flags
  referencing old table as old_flags new table as new_flags
  for each statement execute function switchyard.follow_flags();

create function switchyard.check_new_flag()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
begin
  -- After the row is there: an INSERT … ON CONFLICT DO UPDATE of a flag that exists is an UPDATE.
  if new.flag_name ~ '^use_queue_for_'
     and (new.enabled or not exists (
       select 1
         from public.data_type_registry_v2 as r
        where new.flag_name = 'use_queue_for_' || r.data_type)) then
    raise exception 'Cannot make feature flag "%": it comes with the row of its data type, and off', new.flag_name
      using errcode = 'SY003', hint = 'See select data_type from data_type_registry_v2';
  end if;
  return null;
end
$$;
comment on function switchyard.check_new_flag() is
  'Trigger: no use_queue_for_<data type> without its data type, and none that is on from the start (SY003).';

create trigger check_new_flag
  after insert on public.feature_flags
  for each row execute function switchyard.check_new_flag();

insert into switchyard.settings (name, value, lowest, highest, description) values
  ('canary_start_percent', '5', 1, 100, 'Share of the symbols with which a data type enters canary when its canary_percent is 0');

alter table switchyard.migration_events enable row level security;
revoke all on table switchyard.migration_events from public, anon, authenticated, service_role;
grant select on table switchyard.migration_events to service_role;

revoke all on function
  switchyard.lock_migration(),
  switchyard.lock_migration_first(),
  switchyard.keep_stage(),
  switchyard.keep_type_flag(),
  switchyard.follow_legacy_names(),
  switchyard.write_migration_event(text, text, text, text, text, jsonb),
  switchyard.cancel_pending_jobs(text, boolean),
  switchyard.report_uncovered_types(text[]),
  switchyard.set_stage(text, text, text, jsonb),
  switchyard.stage_rank(text),
  switchyard.next_stage(text),
  switchyard.move_up(text, text, boolean, text),
  public.advance_migration_v2(text, text, boolean, text),
  public.rollback_migration_v2(text, text),
  switchyard.follow_flags(),
  switchyard.check_new_flag()
from public, anon, authenticated, service_role;
