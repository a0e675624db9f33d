-- Adds what is kept of the gates, and the words they speak in. Nothing moves.

insert into switchyard.settings (name, value, lowest, highest, description) values
  ('gate_soak_hours', '24', 0, 8760, 'A data type stays in a stage for so long before it moves on; the error rate looks back no further, and no further than outcome_retention_days'),
  ('gate_least_sample', '100', 1, 1000000, 'Comparisons wanted before canary, and finished canary jobs before live'),
  ('gate_least_sample_global', '5', 1, 1000000, 'The same for data types without symbols'),
  ('gate_match_rate', '0.995', 0, 1, 'Share of the comparisons in shadow that must match'),
  ('gate_error_rate', '0.02', 0, 1, 'Share of the finished jobs that may fail, and of the symbols that may be very stale before a data type is rolled back'),
  ('gate_empty_rate', '0.1', 0, 1, 'Share of the symbols with rows for which the vendor may have nothing'),
  ('gate_conclusive_rate', '0.05', 0, 1, 'Share of the comparisons in shadow that must say something, match or mismatch'),
  ('gate_most_age_ttls', '2', 1, 1000, 'No symbol may be older than so many TTLs'),
  ('gate_baseline_slack', '1.25', 1, 1000, 'The age that 95 % of the symbols keep may be so many times that of the baseline'),
  ('gate_most_pending', '1000', 0, 10000000, 'Due jobs of the data type that may be pending'),
  ('gate_quota_headroom', '0.1', 0, 1, 'Share of the byte quota that must be left'),
  ('gate_auto_rollback', '1', 0, 1, '1: a breach in canary or live rolls the data type back by itself; 0: it only opens an alert'),
  ('gate_breach_minutes', '5', 1, 1440, 'A breach lasts for so long before anything is rolled back'),
  ('gate_breach_least_failures', '5', 1, 1000000, 'Fewer failed jobs than this are never a breach'),
  ('outcome_retention_days', '7', 1, 365, 'How many jobs were completed and failed is kept per settle for this many days'),
  ('verdict_retention_days', '90', 1, 3650, 'Verdicts of gates, refused moves and resolved alerts are kept for this many days');

create table switchyard.gate_verdicts (
  id bigint generated always as identity primary key,
  checked_at timestamptz not null default clock_timestamp(),
  data_type text not null,
  to_stage text not null,
  gate text not null,
  holds boolean not null,
  found text not null,
  wanted text not null,
  numbers jsonb not null default '{}',
  migration_event_id bigint references switchyard.migration_events (id)
);
comment on table switchyard.gate_verdicts is
  'Verdicts of gates with the numbers that they saw: of every move, made or refused, of migration_gates_v2 (at most one a minute unless it changes), and by guard_migrations_v2 whenever one changes.';
comment on column switchyard.gate_verdicts.to_stage is
  'The stage that the gate stands before; legacy: the breach that the guard answered by a rollback, or by an alert.';
comment on column switchyard.gate_verdicts.migration_event_id is
  'The move that the verdict was asked for; null when it was only looked at.';

create index gate_verdicts_data_type_idx on switchyard.gate_verdicts (data_type, to_stage, gate, id);

create index gate_verdicts_migration_event_id_idx on switchyard.gate_verdicts (migration_event_id);

create function switchyard.in_words(p_seconds numeric)
returns text
language sql
immutable
strict
set search_path = ''
as $$
  select case
    when p_seconds < 120 then round(p_seconds) || ' s'
    when p_seconds < 7200 then floor(p_seconds / 60) || ' min'
    when p_seconds < 172800 then concat_ws(' ',
      floor(p_seconds / 3600) || ' h', nullif(floor(mod(p_seconds, 3600) / 60), 0) || ' min')
    else concat_ws(' ', floor(p_seconds / 86400) || ' d', nullif(floor(mod(p_seconds, 86400) / 3600), 0) || ' h')
  end
$$;
comment on function switchyard.in_words(numeric) is
  'A number of seconds as people say it: 45 s, 90 min, 3 h 10 min, 2 d 4 h.';

create function switchyard.percent(p_share numeric)
returns text
language sql
immutable
set search_path = ''
as $$
  select round(p_share * 100, 1) || ' %'
$$;
comment on function switchyard.percent(numeric) is 'A share as people say it: 98.2 %.';

create function switchyard.gate_setting(p_type public.data_type_registry_v2, p_key text)
returns numeric
language plpgsql
stable
set search_path = ''
as $$
declare
  v_value jsonb := p_type.gate_settings -> p_key;
begin
  return case
    when v_value is null then (switchyard.setting('gate_' || p_key) #>> '{}')::numeric
    when jsonb_typeof(v_value) = 'boolean' then (v_value = 'true')::integer
    else (v_value #>> '{}')::numeric
  end;
end
$$;
comment on function switchyard.gate_setting(public.data_type_registry_v2, text) is
  'A number that gates go by: of the data type (gate_settings), else the setting gate_<key>.';

create function switchyard.recent_outcomes(
  p_data_type text,
  p_since timestamptz,
  out finished integer,
  out failed integer
)
language plpgsql
stable
set search_path = ''
as $$
begin
  select coalesce(sum(o.completed + o.failed), 0), coalesce(sum(o.failed), 0)
    into finished, failed
    from switchyard.job_outcomes as o
   where o.data_type = p_data_type and o.finished_at > p_since;
end
$$;
comment on function switchyard.recent_outcomes(text, timestamptz) is
  'How many jobs of a data type finished since a time, and how many of them failed; manual and cancelled ones aside.';

alter table switchyard.gate_verdicts enable row level security;
revoke all on table switchyard.gate_verdicts
  from public, anon, authenticated, service_role;
grant select on table switchyard.gate_verdicts to service_role;

revoke all on function
  switchyard.in_words(numeric),
  switchyard.percent(numeric),
  switchyard.gate_setting(public.data_type_registry_v2, text),
  switchyard.recent_outcomes(text, timestamptz)
from public, anon, authenticated, service_role;
