-- Adds what finds data types that nothing refreshes. Nothing calls it yet.

create function switchyard.uncovered_types()
returns setof text
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
    select r.data_type
      from public.data_type_registry_v2 as r
     where (r.edge_function_name is not null or r.legacy_cron_jobs <> '{}' or r.legacy_functions <> '{}'
            or r.stage in ('live', 'retired'))
       and r.data_type <> all (array(
         select d.data_type from switchyard.legacy_jobs as l cross join unnest(l.data_types) as d (data_type) where l.active))
       and not switchyard.is_served_by_queue(r.data_type)
     order by r.data_type;
end
$$;
comment on function switchyard.uncovered_types() is
  'Data types that neither the queue nor an active legacy job refreshes, because somebody has paused or removed that job; of types that never had one those in live and retired.';

create function switchyard.report_uncovered_types(p_data_types text[])
returns text[]
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_data_type text;
  v_uncovered text[] := '{}'::text[];
begin
  -- A loop over the few for which there is something to say.
  for v_data_type in
    select u.data_type from switchyard.uncovered_types() as u (data_type) where u.data_type = any (p_data_types)
  loop
    v_uncovered := v_uncovered || v_data_type;
    perform switchyard.open_alert(
      'uncovered', 'critical', v_data_type,
      format('Nothing refreshes "%s": none of its legacy jobs is active', v_data_type));
    raise warning 'Nothing refreshes "%": none of its legacy jobs is active', v_data_type
      using hint = 'See select * from switchyard.legacy_jobs and select * from switchyard.saved_cron_jobs';
  end loop;
  return v_uncovered;
end
$$;
comment on function switchyard.report_uncovered_types(text[]) is
  'Opens a critical alert for each of these data types that nothing refreshes after a move. Returns them.';

create function switchyard.watch_coverage()
returns text[]
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_uncovered text[] := array(select u.data_type from switchyard.uncovered_types() as u (data_type));
begin
  perform switchyard.resolve_alerts(
    array(
      select a.id
        from switchyard.alerts as a
       where a.rule = 'uncovered' and a.resolved_at is null and a.data_type <> all (v_uncovered)),
    'It is refreshed again');
  -- Before live only a warning: somebody has paused the jobs, and may want the queue to take over. What is
  -- in legacy is none of ours.
  perform switchyard.open_alert(
            'uncovered', case when r.stage in ('live', 'retired') then 'critical' else 'warning' end, r.data_type,
            format('Nothing refreshes "%s" in stage %s: none of its legacy jobs is active', r.data_type, r.stage))
     from public.data_type_registry_v2 as r
    where r.data_type = any (v_uncovered) and r.stage <> 'legacy'
      and not exists (
        select 1
          from switchyard.alerts as a
         where a.rule = 'uncovered' and a.data_type = r.data_type and a.resolved_at is null
           and (a.severity = 'critical' or r.stage not in ('live', 'retired')));
  return v_uncovered;
end
$$;
comment on function switchyard.watch_coverage() is
  'Opens an alert for each data type on its way that nothing refreshes, critical in live and retired, and resolves the alerts of those that are refreshed again. Returns the data types that nothing refreshes.';

revoke all on function
  switchyard.uncovered_types(),
  switchyard.report_uncovered_types(text[]),
  switchyard.watch_coverage()
from public, anon, authenticated, service_role;
