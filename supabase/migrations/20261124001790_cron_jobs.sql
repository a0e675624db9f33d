-- Schedules the cron jobs of Switchyard, inactive from the start; the flags make them active (switchyard.follow_flags).

insert into switchyard.cron_jobs (job_name, schedule, command, refreshes, records) values
  ('invoke-queue-processor-v2', '* * * * *',
   'set statement_timeout = ''30s''; select public.invoke_processor_loop_v2();', true, false),
  ('check-stale-data-v2', '* * * * *',
   'set statement_timeout = ''30s''; select * from public.check_and_queue_stale_data_from_presence_v2();', true, false),
  ('queue-scheduled-refreshes-v2', '* * * * *',
   'set statement_timeout = ''30s''; select * from public.queue_scheduled_refreshes_v2();', true, false),
  ('queue-shadow-samples-v2', '* * * * *',
   'set statement_timeout = ''30s''; select * from public.queue_shadow_samples_v2();', false, false),
  ('sample-freshness-v2', '* * * * *',
   'set statement_timeout = ''50s''; select * from public.sample_freshness_v2();', false, true),
  ('guard-migrations-v2', '* * * * *',
   'set statement_timeout = ''50s''; select * from public.guard_migrations_v2();', false, false),
  ('compact-queue-v2', '* * * * *',
   'set statement_timeout = ''30s''; select public.compact_queue_v2();', false, false),
  ('maintain-queue-partitions-v2', '17 * * * *',
   'set statement_timeout = ''1min''; select * from public.maintain_queue_partitions_v2();', false, false),
  ('prune-queue-history-v2', '27 * * * *',
   'set statement_timeout = ''10min''; select * from public.prune_queue_history_v2();', false, true);

create function switchyard.samples_without_queue()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return coalesce((
    select s.value = '1' from switchyard.settings as s where s.name = 'freshness_sampling'), false);
end
$$;
comment on function switchyard.samples_without_queue() is
  'Whether freshness is sampled with use_queue_system off too, as a baseline wants it (setting freshness_sampling).';

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
  v_active boolean;
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
  for v_job_id, v_active in
    select c.jobid, wanted.active
      from cron.job as c
      join switchyard.cron_jobs as j on j.job_name = c.jobname
     cross join lateral (
       select p_active or (j.records and switchyard.samples_without_queue()) as active
     ) as wanted
     where c.username = current_user and c.active <> wanted.active
     order by j.job_name
  loop
    perform switchyard.lock_cron_job(v_job_id);
    perform cron.alter_job(job_id := v_job_id, active := v_active);
    v_changed := v_changed + 1;
  end loop;
  return v_changed;
end
$$;
comment on function switchyard.set_cron_jobs_active(boolean) is
  'Makes all cron jobs of Switchyard active or inactive; returns how many changed. Those that record stay active while the setting freshness_sampling is 1. Raises SY015 when one is not scheduled, or by another role.';

create function switchyard.cron_jobs_are_on()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  -- With use_new_staleness_check off they are as the flag that was changed last left them.
  return public.is_feature_enabled('use_queue_system')
    and (public.is_feature_enabled('use_new_staleness_check')
         or exists (
           select 1
             from cron.job as c
             join switchyard.cron_jobs as j on j.job_name = c.jobname
            where j.refreshes and c.active and c.username = current_user));
end
$$;
comment on function switchyard.cron_jobs_are_on() is
  'Whether the flags want the cron jobs of the current role active.';

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
  v_taken text;
  v_ran boolean;
  v_active boolean;
begin
  perform switchyard.lock_migration();
  v_ran := switchyard.queue_runs();
  v_active := switchyard.cron_jobs_are_on();
  select string_agg(format('"%s" runs %s', c.jobname, c.command), E'\n' order by c.jobname) into v_taken
    from cron.job as c
    join switchyard.cron_jobs as j on j.job_name = c.jobname
   where c.username = current_user and j.scheduled_at is null and c.command <> j.command;
  if v_taken is not null then
    raise exception 'Cannot schedule the cron jobs of Switchyard: their names are taken'
      using errcode = 'SY027',
            detail = v_taken,
            hint = 'Schedule these under other names, select cron.unschedule(…) for the old ones, and run it again';
  end if;

  -- A loop, because each job is a call. Rescheduling leaves "active" alone, so it is set here,
  -- in the same transaction: the scheduler never sees a job that should not run.
  for v_job in select j.* from switchyard.cron_jobs as j order by j.job_name loop
    v_job_id := cron.schedule(v_job.job_name, v_job.schedule, v_job.command);
    perform cron.alter_job(
      job_id := v_job_id,
      active := v_active or (v_job.records and switchyard.samples_without_queue()));
    v_count := v_count + 1;
  end loop;
  update switchyard.cron_jobs as j set scheduled_at = clock_timestamp();
  if switchyard.queue_runs()
     and (not v_ran or exists (
       select 1 from switchyard.alerts as a where a.rule = 'queue_rests' and a.resolved_at is null)) then
    perform switchyard.write_migration_event(
      'flags', null, null, null, 'The cron jobs of Switchyard were scheduled anew',
      jsonb_build_object('legacy_jobs', switchyard.settle_legacy_jobs()));
    perform switchyard.resolve_alerts(
      array(select a.id from switchyard.alerts as a where a.rule = 'queue_rests' and a.resolved_at is null),
      'The cron jobs were scheduled anew');
  end if;
  return v_count;
end
$$;
comment on function switchyard.schedule_cron_jobs() is
  'Schedules the cron jobs of Switchyard, active when use_queue_system and use_new_staleness_check are on (with the first alone as they were). Where the queue did not run because of them it takes over again, and the legacy jobs of types in live and retired rest. Twice does no harm. Raises SY027, and changes nothing, where somebody has other jobs of these names. For postgres.';

-- Definer: as above.
create function switchyard.follow_freshness_sampling()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform cron.alter_job(
            job_id := c.jobid,
            active := new.value = '1' or switchyard.cron_jobs_are_on())
     from cron.job as c
     join switchyard.cron_jobs as j on j.job_name = c.jobname
    where j.records and c.username = current_user
    -- As all that change several of them.
    order by j.job_name;
  return null;
end
$$;
comment on function switchyard.follow_freshness_sampling() is
  'Trigger: the setting freshness_sampling makes the jobs that record active, and inactive again unless the flags want them active.';

create trigger follow_freshness_sampling
  after insert or update of value on switchyard.settings
  for each row
  when (new.name = 'freshness_sampling')
  execute function switchyard.follow_freshness_sampling();

revoke all on function
  switchyard.set_cron_jobs_active(boolean),
  switchyard.cron_jobs_are_on(),
  switchyard.schedule_cron_jobs(),
  switchyard.samples_without_queue(),
  switchyard.follow_freshness_sampling()
from public, anon, authenticated, service_role;

select switchyard.schedule_cron_jobs();
select * from public.maintain_queue_partitions_v2();
