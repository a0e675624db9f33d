-- Adds alerts: what somebody has to look at. Nothing opens one yet.

create table switchyard.alerts (
  id bigint generated always as identity primary key,
  rule text not null,
  severity text not null,
  data_type text,
  message text not null,
  opened_at timestamptz not null default clock_timestamp(),
  last_seen_at timestamptz not null default clock_timestamp(),
  resolved_at timestamptz,
  note text,
  constraint alert_severity_is_known check (severity in ('info', 'warning', 'critical'))
);
comment on table switchyard.alerts is
  'What somebody has to look at. An open critical alert of a data type, or of none, keeps that type (or all) from moving on to canary, live and retired.';
comment on column switchyard.alerts.last_seen_at is
  'When its cause was last found; the same cause opens no second alert.';

create unique index one_open_alert_per_cause on switchyard.alerts (rule, coalesce(data_type, ''))
  where resolved_at is null;

create function switchyard.open_alert(p_rule text, p_severity text, p_data_type text, p_message text)
returns bigint
language plpgsql
volatile
set search_path = ''
set lock_timeout = '2s'
as $$
declare
  v_id bigint;
begin
  insert into switchyard.alerts as a (rule, severity, data_type, message)
  values (p_rule, p_severity, p_data_type, p_message)
      on conflict (rule, coalesce(data_type, '')) where resolved_at is null do update
     set message = excluded.message, severity = excluded.severity, last_seen_at = clock_timestamp()
  returning a.id into v_id;
  return v_id;
exception when lock_not_available then
  -- Somebody opens or resolves it in a transaction that is open still: what the alert is about goes first.
  perform switchyard.record_event(
    'alert not opened', jsonb_build_object('rule', p_rule, 'severity', p_severity, 'message', p_message),
    0, null, p_data_type);
  return null;
end
$$;
comment on function switchyard.open_alert(text, text, text, text) is
  'Opens an alert, or renews the open one of the same rule and data type; returns its id. Where another session holds that one for longer than 2 s it is an event in switchyard.queue_events, and null.';

create function switchyard.resolve_alerts(p_ids bigint[], p_note text)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  -- One that somebody holds is left for the next look.
  update switchyard.alerts as a
     set resolved_at = clock_timestamp(), note = p_note
   where a.id in (
     select o.id
       from switchyard.alerts as o
      where o.id = any (p_ids) and o.resolved_at is null
        for update skip locked);
end
$$;
comment on function switchyard.resolve_alerts(bigint[], text) is
  'Closes alerts whose cause is gone; waits for nobody.';

create function public.resolve_alert_v2(p_id bigint, p_note text default null)
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
begin
  update switchyard.alerts as a
     set resolved_at = clock_timestamp(), note = coalesce(p_note, a.note)
   where a.id = p_id and a.resolved_at is null;
  if found then
    return true;
  end if;
  if not exists (select 1 from switchyard.alerts as a where a.id = p_id) then
    raise exception 'Cannot resolve alert %: there is none, wanted the id of an open alert',
      coalesce(p_id::text, 'null')
      using errcode = 'SY016', hint = 'Run select id, rule, message from switchyard.alerts where resolved_at is null';
  end if;
  return false;
end
$$;
comment on function public.resolve_alert_v2(bigint, text) is
  'Closes an alert, with a note on what was done. False when it is closed already. Raises SY016 for an unknown id. For the SQL editor.';

alter table switchyard.alerts enable row level security;
revoke all on table switchyard.alerts from public, anon, authenticated, service_role;
grant select on table switchyard.alerts to service_role;

revoke all on function
  switchyard.open_alert(text, text, text, text),
  switchyard.resolve_alerts(bigint[], text),
  public.resolve_alert_v2(bigint, text)
from public, anon, authenticated, service_role;
