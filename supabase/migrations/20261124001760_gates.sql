-- Adds the gates between stages, and the view of where every data type stands. Nothing moves.

insert into switchyard.settings (name, value, lowest, highest, description) values
  ('gate_soak_hours', '24', 0, 8760, 'A data type stays in a stage for so long before it moves on; the error rate looks back no further, and no further than outcome_retention_days'),
  ('gate_least_sample', '100', 1, 1000000, 'Comparisons wanted before canary, and finished canary jobs before live'),
  ('gate_least_sample_global', '5', 1, 1000000, 'The same for data types without symbols'),
  ('gate_match_rate', '0.995', 0, 1, 'Share of the comparisons in shadow that must match'),
  ('gate_error_rate', '0.02', 0, 1, 'Share of the finished jobs that may fail, and of the symbols that may be very stale before a data type is rolled back'),
  ('gate_most_age_ttls', '2', 1, 1000, 'No symbol may be older than so many TTLs'),
  ('gate_baseline_slack', '1.25', 1, 1000, 'The age that 95 % of the symbols keep may be so many times that of the baseline'),
  ('gate_most_pending', '1000', 0, 10000000, 'Due jobs of the data type that may be pending'),
  ('gate_quota_headroom', '0.1', 0, 1, 'Share of the byte quota that must be left'),
  ('gate_auto_rollback', '1', 0, 1, '1: a breach in canary or live rolls the data type back by itself; 0: it only opens an alert'),
  ('gate_breach_minutes', '5', 1, 1440, 'A breach lasts for so long before anything is rolled back'),
  ('gate_breach_least_failures', '5', 1, 1000000, 'Fewer failed jobs than this are never a breach'),
  ('outcome_retention_days', '3', 1, 365, 'How many jobs were completed and failed is kept per settle for this many days'),
  ('verdict_retention_days', '90', 1, 3650, 'Verdicts of gates and resolved alerts are kept for this many days');

create table switchyard.gate_verdicts (
  id bigint generated always as identity primary key,
  checked_at timestamptz not null default clock_timestamp(),
  data_type text not null,
  to_stage text not null,
  gate text not null,
  holds boolean not null,
  found text not null,
  wanted text not null,
  numbers jsonb not null default '{}',
  migration_event_id bigint references switchyard.migration_events (id)
);
comment on table switchyard.gate_verdicts is
  'Verdicts of gates with the numbers that they saw: of every move, of migration_gates_v2 (at most one a minute unless it changes), and by guard_migrations_v2 whenever one changes.';
comment on column switchyard.gate_verdicts.migration_event_id is
  'The move that the verdict was asked for; null when it was only looked at.';

create index gate_verdicts_data_type_idx on switchyard.gate_verdicts (data_type, to_stage, gate, id);
create index gate_verdicts_migration_event_id_idx on switchyard.gate_verdicts (migration_event_id);

create function switchyard.in_words(p_seconds numeric)
returns text
language sql
immutable
set search_path = ''
as $$
  select case
    when p_seconds < 120 then round(p_seconds) || ' s'
    when p_seconds < 7200 then floor(p_seconds / 60) || ' min'
    when p_seconds < 172800 then concat_ws(' ',
      floor(p_seconds / 3600) || ' h', nullif(floor(mod(p_seconds, 3600) / 60), 0) || ' min')
    else concat_ws(' ', floor(p_seconds / 86400) || ' d', nullif(floor(mod(p_seconds, 86400) / 3600), 0) || ' h')
  end
$$;
comment on function switchyard.in_words(numeric) is
  'A number of seconds as people say it: 45 s, 90 min, 3 h 10 min, 2 d 4 h.';

create function switchyard.percent(p_share numeric)
returns text
language sql
immutable
set search_path = ''
as $$
  select round(p_share * 100, 1) || ' %'
$$;
comment on function switchyard.percent(numeric) is 'A share as people say it: 98.2 %.';

create function switchyard.gate_setting(p_type public.data_type_registry_v2, p_key text)
returns numeric
language plpgsql
stable
set search_path = ''
as $$
declare
  v_value jsonb := p_type.gate_settings -> p_key;
begin
  return case
    when v_value is null then (switchyard.setting('gate_' || p_key) #>> '{}')::numeric
    when jsonb_typeof(v_value) = 'boolean' then (v_value = 'true')::integer
    else (v_value #>> '{}')::numeric
  end;
end
$$;
comment on function switchyard.gate_setting(public.data_type_registry_v2, text) is
  'A number that gates go by: of the data type (gate_settings), else the setting gate_<key>.';

create function switchyard.recent_outcomes(
  p_data_type text,
  p_since timestamptz,
  out finished integer,
  out failed integer,
  out last_failed_at timestamptz
)
language plpgsql
stable
set search_path = ''
as $$
begin
  select coalesce(sum(o.completed + o.failed), 0), coalesce(sum(o.failed), 0),
         max(o.finished_at) filter (where o.failed > 0)
    into finished, failed, last_failed_at
    from switchyard.job_outcomes as o
   where o.data_type = p_data_type and o.finished_at > p_since;
end
$$;
comment on function switchyard.recent_outcomes(text, timestamptz) is
  'How many jobs of a data type finished since a time, and how many of them failed; manual and cancelled ones aside.';

create function switchyard.gate_registry(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language sql
stable
set search_path = ''
as $$
  select ('registry', count(*) = 0,
          case when count(*) = 0 then 'no problem' else string_agg(p.problem, '; ' order by p.problem) end,
          'no problem', 'See select * from registry_problems_v2',
          jsonb_build_object('problems', count(*)))::switchyard.gate_result
    from public.registry_problems_v2 as p
   where p.data_type = p_type.data_type
$$;
comment on function switchyard.gate_registry(public.data_type_registry_v2) is
  'Gate: the registry row has no problem. Cannot be forced.';

create function switchyard.gate_flags(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_queue boolean := public.is_feature_enabled('use_queue_system');
  v_staleness boolean := public.is_feature_enabled('use_new_staleness_check');
  v_refusal text := case when p_type.paused then 'the data type is paused'
                         else switchyard.provider_refusal(p_type.provider) end;
  v_resting text;
begin
  select string_agg(format('cron job "%s" is not active', own.job_name), ', ' order by own.job_name)
    into v_resting
    from switchyard.cron_jobs as own
   where own.refreshes
     and not exists (select 1 from cron.job as j where j.jobname::text = own.job_name and j.active);
  return (
    'flags', v_queue and v_staleness and v_resting is null and v_refusal is null,
    concat_ws(', ',
      case when v_queue then 'use_queue_system on' else 'use_queue_system off' end,
      case when v_staleness then 'use_new_staleness_check on' else 'use_new_staleness_check off' end,
      case when v_queue and v_staleness then v_resting end, v_refusal),
    'both on, the v2 cron jobs active, claims open',
    case when v_queue and v_staleness and v_resting is null
         then format('See select * from api_providers_v2 where provider = %L', p_type.provider)
         else 'Run update feature_flags set enabled = true where flag_name in (''use_queue_system'', ''use_new_staleness_check'')' end,
    jsonb_build_object('use_queue_system', v_queue, 'use_new_staleness_check', v_staleness))::switchyard.gate_result;
end
$$;
comment on function switchyard.gate_flags(public.data_type_registry_v2) is
  'Gate: the queue runs, and neither the data type nor its provider is held back, so that it can refresh what the legacy jobs leave to it.';

create function switchyard.gate_stage(p_type public.data_type_registry_v2, p_to_stage text)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_wanted text := (array['legacy', 'shadow', 'canary', 'live'])[switchyard.stage_rank(p_to_stage) - 1];
begin
  return (
    'stage', p_type.stage = v_wanted, p_type.stage, v_wanted,
    format('Run select * from advance_migration_v2(%L) first: each stage is proof for the next', p_type.data_type),
    '{}')::switchyard.gate_result;
end
$$;
comment on function switchyard.gate_stage(public.data_type_registry_v2, text) is
  'Gate: no stage is left out.';

create function switchyard.gate_legacy_jobs(p_type public.data_type_registry_v2, p_to_stage text)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_owner text := switchyard.owner();
  v_names_any boolean := p_type.edge_function_name is not null or p_type.legacy_cron_jobs <> '{}'
                         or p_type.legacy_functions <> '{}';
  v_jobs integer;
  v_active integer;
  v_foreign integer;
  v_mixed integer;
  v_found text;
  v_hint text;
begin
  -- Only jobs that still run can be in the way.
  select count(*), count(*) filter (where l.active),
         count(*) filter (where l.active and l.username <> v_owner),
         count(*) filter (where l.active and l.other_work <> '{}'),
         string_agg(concat_ws(' ',
           coalesce('"' || l.job_name || '"', format('job %s', l.job_id)),
           case when l.username <> v_owner then format('(of role %s)', l.username) end,
           case when l.other_work <> '{}'
                then format('(calls %s as well)', array_to_string(l.other_work, ', ')) end,
           case when not l.active and l.save_id is null then '(paused by somebody)' end,
           case when cardinality(l.data_types) > 1
                then format('(shared with %s)',
                            array_to_string(array_remove(l.data_types, p_type.data_type), ', ')) end), ', '
           order by l.job_id)
    into v_jobs, v_active, v_foreign, v_mixed, v_found
    from switchyard.legacy_jobs as l
   where p_type.data_type = any (l.data_types);

  select case
           when l.username <> v_owner then format(
             'As %s run select cron.schedule(%L, %L, (select command from cron.job where jobid = %s)), then as %s select cron.unschedule(%s): only a job''s owner can pause it',
             v_owner, coalesce(l.job_name, 'legacy-' || p_type.data_type), l.schedule, l.job_id, l.username, l.job_id)
           else format(
             'Split job %s, or list %s in legacy_functions if it belongs to %s',
             l.job_id, array_to_string(l.other_work, ', '), p_type.data_type)
         end
    into v_hint
    from switchyard.legacy_jobs as l
   where p_type.data_type = any (l.data_types)
     and l.active
     and (l.username <> v_owner or l.other_work <> '{}')
   order by l.job_id
   limit 1;

  return (
    'legacy_jobs',
    (v_jobs > 0 or not v_names_any) and (p_to_stage = 'shadow' or v_foreign + v_mixed = 0),
    coalesce(v_found, case when v_names_any then 'none of those that the registry names' else 'none named, none found' end),
    case when p_to_stage = 'shadow' then 'the jobs that the registry names are there'
         else format('each belongs to %s, and does nothing else', v_owner) end,
    coalesce(v_hint, 'Name them in legacy_cron_jobs or legacy_functions, or leave both and edge_function_name empty when there are none'),
    jsonb_build_object('jobs', v_jobs, 'active', v_active, 'of_other_roles', v_foreign, 'with_other_work', v_mixed)
  )::switchyard.gate_result;
end
$$;
comment on function switchyard.gate_legacy_jobs(public.data_type_registry_v2, text) is
  'Gate: the legacy jobs are known, and for live each of them can be paused.';

create function switchyard.gate_soak_time(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  -- A clock that was set back must not make it negative.
  v_seconds numeric := greatest(0, extract(epoch from clock_timestamp() - p_type.stage_entered_at));
  v_wanted numeric := 3600 * switchyard.gate_setting(p_type, 'soak_hours');
begin
  return (
    'soak_time', v_seconds >= v_wanted, switchyard.in_words(v_seconds), switchyard.in_words(v_wanted),
    'Wait, or change soak_hours in gate_settings',
    jsonb_build_object('seconds', round(v_seconds), 'wanted_seconds', v_wanted))::switchyard.gate_result;
end
$$;
comment on function switchyard.gate_soak_time(public.data_type_registry_v2) is
  'Gate: the data type has been in its stage for soak_hours.';

create function switchyard.canary_symbols(p_type public.data_type_registry_v2, p_most integer)
returns integer
language plpgsql
stable
set search_path = ''
as $$
declare
  v_count integer;
begin
  execute format(
    'select count(*)
       from (select 1 from (%s) as k (symbol)
              where switchyard.destination(''canary'', $1, $2, k.symbol, ''scheduled'') = ''table''
              limit $3) as s',
    switchyard.scheduled_symbols_sql(p_type))
    into v_count
    using p_type.canary_percent, p_type.data_type, p_most;
  return v_count;
end
$$;
comment on function switchyard.canary_symbols(public.data_type_registry_v2, integer) is
  'How many symbols are in the canary share of a data type; counts no further than p_most.';

create function switchyard.nothing_to_compare(p_gate text)
returns switchyard.gate_result
language sql
immutable
set search_path = ''
as $$
  select (
    p_gate, true, 'nothing to compare: its Edge Function writes the rows itself', 'nothing',
    'Watch the canary more closely', '{}'::jsonb)::switchyard.gate_result
$$;
comment on function switchyard.nothing_to_compare(text) is
  'Verdict of the gates about shadow for a data type with the fetcher edge-function: the function that refreshes it is that of the legacy job.';

create function switchyard.gate_sample(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_wanted integer := switchyard.gate_setting(p_type,
    case when p_type.symbol_column is null and not p_type.gate_settings ? 'least_sample'
         then 'least_sample_global' else 'least_sample' end);
  v_found integer;
begin
  if p_type.stage = 'shadow' and p_type.fetcher = 'edge-function' then
    return switchyard.nothing_to_compare('sample');
  end if;
  if p_type.stage = 'shadow' then
    select t.matches + t.mismatches into v_found
      from switchyard.shadow_tally(p_type.data_type, p_type.stage_entered_at) as t;
    return (
      'sample', coalesce(v_found, 0) >= v_wanted, format('%s comparisons', coalesce(v_found, 0)),
      format('%s comparisons', v_wanted),
      'Wait for more, raise shadow_jobs_per_minute, or change least_sample in gate_settings',
      jsonb_build_object('comparisons', coalesce(v_found, 0), 'wanted', v_wanted))::switchyard.gate_result;
  end if;

  -- Each symbol of a small share is fetched once in its TTL: one job of each will do.
  v_wanted := least(v_wanted, greatest(switchyard.canary_symbols(p_type, v_wanted),
                                       switchyard.gate_setting(p_type, 'least_sample_global')));
  select least(o.finished - o.failed, v_wanted) into v_found
    from switchyard.recent_outcomes(p_type.data_type, p_type.stage_entered_at) as o;
  return (
    'sample', v_found >= v_wanted, format('%s completed jobs', v_found), format('%s completed jobs', v_wanted),
    format('Wait for more, or raise canary_percent (%s %% now)', p_type.canary_percent),
    jsonb_build_object('jobs', v_found, 'wanted', v_wanted, 'canary_percent', p_type.canary_percent)
  )::switchyard.gate_result;
end
$$;
comment on function switchyard.gate_sample(public.data_type_registry_v2) is
  'Gate: enough was seen to judge by: comparisons in shadow; later completed jobs, one for each symbol of the share if that is fewer than least_sample.';

create function switchyard.gate_match_rate(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_wanted numeric := switchyard.gate_setting(p_type, 'match_rate');
  v_matches bigint;
  v_mismatches bigint;
  v_rate numeric;
begin
  if p_type.fetcher = 'edge-function' then
    return switchyard.nothing_to_compare('match_rate');
  end if;
  select t.matches, t.mismatches into v_matches, v_mismatches
    from switchyard.shadow_tally(p_type.data_type, p_type.stage_entered_at) as t;
  v_rate := v_matches::numeric / nullif(v_matches + v_mismatches, 0);
  return (
    'match_rate', coalesce(v_rate >= v_wanted, false),
    coalesce(switchyard.percent(v_rate) || format(' (%s of %s)', v_matches, v_matches + v_mismatches),
             'no comparison'),
    switchyard.percent(v_wanted),
    format('See select * from shadow_report_v2(%L)', p_type.data_type),
    jsonb_build_object('matches', v_matches, 'mismatches', v_mismatches, 'wanted', v_wanted))::switchyard.gate_result;
end
$$;
comment on function switchyard.gate_match_rate(public.data_type_registry_v2) is
  'Gate: what the queue fetched in shadow agrees with what the legacy jobs wrote.';

create function switchyard.gate_error_rate(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_most numeric := switchyard.gate_setting(p_type, 'error_rate');
  v_outcomes record;
  v_rate numeric;
begin
  select o.* into v_outcomes
    from switchyard.recent_outcomes(
      p_type.data_type,
      greatest(p_type.stage_entered_at, clock_timestamp() - make_interval(hours => greatest(
        1, switchyard.gate_setting(p_type, 'soak_hours')::integer)))) as o;
  v_rate := v_outcomes.failed::numeric / nullif(v_outcomes.finished, 0);
  return (
    'error_rate', coalesce(v_rate <= v_most, true),
    coalesce(switchyard.percent(v_rate) || format(' (%s of %s jobs)', v_outcomes.failed, v_outcomes.finished),
             'no finished job'),
    format('at most %s', switchyard.percent(v_most)),
    format('See select symbol, last_error from api_call_queue_v2 where data_type = %L and status = ''failed''',
           p_type.data_type),
    jsonb_build_object('failed', v_outcomes.failed, 'finished', v_outcomes.finished, 'most', v_most)
  )::switchyard.gate_result;
end
$$;
comment on function switchyard.gate_error_rate(public.data_type_registry_v2) is
  'Gate: of the jobs that finished in this stage, in the last soak_hours at most, few failed.';

create function switchyard.gate_freshness(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_most_age numeric := 60 * p_type.default_ttl_minutes * switchyard.gate_setting(p_type, 'most_age_ttls');
  v_since timestamptz := greatest(p_type.stage_entered_at, clock_timestamp() - interval '5 minutes');
  v_sample switchyard.freshness_samples;
  v_baseline_p95 numeric;
  v_most_p95 numeric;
begin
  select s.* into v_sample
    from switchyard.freshness_samples as s
   where s.data_type = p_type.data_type
     and s.sampled_at > v_since
   order by s.sampled_at desc
   limit 1;
  select b.p95_age_seconds into v_baseline_p95
    from switchyard.baseline_freshness(p_type.data_type) as b;
  -- A type that was always fresher than its TTL may use the TTL.
  v_most_p95 := greatest(v_baseline_p95 * switchyard.gate_setting(p_type, 'baseline_slack'),
                         60 * p_type.default_ttl_minutes);
  return (
    'freshness',
    coalesce(coalesce(v_sample.max_age_seconds, 0) <= v_most_age
             and (v_baseline_p95 is null or coalesce(v_sample.p95_age_seconds, 0) <= v_most_p95)
             and v_sample.sampled_at is not null, false),
    case
      when v_sample.sampled_at is null then 'no sample in the last 5 minutes'
      when v_sample.max_age_seconds is null then 'no row that counts'
      else concat_ws(', ',
        format('oldest %s', switchyard.in_words(v_sample.max_age_seconds::numeric)),
        format('95 %% within %s', switchyard.in_words(v_sample.p95_age_seconds::numeric)))
    end,
    concat_ws(', ',
      format('oldest at most %s', switchyard.in_words(v_most_age)),
      case when v_baseline_p95 is null then 'no baseline was recorded'
           else '95 % within ' || switchyard.in_words(v_most_p95) end),
    case when v_sample.sampled_at is null then 'See select * from cron.job where jobname = ''sample-freshness-v2'''
         else format('See select * from switchyard.freshness_samples where data_type = %L order by sampled_at desc',
                     p_type.data_type) end,
    jsonb_build_object(
      'max_age_seconds', v_sample.max_age_seconds, 'p95_age_seconds', v_sample.p95_age_seconds,
      'stale_rows', v_sample.stale_rows, 'very_stale_rows', v_sample.very_stale_rows,
      'most_age_seconds', v_most_age, 'most_p95_age_seconds', v_most_p95,
      'baseline_p95_age_seconds', v_baseline_p95))::switchyard.gate_result;
end
$$;
comment on function switchyard.gate_freshness(public.data_type_registry_v2) is
  'Gate: in the latest sample no symbol is older than most_age_ttls TTLs, and 95 % are no older than in the baseline, with slack, or than the TTL.';

create function switchyard.gate_queue_depth(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_most integer := switchyard.gate_setting(p_type, 'most_pending');
  v_pending integer;
begin
  select count(*) into v_pending
    from (
      select 1
        from switchyard.api_call_queue_v2_live as q
       where q.data_type = p_type.data_type and q.status = 'pending' and q.run_after <= clock_timestamp()
       limit v_most + 1
    ) as due;
  return (
    'queue_depth', v_pending <= v_most,
    format('%s due jobs', case when v_pending > v_most then 'more than ' || v_most else v_pending::text end),
    format('at most %s due jobs', v_most),
    'Wait until the queue is shorter, or see why it is not: select * from switchyard.queue_events order by id desc',
    jsonb_build_object('due', v_pending, 'most', v_most))::switchyard.gate_result;
end
$$;
comment on function switchyard.gate_queue_depth(public.data_type_registry_v2) is
  'Gate: the queue keeps up with this data type.';

create function switchyard.gate_quota(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_most numeric := 1 - switchyard.gate_setting(p_type, 'quota_headroom');
  v_usage record;
begin
  select u.* into v_usage from public.get_quota_usage_v2(p_type.provider) as u;
  return (
    'quota', coalesce(v_usage.bytes_used <= v_most * v_usage.bytes_allowed, false),
    coalesce(switchyard.percent(v_usage.bytes_used::numeric / nullif(v_usage.bytes_allowed, 0))
               || ' of the bytes of 30 days used',
             format('the quota of "%s" is unknown', p_type.provider)),
    format('at most %s', switchyard.percent(v_most)),
    format('See select * from get_quota_usage_v2(%L)', p_type.provider),
    jsonb_build_object('bytes_used', v_usage.bytes_used, 'bytes_allowed', v_usage.bytes_allowed, 'most', v_most)
  )::switchyard.gate_result;
end
$$;
comment on function switchyard.gate_quota(public.data_type_registry_v2) is
  'Gate: the provider''s byte quota has room left.';

create function switchyard.gate_alerts(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language sql
stable
set search_path = ''
as $$
  select ('alerts', count(*) = 0,
          case when count(*) = 0 then 'no open critical alert'
               else string_agg(format('%s: %s', a.id, a.message), '; ' order by a.id) end,
          'no open critical alert', 'Run select resolve_alert_v2(<id>, ''what was done'')',
          jsonb_build_object('open', count(*)))::switchyard.gate_result
    from switchyard.alerts as a
   where a.severity = 'critical'
     and a.resolved_at is null
     and (a.data_type is null or a.data_type = p_type.data_type)
$$;
comment on function switchyard.gate_alerts(public.data_type_registry_v2) is
  'Gate: no critical alert of the data type, or of the whole system, is open.';

create function switchyard.gates_for(p_to_stage text)
returns text[]
language sql
immutable
set search_path = ''
as $$
  select case p_to_stage
    when 'shadow' then array['registry', 'legacy_jobs']
    when 'canary' then array['registry', 'flags', 'stage', 'soak_time', 'sample', 'match_rate',
                             'error_rate', 'queue_depth', 'quota', 'alerts']
    when 'live' then array['registry', 'flags', 'stage', 'legacy_jobs', 'soak_time', 'sample',
                           'error_rate', 'freshness', 'queue_depth', 'quota', 'alerts']
    when 'retired' then array['registry', 'stage', 'legacy_jobs', 'soak_time', 'error_rate',
                              'freshness', 'queue_depth', 'alerts']
    else '{}'::text[]
  end
$$;
comment on function switchyard.gates_for(text) is
  'Gates that stand before a stage, in the order in which they are told.';

create function switchyard.check_gates(p_data_type text, p_to_stage text)
returns setof switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_type public.data_type_registry_v2;
  v_gate text;
begin
  select r.* into strict v_type
    from public.data_type_registry_v2 as r
   where r.data_type = p_data_type;
  -- A loop over names, because each gate is a function of its own.
  foreach v_gate in array switchyard.gates_for(p_to_stage) loop
    return next case v_gate
      when 'registry' then switchyard.gate_registry(v_type)
      when 'flags' then switchyard.gate_flags(v_type)
      when 'stage' then switchyard.gate_stage(v_type, p_to_stage)
      when 'legacy_jobs' then switchyard.gate_legacy_jobs(v_type, p_to_stage)
      when 'soak_time' then switchyard.gate_soak_time(v_type)
      when 'sample' then switchyard.gate_sample(v_type)
      when 'match_rate' then switchyard.gate_match_rate(v_type)
      when 'error_rate' then switchyard.gate_error_rate(v_type)
      when 'freshness' then switchyard.gate_freshness(v_type)
      when 'queue_depth' then switchyard.gate_queue_depth(v_type)
      when 'quota' then switchyard.gate_quota(v_type)
      when 'alerts' then switchyard.gate_alerts(v_type)
    end;
  end loop;
end
$$;
comment on function switchyard.check_gates(text, text) is
  'The verdicts of all gates before a stage, now.';

create function switchyard.store_verdicts(
  p_data_type text,
  p_to_stage text,
  p_gates switchyard.gate_result[],
  p_migration_event_id bigint default null,
  p_only_changed boolean default false
)
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_stored integer;
begin
  insert into switchyard.gate_verdicts (
    data_type, to_stage, gate, holds, found, wanted, numbers, migration_event_id)
  select p_data_type, p_to_stage, g.gate, g.holds, g.found, g.wanted, g.numbers, p_migration_event_id
    from unnest(p_gates) as g
   where p_migration_event_id is not null
      -- Who asks again and again does not fill the table.
      or not exists (
        select 1
          from (
            select v.holds, v.checked_at
              from switchyard.gate_verdicts as v
             where v.data_type = p_data_type and v.to_stage = p_to_stage and v.gate = g.gate
             order by v.id desc
             limit 1
          ) as last
         where last.holds = g.holds
           and (p_only_changed or last.checked_at > clock_timestamp() - interval '1 minute'));
  get diagnostics v_stored = row_count;
  return v_stored;
end
$$;
comment on function switchyard.store_verdicts(text, text, switchyard.gate_result[], bigint, boolean) is
  'Keeps verdicts of gates: of a move all; else only those that differ from the last one, or with p_only_changed false those whose last one is a minute old too. Returns how many.';

create function public.migration_gates_v2(p_data_type text, p_to_stage text default null)
returns table (gate text, holds boolean, found text, wanted text, hint text)
language plpgsql
volatile
set search_path = ''
as $$
#variable_conflict use_column
declare
  v_stage text;
  v_to_stage text;
  v_gates switchyard.gate_result[];
begin
  select r.stage into v_stage
    from public.data_type_registry_v2 as r
   where r.data_type = p_data_type;
  if not found then
    raise exception 'Cannot check the gates of "%": unknown data type', p_data_type
      using errcode = 'SY008', hint = 'See select data_type, stage from data_type_registry_v2';
  end if;
  v_to_stage := coalesce(p_to_stage, switchyard.next_stage(v_stage));
  if v_to_stage is not null and coalesce(switchyard.stage_rank(v_to_stage), 1) = 1 then
    raise exception 'Cannot check the gates of "%" before "%": wanted shadow, canary, live or retired',
      p_data_type, v_to_stage
      using errcode = 'SY023', hint = 'Leave p_to_stage out for the next stage';
  end if;
  v_gates := array(select g from switchyard.check_gates(p_data_type, v_to_stage) as g);
  perform switchyard.store_verdicts(p_data_type, v_to_stage, v_gates);
  return query
    select g.gate, g.holds, g.found, g.wanted, case when not g.holds then g.hint end
      from unnest(v_gates) with ordinality as g (gate, holds, found, wanted, hint, numbers, place)
     order by g.place;
end
$$;
comment on function public.migration_gates_v2(text, text) is
  'The gates before the next stage of a data type, or before the given one: whether each holds, with what was found and what is wanted, and what to do if not. Keeps the verdicts in switchyard.gate_verdicts, of each gate one a minute at most unless it changes. No rows for a retired type. Raises SY008 (unknown data type), SY023 (no such stage). For postgres.';

create view public.migration_status_v2
with (security_invoker = true)
as
  select r.data_type,
         r.stage,
         r.stage_entered_at,
         r.canary_percent,
         case
           when served.by_queue and legacy.active > 0 then 'both'
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
  'Where each data type stands, who refreshes it now, its legacy jobs, and the gates before its next stage that did not hold when last looked at (migration_gates_v2 looks now). For postgres.';

alter table switchyard.gate_verdicts enable row level security;
revoke all on table switchyard.gate_verdicts, public.migration_status_v2
  from public, anon, authenticated, service_role;
grant select on table switchyard.gate_verdicts to service_role;

revoke all on function
  switchyard.in_words(numeric),
  switchyard.percent(numeric),
  switchyard.gate_setting(public.data_type_registry_v2, text),
  switchyard.recent_outcomes(text, timestamptz),
  switchyard.gate_registry(public.data_type_registry_v2),
  switchyard.gate_flags(public.data_type_registry_v2),
  switchyard.gate_stage(public.data_type_registry_v2, text),
  switchyard.gate_legacy_jobs(public.data_type_registry_v2, text),
  switchyard.gate_soak_time(public.data_type_registry_v2),
  switchyard.canary_symbols(public.data_type_registry_v2, integer),
  switchyard.nothing_to_compare(text),
  switchyard.gate_sample(public.data_type_registry_v2),
  switchyard.gate_match_rate(public.data_type_registry_v2),
  switchyard.gate_error_rate(public.data_type_registry_v2),
  switchyard.gate_freshness(public.data_type_registry_v2),
  switchyard.gate_queue_depth(public.data_type_registry_v2),
  switchyard.gate_quota(public.data_type_registry_v2),
  switchyard.gate_alerts(public.data_type_registry_v2),
  switchyard.gates_for(text),
  switchyard.check_gates(text, text),
  switchyard.store_verdicts(text, text, switchyard.gate_result[], bigint, boolean),
  public.migration_gates_v2(text, text)
from public, anon, authenticated, service_role;
