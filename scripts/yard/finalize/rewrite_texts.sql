  -- All that PostgreSQL keeps as text. Owner, privileges and comment of a replaced function stay.
  for v_part in
    select n.oid, p.prosrc from pg_temp.finalize_names as n join pg_catalog.pg_proc as p on p.oid = n.oid
     where n.kind = 'function' and p.prosrc ~ v_texts
  loop
    v_definition := pg_catalog.pg_get_functiondef(v_part.oid);
    execute regexp_replace(v_definition, v_texts, '\1\2', 'g');
    insert into switchyard.old_names (kind, old_name, new_name, undo)
    values ('body', '', v_part.oid::regprocedure, v_definition);
  end loop;
  for v_part in
    select format('alter table %s alter column %I set default ', d.adrelid::regclass, a.attname) as change,
           pg_catalog.pg_get_expr(d.adbin, d.adrelid) as text
      from pg_catalog.pg_attrdef as d
      join pg_catalog.pg_attribute as a on a.attrelid = d.adrelid and a.attnum = d.adnum
     where d.adrelid = any (v_own) and a.attgenerated = '' and pg_catalog.pg_get_expr(d.adbin, d.adrelid) ~ v_texts
    union all
    select format('create or replace view %s%s as ', c.oid::regclass,
                  ' with (' || array_to_string(c.reloptions, ', ') || ')'),
           rtrim(pg_catalog.pg_get_viewdef(c.oid), ';')
      from pg_catalog.pg_class as c
     where c.oid = any (v_own) and c.relkind = 'v' and pg_catalog.pg_get_viewdef(c.oid) ~ v_texts
  loop
    execute v_part.change || regexp_replace(v_part.text, v_texts, '\1\2', 'g');
    insert into switchyard.old_names (kind, old_name, new_name, undo)
    values ('definition', v_part.text, '', v_part.change || v_part.text);
  end loop;
  for v_part in
    select d.description as old_text, o.type, o.identity,
           regexp_replace(d.description, v_texts, '\1\2', 'g') as new_text
      from pg_catalog.pg_description as d
     cross join lateral pg_catalog.pg_identify_object(d.classoid, d.objoid, d.objsubid) as o
     where d.description ~ v_texts
       and (d.classoid = 'pg_catalog.pg_class'::regclass and d.objoid = any (v_own)
            or d.classoid in ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_type'::regclass)
               and exists (select 1 from pg_temp.finalize_names as n where n.oid = d.objoid)
            or d.classoid = 'pg_catalog.pg_namespace'::regclass and d.objoid = 'switchyard'::regnamespace
            or d.classoid = 'pg_catalog.pg_constraint'::regclass
               and exists (select 1 from pg_catalog.pg_constraint as k
                            where k.oid = d.objoid and k.conrelid = any (v_own))
            or d.classoid = 'pg_catalog.pg_trigger'::regclass
               and exists (select 1 from pg_catalog.pg_trigger as t
                            where t.oid = d.objoid and t.tgrelid = any (v_own)))
  loop
    v_name := concat_ws(' ', case
      when v_part.type in ('table column', 'view column', 'composite type column') then 'column'
      when v_part.type = 'composite type' then 'type'
      when v_part.type in ('table constraint', 'domain constraint') then 'constraint'
      else v_part.type end, v_part.identity);
    execute format('comment on %s is %L', v_name, v_part.new_text);
    insert into switchyard.old_names (kind, old_name, new_name, undo)
    values ('comment', v_part.old_text, v_part.new_text, format('comment on %s is %L', v_name, v_part.old_text));
  end loop;
