-- Adds the shadow: what fetched rows would have written, recorded, compared and reported. Nothing is
-- recorded before a data type is in stage shadow or canary.

create function switchyard.record_shadow(p_results switchyard.held_result[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_most_rows integer := switchyard.setting_integer('shadow_rows_per_result');
  v_data_type text;
  v_ids bigint[];
  v_made bigint[];
begin
  with made as (
    insert into switchyard.shadow_results (data_type, symbol, fetched_at, verdict, reason, is_part, rows)
    select h.data_type, h.symbol, coalesce(q.claimed_at, clock_timestamp()),
           case when h.outcome = 'failed' then 'inconclusive' else 'waiting' end,
           case when h.outcome = 'failed' then left('failed: ' || (h.error ->> 'message'), 500) end,
           h.outcome = 'progress' or jsonb_array_length(h.rows) > v_most_rows
           or exists (
             select 1
               from switchyard.job_progress as j
              where j.data_type = h.data_type and j.symbol = h.symbol and j.job_id = h.job_id),
           case
             when h.outcome = 'failed' then null
             when jsonb_array_length(h.rows) > v_most_rows then (
               select jsonb_agg(few.item)
                 from (select e.item from jsonb_array_elements(h.rows) as e (item) order by random() limit v_most_rows) as few)
             else h.rows
           end
      from unnest(p_results) as h
      join public.data_type_registry_v2 as t on t.data_type = h.data_type
      join switchyard.api_call_queue_v2_live as q on q.id = h.job_id and q.finished_at = 'infinity'
     where h.destination = 'shadow'
       -- Rows that an Edge Function wrote by itself are in the table already.
       and t.fetcher <> 'edge-function'
       and (h.outcome in ('completed', 'empty', 'progress')
            or (h.outcome = 'failed' and h.error ->> 'class' in ('retryable', 'permanent')))
    returning id, verdict
  )
  select array_agg(m.id) filter (where m.verdict = 'waiting') into v_made from made as m;

  -- At once, beside what legacy has now: a minute later a type that is refreshed each minute has moved on.
  -- A loop over data types, because each has a table of its own.
  for v_data_type, v_ids in
    select r.data_type, array_agg(r.id order by r.id)
      from switchyard.shadow_results as r
     where r.id = any (v_made)
     group by r.data_type
     order by r.data_type
  loop
    begin
      perform switchyard.compare_shadow(v_data_type, v_ids);
    exception when others then
      -- The results stay waiting; a settle must not fail because of them.
      perform switchyard.record_event(
        'shadow comparison failed', jsonb_build_object('message', sqlerrm, 'sqlstate', sqlstate),
        cardinality(v_ids), null, v_data_type);
    end;
  end loop;
end
$$;
comment on function switchyard.record_shadow(switchyard.held_result[]) is
  'Records the results of a settle whose rows go to the shadow, and compares them. Called before their jobs are concluded. Failed ones are inconclusive, so that their symbols are not chosen again at once.';

create function switchyard.relook_at_shadow(p_data_type text)
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_type public.data_type_registry_v2;
  v_ids bigint[];
  v_until timestamptz := clock_timestamp() + make_interval(secs => switchyard.setting_integer('shadow_look_seconds'));
  v_looks integer := 0;
begin
  select r.* into strict v_type from public.data_type_registry_v2 as r where r.data_type = p_data_type;

  -- Once the queue writes rows itself there is no legacy to compare with; and no more wait than may.
  update switchyard.shadow_results as r
     set verdict = 'inconclusive',
         reason = case when v_type.stage <> 'shadow' then format('the stage is %s now', v_type.stage)
                       else 'gave way to newer ones' end,
         compared_at = clock_timestamp(),
         differences = jsonb_path_query_array(r.differences, '$[0 to 19]'),
         rows = null
   where r.data_type = p_data_type
     and r.verdict = 'waiting'
     and (v_type.stage <> 'shadow'
          or r.id <= (
            select w.id
              from switchyard.shadow_results as w
             where w.data_type = p_data_type and w.verdict = 'waiting'
             order by w.id desc
            offset switchyard.setting_integer('shadow_waiting_per_type')
             limit 1));
  if not exists (
    select 1 from switchyard.shadow_results as r where r.data_type = p_data_type and r.verdict = 'waiting')
  then
    return 0;
  end if;

  execute format(
    $sql$
      select array_agg(r.id order by r.compared_at nulls first, r.id)
        from switchyard.shadow_results as r
       where r.data_type = $1
         and r.verdict = 'waiting'
         and (r.compared_at is null
              or r.fetched_at < clock_timestamp() - make_interval(mins => $2)
              or r.legacy_seen_at is distinct from (select max(t.%I) from public.%I as t where %s))
    $sql$,
    v_type.timestamp_column, v_type.table_name,
    case when v_type.symbol_column is null then 'true'
         else format('t.%I = r.symbol', v_type.symbol_column) end)
    into v_ids
    using p_data_type, switchyard.setting_integer('shadow_wait_minutes');
  -- In portions, because a legacy job may refresh at once all that waits: hundreds of answers with
  -- hundreds of rows each take longer than a statement may.
  while v_looks < cardinality(v_ids) and clock_timestamp() < v_until loop
    perform switchyard.compare_shadow(p_data_type, v_ids[v_looks + 1:v_looks + 10]);
    v_looks := least(v_looks + 10, cardinality(v_ids));
  end loop;
  return v_looks;
end
$$;
comment on function switchyard.relook_at_shadow(text) is
  'Compares again what waits for the next legacy refresh and has seen one, or has waited shadow_wait_minutes, what has waited longest for a look first, for no longer than shadow_look_seconds; the next pass goes on. Gives up what waits beyond shadow_waiting_per_type, and all when the type is not in stage shadow any more. Returns the number of new looks.';

create function switchyard.shadow_tally(
  p_data_type text,
  p_since timestamptz,
  out matches bigint,
  out mismatches bigint,
  out inconclusive bigint,
  out waiting bigint
)
language plpgsql
stable
set search_path = ''
as $$
begin
  select count(*) filter (where r.verdict = 'match'),
         count(*) filter (where r.verdict = 'mismatch'),
         count(*) filter (where r.verdict = 'inconclusive'),
         count(*) filter (where r.verdict = 'waiting')
    into matches, mismatches, inconclusive, waiting
    from switchyard.shadow_results as r
   where r.data_type = p_data_type and r.fetched_at >= p_since;
end
$$;
comment on function switchyard.shadow_tally(text, timestamptz) is
  'Verdicts of the comparisons of a data type whose rows were fetched since then. Of many, matches and inconclusive ones are pruned first, so that a rate never looks better than it was.';

create function switchyard.coarser_columns(p_data_type text, p_since timestamptz)
returns table (column_name text, coarser bigint, finer bigint)
language plpgsql
stable
set search_path = ''
as $$
begin
  -- One vote of a symbol for each refresh by legacy: looks at one legacy row again and again tell the same,
  -- and so do the rows of one answer. Without a cause coarser is as likely as finer: three standard
  -- deviations, ten of ten at least.
  return query
    select n.column_name, n.coarser, n.finer
      from (
        select d.column_name,
               count(*) filter (where v.gained < 0) as coarser,
               count(*) filter (where v.gained > 0) as finer
          from (
            select distinct on (r.symbol, r.legacy_seen_at) r.digits
              from switchyard.shadow_results as r
             where r.data_type = p_data_type and r.fetched_at >= p_since and r.verdict in ('match', 'mismatch', 'inconclusive')
             order by r.symbol, r.legacy_seen_at, r.id desc
          ) as latest
         cross join jsonb_each(latest.digits) as d (column_name, numbers)
         cross join lateral (
           select (d.numbers -> 'finer')::integer - (d.numbers -> 'coarser')::integer as gained) as v
         group by d.column_name
      ) as n
     where n.coarser - n.finer > 3 * sqrt(n.coarser + n.finer)
       and not exists (
         select 1
           from public.data_type_registry_v2 as t
          where t.data_type = p_data_type and t.shadow_rules -> 'coarser' ? n.column_name)
     order by n.column_name;
end
$$;
comment on function switchyard.coarser_columns(text, timestamptz) is
  'Columns that lose digits, as those of a fetcher do that rounds: among the comparisons since then, one of a symbol for each refresh by legacy, numbers that differ and are excused (by a tolerance, or as of another moment) have fewer significant digits than in legacy far more often than more. Columns in the list coarser of shadow_rules are left out.';

create function public.shadow_report_v2(p_data_type text, p_limit integer default 50)
returns table (
  symbol text,
  row_key jsonb,
  column_name text,
  kind text,
  legacy_value jsonb,
  queue_value jsonb,
  fetched_at timestamptz,
  compared_at timestamptz
)
language plpgsql
stable
set search_path = ''
as $$
declare
  v_since timestamptz;
  v_coarser text[];
begin
  if not exists (select 1 from public.data_type_registry_v2 as r where r.data_type = p_data_type) then
    raise exception 'Cannot report on data type "%": unknown data type', coalesce(p_data_type, 'null')
      using errcode = 'SY008', hint = 'See select data_type from data_type_registry_v2';
  end if;
  if coalesce(p_limit < 1, true) then
    raise exception 'Cannot report on data type "%": limit is %, wanted 1 or more', p_data_type, coalesce(p_limit::text, 'null')
      using errcode = 'SY016', hint = 'Leave it out for the newest 50';
  end if;
  select case when t.stage = 'shadow' then t.stage_entered_at else '-infinity' end
    into v_since
    from public.data_type_registry_v2 as t
   where t.data_type = p_data_type;
  select coalesce(array_agg(c.column_name), '{}') into v_coarser
    from switchyard.coarser_columns(p_data_type, v_since) as c;
  return query
    select listed.symbol, listed.row_key, listed.column_name, listed.kind, listed.legacy_value, listed.queue_value,
           listed.fetched_at, listed.compared_at
      from (
        select 1 as part, r.id, d.place, r.symbol, d.item -> 'key' as row_key, d.item ->> 'column' as column_name,
               d.item ->> 'kind' as kind, d.item -> 'legacy' as legacy_value, d.item -> 'queue' as queue_value,
               r.fetched_at, r.compared_at
          from (
            select w.*
              from switchyard.shadow_results as w
             where w.data_type = p_data_type and w.verdict = 'mismatch' and w.fetched_at >= v_since
             order by w.id desc
             limit p_limit
          ) as r
         cross join jsonb_array_elements(r.differences) with ordinality as d (item, place)
         where (d.item -> 'decides')::boolean
        union all
        select 2, r.id, c.place, r.symbol, n.numbers -> 'key', c.column_name, 'coarser', n.numbers -> 'legacy',
               n.numbers -> 'queue', r.fetched_at, r.compared_at
          from (
            select w.*
              from switchyard.shadow_results as w
             where w.data_type = p_data_type and w.fetched_at >= v_since and w.digits ?| v_coarser
             order by w.id desc
             limit p_limit
          ) as r
         cross join unnest(v_coarser) with ordinality as c (column_name, place)
         cross join lateral (select r.digits -> c.column_name as numbers) as n
         where n.numbers ? 'legacy'
      ) as listed
     order by listed.part, listed.id desc, listed.place
     limit p_limit;
end
$$;
comment on function public.shadow_report_v2(text, integer) is
  'The latest mismatches of a data type in stage shadow, since it entered it (elsewhere all that are kept), a difference per row, what legacy wrote beside what the queue would have written. kind: different; coarser (after the mismatches: a number with fewer digits, of a column that loses them again and again); dropped (fetched rows lack the column); older (by its source time, though fetched later); missing and extra (rows; the other side is shown whole); refused (the table would not take it; queue_value says why). Long values are cut, with their digest; of two objects only the keys that differ are shown. Raises SY008 for an unknown data type. For service_role and the SQL editor.';

revoke all on function
  switchyard.record_shadow(switchyard.held_result[]),
  switchyard.relook_at_shadow(text),
  switchyard.shadow_tally(text, timestamptz),
  switchyard.coarser_columns(text, timestamptz),
  public.shadow_report_v2(text, integer)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.record_shadow(switchyard.held_result[]),
  switchyard.shadow_tally(text, timestamptz),
  switchyard.coarser_columns(text, timestamptz),
  public.shadow_report_v2(text, integer)
to service_role;
