  -- Waits a moment at a time and lets go in between, so that no session waits for this one while this
  -- one waits for it, and none queues up behind it for long. In another order each time, for calls take
  -- these tables in more than one order; most begin with those in public. The lock of flags and stages comes
  -- last, and is not waited for: no rollback waits for a try that fails.
  loop
    begin
      perform set_config('lock_timeout', '250ms', true);
      for v_table in
        select t.name from unnest(v_tables) as t (name) order by t.name like 'switchyard.%', random()
      loop
        execute format('lock table %s in access exclusive mode', v_table);
      end loop;
      if not pg_try_advisory_xact_lock(switchyard.migration_key()) then
        raise exception 'flags or stages are being changed' using errcode = 'lock_not_available';
      end if;
      exit;
    exception when lock_not_available or deadlock_detected then
      if clock_timestamp() > v_give_up_at then
        raise exception 'Cannot {{action}}: its tables are in use'
          using errcode = 'lock_not_available',
                detail = coalesce((
                  select string_agg(switchyard.session_in_words(h.pid), E'\n' order by h.pid)
                    from (
                      select l.pid
                        from pg_catalog.pg_locks as l
                       where l.granted and l.pid <> pg_backend_pid()
                         and l.database = (
                           select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
                         and l.relation = any (v_tables::regclass[])
                      union
                      select m.pid from switchyard.migration_holder() as m where m.pid is not null) as h), sqlerrm),
                hint = 'Let these sessions end, or end those that were forgotten with select pg_terminate_backend(…), and {{again}}';
      end if;
      perform pg_sleep(random() * 0.2);
    end;
  end loop;
  perform set_config('lock_timeout', '0', true);
  perform switchyard.lock_migration();
