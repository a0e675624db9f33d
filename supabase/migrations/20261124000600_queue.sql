-- Adds the queue, empty, with its partitions. Nothing claims from it while the flags are off.

create sequence switchyard.job_ids;

create table public.api_call_queue_v2 (
  id bigint not null default nextval('switchyard.job_ids'),
  symbol text not null,
  data_type text not null,
  provider text not null,
  source text not null default 'manual',
  priority integer not null default 9000,
  status text not null default 'pending',
  delayed boolean not null default false,
  attempts integer not null default 0,
  run_after timestamptz not null default now(),
  lease_token uuid,
  lease_expires_at timestamptz,
  claimed_by uuid,
  claimed_at timestamptz,
  created_at timestamptz not null default now(),
  finished_at timestamptz not null default 'infinity',
  rows_written integer,
  vendor_calls integer not null default 0,
  vendor_bytes bigint not null default 0,
  last_error text,
  errors jsonb not null default '[]',
  primary key (id, finished_at),
  constraint status_is_known check (status in ('pending', 'processing', 'completed', 'failed')),
  constraint only_live_jobs_have_no_finish
    check ((finished_at = 'infinity') = (status in ('pending', 'processing'))),
  constraint exactly_processing_jobs_hold_a_lease
    check ((lease_token is not null) = (status = 'processing')
           and (lease_expires_at is not null) = (status = 'processing'))
) partition by range (finished_at);

comment on table public.api_call_queue_v2 is
  'The jobs: one row each, "refresh this data type for this symbol". Live jobs (pending, processing) sit in one small partition; finished ones in a partition per day.';
comment on column public.api_call_queue_v2.source is
  'Who asked: manual (a person, 9000 to 9999), demand (viewers, 1000 to 8999), scheduled (0 to 999): the priority bands.';
comment on column public.api_call_queue_v2.priority is
  'Higher is claimed first; within one priority the older job.';
comment on column public.api_call_queue_v2.provider is
  'Provider of the data type; filled in when the job is made.';
comment on column public.api_call_queue_v2.delayed is
  'The job waits for run_after outside the claim index; claims bring it back when it is due.';
comment on column public.api_call_queue_v2.attempts is
  'Attempts that failed. Releases, rate limits and deadlocks are not attempts.';
comment on column public.api_call_queue_v2.lease_token is
  'Set by a claim, one token per claim; settle refuses every other token.';
comment on column public.api_call_queue_v2.lease_expires_at is
  'After this time the lease is void and the job goes back to pending, counting an attempt.';
comment on column public.api_call_queue_v2.claimed_by is
  'Processor run that last claimed the job (switchyard.processor_runs).';
comment on column public.api_call_queue_v2.finished_at is
  'When the job was completed or failed for good; infinity while it is live. The partition key.';
comment on column public.api_call_queue_v2.errors is
  'Errors of all attempts, oldest first: objects with at, class, code, message.';

-- Partitions live in the private schema: row security and grants of the parent do not protect
-- a partition that is addressed by its own name.
-- Three fifths of each page stay free: a claim changes no indexed column, so its new row version,
-- which is longer by the lease, fits beside the old one and no index is touched.
create table switchyard.api_call_queue_v2_live
  partition of public.api_call_queue_v2 (
    constraint symbols_are_plain
      check (symbol ~ '^[A-Za-z0-9^][A-Za-z0-9.^=_-]*$' and length(symbol) <= 40),
    constraint source_and_priority_band_agree check (
      case source
        when 'scheduled' then priority between 0 and 999
        when 'demand' then priority between 1000 and 8999
        when 'manual' then priority between 9000 and 9999
        else false
      end),
    constraint attempts_are_not_negative check (attempts >= 0),
    constraint errors_are_an_array check (jsonb_typeof(errors) = 'array'),
    constraint delayed_jobs_are_pending check (not delayed or status = 'pending')
  )
  for values from ('infinity') to (maxvalue)
  with (fillfactor = 40, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0,
        autovacuum_analyze_threshold = 20000);

create table switchyard.api_call_queue_v2_default
  partition of public.api_call_queue_v2 default;

create unique index one_live_job_per_symbol_and_data_type
  on switchyard.api_call_queue_v2_live (data_type, symbol);

create index api_call_queue_v2_live_order_idx
  on switchyard.api_call_queue_v2_live (provider, (-priority), id)
  where not delayed;

create index api_call_queue_v2_live_age_idx
  on switchyard.api_call_queue_v2_live (provider, id)
  where not delayed;

create index api_call_queue_v2_live_delayed_idx
  on switchyard.api_call_queue_v2_live (run_after)
  where delayed;

create function switchyard.complete_new_job()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_symbol_column text;
begin
  select r.provider, r.symbol_column into new.provider, v_symbol_column
    from public.data_type_registry_v2 as r
   where r.data_type = new.data_type;
  if not found then
    raise exception 'Cannot queue "%" for "%": unknown data type', new.data_type, new.symbol
      using errcode = 'SY008',
            hint = 'See select data_type from data_type_registry_v2';
  end if;
  if (v_symbol_column is null) <> (new.symbol = 'GLOBAL') then
    raise exception 'Cannot queue "%" for "%": %', new.data_type, new.symbol,
      case when v_symbol_column is null then 'the data type is global, its only symbol is GLOBAL'
           else 'GLOBAL is for data types without symbols' end
      using errcode = 'SY009',
            hint = 'See select data_type, symbol_column from data_type_registry_v2';
  end if;
  return new;
end
$$;
comment on function switchyard.complete_new_job() is
  'Trigger: gives a job that a person inserts the provider of its data type. Raises SY008 for an unknown data type, SY009 for GLOBAL where there are symbols and the reverse.';

-- Not for switchyard.enqueue_jobs, which takes the provider from the registry for a whole set.
create trigger complete_new_job
  before insert on switchyard.api_call_queue_v2_live
  for each row
  when (coalesce(current_setting('switchyard.provider_is_known', true), '') <> 'yes')
  execute function switchyard.complete_new_job();

-- In place of foreign keys, which would cost an index probe and a row lock per job.
create function switchyard.keep_data_types_of_live_jobs()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
begin
  if (tg_op = 'DELETE' or new.data_type <> old.data_type or new.provider <> old.provider
      or (new.symbol_column is null) <> (old.symbol_column is null))
     and exists (
       select 1 from switchyard.api_call_queue_v2_live as q where q.data_type = old.data_type) then
    raise exception 'Cannot remove or rename data type "%", move it to another provider or make it global or not: it has live jobs',
      old.data_type
      using errcode = 'SY005',
            hint = format('Run select cancel_jobs_v2(p_data_type := %L) first', old.data_type);
  end if;
  if tg_op = 'DELETE' then
    delete from switchyard.refresh_state as s where s.data_type = old.data_type;
    return old;
  end if;
  return new;
end
$$;
comment on function switchyard.keep_data_types_of_live_jobs() is
  'Trigger: a data type with live jobs cannot be removed, renamed, given another provider, made global or the reverse (SY005); with a removed one its refresh state goes.';

create trigger keep_data_types_of_live_jobs
  before delete or update of data_type, provider, symbol_column on public.data_type_registry_v2
  for each row execute function switchyard.keep_data_types_of_live_jobs();

create table switchyard.refresh_state (
  symbol text not null,
  data_type text not null,
  last_checked_at timestamptz not null,
  last_changed_at timestamptz,
  content_hash text,
  empty_until timestamptz,
  failing_until timestamptz,
  consecutive_failures integer not null default 0,
  failed_at timestamptz,
  primary key (data_type, symbol),
  constraint failures_are_not_negative check (consecutive_failures >= 0)
) with (fillfactor = 80);
comment on table switchyard.refresh_state is
  'What is known about each (data type, symbol) besides its rows: when it was last asked for, when its content last changed, and whether the vendor has nothing for it.';
comment on column switchyard.refresh_state.last_checked_at is
  'When the vendor last answered for it, changed or not.';
comment on column switchyard.refresh_state.content_hash is
  'md5 of the rows as settled last; null while empty.';
comment on column switchyard.refresh_state.empty_until is
  'The vendor had nothing; not asked again before this time.';
comment on column switchyard.refresh_state.failing_until is
  'The last attempt failed; the staleness checks leave it alone before this time. 2, 4, 8, … minutes after the failures in a row, at most empty_recheck_minutes.';
comment on column switchyard.refresh_state.failed_at is
  'When a job of it last ended in failed.';

create function switchyard.queue_partition_name(p_day date)
returns text
language sql
immutable
set search_path = ''
as $$
  select 'api_call_queue_v2_' || to_char(p_day, 'YYYYMMDD')
$$;
comment on function switchyard.queue_partition_name(date) is
  'Name, in schema switchyard, of the queue partition for one UTC day.';

create function switchyard.make_queue_partition(p_day date)
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_name text := switchyard.queue_partition_name(p_day);
  v_from timestamptz := p_day::timestamp at time zone 'UTC';
  v_to timestamptz := (p_day + 1)::timestamp at time zone 'UTC';
begin
  if to_regclass(format('switchyard.%I', v_name)) is not null then
    return false;
  end if;

  execute format(
    'create table switchyard.%I (like public.api_call_queue_v2 including defaults including constraints)',
    v_name);
  -- Jobs that finished on a day without partition wait in the default one; the new partition
  -- could not be attached while they are there.
  execute format(
    'with moved as (
       delete from switchyard.api_call_queue_v2_default
        where finished_at >= $1 and finished_at < $2
       returning *
     )
     insert into switchyard.%I select * from moved', v_name)
    using v_from, v_to;
  execute format(
    'alter table public.api_call_queue_v2 attach partition switchyard.%I for values from (%L) to (%L)',
    v_name, v_from, v_to);
  execute format('alter table switchyard.%I enable row level security', v_name);
  execute format('revoke all on table switchyard.%I from public, anon, authenticated, service_role',
    v_name);
  return true;
end
$$;
comment on function switchyard.make_queue_partition(date) is
  'Makes the queue partition of one UTC day, moving jobs of that day out of the default partition. False when it exists. For postgres.';

create function public.maintain_queue_partitions_v2()
returns table (action text, partition_name text)
language plpgsql
volatile
set search_path = ''
set lock_timeout = '2s'
as $$
declare
  v_today date := (clock_timestamp() at time zone 'UTC')::date;
  v_oldest_day date := v_today - greatest(
    switchyard.setting_integer('completed_retention_days'),
    switchyard.setting_integer('failed_retention_days'));
  v_day date;
  v_name text;
begin
  -- Nothing but DDL: its locks on the whole queue are held until the transaction ends.
  -- A loop, because each day is DDL of its own and one that cannot get its lock must not keep
  -- the others from being made.
  for v_day in
    select d::date
      from generate_series(v_today, v_today + switchyard.setting_integer('partitions_ahead_days'),
                           interval '1 day') as d
  loop
    begin
      if switchyard.make_queue_partition(v_day) then
        action := 'made';
        partition_name := switchyard.queue_partition_name(v_day);
        return next;
      end if;
    exception when lock_not_available then
      action := 'made later: lock not available';
      partition_name := switchyard.queue_partition_name(v_day);
      return next;
    end;
  end loop;

  for v_name in
    select c.relname
      from pg_catalog.pg_inherits as i
      join pg_catalog.pg_class as c on c.oid = i.inhrelid
     where i.inhparent = 'public.api_call_queue_v2'::regclass
       and c.relname ~ '^api_call_queue_v2_[0-9]{8}$'
       and to_date(right(c.relname, 8), 'YYYYMMDD') < v_oldest_day
     order by c.relname
  loop
    begin
      execute format('drop table switchyard.%I', v_name);
      action := 'dropped';
      partition_name := v_name;
      return next;
    exception when lock_not_available then
      action := 'dropped later: lock not available';
      partition_name := v_name;
      return next;
    end;
  end loop;
  perform switchyard.record_event('maintain');
end
$$;
comment on function public.maintain_queue_partitions_v2() is
  'Makes day partitions ahead and drops those past every retention. Returns what it did, one row per partition; a partition that is locked is left for the next run and reported. Safe to call at any time, twice in a row too. For postgres.';

alter table public.api_call_queue_v2 enable row level security;
alter table switchyard.api_call_queue_v2_live enable row level security;
alter table switchyard.api_call_queue_v2_default enable row level security;
alter table switchyard.refresh_state enable row level security;

revoke all on table
  public.api_call_queue_v2,
  switchyard.api_call_queue_v2_live,
  switchyard.api_call_queue_v2_default,
  switchyard.refresh_state
from public, anon, authenticated, service_role;
revoke all on sequence switchyard.job_ids from public, anon, authenticated, service_role;

grant select, insert on table public.api_call_queue_v2 to service_role;
grant select, insert, update, delete on table switchyard.api_call_queue_v2_live to service_role;
grant select, insert, update on table switchyard.refresh_state to service_role;
grant usage on sequence switchyard.job_ids to service_role;

revoke all on function
  switchyard.complete_new_job(),
  switchyard.keep_data_types_of_live_jobs(),
  switchyard.queue_partition_name(date),
  switchyard.make_queue_partition(date),
  public.maintain_queue_partitions_v2()
from public, anon, authenticated, service_role;
