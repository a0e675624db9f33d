-- Adds what tells a session for whom it waits. Nothing calls it yet.

create function switchyard.session_in_words(p_pid integer)
returns text
language sql
stable
set search_path = ''
as $$
  select format('session %s (%s): %s for %s s', p.pid,
           concat_ws(', ', a.usename, nullif(a.application_name, '')), coalesce(a.state, 'active'),
           coalesce(round(extract(epoch from clock_timestamp() - a.xact_start)), 0))
    from (select p_pid as pid) as p
    left join pg_catalog.pg_stat_activity as a on a.pid = p.pid
$$;
comment on function switchyard.session_in_words(integer) is
  'A session as people say it: session 4711 (postgres, psql): idle in transaction for 12 s.';

create function switchyard.other_writers(p_table regclass, out pid integer, out who text)
language sql
stable
set search_path = ''
as $$
  select (array_agg(l.pid order by a.xact_start))[1],
         string_agg(switchyard.session_in_words(l.pid), '; ' order by a.xact_start)
    from pg_catalog.pg_locks as l
    left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
   where l.locktype = 'relation' and l.granted and l.mode = 'RowExclusiveLock'
     and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
     and l.relation = p_table
     and l.pid <> pg_backend_pid()
$$;
comment on function switchyard.other_writers(regclass) is
  'The other sessions that have written a table and not ended their transaction, and the one of them that began first; nulls for none. Which of them holds a row cannot be seen before one waits for it; hardly ever is there more than one.';

create function switchyard.tell_of_writers(p_what text, p_table regclass, p_waits boolean)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_pid integer;
  v_who text;
begin
  select w.pid, w.who into v_pid, v_who from switchyard.other_writers(p_table) as w;
  if p_waits then
    raise notice 'Waiting for the end of a transaction that changes %, of %', p_what, coalesce(v_who, 'another session')
      using hint = format('If it was forgotten: select pg_terminate_backend(%s)', v_pid);
  else
    raise exception 'Cannot change %: it is held by %', p_what, coalesce(v_who, 'another session')
      using errcode = 'lock_not_available',
            hint = format('If it was forgotten: select pg_terminate_backend(%s)', v_pid);
  end if;
end
$$;
comment on function switchyard.tell_of_writers(text, regclass, boolean) is
  'Tells who keeps a row of a table from being changed: with a notice to who goes on waiting for it, else as the error lock_not_available.';

revoke all on function
  switchyard.session_in_words(integer),
  switchyard.other_writers(regclass),
  switchyard.tell_of_writers(text, regclass, boolean)
from public, anon, authenticated, service_role;
