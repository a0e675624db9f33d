-- Adds the choice of the symbols that data types in stage shadow are tried on. Nothing calls it yet.

create function switchyard.shadow_symbols_sql(p_type public.data_type_registry_v2)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  v_rows real;
begin
  if p_type.symbol_column is null or switchyard.setting('known_symbols_table') <> 'null' then
    return switchyard.scheduled_symbols_sql(p_type);
  end if;
  -- Without a list of symbols: those of about a thousand rows, by chance.
  select greatest(c.reltuples, 0) into v_rows
    from pg_catalog.pg_class as c
   where c.oid = format('public.%I', p_type.table_name)::regclass;
  return format(
    'select distinct t.%I::text from public.%I as t tablesample bernoulli (%s)',
    p_type.symbol_column, p_type.table_name, least(100, 100000 / greatest(v_rows, 1)));
end
$$;
comment on function switchyard.shadow_symbols_sql(public.data_type_registry_v2) is
  'SQL for the symbols that a data type may be tried on: as for scheduled refreshes; without a table of known symbols a random choice of those in its own table.';

create function switchyard.choose_shadow_symbols(p_type public.data_type_registry_v2, p_most integer)
returns text[]
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_symbols text[];
begin
  execute format(
    $sql$
      with demanded as materialized (
        select d.symbol, sum(d.viewers) as viewers from (%1$s) as d (symbol, viewers) group by d.symbol
      ),
      sampled as materialized (
        select r.symbol, max(r.fetched_at) as last_at, bool_or(r.verdict = 'waiting') as waits
          from switchyard.shadow_results as r
         where r.data_type = %2$L
         group by r.symbol
      ),
      -- Some more than wanted: the next step looks into the table for each.
      candidate as materialized (
        select k.symbol, d.viewers, s.last_at
          from (%3$s) as k (symbol)
          left join demanded as d on d.symbol = k.symbol
          left join sampled as s on s.symbol = k.symbol
         where (s.last_at is null
                or (not s.waits and s.last_at < clock_timestamp() - make_interval(mins => $2)))
           and %4$s
           and not exists (
             select 1
               from switchyard.api_call_queue_v2_live as q
              where q.data_type = %2$L and q.symbol = k.symbol)
         order by d.viewers is null, s.last_at nulls first, md5(k.symbol || $3)
         limit $1 * 10
      )
      select array_agg(chosen.symbol)
        from (
          select c.symbol
            from candidate as c
           where %5$s
           -- What legacy has just refreshed is best to compare.
           order by (select max(t.%6$I) from public.%7$I as t where %8$s)
                      > clock_timestamp() - make_interval(secs => $4) desc nulls last,
                    c.viewers is null, c.last_at nulls first
           limit $1
        ) as chosen
    $sql$,
    -- 1 demand, 2 data type, 3 symbols
    switchyard.demand_sql(p_type), p_type.data_type, switchyard.shadow_symbols_sql(p_type),
    -- 4 the part of them that shadow_rules.sample_percent leaves, 5 the condition
    case when p_type.symbol_column is null then 'true'
         else format('k.symbol ~ ''^[A-Za-z0-9^][A-Za-z0-9.^=_-]*$'' and length(k.symbol) <= 40 and switchyard.symbol_bucket(%L, k.symbol) < %s',
                     p_type.data_type, coalesce((p_type.shadow_rules ->> 'sample_percent')::numeric, 100) * 100) end,
    switchyard.condition_sql(p_type, 'c.symbol', 'select k.symbol from candidate as k'),
    -- 6 column that moves, 7 table, 8 rows of the symbol
    p_type.timestamp_column, p_type.table_name,
    case when p_type.symbol_column is null then 'true'
         else format('t.%I = c.symbol', p_type.symbol_column) end)
    into v_symbols
    using p_most,
          least(p_type.default_ttl_minutes, case
            when p_type.symbol_column is null then switchyard.setting_integer('shadow_global_resample_minutes')
            else switchyard.setting_integer('shadow_resample_minutes') end),
          clock_timestamp()::text,
          60 * coalesce((p_type.shadow_rules ->> 'comparable_minutes')::double precision,
                        switchyard.setting_integer('shadow_comparable_minutes'));
  return coalesce(v_symbols, '{}');
end
$$;
comment on function switchyard.choose_shadow_symbols(public.data_type_registry_v2, integer) is
  'Symbols to try a data type on next, at most p_most: those that somebody looks at first, then the least recently tried; of these rather such as legacy has just refreshed. Not those that wait for a verdict, are queued, or were tried within the TTL or shadow_resample_minutes (shadow_global_resample_minutes for global types).';

create function public.queue_shadow_samples_v2()
returns table (data_type text, queued integer, reason text)
language plpgsql
volatile
set search_path = ''
as $$
#variable_conflict use_column
declare
  v_type public.data_type_registry_v2;
  v_symbols text[];
  v_room integer;
  v_queued integer;
  v_total integer := 0;
  v_reason text;
begin
  if not public.is_feature_enabled('use_queue_system') then
    return query select null::text, 0, 'use_queue_system is off';
    return;
  end if;
  if not pg_try_advisory_xact_lock(hashtext('switchyard.queue_shadow_samples'), 0) then
    return query select null::text, 0, 'another pass is running';
    return;
  end if;
  -- No more than half of what scheduled refreshes may have pending.
  select switchyard.setting_integer('most_pending_jobs') / 4 - count(*) into v_room
    from switchyard.api_call_queue_v2_live as q
   where q.status = 'pending' and q.source = 'scheduled';

  -- A loop, because each type has a table of its own; in a block of its own, because the fault of one
  -- must not keep the others from being tried.
  for v_type in
    select r.*
      from public.data_type_registry_v2 as r
     where r.stage = 'shadow'
        or exists (
          select 1 from switchyard.shadow_results as w where w.data_type = r.data_type and w.verdict = 'waiting')
     order by r.priority desc, r.data_type
  loop
    v_queued := 0;
    v_reason := null;
    begin
      perform switchyard.relook_at_shadow(v_type.data_type);
      v_reason := case
        when v_type.stage <> 'shadow' then format('the stage is %s', v_type.stage)
        when v_type.fetcher = 'edge-function' then 'its Edge Function writes the rows itself: there is nothing to compare'
        when v_type.paused then 'the data type is paused'
        when public.is_quota_exceeded_v2(v_type.provider) then 'the 30-day byte quota is used up'
        when v_room <= 0 then 'enough jobs are pending'
        else switchyard.provider_refusal(v_type.provider)
      end;
      if v_reason is null then
        select least(v_room, switchyard.setting_integer('shadow_jobs_per_minute') - count(*)) into v_queued
          from switchyard.api_call_queue_v2_live as q
         where q.data_type = v_type.data_type and q.source = 'scheduled';
        v_symbols := switchyard.choose_shadow_symbols(v_type, greatest(v_queued, 0));
        v_queued := switchyard.enqueue_jobs(
          v_symbols, array_fill(v_type.data_type, array[cardinality(v_symbols)]),
          array_fill(0, array[cardinality(v_symbols)]), 'scheduled');
      end if;
    exception when others then
      v_queued := 0;
      v_reason := format('failed: %s', sqlerrm);
      perform switchyard.record_event(
        'shadow sampling failed', jsonb_build_object('message', sqlerrm, 'sqlstate', sqlstate),
        0, v_type.provider, v_type.data_type);
    end;
    v_room := v_room - v_queued;
    v_total := v_total + v_queued;
    return query select v_type.data_type, v_queued, v_reason;
  end loop;

  if v_total > 0 then
    perform switchyard.record_event('shadow sampling', '{}', v_total);
    perform switchyard.wake_processor();
  end if;
end
$$;
comment on function public.queue_shadow_samples_v2() is
  'Queues symbols to try the data types in stage shadow on, at most shadow_jobs_per_minute of each, with the lowest priority, and looks again at comparisons that waited for the legacy jobs. Called by cron each minute. Returns per type the new jobs, or why there are none. Does nothing while use_queue_system is off. For postgres.';

revoke all on function
  switchyard.shadow_symbols_sql(public.data_type_registry_v2),
  switchyard.choose_shadow_symbols(public.data_type_registry_v2, integer),
  public.queue_shadow_samples_v2()
from public, anon, authenticated, service_role;
