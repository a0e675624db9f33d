  -- Waits a moment at a time and lets go in between, so that no session waits for this one while this
  -- one waits for it, and none queues up behind it for long. In another order each time, for calls take
  -- these tables in more than one order; most begin with those in public.
  loop
    begin
      perform set_config('lock_timeout', '250ms', true);
      for v_table in
        select t.name from unnest(v_tables) as t (name) order by t.name like 'switchyard.%', random()
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
