do $drop$
declare
  -- Objects of yours that may go on with old names, as the refusal writes them.
  v_accepted constant text[] := {{accepted}};

  -- The names that go, as they stand in texts.
  v_texts constant text := {{texts}};

  v_switched_at timestamptz;
  v_refused text;
  v_part record;
begin
  if to_regclass('switchyard.old_names') is null then
    raise exception 'Cannot drop the old names: there are none'
      using errcode = 'undefined_table', hint = 'Push the migration of yard finalize first';
  end if;

  select max(o.new_name::timestamptz) into v_switched_at from switchyard.old_names as o where o.kind = 'switched at';
  select string_agg(format('run %s, alive %s ago', r.run_id, date_trunc('second', clock_timestamp() - r.heartbeat_at)),
                    E'\n' order by r.started_at)
    into v_refused
    from switchyard.processor_runs as r
   where r.started_at <= v_switched_at and r.finished_at is null
     and r.heartbeat_at > clock_timestamp()
         - make_interval(secs => switchyard.setting_integer('processor_alive_seconds'));
  if v_refused is not null then
    raise exception 'Cannot drop the old names: processors use them that started before'
      using errcode = 'object_in_use',
            detail = v_refused,
            hint = 'They end within minutes; then run supabase db push again';
  end if;

  select string_agg(found.object, E'\n' order by found.object) into v_refused
    from (
      select format('function %s', p.oid::regprocedure) as object
        from pg_catalog.pg_proc as p
        join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
       where p.prosrc ~ v_texts
         and pg_catalog.pg_has_role(current_user, p.proowner, 'member')
         and n.nspname not in ('pg_catalog', 'information_schema')
         and not exists (
           select 1 from pg_catalog.pg_depend as d
            where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
      union all
      select format('cron job %s', coalesce(j.jobname::text, j.jobid::text))
        from cron.job as j
       where j.command ~ v_texts
    ) as found
   where found.object <> all (v_accepted);
  if v_refused is not null then
    raise exception 'Cannot drop the old names: functions and cron jobs use them'
      using errcode = 'dependent_objects_still_exist',
            detail = v_refused,
            hint = 'Write the new names into them, or write the migration anew with --accept ''<object>''';
  end if;

  perform set_config('lock_timeout', '10s', true);
  -- Without cascade: a view of yours over an old name stops this with its name.
  for v_part in
    select o.undo from switchyard.old_names as o where o.kind = 'old name' order by o.id desc
  loop
    execute v_part.undo;
  end loop;
  drop table switchyard.old_names;
  perform set_config('lock_timeout', '0', true);
end
$drop$;
