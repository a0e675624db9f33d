do $uninstall$
declare
  -- What Switchyard's migrations made here. Nothing else is dropped.
  v_schemas constant text[] := {{schemas}};
  v_relations constant text[] := {{relations}};
  v_routines constant text[] := {{routines}};
  v_types constant text[] := {{types}};
  v_columns constant text[] := {{columns}};
  v_triggers constant text[] := {{triggers}};
  v_policies constant text[] := {{policies}};
  v_flags constant text[] := {{flags}};

  -- The last made first, and never with cascade: what is still needed by something else stops it all.
  v_drops constant text[] := {{drops}};

  -- Objects of yours that may lose what they mention, as the refusal writes them.
  v_accepted constant text[] := {{accepted}};

  v_names constant text := {{names}};
  v_started constant timestamptz := clock_timestamp();
  v_give_up_at constant timestamptz := clock_timestamp() + interval '1 minute';
  v_tables text[];
  v_table text;
  v_needed text[];
  v_report jsonb;
  v_held text;
  v_held_type text;
  v_job_ids bigint[];
  v_line text;
begin
  if to_regclass('switchyard.saved_cron_jobs') is null or to_regclass('switchyard.cron_jobs') is null then
    raise exception 'Cannot uninstall Switchyard: it is not installed here'
      using errcode = 'undefined_table',
            hint = 'Mark this migration as applied: supabase migration repair --status applied <its version>';
  end if;

  v_tables := array(
    select c.oid::regclass::text
      from unnest(v_relations) as own (name)
      join pg_catalog.pg_class as c on c.oid = to_regclass(own.name)
     where c.relkind in ('r', 'p') and not c.relispartition);
{{> ../take_locks}}

  with recursive part (classid, objid) as (
    select 'pg_catalog.pg_namespace'::regclass::oid, to_regnamespace(own.name)::oid
      from unnest(v_schemas) as own (name)
    union
    select 'pg_catalog.pg_class'::regclass, to_regclass(own.name) from unnest(v_relations) as own (name)
    union
    select 'pg_catalog.pg_proc'::regclass, to_regprocedure(own.name) from unnest(v_routines) as own (name)
    union
    select 'pg_catalog.pg_type'::regclass, to_regtype(own.name) from unnest(v_types) as own (name)
    union
    -- What comes and goes with them: columns' defaults, indexes, constraints, row types, partitions.
    select d.classid, d.objid
      from part as p
      join pg_catalog.pg_depend as d on d.refclassid = p.classid and d.refobjid = p.objid
     where d.deptype in ('a', 'i', 'P', 'S')
  ),
  found (object) as (
    select pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
      from part as p
      join pg_catalog.pg_depend as d on d.refclassid = p.classid and d.refobjid = p.objid
     where d.deptype = 'n'
       and not exists (select 1 from part as o where o.classid = d.classid and o.objid = d.objid)
       -- The privileges that new objects of a schema get are part of the schema.
       and d.classid <> 'pg_catalog.pg_default_acl'::regclass
    union
    select format('column %s of table %s', a.attname, c.oid::regclass)
      from unnest(v_relations) as own (name)
      join pg_catalog.pg_class as c on c.oid = to_regclass(own.name) and c.relkind in ('r', 'p')
      join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
     where not c.relispartition
       and format('%s.%s.%s', n.nspname, c.relname, a.attname) <> all (v_columns)
    union
    select format('trigger %s on table %s', t.tgname, c.oid::regclass)
      from unnest(v_relations) as own (name)
      join pg_catalog.pg_class as c on c.oid = to_regclass(own.name)
      join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
      join pg_catalog.pg_trigger as t on t.tgrelid = c.oid and not t.tgisinternal and t.tgparentid = 0
     where format('%s on %s.%s', t.tgname, n.nspname, c.relname) <> all (v_triggers)
    union
    select format('policy %s on table %s', p.polname, c.oid::regclass)
      from unnest(v_relations) as own (name)
      join pg_catalog.pg_class as c on c.oid = to_regclass(own.name)
      join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
      join pg_catalog.pg_policy as p on p.polrelid = c.oid
     where format('%s on %s.%s', p.polname, n.nspname, c.relname) <> all (v_policies)
    union
    -- What is only text to PostgreSQL.
    select format('function %s', p.oid::regprocedure)
      from pg_catalog.pg_proc as p
      join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
     where p.prosrc ~ v_names
       -- The platform's own functions belong to roles that postgres is no member of.
       and pg_catalog.pg_has_role(current_user, p.proowner, 'member')
       and n.nspname not in ('pg_catalog', 'information_schema')
       and not exists (
         select 1 from part as o where o.classid = 'pg_catalog.pg_proc'::regclass and o.objid = p.oid)
       and not exists (
         select 1 from pg_catalog.pg_depend as d
          where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
    union
    select format('cron job %s', coalesce(j.jobname::text, j.jobid::text))
      from cron.job as j
     where j.command ~ v_names
       and not exists (select 1 from switchyard.cron_jobs as own where own.job_name = j.jobname::text)
    union
    select format('feature flag %s', f.flag_name)
      from public.feature_flags as f
     where f.flag_name <> all (v_flags)
       and not exists (
         select 1 from {{registry}} as r where f.flag_name = 'use_queue_for_' || r.data_type)
  )
  select array_agg(f.object order by f.object) into v_needed
    from found as f
   where f.object <> all (v_accepted);
  if v_needed is not null then
    raise exception 'Cannot uninstall Switchyard: % of yours would be lost or broken',
      case cardinality(v_needed) when 1 then '1 object' else cardinality(v_needed) || ' objects' end
      using errcode = 'dependent_objects_still_exist',
            detail = array_to_string(v_needed, E'\n'),
            hint = 'Move or change them first, or write the migration anew with yard uninstall --accept ''<object>'' for each that may go';
  end if;

  -- The way back of every data type, and then once more for what no flag speaks for.
  update public.feature_flags as f set enabled = false where f.enabled;
  v_report := switchyard.settle_legacy_jobs();
  select string_agg(format('%s (%s): %s', coalesce(s.job_name, '#' || s.job_id), s.command, (
                      select string_agg(distinct r.done ->> 'note', '; ')
                        from jsonb_array_elements(v_report) as r (done)
                       where (r.done ->> 'job_id')::bigint = s.job_id)), E'\n' order by s.id),
         min(s.data_types[1])
    into v_held, v_held_type
    from switchyard.saved_cron_jobs as s
   where s.released_at is null;
  if v_held is not null then
    raise exception 'Cannot uninstall Switchyard: legacy jobs could not be brought back'
      using errcode = 'object_not_in_prerequisite_state',
            detail = v_held,
            hint = format('Mend them in switchyard.saved_cron_jobs, as the detail says, and push again; one data type comes back by itself with select * from {{rollback}}(%L)', v_held_type);
  end if;
  for v_line in
    select format('Legacy job %s: %s', coalesce(s.job_name, '#' || s.job_id), s.outcome)
      from switchyard.saved_cron_jobs as s
     where s.released_at >= v_started
     order by s.id
  loop
    raise notice '%', v_line;
  end loop;

  select array_agg(j.jobid) into v_job_ids
    from cron.job as j
    join switchyard.cron_jobs as own on own.job_name = j.jobname::text
   where j.username = current_user;
  perform cron.unschedule(id) from unnest(v_job_ids) as job (id);
  delete from cron.job_run_details as d where d.jobid = any (v_job_ids);

  set constraints all immediate;
  foreach v_line in array v_drops loop
    execute v_line;
  end loop;
end
$uninstall$;
