-- Adds demand and the functions that put jobs into the queue. Nothing calls them by itself yet.

create table public.active_subscriptions_v2 (
  symbol text not null,
  data_type text not null references public.data_type_registry_v2 (data_type) on delete cascade,
  source text not null,
  viewers integer not null,
  last_seen_at timestamptz not null default now(),
  primary key (data_type, symbol, source),
  constraint viewers_are_positive check (viewers > 0),
  constraint demand_source_is_known check (source in ('presence', 'realtime'))
);
comment on table public.active_subscriptions_v2 is
  'Demand: how many viewers look at which symbol and data type now, per source (Realtime presence, or row-change subscriptions).';

create table switchyard.processor_runs (
  run_id uuid primary key,
  manual boolean not null,
  started_at timestamptz not null default clock_timestamp(),
  heartbeat_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  report jsonb,
  constraint only_finished_runs_have_a_report check (report is null or finished_at is not null)
);
comment on table switchyard.processor_runs is
  'One row per run of queue-processor-v2. A run without finished_at whose heartbeat is old has died.';

create index processor_runs_alive_idx on switchyard.processor_runs (heartbeat_at)
  where finished_at is null;

create table switchyard.wakes (
  only_row boolean primary key default true,
  last_wake_at timestamptz not null default '-infinity',
  last_problem text,
  constraint there_is_one_wake_row check (only_row)
);
comment on table switchyard.wakes is
  'One row: when the processor was last asked to start, and what went wrong if it could not be asked.';
insert into switchyard.wakes default values;

create function switchyard.is_known_symbol(p_symbol text)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  v_table text := switchyard.setting('known_symbols_table') #>> '{}';
  v_column text := switchyard.setting('known_symbols_column') #>> '{}';
  v_active_column text := switchyard.setting('known_symbols_active_column') #>> '{}';
  v_known boolean;
begin
  if coalesce(p_symbol !~ '^[A-Za-z0-9^][A-Za-z0-9.^=_-]*$' or length(p_symbol) > 40, true) then
    return false;
  end if;
  if v_table is null then
    return true;
  end if;
  execute format(
    'select exists (select 1 from public.%I as s where s.%I = $1 and %s)',
    v_table, v_column,
    case when v_active_column is null then 'true' else format('s.%I', v_active_column) end)
    into v_known
    using p_symbol;
  return v_known;
end
$$;
comment on function switchyard.is_known_symbol(text) is
  'Whether a symbol is an active row of the table that the settings name; true for all that look like one when they name none.';

create function switchyard.enqueue_jobs(
  p_symbols text[],
  p_data_types text[],
  p_priorities integer[],
  p_source text
)
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_made integer;
  v_unknown text;
begin
  select w.data_type into v_unknown
    from (select distinct unnest(p_data_types) as data_type) as w
   where not exists (
     select 1 from public.data_type_registry_v2 as r where r.data_type = w.data_type)
   limit 1;
  if found then
    raise exception 'Cannot queue jobs: unknown data type "%"', coalesce(v_unknown, 'null')
      using errcode = 'SY008', hint = 'See select data_type from data_type_registry_v2';
  end if;

  perform set_config('switchyard.provider_is_known', 'yes', true);
  -- In the order of the unique key, as all that lock several jobs do.
  with wanted as (
    select w.data_type, w.symbol, max(w.priority) as priority
      from unnest(p_symbols, p_data_types, p_priorities) as w (symbol, data_type, priority)
     group by w.data_type, w.symbol
  ),
  upserted as (
    insert into switchyard.api_call_queue_v2_live as q (symbol, data_type, provider, source, priority)
    select w.symbol, w.data_type, r.provider,
           coalesce(p_source, case when w.priority < 1000 then 'scheduled'
                                   when w.priority < 9000 then 'demand' else 'manual' end),
           w.priority
      from wanted as w
      join public.data_type_registry_v2 as r on r.data_type = w.data_type
     order by w.data_type, w.symbol
        on conflict (data_type, symbol) do update
       set priority = excluded.priority,
           source = excluded.source
     where q.priority < excluded.priority
    returning (xmax = 0) as made
  )
  select count(*) filter (where u.made) into v_made from upserted as u;
  perform set_config('switchyard.provider_is_known', '', true);
  return v_made;
end
$$;
comment on function switchyard.enqueue_jobs(text[], text[], integer[], text) is
  'Puts jobs into the queue, set-based; parallel arrays, priorities in the band of p_source; null takes the source from the band. A live job is kept, its priority only raised. Returns the number of new jobs.';

create table switchyard.missing_parents (
  id bigint generated always as identity primary key,
  data_type text not null,
  symbol text not null,
  priority integer not null
);
comment on table switchyard.missing_parents is
  'Parents that a settle found missing, with the priority of the child; the next claim queues them.';

create function switchyard.queue_missing_parents()
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_queued integer;
begin
  if not exists (select 1 from switchyard.missing_parents) then
    return 0;
  end if;
  with taken as (
    delete from switchyard.missing_parents as m
     where m.id in (select t.id from switchyard.missing_parents as t order by t.id limit 1000 for update skip locked)
    returning m.data_type, m.symbol, m.priority
  )
  select switchyard.enqueue_jobs(array_agg(t.symbol), array_agg(t.data_type), array_agg(t.priority), null)
    into v_queued
    from taken as t
    join public.data_type_registry_v2 as r on r.data_type = t.data_type
  having count(*) > 0;
  return coalesce(v_queued, 0);
end
$$;
comment on function switchyard.queue_missing_parents() is
  'Queues the parents that settles found missing; returns the number of new jobs. Claims call it before they lock anything.';

-- Definer, because it reads the secret key from Vault, which no API role may.
create function switchyard.post_to_processor(p_body jsonb)
returns bigint
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_project_url text;
  v_secret_key text;
  v_missing text;
begin
  select max(s.decrypted_secret) filter (where s.name = 'project_url'),
         max(s.decrypted_secret) filter (where s.name = 'switchyard_secret_key')
    into v_project_url, v_secret_key
    from vault.decrypted_secrets as s
   where s.name in ('project_url', 'switchyard_secret_key');

  v_missing := concat_ws(', ',
    case when coalesce(v_project_url, '') = '' then 'project_url' end,
    case when coalesce(v_secret_key, '') = '' then 'switchyard_secret_key' end);
  -- pg_net drops a null header without a word and would call unauthenticated.
  if v_missing <> '' then
    raise exception 'Cannot call queue-processor-v2: Vault has no secret %', v_missing
      using errcode = 'SY007',
            hint = 'Run select vault.create_secret(''<value>'', ''<name>'') for each missing one';
  end if;

  return net.http_post(
    url := rtrim(v_project_url, '/') || '/functions/v1/queue-processor-v2',
    body := p_body,
    headers := jsonb_build_object('Content-Type', 'application/json', 'apikey', v_secret_key),
    timeout_milliseconds := 5000
  );
end
$$;
comment on function switchyard.post_to_processor(jsonb) is
  'Asks pg_net to call queue-processor-v2 after commit; returns the request id (net._http_response). Raises SY007 when Vault lacks project_url or switchyard_secret_key.';

create function switchyard.is_processor_alive()
returns boolean
language sql
stable
set search_path = ''
as $$
  select exists (
    select 1
      from switchyard.processor_runs as r
     where r.finished_at is null
       and not r.manual
       and r.heartbeat_at > clock_timestamp()
             - make_interval(secs => switchyard.setting_integer('processor_alive_seconds'))
  )
$$;
comment on function switchyard.is_processor_alive() is
  'Whether a processor run that drains the whole queue has shown a heartbeat lately. Manual runs do not count: they leave other jobs alone.';

create sequence switchyard.wake_seconds minvalue 0 start 0;
comment on sequence switchyard.wake_seconds is
  'Second (Unix time) of the last wake that was asked for while another transaction held the row of switchyard.wakes.';

create function switchyard.takes_second()
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_key constant bigint := hashtext('switchyard.wake_seconds');
  v_second bigint := extract(epoch from clock_timestamp());
  v_is_first boolean;
begin
  -- A session lock for an instant: the sequence and the lock are outside of the transaction.
  if not pg_try_advisory_lock(v_key) then
    return false;
  end if;
  select s.last_value < v_second into v_is_first from switchyard.wake_seconds as s;
  if v_is_first then
    perform setval('switchyard.wake_seconds', v_second);
  end if;
  perform pg_advisory_unlock(v_key);
  return v_is_first;
end
$$;
comment on function switchyard.takes_second() is
  'True for the first caller of a second, whatever becomes of its transaction.';

create function switchyard.wake_processor()
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_has_row boolean;
  v_problem text;
begin
  if not public.is_feature_enabled('use_queue_system') or switchyard.is_processor_alive()
     or not exists (
       select 1
         from public.api_providers_v2 as p
        where switchyard.provider_refusal(p.provider) is null
          and exists (
            select 1
              from switchyard.api_call_queue_v2_live as q
             where q.provider = p.provider and q.status = 'pending'
               and q.run_after <= clock_timestamp()))
  then
    return false;
  end if;

  -- One wake a second. The second of the last one is kept twice: in the row, which a rolled back
  -- transaction takes back together with its request, and in a sequence, which it does not. Whoever
  -- meets the row locked gives its holder a moment to commit; a holder that takes longer may roll back,
  -- and then the sequence decides. Not by waiting for the lock: that could close a circle. The lock
  -- asks for the time once more: another wake may have committed since.
  for v_try in 1..3 loop
    perform 1 from switchyard.wakes as w where w.last_wake_at >= clock_timestamp() - interval '1 second';
    if found then
      return false;
    end if;
    exit when v_try = 3;
    begin
      perform 1
         from switchyard.wakes as w
        where w.last_wake_at < clock_timestamp() - interval '1 second'
          for update skip locked;
      v_has_row := found;
    exception when serialization_failure then
      -- Somebody has woken it since this transaction's snapshot; enqueueing must not fail because of that.
      return false;
    end;
    exit when v_has_row;
    perform pg_sleep(0.02);
  end loop;
  if not v_has_row and not switchyard.takes_second() then
    return false;
  end if;

  begin
    perform switchyard.post_to_processor('{"reason": "wake"}');
  exception when sqlstate 'SY007' then
    -- Enqueueing must not fail because nobody can be woken: the cron job reports it as well.
    v_problem := sqlerrm;
  end;
  if v_has_row then
    update switchyard.wakes set last_wake_at = clock_timestamp(), last_problem = v_problem;
  end if;
  return v_problem is null;
end
$$;
comment on function switchyard.wake_processor() is
  'Asks for a processor when use_queue_system is on and none is alive, at most once a second, and once more in a second whose asking transaction has not ended after 40 ms, for it may roll back. True when it asked. A missing secret is kept in switchyard.wakes.last_problem.';

create function switchyard.wake_after_insert()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
begin
  -- Once per transaction, however many rows.
  if coalesce(current_setting('switchyard.woken_in', true), '') <> pg_current_xact_id()::text then
    perform set_config('switchyard.woken_in', pg_current_xact_id()::text, true);
    perform switchyard.wake_processor();
  end if;
  return null;
end
$$;
comment on function switchyard.wake_after_insert() is
  'Trigger: a plain INSERT of jobs wakes the processor as every other enqueue does.';

create trigger wake_after_insert
  after insert on switchyard.api_call_queue_v2_live
  for each row
  when (coalesce(current_setting('switchyard.provider_is_known', true), '') <> 'yes')
  execute function switchyard.wake_after_insert();

create function public.queue_refresh_if_not_exists_v2(
  p_symbol text,
  p_data_type text,
  p_priority integer default 9000
)
returns bigint
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_is_global boolean;
  v_job_id bigint;
begin
  select r.symbol_column is null into v_is_global
    from public.data_type_registry_v2 as r
   where r.data_type = p_data_type;
  if not found then
    raise exception 'Cannot queue "%" for "%": unknown data type', p_data_type, p_symbol
      using errcode = 'SY008',
            hint = 'See select data_type from data_type_registry_v2';
  end if;

  if v_is_global and p_symbol is distinct from 'GLOBAL' then
    raise exception 'Cannot queue "%" for "%": the data type is global, its only symbol is GLOBAL',
      p_data_type, p_symbol
      using errcode = 'SY009',
            hint = format('Run select queue_refresh_if_not_exists_v2(%L, %L)', 'GLOBAL', p_data_type);
  end if;

  if not v_is_global and not coalesce(switchyard.is_known_symbol(p_symbol), false) then
    raise exception 'Cannot queue "%" for "%": unknown symbol', p_data_type, p_symbol
      using errcode = 'SY009',
            detail = format('public.%s has no active row for it',
                            switchyard.setting('known_symbols_table') #>> '{}'),
            hint = 'Add the symbol there first, or check its spelling (class shares use a hyphen: BRK-B)';
  end if;

  if p_priority is null or p_priority not between 9000 and 9999 then
    raise exception 'Cannot queue "%" for "%": priority is %, wanted 9000 to 9999 (the manual band)',
      p_data_type, p_symbol, coalesce(p_priority::text, 'null')
      using errcode = 'SY010',
            hint = 'Leave the priority out for 9000';
  end if;

  perform switchyard.enqueue_jobs(array[p_symbol], array[p_data_type], array[p_priority], 'manual');
  perform switchyard.wake_processor();

  select q.id into v_job_id
    from switchyard.api_call_queue_v2_live as q
   where q.symbol = p_symbol and q.data_type = p_data_type;
  return v_job_id;
end
$$;
comment on function public.queue_refresh_if_not_exists_v2(text, text, integer) is
  'Queues one refresh by hand and returns the id of the live job, the existing one if there is one (its priority is raised, never lowered). Works with every flag off. Raises SY008 (unknown data type), SY009 (unknown symbol), SY010 (priority outside the manual band). For service_role and the SQL editor.';

alter table public.active_subscriptions_v2 enable row level security;
alter table switchyard.processor_runs enable row level security;
alter table switchyard.wakes enable row level security;
alter table switchyard.missing_parents enable row level security;

revoke all on table
  public.active_subscriptions_v2, switchyard.processor_runs, switchyard.wakes,
  switchyard.missing_parents
from public, anon, authenticated, service_role;
revoke all on sequence switchyard.wake_seconds from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.active_subscriptions_v2 to service_role;
grant select, insert, update on table switchyard.processor_runs to service_role;
grant select, update on table switchyard.wakes to service_role;
grant select, update on sequence switchyard.wake_seconds to service_role;
-- Row locks (skip locked) need the update privilege.
grant select, insert, update, delete on table switchyard.missing_parents to service_role;

revoke all on function
  switchyard.is_known_symbol(text),
  switchyard.enqueue_jobs(text[], text[], integer[], text),
  switchyard.post_to_processor(jsonb),
  switchyard.is_processor_alive(),
  switchyard.takes_second(),
  switchyard.wake_processor(),
  switchyard.wake_after_insert(),
  switchyard.queue_missing_parents(),
  public.queue_refresh_if_not_exists_v2(text, text, integer)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.is_known_symbol(text),
  switchyard.enqueue_jobs(text[], text[], integer[], text),
  switchyard.post_to_processor(jsonb),
  switchyard.is_processor_alive(),
  switchyard.takes_second(),
  switchyard.wake_processor(),
  switchyard.wake_after_insert(),
  switchyard.queue_missing_parents(),
  public.queue_refresh_if_not_exists_v2(text, text, integer)
to service_role;
