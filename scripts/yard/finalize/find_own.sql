  v_own := array(
    select c.oid
      from pg_catalog.pg_class as c
     where c.relnamespace = 'switchyard'::regnamespace
        or c.oid = any (select to_regclass(own.name)::oid from unnest(v_relations) as own (name)));
  v_own := v_own || array(
    select i.indexrelid from pg_catalog.pg_index as i where i.indrelid = any (v_own)
    union
    select d.objid
      from pg_catalog.pg_depend as d
      join pg_catalog.pg_class as s on s.oid = d.objid and s.relkind = 'S'
     where d.classid = 'pg_catalog.pg_class'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
       and d.refobjid = any (v_own) and d.deptype in ('a', 'i'));

  create temporary table finalize_names on commit drop as
  select 'relation' as kind, c.oid, c.relnamespace as schema, c.relname::text as old_name
    from pg_catalog.pg_class as c
   where c.oid = any (v_own)
  union all
  select 'function', p.oid, p.pronamespace, p.proname::text
    from pg_catalog.pg_proc as p
   where p.pronamespace = 'switchyard'::regnamespace
      or p.oid = any (select to_regprocedure(own.name)::oid from unnest(v_routines) as own (name))
  union all
  select 'type', t.oid, t.typnamespace, t.typname::text
    from pg_catalog.pg_type as t
   where t.typrelid = 0 and t.typelem = 0
     and (t.typnamespace = 'switchyard'::regnamespace
          or t.oid = any (select to_regtype(own.name)::oid from unnest(v_types) as own (name)));
