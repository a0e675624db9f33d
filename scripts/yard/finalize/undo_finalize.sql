do $undo$
declare
  v_relations constant text[] := {{relations}};
  v_search_path constant text := current_setting('search_path');
  v_give_up_at constant timestamptz := clock_timestamp() + interval '1 minute';
  v_tables text[];
  v_table text;
  v_part record;
  v_undo text;
begin
  if to_regclass('switchyard.old_names') is null then
    raise exception 'Cannot undo finalize: the old names were dropped, or never replaced'
      using errcode = 'undefined_table';
  end if;
{{> lock_renamed}}
  perform set_config('search_path', '', true);
  -- Bodies come back before the names that stand in them.
  perform set_config('check_function_bodies', 'off', true);
  -- The flags of retired data types come back as they were: on.
  alter table public.feature_flags disable trigger check_new_flag;

  -- Partitions that were made since, and what belongs to them, get the names that they would have had.
  for v_part in
    select format('alter table %s rename constraint %I to %I', k.conrelid::regclass, k.conname,
                  split_part(o.old_name, '.', 2) || substr(k.conname, length(split_part(o.new_name, '.', 2)) + 1)) as rename
      from switchyard.old_names as o
      join pg_catalog.pg_inherits as i on i.inhparent = to_regclass(o.new_name)
      join pg_catalog.pg_constraint as k
        on k.conrelid = i.inhrelid and starts_with(k.conname, split_part(o.new_name, '.', 2) || '_')
     where o.kind = 'relation' and not (k.contype in ('c', 'n') and k.coninhcount > 0)
       and not exists (
         select 1 from switchyard.old_names as known where known.kind = 'constraint' and known.new_name = k.conname)
  loop
    execute v_part.rename;
  end loop;
  for v_part in
    select format('alter %s %s rename to %I', case c.relkind when 'i' then 'index' else 'table' end, c.oid::regclass,
                  split_part(o.old_name, '.', 2) || substr(c.relname, length(split_part(o.new_name, '.', 2)) + 1)) as rename
      from switchyard.old_names as o
      join pg_catalog.pg_inherits as i on i.inhparent = to_regclass(o.new_name)
      join pg_catalog.pg_class as c
        on (c.oid = i.inhrelid
            or c.oid in (select x.indexrelid from pg_catalog.pg_index as x where x.indrelid = i.inhrelid))
       and starts_with(c.relname, split_part(o.new_name, '.', 2) || '_')
     where o.kind = 'relation' and c.relkind in ('r', 'p', 'i', 'I')
       and not exists (select 1 from pg_catalog.pg_constraint as k where k.conindid = c.oid)
       and not exists (
         select 1 from switchyard.old_names as known where known.kind = 'relation' and to_regclass(known.new_name) = c.oid)
  loop
    execute v_part.rename;
  end loop;

  for v_undo in select o.undo from switchyard.old_names as o where o.undo is not null order by o.id desc loop
    execute v_undo;
  end loop;
  alter table public.feature_flags enable trigger check_new_flag;
  drop table switchyard.old_names;
  delete from supabase_migrations.schema_migrations as m
   where m.version = any ({{versions}}) or m.name = 'switchyard_switch_functions';
  perform set_config('check_function_bodies', 'on', true);
  perform set_config('search_path', v_search_path, true);
end
$undo$;
