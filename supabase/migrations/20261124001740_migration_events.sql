-- Adds the log of the migration, and the lock that its moves take. Nothing moves.

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
  constraint migration_event_kind_is_known check (kind in ('stage', 'refusal', 'flags')),
  constraint stage_events_name_their_type
    check ((kind <> 'flags') = (data_type is not null and from_stage is not null and to_stage is not null)),
  constraint forced_moves_have_a_reason check (not forced or reason is not null)
);
comment on table switchyard.migration_events is
  'Every move of a data type between stages, every one that advance_migration_v2 refused, and every change of use_queue_system and use_new_staleness_check, with what was done to the legacy jobs and the gates as they were.';
comment on column switchyard.migration_events.automatic is
  'Made by guard_migrations_v2, not by a person.';
comment on column switchyard.migration_events.detail is
  'legacy_jobs: what was done to which job; gates: the verdicts, with numbers; overridden: gates that did not hold when the move was forced; missing: those that kept it from moving, in words; cancelled_jobs.';

create index migration_events_data_type_idx on switchyard.migration_events (data_type, occurred_at);

create function switchyard.lock_migration()
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  c_key constant bigint := hashtext('switchyard.migration');
  v_holder record;
begin
  -- With the snapshot of an older moment a move would not see what another one has just changed.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'Cannot change flags or stages: the transaction is %, wanted read committed',
      current_setting('transaction_isolation')
      using errcode = 'SY018',
            hint = 'Do it in a transaction of its own: begin isolation level read committed';
  end if;
  if pg_try_advisory_xact_lock(c_key) then
    return;
  end if;
  -- Somebody's forgotten transaction must not look like a rollback that takes long.
  select l.pid, a.usename, a.state, a.application_name,
         round(extract(epoch from clock_timestamp() - a.xact_start)) as seconds
    into v_holder
    from pg_catalog.pg_locks as l
    left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
   where l.locktype = 'advisory'
     and l.granted
     and l.objsubid = 1
     and l.classid::bigint = (c_key >> 32 & 4294967295)
     and l.objid::bigint = (c_key & 4294967295)
   limit 1;
  if found then
    raise notice 'Waiting for session % (%), which changes flags or stages: % for % s', v_holder.pid,
      concat_ws(', ', v_holder.usename, nullif(v_holder.application_name, '')),
      coalesce(v_holder.state, 'active'), coalesce(v_holder.seconds, 0)
      using hint = format('If it was forgotten: select pg_terminate_backend(%s)', v_holder.pid);
  end if;
  perform pg_advisory_xact_lock(c_key);
end
$$;
comment on function switchyard.lock_migration() is
  'Lets one transaction at a time change flags, stages and legacy jobs, until it ends. The first lock of each: so no two of them wait for each other. Who has to wait gets a notice of the session that it waits for. Raises SY018 in another isolation level than read committed.';

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

alter table switchyard.migration_events enable row level security;
revoke all on table switchyard.migration_events from public, anon, authenticated, service_role;
grant select on table switchyard.migration_events to service_role;

revoke all on function
  switchyard.lock_migration(),
  switchyard.lock_migration_first(),
  switchyard.write_migration_event(text, text, text, text, text, jsonb)
from public, anon, authenticated, service_role;
