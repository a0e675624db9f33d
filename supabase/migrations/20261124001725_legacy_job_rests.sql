-- Adds what saves, pauses and brings back the legacy cron jobs. Nothing calls it yet.

create function switchyard.queue_runs()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return public.is_feature_enabled('use_queue_system')
     and public.is_feature_enabled('use_new_staleness_check')
     and not exists (select 1 from switchyard.cron_job_problems() as p where p.refreshes);
end
$$;
comment on function switchyard.queue_runs() is
  'Whether the queue refreshes data types in stage live: use_queue_system and use_new_staleness_check are on and the cron jobs of Switchyard that refresh are there, unchanged and active.';

create function switchyard.is_served_by_queue(p_data_type text)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return switchyard.queue_runs()
     and exists (
       select 1
         from public.data_type_registry_v2 as r
        where r.data_type = p_data_type and r.stage in ('live', 'retired'));
end
$$;
comment on function switchyard.is_served_by_queue(text) is
  'Whether the queue alone refreshes a data type, so that its legacy jobs may rest.';

create function switchyard.touch_cron_job(p_job cron.job)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  perform cron.alter_job(job_id := p_job.jobid, database := p_job.database);
exception when others then
  if exists (select 1 from cron.job as j where j.jobid = p_job.jobid) then
    raise;
  end if;
end
$$;
comment on function switchyard.touch_cron_job(cron.job) is
  'Changes nothing about a cron job of this role, but locks it, and waits for a change that somebody has not committed yet; nothing where that has removed it.';

create function switchyard.lock_cron_job(p_job_id bigint)
returns cron.job
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_job cron.job;
  v_timeout text := current_setting('lock_timeout');
begin
  select j.* into v_job from cron.job as j where j.jobid = p_job_id;
  if v_job.username is distinct from current_user then
    return v_job;
  end if;
  begin
    if v_timeout = '0' then
      perform set_config('lock_timeout', '1s', true);
    end if;
    perform switchyard.touch_cron_job(v_job);
    perform set_config('lock_timeout', v_timeout, true);
  exception when lock_not_available then
    perform switchyard.tell_of_holder(
      format('cron job %s', coalesce('"' || v_job.jobname || '"', p_job_id::text)), 'cron.job',
      format('t.jobid = %s', p_job_id), v_timeout = '0');
    perform switchyard.touch_cron_job(v_job);
  end;
  select j.* into v_job from cron.job as j where j.jobid = p_job_id;
  return v_job;
end
$$;
comment on function switchyard.lock_cron_job(bigint) is
  'A cron job as it is, locked until the transaction ends when it is this role''s; null columns when it is gone. Who has to wait for it gets a notice; under a lock_timeout that passes it is lock_not_available.';

create function switchyard.save_cron_job(p_job_id bigint, p_data_types text[])
returns bigint
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_id bigint;
begin
  insert into switchyard.saved_cron_jobs as s (
    job_id, job_name, schedule, command, database, username, node_name, node_port,
    found_active, data_types, newest_job_id, original_job_id)
  select j.jobid, j.jobname, j.schedule, j.command, j.database, j.username, j.nodename, j.nodeport,
         j.active, p_data_types, (select max(n.jobid) from cron.job as n), switchyard.original_job_id(j.jobid)
    from cron.job as j
   where j.jobid = p_job_id
      -- Held already: only what somebody has changed since is news, and that it was active again.
      on conflict (job_id) where released_at is null do update
     set job_name = excluded.job_name,
         schedule = excluded.schedule,
         command = excluded.command,
         database = excluded.database,
         username = excluded.username,
         node_name = excluded.node_name,
         node_port = excluded.node_port,
         found_active = s.found_active or excluded.found_active,
         data_types = excluded.data_types,
         newest_job_id = excluded.newest_job_id,
         saved_at = clock_timestamp()
  returning s.id into v_id;
  return v_id;
end
$$;
comment on function switchyard.save_cron_job(bigint, text[]) is
  'Saves a cron job whole; returns the id of the save, null when the job is gone.';

create function switchyard.schedule_saved_job(p_save switchyard.saved_cron_jobs, p_active boolean)
returns bigint
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_job_id bigint;
  v_job_name text := p_save.job_name;
  v_number bigint := p_save.id;
begin
  if v_job_name is null then
    v_job_id := cron.schedule(p_save.schedule, p_save.command);
    perform cron.alter_job(job_id := v_job_id, database := p_save.database, active := p_active);
    return v_job_id;
  end if;
  -- cron.schedule under a name that is taken would overwrite what somebody else has put there.
  while exists (select 1 from cron.job as j where j.jobname::text = v_job_name and j.username = current_user) loop
    v_job_name := switchyard.restored_name(p_save.job_name, v_number::text);
    v_number := v_number + 1;
  end loop;
  return cron.schedule_in_database(
    v_job_name, p_save.schedule, p_save.command, p_save.database, null, p_active);
end
$$;
comment on function switchyard.schedule_saved_job(switchyard.saved_cron_jobs, boolean) is
  'Schedules a saved job anew, as the current role, with its name, schedule, command and database; returns its new id. When its name is taken by another job, -restored- and a number are added.';

create function switchyard.resume_legacy_job(p_save switchyard.saved_cron_jobs)
returns jsonb
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_found cron.job := switchyard.lock_cron_job(p_save.job_id);
  v_is_it boolean;
  v_was_changed boolean;
  v_job switchyard.legacy_jobs;
  v_restored_job_id bigint;
  v_action text;
  v_note text;
begin
  v_is_it := coalesce(
    switchyard.does_work_of(v_found.jobname::text, v_found.command, v_found.database, p_save), false);
  v_was_changed := v_is_it
    and (v_found.jobname::text, v_found.schedule, v_found.command, v_found.username)
        is distinct from (p_save.job_name, p_save.schedule, p_save.command, p_save.username);

  if v_found.active and v_is_it then
    v_action := 'was active already';
  elsif v_found.jobid is not null and not p_save.found_active then
    v_action := 'left paused';
    v_note := 'somebody had paused it before';
  elsif v_found.jobid is null and p_save.is_scheduled and not p_save.found_active then
    v_action := 'left out';
    v_note := 'somebody had paused it before and has removed it since';
  elsif v_found.username = current_user and v_is_it then
    perform cron.alter_job(job_id := p_save.job_id, active := true);
    v_action := 'resumed';
  else
    -- Gone, or no longer ours, or made into something else. Something newer may have taken its place.
    v_note := case
      when v_found.jobid is null then case when p_save.is_scheduled then 'somebody had removed it' end
      when not v_is_it then format(
        'job %s does something else now and was left alone%s', p_save.job_id,
        case when not v_found.active and v_found.username = current_user
             then format(', paused as it is (select cron.alter_job(%s, active := true) lets it run)', p_save.job_id) end)
      else format('job %s belongs to role %s now and was left alone', p_save.job_id, v_found.username)
    end;
    select l.* into v_job
      from switchyard.legacy_jobs as l
     -- Not one that was there beside it, and has a newer id because it was scheduled anew.
     where switchyard.original_job_id(l.job_id) > p_save.newest_job_id
       and l.job_id <> p_save.job_id
       and switchyard.does_work_of(l.job_name, l.command, l.database, p_save)
       and (l.active or l.username = current_user)
     order by l.active desc, l.job_name = p_save.job_name desc nulls last, l.job_id
     limit 1;
    if not found then
      v_restored_job_id := switchyard.schedule_saved_job(p_save, p_save.found_active);
      v_action := 'scheduled anew';
      v_note := concat_ws('; ', v_note, format('it has the id %s now', v_restored_job_id));
    else
      v_action := 'replaced';
      v_note := concat_ws('; ', v_note, format('job %s%s takes its place', v_job.job_id, ' "' || v_job.job_name || '"'));
      -- One that is held comes back by its own save.
      if not v_job.active and v_job.save_id is null and p_save.found_active then
        perform cron.alter_job(job_id := v_job.job_id, active := true);
        v_note := v_note || ' and was made active';
      end if;
    end if;
    v_was_changed := false;
  end if;

  if v_was_changed then
    v_note := concat_ws('; ', v_note, 'changed since it was saved; the change stays');
  end if;
  perform set_config('switchyard.releases_job', p_save.id::text, true);
  update switchyard.saved_cron_jobs as s
     set released_at = clock_timestamp(), outcome = concat_ws(': ', v_action, v_note),
         restored_job_id = v_restored_job_id
   where s.id = p_save.id;
  perform set_config('switchyard.releases_job', '', true);
  return jsonb_strip_nulls(jsonb_build_object(
    'job_id', p_save.job_id, 'job_name', p_save.job_name, 'action', v_action, 'note', v_note));
end
$$;
comment on function switchyard.resume_legacy_job(switchyard.saved_cron_jobs) is
  'Brings one held job back as it was found and releases its save. What somebody changed meanwhile stays; what is gone, or does its work no more, is scheduled anew, unless something newer does it. Returns what it did.';

create function switchyard.rest_legacy_job(
  p_job_id bigint,
  p_save switchyard.saved_cron_jobs,
  p_data_types text[],
  p_unschedule boolean
)
returns jsonb
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_job cron.job;
  v_save_id bigint;
  v_other_work text[];
  v_action text;
  v_note text;
begin
  select j.* into v_job from cron.job as j where j.jobid = p_job_id;
  if v_job.active or p_unschedule or p_save.id is null then
    v_job := switchyard.lock_cron_job(p_job_id);
  end if;
  if v_job.jobid is null then
    if p_save.id is null then
      return jsonb_build_object('job_id', p_job_id, 'action', 'gone', 'note', 'somebody has just removed it');
    end if;
    if p_save.is_scheduled or p_unschedule then
      return null;
    end if;
    -- From retired back to live: there again, but at rest.
    v_job.jobid := switchyard.schedule_saved_job(p_save, false);
    update switchyard.saved_cron_jobs as s
       set job_id = v_job.jobid, is_scheduled = true, newest_job_id = v_job.jobid
     where s.id = p_save.id;
    return jsonb_strip_nulls(jsonb_build_object(
      'job_id', v_job.jobid, 'job_name', p_save.job_name, 'action', 'scheduled anew, paused'));
  end if;

  -- Somebody has made it into something else. What was saved of it stays the way back.
  if switchyard.types_served_by(v_job.jobname::text, v_job.command) = '{}'
     or (p_save.id is not null
         and not switchyard.does_work_of(v_job.jobname::text, v_job.command, v_job.database, p_save)) then
    return null;
  end if;
  v_other_work := switchyard.other_work_of(v_job.jobname::text, v_job.command);
  if v_job.username <> current_user then
    v_action := 'left alone';
    v_note := format('it belongs to role %s', v_job.username);
  elsif cardinality(v_other_work) > 0 then
    v_action := 'left alone';
    v_note := format('it does other work too: %s', array_to_string(v_other_work, ', '));
  elsif p_unschedule then
    v_save_id := switchyard.save_cron_job(p_job_id, p_data_types);
    update switchyard.saved_cron_jobs as s set is_scheduled = false where s.id = v_save_id;
    perform cron.unschedule(p_job_id);
    v_action := 'unscheduled';
    v_note := case when not v_job.active and p_save.id is null then 'somebody had paused it' end;
  elsif v_job.active then
    perform switchyard.save_cron_job(p_job_id, p_data_types);
    perform cron.alter_job(job_id := p_job_id, active := false);
    v_action := 'paused';
    v_note := case when p_save.id is not null then 'somebody had made it active again' end;
  elsif p_save.id is null then
    perform switchyard.save_cron_job(p_job_id, p_data_types);
    v_action := 'found paused';
    v_note := 'it stays so when the data type is rolled back';
  else
    return null;
  end if;
  return jsonb_strip_nulls(jsonb_build_object(
    'job_id', p_job_id, 'job_name', v_job.jobname::text, 'action', v_action, 'note', v_note));
end
$$;
comment on function switchyard.rest_legacy_job(bigint, switchyard.saved_cron_jobs, text[], boolean) is
  'Saves one legacy job and pauses it, or unschedules it. Jobs of other roles, and those that do other work too, are left alone. Returns what it did, null for nothing.';

-- Definer: flags are changed by roles that own no cron job, and pg_cron lets only their owner alter them.
create function switchyard.settle_legacy_jobs(p_data_types text[] default null)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_queue_runs boolean := switchyard.queue_runs();
  v_job_id bigint;
  v_save_id bigint;
  v_save switchyard.saved_cron_jobs;
  v_served text[];
  v_wanted text;
  v_done jsonb;
  v_report jsonb := '[]'::jsonb;
begin
  -- A loop, because pg_cron changes one job per call. Later saves first: when two are of one job that
  -- was removed and made again in between, the later definition is the one to bring back.
  for v_job_id, v_save_id, v_served in
    with known as (
      select coalesce(j.job_id, s.job_id) as job_id, s.id as save_id,
             array(
               select distinct t.data_type
                 from unnest(coalesce(j.data_types, switchyard.types_served_by(s.job_name, s.command))
                             || coalesce(s.data_types, '{}'::text[])) as t (data_type)
                where exists (
                  select 1 from public.data_type_registry_v2 as r where r.data_type = t.data_type)
                order by t.data_type) as served
        from switchyard.legacy_jobs as j
        full join (select o.* from switchyard.saved_cron_jobs as o where o.released_at is null) as s
          on s.job_id = j.job_id
    )
    select k.job_id, k.save_id, k.served
      from known as k
     where p_data_types is null or k.served && p_data_types or k.served = '{}'
     order by k.save_id desc nulls last, k.job_id
  loop
    select case
             when not v_queue_runs or count(*) = 0
                  or not bool_and(r.stage in ('live', 'retired')) then 'as found'
             when bool_and(r.stage = 'retired') then 'absent'
             else 'paused'
           end
      into v_wanted
      from public.data_type_registry_v2 as r
     where r.data_type = any (v_served);

    -- Twice, because somebody may have changed the job since it was read: then it is read again.
    for v_try in 1..2 loop
      begin
        v_save := null;
        select s.* into v_save
          from switchyard.saved_cron_jobs as s
         where s.id = v_save_id and s.released_at is null;
        v_done := case
          when v_wanted <> 'as found'
            then switchyard.rest_legacy_job(v_job_id, v_save, v_served, v_wanted = 'absent')
          when v_save.id is not null then switchyard.resume_legacy_job(v_save)
        end;
        exit;
      exception
        -- Nothing has been changed then, and asking again helps.
        when deadlock_detected or serialization_failure or lock_not_available then
          raise;
        when others then
          if v_try = 2 then
            v_done := jsonb_build_object(
              'job_id', v_job_id, 'job_name', v_save.job_name, 'action', 'failed', 'note', sqlerrm);
            -- The way back must not fail because of one job that cannot be had back.
            perform switchyard.open_alert(
              'legacy_job', 'critical', v_served[1],
              format('Legacy job %s could not be made "%s": %s', v_job_id, v_wanted, sqlerrm));
          end if;
      end;
    end loop;
    if v_done is not null then
      v_report := v_report || (v_done || jsonb_build_object('data_types', v_served));
    end if;
  end loop;
  return v_report;
end
$$;
comment on function switchyard.settle_legacy_jobs(text[]) is
  'Brings the legacy jobs of the given data types (null: of all) where the stages and flags want them: at rest while the queue serves every type that a job serves, else as they were found. Returns what was done to which job. The caller holds lock_migration.';

revoke all on function
  switchyard.queue_runs(),
  switchyard.is_served_by_queue(text),
  switchyard.touch_cron_job(cron.job),
  switchyard.lock_cron_job(bigint),
  switchyard.save_cron_job(bigint, text[]),
  switchyard.schedule_saved_job(switchyard.saved_cron_jobs, boolean),
  switchyard.resume_legacy_job(switchyard.saved_cron_jobs),
  switchyard.rest_legacy_job(bigint, switchyard.saved_cron_jobs, text[], boolean),
  switchyard.settle_legacy_jobs(text[])
from public, anon, authenticated, service_role;
