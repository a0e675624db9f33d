-- Adds what the flags do in the transaction that changes them. Nothing moves.

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
  v_details text[] := '{}'::text[];
  v_missing text[];
  v_event switchyard.migration_events;
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
    v_event := switchyard.move_up(
      v_data_type, 'live', false, format('use_queue_for_%s was turned on', v_data_type));
    if v_event.kind = 'refusal' then
      v_refused := v_refused || v_data_type;
      v_missing := array(select jsonb_array_elements_text(v_event.detail -> 'missing'));
      v_details := v_details || array_to_string(v_missing, '; ');
    end if;
  end loop;
  -- Postgres keeps this error in its log, detail and all; the events are rolled back with the UPDATE.
  if cardinality(v_refused) = 1 then
    raise exception 'Cannot move "%" to live: % of % gates do not hold',
      v_refused[1], cardinality(v_missing), cardinality(switchyard.gates_for('live'))
      using errcode = 'SY024',
            detail = v_details[1],
            hint = format('See select * from migration_gates_v2(%L, ''live'')', v_refused[1]);
  elsif v_refused <> '{}' then
    raise exception 'Cannot move % to live: gates do not hold',
      (select string_agg(format('"%s"', t), ', ') from unnest(v_refused) as t)
      using errcode = 'SY024',
            detail = (select string_agg(format('%s: %s', d.data_type, d.detail), E'\n')
                        from unnest(v_refused, v_details) as d (data_type, detail)),
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
  'Trigger: what an UPDATE of flags does, in its transaction (docs/stages.md has the table). use_queue_system and use_new_staleness_check switch the cron jobs of Switchyard and let the legacy jobs of types in live and retired rest or run; use_queue_for_<data type> moves its type to live when the gates hold (else SY024), or back to legacy.';

create trigger follow_flags
  after update on public.feature_flags
  referencing old table as old_flags new table as new_flags
  for each statement execute function switchyard.follow_flags();

-- Definer: as above.
create function switchyard.follow_flag_that_was_off()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_data_type text;
  v_stage text;
begin
  select r.data_type, r.stage into v_data_type, v_stage
    from public.data_type_registry_v2 as r
   where 'use_queue_for_' || r.data_type = new.flag_name and r.stage in ('shadow', 'canary');
  if found then
    perform switchyard.set_stage(v_data_type, 'legacy', format('%s was turned off', new.flag_name));
    raise notice '"%" goes from % to legacy: its flag was set to off', v_data_type, v_stage
      using hint = 'To change metadata alone, leave enabled out of the UPDATE, or of what the upsert sets';
  end if;
  return null;
end
$$;
comment on function switchyard.follow_flag_that_was_off() is
  'Trigger: who turns use_queue_for_<data type> off wants its type in legacy, also one in shadow or canary, whose flag is off already.';

-- An UPDATE that leaves "enabled" out, as that of metadata, is none of it.
create trigger follow_flag_that_was_off
  after update of enabled on public.feature_flags
  for each row
  when (not old.enabled and not new.enabled)
  execute function switchyard.follow_flag_that_was_off();

create function switchyard.check_new_flag()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
begin
  -- After the row is there: an INSERT … ON CONFLICT DO UPDATE of a flag that exists is an UPDATE.
  if new.flag_name ~ '^use_queue_for_'
     and (tg_op = 'INSERT' or new.flag_name <> old.flag_name)
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
  'Trigger: no use_queue_for_<data type> without its data type, neither made nor renamed to, and none that is on from the start (SY003).';

create trigger check_new_flag
  after insert or update of flag_name on public.feature_flags
  for each row execute function switchyard.check_new_flag();

revoke all on function
  switchyard.follow_flags(),
  switchyard.follow_flag_that_was_off(),
  switchyard.check_new_flag()
from public, anon, authenticated, service_role;
