  select string_agg(c.oid::regclass::text, ', ' order by c.oid) into v_tables
    from pg_catalog.pg_class as c
   where c.relkind in ('r', 'p') and not c.relispartition
     and (c.relnamespace = 'switchyard'::regnamespace
          or c.oid = any (select to_regclass(own.name)::oid from unnest(v_relations) as own (name)));
  -- Waits a moment at a time and lets go in between, so that no session waits for this one while this
  -- one waits for it, and none queues up behind it for long.
  for v_try in 1..100 loop
    begin
      perform set_config('lock_timeout', '200ms', true);
      execute format('lock table %s in access exclusive mode', v_tables);
      exit;
    exception when lock_not_available or deadlock_detected then
      if v_try = 100 then
        raise exception 'Cannot {{action}}: Switchyard''s tables are in use'
          using errcode = 'lock_not_available',
                detail = sqlerrm,
                hint = 'See select * from pg_stat_activity where state = ''idle in transaction'', then push again';
      end if;
      perform pg_sleep(0.2);
    end;
  end loop;
  perform set_config('lock_timeout', '0', true);
