-- Adds the comparison of fetched rows with those of the legacy jobs. Nothing calls it yet.

create function switchyard.shadow_columns(
  p_type public.data_type_registry_v2,
  out compared text[],
  out expected text[]
)
language plpgsql
stable
set search_path = ''
as $$
begin
  select coalesce(array_agg(a.attname::text order by a.attnum), '{}'::text[]),
         coalesce(array_agg(a.attname::text order by a.attnum)
                    filter (where not a.atthasdef and a.attidentity = ''), '{}'::text[])
    into compared, expected
    from pg_catalog.pg_attribute as a
   where a.attrelid = format('public.%I', p_type.table_name)::regclass
     and a.attnum > 0
     and not a.attisdropped
     and a.attgenerated = ''
     and a.attname <> all (p_type.conflict_columns || p_type.insert_only_columns)
     and a.attname <> p_type.timestamp_column
     and not coalesce(p_type.shadow_rules -> 'ignore' ? a.attname::text, false);
end
$$;
comment on function switchyard.shadow_columns(public.data_type_registry_v2) is
  'Columns of the table of a data type that are compared: all but those of the key, the insert-only ones, the one that moves, generated and ignored ones. expected: those of them that fetched rows have to have, because nothing else sets them.';

create function switchyard.source_seconds_sql(p_type public.data_type_registry_v2, p_alias text)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return coalesce((
    select case t.typcategory
             when 'N' then format('%I.%I::numeric', p_alias, a.attname)
             when 'D' then format('extract(epoch from %I.%I::timestamptz)::numeric', p_alias, a.attname)
           end
      from pg_catalog.pg_attribute as a
      join pg_catalog.pg_type as t on t.oid = a.atttypid
     where a.attrelid = format('public.%I', p_type.table_name)::regclass
       and a.attname = p_type.source_timestamp_column
       and not a.attisdropped), 'null::numeric');
end
$$;
comment on function switchyard.source_seconds_sql(public.data_type_registry_v2, text) is
  'SQL for the vendor''s own time of a row in seconds since 1970 (numbers are taken as such); null where a data type has none.';

-- The comparison of one data type. What its SQL says, in short:
--   ours      the fetched rows as the table would hold them, the newest of each key
--   judged    each beside the legacy row of its key, and what the source times say about the two
--   finding   whatever differs; decides: time does not explain it; waits: the next legacy refresh may tell
-- A difference decides at once when the source times are equal or the legacy row was refreshed within
-- comparable_minutes of the fetch. Else it decides when legacy has refreshed the row since and says the
-- same before and after: the vendor cannot have said otherwise in between. A column that moves by itself
-- (volatile) agrees when it is as legacy had it before or after, and decides only where it cannot have
-- been on its way from the one to the other. Rows of one source time whose columns in
-- same_moment differ, by no more than they may, are of two moments: numbers that differ by no more than a
-- moment explains (other_moment, else 5 %) decide nothing, and nor does what agrees in such a row.
--   digit     by column, the numbers that differ and are excused, by a tolerance or as of another moment, and
--             have fewer or more digits than in legacy: switchyard.coarser_columns tells rounding from movement
create function switchyard.shadow_comparison_sql(p_type public.data_type_registry_v2)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return format(
    $sql$
      with result as materialized (
        select r.id, r.symbol, r.fetched_at, r.settled_at, r.rows, r.is_part, r.differences as before,
               r.compared_at is null as is_first_look,
               r.fetched_at < clock_timestamp() - make_interval(mins => $4) as is_over,
               (select max(t.%1$I) from public.%2$I as t where %3$s) as legacy_at
          from switchyard.shadow_results as r
         where r.id = any ($1) and r.verdict = 'waiting'
      ),
      ours as materialized (
        select distinct on (r.id, %4$s)
               r.id, e.item, to_jsonb(i) as typed, %5$s as source, jsonb_build_object(%6$s) as row_key,
               %7$s
          from result as r
         cross join lateral jsonb_array_elements(r.rows) with ordinality as e (item, place)
         cross join lateral jsonb_populate_record(null::public.%2$I, e.item) as i
         order by r.id, %4$s, %5$s desc nulls last, e.place
      ),
      judged as materialized (
        select o.*, l.legacy, l.legacy_source, l.row_at, r.settled_at, m.is_other_moment, r.is_first_look, r.before, r.legacy_at, r.is_part,
               case
                 when l.legacy is null then 'extra'
                 when %11$s then 'of another symbol'
                 when o.source > l.legacy_source then 'newer'
                 when o.source < l.legacy_source then
                   case when l.row_at <= r.fetched_at and l.legacy_source - o.source > $3 then 'older' else 'overtaken' end
                 else 'same'
               end as state,
               -- Whether the two must agree now.
               coalesce(o.source = l.legacy_source, false)
               or coalesce(coalesce(l.row_at, r.legacy_at)
                           between r.fetched_at - $2 and r.settled_at + $2, false) as is_comparable,
               coalesce(coalesce(l.row_at, r.legacy_at) > r.settled_at, false) as has_moved
          from ours as o
          join result as r on r.id = o.id
          left join lateral (
            select to_jsonb(t) as legacy, %8$s as legacy_source, t.%1$I as row_at
              from public.%2$I as t
             where %9$s
          ) as l on true
         cross join lateral (
           select coalesce(bool_and(switchyard.is_within(
                             $5 #> array['tolerances', c.name], l.legacy -> c.name, o.typed -> c.name)),
                           false) as is_other_moment
             from jsonb_array_elements_text($5 -> 'same_moment') as c (name)
            where o.typed -> c.name is distinct from l.legacy -> c.name
              and not switchyard.is_known_difference($5, c.name, l.legacy -> c.name, o.typed -> c.name)
         ) as m
      ),
      -- What differs: judged by cell where nothing excuses it, else by digit.
      pair as materialized (
        select j.id, j.row_key, c.name as column_name, v.legacy, v.queue,
               j.is_comparable, j.has_moved, j.is_first_look, j.before,
               e.is_within, e.is_within or switchyard.is_known_difference($5, c.name, v.legacy, v.queue) as is_tolerated,
               j.is_other_moment and switchyard.is_within(
                 coalesce($5 #> array['other_moment', c.name], '{"relative": 0.05}'), v.legacy, v.queue) as is_other_moment
          from judged as j
         cross join unnest($6) as c (name)
         cross join lateral (select j.legacy -> c.name as legacy, j.typed -> c.name as queue) as v
         cross join lateral (
           select switchyard.is_within($5 #> array['tolerances', c.name], v.legacy, v.queue) as is_within) as e
         where j.state = 'same' and j.item ? c.name and v.queue is distinct from v.legacy
      ),
      cell as materialized (
        select p.id, p.row_key, p.column_name,
               switchyard.shadow_excerpt(switchyard.differing_part(p.legacy, p.queue)) as legacy,
               switchyard.shadow_excerpt(switchyard.differing_part(p.queue, p.legacy)) as queue,
               p.is_comparable, p.has_moved, p.is_first_look, p.is_other_moment,
               coalesce($5 -> 'volatile' ? p.column_name, false) as is_volatile,
               (select b.item
                  from jsonb_array_elements(p.before) as b (item)
                 where b.item -> 'key' = p.row_key
                   and (b.item ->> 'column' = p.column_name or b.item ->> 'kind' in ('newer', 'extra'))
                 limit 1) as seen_before
          from pair as p
         where not p.is_tolerated
      ),
      digit as (
        select p.id, p.column_name,
               count(*) filter (where d.gained < 0) as coarser, count(*) filter (where d.gained > 0) as finer,
               (array_agg(jsonb_build_object('key', p.row_key, 'legacy', p.legacy, 'queue', p.queue)
                          order by p.row_key::text) filter (where d.gained < 0))[1] as example
          from pair as p
         cross join lateral (
           select switchyard.count_digits(p.queue) - switchyard.count_digits(p.legacy) as gained) as d
         where (p.is_within or p.is_other_moment) and d.gained <> 0
         group by p.id, p.column_name
      ),
      finding as materialized (
        select c.id, c.row_key, c.column_name, 'different' as kind, c.legacy, c.queue,
               case
                 when c.is_other_moment then false
                 when c.is_volatile then
                   c.has_moved and coalesce(c.seen_before ->> 'kind' = 'different', false)
                   and (c.is_comparable or coalesce((c.seen_before -> 'comparable')::boolean, false))
                   and not switchyard.may_have_passed(c.seen_before -> 'legacy', c.queue, c.legacy)
                 else c.is_comparable
                      or (c.has_moved and coalesce(c.seen_before ->> 'kind' = 'different', false)
                          and c.seen_before -> 'legacy' = c.legacy)
               end as decides,
               not (c.has_moved or c.is_other_moment) as waits, c.is_comparable, c.is_other_moment
          from cell as c
         -- What agreed at the first look has agreed, whatever the vendor says since.
         where c.is_first_look or c.seen_before is not null
        union all
        select j.id, j.row_key, case when j.state <> 'extra' then $8 end, j.state,
               case when j.state <> 'extra' then j.legacy -> $8 end,
               case when j.state <> 'extra' then j.typed -> $8 else switchyard.shadow_excerpt(j.typed) end,
               case j.state
                 when 'older' then true
                 when 'extra' then j.is_comparable
                   or (j.has_moved and exists (
                         select 1
                           from jsonb_array_elements(j.before) as b (item)
                          where b.item -> 'key' = j.row_key and b.item ->> 'kind' = 'extra'))
                 else false
               end,
               case j.state when 'newer' then true when 'extra' then not j.has_moved else false end,
               j.is_comparable, false
          from judged as j
         where j.state not in ('same', 'of another symbol') and not (j.state = 'extra' and j.is_part)
        union all
        -- Of the legacy rows those of the last refresh: older ones are such as the vendor sends no more.
        select r.id, m.row_key, null, 'missing', m.legacy, null,
               coalesce(m.row_at between r.fetched_at - $2 and r.settled_at + $2, false)
               or (m.row_at > r.settled_at and exists (
                     select 1
                       from jsonb_array_elements(r.before) as b (item)
                      where b.item -> 'key' = m.row_key and b.item ->> 'kind' = 'missing')),
               m.row_at <= r.settled_at, false, false
          from result as r
         cross join lateral (
           select jsonb_build_object(%10$s) as row_key, switchyard.shadow_excerpt(to_jsonb(t)) as legacy,
                  t.%1$I as row_at
             from public.%2$I as t
            where %3$s
              and t.%1$I >= r.legacy_at - interval '1 minute'
         ) as m
         where not r.is_part
           and (r.is_first_look or exists (
                 select 1
                   from jsonb_array_elements(r.before) as b (item)
                  where b.item -> 'key' = m.row_key and b.item ->> 'kind' = 'missing'))
           and not exists (select 1 from ours as o where o.id = r.id and o.row_key = m.row_key)
        union all
        select j.id, null, c.name, 'dropped', min((j.legacy -> c.name)::text)::jsonb, null, true, false, true, false
          from judged as j
         cross join unnest($7) as c (name)
         where j.state not in ('extra', 'of another symbol')
           and j.legacy -> c.name <> 'null'
           and not exists (select 1 from ours as o where o.id = j.id and o.item ? c.name)
         group by j.id, c.name
      ),
      told as (
        select r.id, r.legacy_at, r.is_over,
               (select count(*) from judged as j where j.id = r.id and j.state = 'same')::integer as rows_compared,
               (select coalesce(sum((select count(*) from unnest($6) as c where j.item ? c)), 0)
                  from judged as j where j.id = r.id and j.state = 'same' and not j.is_other_moment
               )::integer as columns_compared,
               count(f.id)::integer as difference_count,
               count(f.id) filter (where not f.is_other_moment) = 0 as agrees,
               coalesce(bool_or(f.decides), false) as differs,
               coalesce(bool_or(f.waits), false) as waits,
               exists (select from judged as j where j.id = r.id and j.state = 'same' and j.is_other_moment)
                 as is_other_moment,
               coalesce((array_agg(jsonb_strip_nulls(jsonb_build_object(
                   'key', f.row_key, 'column', f.column_name, 'kind', f.kind, 'decides', f.decides,
                   'comparable', f.is_comparable))
                 || jsonb_build_object('legacy', coalesce(f.legacy, 'null'), 'queue', coalesce(f.queue, 'null'))
                 order by not f.decides, f.row_key::text, f.column_name) filter (where f.id is not null))[1:100],
                 '{}')
               as differences,
               (select jsonb_object_agg(d.column_name, jsonb_build_object('coarser', d.coarser, 'finer', d.finer)
                                                       || coalesce(d.example, '{}'))
                  from digit as d where d.id = r.id) as digits
          from result as r
          left join finding as f on f.id = r.id
         group by r.id, r.legacy_at, r.is_over
      ),
      verdict as (
        select t.*,
               case
                 when t.differs then 'mismatch'
                 when t.agrees and t.columns_compared > 0 then 'match'
                 when t.waits and not t.is_over then 'waiting'
                 else 'inconclusive'
               end as verdict
          from told as t
      )
      update switchyard.shadow_results as r
         set verdict = v.verdict,
             reason = case
               when v.verdict <> 'inconclusive' then null
               when v.agrees and v.is_other_moment then 'of another moment than the legacy row'
               when v.difference_count = 0 then 'nothing to compare'
               when v.is_over then 'legacy did not refresh it in time'
               else 'legacy had other data before and after' end,
             compared_at = clock_timestamp(),
             legacy_seen_at = v.legacy_at,
             rows_compared = v.rows_compared,
             columns_compared = v.columns_compared,
             difference_count = v.difference_count,
             differences = to_jsonb(case when v.verdict = 'waiting' then v.differences else v.differences[1:20] end),
             digits = case when v.verdict = 'waiting' then '{}' else coalesce(v.digits, '{}') end,
             rows = case when v.verdict = 'waiting' then r.rows end
        from verdict as v
       where r.id = v.id
    $sql$,
    -- 1 column that moves, 2 table, 3 rows of the symbol
    p_type.timestamp_column, p_type.table_name,
    case when p_type.symbol_column is null then 'true'
         else format('t.%I = r.symbol', p_type.symbol_column) end,
    -- 4 key of our row, 5 its source time, 6 the key as JSON, 7 its columns under names of ours
    (select string_agg(format('i.%I', c), ', ') from unnest(p_type.conflict_columns) as c),
    switchyard.source_seconds_sql(p_type, 'i'),
    (select string_agg(format('%L, i.%I', c, c), ', ') from unnest(p_type.conflict_columns) as c),
    (select string_agg(format('i.%I as key_%s', k.c, k.place), ', ')
       from unnest(p_type.conflict_columns) with ordinality as k (c, place)),
    -- 8 source time of the legacy row, 9 the row of our key, 10 its key as JSON
    switchyard.source_seconds_sql(p_type, 't'),
    (select string_agg(format('t.%I = o.key_%s', k.c, k.place), ' and ')
       from unnest(p_type.conflict_columns) with ordinality as k (c, place)),
    (select string_agg(format('%L, t.%I', c, c), ', ') from unnest(p_type.conflict_columns) as c),
    -- 11 whether the row is another symbol's: where the key does not hold the symbol, vendors send it for
    -- both, and not with the same values
    case when p_type.symbol_column <> all (p_type.conflict_columns)
         then format('l.legacy ->> %L <> r.symbol', p_type.symbol_column) else 'false' end
  );
end
$$;
comment on function switchyard.shadow_comparison_sql(public.data_type_registry_v2) is
  'SQL that compares waiting shadow results and stores the verdicts. Parameters: ids, comparable interval, source lag in seconds, minutes to wait, shadow_rules, compared and expected columns, source column.';

create function switchyard.compare_shadow(p_data_type text, p_ids bigint[])
returns void
language plpgsql
volatile
set search_path = ''
-- Values are kept as text until the next look, which may be of a session with another zone.
set timezone = 'UTC'
as $$
declare
  v_type public.data_type_registry_v2;
  v_columns record;
  v_sql text;
  v_id bigint;
  v_sqlstate text;
  v_message text;
begin
  select r.* into strict v_type from public.data_type_registry_v2 as r where r.data_type = p_data_type;
  v_columns := switchyard.shadow_columns(v_type);
  v_sql := switchyard.shadow_comparison_sql(v_type);
  begin
    execute v_sql
      using p_ids,
            make_interval(secs => 60 * coalesce((v_type.shadow_rules ->> 'comparable_minutes')::double precision,
              switchyard.setting_integer('shadow_comparable_minutes'))),
            coalesce((v_type.shadow_rules ->> 'source_lag_seconds')::numeric,
              switchyard.setting_integer('shadow_source_lag_seconds')),
            switchyard.setting_integer('shadow_wait_minutes'), v_type.shadow_rules,
            v_columns.compared, v_columns.expected, v_type.source_timestamp_column;
  exception when data_exception or integrity_constraint_violation then
    -- One of these has a value that the table would not take: by itself, so that it alone is refused.
    if cardinality(p_ids) > 1 then
      foreach v_id in array p_ids loop
        perform switchyard.compare_shadow(p_data_type, array[v_id]);
      end loop;
      return;
    end if;
    get stacked diagnostics v_sqlstate = returned_sqlstate, v_message = message_text;
    update switchyard.shadow_results as r
       set verdict = 'mismatch',
           compared_at = clock_timestamp(),
           difference_count = 1,
           differences = jsonb_build_array(jsonb_build_object(
             'kind', 'refused', 'decides', true, 'legacy', null, 'queue', v_message || ' (' || v_sqlstate || ')')),
           rows = null
     where r.id = any (p_ids) and r.verdict = 'waiting';
  end;
end
$$;
comment on function switchyard.compare_shadow(text, bigint[]) is
  'Compares waiting shadow results of one data type with its table and stores the verdicts. Rows that the table would refuse are a mismatch of kind refused.';

revoke all on function
  switchyard.shadow_columns(public.data_type_registry_v2),
  switchyard.source_seconds_sql(public.data_type_registry_v2, text),
  switchyard.shadow_comparison_sql(public.data_type_registry_v2),
  switchyard.compare_shadow(text, bigint[])
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.shadow_columns(public.data_type_registry_v2),
  switchyard.source_seconds_sql(public.data_type_registry_v2, text),
  switchyard.shadow_comparison_sql(public.data_type_registry_v2),
  switchyard.compare_shadow(text, bigint[])
to service_role;
