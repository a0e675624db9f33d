-- Schedules the v2 cron jobs, inactive from the start, and ties them to use_queue_system.

create table switchyard.cron_jobs (
  job_name text primary key,
  schedule text not null,
  command text not null
);
comment on table switchyard.cron_jobs is
  'The cron jobs that Switchyard owns. The flag use_queue_system makes exactly these active or inactive.';

insert into switchyard.cron_jobs (job_name, schedule, command) values
  ('invoke-queue-processor-v2', '* * * * *',
   'set statement_timeout = ''30s''; select public.invoke_processor_loop_v2();'),
  ('check-stale-data-v2', '* * * * *',
   'set statement_timeout = ''30s''; select * from public.check_and_queue_stale_data_from_presence_v2();'),
  ('queue-scheduled-refreshes-v2', '* * * * *',
   'set statement_timeout = ''30s''; select * from public.queue_scheduled_refreshes_v2();'),
  ('compact-queue-v2', '* * * * *',
   'set statement_timeout = ''30s''; select public.compact_queue_v2();'),
  ('maintain-queue-partitions-v2', '17 * * * *',
   'set statement_timeout = ''1min''; select * from public.maintain_queue_partitions_v2();'),
  ('prune-queue-history-v2', '27 * * * *',
   'set statement_timeout = ''10min''; select * from public.prune_queue_history_v2();');

-- Definer: a flag may be changed by a role that does not own the cron jobs, and pg_cron lets
-- only their owner alter them.
create function switchyard.set_cron_jobs_active(p_active boolean)
returns integer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_job_id bigint;
  v_changed integer := 0;
  v_missing text;
begin
  select string_agg(format('"%s"', j.job_name), ', ') into v_missing
    from switchyard.cron_jobs as j
   where p_active
     and not exists (
       select 1 from cron.job as c where c.jobname = j.job_name and c.username = current_user);
  if v_missing is not null then
    raise exception 'Cannot turn use_queue_system on: cron job % is not scheduled by %', v_missing, current_user
      using errcode = 'SY015',
            hint = 'Run select switchyard.schedule_cron_jobs()';
  end if;

  -- A loop, because cron.alter_job is the only way to change a job.
  for v_job_id in
    select c.jobid
      from cron.job as c
      join switchyard.cron_jobs as j on j.job_name = c.jobname
     where c.username = current_user and c.active <> p_active
  loop
    perform cron.alter_job(job_id := v_job_id, active := p_active);
    v_changed := v_changed + 1;
  end loop;
  return v_changed;
end
$$;
comment on function switchyard.set_cron_jobs_active(boolean) is
  'Makes all cron jobs of Switchyard active or inactive; returns how many changed. Raises SY015 when one is not scheduled, or by another role.';

create function switchyard.schedule_cron_jobs()
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_job switchyard.cron_jobs;
  v_job_id bigint;
  v_count integer := 0;
begin
  -- A loop, because each job is a call. Rescheduling leaves "active" alone, so it is set here,
  -- in the same transaction: the scheduler never sees a job that should not run.
  for v_job in select j.* from switchyard.cron_jobs as j order by j.job_name loop
    v_job_id := cron.schedule(v_job.job_name, v_job.schedule, v_job.command);
    perform cron.alter_job(
      job_id := v_job_id, active := public.is_feature_enabled('use_queue_system'));
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$;
comment on function switchyard.schedule_cron_jobs() is
  'Schedules the cron jobs of Switchyard, active when use_queue_system is on. Twice does no harm. For postgres.';

create function switchyard.follow_queue_flag()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
begin
  perform switchyard.set_cron_jobs_active(new.enabled);
  return null;
end
$$;
comment on function switchyard.follow_queue_flag() is
  'Trigger: use_queue_system switches the cron jobs in the same transaction.';

create trigger follow_queue_flag
  after update of enabled on public.feature_flags
  for each row
  when (new.flag_name = 'use_queue_system')
  execute function switchyard.follow_queue_flag();

alter table switchyard.cron_jobs enable row level security;
revoke all on table switchyard.cron_jobs from public, anon, authenticated, service_role;

revoke all on function
  switchyard.set_cron_jobs_active(boolean),
  switchyard.schedule_cron_jobs(),
  switchyard.follow_queue_flag()
from public, anon, authenticated, service_role;

select switchyard.schedule_cron_jobs();
select * from public.maintain_queue_partitions_v2();
