-- Adds the question "is this symbol stale, and if so, queue it", for one symbol.

create table switchyard.caller_checks (
  caller text not null,
  minute timestamptz not null,
  checks integer not null,
  primary key (caller, minute)
);
comment on table switchyard.caller_checks is
  'Staleness checks per signed-in caller and minute, for the limit in caller_checks_per_minute. Old minutes are deleted by the caller''s next check.';

create function switchyard.newest_refresh(p_data_type text, p_symbol text)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
declare
  v_type public.data_type_registry_v2;
  v_newest timestamptz;
  v_checked_at timestamptz;
  v_is_empty boolean;
begin
  select r.* into strict v_type
    from public.data_type_registry_v2 as r
   where r.data_type = p_data_type;
  -- Rows that the vendor sends no more keep their old time: only the newest row of a symbol counts.
  execute format(
    'select max(t.%I) from public.%I as t where %s',
    v_type.timestamp_column, v_type.table_name,
    case when v_type.symbol_column is null then '$1 is not null'
         else format('t.%I = $1', v_type.symbol_column) end)
    into v_newest
    using p_symbol;
  select s.last_checked_at, coalesce(s.empty_until > clock_timestamp(), false)
    into v_checked_at, v_is_empty
    from switchyard.refresh_state as s
   where s.data_type = p_data_type and s.symbol = p_symbol;
  -- In canary the legacy jobs move the rows on, whatever the queue does.
  if v_type.stage = 'canary' and switchyard.is_in_share(p_data_type, p_symbol, v_type.canary_percent) then
    return nullif(v_checked_at, '-infinity');
  end if;
  -- A check says nothing about rows that are gone since. What an Edge Function wrote by itself is not
  -- known: it may have had none.
  if v_newest is null and not v_is_empty and v_type.fetcher <> 'edge-function' then
    return null;
  end if;
  return greatest(v_newest, v_checked_at);
end
$$;
comment on function switchyard.newest_refresh(text, text) is
  'When a symbol was last refreshed for a data type, by its newest row or by the last check that found nothing new; in the share of a canary by the last check alone; null for never, and when its rows are gone.';

create function switchyard.check_symbol(
  p_symbol text,
  p_data_types text[],
  p_priority integer
)
returns jsonb
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_type public.data_type_registry_v2;
  v_unknown text;
  v_stale boolean;
  v_allowed boolean;
  v_reason text;
  v_queue_types text[] := '{}'::text[];
  v_answer jsonb := '[]'::jsonb;
  v_most integer := switchyard.setting_integer('most_pending_jobs');
  v_is_full boolean;
begin
  if p_priority is null or p_priority not between 1000 and 8999 then
    raise exception 'Cannot check "%": priority is %, wanted 1000 to 8999 (the demand band)',
      p_symbol, coalesce(p_priority::text, 'null')
      using errcode = 'SY010', hint = 'Leave the priority out for 1000';
  end if;
  if coalesce(cardinality(p_data_types), 0) = 0 then
    raise exception 'Cannot check "%": no data types were given', p_symbol
      using errcode = 'SY008', hint = 'Pass for example array[''quote'', ''profile'']';
  end if;
  select wanted.data_type into v_unknown
    from unnest(p_data_types) as wanted (data_type)
   where not exists (
     select 1 from public.data_type_registry_v2 as r where r.data_type = wanted.data_type)
   limit 1;
  if found then
    raise exception 'Cannot check "%": unknown data type "%"', p_symbol, coalesce(v_unknown, 'null')
      using errcode = 'SY008', hint = 'See select data_type from data_type_registry_v2';
  end if;
  if p_symbol is distinct from 'GLOBAL' and not coalesce(switchyard.is_known_symbol(p_symbol), false) then
    raise exception 'Cannot check "%": unknown symbol', coalesce(p_symbol, 'null')
      using errcode = 'SY009',
            hint = 'Check its spelling (class shares use a hyphen: BRK-B)';
  end if;

  -- However many callers there are, together they queue no more than the staleness checks would.
  select count(*) >= v_most into v_is_full
    from (select from switchyard.api_call_queue_v2_live as q
           where q.status = 'pending' and q.source = 'demand' limit v_most) as demand;

  -- A loop over the few asked-for types: each has a table and functions of its own.
  for v_type in
    select r.*
      from public.data_type_registry_v2 as r
     where r.data_type = any (p_data_types)
     order by r.data_type
  loop
    -- In a block of its own: the fault of one type says nothing about the others.
    v_stale := null;
    begin
      execute format('select public.%I($1, $2)', v_type.staleness_function)
        into v_stale
        using switchyard.newest_refresh(v_type.data_type, p_symbol), v_type.default_ttl_minutes;
      v_allowed := true;
      if v_type.condition_function is not null then
        execute format('select public.%I($1)', v_type.condition_function) into v_allowed using p_symbol;
      end if;

      v_reason := case
        when (v_type.symbol_column is null) <> (p_symbol = 'GLOBAL') then
          case when v_type.symbol_column is null then 'global data type: ask for GLOBAL'
               else 'not a global data type' end
        when not v_stale then 'fresh'
        when not coalesce(v_allowed, false) then format('%s says not now', v_type.condition_function)
        when exists (
          select 1 from switchyard.refresh_state as s
           where s.data_type = v_type.data_type and s.symbol = p_symbol
             and s.empty_until > clock_timestamp()) then 'the vendor has nothing for it'
        when exists (
          select 1 from switchyard.refresh_state as s
           where s.data_type = v_type.data_type and s.symbol = p_symbol
             and s.failing_until > clock_timestamp()) then 'its last attempt failed'
        when not public.is_feature_enabled('use_queue_system') then 'use_queue_system is off'
        when not public.is_feature_enabled('use_new_staleness_check') then 'use_new_staleness_check is off'
        when v_type.stage in ('legacy', 'shadow') then format('stage %s: the legacy jobs refresh it', v_type.stage)
        when v_type.stage = 'canary' and not switchyard.is_in_share(v_type.data_type, p_symbol, v_type.canary_percent)
          then 'not in the share of the canary: the legacy jobs refresh it'
        when v_type.paused then 'the data type is paused'
        when public.is_quota_exceeded_v2(v_type.provider) then 'the 30-day byte quota is used up'
        when v_is_full then 'enough jobs are pending'
      end;
    exception when others then
      v_reason := format('failed: %s', sqlerrm);
      perform switchyard.record_event(
        'symbol check failed', jsonb_build_object('message', sqlerrm, 'sqlstate', sqlstate),
        0, v_type.provider, v_type.data_type);
    end;
    if v_reason is null then
      v_queue_types := v_queue_types || v_type.data_type;
    end if;
    v_answer := v_answer || jsonb_build_object(
      'data_type', v_type.data_type, 'stale', v_stale,
      'queued', v_reason is null, 'reason', v_reason);
  end loop;

  if cardinality(v_queue_types) > 0 then
    perform switchyard.enqueue_jobs(
      array_fill(p_symbol, array[cardinality(v_queue_types)]), v_queue_types,
      array_fill(p_priority, array[cardinality(v_queue_types)]), 'demand');
    perform switchyard.wake_processor();
  end if;
  return v_answer;
end
$$;
comment on function switchyard.check_symbol(text, text[], integer) is
  'Answers for one symbol which data types are stale and queues those that may be: [{data_type, stale, queued, reason}].';

-- Signed-in users reach the check through this view and its trigger. A trigger function runs
-- with its owner's rights without anyone holding EXECUTE on it, so that no API role can call a
-- definer function; the view itself is empty and in a schema that REST does not expose.
create view switchyard.refresh_requests
with (security_invoker = true)
as
  select null::text as symbol, null::text[] as data_types, null::integer as priority, null::jsonb as answer
   where false;
comment on view switchyard.refresh_requests is
  'Write-only door for check_and_queue_stale_batch_v2: an INSERT asks, RETURNING answer tells.';

-- Definer: callers may not read the queue, the registry or the data behind the verdict.
create function switchyard.answer_refresh_request()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_caller text;
  v_checks integer;
  v_allowed integer := switchyard.setting_integer('caller_checks_per_minute');
begin
  -- Only callers from outside are counted: a service or a person in the SQL editor is not.
  if current_setting('role', true) = 'authenticated' then
    v_caller := coalesce(
      nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', 'without sub');
    delete from switchyard.caller_checks as c
     where c.caller = v_caller and c.minute < date_trunc('minute', clock_timestamp());
    insert into switchyard.caller_checks as c (caller, minute, checks)
    values (v_caller, date_trunc('minute', clock_timestamp()), 1)
        on conflict (caller, minute) do update set checks = c.checks + 1
    returning c.checks into v_checks;
    if v_checks > v_allowed then
      raise exception 'Cannot check "%": more than % checks in this minute', left(new.symbol, 40), v_allowed
        using errcode = 'SY014', hint = 'Wait for the next minute, and ask for several data types in one call';
    end if;
    -- Answered, not raised: an error would take the count back with it.
    if not (new.symbol is not distinct from 'GLOBAL' or switchyard.is_known_symbol(new.symbol))
       or coalesce(cardinality(new.data_types), 0) not between 1 and 50
       or exists (
         select 1 from unnest(new.data_types) as wanted (data_type)
          where not exists (
            select 1 from public.data_type_registry_v2 as r where r.data_type = wanted.data_type))
    then
      new.answer := jsonb_build_array(jsonb_build_object(
        'data_type', null, 'stale', null, 'queued', false,
        'reason', 'unknown symbol or data type, or not 1 to 50 data types'));
      return new;
    end if;
    -- Capped: no single viewer outranks a symbol that a hundred look at.
    new.priority := least(greatest(new.priority, 1000), 1100);
  end if;
  new.answer := switchyard.check_symbol(new.symbol, new.data_types, new.priority);
  return new;
end
$$;
comment on function switchyard.answer_refresh_request() is
  'Trigger: limits a signed-in caller''s rate (SY014), caps the priority, and answers the request.';

create trigger answer_refresh_request
  instead of insert on switchyard.refresh_requests
  for each row execute function switchyard.answer_refresh_request();

create function public.check_and_queue_stale_batch_v2(
  p_symbol text,
  p_data_types text[],
  p_priority integer default 1000
)
returns jsonb
language sql
volatile
set search_path = ''
as $$
  insert into switchyard.refresh_requests (symbol, data_types, priority)
  values (p_symbol, p_data_types, p_priority)
  returning answer
$$;
comment on function public.check_and_queue_stale_batch_v2(text, text[], integer) is
  'For one symbol: which of these data types are stale, and queue those that are: [{data_type, stale, queued, reason}]. Priority 1000 to 8999, capped at 1100 for signed-in users, who may ask caller_checks_per_minute times a minute (SY014) and get an answer with a reason in place of the errors. Raises SY008 (unknown data type), SY009 (unknown symbol), SY010 (priority). For authenticated, service_role and the SQL editor.';

alter table switchyard.caller_checks enable row level security;

revoke all on table switchyard.caller_checks, switchyard.refresh_requests
  from public, anon, authenticated, service_role;
grant select, insert on table switchyard.refresh_requests to authenticated, service_role;

revoke all on function
  switchyard.newest_refresh(text, text),
  switchyard.check_symbol(text, text[], integer),
  switchyard.answer_refresh_request(),
  public.check_and_queue_stale_batch_v2(text, text[], integer)
from public, anon, authenticated, service_role;
grant execute on function public.check_and_queue_stale_batch_v2(text, text[], integer)
  to authenticated, service_role;
