-- Adds the list of Switchyard's own cron jobs, and what keeps legacy ones while it holds them. Both are empty yet.

create table switchyard.cron_jobs (
  job_name text primary key,
  schedule text not null,
  command text not null,
  refreshes boolean not null,
  records boolean not null,
  scheduled_at timestamptz
);
comment on table switchyard.cron_jobs is
  'The cron jobs that Switchyard owns. The flag use_queue_system makes exactly these active or inactive; they are never legacy jobs.';
comment on column switchyard.cron_jobs.refreshes is
  'Whether data types are refreshed by it: while one of these is not active, the queue serves no data type, and no legacy job is paused.';
comment on column switchyard.cron_jobs.records is
  'Whether it is active too while the setting freshness_sampling is 1, whatever the flags say: it takes samples, or deletes old ones.';
comment on column switchyard.cron_jobs.scheduled_at is
  'When switchyard.schedule_cron_jobs() scheduled it last; null: never, so that a job of this name is somebody else''s.';

create table switchyard.saved_cron_jobs (
  id bigint generated always as identity primary key,
  job_id bigint not null,
  job_name text,
  schedule text not null,
  command text not null,
  database text not null,
  username text not null,
  node_name text not null,
  node_port integer not null,
  found_active boolean not null,
  is_scheduled boolean not null default true,
  data_types text[] not null,
  newest_job_id bigint not null,
  original_job_id bigint not null,
  restored_job_id bigint,
  saved_at timestamptz not null default clock_timestamp(),
  released_at timestamptz,
  outcome text,
  constraint released_saves_have_an_outcome check ((released_at is null) = (outcome is null))
);
comment on table switchyard.saved_cron_jobs is
  'Legacy cron jobs as they were right before Switchyard paused or unscheduled them. Kept after they were brought back.';
comment on column switchyard.saved_cron_jobs.found_active is
  'Whether the job was active then. One that somebody had paused stays paused when it is brought back.';
comment on column switchyard.saved_cron_jobs.is_scheduled is
  'False when Switchyard unscheduled the job, because its data types are retired.';
comment on column switchyard.saved_cron_jobs.data_types is
  'Data types that the job served then.';
comment on column switchyard.saved_cron_jobs.newest_job_id is
  'Largest id in cron.job then: a job with a larger one was made later, in place of this one perhaps.';
comment on column switchyard.saved_cron_jobs.original_job_id is
  'Id under which the job was first saved: pg_cron gives it a new one each time that it is scheduled anew.';
comment on column switchyard.saved_cron_jobs.restored_job_id is
  'Id under which it was scheduled anew when it was brought back; null when it was still there, or replaced.';
comment on column switchyard.saved_cron_jobs.released_at is
  'When the job was brought back, or found to need no bringing back; null while Switchyard holds it.';

create unique index a_job_is_held_once on switchyard.saved_cron_jobs (job_id) where released_at is null;

create function switchyard.is_way_back(p_data_types text[])
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (
    select 1
      from public.data_type_registry_v2 as r
     where r.data_type = any (p_data_types) and r.stage in ('live', 'retired'));
end
$$;
comment on function switchyard.is_way_back(text[]) is
  'Whether the legacy job of these data types is still needed to roll one of them back.';

create function switchyard.keep_cron_rows()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_held text;
begin
  if tg_op = 'UPDATE' and tg_table_name = 'saved_cron_jobs' then
    if current_setting('switchyard.releases_job', true) is not distinct from old.id::text
       or not switchyard.is_way_back(old.data_types) then
      return new;
    end if;
    raise exception 'Cannot release what is saved of legacy cron job %', coalesce('"' || old.job_name || '"', old.job_id::text)
      using errcode = 'SY028',
            hint = 'The job would stay paused; roll its data types back: select * from rollback_migration_v2(…)';
  end if;
  if tg_op = 'UPDATE' then
    raise exception 'Cannot change whether cron job "%" refreshes data types', old.job_name
      using errcode = 'SY028',
            hint = 'The queue runs while all that refresh do; set schedule alone, and run select switchyard.schedule_cron_jobs()';
  end if;
  if tg_table_name = 'cron_jobs' then
    raise exception 'Cannot delete cron jobs of Switchyard from their list%',
      case when tg_op = 'DELETE' then format(': "%s"', old.job_name) else '' end
      using errcode = 'SY028',
            hint = 'What the list lacks is taken to run; switch use_queue_system off, or set another schedule and run select switchyard.schedule_cron_jobs()';
  end if;
  select string_agg(coalesce('"' || s.job_name || '"', 'job ' || s.job_id), ', ' order by s.id) into v_held
    from switchyard.saved_cron_jobs as s
   where s.released_at is null
     and switchyard.is_way_back(s.data_types)
     and (tg_op = 'TRUNCATE' or s.id = old.id);
  if v_held is not null then
    raise exception 'Cannot delete what is saved of legacy cron jobs that are held: %', v_held
      using errcode = 'SY028',
            hint = 'It is the way back of their data types; roll these back first: select * from rollback_migration_v2(…)';
  end if;
  return old;
end
$$;
comment on function switchyard.keep_cron_rows() is
  'Trigger: the saved definition of a legacy job stays, and is released by switchyard.resume_legacy_job alone, while Switchyard holds the job, and the list of the cron jobs of Switchyard, all of which have to run for the queue to run, keeps its rows (SY028).';

create trigger keep_saved_job
  before delete on switchyard.saved_cron_jobs
  for each row execute function switchyard.keep_cron_rows();

create trigger keep_held_job
  before update of released_at on switchyard.saved_cron_jobs
  for each row
  when (old.released_at is null and new.released_at is not null)
  execute function switchyard.keep_cron_rows();

create trigger keep_all_saved_jobs
  before truncate on switchyard.saved_cron_jobs
  for each statement execute function switchyard.keep_cron_rows();

create trigger keep_cron_job
  before delete on switchyard.cron_jobs
  for each row execute function switchyard.keep_cron_rows();

create trigger keep_refreshing_cron_job
  before update of refreshes on switchyard.cron_jobs
  for each row
  when (old.refreshes <> new.refreshes)
  execute function switchyard.keep_cron_rows();

create trigger keep_all_cron_jobs
  before truncate on switchyard.cron_jobs
  for each statement execute function switchyard.keep_cron_rows();

create function switchyard.original_job_id(p_job_id bigint)
returns bigint
language sql
stable
set search_path = ''
as $$
  select coalesce(
    (select s.original_job_id from switchyard.saved_cron_jobs as s
      where s.job_id = p_job_id and s.released_at is null),
    (select s.original_job_id from switchyard.saved_cron_jobs as s
      where s.restored_job_id = p_job_id
      order by s.id desc
      limit 1),
    p_job_id)
$$;
comment on function switchyard.original_job_id(bigint) is
  'The id that a cron job had before Switchyard first scheduled it anew; its own id when it never did.';

create function switchyard.owner()
returns text
language sql
stable
set search_path = ''
as $$
  select pg_catalog.pg_get_userbyid(n.nspowner)::text from pg_catalog.pg_namespace as n where n.nspname = 'switchyard'
$$;
comment on function switchyard.owner() is
  'The role that installed Switchyard, as whom it changes cron jobs; only their owner may change them.';

create function switchyard.cron_job_problems()
returns table (job_name text, refreshes boolean, problem text)
language plpgsql
stable
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
    select own.job_name, own.refreshes,
           format('"%s" %s', own.job_name, case
             when j.jobid is null then coalesce(
               (select format('belongs to role %s', o.username)
                  from cron.job as o where o.jobname::text = own.job_name order by o.jobid limit 1), 'is not there')
             when (j.schedule, j.command, j.database) is distinct from
                  (own.schedule, own.command, current_database()::text) then 'was changed'
             else 'is not active' end)
      from switchyard.cron_jobs as own
      left join cron.job as j on j.jobname::text = own.job_name and j.username = switchyard.owner()
     where j.jobid is null
        or not j.active
        or (j.schedule, j.command, j.database) is distinct from
           (own.schedule, own.command, current_database()::text)
     order by own.job_name;
end
$$;
comment on function switchyard.cron_job_problems() is
  'Cron jobs of Switchyard that do not do their work: not there, of another role, with another schedule, command or database than in switchyard.cron_jobs, or not active. None while the queue runs.';

alter table switchyard.cron_jobs enable row level security;
alter table switchyard.saved_cron_jobs enable row level security;
revoke all on table switchyard.cron_jobs, switchyard.saved_cron_jobs
  from public, anon, authenticated, service_role;

revoke all on function
  switchyard.is_way_back(text[]),
  switchyard.keep_cron_rows(),
  switchyard.original_job_id(bigint),
  switchyard.owner(),
  switchyard.cron_job_problems()
from public, anon, authenticated, service_role;
