-- Adds the writing of rows that a settle brings. Nothing calls it yet.

create function switchyard.apply_held_rows(p_results switchyard.held_result[])
returns switchyard.held_result[]
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_results switchyard.held_result[] := p_results;
  v_result switchyard.held_result;
  v_data_type text;
  v_rows jsonb;
  v_written jsonb;
  v_sqlstate text;
  v_message text;
begin
  -- Row shape first: what is refused here never reaches a table. A loop over the few bad ones.
  for v_result in
    select h.*
      from unnest(v_results) as h
      join public.data_type_registry_v2 as t on t.data_type = h.data_type
     where h.outcome in ('completed', 'progress')
       and h.destination <> 'discard'
       and exists (
         select 1
           from jsonb_array_elements(h.rows) as e (item)
          where jsonb_typeof(e.item) <> 'object'
             or (t.symbol_column is not null and e.item ->> t.symbol_column is distinct from h.symbol)
             or exists (select 1 from unnest(t.conflict_columns) as c where e.item ->> c is null))
  loop
    v_result.outcome := 'failed';
    v_result.error := jsonb_build_object(
      'class', 'permanent', 'code', 'bad_rows',
      'message', switchyard.row_problem(v_result.data_type, v_result.symbol, v_result.rows));
    v_results[v_result.position] := v_result;
  end loop;

  -- A loop over the data types of the batch, because each has a table of its own.
  for v_data_type, v_rows in
    select r.data_type, jsonb_agg(e.item)
      from unnest(v_results) as r
     cross join jsonb_array_elements(r.rows) as e (item)
     where r.outcome in ('completed', 'progress') and r.destination = 'table'
     group by r.data_type
     order by r.data_type
  loop
    begin
      select coalesce(jsonb_object_agg(w.symbol, w.total), '{}')
        into v_written
        from (select a.symbol, sum(a.rows_written) as total
                from switchyard.apply_rows(v_data_type, v_rows) as a
               group by a.symbol) as w;

      for v_result in
        select r.* from unnest(v_results) as r
         where r.data_type = v_data_type and r.outcome in ('completed', 'progress') and r.destination = 'table'
      loop
        v_results[v_result.position].rows_written := coalesce((v_written ->> v_result.symbol)::integer, 0);
      end loop;
    exception when others then
      -- One of these jobs is bad: apply them one by one, so that it alone fails.
      for v_result in
        select r.* from unnest(v_results) as r
         where r.data_type = v_data_type and r.outcome in ('completed', 'progress') and r.destination = 'table'
      loop
        begin
          select coalesce(sum(a.rows_written), 0)::integer
            into v_result.rows_written
            from switchyard.apply_rows(v_data_type, v_result.rows) as a;
        exception when others then
          get stacked diagnostics v_sqlstate = returned_sqlstate, v_message = message_text;
          v_result.outcome := 'failed';
          v_result.rows_written := 0;
          v_result.error := jsonb_build_object(
            'class', switchyard.error_class_of(v_sqlstate), 'code', v_sqlstate,
            'message', format('Cannot write %s for "%s": %s', v_data_type, v_result.symbol, v_message));
        end;
        v_results[v_result.position] := v_result;
      end loop;
    end;
  end loop;
  return v_results;
end
$$;
comment on function switchyard.apply_held_rows(switchyard.held_result[]) is
  'Writes the rows of completed results and of parts whose destination is the table, and returns all results: with rows_written, or turned into failed where the rows were refused. Positions must run from 1 without gaps.';

create function switchyard.tell_rows_of_others(p_results switchyard.held_result[])
returns switchyard.held_result[]
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_results switchyard.held_result[] := p_results;
  v_position integer;
  v_table_name text;
  v_symbol_column text;
  v_has_row boolean;
begin
  -- A loop over the few results of such types that wrote nothing.
  for v_position, v_table_name, v_symbol_column in
    select r.position, t.table_name, t.symbol_column
      from unnest(v_results) as r
      join public.data_type_registry_v2 as t on t.data_type = r.data_type
     where r.outcome = 'completed'
       and r.destination = 'table'
       and r.rows_written = 0
       and t.fetcher <> 'edge-function'
       and t.symbol_column <> all (t.conflict_columns)
  loop
    execute format('select exists (select 1 from public.%I as t where t.%I = $1)', v_table_name, v_symbol_column)
      into v_has_row
      using v_results[v_position].symbol;
    if not v_has_row then
      v_results[v_position].outcome := 'empty';
    end if;
  end loop;
  return v_results;
end
$$;
comment on function switchyard.tell_rows_of_others(switchyard.held_result[]) is
  'Where the key of a table does not hold the symbol, all rows of a result may belong to another symbol, which keeps them. Such a result becomes empty: without rows of its own the symbol would count as stale for ever.';

revoke all on function
  switchyard.apply_held_rows(switchyard.held_result[]),
  switchyard.tell_rows_of_others(switchyard.held_result[])
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.apply_held_rows(switchyard.held_result[]),
  switchyard.tell_rows_of_others(switchyard.held_result[])
to service_role;
