-- Adds the gates that look at what the queue has done: sample, match_rate, error_rate, freshness,
-- queue_depth, quota, alerts.

create function switchyard.share_symbols(p_type public.data_type_registry_v2, p_most integer)
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
              where switchyard.destination($4, $1, $2, k.symbol, ''scheduled'') = ''table''
              limit $3) as s',
    switchyard.scheduled_symbols_sql(p_type))
    into v_count
    using p_type.canary_percent, p_type.data_type, p_most,
          case when p_type.stage in ('live', 'retired') then p_type.stage else 'canary' end;
  return v_count;
end
$$;
comment on function switchyard.share_symbols(public.data_type_registry_v2, integer) is
  'How many symbols are the queue''s: the canary share of a data type, all in live and retired; counts no further than p_most.';

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

create function switchyard.refreshed_symbols(p_data_type text, p_since timestamptz, p_most integer)
returns integer
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select count(*)
      from (
        select 1
          from switchyard.refresh_state as s
         where s.data_type = p_data_type and s.last_checked_at > p_since
         limit p_most) as refreshed);
end
$$;
comment on function switchyard.refreshed_symbols(text, timestamptz, integer) is
  'How many symbols of a data type the queue has refreshed, or found the vendor to have nothing for, since then; counts no further than p_most.';

create function switchyard.gate_sample(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_wanted integer := switchyard.gate_setting(p_type,
    case when p_type.symbol_column is null
              and (p_type.gate_settings ? 'least_sample_global' or not p_type.gate_settings ? 'least_sample')
         then 'least_sample_global' else 'least_sample' end);
  v_found integer;
  v_fitting integer;
  v_outcomes record;
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

  if p_type.stage = 'live' then
    -- By symbols, not by jobs: of a type with a TTL of a month those of the canary may be all there were.
    v_wanted := least(v_wanted, switchyard.share_symbols(p_type, v_wanted));
    v_found := switchyard.refreshed_symbols(
      p_type.data_type, switchyard.left_shadow_at(p_type.data_type), v_wanted);
    return (
      'sample', v_found >= v_wanted, format('%s symbols refreshed by the queue', v_found),
      format('%s symbols', v_wanted), 'Wait for more',
      jsonb_build_object('symbols', v_found, 'wanted', v_wanted))::switchyard.gate_result;
  end if;

  -- Each symbol of a small share is fetched once in its TTL: one job of each will do. No more jobs are wanted
  -- than a symbol has while outcomes are kept: of a TTL of a month one.
  v_fitting := greatest(1, floor(
    1440 * switchyard.setting_integer('outcome_retention_days') / p_type.default_ttl_minutes) - 1);
  v_wanted := case
    when p_type.symbol_column is null then least(v_wanted, v_fitting)
    else least(v_wanted, greatest(switchyard.share_symbols(p_type, v_wanted),
                                  least(switchyard.gate_setting(p_type, 'least_sample_global'), v_fitting))) end;
  select o.* into v_outcomes
    from switchyard.recent_outcomes(p_type.data_type, p_type.stage_entered_at) as o;
  v_found := least(v_wanted, greatest(
    v_outcomes.finished - v_outcomes.failed,
    switchyard.refreshed_symbols(p_type.data_type, p_type.stage_entered_at, v_wanted)));
  return (
    'sample', v_found >= v_wanted, format('%s completed jobs', v_found), format('%s completed jobs', v_wanted),
    format('Wait for more, or raise canary_percent (%s %% now)', p_type.canary_percent),
    jsonb_build_object('jobs', v_found, 'wanted', v_wanted, 'canary_percent', p_type.canary_percent)
  )::switchyard.gate_result;
end
$$;
comment on function switchyard.gate_sample(public.data_type_registry_v2) is
  'Gate: enough was seen to judge by: comparisons in shadow; in canary completed jobs, one for each symbol of the share if that is fewer than least_sample, or as many symbols; in live symbols that the queue has refreshed since the type left shadow. Empty answers count: the gate empty_rate looks at those.';

create function switchyard.gate_match_rate(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_wanted numeric := switchyard.gate_setting(p_type, 'match_rate');
  v_least numeric := switchyard.gate_setting(p_type, 'conclusive_rate');
  v_matches bigint;
  v_mismatches bigint;
  v_inconclusive bigint;
  v_rate numeric;
  v_conclusive numeric;
  v_coarser jsonb;
  v_coarser_words text;
begin
  if p_type.fetcher = 'edge-function' then
    return switchyard.nothing_to_compare('match_rate');
  end if;
  select t.matches, t.mismatches, t.inconclusive into v_matches, v_mismatches, v_inconclusive
    from switchyard.shadow_tally(p_type.data_type, p_type.stage_entered_at) as t;
  select coalesce(jsonb_object_agg(c.column_name, jsonb_build_object('coarser', c.coarser, 'finer', c.finer)), '{}'),
         string_agg(format('"%s" has fewer digits than in legacy in %s of %s', c.column_name, c.coarser, c.coarser + c.finer),
                    ', ' order by c.column_name)
    into v_coarser, v_coarser_words
    from switchyard.coarser_columns(p_type.data_type, p_type.stage_entered_at) as c;
  v_rate := v_matches::numeric / nullif(v_matches + v_mismatches, 0);
  v_conclusive := (v_matches + v_mismatches)::numeric / nullif(v_matches + v_mismatches + v_inconclusive, 0);
  return (
    'match_rate', coalesce(v_rate >= v_wanted and v_conclusive >= v_least and v_coarser = '{}', false),
    coalesce(switchyard.percent(v_rate) || format(' (%s of %s)', v_matches, v_matches + v_mismatches),
             'no comparison')
      || case when v_inconclusive > 0 then format(', %s inconclusive beside them', v_inconclusive) else '' end
      || coalesce(', ' || v_coarser_words, ''),
    switchyard.percent(v_wanted)
      || case when v_inconclusive > 0 then format(', %s of all conclusive', switchyard.percent(v_least)) else '' end
      || case when v_coarser <> '{}' then ', digits lost as often as gained' else '' end,
    format('See select * from shadow_report_v2(%L)', p_type.data_type)
      || case when v_coarser <> '{}' then '; digits that are lost on purpose: the list coarser in shadow_rules' else '' end,
    jsonb_build_object('matches', v_matches, 'mismatches', v_mismatches, 'inconclusive', v_inconclusive,
                       'wanted', v_wanted, 'wanted_conclusive', v_least, 'coarser', v_coarser))::switchyard.gate_result;
end
$$;
comment on function switchyard.gate_match_rate(public.data_type_registry_v2) is
  'Gate: what the queue fetched in shadow agrees with what the legacy jobs wrote, enough of the comparisons say something, and numbers whose differences are excused do not lose digits.';

create function switchyard.latest_sample(p_type public.data_type_registry_v2)
returns switchyard.freshness_samples
language plpgsql
stable
set search_path = ''
as $$
declare
  v_sample switchyard.freshness_samples;
begin
  select s.* into v_sample
    from switchyard.freshness_samples as s
   where s.data_type = p_type.data_type
     and s.sampled_at > greatest(p_type.stage_entered_at, clock_timestamp() - interval '5 minutes')
     -- A clock that was set back leaves samples in the future.
     and s.sampled_at <= clock_timestamp()
   order by s.sampled_at desc
   limit 1;
  return v_sample;
end
$$;
comment on function switchyard.latest_sample(public.data_type_registry_v2) is
  'The latest freshness sample of a data type in its stage, of the last 5 minutes; null columns for none.';

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
  'Gate: of the jobs that finished in this stage, in the last soak_hours (an hour at least), few failed.';

create function switchyard.gate_empty_rate(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_most numeric := switchyard.gate_setting(p_type, 'empty_rate');
  v_sample switchyard.freshness_samples := switchyard.latest_sample(p_type);
  v_rate numeric := v_sample.emptied::numeric / nullif(v_sample.rows, 0);
begin
  return (
    'empty_rate', coalesce(v_rate <= v_most, v_sample.sampled_at is not null),
    case when v_sample.sampled_at is null then 'no sample in the last 5 minutes'
         else coalesce(switchyard.percent(v_rate) || format(' (%s of %s symbols)', v_sample.emptied, v_sample.rows),
                       'no row that counts') end,
    format('at most %s', switchyard.percent(v_most)),
    format('See select s.symbol, s.last_checked_at from switchyard.refresh_state as s where s.data_type = %L and s.empty_until is not null',
           p_type.data_type),
    jsonb_build_object('emptied', v_sample.emptied, 'rows', v_sample.rows, 'most', v_most)
  )::switchyard.gate_result;
end
$$;
comment on function switchyard.gate_empty_rate(public.data_type_registry_v2) is
  'Gate: in the latest sample the vendor had nothing, when it was asked last, for few of the symbols that have rows.';

create function switchyard.gate_freshness(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_most_age numeric := 60 * p_type.default_ttl_minutes * switchyard.gate_setting(p_type, 'most_age_ttls');
  v_sample switchyard.freshness_samples := switchyard.latest_sample(p_type);
  v_judged integer;
  v_without_rows integer;
  v_of_unknown_age integer;
  v_baseline_p95 numeric;
  v_baseline_share numeric;
  v_most_p95 numeric;
  v_most_share numeric;
begin
  v_judged := v_sample.symbols_known - v_sample.left_out;
  v_without_rows := v_judged - v_sample.rows;
  -- Very stale without being old: their rows have no time.
  v_of_unknown_age := case when coalesce(v_sample.max_age_seconds <= v_most_age, true)
                           then v_sample.very_stale_rows else 0 end;
  select b.p95_age_seconds, b.share_without_rows into v_baseline_p95, v_baseline_share
    from switchyard.baseline_freshness(p_type.data_type) as b;
  -- A type that was always fresher than its TTL may use the TTL.
  v_most_p95 := greatest(v_baseline_p95 * switchyard.gate_setting(p_type, 'baseline_slack'),
                         60 * p_type.default_ttl_minutes);
  v_most_share := greatest(v_baseline_share, switchyard.gate_setting(p_type, 'error_rate'));
  return (
    'freshness',
    coalesce(coalesce(v_sample.max_age_seconds, 0) <= v_most_age
             and v_of_unknown_age = 0
             and v_without_rows <= v_most_share * v_judged
             -- Where nothing has rows, or nothing counts though nothing is closed, nothing is fresh either.
             and (v_sample.symbols_known = 0 or v_sample.rows > 0
                  or (v_judged = 0 and p_type.condition_function is not null))
             and (v_baseline_p95 is null or coalesce(v_sample.p95_age_seconds, 0) <= v_most_p95)
             and v_sample.sampled_at is not null, false),
    case
      when v_sample.sampled_at is null then 'no sample in the last 5 minutes'
      when v_judged = 0 then 'no row that counts'
      else concat_ws(', ',
        'oldest ' || switchyard.in_words(v_sample.max_age_seconds::numeric),
        '95 % within ' || switchyard.in_words(v_sample.p95_age_seconds::numeric),
        case when v_of_unknown_age > 0 then format('%s of unknown age', v_of_unknown_age) end,
        case when v_without_rows > 0 then format('%s of %s symbols without rows', v_without_rows, v_judged) end)
    end,
    concat_ws(', ',
      format('oldest at most %s', switchyard.in_words(v_most_age)),
      case when v_baseline_p95 is null and v_baseline_share is null then 'no baseline was recorded'
           when v_baseline_p95 is null then 'no age in the baseline'
           else '95 % within ' || switchyard.in_words(v_most_p95) end,
      case when v_without_rows > 0 then format('at most %s without rows', switchyard.percent(v_most_share)) end),
    case when v_sample.sampled_at is null then 'See select * from cron.job where jobname = ''sample-freshness-v2'''
         else format('See select * from switchyard.freshness_samples where data_type = %L order by sampled_at desc',
                     p_type.data_type) end,
    jsonb_build_object(
      'max_age_seconds', v_sample.max_age_seconds, 'p95_age_seconds', v_sample.p95_age_seconds,
      'stale_rows', v_sample.stale_rows, 'very_stale_rows', v_sample.very_stale_rows,
      'judged_symbols', v_judged, 'symbols_without_rows', v_without_rows,
      'most_age_seconds', v_most_age, 'most_p95_age_seconds', v_most_p95, 'most_share_without_rows', v_most_share,
      'baseline_p95_age_seconds', v_baseline_p95))::switchyard.gate_result;
end
$$;
comment on function switchyard.gate_freshness(public.data_type_registry_v2) is
  'Gate: in the latest sample no symbol is older than most_age_ttls TTLs, 95 % are no older than in the baseline, with slack, or than the TTL, and no more lack rows than in the baseline, or than error_rate allows.';

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

revoke all on function
  switchyard.share_symbols(public.data_type_registry_v2, integer),
  switchyard.nothing_to_compare(text),
  switchyard.refreshed_symbols(text, timestamptz, integer),
  switchyard.gate_sample(public.data_type_registry_v2),
  switchyard.gate_match_rate(public.data_type_registry_v2),
  switchyard.latest_sample(public.data_type_registry_v2),
  switchyard.gate_error_rate(public.data_type_registry_v2),
  switchyard.gate_empty_rate(public.data_type_registry_v2),
  switchyard.gate_freshness(public.data_type_registry_v2),
  switchyard.gate_queue_depth(public.data_type_registry_v2),
  switchyard.gate_quota(public.data_type_registry_v2),
  switchyard.gate_alerts(public.data_type_registry_v2)
from public, anon, authenticated, service_role;
