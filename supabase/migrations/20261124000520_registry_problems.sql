-- Adds the view of what is wrong with registry rows. Changes nothing.

create function switchyard.has_column(p_table_name text, p_column_name text)
returns boolean
language sql
stable
set search_path = ''
as $$
  select exists (
    select 1
      from pg_catalog.pg_attribute as a
     where a.attrelid = to_regclass('public.' || quote_ident(p_table_name))
       and a.attname = p_column_name
       and a.attnum > 0
       and not a.attisdropped
  )
$$;
comment on function switchyard.has_column(text, text) is
  'Whether public.<table> exists and has the column.';

create function switchyard.lists_symbols(p_table_name text, p_symbol_column text)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_known_table text := switchyard.setting('known_symbols_table') #>> '{}';
  v_known_column text := switchyard.setting('known_symbols_column') #>> '{}';
  v_percent numeric;
  v_lists boolean;
begin
  -- Some rows of anywhere in the table: no index helps to find one that is listed, or that none is.
  select least(100, 100000 / greatest(c.reltuples, 1))::numeric into v_percent
    from pg_catalog.pg_class as c
   where c.oid = to_regclass('public.' || quote_ident(p_table_name)) and c.relkind in ('r', 'p');
  if v_percent is null or v_known_table is null
     or not switchyard.has_column(v_known_table, v_known_column)
     or not switchyard.has_column(p_table_name, p_symbol_column) then
    return true;
  end if;
  execute format(
    'with seen as materialized (
       select distinct s.symbol from (select t.%I::text as symbol from public.%I as t tablesample system (%s) limit 1000) as s
     )
     select not exists (select from seen)
            or exists (select from seen as s join public.%I as k on k.%I::text = s.symbol)',
    p_symbol_column, p_table_name, v_percent, v_known_table, v_known_column)
    into v_lists;
  return v_lists;
end
$$;
comment on function switchyard.lists_symbols(text, text) is
  'Whether the table of known symbols lists any symbol of about a thousand rows of public.<table>, active or not; true as well where there is nothing to tell it from: no such table or column, no rows. As its owner, for service_role may read neither.';

create view public.registry_problems_v2
with (security_invoker = true)
as
  select r.data_type, problem.sentence as problem
    from public.data_type_registry_v2 as r
   cross join lateral (
      select format('Table public.%s does not exist', r.table_name)
       where to_regclass(format('public.%I', r.table_name)) is null
      union all
      select format('Column "%s" (%s) is not in public.%s', wanted.name, wanted.field, r.table_name)
        from (
          select 'symbol_column' as field, r.symbol_column as name
          union all select 'timestamp_column', r.timestamp_column
          union all select 'source_timestamp_column', r.source_timestamp_column
          union all select 'conflict_columns', unnest(r.conflict_columns)
          union all select 'insert_only_columns', unnest(r.insert_only_columns)
          union all select 'shadow_rules', jsonb_array_elements_text(r.shadow_rules -> 'ignore')
          union all select 'shadow_rules', jsonb_array_elements_text(r.shadow_rules -> 'volatile')
          union all select 'shadow_rules', jsonb_array_elements_text(r.shadow_rules -> 'same_moment')
          union all select 'shadow_rules', jsonb_array_elements_text(r.shadow_rules -> 'coarser')
          union all select 'shadow_rules', jsonb_object_keys(r.shadow_rules -> 'tolerances')
          union all select 'shadow_rules', jsonb_object_keys(r.shadow_rules -> 'other_moment')
          union all select 'shadow_rules', jsonb_array_elements(r.shadow_rules -> 'known_differences') ->> 'column'
        ) as wanted
       where wanted.name is not null
         and to_regclass(format('public.%I', r.table_name)) is not null
         and not switchyard.has_column(r.table_name, wanted.name)
      union all
      select format('Column "%s" (timestamp_column) of public.%s is not a timestamptz',
                    r.timestamp_column, r.table_name)
        from pg_catalog.pg_attribute as a
       where a.attrelid = to_regclass(format('public.%I', r.table_name))
         and a.attname = r.timestamp_column
         and a.atttypid <> 'timestamptz'::regtype
      union all
      select format('public.%s has no unique index on exactly (%s)',
                    r.table_name, array_to_string(r.conflict_columns, ', '))
       where to_regclass(format('public.%I', r.table_name)) is not null
         and not exists (
           select 1
             from pg_catalog.pg_index as i
            where i.indrelid = to_regclass(format('public.%I', r.table_name))
              and i.indisunique and i.indisvalid and i.indimmediate
              and i.indpred is null and i.indexprs is null
              and (select array_agg(a.attname::text order by a.attname)
                     from pg_catalog.unnest(i.indkey::int2[]) with ordinality as k (attnum, position)
                     join pg_catalog.pg_attribute as a
                       on a.attrelid = i.indrelid and a.attnum = k.attnum
                    where k.position <= i.indnkeyatts)
                  = (select array_agg(c order by c) from unnest(r.conflict_columns) as c))
      union all
      select format('public.%s, which known_symbols_table names, does not exist', known.table_name)
        from (select switchyard.setting('known_symbols_table') #>> '{}' as table_name) as known
       where r.symbol_column is not null
         and known.table_name is not null
         and to_regclass('public.' || quote_ident(known.table_name)) is null
      union all
      select format('Column "%s" (%s) is not in the table of known symbols, public.%s', named.column_name, named.name, known.table_name)
        from (select switchyard.setting('known_symbols_table') #>> '{}' as table_name) as known
       cross join unnest('{known_symbols_column,known_symbols_active_column}'::text[]) as setting (name)
       cross join lateral (select setting.name, switchyard.setting(setting.name) #>> '{}' as column_name) as named
       where r.symbol_column is not null
         and to_regclass('public.' || quote_ident(known.table_name)) is not null
         and named.column_name is not null
         and not switchyard.has_column(known.table_name, named.column_name)
      union all
      select format('The symbols of public.%s are not in public.%s, which known_symbols_table names, so nothing of it would be refreshed',
                    r.table_name, switchyard.setting('known_symbols_table') #>> '{}')
       where r.symbol_column is not null
         and not switchyard.lists_symbols(r.table_name, r.symbol_column)
      union all
      select format('Column "%s" (processed_column) is not in the table of known symbols, public.%s',
                    r.processed_column, known.table_name)
        from (select switchyard.setting('known_symbols_table') #>> '{}' as table_name) as known
       where r.processed_column is not null
         and known.table_name is not null
         and not switchyard.has_column(known.table_name, r.processed_column)
      union all
      select format('Provider "%s" has no calls_per_minute, so no job of it is ever claimed', p.provider)
        from public.api_providers_v2 as p
       where p.provider = r.provider and p.calls_per_minute is null
      union all
      select format('Provider "%s" has no bytes_per_30_days, so no job of it is ever claimed', p.provider)
        from public.api_providers_v2 as p
       where p.provider = r.provider and p.bytes_per_30_days is null
      union all
      select format('One group of calls (api_calls_per_batch = %s) is more than provider "%s" allows in a minute',
                    r.api_calls_per_batch, p.provider)
        from public.api_providers_v2 as p
       where p.provider = r.provider
         and r.api_calls_per_batch > floor(p.calls_per_minute * (1 - p.calls_margin))
      union all
      select format('staleness_function public.%s(timestamptz, integer) is gone', r.staleness_function)
       where to_regprocedure(format('public.%I(timestamptz, integer)', r.staleness_function)) is null
      union all
      select format('condition_function public.%s(text) is gone', r.condition_function)
       where r.condition_function is not null
         and to_regprocedure(format('public.%I(text)', r.condition_function)) is null
   ) as problem (sentence);
comment on view public.registry_problems_v2 is
  'What is wrong with each registry row, a sentence per row; empty when all is well. A type with a problem cannot leave the stage legacy. For service_role and the SQL editor.';

revoke all on table public.registry_problems_v2
  from public, anon, authenticated, service_role;
grant select on table public.registry_problems_v2 to service_role;

revoke all on function
  switchyard.has_column(text, text),
  switchyard.lists_symbols(text, text)
from public, anon, authenticated, service_role;
grant execute on function switchyard.has_column(text, text), switchyard.lists_symbols(text, text) to service_role;
