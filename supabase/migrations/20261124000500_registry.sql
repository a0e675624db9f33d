-- Adds the registry of data types, empty, with its validation.

create table public.data_type_registry_v2 (
  data_type text primary key,
  table_name text not null,
  symbol_column text,
  timestamp_column text not null,
  conflict_columns text[] not null,
  insert_only_columns text[] not null default '{}',
  source_timestamp_column text,
  rewrites_unchanged boolean not null default false,
  staleness_function text not null default 'is_data_stale_v2',
  condition_function text,
  default_ttl_minutes integer not null,
  empty_recheck_minutes integer not null default 1440,
  refresh_strategy text not null default 'on-demand',
  priority integer not null default 0,
  provider text not null references public.api_providers_v2 (provider),
  fetcher text not null,
  edge_function_name text,
  batch_size integer not null default 1,
  api_calls_per_batch integer not null default 1,
  calls_spread_seconds integer not null default 0,
  max_attempts integer not null default 5,
  estimated_data_size_bytes bigint not null,
  depends_on text references public.data_type_registry_v2 (data_type),
  covers text references public.data_type_registry_v2 (data_type),
  processed_column text,
  legacy_cron_jobs text[] not null default '{}',
  legacy_functions text[] not null default '{}',
  stage text not null default 'legacy',
  stage_entered_at timestamptz not null default now(),
  canary_percent integer not null default 0,
  share_changed_at timestamptz not null default now(),
  paused boolean not null default false,
  shadow_rules jsonb not null default '{}',
  gate_settings jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint data_type_names_are_plain check (data_type ~ '^[a-z][a-z0-9-]*$' and length(data_type) <= 60),
  constraint ttl_is_positive check (default_ttl_minutes > 0),
  constraint empty_recheck_is_positive check (empty_recheck_minutes > 0),
  constraint refresh_strategy_is_known check (refresh_strategy in ('on-demand', 'scheduled', 'hybrid')),
  constraint priority_stays_in_its_band check (priority between 0 and 999),
  constraint batch_size_is_sane check (batch_size between 1 and 1000),
  constraint api_calls_per_batch_is_sane check (api_calls_per_batch between 1 and 1000),
  constraint calls_spread_is_sane check (calls_spread_seconds between 0 and 600),
  constraint max_attempts_is_sane check (max_attempts between 1 and 100),
  constraint estimated_size_is_positive check (estimated_data_size_bytes > 0),
  constraint edge_function_fetchers_name_their_function
    check (fetcher <> 'edge-function' or edge_function_name is not null),
  constraint edge_function_names_are_plain check (edge_function_name ~ '^[a-z0-9][a-z0-9_-]*$'),
  constraint no_type_depends_on_itself check (depends_on <> data_type),
  constraint only_global_types_cover_another check (covers is null or (symbol_column is null and covers <> data_type)),
  constraint stage_is_known check (stage in ('legacy', 'shadow', 'canary', 'live', 'retired')),
  constraint canary_percent_is_a_percentage check (canary_percent between 0 and 100),
  constraint shadow_rules_are_an_object check (jsonb_typeof(shadow_rules) = 'object'),
  constraint gate_settings_are_an_object check (jsonb_typeof(gate_settings) = 'object')
);
comment on table public.data_type_registry_v2 is
  'One row per kind of data that can be refreshed: where its rows live, when they are stale, who supplies them, which legacy cron jobs refresh it now.';
comment on column public.data_type_registry_v2.table_name is
  'Table in schema public that holds the rows.';
comment on column public.data_type_registry_v2.symbol_column is
  'Column with the symbol; null for global types, whose jobs carry the symbol GLOBAL.';
comment on column public.data_type_registry_v2.timestamp_column is
  'Column (timestamptz) that moves whenever a row is refreshed. Settle sets it to the database clock; where it is source_timestamp_column too it holds the vendor''s time.';
comment on column public.data_type_registry_v2.conflict_columns is
  'Columns of the unique key that settle upserts on.';
comment on column public.data_type_registry_v2.insert_only_columns is
  'Columns that are set when a row is made and never overwritten.';
comment on column public.data_type_registry_v2.source_timestamp_column is
  'Column with the vendor''s own time; a row with an older one never overwrites a newer one.';
comment on column public.data_type_registry_v2.rewrites_unchanged is
  'Whether a refresh also writes rows whose content is as stored, so that timestamp_column moves: for readers that go by it. Costs a write and a Realtime message per row.';
comment on column public.data_type_registry_v2.staleness_function is
  'Function in schema public, (timestamptz, integer) → boolean: newest refresh and TTL in minutes to "is stale".';
comment on column public.data_type_registry_v2.condition_function is
  'Null, or a function in schema public, (text) → boolean: whether this symbol may be refreshed now. Where a function of the same name takes text[] and returns setof text, those of the symbols that may be, whole sets are asked of that one.';
comment on column public.data_type_registry_v2.empty_recheck_minutes is
  'How long "the vendor has nothing for this symbol" is believed; of a symbol that has rows no longer than the TTL.';
comment on column public.data_type_registry_v2.priority is
  'Priority of scheduled refreshes of this type, 0 to 999; demand and manual jobs rank above (see the queue).';
comment on column public.data_type_registry_v2.fetcher is
  'Name of a fetcher of the processor, or edge-function to POST {"symbols": […]} to edge_function_name.';
comment on column public.data_type_registry_v2.batch_size is
  'Jobs of this type that share one group of vendor calls.';
comment on column public.data_type_registry_v2.api_calls_per_batch is
  'Vendor calls that one such group costs.';
comment on column public.data_type_registry_v2.calls_spread_seconds is
  'Seconds after the claim within which the last of these calls starts; 0 when all start at once. They count against the limit for so much longer. Never less than 60 for edge-function.';
comment on column public.data_type_registry_v2.estimated_data_size_bytes is
  'Expected bytes of vendor answer per job; a moving average over completed jobs once there are any.';
comment on column public.data_type_registry_v2.covers is
  'For a global type: the type with symbols whose rows it brings too, in the same table. Symbols that it brought count as checked for that type.';
comment on column public.data_type_registry_v2.processed_column is
  'Null, or a column (timestamptz) of the table of known symbols that is set when the rows of a symbol came in.';
comment on column public.data_type_registry_v2.paused is
  'Set by pause_data_type_v2: nothing of this type is claimed until pause_data_type_v2(…, false).';
comment on column public.data_type_registry_v2.legacy_cron_jobs is
  'Names under which the legacy cron jobs of this type are known, drifted spellings included.';
comment on column public.data_type_registry_v2.legacy_functions is
  'Edge Functions whose cron jobs are legacy jobs of this type, besides edge_function_name.';
comment on column public.data_type_registry_v2.stage is
  'Where the type stands: legacy, shadow, canary, live or retired. Moved by advance_migration_v2, rollback_migration_v2 and the flag use_queue_for_<data type>, never by an UPDATE.';
comment on column public.data_type_registry_v2.stage_entered_at is
  'When the type came to its stage; the soak time counts from then.';
comment on column public.data_type_registry_v2.share_changed_at is
  'When canary_percent, or the symbols of the flag use_queue_for_<data type>, were changed last: symbols that came to the share then are judged from then on.';
comment on column public.data_type_registry_v2.shadow_rules is
  'How fetched rows are compared with those of the legacy jobs, a JSON object: ignore (columns), tolerances ({column: {"absolute": n} or {"relative": n}}), known_differences ([{column, legacy, queue, reason}], a missing value stands for any), volatile (columns that move by themselves: they agree when they are as legacy had them before or after), same_moment (columns that move all the time: where they differ within their tolerance, rows of equal source times are of different moments, and what other_moment allows decides nothing), other_moment (how far columns may be apart in such rows, like tolerances; numbers that are not listed 5 %, other columns not at all), coarser (columns whose numbers may have fewer digits than in legacy), comparable_minutes and source_lag_seconds (in place of the settings shadow_…), sample_percent (of the symbols, a fixed share).';
comment on column public.data_type_registry_v2.gate_settings is
  'Gates of this type that differ from the defaults: a JSON object whose keys are those of switchyard.settings that begin with gate_, without that.';

create index data_type_registry_v2_provider_idx on public.data_type_registry_v2 (provider);
create index data_type_registry_v2_depends_on_idx on public.data_type_registry_v2 (depends_on);
create index data_type_registry_v2_covers_idx on public.data_type_registry_v2 (covers);

create function switchyard.gate_settings_problem(p_gate_settings jsonb)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select case
             when s.name is null then format('gate_settings has the unknown key "%s"', g.key)
             else format('gate_settings has %s = %s, wanted a number from %s to %s',
                         g.key, left(g.value::text, 60), s.lowest, s.highest)
           end
      from jsonb_each(p_gate_settings) as g
      left join switchyard.settings as s on s.name = 'gate_' || g.key and s.lowest is not null
     where not coalesce(
             case jsonb_typeof(g.value)
               when 'number' then g.value::text::numeric between s.lowest and s.highest
               when 'boolean' then s.lowest = 0 and s.highest = 1 and g.key = 'auto_rollback'
             end, false)
     order by g.key
     limit 1
  );
end
$$;
comment on function switchyard.gate_settings_problem(jsonb) is
  'What is wrong with gate_settings of a data type, or null.';

create function switchyard.shadow_rules_problem(p_rules jsonb)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  return (
    select problem.sentence
      from (
        select format('shadow_rules has the unknown key "%s"', k.key) as sentence
          from jsonb_object_keys(p_rules) as k (key)
         where k.key not in ('ignore', 'volatile', 'same_moment', 'coarser', 'tolerances', 'known_differences',
                             'other_moment', 'comparable_minutes', 'source_lag_seconds', 'sample_percent')
        union all
        select format('shadow_rules.%s is not an array of column names', wanted.key)
          from (values ('ignore'), ('volatile'), ('same_moment'), ('coarser')) as wanted (key)
         where jsonb_typeof(p_rules -> wanted.key) <> 'array'
            or jsonb_path_exists(p_rules -> wanted.key, 'strict $[*] ? (@.type() != "string")', '{}', true)
        union all
        select format('shadow_rules.%s is not an object of {"absolute": n} or {"relative": n} by column', wanted.key)
          from (values ('tolerances'), ('other_moment')) as wanted (key)
         where jsonb_typeof(p_rules -> wanted.key) <> 'object'
            or exists (
              select 1
                from jsonb_each(case when jsonb_typeof(p_rules -> wanted.key) = 'object'
                                     then p_rules -> wanted.key else '{}' end) as t
               where not coalesce(
                       case when jsonb_typeof(t.value) = 'object'
                            then (select count(*) = 1
                                         and bool_and(e.key in ('absolute', 'relative')
                                                      and jsonb_typeof(e.value) = 'number'
                                                      and e.value >= '0')
                                    from jsonb_each(t.value) as e) end, false))
        union all
        select format('shadow_rules.same_moment has "%s", which has no tolerance', c.name)
          from jsonb_array_elements_text(case when jsonb_typeof(p_rules -> 'same_moment') = 'array'
                                              then p_rules -> 'same_moment' else '[]' end) as c (name)
         where not coalesce(p_rules -> 'tolerances' ? c.name, false)
        union all
        select 'shadow_rules.known_differences is not an array of {"column", "legacy", "queue", "reason"}'
         where jsonb_typeof(p_rules -> 'known_differences') <> 'array'
            or exists (
              select 1
                from jsonb_array_elements(case when jsonb_typeof(p_rules -> 'known_differences') = 'array'
                                               then p_rules -> 'known_differences' else '[]' end) as d
               where jsonb_typeof(d) <> 'object'
                  or not d ?& array['column', 'reason']
                  or not d ?| array['legacy', 'queue']
                  or d - array['column', 'legacy', 'queue', 'reason'] <> '{}')
        union all
        select format('shadow_rules.%s is %s, wanted a number from %s to %s',
                      wanted.key, left((p_rules -> wanted.key)::text, 60), wanted.lowest, wanted.highest)
          from (values ('comparable_minutes', 0, 525600), ('source_lag_seconds', 0, 31536000),
                       ('sample_percent', 0, 100)) as wanted (key, lowest, highest)
         where p_rules ? wanted.key
           and not coalesce(case when jsonb_typeof(p_rules -> wanted.key) = 'number'
                                 then (p_rules ->> wanted.key)::numeric between wanted.lowest and wanted.highest
                            end, false)
      ) as problem
     limit 1
  );
end
$$;
comment on function switchyard.shadow_rules_problem(jsonb) is
  'What is wrong with shadow_rules of a data type, or null.';

create function switchyard.validate_registry_row()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_field text;
  v_name text;
  v_function regprocedure;
  v_action constant text := case tg_op when 'INSERT' then 'register' else 'change' end;
  v_child text;
  v_parent text;
begin
  for v_field, v_name in
    select named.field, named.name
      from (
        select 'table_name', new.table_name
        union all select 'symbol_column', new.symbol_column where new.symbol_column is not null
        union all select 'timestamp_column', new.timestamp_column
        union all select 'source_timestamp_column', new.source_timestamp_column
                   where new.source_timestamp_column is not null
        union all select 'staleness_function', new.staleness_function
        union all select 'condition_function', new.condition_function
                   where new.condition_function is not null
        union all select 'processed_column', new.processed_column where new.processed_column is not null
        union all select 'conflict_columns', unnest(new.conflict_columns)
        union all select 'insert_only_columns', unnest(new.insert_only_columns)
      ) as named (field, name)
     where not switchyard.is_plain_identifier(named.name)
     limit 1
  loop
    raise exception 'Cannot % data type "%": % "%" is not a plain identifier',
      v_action, new.data_type, v_field, v_name
      using errcode = 'SY005',
            hint = 'Use lower-case letters, digits and underscores, without schema and without quotes';
  end loop;

  select f.name into v_name
    from unnest(new.legacy_functions) as f (name)
   where f.name is null or f.name !~ '^[a-z0-9][a-z0-9_-]*$'
   limit 1;
  if found then
    raise exception 'Cannot % data type "%": legacy_functions "%" is not the name of an Edge Function',
      v_action, new.data_type, v_name
      using errcode = 'SY005', hint = 'Name the function alone: the part of its URL after /functions/v1/';
  end if;

  v_name := coalesce(
    case when jsonb_typeof(new.gate_settings) = 'object'
         then switchyard.gate_settings_problem(new.gate_settings) end,
    case when jsonb_typeof(new.shadow_rules) = 'object'
         then switchyard.shadow_rules_problem(new.shadow_rules) end);
  if v_name is not null then
    raise exception 'Cannot % data type "%": %', v_action, new.data_type, v_name
      using errcode = 'SY005',
            hint = 'See docs/stages.md for what gate_settings and shadow_rules may hold';
  end if;

  if cardinality(new.conflict_columns) = 0 then
    raise exception 'Cannot % data type "%": conflict_columns is empty', v_action, new.data_type
      using errcode = 'SY005',
            hint = 'Name the columns of the unique key that an upsert meets';
  end if;

  v_function := to_regprocedure(
    format('public.%I(timestamptz, integer)', new.staleness_function));
  if v_function is null
     or (select p.prorettype <> 'boolean'::regtype from pg_catalog.pg_proc as p where p.oid = v_function) then
    raise exception
      'Cannot % data type "%": staleness_function "%" is not callable as (timestamptz, integer) → boolean',
      v_action, new.data_type, new.staleness_function
      using errcode = 'SY005',
            hint = 'Create the function in schema public first, or use is_data_stale_v2';
  end if;

  if new.condition_function is not null then
    v_function := to_regprocedure(format('public.%I(text)', new.condition_function));
    if v_function is null
       or (select p.prorettype <> 'boolean'::regtype from pg_catalog.pg_proc as p where p.oid = v_function) then
      raise exception
        'Cannot % data type "%": condition_function "%" is not callable as (text) → boolean',
        v_action, new.data_type, new.condition_function
        using errcode = 'SY005',
              hint = 'Create the function in schema public first, or leave condition_function null';
    end if;
    v_function := to_regprocedure(format('public.%I(text[])', new.condition_function));
    if (select p.prorettype <> 'text'::regtype or not p.proretset from pg_catalog.pg_proc as p where p.oid = v_function) then
      raise exception
        'Cannot % data type "%": condition_function "%" with text[] returns something else than setof text',
        v_action, new.data_type, new.condition_function
        using errcode = 'SY005',
              hint = 'Let it return those of the symbols that may be refreshed now, or drop it';
    end if;
  end if;

  -- One at a time from here to commit: two changes that do not see each other could agree with all
  -- that they see and yet not with each other.
  perform pg_advisory_xact_lock('public.data_type_registry_v2'::regclass::bigint);

  if exists (
    with recursive ancestor as (
      select new.depends_on as data_type
      union
      select r.depends_on
        from public.data_type_registry_v2 as r
        join ancestor as a on a.data_type = r.data_type
    )
    select 1 from ancestor as a where a.data_type = new.data_type
  ) then
    raise exception 'Cannot % data type "%": depends_on "%" leads back to it',
      v_action, new.data_type, new.depends_on
      using errcode = 'SY005', hint = 'Leave depends_on null in one of them';
  end if;

  -- A child waits for the parent's job of the same symbol, and GLOBAL is the symbol of global types
  -- only: what does not agree would never meet.
  select pair.child, pair.parent into v_child, v_parent
    from (
      select new.data_type as child, r.data_type as parent, r.symbol_column
        from public.data_type_registry_v2 as r
       where r.data_type = new.depends_on
      union all
      select r.data_type, new.data_type, r.symbol_column
        from public.data_type_registry_v2 as r
       where r.depends_on = new.data_type and r.data_type <> new.data_type
    ) as pair
   where (pair.symbol_column is null) <> (new.symbol_column is null)
   order by pair.child
   limit 1;
  if found then
    raise exception
      'Cannot % data type "%": "%" depends on "%", but only one of them has a symbol_column',
      v_action, new.data_type, v_child, v_parent
      using errcode = 'SY005',
            detail = 'Both have symbols, or both are global (symbol_column null)',
            hint = format('Set symbol_column to agree, or depends_on of "%s" to null first', v_child);
  end if;

  if exists (
    select 1
      from public.data_type_registry_v2 as r
     where r.data_type = new.covers and (r.symbol_column is null or r.table_name <> new.table_name)
    union all
    select 1
      from public.data_type_registry_v2 as r
     where r.covers = new.data_type and (new.symbol_column is null or r.table_name <> new.table_name)
  ) then
    raise exception 'Cannot % data type "%": covers does not fit', v_action, new.data_type
      using errcode = 'SY005',
            detail = 'A global type covers a type with symbols of the same table',
            hint = 'Leave covers null, or name the type with symbols whose table it fills';
  end if;

  new.updated_at := clock_timestamp();
  return new;
end
$$;
comment on function switchyard.validate_registry_row() is
  'Trigger: refuses (SY005) names that are not plain identifiers, functions that cannot be called, circles of depends_on, and a global type that depends on one with symbols or the reverse.';

-- Not on estimated_data_size_bytes: settle moves it on every batch.
create trigger validate_registry_row
  before insert or update of
    data_type, table_name, symbol_column, timestamp_column, conflict_columns, insert_only_columns,
    source_timestamp_column, staleness_function, condition_function, depends_on, covers, processed_column,
    legacy_functions, gate_settings, shadow_rules
  on public.data_type_registry_v2
  for each row execute function switchyard.validate_registry_row();

alter table public.data_type_registry_v2 enable row level security;

revoke all on table public.data_type_registry_v2
  from public, anon, authenticated, service_role;
grant select, update (estimated_data_size_bytes, batch_size) on table public.data_type_registry_v2 to service_role;

revoke all on function
  switchyard.gate_settings_problem(jsonb),
  switchyard.shadow_rules_problem(jsonb),
  switchyard.validate_registry_row()
from public, anon, authenticated, service_role;
