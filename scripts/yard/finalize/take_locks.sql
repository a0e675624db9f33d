  -- Those that are renamed, and that of the flags: they stay as they are until all is done.
  v_tables := array(
    select c.oid::regclass::text
      from pg_catalog.pg_class as c
     where c.relkind in ('r', 'p') and not c.relispartition
       and c.oid = any (select to_regclass(own.name)::oid from unnest(v_relations) as own (name))
       and (c.relname ~ {{renamed}} or c.oid = 'public.feature_flags'::regclass));
  -- Waits a moment at a time and lets go in between, so that no session waits for this one while this
  -- one waits for it, and none queues up behind it for long. In another order each time, for calls take
  -- these tables in more than one order.
  loop
    begin
      perform set_config('lock_timeout', '250ms', true);
      for v_table in
        select t.name from unnest(v_tables) as t (name) order by random()
      loop
        execute format('lock table %s in access exclusive mode', v_table);
      end loop;
      exit;
    exception when lock_not_available or deadlock_detected then
      if clock_timestamp() > v_give_up_at then
        raise exception 'Cannot {{action}}: its tables are in use'
          using errcode = 'lock_not_available',
                detail = sqlerrm,
                hint = 'Push again at a quieter time, or with use_queue_system off';
      end if;
      perform pg_sleep(random() * 0.2);
    end;
  end loop;
  perform set_config('lock_timeout', '0', true);
