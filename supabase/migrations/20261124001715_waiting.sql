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

create function switchyard.row_holder(p_table regclass, p_row_xmax xid)
returns integer
language plpgsql
stable
set search_path = ''
as $$
declare
  v_xids xid[] := array[p_row_xmax];
begin
  -- Where several have locked a row, its xmax is the number of their list. Nothing tells the two kinds of
  -- numbers apart, and one that is no list, or an old one, is an error.
  begin
    select v_xids || coalesce(array_agg(m.xid), '{}') into v_xids
      from pg_catalog.pg_get_multixact_members(p_row_xmax) as m;
  exception when internal_error or invalid_parameter_value then
    v_xids := array[p_row_xmax];
  end;
  return (
    select l.pid
      from pg_catalog.pg_locks as l
      left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
     where l.granted and l.pid <> pg_backend_pid()
       and (l.locktype = 'transactionid' and l.transactionid = any (v_xids)
            -- The number of a subtransaction that has ended has no lock any more.
            or l.locktype = 'relation' and l.relation = p_table and l.mode in ('RowExclusiveLock', 'RowShareLock')
               and l.database = (select o.oid from pg_catalog.pg_database as o where o.datname = current_database())
               and a.backend_xid is not null)
     order by l.locktype = 'transactionid' desc, a.xact_start, l.pid
     limit 1);
end
$$;
comment on function switchyard.row_holder(regclass, xid) is
  'The other session that has changed or locked a row and not ended its transaction, by the table and the xmax of the row; where that does not tell, the one that has written or locked rows of the table longest; null for none.';

create function switchyard.tell_of_holder(p_what text, p_table regclass, p_row_xmax xid, p_waits boolean)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_pid integer := switchyard.row_holder(p_table, p_row_xmax);
  v_who text := case when v_pid is null then 'another session' else switchyard.session_in_words(v_pid) end;
  v_hint text := case
    when v_pid is null then 'See select pid, pg_blocking_pids(pid) from pg_stat_activity'
    else format('If it was forgotten: select pg_terminate_backend(%s)', v_pid) end;
begin
  if p_waits then
    raise notice 'Waiting for the end of a transaction that changes %, of %', p_what, v_who using hint = v_hint;
  else
    raise exception 'Cannot change %: it is held by %', p_what, v_who
      using errcode = 'lock_not_available', hint = v_hint;
  end if;
end
$$;
comment on function switchyard.tell_of_holder(text, regclass, xid, boolean) is
  'Tells who keeps a row from being changed: with a notice to who goes on waiting for it, else as the error lock_not_available.';

revoke all on function
  switchyard.session_in_words(integer),
  switchyard.row_holder(regclass, xid),
  switchyard.tell_of_holder(text, regclass, xid, boolean)
from public, anon, authenticated, service_role;
