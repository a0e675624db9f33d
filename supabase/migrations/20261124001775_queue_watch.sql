-- Adds what notices that the queue does not run, and lets the legacy jobs take over. Nothing calls it yet.

create function switchyard.report_resting_jobs()
returns text
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_resting text;
begin
  -- With either flag off they rest on purpose.
  select string_agg(p.problem, ', ' order by p.job_name)
    into v_resting
    from switchyard.cron_job_problems() as p
   where public.is_feature_enabled('use_queue_system')
     and public.is_feature_enabled('use_new_staleness_check');
  if v_resting is not null then
    perform switchyard.open_alert(
      'cron_job_rests', 'warning', null,
      format('Cron jobs do not run as they should though the queue is switched on: %s; run select switchyard.schedule_cron_jobs()', v_resting));
  else
    perform switchyard.resolve_alerts(
      array(select a.id from switchyard.alerts as a where a.rule = 'cron_job_rests' and a.resolved_at is null),
      'No cron job rests that should run');
  end if;
  return v_resting;
end
$$;
comment on function switchyard.report_resting_jobs() is
  'Keeps an alert open while a cron job of Switchyard is not as it should be though use_queue_system and use_new_staleness_check are on; returns what is wrong, null for nothing. For postgres.';

create function switchyard.watch_processor()
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_waiting integer;
  v_is_still boolean;
begin
  select count(*) into v_waiting
    from (
      select 1
        from switchyard.api_call_queue_v2_live as q
        join public.data_type_registry_v2 as r on r.data_type = q.data_type
       where q.status = 'pending'
         and greatest(q.run_after, q.created_at) < clock_timestamp() - interval '10 minutes'
         and not r.paused
         and switchyard.provider_refusal(r.provider) is null
       limit 1000) as due;
  v_is_still := switchyard.queue_runs()
    and v_waiting > 0
    and not exists (
      select 1 from switchyard.processor_runs as p where p.heartbeat_at > clock_timestamp() - interval '10 minutes');
  if v_is_still then
    perform switchyard.open_alert(
      'processor_stopped', 'critical', null,
      format('No processor has come for 10 min, and %s jobs are due (see select last_problem from switchyard.wakes, and cron.job_run_details): nothing of the queue is refreshed; use_queue_system off lets the legacy jobs run',
             case when v_waiting = 1000 then 'more than 999' else v_waiting::text end));
  else
    perform switchyard.resolve_alerts(
      array(select a.id from switchyard.alerts as a where a.rule = 'processor_stopped' and a.resolved_at is null),
      'A processor has come, or nothing is due');
  end if;
  return v_is_still;
end
$$;
comment on function switchyard.watch_processor() is
  'Keeps an alert open while jobs have been due for 10 minutes and no processor has shown itself for as long. Returns whether it is so.';

create function switchyard.last_failure(p_data_types text[])
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select left(f.error ->> 'message', 200)
      from (
        select q.errors -> -1 as error
          from switchyard.api_call_queue_v2_live as q
         where q.data_type = any (p_data_types) and q.errors <> '[]'
         limit 20000
      ) as f
     where (f.error ->> 'at')::timestamptz > clock_timestamp() - interval '1 hour' and f.error ->> 'message' <> ''
     order by (f.error ->> 'at')::timestamptz desc
     limit 1);
end
$$;
comment on function switchyard.last_failure(text[]) is
  'What the last error within an hour said, of jobs of these data types that are still in the queue; null for none.';

create function switchyard.watch_providers()
returns text[]
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_down text[];
  v_words text;
begin
  select array_agg(d.provider order by d.provider), string_agg(d.words, '; ' order by d.provider)
    into v_down, v_words
    from (
      select p.provider,
             format('%s answers no call of the queue since %s, and nothing refreshes %s%s',
                    p.provider, to_char(p.breaker_opened_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'),
                    (select string_agg(format('"%s"', t.data_type), ', ' order by t.data_type)
                       from unnest(served.data_types) as t (data_type)),
                    ' (the last failure: ' || switchyard.last_failure(served.data_types) || ')') as words
        from public.api_providers_v2 as p
       cross join lateral (
         select array_agg(r.data_type) as data_types
           from public.data_type_registry_v2 as r
          where r.provider = p.provider and r.stage in ('live', 'retired')) as served
       where p.breaker_state <> 'closed'
         and p.breaker_opened_at < clock_timestamp() - make_interval(mins => switchyard.setting_integer('gate_breach_minutes'))
         and switchyard.queue_runs()
         and served.data_types is not null
    ) as d;
  if v_down is not null then
    perform switchyard.open_alert(
      'provider_down', 'critical', null,
      v_words || '. The queue goes on by itself when a probe is answered; where the legacy jobs would fare better, run select * from rollback_migration_v2(<data type>)');
  else
    perform switchyard.resolve_alerts(
      array(select a.id from switchyard.alerts as a where a.rule = 'provider_down' and a.resolved_at is null),
      case when exists (select 1 from public.api_providers_v2 as p where p.breaker_state <> 'closed')
           then 'No data type in live or retired needs it now' else 'Calls are answered again' end);
  end if;
  return coalesce(v_down, '{}');
end
$$;
comment on function switchyard.watch_providers() is
  'Keeps a critical alert open while the breaker of a provider with data types in live or retired has not been closed for gate_breach_minutes. Returns these providers.';

create function switchyard.watch_queue()
returns integer
language plpgsql
volatile
set search_path = ''
set lock_timeout = '3s'
as $$
declare
  v_report jsonb := '[]'::jsonb;
  v_is_settled boolean := true;
begin
  if (select h.pid from switchyard.migration_holder() as h) is null then
    perform switchyard.resolve_alerts(
      array(select a.id from switchyard.alerts as a where a.rule = 'migration_locked' and a.resolved_at is null),
      'The transaction has ended');
  end if;
  -- Somebody has switched a cron job of Switchyard off by hand, or changed it: until the jobs are scheduled or a flag is
  -- switched on anew, legacy takes over. Or a job that is held was made to refresh another type as well.
  if (not switchyard.queue_runs()
      and exists (select 1 from switchyard.saved_cron_jobs as s where s.released_at is null and s.found_active)
      or exists (
        select 1
          from switchyard.legacy_jobs as l
          join public.data_type_registry_v2 as r on r.data_type = any (l.data_types)
         where l.save_id is not null and l.found_active and not l.active and r.stage not in ('live', 'retired')))
  then
    -- In a block that lets the lock go when it fails: what its caller does next may take long.
    begin
      v_is_settled := switchyard.try_lock_migration();
      if v_is_settled then
        v_report := switchyard.settle_legacy_jobs();
      end if;
    exception when others then
      v_is_settled := false;
      perform switchyard.record_event(
        'guard failed', jsonb_build_object('message', sqlerrm, 'sqlstate', sqlstate));
      perform switchyard.open_alert(
        'legacy_job', 'critical', null, format('The legacy jobs could not be brought back: %s', sqlerrm));
    end;
    if v_report <> '[]' and not switchyard.queue_runs() then
      perform switchyard.open_alert(
        'queue_rests', 'critical', null,
        format('The queue does not run: %s. The legacy jobs of all data types run again, until you run select switchyard.schedule_cron_jobs()',
               (select string_agg(p.problem, ', ' order by p.job_name)
                  from switchyard.cron_job_problems() as p where p.refreshes)));
      perform switchyard.write_migration_event(
        'flags', null, null, null, 'Cron jobs of Switchyard that refresh do not run',
        jsonb_build_object('automatic', true, 'legacy_jobs', v_report));
    end if;
  end if;
  if v_is_settled and not v_report @> '[{"action": "failed"}]' then
    -- Those that were opened here; of a single job there is another one.
    perform switchyard.resolve_alerts(
      array(
        select a.id
          from switchyard.alerts as a
         where a.rule = 'legacy_job' and a.message like 'The legacy jobs could not be brought back: %'
           and a.resolved_at is null),
      'They could be');
  end if;
  perform switchyard.resolve_alerts(
    array(
      select a.id
        from switchyard.alerts as a
       where a.rule = 'queue_rests'
         and a.resolved_at is null
         and (switchyard.queue_runs() or not public.is_feature_enabled('use_queue_system')
              or not public.is_feature_enabled('use_new_staleness_check'))
         and exists (
           select 1
             from switchyard.migration_events as e
            where e.kind = 'flags' and not e.automatic and e.occurred_at > a.opened_at)),
    'Somebody has switched the queue since');
  perform switchyard.resolve_alerts(
    array(
      select a.id
        from switchyard.alerts as a
        join public.data_type_registry_v2 as r on r.data_type = a.data_type
       where a.rule in ('registry', 'guard_failed') and a.resolved_at is null and r.stage = 'legacy'),
    'It is in legacy');
  perform switchyard.report_resting_jobs();
  perform switchyard.watch_coverage();
  perform switchyard.watch_processor();
  perform switchyard.watch_providers();
  return (select count(*) from jsonb_array_elements(v_report) as r (job) where r.job ->> 'action' <> 'failed');
end
$$;
comment on function switchyard.watch_queue() is
  'Lets the legacy jobs run while a cron job of Switchyard that refreshes does not, and keeps alerts open for that, for jobs that are not as they should be, and for what nothing refreshes. Returns how many legacy jobs were touched. Called by the guard and, because the guard''s job may be the one that rests, with each freshness sample and each clean-up of the history. For postgres.';

revoke all on function
  switchyard.report_resting_jobs(),
  switchyard.watch_processor(),
  switchyard.last_failure(text[]),
  switchyard.watch_providers(),
  switchyard.watch_queue()
from public, anon, authenticated, service_role;
