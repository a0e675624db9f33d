-- Adds what a settle says about symbols besides their rows. Nothing calls it yet.

create function switchyard.note_covered_symbols(p_results switchyard.held_result[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_known_table text := switchyard.setting('known_symbols_table') #>> '{}';
  v_known_column text := switchyard.setting('known_symbols_column') #>> '{}';
  v_known_active_column text := switchyard.setting('known_symbols_active_column') #>> '{}';
  v_data_type text;
  v_covered text;
  v_symbol_column text;
begin
  -- A loop over the one or two such types of a batch: the covered ones differ in their columns.
  for v_data_type, v_covered, v_symbol_column in
    select t.data_type, covered.data_type, covered.symbol_column
      from public.data_type_registry_v2 as t
      join public.data_type_registry_v2 as covered on covered.data_type = t.covers
     where t.data_type in (
       select r.data_type from unnest(p_results) as r where r.outcome in ('completed', 'progress'))
     order by covered.data_type
  loop
    -- Symbols that nobody can ask for need no state; without a table of known ones those that have
    -- one already are the ones that are asked for.
    execute format(
      $sql$
        insert into switchyard.refresh_state as s (symbol, data_type, last_checked_at)
        select brought.symbol, %1$L, clock_timestamp()
          from (
            select distinct e.item ->> %2$L as symbol
              from unnest($1) as r
             cross join jsonb_array_elements(r.rows) as e (item)
             where r.data_type = %3$L and r.outcome in ('completed', 'progress')
          ) as brought
         where %4$s
         order by brought.symbol
            on conflict (data_type, symbol) do update
           set last_checked_at = greatest(s.last_checked_at, excluded.last_checked_at),
               empty_until = null,
               failing_until = null,
               consecutive_failures = 0
      $sql$,
      v_covered, v_symbol_column, v_data_type,
      case when v_known_table is null
           then format('exists (select 1 from switchyard.refresh_state as k where k.data_type = %L and k.symbol = brought.symbol)',
                       v_covered)
           else format('exists (select 1 from public.%I as k where k.%I = brought.symbol and %s)',
                       v_known_table, v_known_column,
                       case when v_known_active_column is null then 'true'
                            else format('k.%I', v_known_active_column) end) end)
      using p_results;
  end loop;
end
$$;
comment on function switchyard.note_covered_symbols(switchyard.held_result[]) is
  'Notes the symbols whose rows a global type has brought as checked for the type that it covers (data_type_registry_v2.covers), so that they are not asked for one by one.';

create function switchyard.stamp_processed_symbols(p_results switchyard.held_result[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_known_table text := switchyard.setting('known_symbols_table') #>> '{}';
  v_known_column text := switchyard.setting('known_symbols_column') #>> '{}';
  v_processed_column text;
  v_symbols text[];
begin
  if v_known_table is null then
    return;
  end if;
  for v_processed_column, v_symbols in
    select t.processed_column, array_agg(distinct r.symbol)
      from unnest(p_results) as r
      join public.data_type_registry_v2 as t on t.data_type = r.data_type
     where t.processed_column is not null and r.outcome = 'completed'
     group by t.processed_column
     order by t.processed_column
  loop
    begin
      -- Locked in the order of symbols, as by every settle.
      execute format(
        $sql$
          with stamped as materialized (
            select k.%2$I as symbol from public.%1$I as k where k.%2$I = any ($1) order by k.%2$I for no key update
          )
          update public.%1$I as k set %3$I = clock_timestamp() from stamped as s where k.%2$I = s.symbol
        $sql$,
        v_known_table, v_known_column, v_processed_column)
        using v_symbols;
    exception when undefined_column or undefined_table or insufficient_privilege then
      -- A mark for people; the rows are worth more.
      perform switchyard.record_event(
        'symbols not stamped', jsonb_build_object('column', v_processed_column, 'message', sqlerrm));
    end;
  end loop;
end
$$;
comment on function switchyard.stamp_processed_symbols(switchyard.held_result[]) is
  'Sets the column of the known symbols'' table that a type names (data_type_registry_v2.processed_column) for the symbols whose rows came in. Where the column or the right to it is missing, that is an event.';

create function switchyard.emptied_jobs(p_results switchyard.held_result[])
returns bigint[]
language plpgsql
stable
set search_path = ''
as $$
declare
  v_table_name text;
  v_data_type text;
  v_symbol_column text;
  v_ids bigint[];
  v_emptied bigint[] := '{}'::bigint[];
begin
  -- A loop over the one or two types of a batch for which the vendor had nothing: each has a table of its own.
  for v_data_type, v_table_name, v_symbol_column in
    select t.data_type, t.table_name, t.symbol_column
      from public.data_type_registry_v2 as t
     where t.data_type in (
       select r.data_type from unnest(p_results) as r where r.outcome = 'empty' and r.destination = 'table')
     order by t.data_type
  loop
    execute format(
      $sql$
        select array_agg(r.job_id)
          from unnest($1) as r
         where r.data_type = $2 and r.outcome = 'empty' and r.destination = 'table'
           and exists (select 1 from public.%I as t where %s)
      $sql$,
      v_table_name,
      case when v_symbol_column is null then 'true' else format('t.%I = r.symbol', v_symbol_column) end)
      into v_ids
      using p_results, v_data_type;
    v_emptied := v_emptied || v_ids;
  end loop;
  return v_emptied;
end
$$;
comment on function switchyard.emptied_jobs(switchyard.held_result[]) is
  'Ids of the jobs for which the vendor had nothing though the table has rows of their symbols.';

create function switchyard.note_refresh_state(p_results switchyard.held_result[], p_emptied bigint[] default '{}')
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  insert into switchyard.refresh_state as s (
    symbol, data_type, last_checked_at, last_changed_at, content_hash, empty_until, failing_until,
    consecutive_failures, failed_at
  )
  select r.symbol, r.data_type,
         case when r.outcome = 'failed' then '-infinity' else clock_timestamp() end,
         case when r.rows_written > 0 then clock_timestamp() end,
         case when r.outcome = 'completed' then (
           select md5(string_agg((e.item - t.timestamp_column)::text, ',' order by e.place))
             from jsonb_array_elements(r.rows) with ordinality as e (item, place)) end,
         case when r.outcome = 'empty'
              then clock_timestamp() + make_interval(mins => case
                -- It had rows before: rather a fault of the vendor than the truth.
                when r.job_id = any (p_emptied) then least(t.empty_recheck_minutes, t.default_ttl_minutes)
                else t.empty_recheck_minutes end) end,
         case when r.outcome = 'failed' then clock_timestamp() + interval '2 minutes' end,
         case when r.outcome = 'failed' then 1 else 0 end,
         case when r.outcome = 'failed' and switchyard.ends_in_failed(r) then clock_timestamp() end
    from unnest(p_results) as r
    join public.data_type_registry_v2 as t on t.data_type = r.data_type
   where r.outcome in ('completed', 'empty')
      or (r.outcome = 'failed' and r.error ->> 'class' in ('retryable', 'permanent'))
   order by r.data_type, r.symbol
      on conflict (data_type, symbol) do update
     set last_checked_at = greatest(s.last_checked_at, excluded.last_checked_at),
         last_changed_at = coalesce(excluded.last_changed_at, s.last_changed_at),
         content_hash = case when excluded.consecutive_failures > 0 then s.content_hash
                             else excluded.content_hash end,
         empty_until = case when excluded.consecutive_failures > 0 then s.empty_until
                            else excluded.empty_until end,
         failing_until = case when excluded.consecutive_failures > 0 then clock_timestamp() + make_interval(
             mins => least(2 ^ least(s.consecutive_failures + 1, 20), (
               select t.empty_recheck_minutes
                 from public.data_type_registry_v2 as t
                where t.data_type = s.data_type))::integer) end,
         consecutive_failures = case when excluded.consecutive_failures > 0
                                     then s.consecutive_failures + 1 else 0 end,
         failed_at = coalesce(excluded.failed_at, s.failed_at);
end
$$;
comment on function switchyard.note_refresh_state(switchyard.held_result[], bigint[]) is
  'Keeps switchyard.refresh_state true after a settle. That the vendor has nothing is believed for empty_recheck_minutes; of symbols that have rows (p_emptied, see switchyard.emptied_jobs) no longer than for the TTL. Releases, parts, holds, collisions and missing parents say nothing about the symbol and are left out.';

revoke all on function
  switchyard.note_covered_symbols(switchyard.held_result[]),
  switchyard.stamp_processed_symbols(switchyard.held_result[]),
  switchyard.emptied_jobs(switchyard.held_result[]),
  switchyard.note_refresh_state(switchyard.held_result[], bigint[])
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.note_covered_symbols(switchyard.held_result[]),
  switchyard.stamp_processed_symbols(switchyard.held_result[]),
  switchyard.emptied_jobs(switchyard.held_result[]),
  switchyard.note_refresh_state(switchyard.held_result[], bigint[])
to service_role;
