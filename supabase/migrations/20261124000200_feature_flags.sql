-- Adds the flags, all off, with an audit trail. Nothing reads them but Switchyard itself.

create table public.feature_flags (
  flag_name text primary key,
  enabled boolean not null default false,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint flag_names_are_plain check (flag_name ~ '^[a-z][a-z0-9_-]*$'),
  constraint flag_metadata_is_an_object check (jsonb_typeof(metadata) = 'object')
);
comment on table public.feature_flags is
  'Switches that people toggle with a plain UPDATE; what must happen with a switch happens in its triggers, in the same transaction.';
comment on column public.feature_flags.metadata is
  'A JSON object with free notes, and two keys that is_feature_enabled_for reads: percentage (0 to 100, a sticky share of the keys) and symbols (keys that are in whatever the percentage). Flags use_queue_for_<data type> take only symbols: their share is canary_percent of the registry.';

create table switchyard.flag_changes (
  id bigint generated always as identity primary key,
  flag_name text not null,
  changed_at timestamptz not null default clock_timestamp(),
  changed_by text not null,
  caller_sub text,
  enabled_before boolean,
  enabled_after boolean,
  metadata_before jsonb,
  metadata_after jsonb
);
comment on table switchyard.flag_changes is
  'Every change of a feature flag. Null before: the flag was made; null after: it was deleted.';
comment on column switchyard.flag_changes.changed_by is
  'Database role that ran the statement.';
comment on column switchyard.flag_changes.caller_sub is
  'User id of the REST caller, from the JWT; null in the SQL editor.';

create index flag_changes_flag_name_idx on switchyard.flag_changes (flag_name, changed_at);

create function switchyard.touch_flag()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
begin
  new.updated_at := clock_timestamp();
  return new;
end
$$;
comment on function switchyard.touch_flag() is 'Trigger: keeps feature_flags.updated_at true.';

-- Definer, because whoever may change a flag must not be able to write or forge its history.
create function switchyard.record_flag_change()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if tg_op = 'UPDATE'
     and (old.flag_name, old.enabled, old.metadata) is not distinct from
         (new.flag_name, new.enabled, new.metadata) then
    return null;
  end if;

  insert into switchyard.flag_changes (
    flag_name, changed_by, caller_sub,
    enabled_before, enabled_after, metadata_before, metadata_after
  )
  values (
    case when tg_op = 'DELETE' then old.flag_name else new.flag_name end,
    -- The definer's own name would say nothing: take the role that the session acts as.
    coalesce(nullif(current_setting('role', true), 'none'), session_user),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub',
    case when tg_op <> 'INSERT' then old.enabled end,
    case when tg_op <> 'DELETE' then new.enabled end,
    case when tg_op <> 'INSERT' then old.metadata end,
    case when tg_op <> 'DELETE' then new.metadata end
  );
  return null;
end
$$;
comment on function switchyard.record_flag_change() is
  'Trigger: writes each change of a flag to switchyard.flag_changes.';

-- Definer: who may change flags need not be able to read the registry.
create function switchyard.keep_flags()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if tg_op = 'TRUNCATE' then
    raise exception 'Cannot truncate feature_flags: Switchyard reads them'
      using errcode = 'SY003', hint = 'Turn flags off with an UPDATE instead';
  end if;
  if (tg_op = 'DELETE' or new.flag_name <> old.flag_name)
     and (old.flag_name in ('use_queue_system', 'use_presence_tracking', 'use_new_staleness_check')
          -- It goes with its registry row.
          or exists (
            select 1
              from public.data_type_registry_v2 as r
             where old.flag_name = 'use_queue_for_' || r.data_type)) then
    raise exception 'Cannot % feature flag "%": Switchyard reads it',
      case tg_op when 'DELETE' then 'delete' else 'rename' end, old.flag_name
      using errcode = 'SY003', hint = 'Turn it off with an UPDATE of enabled instead';
  end if;
  return case tg_op when 'DELETE' then old else new end;
end
$$;
comment on function switchyard.keep_flags() is
  'Trigger: the flags that Switchyard reads can be neither renamed nor removed (SY003); use_queue_for_<data type> goes with its registry row.';

create function switchyard.check_flag_metadata()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_percentage jsonb := new.metadata -> 'percentage';
  v_symbols jsonb := new.metadata -> 'symbols';
begin
  if v_percentage is not null and new.flag_name ~ '^use_queue_for_' then
    raise exception 'Cannot set a percentage on flag "%": its share is canary_percent of the registry', new.flag_name
      using errcode = 'SY026',
            hint = format('Run update data_type_registry_v2 set canary_percent = … where data_type = %L',
                          substr(new.flag_name, 15));
  end if;
  if v_percentage is not null
     and not coalesce(case when jsonb_typeof(v_percentage) = 'number'
                           then v_percentage::text::numeric between 0 and 100 end, false) then
    raise exception 'Cannot set percentage of flag "%" to %: wanted a number from 0 to 100',
      new.flag_name, left(v_percentage::text, 60)
      using errcode = 'SY026', hint = 'Leave percentage out for all keys';
  end if;
  if v_symbols is not null
     and (jsonb_typeof(v_symbols) <> 'array' or jsonb_path_exists(v_symbols, 'strict $[*] ? (@.type() != "string")')) then
    raise exception 'Cannot set symbols of flag "%" to %: wanted an array of strings',
      new.flag_name, left(v_symbols::text, 60)
      using errcode = 'SY026', hint = 'Write {"symbols": ["AAPL", "MSFT"]}';
  end if;
  return new;
end
$$;
comment on function switchyard.check_flag_metadata() is
  'Trigger: refuses (SY026) a percentage that is no share, symbols that are no list, and a percentage on use_queue_for_<data type>.';

create trigger check_flag_metadata
  before insert or update of metadata, flag_name on public.feature_flags
  for each row execute function switchyard.check_flag_metadata();

create trigger keep_flags
  before delete or update of flag_name on public.feature_flags
  for each row execute function switchyard.keep_flags();

create trigger keep_all_flags
  before truncate on public.feature_flags
  for each statement execute function switchyard.keep_flags();

create trigger touch_flag
  before update on public.feature_flags
  for each row execute function switchyard.touch_flag();

create trigger record_flag_change
  after insert or update or delete on public.feature_flags
  for each row execute function switchyard.record_flag_change();

insert into public.feature_flags (flag_name, metadata) values
  ('use_queue_system', '{"about": "The cron jobs of Switchyard run and processors may claim jobs"}'),
  ('use_presence_tracking', '{"about": "Demand is read from Realtime presence"}'),
  ('use_new_staleness_check', '{"about": "Stale data is found by Switchyard''s staleness check"}');

create function public.is_feature_enabled(p_flag_name text)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  v_enabled boolean;
begin
  select f.enabled into v_enabled from public.feature_flags as f where f.flag_name = p_flag_name;
  if not found then
    raise exception 'Cannot read feature flag "%": no such flag', p_flag_name
      using errcode = 'SY003',
            hint = 'See select flag_name, enabled from feature_flags';
  end if;
  return v_enabled;
end
$$;
comment on function public.is_feature_enabled(text) is
  'Whether a flag is on. Raises SY003 for an unknown flag. For service_role and the SQL editor.';

create function public.is_feature_enabled_for(p_flag_name text, p_key text)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  v_enabled boolean;
  v_metadata jsonb;
  v_data_type text;
  v_stage text;
  v_canary_percent integer;
begin
  select f.enabled, f.metadata into v_enabled, v_metadata
    from public.feature_flags as f
   where f.flag_name = p_flag_name;
  if not found then
    raise exception 'Cannot read feature flag "%": no such flag', p_flag_name
      using errcode = 'SY003',
            hint = 'See select flag_name, enabled from feature_flags';
  end if;
  -- Before live only a share of the symbols is the queue's, and the flag is still off.
  select r.data_type, r.stage, r.canary_percent into v_data_type, v_stage, v_canary_percent
    from public.data_type_registry_v2 as r
   where p_flag_name = 'use_queue_for_' || r.data_type;
  if found then
    return switchyard.destination(v_stage, v_canary_percent, v_data_type, p_key, 'scheduled') = 'table';
  end if;
  if not v_enabled or not v_metadata ?| array['percentage', 'symbols'] then
    return v_enabled;
  end if;
  return coalesce(v_metadata -> 'symbols' ? p_key, false)
      or coalesce(switchyard.symbol_bucket(p_flag_name, p_key) < (v_metadata ->> 'percentage')::numeric * 100, false);
end
$$;
comment on function public.is_feature_enabled_for(text, text) is
  'Whether a flag is on for one key, a symbol for example. Off: for none. On: for all, unless metadata has percentage or symbols; then for the listed keys and a sticky share of the others, which grows with percentage and never loses a key. use_queue_for_<data type>: whether the queue writes the rows of that symbol now. Raises SY003 for an unknown flag. For service_role and the SQL editor.';

alter table public.feature_flags enable row level security;
alter table switchyard.flag_changes enable row level security;

revoke all on table public.feature_flags, switchyard.flag_changes
  from public, anon, authenticated, service_role;
grant select on table public.feature_flags, switchyard.flag_changes to service_role;

revoke all on function
  switchyard.keep_flags(),
  switchyard.check_flag_metadata(),
  switchyard.touch_flag(),
  switchyard.record_flag_change(),
  public.is_feature_enabled(text),
  public.is_feature_enabled_for(text, text)
from public, anon, authenticated, service_role;
grant execute on function public.is_feature_enabled(text), public.is_feature_enabled_for(text, text) to service_role;
