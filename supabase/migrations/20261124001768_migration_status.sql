-- Adds the view of where every data type stands. Changes nothing.

create view public.migration_status_v2
with (security_invoker = true)
as
  select r.data_type,
         r.stage,
         r.stage_entered_at,
         r.canary_percent,
         case
           when served.by_queue and legacy.active > 0 then 'both'
           when served.by_queue and refusal.words is not null then format('queue, but %s', refusal.words)
           when served.by_queue then 'queue'
           when legacy.active > 0 and r.stage = 'canary' and runs.queue then 'legacy jobs, and the queue for a share'
           when legacy.active > 0 then 'legacy jobs'
           else 'nobody'
         end as refreshed_by,
         legacy.jobs as legacy_jobs,
         legacy.active as legacy_jobs_active,
         switchyard.next_stage(r.stage) as next_stage,
         verdicts.broken as gates_broken,
         verdicts.checked_at as gates_checked_at,
         (select count(*)
            from switchyard.api_call_queue_v2_live as q
           where q.data_type = r.data_type and q.status = 'pending') as pending_jobs,
         (select count(*)
            from switchyard.alerts as a
           where a.data_type = r.data_type and a.resolved_at is null) as open_alerts
    from public.data_type_registry_v2 as r
   cross join (select switchyard.queue_runs() as queue offset 0) as runs
   cross join lateral (select runs.queue and r.stage in ('live', 'retired') as by_queue) as served
   cross join lateral (
     select coalesce(case when r.paused then 'the data type is paused' end,
                     (select format('the data type is on hold until %s: %s', h.hold_until, h.reason)
                        from switchyard.data_type_holds as h
                       where h.data_type = r.data_type and h.hold_until > clock_timestamp()),
                     switchyard.provider_refusal(p.provider),
                     case when p.breaker_state <> 'closed'
                          then format('the breaker is not closed since %s', p.breaker_opened_at) end) as words
       from public.api_providers_v2 as p
      where p.provider = r.provider) as refusal
   cross join lateral (
     select count(*) as jobs, count(*) filter (where l.active) as active
       from switchyard.legacy_jobs as l
      where r.data_type = any (l.data_types)) as legacy
   cross join lateral (
     select coalesce(array_agg(last.gate order by last.gate) filter (where not last.holds), '{}'::text[]) as broken,
            max(last.checked_at) as checked_at
       from (
         select distinct on (v.gate) v.gate, v.holds, v.checked_at
           from switchyard.gate_verdicts as v
          where v.data_type = r.data_type and v.to_stage = switchyard.next_stage(r.stage)
            and v.checked_at >= r.stage_entered_at
          order by v.gate, v.id desc
       ) as last) as verdicts
   order by r.data_type;
comment on view public.migration_status_v2 is
  'Where each data type stands, who refreshes it now (the queue "but" what keeps it from calling the provider), its legacy jobs, and the gates before its next stage that did not hold when last looked at (migration_gates_v2 looks now). For postgres.';

revoke all on table public.migration_status_v2
  from public, anon, authenticated, service_role;
