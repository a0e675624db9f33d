-- Adds the guard, which rolls data types back by itself. Nothing calls it while use_queue_system is off.

create function switchyard.error_breach(p_type public.data_type_registry_v2)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  v_minutes integer := switchyard.gate_setting(p_type, 'breach_minutes');
  v_most numeric := switchyard.gate_setting(p_type, 'error_rate');
  v_least integer := switchyard.gate_setting(p_type, 'breach_least_failures');
  v_since timestamptz := clock_timestamp() - make_interval(mins => v_minutes);
  v_earliest timestamptz := greatest(p_type.stage_entered_at, clock_timestamp() - interval '1 day');
  v_finished integer;
  v_failed integer;
  v_last_failed_at timestamptz;
begin
  -- The jobs of the last minutes; of a type that is refreshed seldom the last 50, of a day at most. Old
  -- failures alone are no breach: the last one has to be of these minutes.
  select count(*), count(*) filter (where latest.status = 'failed'),
         max(latest.finished_at) filter (where latest.status = 'failed')
    into v_finished, v_failed, v_last_failed_at
    from (
      select q.status, q.finished_at, row_number() over (order by q.finished_at desc) as nth
        from (
          select j.status, j.finished_at
            from public.api_call_queue_v2 as j
           where j.data_type = p_type.data_type
             and j.finished_at > v_earliest
             and j.finished_at < 'infinity'
             and j.source <> 'manual'
             and not (j.status = 'failed' and coalesce(j.errors -> -1 ->> 'code', '') = 'cancelled')
           order by j.finished_at desc
           limit 20000
        ) as q
    ) as latest
   where latest.nth <= 50 or latest.finished_at > v_since;
  if v_failed >= v_least and v_failed > v_most * v_finished and v_last_failed_at > v_since then
    return format('error_rate: %s (%s of %s jobs), wanted at most %s',
                  switchyard.percent(v_failed::numeric / v_finished), v_failed, v_finished,
                  switchyard.percent(v_most));
  end if;
  return null;
end
$$;
comment on function switchyard.error_breach(public.data_type_registry_v2) is
  'What the breach of the error rate is, or null: of the jobs of the last breach_minutes (at least of the last 50) more failed than error_rate allows, and no fewer than breach_least_failures.';

create function switchyard.freshness_breach(p_type public.data_type_registry_v2)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  v_minutes integer := switchyard.gate_setting(p_type, 'breach_minutes');
  v_most numeric := switchyard.gate_setting(p_type, 'error_rate');
  v_samples integer;
  v_breaches integer;
  v_found text;
  v_since timestamptz := greatest(p_type.stage_entered_at, clock_timestamp() - make_interval(mins => v_minutes));
begin
  -- A sample a minute, and one may be missing. Every one of them has to tell of it.
  select count(*),
         count(*) filter (where s.very_stale_rows > v_most * (s.symbols_known - s.left_out)),
         (array_agg(format('%s of %s symbols', s.very_stale_rows, s.symbols_known - s.left_out)
                    order by s.sampled_at desc))[1]
    into v_samples, v_breaches, v_found
    from switchyard.freshness_samples as s
   where s.data_type = p_type.data_type
     and s.sampled_at > v_since;
  if v_samples >= greatest(v_minutes - 1, 1) and v_breaches = v_samples then
    return format('freshness: %s older than twice the TTL for %s min, wanted at most %s',
                  v_found, v_minutes, switchyard.percent(v_most));
  end if;
  return null;
end
$$;
comment on function switchyard.freshness_breach(public.data_type_registry_v2) is
  'What the breach of freshness is, or null: in every sample of the last breach_minutes more symbols were older than twice their TTL than error_rate allows.';

create function switchyard.look_at_type(p_data_type text)
returns text
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_type public.data_type_registry_v2;
  v_next text;
begin
  select r.* into strict v_type
    from public.data_type_registry_v2 as r
   where r.data_type = p_data_type;
  v_next := switchyard.next_stage(v_type.stage);
  if v_next is not null then
    perform switchyard.store_verdicts(
      p_data_type, v_next, array(select g from switchyard.check_gates(p_data_type, v_next) as g),
      p_only_changed := true);
  end if;
  if v_type.stage in ('canary', 'live') then
    return coalesce(switchyard.error_breach(v_type), switchyard.freshness_breach(v_type));
  end if;
  return null;
end
$$;
comment on function switchyard.look_at_type(text) is
  'Keeps those verdicts of the gates before the next stage of a data type that have changed, and returns what the breach is in canary and live; null for none.';

create function switchyard.answer_breach(p_data_type text, p_breach text, p_cancelled_jobs integer)
returns text
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_type public.data_type_registry_v2;
begin
  select r.* into strict v_type
    from public.data_type_registry_v2 as r
   where r.data_type = p_data_type;
  if switchyard.gate_setting(v_type, 'auto_rollback') = 0 then
    perform switchyard.open_alert(
      'breach', 'critical', p_data_type,
      format('"%s" in %s breaks a gate: %s', p_data_type, v_type.stage, p_breach));
    return format('alert: %s', p_breach);
  end if;
  perform switchyard.set_stage(
    p_data_type, 'legacy', p_breach,
    jsonb_build_object('automatic', true, 'cancelled_jobs', p_cancelled_jobs));
  perform switchyard.open_alert(
    'automatic_rollback', 'critical', p_data_type,
    format('"%s" was rolled back from %s: %s', p_data_type, v_type.stage, p_breach));
  return format('rolled back from %s: %s', v_type.stage, p_breach);
end
$$;
comment on function switchyard.answer_breach(text, text, integer) is
  'Rolls a data type back because of a breach, with a critical alert; with auto_rollback off it only opens the alert. Returns what it did.';

create function public.guard_migrations_v2()
returns table (data_type text, action text)
language plpgsql
volatile
set search_path = ''
as $$
#variable_conflict use_column
declare
  v_type record;
  v_breach text;
  v_breaches jsonb := '{}';
  v_cancelled jsonb;
  v_action text;
begin
  -- Loops with a block for each, because the fault of one type must not keep the others from being watched.
  for v_type in
    select r.data_type
      from public.data_type_registry_v2 as r
     where r.stage in ('shadow', 'canary', 'live')
     order by r.data_type
  loop
    begin
      v_breach := switchyard.look_at_type(v_type.data_type);
      if v_breach is not null then
        v_breaches := v_breaches || jsonb_build_object(v_type.data_type, v_breach);
      end if;
    exception when others then
      perform switchyard.record_event(
        'guard failed', jsonb_build_object('message', sqlerrm, 'sqlstate', sqlstate), 0, null, v_type.data_type);
      return query select v_type.data_type, format('failed: %s', sqlerrm);
    end;
  end loop;

  if v_breaches <> '{}' then
    perform switchyard.lock_migration();
    -- Somebody may have moved one before the lock was had; then its breach is not of this stage.
    for v_type in
      select r.data_type
        from public.data_type_registry_v2 as r
       where v_breaches ? r.data_type
       order by r.data_type
    loop
      v_breach := switchyard.look_at_type(v_type.data_type);
      v_breaches := v_breaches - v_type.data_type;
      if v_breach is not null then
        v_breaches := v_breaches || jsonb_build_object(v_type.data_type, v_breach);
      end if;
    end loop;
    -- All of them before the first registry row is locked (see switchyard.set_stage).
    select coalesce(jsonb_object_agg(leaving.data_type, switchyard.cancel_pending_jobs(leaving.data_type, true)), '{}')
      into v_cancelled
      from (
        select r.data_type
          from public.data_type_registry_v2 as r
         where v_breaches ? r.data_type and switchyard.gate_setting(r, 'auto_rollback') = 1
         order by r.data_type
      ) as leaving;
    for v_type in
      select b.key as data_type, b.value as breach from jsonb_each_text(v_breaches) as b order by b.key
    loop
      begin
        v_action := switchyard.answer_breach(
          v_type.data_type, v_type.breach, (v_cancelled ->> v_type.data_type)::integer);
      exception when others then
        v_action := format('failed: %s', sqlerrm);
        perform switchyard.record_event(
          'guard failed', jsonb_build_object('message', sqlerrm, 'sqlstate', sqlstate), 0, null, v_type.data_type);
      end;
      return query select v_type.data_type, v_action;
    end loop;
  end if;

  -- What a pass of the staleness check queued while its type was being rolled back.
  if exists (
    select 1
      from public.data_type_registry_v2 as r
     where r.stage = 'legacy'
       and exists (
         select 1
           from switchyard.api_call_queue_v2_live as q
          where q.data_type = r.data_type and q.status = 'pending' and q.source <> 'manual'))
  then
    perform switchyard.lock_migration();
    return query
      select left_over.data_type, format('%s jobs cancelled: the type is in stage legacy', left_over.cancelled)
        from (
          select r.data_type, switchyard.cancel_pending_jobs(r.data_type, false) as cancelled
            from public.data_type_registry_v2 as r
           where r.stage = 'legacy'
           order by r.data_type
        ) as left_over
       where left_over.cancelled > 0;
  end if;
end
$$;
comment on function public.guard_migrations_v2() is
  'Watches the data types on their way: rolls those in canary and live back by itself whose error rate or freshness breaks its gate for breach_minutes, with a critical alert, and cancels jobs that were queued for a type in legacy. Called by cron each minute. Returns what it did, no rows for nothing. For postgres.';

revoke all on function
  switchyard.error_breach(public.data_type_registry_v2),
  switchyard.freshness_breach(public.data_type_registry_v2),
  switchyard.look_at_type(text),
  switchyard.answer_breach(text, text, integer),
  public.guard_migrations_v2()
from public, anon, authenticated, service_role;
