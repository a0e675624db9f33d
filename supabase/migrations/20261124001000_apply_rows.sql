-- Adds the generic upsert that writes fetched rows into the data tables. Nothing calls it yet.

create function switchyard.row_problem(p_data_type text, p_symbol text, p_rows jsonb)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  v_symbol_column text;
  v_conflict_columns text[];
  v_problem text;
begin
  select r.symbol_column, r.conflict_columns into v_symbol_column, v_conflict_columns
    from public.data_type_registry_v2 as r
   where r.data_type = p_data_type;

  select case
           when jsonb_typeof(e.item) <> 'object'
             then format('row %s is not an object but %s', e.place, jsonb_typeof(e.item))
           when v_symbol_column is not null and e.item ->> v_symbol_column is distinct from p_symbol
             then format('row %s has %s %s, wanted "%s"', e.place, v_symbol_column,
                         coalesce(quote_ident(left(e.item ->> v_symbol_column, 40)), 'null'), p_symbol)
           else format('row %s has no value for key column "%s"', e.place, (
             select c from unnest(v_conflict_columns) as c where e.item ->> c is null limit 1))
         end
    into v_problem
    from jsonb_array_elements(p_rows) with ordinality as e (item, place)
   where jsonb_typeof(e.item) <> 'object'
      or (v_symbol_column is not null and e.item ->> v_symbol_column is distinct from p_symbol)
      or exists (select 1 from unnest(v_conflict_columns) as c where e.item ->> c is null)
   order by e.place
   limit 1;
  return v_problem;
end
$$;
comment on function switchyard.row_problem(text, text, jsonb) is
  'What is wrong with the rows of a job, in a sentence, or null: each must be an object, about the symbol of the job, with all key columns.';

create function switchyard.apply_rows(p_data_type text, p_rows jsonb)
returns table (symbol text, rows_written integer)
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_type public.data_type_registry_v2;
  v_keys text[];
  v_columns text[];
  v_compared text[];
  v_sql text;
  v_clock_columns text[];
begin
  select r.* into strict v_type
    from public.data_type_registry_v2 as r
   where r.data_type = p_data_type;
  -- The column that moves is set by the clock, save where it holds the vendor's own time.
  if v_type.timestamp_column is distinct from v_type.source_timestamp_column then
    v_clock_columns := array[v_type.timestamp_column];
  else
    v_clock_columns := '{}';
  end if;

  -- One statement per set of keys, because a key that a row does not have must leave its column
  -- alone. Fetchers send one set, so this is one statement.
  for v_keys in
    select distinct array(select k from jsonb_object_keys(e.item) as k order by k)
      from jsonb_array_elements(p_rows) as e (item)
  loop
    select array_agg(a.attname::text order by a.attnum),
           array_agg(
             case when a.atttypid in ('json'::regtype, 'xml'::regtype)
                  then format('%I::text', a.attname) else quote_ident(a.attname) end
             order by a.attnum)
             filter (where a.attname <> all (v_type.conflict_columns || v_type.insert_only_columns))
      into v_columns, v_compared
      from pg_catalog.pg_attribute as a
     where a.attrelid = format('public.%I', v_type.table_name)::regclass
       and a.attnum > 0
       and not a.attisdropped
       and a.attgenerated = ''
       and a.attidentity <> 'a'
       and a.attname <> all (v_clock_columns)
       and a.attname = any (v_keys);

    v_sql := format(
      $sql$
        with incoming as (
          select distinct on (%1$s) i.*
            from jsonb_populate_recordset(null::public.%2$I, $1) as i
           order by %1$s, %3$s
        ),
        written as (
          insert into public.%2$I as stored (%4$s)
          select %5$s
            from incoming as i
           where not exists (
             select 1
               from public.%2$I as stored
              where %6$s
                and (%7$s)
           )
           order by %8$s
              on conflict (%9$s) do update set %10$s
           where %11$s
          returning %12$s as symbol
        )
        select w.symbol, count(*)::integer from written as w group by w.symbol
      $sql$,
      -- 1 key of incoming, 2 table, 3 newest first
      (select string_agg(format('i.%I', c), ', ') from unnest(v_type.conflict_columns) as c),
      v_type.table_name,
      case when v_type.source_timestamp_column = any (v_columns)
           then format('i.%I desc nulls last', v_type.source_timestamp_column) else '1' end,
      -- 4 columns, 5 their values
      (select string_agg(quote_ident(c), ', ') from unnest(v_columns || v_clock_columns) as c),
      concat_ws(', ',
        (select string_agg(format('i.%I', c), ', ') from unnest(v_columns) as c),
        case when v_clock_columns <> '{}' then 'clock_timestamp()' end),
      -- 6 the stored row of the same key …
      (select string_agg(format('stored.%1$I = i.%1$I', c), ' and ')
         from unnest(v_type.conflict_columns) as c),
      -- 7 … which is newer at the source, or the same in content
      concat_ws(' or ',
        case when v_type.source_timestamp_column = any (v_columns)
             then format('stored.%1$I > i.%1$I', v_type.source_timestamp_column) end,
        case when v_type.rewrites_unchanged then 'false'
             when v_compared is null then 'true'
             else format('(%s) is not distinct from (%s)',
                         (select string_agg('stored.' || c, ', ') from unnest(v_compared) as c),
                         (select string_agg('i.' || c, ', ') from unnest(v_compared) as c)) end),
      -- 8 order of locking, 9 conflict target
      (select string_agg(format('i.%I', c), ', ') from unnest(v_type.conflict_columns) as c),
      (select string_agg(quote_ident(c), ', ') from unnest(v_type.conflict_columns) as c),
      -- 10 assignments
      (select string_agg(format('%1$I = excluded.%1$I', c), ', ')
         from unnest(v_columns || v_clock_columns) as c
        where c <> all (v_type.conflict_columns || v_type.insert_only_columns)),
      -- 11 a row that came in between must not be overwritten by an older one
      case when v_type.source_timestamp_column = any (v_columns)
           then format('stored.%1$I is null or excluded.%1$I is null or stored.%1$I <= excluded.%1$I',
                       v_type.source_timestamp_column) else 'true' end,
      -- 12 whose row it was
      case when v_type.symbol_column is null then quote_literal('GLOBAL')
           else format('stored.%I::text', v_type.symbol_column) end
    );

    return query execute v_sql using (
      select jsonb_agg(e.item)
        from jsonb_array_elements(p_rows) as e (item)
       where array(select k from jsonb_object_keys(e.item) as k order by k) = v_keys
    );
  end loop;
end
$$;
comment on function switchyard.apply_rows(text, jsonb) is
  'Upserts rows (an array of objects keyed by column name) into the table of a data type: known columns only, other columns untouched, a row older at the source never over a newer one, unchanged rows not rewritten. Returns rows written per symbol. Raises what the table raises.';

revoke all on function
  switchyard.row_problem(text, text, jsonb),
  switchyard.apply_rows(text, jsonb)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.row_problem(text, text, jsonb),
  switchyard.apply_rows(text, jsonb)
to service_role;
