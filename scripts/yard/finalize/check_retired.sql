  -- A database in which nothing has ever moved is a new one, made from the migrations: it gets the same
  -- names, and its data types begin in legacy.
  select string_agg(format('%s is in %s', r.data_type, r.stage), E'\n' order by r.data_type) into v_refused
    from public.data_type_registry_v2 as r
   where r.stage <> 'retired'
     and (exists (select 1 from switchyard.migration_events)
          or exists (select 1 from public.data_type_registry_v2 as o where o.stage <> 'legacy'));
  if v_refused is not null then
    raise exception 'Cannot finalize: not every data type is retired'
      using errcode = 'object_not_in_prerequisite_state',
            detail = v_refused,
            hint = 'See select * from migration_status_v2; advance them, or delete those that are not wanted from data_type_registry_v2';
  end if;
  select string_agg(format('%s is not scheduled by %s', own.job_name, v_owner), E'\n' order by own.job_name)
    into v_refused
    from switchyard.cron_jobs as own
   where not exists (
     select 1 from cron.job as j where j.jobname::text = own.job_name and j.username = v_owner);
  if v_refused is not null then
    raise exception 'Cannot finalize: cron jobs of Switchyard are missing'
      using errcode = 'object_not_in_prerequisite_state',
            detail = v_refused,
            hint = 'Run select switchyard.schedule_cron_jobs()';
  end if;
