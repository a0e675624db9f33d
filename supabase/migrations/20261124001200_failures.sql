-- Adds what failures ask for: holds, the breaker, missing parents. Nothing calls it yet.

create function switchyard.open_breaker(p_provider text, p_reason text, p_data_type text default null)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  update public.api_providers_v2 as p
     set breaker_state = 'open',
         breaker_changed_at = clock_timestamp(),
         breaker_opened_at = case when p.breaker_state = 'closed' then clock_timestamp() else p.breaker_opened_at end,
         breaker_data_type = case when p.breaker_state = 'closed' or p.breaker_data_type = p_data_type
                                  then p_data_type end,
         updated_at = clock_timestamp()
   where p.provider = p_provider
     and p.breaker_state <> 'open';
  if found then
    perform switchyard.record_event(
      'breaker opened', jsonb_build_object('reason', p_reason), 0, p_provider, p_data_type);
  end if;
end
$$;
comment on function switchyard.open_breaker(text, text, text) is
  'Stops claims for a provider for breaker_open_seconds; then one job goes out as a probe. p_data_type: the one whose calls failed, when it was one.';

create function switchyard.others_wait(p_provider text, p_data_type text)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (
    select 1
      from public.data_type_registry_v2 as r
     where r.provider = p_provider
       and r.data_type <> p_data_type
       and not r.paused
       and not exists (
         select 1
           from switchyard.data_type_holds as h
          where h.data_type = r.data_type and h.hold_until > clock_timestamp())
       and exists (
         select 1 from switchyard.api_call_queue_v2_live as q where q.data_type = r.data_type));
end
$$;
comment on function switchyard.others_wait(text, text) is
  'Whether the queue has jobs of other data types of a provider that may be claimed.';

create function switchyard.is_our_own_refusal(p_error jsonb)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select coalesce(p_error ->> 'code' in ('edge_function_401', 'edge_function_403'), false)
$$;
comment on function switchyard.is_our_own_refusal(jsonb) is
  'Whether a job failed because an Edge Function of this project refused our key, which says nothing about the vendor.';

create function switchyard.is_failure_of_vendor(p_error jsonb)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select coalesce(p_error ->> 'class' in ('retryable', 'auth'), false) and not switchyard.is_our_own_refusal(p_error)
$$;
comment on function switchyard.is_failure_of_vendor(jsonb) is
  'Whether a job failed because of the vendor''s health, as far as can be told: a timeout, a 5xx, a refused key.';

create function switchyard.move_breaker(p_results switchyard.held_result[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_provider text;
  v_failures integer;
  v_answered boolean;
  v_state text;
  v_data_type text;
  v_others integer;
  v_least integer := switchyard.setting_integer('breaker_least_failures');
  v_open_seconds integer := switchyard.setting_integer('breaker_open_seconds');
  v_since timestamptz := clock_timestamp()
    - make_interval(secs => switchyard.setting_integer('breaker_window_seconds'));
begin
  -- Calls, as the grants are: the jobs of a group share them. At least one for a failure.
  insert into switchyard.failed_attempts as f (provider, data_type, bucket, failures)
  select h.provider, h.data_type, date_trunc('second', clock_timestamp()), greatest(1, sum(h.vendor_calls))
    from unnest(p_results) as h
   where switchyard.is_failure_of_vendor(h.error)
   group by h.provider, h.data_type
   order by h.provider, h.data_type
      on conflict (provider, data_type, bucket) do update set failures = f.failures + excluded.failures;

  -- A loop over the few providers of a batch: each has a breaker of its own. A permanent failure
  -- is an answer: it says something about the job, not about the vendor's health.
  for v_provider, v_failures, v_answered, v_state, v_data_type in
    select h.provider, count(*) filter (where switchyard.is_failure_of_vendor(h.error)),
           bool_or(h.outcome in ('completed', 'empty', 'progress') or h.error ->> 'class' = 'permanent'),
           p.breaker_state, min(h.data_type) filter (where switchyard.is_failure_of_vendor(h.error))
      from unnest(p_results) as h
      join public.api_providers_v2 as p on p.provider = h.provider
     group by h.provider, p.breaker_state
     order by h.provider
  loop
    if v_state = 'half-open' and v_failures > 0 then
      -- The next probe, which goes out within two minutes, is of another data type.
      if switchyard.others_wait(v_provider, v_data_type) then
        perform switchyard.hold_data_type(v_data_type, 3 * v_open_seconds, 'its probe failed');
      end if;
      perform switchyard.open_breaker(v_provider, 'the probe failed', v_data_type);
    elsif v_state = 'half-open' and v_answered then
      delete from switchyard.failed_attempts as f where f.provider = v_provider;
      update public.api_providers_v2 as p
         set breaker_state = 'closed',
             breaker_changed_at = clock_timestamp(),
             breaker_opened_at = null,
             breaker_data_type = null,
             updated_at = clock_timestamp()
       where p.provider = v_provider;
      perform switchyard.record_event('breaker closed', '{}', 0, v_provider);
    elsif v_state = 'closed' and v_failures > 0 then
      select sum(t.failures), sum(t.failures) - max(t.failures), (array_agg(t.data_type order by t.failures desc))[1]
        into v_failures, v_others, v_data_type
        from (
          select f.data_type, sum(f.failures) as failures
            from switchyard.failed_attempts as f
           where f.provider = v_provider and f.bucket > v_since
           group by f.data_type
        ) as t;
      if v_failures >= v_least
         and v_failures >= (switchyard.setting('breaker_failed_share') #>> '{}')::numeric * (
           -- Not the endpoints' calls, of whose failures nothing is known here.
           select coalesce(sum(g.calls - g.endpoint_calls), 0)
             from switchyard.call_grants as g
            where g.provider = v_provider and g.bucket > v_since)
      then
        -- One endpoint of the vendor that fails is no reason to keep the others waiting.
        if v_others >= v_least / 4.0 then
          v_data_type := null;
        end if;
        if switchyard.others_wait(v_provider, v_data_type) then
          perform switchyard.hold_data_type(v_data_type, v_open_seconds, format('%s of its calls failed', v_failures));
        else
          perform switchyard.open_breaker(
            v_provider, format('%s calls failed in the last window', v_failures), v_data_type);
        end if;
      end if;
    end if;
  end loop;
end
$$;
comment on function switchyard.move_breaker(switchyard.held_result[]) is
  'The breaker: closed opens when breaker_failed_share of the calls in the window failed, and breaker_least_failures did. Where fewer than a quarter of that are of other data types than one, that one is held in its place while others wait. Half-open closes when its probe is answered and opens when it fails, and the data type of the probe is held so that the next one is of another.';

create function switchyard.answer_failure(p_result switchyard.held_result)
returns switchyard.held_result
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_result switchyard.held_result := p_result;
  v_class text := p_result.error ->> 'class';
  v_message text := left(p_result.error ->> 'message', 500);
  v_parent text;
  v_hopeless text;
  v_parent_is_new boolean;
begin
  if v_class = 'rate_limited' then
    perform switchyard.hold_provider(
      p_result.provider,
      coalesce((p_result.error ->> 'retry_after_seconds')::integer,
               switchyard.setting_integer('default_hold_seconds')),
      v_message);
  elsif v_class = 'quota' then
    perform switchyard.hold_provider(
      p_result.provider, switchyard.setting_integer('quota_hold_seconds'), v_message);
  elsif v_class = 'auth' and switchyard.is_our_own_refusal(p_result.error) then
    perform switchyard.hold_data_type(
      p_result.data_type, switchyard.setting_integer('edge_function_hold_seconds'), v_message);
  elsif v_class = 'auth' then
    perform switchyard.open_breaker(p_result.provider, v_message);
  elsif v_class = 'dependency' then
    select r.depends_on,
           case
             when r.depends_on is null then 'the registry names no depends_on for it'
             -- A parent whose rows would be dropped never comes from here.
             when q.priority < 9000
                  and switchyard.destination(parent.stage, parent.canary_percent, r.depends_on, q.symbol, 'demand') <> 'table'
               then format('its %s is left to the legacy jobs', r.depends_on)
             when s.empty_until > clock_timestamp()
               then format('the vendor has no %s for it', r.depends_on)
             when s.consecutive_failures >= parent.max_attempts
               then format('its %s failed %s times in a row', r.depends_on, s.consecutive_failures)
           end,
           s.last_checked_at > q.created_at
      into v_parent, v_hopeless, v_parent_is_new
      from switchyard.api_call_queue_v2_live as q
      join public.data_type_registry_v2 as r on r.data_type = q.data_type
      left join public.data_type_registry_v2 as parent on parent.data_type = r.depends_on
      left join switchyard.refresh_state as s
        on s.data_type = r.depends_on and s.symbol = q.symbol
     where q.id = p_result.job_id and q.finished_at = 'infinity';

    if v_hopeless is not null then
      v_result.error := v_result.error || jsonb_build_object(
        'class', 'permanent', 'message', format('%s; %s', p_result.error ->> 'message', v_hopeless));
    elsif v_parent_is_new then
      -- The parent came since the job was made, and still a row is missing: waiting does not help.
      v_result.error := v_result.error || '{"class": "retryable"}';
    else
      -- The parent ranks with its child, so that it is not left behind. It does not come in the order
      -- of locks, so the next claim queues it, which holds none when it begins.
      insert into switchyard.missing_parents (data_type, symbol, priority)
      select v_parent, q.symbol, q.priority
        from switchyard.api_call_queue_v2_live as q
       where q.id = p_result.job_id and q.finished_at = 'infinity';
    end if;
  end if;
  perform switchyard.record_event(
    'failure: ' || v_class,
    jsonb_build_object('job_id', p_result.job_id, 'symbol', p_result.symbol, 'message', v_message),
    1, p_result.provider, p_result.data_type);
  return v_result;
end
$$;
comment on function switchyard.answer_failure(switchyard.held_result) is
  'What a failure asks for beyond its own job: a hold of the provider after a 429 or a used-up quota; an open breaker after a refused key, a hold of the data type when it was our own that an Edge Function refused; the parent noted for the next claim after a missing parent row. Returns the result, made permanent when the parent cannot be had and retryable when it has come already.';

revoke all on function
  switchyard.is_our_own_refusal(jsonb),
  switchyard.answer_failure(switchyard.held_result),
  switchyard.move_breaker(switchyard.held_result[]),
  switchyard.open_breaker(text, text, text),
  switchyard.others_wait(text, text),
  switchyard.is_failure_of_vendor(jsonb)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.is_our_own_refusal(jsonb),
  switchyard.answer_failure(switchyard.held_result),
  switchyard.move_breaker(switchyard.held_result[]),
  switchyard.open_breaker(text, text, text),
  switchyard.others_wait(text, text),
  switchyard.is_failure_of_vendor(jsonb)
to service_role;
