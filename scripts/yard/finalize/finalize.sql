do $finalize$
declare
  -- What Switchyard's migrations made and is to lose its suffix.
  v_relations constant text[] := {{relations}};
  v_routines constant text[] := {{routines}};
  v_types constant text[] := {{types}};

  -- Tables with rows of the migrations, whose texts may name what is renamed; by their new names.
  v_seeded constant text[] := {{seeded}};

  -- How they, the cron jobs, and both within texts are written.
  v_names constant text := {{names}};
  v_jobs constant text := {{jobs}};
  v_texts constant text := {{texts}};

  v_search_path constant text := current_setting('search_path');
  v_owner constant text := current_user;
  v_refused text;
  v_give_up_at constant timestamptz := clock_timestamp() + interval '1 minute';
  v_tables text[];
  v_table text;
  v_own oid[];
  v_part record;
  v_grant record;
  v_name text;
  v_arguments text;
  v_definition text;
  v_old_text text;
  v_new_text text;
  v_job_id bigint;
begin
  if to_regclass('switchyard.cron_jobs') is null or to_regclass('public.data_type_registry_v2') is null then
    raise exception 'Cannot finalize: there is no Switchyard with names in _v2'
      using errcode = 'undefined_table', hint = 'See select to_regclass(''public.data_type_registry_v2'')';
  end if;

  -- What will be refused is refused before anything is locked; then once more, as somebody may have moved a type.
{{> check_retired}}
{{> lock_renamed}}
{{> check_retired}}
  -- So that definitions are written with the schema of every name.
  perform set_config('search_path', '', true);

{{> find_own}}
  -- With the name that each gets.
  alter table pg_temp.finalize_names add column new_name text;
  update pg_temp.finalize_names as n set new_name = regexp_replace(n.old_name, v_names, '\1');

  select string_agg(taken.name, E'\n' order by taken.name) into v_refused
    from (
      select format('%s %s', case c.relkind when 'v' then 'view' when 'i' then 'index' when 'S' then 'sequence'
                                            else 'table' end, c.oid::regclass) as name
        from pg_temp.finalize_names as n
        join pg_catalog.pg_class as c on c.relnamespace = n.schema and c.relname = n.new_name
       where n.kind = 'relation' and n.new_name <> n.old_name
      union
      select format('function %s', p.oid::regprocedure)
        from pg_temp.finalize_names as n
        join pg_catalog.pg_proc as p on p.pronamespace = n.schema and p.proname = n.new_name
       where n.kind = 'function' and n.new_name <> n.old_name
      union
      select format('type %s', t.oid::regtype)
        from pg_temp.finalize_names as n
        join pg_catalog.pg_type as t on t.typnamespace = n.schema and t.typname = n.new_name
       where n.kind <> 'function' and n.new_name <> n.old_name and t.typrelid = 0 and t.typelem = 0
      union
      select format('cron job %s', j.jobname)
        from switchyard.cron_jobs as own
        join cron.job as j on j.jobname::text = regexp_replace(own.job_name, v_jobs, '\1')
       where own.job_name ~ v_jobs
    ) as taken;
  if v_refused is not null then
    raise exception 'Cannot finalize: names that are wanted are taken'
      using errcode = 'duplicate_object', detail = v_refused, hint = 'Rename these, then push again';
  end if;

  -- What undo_finalize.sql and yard finalize --drop-old-names read.
  create table switchyard.old_names (
    id bigint generated always as identity primary key,
    kind text not null,
    old_name text not null,
    new_name text not null,
    undo text
  );
  comment on table switchyard.old_names is
    'What finalize has renamed, rewritten and kept, in its order, until the old names are dropped. undo: the statement that takes the change back.';
  alter table switchyard.old_names enable row level security;
  revoke all on table switchyard.old_names from public, anon, authenticated, service_role;

  -- Constraints first: an index that belongs to one is renamed with it.
  for v_part in
    select 'constraint' as kind, k.conname::text as old_name,
           format('alter table %s rename constraint %%I to %%I', k.conrelid::regclass) as rename
      from pg_catalog.pg_constraint as k
     where k.conrelid = any (v_own) and k.conname ~ v_names
       -- The others follow the table that they are inherited from.
       and not (k.contype in ('c', 'n') and k.coninhcount > 0)
    union all
    select 'trigger', t.tgname, format('alter trigger %%I on %s rename to %%I', t.tgrelid::regclass)
      from pg_catalog.pg_trigger as t
     where t.tgrelid = any (v_own) and not t.tgisinternal and t.tgparentid = 0 and t.tgname ~ v_names
    union all
    select 'policy', p.polname, format('alter policy %%I on %s rename to %%I', p.polrelid::regclass)
      from pg_catalog.pg_policy as p
     where p.polrelid = any (v_own) and p.polname ~ v_names
  loop
    v_name := regexp_replace(v_part.old_name, v_names, '\1');
    execute format(v_part.rename, v_part.old_name, v_name);
    insert into switchyard.old_names (kind, old_name, new_name, undo)
    values (v_part.kind, v_part.old_name, v_name, format(v_part.rename, v_name, v_part.old_name));
  end loop;
  for v_part in
    select n.kind, n.old_name, n.new_name, n.schema::regnamespace::text as schema,
           case n.kind
             when 'relation' then case c.relkind when 'v' then 'view' when 'm' then 'materialized view'
                                                 when 'S' then 'sequence' when 'c' then 'type'
                                                 when 'i' then 'index' when 'I' then 'index' else 'table' end
             when 'function' then 'routine'
             else 'type'
           end as type,
           n.oid
      from pg_temp.finalize_names as n
      left join pg_catalog.pg_class as c on n.kind = 'relation' and c.oid = n.oid
      -- Not those whose constraint was renamed above.
     where n.new_name <> n.old_name and (n.kind <> 'relation' or c.relname = n.old_name)
     order by n.kind = 'function', n.oid
  loop
    -- With the new names of their types.
    v_arguments := case v_part.kind
      when 'function' then format('(%s)', pg_catalog.pg_get_function_identity_arguments(v_part.oid)) end;
    execute format('alter %s %s.%I%s rename to %I',
                   v_part.type, v_part.schema, v_part.old_name, v_arguments, v_part.new_name);
    insert into switchyard.old_names (kind, old_name, new_name, undo)
    values (v_part.kind, format('%s.%I', v_part.schema, v_part.old_name), format('%s.%I', v_part.schema, v_part.new_name),
            format('alter %s %s.%I%s rename to %I',
                   v_part.type, v_part.schema, v_part.new_name, v_arguments, v_part.old_name));
  end loop;

{{> rewrite_texts}}
  -- Callers that still use the old names are served until yard finalize --drop-old-names: deployed
  -- functions, and calls that began before this transaction and waited for it.
  for v_part in
    select c.oid, o.old_name, o.new_name
      from switchyard.old_names as o
      join pg_catalog.pg_class as c on c.oid = to_regclass(o.new_name)
     where o.kind = 'relation' and c.relkind in ('r', 'p', 'v')
       -- Partitions that no function names are reached through their table.
       and (not c.relispartition
            or exists (
              select 1 from switchyard.old_names as b
               where b.kind = 'body' and b.undo ~ format('\m%s\M', split_part(o.old_name, '.', 2))))
     order by o.id
  loop
    execute format('create view %s with (security_invoker = true) as select * from %s',
                   v_part.old_name, v_part.new_name);
    execute format('comment on view %s is %L', v_part.old_name,
                   format('The old name of %s. It goes with yard finalize --drop-old-names.', v_part.new_name));
    execute format('revoke all on table %s from public, anon, authenticated, service_role', v_part.old_name);
    for v_grant in
      select g.privilege_type, g.grantee, null::text as columns
        from pg_catalog.pg_class as c
       cross join lateral pg_catalog.aclexplode(c.relacl) as g
       where c.oid = v_part.oid and g.grantee <> c.relowner
         and g.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
      union all
      select g.privilege_type, g.grantee, format('(%I)', a.attname)
        from pg_catalog.pg_attribute as a
        join pg_catalog.pg_class as c on c.oid = a.attrelid
       cross join lateral pg_catalog.aclexplode(a.attacl) as g
       where a.attrelid = v_part.oid and g.grantee <> c.relowner
    loop
      execute format('grant %s %s on table %s to %s',
                     v_grant.privilege_type, v_grant.columns, v_part.old_name,
                     case v_grant.grantee when 0 then 'public' else v_grant.grantee::regrole::text end);
    end loop;
    insert into switchyard.old_names (kind, old_name, new_name, undo)
    values ('old name', v_part.old_name, v_part.new_name, format('drop view %s', v_part.old_name));
  end loop;
  for v_part in
    select p.oid, p.prorettype, p.proretset, p.provolatile, p.pronargs, p.proowner, p.proacl,
           format('%s.%I', p.pronamespace::regnamespace, n.old_name) as old_name,
           format('%s.%I', p.pronamespace::regnamespace, n.new_name) as new_name
      from pg_temp.finalize_names as n
      join pg_catalog.pg_proc as p on p.oid = n.oid
     where n.kind = 'function' and n.new_name <> n.old_name and p.prokind = 'f'
       and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
     order by p.oid
  loop
    execute format(
      'create function %s(%s) returns %s language sql %s set search_path = '''' as %L',
      v_part.old_name, pg_catalog.pg_get_function_arguments(v_part.oid),
      pg_catalog.pg_get_function_result(v_part.oid),
      case v_part.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
      format('select %s%s(%s)',
             case when v_part.proretset or v_part.prorettype = 'record'::regtype
                       or exists (
                         select 1 from pg_catalog.pg_type as t where t.oid = v_part.prorettype and t.typtype = 'c')
                  then '* from ' end,
             v_part.new_name,
             (select string_agg('$' || n, ', ' order by n) from generate_series(1, v_part.pronargs) as n)));
    v_name := format('%s(%s)', v_part.old_name, pg_catalog.pg_get_function_identity_arguments(v_part.oid));
    execute format('comment on function %s is %L', v_name,
                   format('The old name of %s. It goes with yard finalize --drop-old-names.', v_part.new_name));
    execute format('revoke all on function %s from public, anon, authenticated, service_role', v_name);
    for v_grant in
      select g.grantee from pg_catalog.aclexplode(v_part.proacl) as g where g.grantee <> v_part.proowner
    loop
      execute format('grant execute on function %s to %s', v_name,
                     case v_grant.grantee when 0 then 'public' else v_grant.grantee::regrole::text end);
    end loop;
    insert into switchyard.old_names (kind, old_name, new_name, undo)
    values ('old name', v_name, v_part.new_name, format('drop function %s', v_name));
  end loop;

  -- Behind the old names: a row of the registry is valid while its functions are there.
{{> rewrite_values}}
  -- pg_cron renames no job: under its new name each is another one, active or not as the old one was.
  for v_part in
    select own.job_name as old_name, regexp_replace(own.job_name, v_jobs, '\1') as new_name,
           own.command as own_command, j.jobid, j.schedule, j.command, j.active
      from switchyard.cron_jobs as own
      join cron.job as j on j.jobname::text = own.job_name and j.username = v_owner
     order by j.jobid
  loop
    update switchyard.cron_jobs as own
       set job_name = v_part.new_name, command = regexp_replace(v_part.own_command, v_texts, '\1\2', 'g')
     where own.job_name = v_part.old_name;
    insert into switchyard.old_names (kind, old_name, new_name, undo)
    values ('value', v_part.old_name, v_part.new_name,
            format('update switchyard.cron_jobs set job_name = %L, command = %L where job_name = %L',
                   v_part.old_name, v_part.own_command, v_part.new_name));
    perform cron.unschedule(v_part.jobid);
    v_job_id := cron.schedule(
      v_part.new_name, v_part.schedule, regexp_replace(v_part.command, v_texts, '\1\2', 'g'));
    perform cron.alter_job(job_id := v_job_id, active := v_part.active);
    insert into switchyard.old_names (kind, old_name, new_name, undo)
    values ('cron job', v_part.old_name, v_part.new_name,
            format('with gone as (select j.schedule, j.active, cron.unschedule(j.jobid) from cron.job as j '
                   'where j.jobname = %L and j.username = current_user) '
                   'select cron.alter_job(job_id := cron.schedule(%L, g.schedule, %L), active := g.active) from gone as g',
                   v_part.new_name, v_part.old_name, v_part.command));
  end loop;

  -- Flags of retired data types decide nothing that rollback_migration does not do as well.
  alter table public.feature_flags disable trigger keep_flags;
  for v_part in
    delete from public.feature_flags as f
     using public.data_type_registry as r
     where f.flag_name = 'use_queue_for_' || r.data_type and r.stage = 'retired'
    returning f.flag_name, f.metadata, f.created_at, r.data_type
  loop
    -- The data type may have been rolled back by then.
    insert into switchyard.old_names (kind, old_name, new_name, undo)
    values ('flag', v_part.flag_name, '',
            format('insert into public.feature_flags (flag_name, enabled, metadata, created_at) '
                   'select %L, r.stage in (''live'', ''retired''), %L::jsonb, %L::timestamptz '
                   'from public.data_type_registry as r where r.data_type = %L on conflict do nothing',
                   v_part.flag_name, v_part.metadata, v_part.created_at, v_part.data_type));
  end loop;
  alter table public.feature_flags enable trigger keep_flags;

  drop table pg_temp.finalize_names;
  perform set_config('search_path', v_search_path, true);
end
$finalize$;
