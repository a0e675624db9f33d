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
  'Free notes of the operator about the flag, a JSON object.';

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

create function switchyard.keep_flags()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
begin
  if tg_op = 'TRUNCATE' then
    raise exception 'Cannot truncate feature_flags: Switchyard reads them'
      using errcode = 'SY003', hint = 'Turn flags off with an UPDATE instead';
  end if;
  if old.flag_name in ('use_queue_system', 'use_presence_tracking', 'use_new_staleness_check')
     and (tg_op = 'DELETE' or new.flag_name <> old.flag_name) then
    raise exception 'Cannot % feature flag "%": Switchyard reads it',
      case tg_op when 'DELETE' then 'delete' else 'rename' end, old.flag_name
      using errcode = 'SY003', hint = 'Turn it off with an UPDATE of enabled instead';
  end if;
  return case tg_op when 'DELETE' then old else new end;
end
$$;
comment on function switchyard.keep_flags() is
  'Trigger: the flags that Switchyard reads can be neither renamed nor removed (SY003).';

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
  ('use_queue_system', '{"about": "The v2 cron jobs run and processors may claim jobs"}'),
  ('use_presence_tracking', '{"about": "Demand is read from Realtime presence"}'),
  ('use_new_staleness_check', '{"about": "Stale data is found by the v2 staleness check"}');

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

alter table public.feature_flags enable row level security;
alter table switchyard.flag_changes enable row level security;

revoke all on table public.feature_flags, switchyard.flag_changes
  from public, anon, authenticated, service_role;
grant select on table public.feature_flags, switchyard.flag_changes to service_role;

revoke all on function
  switchyard.keep_flags(),
  switchyard.touch_flag(),
  switchyard.record_flag_change(),
  public.is_feature_enabled(text)
from public, anon, authenticated, service_role;
grant execute on function public.is_feature_enabled(text) to service_role;
