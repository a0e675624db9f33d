-- Adds what deletes old rows and gives space back. Nothing calls it yet.

create function public.prune_queue_history_v2()
returns table (what text, removed bigint)
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_completed_before timestamptz := date_trunc('day', clock_timestamp(), 'UTC')
    - make_interval(days => switchyard.setting_integer('completed_retention_days'));
  v_failed_before timestamptz := date_trunc('day', clock_timestamp(), 'UTC')
    - make_interval(days => switchyard.setting_integer('failed_retention_days'));
  v_hour_ago timestamptz := clock_timestamp() - interval '1 hour';
  v_before timestamptz;
  v_statement text;
begin
  -- Legacy jobs that run again are committed at once; an hour more harms no history.
  if switchyard.watch_queue() > 0 then
    return;
  end if;
  -- A loop over a few deletes. Partitions in which all is past its retention are dropped whole; here
  -- go the jobs of the state that is kept for less long, and what the default partition has caught.
  for what, v_statement, v_before in
    values
      ('completed jobs',
       'delete from public.api_call_queue_v2 as q where q.status = ''completed'' and q.finished_at < $1',
       v_completed_before),
      ('failed jobs',
       'delete from public.api_call_queue_v2 as q where q.status = ''failed'' and q.finished_at < $1',
       v_failed_before),
      ('usage', 'delete from public.api_data_usage_v2 as u where u.hour < $1',
       clock_timestamp() - make_interval(days => switchyard.setting_integer('usage_retention_days'))),
      ('events', 'delete from switchyard.queue_events as e where e.occurred_at < $1',
       clock_timestamp() - make_interval(days => switchyard.setting_integer('event_retention_days'))),
      ('processor runs', 'delete from switchyard.processor_runs as r where r.started_at < $1',
       clock_timestamp() - make_interval(days => switchyard.setting_integer('event_retention_days'))),
      ('call grants',
       'delete from switchyard.call_grants as g where g.bucket < $1 and g.in_flight_until < $1', v_hour_ago),
      ('failed attempts', 'delete from switchyard.failed_attempts as f where f.bucket < $1', v_hour_ago),
      ('job outcomes', 'delete from switchyard.job_outcomes as o where o.finished_at < $1',
       clock_timestamp() - make_interval(days => switchyard.setting_integer('outcome_retention_days'))),
      ('gate verdicts', 'delete from switchyard.gate_verdicts as v where v.checked_at < $1',
       clock_timestamp() - make_interval(days => switchyard.setting_integer('verdict_retention_days'))),
      ('refused moves',
       'delete from switchyard.migration_events as e
         where e.kind = ''refusal'' and e.occurred_at < $1
           and not exists (select 1 from switchyard.gate_verdicts as v where v.migration_event_id = e.id)',
       clock_timestamp() - make_interval(days => switchyard.setting_integer('verdict_retention_days'))),
      ('resolved alerts', 'delete from switchyard.alerts as a where a.resolved_at < $1',
       clock_timestamp() - make_interval(days => switchyard.setting_integer('verdict_retention_days'))),
      ('caller checks', 'delete from switchyard.caller_checks as c where c.minute < $1', v_hour_ago),
      -- pg_cron never prunes its history; ours is ours to prune.
      ('cron run details',
       'delete from cron.job_run_details as d
         using cron.job as c, switchyard.cron_jobs as own
         where c.jobid = d.jobid and own.job_name = c.jobname and c.username = current_user
           and coalesce(d.end_time, d.start_time) < $1',
       clock_timestamp() - make_interval(days => switchyard.setting_integer('run_details_retention_days'))),
      ('freshness samples', 'delete from switchyard.freshness_samples as f where f.sampled_at < $1',
       clock_timestamp() - make_interval(days => switchyard.setting_integer('freshness_retention_days')))
  loop
    execute v_statement using v_before;
    get diagnostics removed = row_count;
    return next;
  end loop;
  what := 'shadow results';
  removed := switchyard.prune_shadow();
  return next;
end
$$;
comment on function public.prune_queue_history_v2() is
  'Deletes what is past its retention (switchyard.settings): jobs by state, usage, events, processor runs, the ledger, outcomes of jobs, verdicts of gates, refused moves, resolved alerts, the run details of Switchyard''s own cron jobs, freshness samples and shadow results. Looks after the queue too (switchyard.watch_queue). Returns rows removed of each kind. Safe to call at any time. For postgres.';

create function public.compact_queue_v2()
returns boolean
language plpgsql
volatile
set search_path = ''
set lock_timeout = '200ms'
as $$
declare
  v_most_jobs constant integer := 20000;
  v_bytes bigint := pg_catalog.pg_total_relation_size('switchyard.api_call_queue_v2_live');
  v_jobs switchyard.api_call_queue_v2_live[];
  v_count bigint;
  v_needed bigint;
begin
  -- Jobs committed since an older snapshot would be truncated without having been read.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'Cannot compact the queue: the transaction is %, wanted read committed',
      current_setting('transaction_isolation')
      using errcode = 'SY018',
            hint = 'Call it in a transaction of its own: begin isolation level read committed';
  end if;
  -- Below that it is not worth a lock.
  if v_bytes < 16 * 1024 * 1024 then
    return false;
  end if;
  -- Pages are two fifths full, and index entries of a job take about 200 bytes.
  select count(*), 2.5 * sum(pg_column_size(q)) + 200 * count(*) into v_count, v_needed
    from (select l from switchyard.api_call_queue_v2_live as l limit v_most_jobs + 1) as q;
  if v_count > v_most_jobs or v_bytes < 2 * v_needed then
    return false;
  end if;
  begin
    lock table switchyard.api_call_queue_v2_live in access exclusive mode;
  exception when lock_not_available then
    perform switchyard.record_event('compacted later: lock not available');
    return false;
  end;
  select array_agg(q order by q.id) into v_jobs from switchyard.api_call_queue_v2_live as q;
  if cardinality(v_jobs) > v_most_jobs then
    return false;
  end if;
  truncate switchyard.api_call_queue_v2_live;
  perform set_config('switchyard.provider_is_known', 'yes', true);
  insert into switchyard.api_call_queue_v2_live select j.* from unnest(v_jobs) as j;
  perform set_config('switchyard.provider_is_known', '', true);
  perform switchyard.record_event(
    'compacted', jsonb_build_object('bytes_before', v_bytes), coalesce(cardinality(v_jobs), 0));
  return true;
end
$$;
comment on function public.compact_queue_v2() is
  'Gives back the space of finished jobs, which vacuum frees late, and not at all while an old snapshot is open: writes the live jobs anew, leases included, when they are few (at most 20000) and their partition is large (16 MB, and twice what they need). Takes an exclusive lock for a fraction of a second; waits 200 ms at most for it. Called by cron each minute. Returns whether it did. Raises SY018 in a transaction of another isolation level than read committed. For postgres.';

revoke all on function
  public.prune_queue_history_v2(),
  public.compact_queue_v2()
from public, anon, authenticated, service_role;
