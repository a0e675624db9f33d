-- Adds what keeps stages, type flags and legacy jobs in step with the registry. Nothing moves.

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
  if coalesce(current_setting('switchyard.moves_stage', true), '') = old.data_type then
    return new;
  end if;
  if new.stage_entered_at is distinct from old.stage_entered_at then
    raise exception 'Cannot change stage_entered_at of "%": the soak time counts from it', old.data_type
      using errcode = 'SY023',
            hint = format('Set soak_hours in gate_settings, or run select * from advance_migration_v2(%L, null, true, ''…why…'')',
                          old.data_type);
  end if;
  if new.stage <> old.stage then
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
  'Trigger: a data type begins in legacy, changes its stage, and the time of it, only by switchyard.set_stage, and is removed or renamed only in legacy and shadow (SY023).';

create trigger keep_stage
  before insert or delete or update of stage, stage_entered_at, data_type on public.data_type_registry_v2
  for each row execute function switchyard.keep_stage();

create trigger keep_all_stages
  before truncate on public.data_type_registry_v2
  for each statement execute function switchyard.keep_stage();

create function switchyard.note_share()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
begin
  new.share_changed_at := clock_timestamp();
  return new;
end
$$;
comment on function switchyard.note_share() is
  'Trigger: keeps data_type_registry_v2.share_changed_at true when canary_percent changes.';

create trigger note_share
  before update of canary_percent on public.data_type_registry_v2
  for each row
  when (new.canary_percent <> old.canary_percent)
  execute function switchyard.note_share();

-- Definer: a flag may be changed by a role that has no rights to the registry.
create function switchyard.note_listed_symbols()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  update public.data_type_registry_v2 as r
     set share_changed_at = clock_timestamp()
   where 'use_queue_for_' || r.data_type = new.flag_name;
  return null;
end
$$;
comment on function switchyard.note_listed_symbols() is
  'Trigger: keeps data_type_registry_v2.share_changed_at true when the symbols of a flag change.';

create trigger note_listed_symbols
  after update of metadata on public.feature_flags
  for each row
  when (new.metadata -> 'symbols' is distinct from old.metadata -> 'symbols')
  execute function switchyard.note_listed_symbols();

create function switchyard.keep_type_flag()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
declare
  c_about constant text := 'The queue alone refreshes %s; its legacy jobs rest';
begin
  case tg_op
    when 'DELETE' then
      delete from public.feature_flags as f where f.flag_name = 'use_queue_for_' || old.data_type;
    when 'INSERT' then
      insert into public.feature_flags (flag_name, metadata)
      values ('use_queue_for_' || new.data_type, jsonb_build_object('about', format(c_about, new.data_type)));
    else
      update public.feature_flags as f
         set flag_name = 'use_queue_for_' || new.data_type,
             metadata = case f.metadata ->> 'about'
               when format(c_about, old.data_type)
               then f.metadata || jsonb_build_object('about', format(c_about, new.data_type))
               else f.metadata end
       where f.flag_name = 'use_queue_for_' || old.data_type;
  end case;
  return null;
end
$$;
comment on function switchyard.keep_type_flag() is
  'Trigger: each data type has its flag use_queue_for_<data type>, which is on in stage live and retired, and is renamed with it.';

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
declare
  v_report jsonb := switchyard.settle_legacy_jobs();
begin
  if v_report <> '[]' then
    perform switchyard.write_migration_event(
      'registry', case tg_op when 'DELETE' then old.data_type else new.data_type end, null, null,
      format('The registry was changed: %s', lower(tg_op)), jsonb_build_object('legacy_jobs', v_report));
  end if;
  return null;
end
$$;
comment on function switchyard.follow_legacy_names() is
  'Trigger: when the registry learns of a data type, or of a legacy job, or forgets one, the jobs rest or run as the stages and flags want it, with a migration event of kind registry when one does.';

create trigger follow_legacy_names
  after update of edge_function_name, legacy_cron_jobs, legacy_functions on public.data_type_registry_v2
  for each row
  when ((new.edge_function_name, new.legacy_cron_jobs, new.legacy_functions)
        is distinct from (old.edge_function_name, old.legacy_cron_jobs, old.legacy_functions))
  execute function switchyard.follow_legacy_names();

-- A job that rests for a type in live may be that of the new one too, and one that runs for a type that goes
-- may rest.
create trigger follow_known_types
  after insert or delete on public.data_type_registry_v2
  for each row execute function switchyard.follow_legacy_names();

revoke all on function
  switchyard.keep_stage(),
  switchyard.note_share(),
  switchyard.note_listed_symbols(),
  switchyard.keep_type_flag(),
  switchyard.follow_legacy_names()
from public, anon, authenticated, service_role;
