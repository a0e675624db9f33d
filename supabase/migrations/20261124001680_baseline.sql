-- Adds the baseline: the world before the migration. Nothing calls it yet.

create table switchyard.baseline (
  id bigint generated always as identity primary key,
  recorded_at timestamptz not null default clock_timestamp(),
  kind text not null,
  subject text not null,
  value jsonb not null,
  notes text,
  constraint baseline_kind_is_known check (kind in ('job', 'rows', 'freshness')),
  unique (recorded_at, kind, subject)
);
comment on table switchyard.baseline is
  'The world before the migration, as record_baseline_v2 found it; rows with one recorded_at belong together. Kept for ever.';
comment on column switchyard.baseline.kind is
  'job: a cron job; rows: a table; freshness: a data type.';
comment on column switchyard.baseline.subject is
  'Name of the cron job (or its number where it has none), of the table, or of the data type.';
comment on column switchyard.baseline.value is
  'job: jobid, schedule, active, username, database, functions, command_md5, last_start, last_status, runs and failures of the last day. rows: rows. freshness: as switchyard.freshness_samples.';

create function switchyard.describe_cron_jobs()
returns table (subject text, value jsonb)
language plpgsql
stable
set search_path = ''
as $$
#variable_conflict use_column
begin
  -- Without the commands, which may hold keys.
  return query
  select coalesce(j.jobname::text, format('job %s', j.jobid)),
         jsonb_build_object(
           'jobid', j.jobid, 'schedule', j.schedule, 'active', j.active, 'username', j.username,
           'database', j.database, 'command_md5', md5(j.command),
           'functions', to_jsonb(switchyard.called_functions(j.command)),
           'last_start', last.start_time, 'last_status', last.status,
           'runs', runs.total, 'failures', runs.failures)
    from cron.job as j
    left join lateral (
      select d.start_time, d.status
        from cron.job_run_details as d
       where d.jobid = j.jobid
       order by d.runid desc
       limit 1) as last on true
   cross join lateral (
     select count(*) as total, count(*) filter (where d.status = 'failed') as failures
       from cron.job_run_details as d
      where d.jobid = j.jobid and d.start_time > clock_timestamp() - interval '1 day') as runs
   where not exists (
     select 1 from switchyard.cron_jobs as own where own.job_name = j.jobname and j.username = current_user);
end
$$;
comment on function switchyard.describe_cron_jobs() is
  'The cron jobs that this role can see and that are not Switchyard''s own, as the baseline keeps them.';

create function public.record_baseline_v2(p_notes text default null)
returns table (kind text, subject text, value jsonb)
language plpgsql
volatile
set search_path = ''
as $$
#variable_conflict use_column
declare
  v_recorded_at timestamptz := clock_timestamp();
  v_type public.data_type_registry_v2;
  v_table text;
  v_rows bigint;
begin
  insert into switchyard.baseline (recorded_at, kind, subject, value, notes)
  select v_recorded_at, 'job', d.subject, d.value, p_notes
    from switchyard.describe_cron_jobs() as d
      on conflict do nothing;

  -- Loops, because each table is a statement of its own; in blocks, because one that is missing must
  -- not keep the others from being recorded.
  for v_table in
    select r.table_name from public.data_type_registry_v2 as r
    union
    select switchyard.setting('known_symbols_table') #>> '{}'
     where switchyard.setting('known_symbols_table') <> 'null'
     order by 1
  loop
    begin
      execute format('select count(*) from public.%I', v_table) into v_rows;
      insert into switchyard.baseline (recorded_at, kind, subject, value, notes)
      values (v_recorded_at, 'rows', v_table, jsonb_build_object('rows', v_rows), p_notes);
    exception when others then
      insert into switchyard.baseline (recorded_at, kind, subject, value, notes)
      values (v_recorded_at, 'rows', v_table, jsonb_build_object('problem', sqlerrm), p_notes);
    end;
  end loop;
  for v_type in
    select r.* from public.data_type_registry_v2 as r order by r.data_type
  loop
    begin
      insert into switchyard.baseline (recorded_at, kind, subject, value, notes)
      values (v_recorded_at, 'freshness', v_type.data_type, to_jsonb(switchyard.measure_freshness(v_type)), p_notes);
    exception when others then
      insert into switchyard.baseline (recorded_at, kind, subject, value, notes)
      values (v_recorded_at, 'freshness', v_type.data_type, jsonb_build_object('problem', sqlerrm), p_notes);
    end;
  end loop;

  update switchyard.settings as s set value = '1' where s.name = 'freshness_sampling' and s.value <> '1';
  return query
    select b.kind, b.subject, b.value
      from switchyard.baseline as b
     where b.recorded_at = v_recorded_at
     order by b.kind, b.subject;
end
$$;
comment on function public.record_baseline_v2(text) is
  'Records the world as it is in switchyard.baseline: cron jobs with schedule and last runs, row counts, freshness of each data type; starts the sampling of freshness (setting freshness_sampling). Changes nothing else. Returns what it recorded; what could not be read has value.problem. For the SQL editor.';

create function switchyard.baseline_freshness(
  p_data_type text,
  out p95_age_seconds double precision,
  out max_age_seconds double precision,
  out share_without_rows double precision,
  out samples integer,
  out since timestamptz
)
language plpgsql
stable
set search_path = ''
as $$
begin
  -- Of the samples under the legacy jobs almost the worst: a daily job leaves data that is a day old
  -- each day, and one bad hour is not the measure. Rows come and stay: of their share the median is.
  select percentile_disc(0.95) within group (order by f.p95_age_seconds),
         percentile_disc(0.95) within group (order by f.max_age_seconds),
         percentile_disc(0.5) within group (
           order by (f.symbols_known - f.left_out - f.rows)::double precision / nullif(f.symbols_known - f.left_out, 0)),
         count(*), min(f.sampled_at)
    into p95_age_seconds, max_age_seconds, share_without_rows, samples, since
    from (
      select s.p95_age_seconds, s.max_age_seconds, s.rows, s.symbols_known, s.left_out, s.sampled_at
        from switchyard.freshness_samples as s
       where s.data_type = p_data_type and s.stage in ('legacy', 'shadow')
      union all
      select (b.value ->> 'p95_age_seconds')::double precision, (b.value ->> 'max_age_seconds')::double precision,
             (b.value ->> 'rows')::integer, (b.value ->> 'symbols_known')::integer,
             (b.value ->> 'left_out')::integer, b.recorded_at
        from switchyard.baseline as b
       where b.kind = 'freshness' and b.subject = p_data_type and b.value ->> 'stage' in ('legacy', 'shadow')
    ) as f;
end
$$;
comment on function switchyard.baseline_freshness(text) is
  'How old the data of a type is under its legacy jobs, from all samples and recordings of that: the 95th percentile of the ages, and the median of the share without rows; null where nothing was recorded.';

alter table switchyard.baseline enable row level security;
revoke all on table switchyard.baseline
from public, anon, authenticated, service_role;
grant select on table switchyard.baseline to service_role;

revoke all on function
  switchyard.describe_cron_jobs(),
  public.record_baseline_v2(text),
  switchyard.baseline_freshness(text)
from public, anon, authenticated, service_role;
