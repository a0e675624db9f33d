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

create function switchyard.row_holder(p_table regclass, p_condition text, out pid integer, out who text)
language plpgsql
stable
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  v_xmax xid;
  v_xids xid[];
begin
  begin
    execute format('select t.xmax from %s as t where %s', p_table, p_condition) into v_xmax;
    v_xids := array[v_xmax];
    -- Where several have locked a row, its xmax is the number of their list. Nothing tells the two kinds of
    -- numbers apart, and one that is no list, or an old one, is an error.
    select v_xids || coalesce(array_agg(m.xid), '{}') into v_xids
      from pg_catalog.pg_get_multixact_members(v_xmax) as m;
  exception
    when internal_error or invalid_parameter_value then
      v_xids := array[v_xmax];
    when lock_not_available then
      -- Somebody has the whole table.
      v_xids := '{}';
  end;
  select l.pid, switchyard.session_in_words(l.pid) into pid, who
    from pg_catalog.pg_locks as l
   where l.granted and l.pid <> pg_backend_pid()
     and (l.locktype = 'transactionid' and l.transactionid = any (v_xids)
          or l.locktype = 'relation' and l.relation = p_table and l.mode in ('ExclusiveLock', 'AccessExclusiveLock')
             and l.database = (select o.oid from pg_catalog.pg_database as o where o.datname = current_database()))
   order by l.transactionid = v_xmax desc nulls last, l.pid
   limit 1;
  if pid is null then
    -- The number of a subtransaction that has ended has no lock any more.
    select case when count(*) > 1 then 'one of ' else '' end
             || string_agg(switchyard.session_in_words(l.pid), '; ' order by l.pid)
      into who
      from (
        select distinct l.pid
          from pg_catalog.pg_locks as l
          join pg_catalog.pg_stat_activity as a on a.pid = l.pid
         where l.granted and l.pid <> pg_backend_pid()
           and l.locktype = 'relation' and l.relation = p_table and l.mode in ('RowExclusiveLock', 'RowShareLock')
           and l.database = (select o.oid from pg_catalog.pg_database as o where o.datname = current_database())
           and a.backend_xid is not null) as l;
  end if;
end
$$;
comment on function switchyard.row_holder(regclass, text) is
  'The other session that has changed or locked the row of a table that meets a condition, or has the whole table, and has not ended its transaction; where that cannot be told (pid is null) all that may be it, null for none.';

create function switchyard.tell_of_holder(p_what text, p_table regclass, p_condition text, p_waits boolean)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_pid integer;
  v_who text;
  v_hint text;
begin
  select h.pid, coalesce(h.who, 'another session') into v_pid, v_who
    from switchyard.row_holder(p_table, p_condition) as h;
  v_hint := case
    when v_pid is null then 'See select pid, pg_blocking_pids(pid) from pg_stat_activity'
    else format('If it was forgotten: select pg_terminate_backend(%s)', v_pid) end;
  if p_waits then
    raise notice 'Waiting for the end of a transaction that changes %, of %', p_what, v_who using hint = v_hint;
  else
    raise exception 'Cannot change %: it is held by %', p_what, v_who
      using errcode = 'lock_not_available', hint = v_hint;
  end if;
end
$$;
comment on function switchyard.tell_of_holder(text, regclass, text, boolean) is
  'Tells who keeps the row of a table that meets a condition from being changed: with a notice to who goes on waiting for it, else as the error lock_not_available.';

revoke all on function
  switchyard.session_in_words(integer),
  switchyard.row_holder(regclass, text),
  switchyard.tell_of_holder(text, regclass, text, boolean)
from public, anon, authenticated, service_role;
