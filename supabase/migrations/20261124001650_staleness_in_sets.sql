-- Adds the staleness checks over whole sets: what viewers look at, and what is refreshed on schedule.

create function switchyard.condition_sql(
  p_type public.data_type_registry_v2,
  p_symbol_sql text,
  p_symbols_sql text
)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return case
    when p_type.condition_function is null then 'true'
    when to_regprocedure(format('public.%I(text[])', p_type.condition_function)) is null
      then format('coalesce(public.%I(%s), false)', p_type.condition_function, p_symbol_sql)
    else format('%s in (select may.symbol from public.%I(array(%s)) as may (symbol))',
                p_symbol_sql, p_type.condition_function, p_symbols_sql)
  end;
end
$$;
comment on function switchyard.condition_sql(public.data_type_registry_v2, text, text) is
  'SQL for "the condition function allows this symbol", never null. Where the function has a form for sets, it is asked once, for the symbols of the query p_symbols_sql, which must hold p_symbol_sql.';

-- One definition of "stale" for both: the newest row of a symbol, or the last check that found
-- nothing new, is older than the TTL, or its rows are gone. Of the table only one index entry is looked
-- at where the last check says fresh. Whether an Edge Function that writes its rows by itself ever had
-- any is not known, so of its types a row that is gone is missed only after the TTL.
create function switchyard.stale_symbols_sql(p_type public.data_type_registry_v2, p_ahead_seconds integer)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  v_known_table text := switchyard.setting('known_symbols_table') #>> '{}';
  v_known_column text := switchyard.setting('known_symbols_column') #>> '{}';
  v_known_active_column text := switchyard.setting('known_symbols_active_column') #>> '{}';
  v_is_its_row text := case when p_type.symbol_column is null then 'true'
                            else format('t.%I = w.symbol', p_type.symbol_column) end;
  v_ahead text := case when p_ahead_seconds > 0 then format(' - interval %L', p_ahead_seconds || ' seconds') else '' end;
begin
  return format(
    $sql$
      select w.symbol, w.weight,
             greatest(s.last_checked_at, %5$s) as refreshed_at
        from wanted as w
        left join switchyard.refresh_state as s on s.data_type = %1$L and s.symbol = w.symbol
       where (s.empty_until is null or s.empty_until <= clock_timestamp())
         and (s.failing_until is null or s.failing_until <= clock_timestamp())
         and %2$s
         and case when s.last_checked_at > '-infinity' and not public.%3$I(s.last_checked_at%8$s, %4$s) then %6$s
                  else public.%3$I(%5$s%8$s, %4$s) end
         and not exists (
           select 1
             from switchyard.api_call_queue_v2_live as q
            where q.data_type = %1$L and q.symbol = w.symbol
              and (q.status = 'processing' or q.priority >= w.weight))
         and %7$s
    $sql$,
    p_type.data_type,
    case
      when p_type.symbol_column is null then 'w.symbol = ''GLOBAL'''
      when v_known_table is null then 'w.symbol ~ ''^[A-Za-z0-9^][A-Za-z0-9.^=_-]*$'' and length(w.symbol) <= 40'
      else format(
        'exists (select 1 from public.%I as k where k.%I = w.symbol and %s)',
        v_known_table, v_known_column,
        case when v_known_active_column is null then 'true'
             else format('k.%I', v_known_active_column) end)
    end,
    p_type.staleness_function, p_type.default_ttl_minutes,
    -- Of a canary the legacy jobs move the rows on, whatever the queue does.
    case when p_type.stage = 'canary' then 'null::timestamptz'
         else format('(select max(t.%I) from public.%I as t where %s)',
                     p_type.timestamp_column, p_type.table_name, v_is_its_row) end,
    case when p_type.stage = 'canary' or p_type.fetcher = 'edge-function' then 'false'
         else format('not exists (select 1 from public.%I as t where %s)', p_type.table_name, v_is_its_row) end,
    switchyard.share_sql(p_type, 'w.symbol'), v_ahead);
end
$$;
comment on function switchyard.stale_symbols_sql(public.data_type_registry_v2, integer) is
  'SQL that picks from a relation "wanted" (symbol, weight) those symbols that are known, stale now or in p_ahead_seconds, in the share of a canary, not known to be empty or failing, and not queued with at least that weight as priority.';

create function switchyard.demand_sql(p_type public.data_type_registry_v2)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  v_parts text[] := '{}'::text[];
begin
  if switchyard.setting_integer('demand_from_presence') = 1 then
    v_parts := v_parts || format(
      $sql$
        select a.symbol, a.viewers
          from public.active_subscriptions_v2 as a
         where a.data_type = %L and a.source = 'presence'
           and a.last_seen_at > clock_timestamp() - make_interval(secs => %s)
      $sql$,
      p_type.data_type, switchyard.setting_integer('demand_expires_after_seconds'));
  end if;
  if switchyard.setting_integer('demand_from_row_changes') = 1
     and to_regclass('realtime.subscription') is not null then
    -- A subscription is one viewer of each symbol that it names; a hundred of them count, because
    -- anybody can open more. The filter type has had an attribute "negate" since 2026, which older
    -- projects lack. Subscribers of a table that has symbols say nothing about a global type.
    v_parts := v_parts || case
      when p_type.symbol_column is null then format(
        $sql$
          select 'GLOBAL', least(count(distinct s.subscription_id), 100)
            from realtime.subscription as s
           where s.entity = to_regclass(%L)
             and not exists (
               select 1 from public.data_type_registry_v2 as r
                where r.table_name = %L and r.symbol_column is not null)
          having count(*) > 0
        $sql$, format('public.%I', p_type.table_name), p_type.table_name)
      else format(
        $sql$
          select btrim(v.symbol, ' "'), least(count(distinct s.subscription_id), 100)
            from realtime.subscription as s
           cross join unnest(s.filters) as f
           cross join unnest(
             case when f.op::text = 'in' then string_to_array(btrim(f.value, '{}() '), ',')
                  else array[f.value] end) as v (symbol)
           where s.entity = to_regclass(%L)
             and f.column_name = %L
             and f.op::text in ('eq', 'in')
             and to_jsonb(f) ->> 'negate' is distinct from 'true'
           group by 1
        $sql$, format('public.%I', p_type.table_name), p_type.symbol_column)
      end;
  end if;
  return coalesce(
    nullif(array_to_string(v_parts, ' union all '), ''), 'select null::text, 0 where false');
end
$$;
comment on function switchyard.demand_sql(public.data_type_registry_v2) is
  'SQL for the demand of a data type from the sources that the settings name: (symbol, viewers), several rows per symbol.';

create function switchyard.queue_stale(
  p_type public.data_type_registry_v2,
  p_wanted_sql text,
  p_order_sql text,
  p_source text,
  p_most integer,
  p_ahead_seconds integer
)
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_queued integer;
begin
  execute format(
    $sql$
      with wanted as materialized (%1$s),
      stale as materialized (%2$s),
      chosen as (select c.symbol, c.weight from stale as c where %6$s order by %3$s limit $1)
      select coalesce(switchyard.enqueue_jobs(
               array_agg(c.symbol), array_fill(%4$L::text, array[count(*)::integer]),
               array_agg(c.weight), %5$L), 0)
        from chosen as c
      having count(*) > 0
    $sql$,
    p_wanted_sql, switchyard.stale_symbols_sql(p_type, p_ahead_seconds), p_order_sql, p_type.data_type, p_source,
    switchyard.condition_sql(p_type, 'c.symbol', 'select s.symbol from stale as s'))
    into v_queued
    using p_most;
  return coalesce(v_queued, 0);
end
$$;
comment on function switchyard.queue_stale(public.data_type_registry_v2, text, text, text, integer, integer) is
  'Queues those of a set that are stale now or in p_ahead_seconds and that the condition function allows, at most p_most in the given order, in one statement. Returns the number of new jobs.';

create function switchyard.staleness_pass(p_kind text)
returns table (data_type text, queued integer, reason text)
language plpgsql
volatile
set search_path = ''
-- A table that somebody has locked must not keep the other types from being refreshed.
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
  v_type public.data_type_registry_v2;
  v_room integer;
  v_queued integer;
  v_total integer := 0;
  v_most integer;
  v_share integer;
  v_reason text;
begin
  if not public.is_feature_enabled('use_queue_system') then
    return query select null::text, 0, 'use_queue_system is off';
    return;
  end if;
  if not public.is_feature_enabled('use_new_staleness_check') then
    return query select null::text, 0, 'use_new_staleness_check is off';
    return;
  end if;
  if not pg_try_advisory_xact_lock(hashtext('switchyard.staleness_pass'), hashtext(p_kind)) then
    perform switchyard.record_event(p_kind || ' check skipped', '{"reason": "another pass is running"}');
    return query select null::text, 0, 'another pass is running';
    return;
  end if;

  -- Each kind of work has room of its own, so that viewers cannot keep out what is on schedule.
  select switchyard.setting_integer('most_pending_jobs') / case p_kind when 'scheduled' then 2 else 1 end
         - count(*)
    into v_room
    from switchyard.api_call_queue_v2_live as q
   where q.status = 'pending' and q.source = p_kind;

  -- A loop, because each type has a table and functions of its own; in a block of its own, because
  -- the fault of one must not keep the others from being refreshed.
  for v_type in
    select r.*
      from public.data_type_registry_v2 as r
     where r.stage in ('canary', 'live', 'retired')
       and (p_kind = 'demand' or r.refresh_strategy in ('scheduled', 'hybrid'))
     order by r.priority desc, r.data_type
  loop
    v_queued := 0;
    v_reason := case
      when v_type.paused then 'the data type is paused'
      when public.is_quota_exceeded_v2(v_type.provider) then 'the 30-day byte quota is used up'
      when v_room <= 0 and v_type.symbol_column is not null then 'enough jobs are pending'
      else switchyard.provider_refusal(v_type.provider)
    end;
    -- No type takes more than half of what is left; a global one is a single job.
    v_share := greatest(ceil(v_room / 2.0), 1);
    if v_reason is null then
      begin
        if p_kind = 'demand' then
          v_queued := switchyard.queue_stale(
            v_type,
            format('select d.symbol, least(999 + sum(d.viewers), 8999)::integer as weight from (%s) as d (symbol, viewers) group by d.symbol',
                   switchyard.demand_sql(v_type)),
            'c.weight desc, c.symbol', 'demand', v_share, 0);
        else
          v_most := switchyard.scheduled_share(v_type);
          v_queued := switchyard.queue_stale(
            v_type,
            format('select k.symbol, %s as weight from (%s) as k (symbol)',
                   v_type.priority, switchyard.scheduled_symbols_sql(v_type)),
            'c.refreshed_at nulls first, c.symbol', 'scheduled', least(v_share, v_most),
            -- What would be stale before the next pass; else a TTL of a minute came to two.
            least(60, 30 * v_type.default_ttl_minutes));
        end if;
      exception when others then
        v_reason := format('failed: %s', sqlerrm);
        perform switchyard.record_event(
          p_kind || ' check failed', jsonb_build_object('message', sqlerrm, 'sqlstate', sqlstate),
          0, v_type.provider, v_type.data_type);
      end;
    else
      perform switchyard.record_event(
        p_kind || ' check skipped', jsonb_build_object('reason', v_reason), 0, v_type.provider, v_type.data_type);
    end if;
    v_room := v_room - v_queued;
    v_total := v_total + v_queued;
    return query select v_type.data_type, v_queued, v_reason;
  end loop;

  if v_total > 0 then
    perform switchyard.record_event(p_kind || ' check', '{}', v_total);
    perform switchyard.wake_processor();
  end if;
end
$$;
comment on function switchyard.staleness_pass(text) is
  'One pass of the demand or the scheduled check: one statement per data type that the queue refreshes, each isolated from the faults of the others, bounded by most_pending_jobs. Returns per type the number of new jobs and why none could be queued.';

create function switchyard.scheduled_symbols_sql(p_type public.data_type_registry_v2)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  v_known_table text := switchyard.setting('known_symbols_table') #>> '{}';
  v_known_column text := switchyard.setting('known_symbols_column') #>> '{}';
  v_known_active_column text := switchyard.setting('known_symbols_active_column') #>> '{}';
begin
  return case
    when p_type.symbol_column is null then 'select ''GLOBAL'''
    when v_known_table is null then format(
      'select s.symbol from switchyard.refresh_state as s where s.data_type = %L', p_type.data_type)
    else format(
      'select k.%I from public.%I as k where %s', v_known_column, v_known_table,
      case when v_known_active_column is null then 'true' else format('k.%I', v_known_active_column) end)
  end;
end
$$;
comment on function switchyard.scheduled_symbols_sql(public.data_type_registry_v2) is
  'SQL for the symbols that are refreshed on schedule: the active known ones; without a table of known symbols those that were refreshed before.';

create function switchyard.scheduled_share(p_type public.data_type_registry_v2)
returns integer
language plpgsql
stable
set search_path = ''
as $$
declare
  v_symbols bigint;
begin
  execute format('select count(*) from (%s) as k', switchyard.scheduled_symbols_sql(p_type)) into v_symbols;
  -- A pass comes each minute: a TTL's worth of passes would refresh all, and half of that more
  -- catches up after a pause.
  return ceil(1.5 * v_symbols / p_type.default_ttl_minutes);
end
$$;
comment on function switchyard.scheduled_share(public.data_type_registry_v2) is
  'Most symbols of a type that one scheduled pass may queue, so that refreshes spread over the TTL and never come in a burst.';

create function public.check_and_queue_stale_data_from_presence_v2()
returns table (data_type text, queued integer, reason text)
language sql
volatile
set search_path = ''
as $$
  select * from switchyard.staleness_pass('demand')
$$;
comment on function public.check_and_queue_stale_data_from_presence_v2() is
  'Queues what viewers look at (active_subscriptions_v2 and row-change subscribers, as the settings say) and what is stale: one statement per data type in stage canary, live or retired. Called by cron each minute. Returns per type the new jobs, or why there are none. Does nothing while use_queue_system or use_new_staleness_check is off. For postgres.';

create function public.queue_scheduled_refreshes_v2()
returns table (data_type text, queued integer, reason text)
language sql
volatile
set search_path = ''
as $$
  select * from switchyard.staleness_pass('scheduled')
$$;
comment on function public.queue_scheduled_refreshes_v2() is
  'Queues the longest unrefreshed symbols of scheduled and hybrid data types, those that are stale now or will be before the next pass, in the lowest band, spread over the TTL. Called by cron each minute. Returns per type the new jobs, or why there are none. Does nothing while use_queue_system or use_new_staleness_check is off. For postgres.';

revoke all on function
  switchyard.condition_sql(public.data_type_registry_v2, text, text),
  switchyard.stale_symbols_sql(public.data_type_registry_v2, integer),
  switchyard.demand_sql(public.data_type_registry_v2),
  switchyard.queue_stale(public.data_type_registry_v2, text, text, text, integer, integer),
  switchyard.staleness_pass(text),
  switchyard.scheduled_symbols_sql(public.data_type_registry_v2),
  switchyard.scheduled_share(public.data_type_registry_v2),
  public.check_and_queue_stale_data_from_presence_v2(),
  public.queue_scheduled_refreshes_v2()
from public, anon, authenticated, service_role;
