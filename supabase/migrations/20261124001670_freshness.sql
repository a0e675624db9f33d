-- Adds samples of how old the data of each type is, under both systems. Reads the data tables; nothing calls
-- it yet.

create table switchyard.freshness_samples (
  data_type text not null,
  sampled_at timestamptz not null default clock_timestamp(),
  stage text not null,
  symbols_known integer not null,
  left_out integer not null,
  rows integer not null,
  stale_rows integer not null,
  very_stale_rows integer not null,
  emptied integer not null default 0,
  p50_age_seconds double precision,
  p95_age_seconds double precision,
  max_age_seconds double precision,
  duration_ms double precision not null,
  primary key (data_type, sampled_at)
);
comment on table switchyard.freshness_samples is
  'How old the data of each type was, once a minute while sampling is on, whoever refreshed it. The age of a symbol is that of its newest row, or of the last check that found nothing new. Of a canary its share alone is judged, by what the queue did; of an on-demand type that the queue serves, what somebody looks at, from then on. Kept for freshness_retention_days.';
comment on column switchyard.freshness_samples.symbols_known is
  'Symbols that are to be fresh, left_out included; 1 for global types.';
comment on column switchyard.freshness_samples.left_out is
  'Of these, such as the vendor has nothing for and that have no rows, and stale ones whose condition function says not now.';
comment on column switchyard.freshness_samples.rows is
  'Judged symbols that have rows.';
comment on column switchyard.freshness_samples.stale_rows is
  'Judged symbols that are older than the TTL, of unknown age, or without rows.';
comment on column switchyard.freshness_samples.very_stale_rows is
  'Judged symbols with rows that are older than most_age_ttls (a gate setting) TTLs, or of unknown age.';
comment on column switchyard.freshness_samples.emptied is
  'Judged symbols with rows for which the vendor had nothing when it was asked last.';
comment on column switchyard.freshness_samples.duration_ms is
  'How long the sample took. In legacy and shadow a type is sampled so rarely that this takes at most freshness_time_percent of the time.';

create index freshness_samples_sampled_at_idx on switchyard.freshness_samples (sampled_at);

create table switchyard.watched_symbols (
  data_type text not null,
  symbol text not null,
  since timestamptz not null,
  primary key (data_type, symbol)
);
comment on table switchyard.watched_symbols is
  'Symbols of on-demand types that somebody looks at, and which freshness sample saw that first: the queue refreshes these alone, and not before.';

create function switchyard.note_watched_symbols(p_type public.data_type_registry_v2)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  execute format(
    $sql$
      with demanded as materialized (select distinct d.symbol from (%1$s) as d (symbol, viewers)),
      gone as (
        delete from switchyard.watched_symbols as w
         where w.data_type = %2$L and not exists (select 1 from demanded as d where d.symbol = w.symbol)
      )
      insert into switchyard.watched_symbols (data_type, symbol, since)
      select %2$L, d.symbol, clock_timestamp()
        from demanded as d
       where not exists (
         select 1 from switchyard.watched_symbols as w where w.data_type = %2$L and w.symbol = d.symbol)
          on conflict do nothing
    $sql$,
    switchyard.demand_sql(p_type), p_type.data_type);
end
$$;
comment on function switchyard.note_watched_symbols(public.data_type_registry_v2) is
  'Keeps switchyard.watched_symbols true for one data type.';

create function switchyard.judged_symbols_sql(p_type public.data_type_registry_v2)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  v_is_served boolean := p_type.stage in ('canary', 'live', 'retired');
  v_symbols_sql text;
begin
  v_symbols_sql := case
    when p_type.symbol_column is null then 'select ''GLOBAL'''
    when switchyard.setting('known_symbols_table') <> 'null' then switchyard.scheduled_symbols_sql(p_type)
    else format('select distinct t.%I::text from public.%I as t', p_type.symbol_column, p_type.table_name)
  end;
  return format(
    'select k.symbol, %s as since from (%s) as k (symbol) %s where %s',
    case when p_type.stage = 'canary' and p_type.refresh_strategy = 'on-demand' then 'greatest(w.since, $2)'
         when p_type.stage = 'canary' then '$2'
         when v_is_served and p_type.refresh_strategy = 'on-demand' then 'w.since'
         else 'null::timestamptz' end,
    v_symbols_sql,
    case when v_is_served and p_type.refresh_strategy = 'on-demand'
         then format('join switchyard.watched_symbols as w on w.data_type = %L and w.symbol = k.symbol', p_type.data_type)
         else '' end,
    switchyard.share_sql(p_type, 'k.symbol'));
end
$$;
comment on function switchyard.judged_symbols_sql(public.data_type_registry_v2) is
  'SQL for the symbols whose freshness the system in charge of a data type answers for, and since when it does (null: always). $2 is when the type came to its stage, its share was changed, or the queue was switched last.';

create function switchyard.symbol_ages_sql(p_type public.data_type_registry_v2)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  v_symbol text := case when p_type.symbol_column is null then '''GLOBAL''::text'
                        else format('t.%I::text', p_type.symbol_column) end;
begin
  -- That the vendor has nothing holds until it is to be asked again, and a TTL longer, as rows do.
  if p_type.stage in ('legacy', 'shadow') then
    -- The table is read as a whole: of most symbols nothing else is known.
    return format(
      $sql$
        select k.symbol, n.symbol is not null as has_rows, n.newest_at as refreshed_at,
               coalesce(s.empty_until > $1 - make_interval(secs => $3), false) as is_empty
          from (%1$s) as k
          left join (
            select %2$s as symbol, max(t.%3$I) as newest_at
              from public.%4$I as t
             where %5$s
             group by 1
          ) as n on n.symbol = k.symbol
          left join switchyard.refresh_state as s on s.data_type = %6$L and s.symbol = k.symbol
      $sql$,
      -- 1 judged symbols, 2 symbol of a row, 3 column that moves, 4 table, 5 rows of judged symbols, 6 data type
      switchyard.judged_symbols_sql(p_type), v_symbol, p_type.timestamp_column, p_type.table_name,
      case when p_type.symbol_column is null then 'true'
           else format('t.%I in (select k.symbol from (%s) as k)',
                       p_type.symbol_column, switchyard.judged_symbols_sql(p_type)) end,
      p_type.data_type);
  end if;

  -- The table is read for those that no fresh check speaks for; of the others one row says that there are
  -- rows. In canary legacy moves the rows, and only the checks say what the queue did.
  return format(
    $sql$
      with due as materialized (
        select k.symbol, greatest(nullif(s.last_checked_at, '-infinity'), k.since) as refreshed_at,
               coalesce(s.empty_until > $1 - make_interval(secs => $3), false) as is_empty
          from (%1$s) as k
          left join switchyard.refresh_state as s on s.data_type = %2$L and s.symbol = k.symbol
      ),
      newest as materialized (
        select %3$s as symbol, max(t.%4$I) as newest_at
          from public.%5$I as t
         where %6$s
         group by 1
      )
      select d.symbol, h.has_rows, greatest(d.refreshed_at, n.newest_at) as refreshed_at,
             d.is_empty
        from due as d
        left join newest as n on n.symbol = d.symbol
       cross join lateral (
         select case when n.symbol is not null then true
                     else exists (select 1 from public.%5$I as t where %7$s) end as has_rows) as h
    $sql$,
    -- 1 judged symbols, 2 data type, 3 symbol of a row, 4 column that moves, 5 table, 6 rows of those without
    -- a fresh check, 7 rows of the symbol
    switchyard.judged_symbols_sql(p_type), p_type.data_type, v_symbol, p_type.timestamp_column, p_type.table_name,
    case
      when p_type.stage = 'canary' then 'false'
      else format(
        '%s in (select d.symbol from due as d
                 where d.refreshed_at is null or d.refreshed_at <= $1 - make_interval(secs => $3))',
        case when p_type.symbol_column is null then '''GLOBAL''' else format('t.%I', p_type.symbol_column) end)
    end,
    case when p_type.symbol_column is null then 'true' else format('t.%I = d.symbol', p_type.symbol_column) end);
end
$$;
comment on function switchyard.symbol_ages_sql(public.data_type_registry_v2) is
  'SQL for the symbols of a data type that are to be fresh: (symbol, has_rows, refreshed_at, is_empty). $1 is now, $2 as in switchyard.judged_symbols_sql, $3 the TTL in seconds.';

create function switchyard.measure_freshness(p_type public.data_type_registry_v2)
returns switchyard.freshness_samples
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_sample switchyard.freshness_samples;
  v_started_at timestamptz := clock_timestamp();
begin
  if p_type.stage in ('canary', 'live', 'retired') and p_type.refresh_strategy = 'on-demand' then
    perform switchyard.note_watched_symbols(p_type);
  end if;
  execute format(
    $sql$
      with aged as materialized (
        select a.symbol, a.has_rows, a.is_empty,
               case when a.has_rows and a.refreshed_at < $1
                    then extract(epoch from $1 - a.refreshed_at)::double precision
                    when a.has_rows and a.refreshed_at >= $1 then 0 end as age
          from (%1$s) as a
      ),
      judged as materialized (
        select a.has_rows, a.age,
               -- The condition is asked for stale ones alone: it may be slow.
               (a.is_empty and not a.has_rows) or (not coalesce(a.age <= $3, false) and not %2$s) as is_out,
               a.is_empty
          from aged as a
      )
      select count(*), count(*) filter (where j.is_out),
             count(*) filter (where not j.is_out and j.has_rows),
             count(*) filter (where not j.is_out and not coalesce(j.age <= $3, false)),
             count(*) filter (where not j.is_out and j.has_rows and not coalesce(j.age <= $4 * $3, false)),
             count(*) filter (where not j.is_out and j.has_rows and j.is_empty),
             percentile_disc(0.5) within group (order by j.age) filter (where not j.is_out),
             percentile_disc(0.95) within group (order by j.age) filter (where not j.is_out),
             max(j.age) filter (where not j.is_out)
        from judged as j
    $sql$,
    switchyard.symbol_ages_sql(p_type),
    switchyard.condition_sql(
      p_type, 'a.symbol', 'select s.symbol from aged as s where not coalesce(s.age <= $3, false) and not (s.is_empty and not s.has_rows)'))
    into v_sample.symbols_known, v_sample.left_out, v_sample.rows, v_sample.stale_rows, v_sample.very_stale_rows,
         v_sample.emptied, v_sample.p50_age_seconds, v_sample.p95_age_seconds, v_sample.max_age_seconds
    using v_started_at,
          greatest(p_type.stage_entered_at, p_type.share_changed_at, (
            select max(e.occurred_at) from switchyard.migration_events as e where e.kind = 'flags')),
          p_type.default_ttl_minutes * 60::double precision,
          switchyard.gate_setting(p_type, 'most_age_ttls')::double precision;
  v_sample.data_type := p_type.data_type;
  v_sample.stage := p_type.stage;
  v_sample.sampled_at := v_started_at;
  v_sample.duration_ms := extract(epoch from clock_timestamp() - v_started_at) * 1000;
  return v_sample;
end
$$;
comment on function switchyard.measure_freshness(public.data_type_registry_v2) is
  'How old the data of one type is now, in one statement over its symbols.';

create function public.sample_freshness_v2()
returns table (data_type text, stale_rows integer, p95_age_seconds double precision, problem text)
language plpgsql
volatile
set search_path = ''
set lock_timeout = '3s'
as $$
#variable_conflict use_column
declare
  v_type public.data_type_registry_v2;
  v_sample switchyard.freshness_samples;
  v_percent integer := switchyard.setting_integer('freshness_time_percent');
begin
  if not pg_try_advisory_xact_lock(hashtext('switchyard.sample_freshness'), 0) then
    return query select null::text, null::integer, null::double precision, 'another sample is being taken';
    return;
  end if;
  -- Legacy jobs that run again are committed at once, and no move waits for the samples.
  if switchyard.watch_queue() > 0 then
    return query select null::text, null::integer, null::double precision,
                        'legacy jobs run again; samples are taken from the next run on';
    return;
  end if;
  -- A loop, because each type has a table of its own; in a block of its own, because the fault of one
  -- must not keep the others from being sampled.
  for v_type in
    select r.*
      from public.data_type_registry_v2 as r
     -- The guard wants a sample of these each minute.
     where r.stage in ('canary', 'live', 'retired') or not exists (
       select 1
         from (select f.sampled_at, f.duration_ms
                 from switchyard.freshness_samples as f
                where f.data_type = r.data_type
                  -- A clock that was set back leaves samples in the future.
                  and f.sampled_at <= clock_timestamp()
                order by f.sampled_at desc
                limit 1) as last
        where last.sampled_at + make_interval(secs => last.duration_ms / 10.0 / v_percent) > clock_timestamp())
     order by r.data_type
  loop
    begin
      v_sample := switchyard.measure_freshness(v_type);
      insert into switchyard.freshness_samples select v_sample.*;
      return query select v_sample.data_type, v_sample.stale_rows, v_sample.p95_age_seconds, null::text;
    exception when others then
      perform switchyard.record_event(
        'freshness sample failed', jsonb_build_object('message', sqlerrm, 'sqlstate', sqlstate),
        0, v_type.provider, v_type.data_type);
      return query select v_type.data_type, null::integer, null::double precision, sqlerrm;
    end;
  end loop;
end
$$;
comment on function public.sample_freshness_v2() is
  'Writes how old the data of each type is to switchyard.freshness_samples, whichever system refreshes it. Called by cron each minute while use_queue_system is on or record_baseline_v2 has started it; types whose sample takes long come less often (freshness_time_percent), save in canary, live and retired. Returns what it saw per type; a type that cannot be sampled has its problem told and keeps no other from it. For postgres.';

alter table switchyard.freshness_samples enable row level security;
alter table switchyard.watched_symbols enable row level security;
revoke all on table switchyard.freshness_samples, switchyard.watched_symbols
from public, anon, authenticated, service_role;
grant select on table switchyard.freshness_samples to service_role;

revoke all on function
  switchyard.note_watched_symbols(public.data_type_registry_v2),
  switchyard.judged_symbols_sql(public.data_type_registry_v2),
  switchyard.symbol_ages_sql(public.data_type_registry_v2),
  switchyard.measure_freshness(public.data_type_registry_v2),
  public.sample_freshness_v2()
from public, anon, authenticated, service_role;
