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

-- All names that later migrations take outside of the schema switchyard: once the first of them is
-- applied, one that is taken would leave half of Switchyard behind.
do $$
declare
  v_relations constant text[] := array[
    'public.feature_flags',
    'public.api_providers_v2',
    'public.api_data_usage_v2',
    'public.data_type_registry_v2',
    'public.registry_problems_v2',
    'public.api_call_queue_v2',
    'public.active_subscriptions_v2',
    'public.migration_status_v2'
  ];
  v_functions constant text[] := array[
    'public.is_feature_enabled(text)',
    'public.is_feature_enabled_for(text,text)',
    'public.get_quota_usage_v2(text)',
    'public.is_quota_exceeded_v2(text)',
    'public.is_data_stale_v2(timestamptz,integer)',
    'public.is_profile_stale_v2(timestamptz,integer)',
    'public.maintain_queue_partitions_v2()',
    'public.prune_queue_history_v2()',
    'public.compact_queue_v2()',
    'public.queue_refresh_if_not_exists_v2(text,text,integer)',
    'public.get_queue_batch_v2(integer,uuid,boolean,integer)',
    'public.job_progress_v2(bigint,uuid)',
    'public.shadow_report_v2(text,integer)',
    'public.settle_queue_batch_v2(jsonb)',
    'public.recover_stuck_jobs_v2()',
    'public.complete_queue_job_v2(bigint,uuid,jsonb,integer,bigint)',
    'public.fail_queue_job_v2(bigint,uuid,text,text,text)',
    'public.reset_job_immediate_v2(bigint)',
    'public.extend_leases_v2(uuid,integer)',
    'public.cancel_jobs_v2(text,text,text,timestamptz)',
    'public.retry_failed_jobs_v2(text,text,timestamptz,integer)',
    'public.pause_data_type_v2(text,boolean)',
    'public.pause_provider_v2(text,boolean)',
    'public.next_claim_in_v2(boolean)',
    'public.start_processor_run_v2(uuid,boolean)',
    'public.heartbeat_processor_run_v2(uuid)',
    'public.finish_processor_run_v2(uuid,jsonb)',
    'public.invoke_processor_loop_v2()',
    'public.start_endpoint_run_v2(text,uuid,boolean)',
    'public.finish_endpoint_run_v2(text,uuid)',
    'public.take_vendor_calls_v2(text,integer,uuid)',
    'public.book_endpoint_usage_v2(text,text,integer,integer,bigint)',
    'public.check_and_queue_stale_batch_v2(text,text[],integer)',
    'public.is_exchange_open_v2(text[])',
    'public.is_exchange_open_v2(text)',
    'public.check_and_queue_stale_data_from_presence_v2()',
    'public.queue_scheduled_refreshes_v2()',
    'public.queue_shadow_samples_v2()',
    'public.sample_freshness_v2()',
    'public.record_baseline_v2(text)',
    'public.resolve_alert_v2(bigint,text)',
    'public.advance_migration_v2(text,text,boolean,text)',
    'public.rollback_migration_v2(text,text)',
    'public.migration_gates_v2(text,text)',
    'public.guard_migrations_v2()',
    'public.take_missing_files_v2(text,text[],integer)'
  ];
  v_jobs constant text[] := array[
    'invoke-queue-processor-v2',
    'check-stale-data-v2',
    'queue-scheduled-refreshes-v2',
    'queue-shadow-samples-v2',
    'sample-freshness-v2',
    'guard-migrations-v2',
    'compact-queue-v2',
    'maintain-queue-partitions-v2',
    'prune-queue-history-v2'
  ];
  v_taken text;
begin
  select string_agg(taken.name, E'\n' order by taken.place, taken.name) into v_taken
    from (
      select 1 as place, 'schema switchyard' as name where to_regnamespace('switchyard') is not null
      union all
      select 2, 'relation ' || r.name from unnest(v_relations) as r (name) where to_regclass(r.name) is not null
      union all
      select 3, 'function ' || f.name from unnest(v_functions) as f (name) where to_regprocedure(f.name) is not null
      union all
      select 4, format('cron job %s', j.jobname)
        from cron.job as j
       where j.jobname::text = any (v_jobs) and j.username = current_user
    ) as taken;
  if v_taken is not null then
    raise exception 'Cannot install Switchyard: names that it needs are taken'
      using errcode = 'SY027',
            detail = v_taken,
            hint = 'Rename these and push again; nothing was changed';
  end if;
end
$$;

create schema switchyard;
comment on schema switchyard is
  'Internals of Switchyard: everything that people do not type in the SQL editor. Not exposed over REST.';

revoke all on schema switchyard from public;
grant usage on schema switchyard to service_role, authenticated;

create function switchyard.is_plain_identifier(p_name text)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select coalesce(p_name ~ '^[a-z_][a-z0-9_]*$' and length(p_name) <= 63, false)
$$;
comment on function switchyard.is_plain_identifier(text) is
  'Whether a name is a lower-case SQL identifier that needs no quotes.';

create table switchyard.settings (
  name text primary key,
  value jsonb not null,
  lowest numeric,
  highest numeric,
  description text not null,
  constraint setting_names_are_plain check (name ~ '^[a-z][a-z0-9_]*$'),
  constraint lowest_and_highest_make_a_range
    check ((lowest is null) = (highest is null) and lowest <= highest)
);
comment on table switchyard.settings is
  'What operators may change with a plain UPDATE of value, one row each, with the unit in the name and a sentence of description. A value outside its range is refused (SY017), and so is the removal or renaming of a row that Switchyard reads.';
comment on column switchyard.settings.lowest is
  'Smallest value that the code can work with; null for what is no number. Nobody changes it but a migration that disables the trigger keep_settings.';
comment on column switchyard.settings.highest is
  'Largest value that the code can work with; null for what is no number. Nobody changes it but a migration that disables the trigger keep_settings.';

-- Triggers in place of a check constraint, whose error would name neither the range nor the way out.
create function switchyard.check_setting()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_fits boolean;
  v_wanted text;
  v_hint text := 'Choose such a value; see select name, value, lowest, highest from switchyard.settings';
begin
  if new.name ~ '^known_symbols_' then
    v_fits := (new.value = 'null' and new.name <> 'known_symbols_column')
              or (jsonb_typeof(new.value) = 'string' and switchyard.is_plain_identifier(new.value #>> '{}'));
    v_wanted := case when new.name = 'known_symbols_column' then '' else 'the JSON value null or ' end
                || 'a plain identifier as a JSON string, such as "symbol"';
    v_hint := 'Write JSON in single quotes: set value = ''"symbol"''';
  elsif new.lowest is null then
    return new;
  else
    v_fits := case when jsonb_typeof(new.value) = 'number'
                   then (new.name ~ '_(share|rate|ttls|slack|headroom)$' or new.value::text ~ '^-?[0-9]+$')
                        and new.value::text::numeric between new.lowest and new.highest end;
    v_wanted := format('a %s from %s to %s',
                       case when new.name ~ '_(share|rate|ttls|slack|headroom)$' then 'number' else 'whole number' end,
                       new.lowest, new.highest);
  end if;

  if not coalesce(v_fits, false) then
    raise exception 'Cannot set "%" to %: wanted %',
      new.name, coalesce(left(new.value::text, 60), 'SQL null'), v_wanted
      using errcode = 'SY017',
            detail = new.description,
            hint = v_hint;
  end if;
  return new;
end
$$;
comment on function switchyard.check_setting() is
  'Trigger: refuses (SY017) a number outside lowest to highest, and a known_symbols_* that is no plain identifier.';

create function switchyard.check_backoff()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_base numeric;
  v_max numeric;
begin
  -- Locked, or two sessions could each change one of them and never see the other's.
  select max(s.value::text::numeric) filter (where s.name = 'backoff_base_seconds'),
         max(s.value::text::numeric) filter (where s.name = 'backoff_max_seconds')
    into v_base, v_max
    from (
      select b.name, b.value
        from switchyard.settings as b
       where b.name in ('backoff_base_seconds', 'backoff_max_seconds')
       order by b.name
         for share
    ) as s;
  if v_max < v_base then
    raise exception 'Cannot set "%" to %: backoff_max_seconds (%) would be below backoff_base_seconds (%)',
      new.name, new.value, v_max, v_base
      using errcode = 'SY017',
            detail = new.description,
            hint = 'Change the other one first, or both in one UPDATE';
  end if;
  return null;
end
$$;
comment on function switchyard.check_backoff() is
  'Trigger: refuses (SY017) a longest backoff below the first one. After the statement, so that one UPDATE may change both.';

create function switchyard.keep_settings()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
begin
  if tg_op = 'TRUNCATE' then
    raise exception 'Cannot truncate switchyard.settings: Switchyard reads them'
      using errcode = 'SY017', hint = 'Change values with an UPDATE instead';
  end if;
  -- Rows that somebody added have no range and may come and go.
  if (old.lowest is not null or old.name ~ '^known_symbols_')
     and (tg_op = 'DELETE'
          or (new.name, new.lowest, new.highest) is distinct from (old.name, old.lowest, old.highest)) then
    raise exception 'Cannot % setting "%": Switchyard reads it',
      case when tg_op = 'DELETE' then 'delete'
           when new.name <> old.name then 'rename'
           else 'change the range of' end, old.name
      using errcode = 'SY017', hint = 'Change its value with an UPDATE instead';
  end if;
  return case tg_op when 'DELETE' then old else new end;
end
$$;
comment on function switchyard.keep_settings() is
  'Trigger: the settings that Switchyard reads can be neither renamed nor removed, nor their ranges changed (SY017).';

create trigger check_setting
  before insert or update on switchyard.settings
  for each row execute function switchyard.check_setting();

create trigger check_backoff
  after insert or update on switchyard.settings
  for each row
  when (new.name in ('backoff_base_seconds', 'backoff_max_seconds'))
  execute function switchyard.check_backoff();

create trigger keep_settings
  before delete or update of name, lowest, highest on switchyard.settings
  for each row execute function switchyard.keep_settings();

create trigger keep_all_settings
  before truncate on switchyard.settings
  for each statement execute function switchyard.keep_settings();

insert into switchyard.settings (name, value, lowest, highest, description) values
  ('completed_retention_days', '7', 1, 3650, 'Completed jobs are kept for this many days after they finished'),
  ('failed_retention_days', '30', 1, 3650, 'Failed jobs are kept for this many days after they finished'),
  ('usage_retention_days', '35', 31, 3650, 'Hourly usage is kept for this many days; the byte quota looks back 30 and an hour'),
  ('event_retention_days', '14', 1, 3650, 'Queue events and processor runs are kept for this many days'),
  ('run_details_retention_days', '3', 1, 3650, 'Run details of Switchyard''s own cron jobs are kept for this many days'),
  ('partitions_ahead_days', '7', 1, 60, 'Day partitions of the queue are made this many days ahead'),
  ('processor_alive_seconds', '20', 10, 600, 'A processor run counts as alive for this long after its last heartbeat, which comes every 5'),
  ('oldest_slots_percent', '10', 0, 100, 'Share of each claim that goes to the oldest jobs, whatever their priority'),
  ('starved_after_seconds', '60', 1, 86400, 'When a data type whose jobs need several calls has waited this long for them, single calls are saved up for it'),
  ('default_hold_seconds', '60', 1, 86400, 'A provider is held this long after a 429 without Retry-After'),
  ('breaker_open_seconds', '60', 1, 86400, 'An open breaker lets one job through as a probe after this long'),
  ('breaker_window_seconds', '60', 10, 3600, 'The breaker looks at the attempts of this many seconds; they are kept for an hour'),
  ('breaker_least_failures', '20', 1, 1000000, 'Fewer failed attempts than this in the window never open the breaker'),
  ('breaker_failed_share', '0.5', 0, 1, 'The breaker opens when this share of the calls in the window failed'),
  ('quota_hold_seconds', '3600', 60, 2592000, 'A provider is held this long after it reported a used-up quota'),
  ('backoff_base_seconds', '5', 1, 3600, 'The first retry waits about this long; each further one twice as long'),
  ('backoff_max_seconds', '900', 1, 86400, 'No retry waits longer than this'),
  ('endpoint_calls_share', '0.3', 0, 1, 'Share of calls_per_minute that the queue leaves to the endpoints while they are in use, and the most that they take while the queue has work'),
  ('endpoint_pause_seconds', '30', 0, 3600, 'An endpoint starts no second run within this long of the last start, except for callers with a secret key'),
  ('edge_function_hold_seconds', '900', 10, 86400, 'A data type whose Edge Function refuses our key is held this long'),
  ('caller_checks_per_minute', '60', 0, 1000000, 'Staleness checks that one signed-in user may ask for in a minute'),
  ('most_pending_jobs', '5000', 1, 10000000, 'The staleness checks queue no more demand jobs than may be pending, and half as many scheduled ones'),
  ('close_grace_minutes', '30', 0, 600, 'Quotes are refreshed after the close until they were fetched this long after it'),
  ('shadow_jobs_per_minute', '20', 0, 100000, 'A data type in stage shadow is tried on no more symbols a minute'),
  ('shadow_resample_minutes', '60', 1, 525600, 'In shadow a symbol is not tried again within this long or the TTL, whichever is shorter'),
  ('shadow_global_resample_minutes', '240', 1, 525600, 'The same for data types without symbols, whose answers are large'),
  ('shadow_comparable_minutes', '30', 0, 525600, 'Rows that legacy refreshed within this long of a fetch must agree with it; shadow_rules.comparable_minutes goes before'),
  ('shadow_source_lag_seconds', '60', 0, 31536000, 'Fetched rows may be older by so much at the source than what legacy has; shadow_rules.source_lag_seconds goes before'),
  ('shadow_wait_minutes', '1500', 1, 525600, 'A comparison waits for this long until legacy refreshes its symbol'),
  ('shadow_waiting_per_type', '500', 1, 1000000, 'No more comparisons of a data type wait, with their rows; the oldest give way'),
  ('shadow_look_seconds', '5', 1, 60, 'A pass of the shadow spends no longer on new looks at the comparisons of a data type'),
  ('shadow_rows_per_result', '500', 1, 100000, 'Of a larger answer so many rows, chosen by chance, are compared'),
  ('shadow_results_per_type', '30000', 100, 10000000, 'No more comparisons of a data type are kept; mismatches longest'),
  ('shadow_retention_days', '14', 1, 3650, 'Comparisons are kept for this many days'),
  ('freshness_sampling', '0', 0, 1, '1: freshness is sampled each minute with use_queue_system off too; record_baseline_v2 turns it on'),
  ('freshness_time_percent', '2', 1, 100, 'Outside of canary and live the samples of a data type take at most this part of the time'),
  ('freshness_retention_days', '14', 1, 3650, 'Samples of freshness are kept for this many days; the baseline for ever'),
  ('demand_expires_after_seconds', '120', 10, 86400, 'Demand from presence counts for this long after it was last seen'),
  ('demand_from_presence', '1', 0, 1, '1: what clients show by Realtime presence is demand; 0: it is not'),
  ('demand_from_row_changes', '1', 0, 1, '1: subscriptions to row changes are demand; 0: they are not'),
  ('known_symbols_table', 'null', null, null, 'Table in schema public that lists the symbols; null turns the check off'),
  ('known_symbols_column', '"symbol"', null, null, 'Column of known_symbols_table that holds the symbol'),
  ('known_symbols_active_column', '"is_active"', null, null, 'Boolean column of known_symbols_table; null when every row counts');

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
  switchyard.is_plain_identifier(text),
  switchyard.check_setting(),
  switchyard.check_backoff(),
  switchyard.keep_settings(),
  switchyard.setting(text),
  switchyard.setting_integer(text),
  switchyard.record_event(text, jsonb, integer, text, text)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.is_plain_identifier(text),
  switchyard.setting(text),
  switchyard.setting_integer(text),
  switchyard.record_event(text, jsonb, integer, text, text)
to service_role;
