-- Adds what a breach is: the errors, the age or the emptiness of rows for which a data type goes back. Nothing calls it yet.

create function switchyard.failing_symbols(p_type public.data_type_registry_v2)
returns integer
language plpgsql
stable
set search_path = ''
as $$
declare
  v_count integer;
begin
  -- Not such as somebody has deactivated, that have left the share, or that nobody knows.
  execute format(
    'select count(*)
       from (%s) as k (symbol)
       join switchyard.refresh_state as s on s.data_type = $2 and s.symbol = k.symbol
      where s.consecutive_failures > 0
        and s.failed_at > switchyard.left_shadow_at($2)
        and switchyard.destination($3, $1, $2, k.symbol, ''scheduled'') = ''table''',
    switchyard.scheduled_symbols_sql(p_type))
    into v_count
    using p_type.canary_percent, p_type.data_type, p_type.stage;
  return v_count;
end
$$;
comment on function switchyard.failing_symbols(public.data_type_registry_v2) is
  'How many symbols that are the queue''s now have failed last, since the data type left shadow.';

create function switchyard.breach(p_gate text, p_found text, p_most numeric, p_numbers jsonb)
returns switchyard.gate_result
language sql
immutable
set search_path = ''
as $$
  select (p_gate, false, p_found, format('at most %s', switchyard.percent(p_most)), null,
          p_numbers || jsonb_build_object('most', p_most))::switchyard.gate_result
$$;
comment on function switchyard.breach(text, text, numeric, jsonb) is
  'A gate that a data type breaks on its way, as a verdict; p_most: the share that is allowed, of 1.';

create function switchyard.failing_without_end(p_type public.data_type_registry_v2, p_since timestamptz)
returns integer
language plpgsql
stable
set search_path = ''
as $$
declare
  v_jobs integer;
  v_first_at timestamptz;
  v_last_at timestamptz;
begin
  -- Where nothing stands in their way they end by themselves. Who pauses wants no calls; a vendor that asks
  -- to wait, or is down for several data types, says nothing about this one.
  if p_type.paused
     or not exists (
       select 1
         from public.api_providers_v2 as p
        where p.provider = p_type.provider
          and not p.paused
          and coalesce(p.hold_until <= p_since, true)
          and ((p.breaker_state <> 'closed' and p.breaker_data_types = array[p_type.data_type])
               or exists (
                 select 1
                   from switchyard.data_type_holds as h
                  where h.data_type = p_type.data_type and h.hold_until > p_since)))
     or exists (
       select 1
         from switchyard.job_outcomes as o
        where o.data_type = p_type.data_type and o.completed > 0 and o.finished_at > p_since)
  then
    return 0;
  end if;
  select count(*), min(failed.first_at), max(failed.last_at)
    into v_jobs, v_first_at, v_last_at
    from (
      select told.first_at, told.last_at
        from switchyard.api_call_queue_v2_live as q
       cross join lateral (
         select min(e.at) as first_at, max(e.at) as last_at
           from (
             select (e.item ->> 'at')::timestamptz as at
               from jsonb_array_elements(q.errors) as e (item)
              where e.item ->> 'class' in ('retryable', 'auth')) as e
          where e.at >= p_type.stage_entered_at) as told
       where q.data_type = p_type.data_type and q.source <> 'manual' and q.errors <> '[]'
         and told.first_at is not null
       limit 20000
    ) as failed;
  return case when v_first_at <= p_since and v_last_at > p_since then v_jobs else 0 end;
end
$$;
comment on function switchyard.failing_without_end(public.data_type_registry_v2, timestamptz) is
  'How many jobs of a data type have failed in this stage and go on, when that began before p_since and has not ended: none was completed since, and one has failed since. Behind a breaker that this type has opened alone, or held because our own endpoint refuses them, jobs come to no end and would never count as failed; else 0. Also 0 while it or its provider is paused or the provider is held: a vendor that is down for several data types is so for the legacy jobs too. Counts no further than 20,000.';

create function switchyard.error_breach(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_minutes integer := switchyard.gate_setting(p_type, 'breach_minutes');
  v_most numeric := switchyard.gate_setting(p_type, 'error_rate');
  v_least integer := switchyard.gate_setting(p_type, 'breach_least_failures');
  v_since timestamptz := clock_timestamp() - make_interval(mins => v_minutes);
  v_earliest timestamptz := greatest(p_type.stage_entered_at, clock_timestamp() - interval '1 day');
  v_finished integer;
  v_failed integer;
  v_again integer;
  v_last_failed_at timestamptz;
  v_last_new_at timestamptz;
  v_failing integer;
  v_share integer;
  v_trying integer := switchyard.failing_without_end(p_type, v_since);
begin
  if v_trying > 0 and v_trying >= switchyard.share_symbols(p_type, v_least) then
    return switchyard.breach(
      'error_rate', format('%s jobs fail without an end, and none was completed for %s min', v_trying, v_minutes),
      v_most, jsonb_build_object('failing_jobs', v_trying, 'completed', 0, 'minutes', v_minutes));
  end if;
  -- The jobs of the last minutes; of a type that is refreshed seldom at least the last 50, of a day at most. Old
  -- failures alone are no breach: the last one has to be of these minutes.
  select sum(latest.completed + latest.failed), sum(latest.failed), sum(latest.failed_again),
         max(latest.finished_at) filter (where latest.failed > 0),
         max(latest.finished_at) filter (where latest.failed > latest.failed_again)
    into v_finished, v_failed, v_again, v_last_failed_at, v_last_new_at
    from (
      select o.finished_at, o.completed, o.failed, o.failed_again,
             sum(o.completed + o.failed - o.failed_again) over (
               order by o.finished_at desc rows between unbounded preceding and 1 preceding) as after_it
        from switchyard.job_outcomes as o
       where o.data_type = p_type.data_type and o.finished_at > v_earliest
    ) as latest
   where coalesce(latest.after_it, 0) < 50 or latest.finished_at > v_since;
  -- A few symbols that always fail are all that is due in a quiet hour: each counts once. Where there are
  -- no more symbols than that, every failure counts.
  if v_failed >= v_least and v_again > 0 and switchyard.share_symbols(p_type, v_least) >= v_least then
    -- Unless they are many: nobody may have looked when they began to fail.
    if v_failed > v_most * v_finished and v_last_failed_at > v_since then
      v_failing := switchyard.failing_symbols(p_type);
      v_share := switchyard.share_symbols(
        p_type, case when v_most > 0 then least(ceil(v_failing / v_most) + 1, 1000000000)::integer else v_failing end);
      if v_failing >= v_least and v_failing > v_most * v_share then
        return switchyard.breach(
          'error_rate',
          format('%s (%s of %s symbols go on failing)',
                 switchyard.percent(v_failing::numeric / greatest(v_share, 1)), v_failing, v_share),
          v_most, jsonb_build_object('failing_symbols', v_failing, 'symbols', v_share, 'minutes', v_minutes));
      end if;
    end if;
    v_failed := v_failed - v_again;
    v_finished := v_finished - v_again;
    v_last_failed_at := v_last_new_at;
  end if;
  if v_failed >= v_least and v_failed > v_most * v_finished and v_last_failed_at > v_since then
    return switchyard.breach(
      'error_rate',
      format('%s (%s of %s jobs)', switchyard.percent(v_failed::numeric / v_finished), v_failed, v_finished),
      v_most, jsonb_build_object('failed', v_failed, 'finished', v_finished, 'minutes', v_minutes));
  end if;
  return null;
end
$$;
comment on function switchyard.error_breach(public.data_type_registry_v2) is
  'What the breach of the error rate is, or null: of the jobs of the last breach_minutes (at least of the last 50) more failed than error_rate allows, and no fewer than breach_least_failures. Or none was completed for as long, and as many go on failing (failing_without_end). A symbol that goes on failing counts once, unless more symbols of the share do than error_rate allows, or the share has fewer than breach_least_failures.';

create function switchyard.freshness_breach(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_minutes integer := switchyard.gate_setting(p_type, 'breach_minutes');
  v_most numeric := switchyard.gate_setting(p_type, 'error_rate');
  v_most_emptied numeric := switchyard.gate_setting(p_type, 'empty_rate');
  v_least_emptied integer := least(
    switchyard.gate_setting(p_type, 'breach_least_failures'), case when p_type.symbol_column is null then 1 end);
  v_samples integer;
  v_breaches integer;
  v_emptied integer;
  v_first integer;
  v_latest switchyard.freshness_samples := switchyard.latest_sample(p_type);
  v_judged integer := v_latest.symbols_known - v_latest.left_out;
  -- One a minute, of which one may be missing. Whether they become fewer takes two, where there are two.
  v_least_samples integer := greatest(v_minutes - 1, least(v_minutes, 2));
  v_since timestamptz := clock_timestamp() - make_interval(mins => v_minutes);
begin
  -- What legacy has left behind takes the queue some minutes.
  if p_type.stage_entered_at > v_since then
    return null;
  end if;
  -- Every one of them has to tell of it.
  select count(*),
         count(*) filter (where s.very_stale_rows > v_most * (s.symbols_known - s.left_out)),
         count(*) filter (where s.emptied >= v_least_emptied and s.emptied > v_most_emptied * s.rows),
         (array_agg(s.very_stale_rows order by s.sampled_at))[1]
    into v_samples, v_breaches, v_emptied, v_first
    from switchyard.freshness_samples as s
   where s.data_type = p_type.data_type
     and s.sampled_at > v_since
     -- A clock that was set back leaves samples in the future.
     and s.sampled_at <= clock_timestamp();
  -- Who pauses a type wants nothing fetched, by nobody.
  if p_type.paused or exists (
    select 1 from public.api_providers_v2 as p where p.provider = p_type.provider and p.paused) then
    return null;
  end if;
  -- While they become fewer the queue is catching up.
  if v_samples >= v_least_samples and v_breaches = v_samples and v_latest.very_stale_rows >= v_first then
    return switchyard.breach(
      'freshness',
      format('%s of %s symbols older than %s TTLs for %s min', v_latest.very_stale_rows, v_judged,
             switchyard.gate_setting(p_type, 'most_age_ttls'), v_minutes),
      v_most,
      jsonb_build_object('very_stale_rows', v_latest.very_stale_rows, 'judged_symbols', v_judged, 'minutes', v_minutes));
  end if;
  if v_samples >= v_least_samples and v_emptied = v_samples then
    return switchyard.breach(
      'empty_rate',
      format('%s (%s of %s symbols) that have rows came back empty for %s min',
             switchyard.percent(v_latest.emptied::numeric / nullif(v_latest.rows, 0)), v_latest.emptied, v_latest.rows,
             v_minutes),
      v_most_emptied, jsonb_build_object('emptied', v_latest.emptied, 'rows', v_latest.rows, 'minutes', v_minutes));
  end if;
  return null;
end
$$;
comment on function switchyard.freshness_breach(public.data_type_registry_v2) is
  'What the breach of freshness or of the empty rate is, or null: in every sample of the last breach_minutes more symbols were older than most_age_ttls TTLs than error_rate allows, and did not become fewer, or more of those with rows had come back empty than empty_rate allows (of a type with symbols no fewer than breach_least_failures).';

create function switchyard.sample_breach(p_type public.data_type_registry_v2)
returns switchyard.gate_result
language plpgsql
stable
set search_path = ''
as $$
declare
  v_minutes integer := switchyard.gate_setting(p_type, 'breach_minutes');
  v_since timestamptz := greatest(p_type.stage_entered_at, clock_timestamp() - make_interval(mins => v_minutes));
  v_failures integer;
  v_message text;
begin
  select count(*), (array_agg(e.detail ->> 'message' order by e.id desc))[1]
    into v_failures, v_message
    from switchyard.queue_events as e
   where e.kind = 'freshness sample failed'
     and e.data_type = p_type.data_type
     and e.occurred_at > v_since
     and e.occurred_at <= clock_timestamp();
  if v_failures >= greatest(v_minutes - 1, 1)
     and not exists (
       select 1
         from switchyard.freshness_samples as s
        where s.data_type = p_type.data_type and s.sampled_at > v_since and s.sampled_at <= clock_timestamp())
  then
    return (
      'freshness', false, format('its table could not be read for %s min: %s', v_minutes, v_message),
      'a sample each minute', null,
      jsonb_build_object('failed_samples', v_failures, 'minutes', v_minutes))::switchyard.gate_result;
  end if;
  return null;
end
$$;
comment on function switchyard.sample_breach(public.data_type_registry_v2) is
  'What the breach is, or null, of a data type whose freshness could not be measured for breach_minutes: its table was renamed, for example, or its registry row is wrong.';

revoke all on function
  switchyard.failing_symbols(public.data_type_registry_v2),
  switchyard.breach(text, text, numeric, jsonb),
  switchyard.failing_without_end(public.data_type_registry_v2, timestamptz),
  switchyard.error_breach(public.data_type_registry_v2),
  switchyard.freshness_breach(public.data_type_registry_v2),
  switchyard.sample_breach(public.data_type_registry_v2)
from public, anon, authenticated, service_role;
