  -- Those that are renamed, and that of the flags: they stay as they are until all is done.
  v_tables := array(
    select c.oid::regclass::text
      from pg_catalog.pg_class as c
     where c.relkind in ('r', 'p') and not c.relispartition
       and c.oid = any (select to_regclass(own.name)::oid from unnest(v_relations) as own (name))
       and (c.relname ~ {{renamed}} or c.oid = 'public.feature_flags'::regclass));
{{> ../take_locks}}
