  for v_part in
    select c.oid::regclass::text as table_name, a.attname, a.atttypid::regtype::text as type
      from unnest(v_seeded) as seeded (name)
      join pg_catalog.pg_class as c
        on c.oid = to_regclass(seeded.name)
      join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     where a.atttypid in ('text'::regtype, 'text[]'::regtype, 'jsonb'::regtype) and a.attgenerated = ''
       -- These are renamed together with what cron holds.
       and c.oid <> 'switchyard.cron_jobs'::regclass
  loop
    for v_old_text in
      execute format('select distinct t.%1$I::text from %2$s as t where t.%1$I::text ~ $1', v_part.attname, v_part.table_name)
        using v_texts
    loop
      v_new_text := regexp_replace(v_old_text, v_texts, '\1\2', 'g');
      v_definition := format('update %s set %I = %%L::%s where %2$I::text = %%L',
                             v_part.table_name, v_part.attname, v_part.type);
      execute format(v_definition, v_new_text, v_old_text);
      insert into switchyard.old_names (kind, old_name, new_name, undo)
      values ('value', v_old_text, v_new_text, format(v_definition, v_old_text, v_new_text));
    end loop;
  end loop;
