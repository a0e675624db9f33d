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
  constraint migration_event_kind_is_known check (kind in ('stage', 'refusal', 'flags', 'registry')),
  constraint events_name_their_type check ((kind = 'flags') = (data_type is null)),
  constraint moves_name_their_stages
    check ((kind in ('stage', 'refusal')) = (from_stage is not null and to_stage is not null)),
  constraint forced_moves_have_a_reason check (not forced or reason is not null)
);
comment on table switchyard.migration_events is
  'Every move of a data type between stages, every one that advance_migration_v2 refused, and every change of use_queue_system and use_new_staleness_check, and of whether the cron jobs of Switchyard let the queue run, and every change of the registry for which a legacy job came to rest or to run, with what was done to the legacy jobs and the gates as they were.';
comment on column switchyard.migration_events.automatic is
  'Made by guard_migrations_v2, not by a person.';
comment on column switchyard.migration_events.detail is
  'legacy_jobs: what was done to which job; gates: the verdicts, with numbers; overridden: gates that did not hold when the move was forced; missing: those that kept it from moving, in words; cancelled_jobs.';

create index migration_events_data_type_idx on switchyard.migration_events (data_type, occurred_at);

create function switchyard.migration_key()
returns bigint
language sql
immutable
set search_path = ''
as $$
  select hashtext('switchyard.migration')::bigint
$$;
comment on function switchyard.migration_key() is 'Key of the advisory lock that switchyard.lock_migration takes.';

create function switchyard.migration_holder(out pid integer, out who text)
language sql
stable
set search_path = ''
as $$
  with recursive chain (pid, place) as (
    select l.pid, 1
      from pg_catalog.pg_locks as l
     where l.locktype = 'advisory'
       and l.granted
       and l.pid <> pg_backend_pid()
       and l.objsubid = 1
       and l.classid::bigint = (switchyard.migration_key() >> 32 & 4294967295)
       and l.objid::bigint = (switchyard.migration_key() & 4294967295)
    union all
    -- The holder may wait itself: then not it is to blame.
    select b.pid, c.place + 1
      from chain as c
     cross join unnest(pg_catalog.pg_blocking_pids(c.pid)) as b (pid)
     where c.place < 5 and b.pid not in (0, pg_backend_pid())
  )
  select last.pid,
         switchyard.session_in_words(last.pid)
           || case when last.place > 1
                   then format(', for which session %s waits', (select c.pid from chain as c where c.place = 1 limit 1))
                   else '' end
    from (select c.pid, c.place from chain as c order by c.place desc, c.pid limit 1) as last
$$;
comment on function switchyard.migration_holder() is
  'The other session that changes flags or stages now, or the one for which that waits, and what it does; nulls for none.';

create function switchyard.lock_migration()
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_holder record;
begin
  -- With the snapshot of an older moment a move would not see what another one has just changed.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'Cannot change flags or stages: the transaction is %, wanted read committed',
      current_setting('transaction_isolation')
      using errcode = 'SY018',
            hint = 'Do it in a transaction of its own: begin isolation level read committed';
  end if;
  if pg_try_advisory_xact_lock(switchyard.migration_key()) then
    return;
  end if;
  -- Somebody's forgotten transaction must not look like a rollback that takes long.
  select h.* into v_holder from switchyard.migration_holder() as h;
  if v_holder.pid is not null then
    raise notice 'Waiting for the end of a transaction that changes flags or stages, of %', v_holder.who
      using hint = format('If it was forgotten: select pg_terminate_backend(%s)', v_holder.pid);
  end if;
  perform pg_advisory_xact_lock(switchyard.migration_key());
end
$$;
comment on function switchyard.lock_migration() is
  'Lets one transaction at a time change flags, stages and legacy jobs, until it ends. The first lock of each: so no two of them wait for each other. Who has to wait gets a notice of the session that it waits for. Raises SY018 in another isolation level than read committed.';

create function switchyard.try_lock_migration()
returns boolean
language plpgsql
volatile
set search_path = ''
set lock_timeout = '5s'
as $$
declare
  v_holder record;
begin
  perform switchyard.lock_migration();
  perform switchyard.resolve_alerts(
    array(select a.id from switchyard.alerts as a where a.rule = 'migration_locked' and a.resolved_at is null),
    'The transaction has ended');
  return true;
exception when lock_not_available then
  select h.* into v_holder from switchyard.migration_holder() as h;
  if v_holder.pid is not null then
    perform switchyard.open_alert(
      'migration_locked', 'critical', null,
      format('A transaction that changes flags or stages keeps data types from going back by themselves: %s; if it was forgotten, run select pg_terminate_backend(%s)',
             v_holder.who, v_holder.pid));
  end if;
  return false;
end
$$;
comment on function switchyard.try_lock_migration() is
  'As switchyard.lock_migration for what must not wait: false after 5 s, with a critical alert that names who holds the lock and is resolved when it is had again. For guard_migrations_v2 and the samples.';

-- Definer: who may change a flag or a registry row need not have rights to anything else.
create function switchyard.lock_migration_first()
returns trigger
language plpgsql
volatile
security definer
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

create function switchyard.left_shadow_at(p_data_type text)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select max(e.occurred_at)
      from switchyard.migration_events as e
     where e.kind = 'stage' and e.data_type = p_data_type
       and e.from_stage in ('legacy', 'shadow') and e.to_stage in ('canary', 'live', 'retired'));
end
$$;
comment on function switchyard.left_shadow_at(text) is
  'When the queue began to write the table of a data type last; null for never.';

alter table switchyard.migration_events enable row level security;
revoke all on table switchyard.migration_events from public, anon, authenticated, service_role;
grant select on table switchyard.migration_events to service_role;

revoke all on function
  switchyard.migration_key(),
  switchyard.migration_holder(),
  switchyard.lock_migration(),
  switchyard.try_lock_migration(),
  switchyard.lock_migration_first(),
  switchyard.write_migration_event(text, text, text, text, text, jsonb),
  switchyard.left_shadow_at(text)
from public, anon, authenticated, service_role;
-- Settles ask for it.
grant execute on function switchyard.left_shadow_at(text) to service_role;
