-- Adds what failures ask for: holds, the breaker, missing parents. Nothing calls it yet.

create function switchyard.open_breaker(p_provider text, p_reason text, p_data_types text[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_was_open boolean;
begin
  select p.breaker_state = 'open' into v_was_open
    from public.api_providers_v2 as p
   where p.provider = p_provider
     for no key update;
  update public.api_providers_v2 as p
     set breaker_state = 'open',
         breaker_changed_at = case when v_was_open then p.breaker_changed_at else clock_timestamp() end,
         breaker_opened_at = case when p.breaker_state = 'closed' then clock_timestamp() else p.breaker_opened_at end,
         breaker_data_types = case
           when p.breaker_state = 'closed' then p_data_types
           else array(select t.data_type from unnest(p.breaker_data_types) as t (data_type)
                       where t.data_type <> all (p_data_types)) || p_data_types end,
         updated_at = clock_timestamp()
   where p.provider = p_provider;
  if not v_was_open then
    perform switchyard.record_event(
      'breaker opened', jsonb_build_object('reason', p_reason, 'data_types', p_data_types), 0, p_provider);
  end if;
end
$$;
comment on function switchyard.open_breaker(text, text, text[]) is
  'Stops claims for a provider for breaker_open_seconds; then one job goes out as a probe, of another data type than those whose calls failed where there is one.';

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
  v_failed_types text[];
  v_since timestamptz := clock_timestamp()
    - make_interval(secs => switchyard.setting_integer('breaker_window_seconds'));
begin
  -- A loop over the few providers of a batch: each has a breaker of its own. A permanent failure
  -- is an answer: it says something about the job, not about the vendor's health.
  for v_provider, v_failures, v_answered, v_state, v_failed_types in
    select h.provider,
           -- Calls, as the grants are: the jobs of a group share them. At least one for a failure.
           case when bool_or(failure.of_vendor)
                then greatest(1, sum(h.vendor_calls) filter (where failure.of_vendor))
                else 0 end,
           bool_or(h.outcome in ('completed', 'empty', 'progress') or h.error ->> 'class' = 'permanent'),
           p.breaker_state,
           coalesce(array_agg(distinct h.data_type) filter (where failure.of_vendor), '{}')
      from unnest(p_results) as h
     cross join lateral (
       select coalesce(h.error ->> 'class' in ('retryable', 'auth'), false)
              and not switchyard.is_our_own_refusal(h.error) as of_vendor
     ) as failure
      join public.api_providers_v2 as p on p.provider = h.provider
     group by h.provider, p.breaker_state
     order by h.provider
  loop
    if v_failures > 0 then
      insert into switchyard.failed_attempts as f (provider, bucket, failures)
      values (v_provider, date_trunc('second', clock_timestamp()), v_failures)
          on conflict (provider, bucket) do update set failures = f.failures + excluded.failures;
    end if;

    if v_state <> 'closed' and v_failures > 0 then
      -- Open already: what was under way when it opened fails as well.
      perform switchyard.open_breaker(v_provider, 'the probe failed', v_failed_types);
    elsif v_state = 'half-open' and v_answered then
      perform 1 from public.api_providers_v2 as p where p.provider = v_provider for no key update;
      delete from switchyard.failed_attempts as f where f.provider = v_provider;
      update public.api_providers_v2 as p
         set breaker_state = 'closed',
             breaker_changed_at = clock_timestamp(),
             breaker_opened_at = null,
             breaker_data_types = '{}',
             updated_at = clock_timestamp()
       where p.provider = v_provider and p.breaker_state = 'half-open';
      if found then
        perform switchyard.record_event('breaker closed', '{}', 0, v_provider);
      end if;
    elsif v_state = 'closed' and v_failures > 0 then
      select sum(f.failures) into v_failures
        from switchyard.failed_attempts as f
       where f.provider = v_provider and f.bucket > v_since;
      if v_failures >= switchyard.setting_integer('breaker_least_failures')
         and v_failures >= (switchyard.setting('breaker_failed_share') #>> '{}')::numeric * (
           -- Not the endpoints' calls, of whose failures nothing is known here.
           select coalesce(sum(g.calls - g.endpoint_calls), 0)
             from switchyard.call_grants as g
            where g.provider = v_provider and g.bucket > v_since)
      then
        perform switchyard.open_breaker(
          v_provider, format('%s calls failed in the last window', v_failures), v_failed_types);
      end if;
    end if;
  end loop;
end
$$;
comment on function switchyard.move_breaker(switchyard.held_result[]) is
  'The breaker: closed opens when breaker_failed_share of the calls in the window failed, and breaker_least_failures did; half-open closes when its probe is answered and opens when it fails.';

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
    perform switchyard.open_breaker(p_result.provider, v_message, array[p_result.data_type]);
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
  switchyard.open_breaker(text, text, text[])
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.is_our_own_refusal(jsonb),
  switchyard.answer_failure(switchyard.held_result),
  switchyard.move_breaker(switchyard.held_result[]),
  switchyard.open_breaker(text, text, text[])
to service_role;
