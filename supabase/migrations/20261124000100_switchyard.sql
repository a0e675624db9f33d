-- Adds the private schema, its settings and its event log. Touches nothing that exists.

do $$
declare
  v_missing text;
begin
  select string_agg(format('schema "%s" (%s)', needed.schema_name, needed.provided_by), ', ')
    into v_missing
    from (values
      ('cron', 'extension pg_cron'),
      ('net', 'extension pg_net'),
      ('vault', 'extension supabase_vault')
    ) as needed (schema_name, provided_by)
   where to_regnamespace(needed.schema_name) is null;

  if v_missing is not null then
    raise exception 'Cannot install Switchyard: missing %', v_missing
      using errcode = 'SY001',
            hint = 'Enable the extensions under Database > Extensions and push again';
  end if;
end
$$;

create schema switchyard;
comment on schema switchyard is
  'Internals of Switchyard: everything that people do not type in the SQL editor. Not exposed over REST.';

revoke all on schema switchyard from public;
grant usage on schema switchyard to service_role, authenticated;

create table switchyard.settings (
  name text primary key,
  value jsonb not null,
  description text not null,
  constraint setting_names_are_plain check (name ~ '^[a-z][a-z0-9_]*$'),
  constraint settings_with_a_unit_are_whole_numbers check (
    case when name ~ '_(days|seconds|percent|failures|minute)$'
         then value::text ~ '^[0-9]{1,7}$' and (name !~ '_days$' or value::text::integer >= 1)
              and (name !~ '_percent$' or value::text::integer <= 100)
         when name ~ '_share$'
         then jsonb_typeof(value) = 'number' and value::text::numeric between 0 and 1
         else true
    end)
);
comment on table switchyard.settings is
  'Numbers that operators may change, one row each, with their unit in the name and a sentence of description.';

insert into switchyard.settings (name, value, description) values
  ('completed_retention_days', '7', 'Completed jobs are kept for this many days after they finished'),
  ('failed_retention_days', '30', 'Failed jobs are kept for this many days after they finished'),
  ('usage_retention_days', '35', 'Hourly usage is kept for this many days; the byte quota looks back 30'),
  ('event_retention_days', '14', 'Queue events and processor runs are kept for this many days'),
  ('run_details_retention_days', '3', 'Run details of Switchyard''s own cron jobs are kept for this many days'),
  ('partitions_ahead_days', '7', 'Day partitions of the queue are made this many days ahead'),
  ('processor_alive_seconds', '20', 'A processor run counts as alive for this long after its last heartbeat'),
  ('oldest_slots_percent', '10', 'Share of each claim that goes to the oldest jobs, whatever their priority'),
  ('default_hold_seconds', '60', 'A provider is held this long after a 429 without Retry-After'),
  ('breaker_open_seconds', '60', 'An open breaker lets one job through as a probe after this long'),
  ('breaker_window_seconds', '60', 'The breaker looks at the attempts of this many seconds, at most 3600'),
  ('breaker_least_failures', '20', 'Fewer failed attempts than this in the window never open the breaker'),
  ('breaker_failed_share', '0.5', 'The breaker opens when this share of the calls in the window failed'),
  ('quota_hold_seconds', '3600', 'A provider is held this long after it reported a used-up quota'),
  ('backoff_base_seconds', '5', 'The first retry waits about this long; each further one twice as long'),
  ('backoff_max_seconds', '900', 'No retry waits longer than this'),
  ('caller_checks_per_minute', '60', 'Staleness checks that one signed-in user may ask for in a minute'),
  ('known_symbols_table', '"supported_symbols"', 'Table in schema public that lists the symbols; null turns the check off'),
  ('known_symbols_column', '"symbol"', 'Column of known_symbols_table that holds the symbol'),
  ('known_symbols_active_column', '"is_active"', 'Boolean column of known_symbols_table; null when every row counts');

create function switchyard.setting(p_name text)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  v_value jsonb;
begin
  select s.value into v_value from switchyard.settings as s where s.name = p_name;
  if not found then
    raise exception 'Cannot read setting "%": no such row in switchyard.settings', p_name
      using errcode = 'SY002',
            hint = 'See select * from switchyard.settings';
  end if;
  return v_value;
end
$$;
comment on function switchyard.setting(text) is
  'The value of one setting as jsonb. Raises SY002 for an unknown name.';

create function switchyard.setting_integer(p_name text)
returns integer
language plpgsql
stable
set search_path = ''
as $$
begin
  return (switchyard.setting(p_name) #>> '{}')::integer;
end
$$;
comment on function switchyard.setting_integer(text) is
  'The value of one numeric setting. Raises SY002 for an unknown name.';

create table switchyard.queue_events (
  id bigint generated always as identity primary key,
  occurred_at timestamptz not null default clock_timestamp(),
  kind text not null,
  provider text,
  data_type text,
  job_count integer not null default 0,
  detail jsonb not null default '{}'
);
comment on table switchyard.queue_events is
  'One row per queue operation (a batch, not a job): what happened, to how many jobs, with which numbers.';

create index queue_events_occurred_at_idx on switchyard.queue_events (occurred_at);

create function switchyard.record_event(
  p_kind text,
  p_detail jsonb default '{}',
  p_job_count integer default 0,
  p_provider text default null,
  p_data_type text default null
)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  insert into switchyard.queue_events (kind, provider, data_type, job_count, detail)
  values (p_kind, p_provider, p_data_type, p_job_count, p_detail);
end
$$;
comment on function switchyard.record_event(text, jsonb, integer, text, text) is
  'Appends one row to switchyard.queue_events.';

alter table switchyard.settings enable row level security;
alter table switchyard.queue_events enable row level security;

revoke all on table switchyard.settings, switchyard.queue_events from public, anon, authenticated;
grant select on table switchyard.settings to service_role;
grant select, insert on table switchyard.queue_events to service_role;

revoke all on function
  switchyard.setting(text),
  switchyard.setting_integer(text),
  switchyard.record_event(text, jsonb, integer, text, text)
from public, anon, authenticated;
grant execute on function
  switchyard.setting(text),
  switchyard.setting_integer(text),
  switchyard.record_event(text, jsonb, integer, text, text)
to service_role;
