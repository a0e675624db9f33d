-- Adds the guard, which rolls data types back by itself. Nothing calls it while use_queue_system is off.

create function switchyard.look_at_type(p_data_type text)
returns switchyard.gate_result
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_type public.data_type_registry_v2;
  v_next text;
  v_breach switchyard.gate_result;
  v_problems text;
begin
  select r.* into strict v_type
    from public.data_type_registry_v2 as r
   where r.data_type = p_data_type;
  if v_type.stage in ('canary', 'live', 'retired') then
    v_breach := coalesce(switchyard.error_breach(v_type), switchyard.freshness_breach(v_type),
                         switchyard.sample_breach(v_type));
  end if;

  -- In a block, because these read the data table, which somebody may have locked: the breach goes first.
  begin
    v_next := switchyard.next_stage(v_type.stage);
    if v_next is not null then
      perform switchyard.store_verdicts(
        p_data_type, v_next, array(select g from switchyard.check_gates(p_data_type, v_next) as g),
        p_only_changed := true);
    end if;
    select string_agg(p.problem, '; ' order by p.problem) into v_problems
      from public.registry_problems_v2 as p
     where p.data_type = p_data_type and v_type.stage in ('canary', 'live', 'retired');
    if v_problems is not null then
      perform switchyard.open_alert(
        'registry', 'critical', p_data_type,
        format('The queue cannot refresh "%s" in %s: %s', p_data_type, v_type.stage, v_problems));
    end if;
    perform switchyard.resolve_alerts(
      array(
        select a.id
          from switchyard.alerts as a
         where a.data_type = p_data_type and a.resolved_at is null
           and (a.rule = 'guard_failed' or (a.rule = 'registry' and v_problems is null))),
      'It was looked at without a problem');
  exception when others then
    perform switchyard.record_event(
      'guard failed', jsonb_build_object('message', sqlerrm, 'sqlstate', sqlstate), 0, null, p_data_type);
    perform switchyard.open_alert(
      'guard_failed', 'critical', p_data_type,
      format('The gates of "%s" cannot be checked: %s', p_data_type, sqlerrm));
  end;
  return v_breach;
end
$$;
comment on function switchyard.look_at_type(text) is
  'Returns what the breach of a data type is in canary, live and retired; null for none. Keeps those verdicts of the gates before its next stage that have changed, and alerts open for a registry row that has a problem since, and for gates that cannot be checked.';

create function switchyard.answer_breach(p_data_type text, p_breach switchyard.gate_result)
returns text
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_type public.data_type_registry_v2;
  v_words text := switchyard.verdict_in_words(p_breach);
  v_failure text;
  v_event_id bigint;
begin
  select r.* into strict v_type
    from public.data_type_registry_v2 as r
   where r.data_type = p_data_type;
  -- What is retired may have no legacy endpoint to go back to.
  if v_type.stage = 'retired' or switchyard.gate_setting(v_type, 'auto_rollback') = 0 then
    -- One verdict for each alert.
    if not exists (
      select 1
        from switchyard.alerts as a
       where a.rule = 'breach' and a.data_type = p_data_type and a.resolved_at is null)
    then
      perform switchyard.store_verdicts(p_data_type, 'legacy', array[p_breach]);
    end if;
    perform switchyard.open_alert(
      'breach', 'critical', p_data_type,
      format('"%s" in %s breaks a gate: %s', p_data_type, v_type.stage, v_words));
    return format('alert: %s', v_words);
  end if;
  -- Before its jobs are cancelled.
  v_failure := switchyard.last_failure(array[p_data_type]);
  v_event_id := switchyard.set_stage(
    p_data_type, 'legacy', v_words,
    jsonb_build_object('automatic', true));
  perform switchyard.store_verdicts(p_data_type, 'legacy', array[p_breach], v_event_id);
  perform switchyard.open_alert(
    'automatic_rollback', 'critical', p_data_type,
    format('"%s" was rolled back from %s: %s%s. It stays in legacy until somebody has looked and run select resolve_alert_v2(<id>)',
           p_data_type, v_type.stage, v_words, '; the last failure: ' || v_failure));
  perform switchyard.resolve_alerts(
    array(
      select a.id
        from switchyard.alerts as a
       where a.rule = 'rollback_failed' and a.data_type = p_data_type and a.resolved_at is null),
    'It was rolled back');
  return format('rolled back from %s: %s', v_type.stage, v_words);
end
$$;
comment on function switchyard.answer_breach(text, switchyard.gate_result) is
  'Rolls a data type back because of a breach, with a critical alert, and keeps the verdict; with auto_rollback off, and in retired, it only opens the alert. Returns what it did.';

create function public.guard_migrations_v2()
returns table (data_type text, action text)
language plpgsql
volatile
set search_path = ''
set lock_timeout = '3s'
as $$
#variable_conflict use_column
declare
  v_type record;
  v_breach switchyard.gate_result;
  v_broken text[] := '{}'::text[];
  v_resumed integer;
  v_action text;
begin
  -- Loops with a block for each, because the fault of one type must not keep the others from being watched.
  for v_type in
    select r.data_type
      from public.data_type_registry_v2 as r
     where r.stage <> 'legacy'
     order by r.data_type
  loop
    begin
      v_breach := switchyard.look_at_type(v_type.data_type);
      if v_breach.gate is not null then
        v_broken := v_broken || v_type.data_type;
      end if;
    -- The statement timeout of the cron job too, which comes once: what is left goes without.
    exception when others or query_canceled then
      perform switchyard.record_event(
        'guard failed', jsonb_build_object('message', sqlerrm, 'sqlstate', sqlstate), 0, null, v_type.data_type);
      perform switchyard.open_alert(
        'guard_failed', 'critical', v_type.data_type,
        format('"%s" could not be looked at: %s', v_type.data_type, sqlerrm));
      return query select v_type.data_type, format('failed: %s', sqlerrm);
    end;
  end loop;

  if v_broken <> '{}' and not switchyard.try_lock_migration() then
    return query
      select b.data_type, 'broken, but another transaction holds the lock on flags and stages'
        from unnest(v_broken) as b (data_type);
  elsif v_broken <> '{}' then
    for v_type in
      select r.data_type
        from public.data_type_registry_v2 as r
       where r.data_type = any (v_broken)
       order by r.data_type
    loop
      begin
        -- Somebody may have moved it before the lock was had; then the breach is not of this stage.
        v_breach := null;
        v_breach := switchyard.look_at_type(v_type.data_type);
        v_action := case when v_breach.gate is not null
                         then switchyard.answer_breach(v_type.data_type, v_breach) end;
      exception when others or query_canceled then
        v_action := format('failed: %s', sqlerrm);
        perform switchyard.record_event(
          'guard failed', jsonb_build_object('message', sqlerrm, 'sqlstate', sqlstate), 0, null, v_type.data_type);
        perform switchyard.open_alert(
          'rollback_failed', 'critical', v_type.data_type,
          format('"%s" breaks a gate%s and could not be rolled back: %s', v_type.data_type,
                 case when v_breach.gate is not null then format(' (%s)', switchyard.verdict_in_words(v_breach)) end, sqlerrm));
      end;
      if v_action is not null then
        return query select v_type.data_type, v_action;
      end if;
    end loop;
  end if;

  v_resumed := switchyard.watch_queue();
  if v_resumed > 0 then
    return query
      select null::text, format('legacy jobs run again, because %s: %s', case
               when switchyard.queue_runs() then 'they refresh other data types too' else 'the queue does not' end, v_resumed);
  end if;

  -- What was queued, or locked, in the moment in which its type was rolled back.
  return query
    select left_over.data_type, format('%s jobs cancelled: the type is in stage legacy', left_over.cancelled)
      from (
        select r.data_type, switchyard.cancel_pending_jobs(r.data_type, false) as cancelled
          from public.data_type_registry_v2 as r
         where r.stage = 'legacy'
         order by r.data_type
      ) as left_over
     where left_over.cancelled > 0;
end
$$;
comment on function public.guard_migrations_v2() is
  'Watches the data types on their way: rolls those in canary and live back by itself whose error rate, empty rate or freshness breaks its gate for breach_minutes, with a critical alert (those in retired get the alert alone); lets the legacy jobs run when somebody has switched a cron job of Switchyard off by hand; keeps an alert open for what nothing refreshes; cancels jobs that were queued for a type in legacy. Called by cron each minute. Returns what it did, no rows for nothing. For postgres.';

revoke all on function
  switchyard.look_at_type(text),
  switchyard.answer_breach(text, switchyard.gate_result),
  public.guard_migrations_v2()
from public, anon, authenticated, service_role;
