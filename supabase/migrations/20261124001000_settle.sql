-- Adds the settle: how processors report what became of claimed jobs. Nothing calls it yet.

create type switchyard.job_conclusion as (
  job_id bigint,
  outcome text,
  status text,
  attempts_added integer,
  run_after timestamptz,
  error jsonb,
  rows_written integer,
  vendor_calls integer,
  vendor_bytes bigint
);
comment on type switchyard.job_conclusion is
  'Where a job goes: status completed or failed finishes it, pending gives it back. outcome is what the processor is told. A null run_after leaves the one it has.';

create function switchyard.conclude_jobs(p_conclusions switchyard.job_conclusion[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  update switchyard.api_call_queue_v2_live as q
     set status = 'pending',
         lease_token = null,
         lease_expires_at = null,
         attempts = q.attempts + c.attempts_added,
         run_after = coalesce(c.run_after, q.run_after),
         delayed = coalesce(c.run_after, q.run_after) > clock_timestamp(),
         vendor_calls = q.vendor_calls + c.vendor_calls,
         vendor_bytes = q.vendor_bytes + c.vendor_bytes,
         last_error = coalesce(c.error ->> 'message', q.last_error),
         errors = case when c.error is null then q.errors else q.errors || c.error end
    from unnest(p_conclusions) as c
   where q.id = c.job_id
     and q.finished_at = 'infinity'
     and c.status = 'pending';

  with finished as (
    delete from switchyard.api_call_queue_v2_live as q
     using unnest(p_conclusions) as c
     where q.id = c.job_id
       and q.finished_at = 'infinity'
       and c.status <> 'pending'
    returning q.*, c.status as final_status, c.attempts_added, c.error as final_error,
              c.rows_written as final_rows, c.vendor_calls as added_calls, c.vendor_bytes as added_bytes
  )
  insert into public.api_call_queue_v2 (
    id, symbol, data_type, provider, source, priority, status, attempts, run_after, claimed_by,
    claimed_at, created_at, finished_at, rows_written, vendor_calls, vendor_bytes, last_error, errors
  )
  select f.id, f.symbol, f.data_type, f.provider, f.source, f.priority, f.final_status,
         f.attempts + f.attempts_added, f.run_after, f.claimed_by, f.claimed_at, f.created_at,
         clock_timestamp(), f.final_rows, f.vendor_calls + f.added_calls,
         f.vendor_bytes + f.added_bytes,
         case when f.final_status = 'failed' then coalesce(f.final_error ->> 'message', f.last_error)
              else f.last_error end,
         case when f.final_error is null then f.errors else f.errors || f.final_error end
    from finished as f;
end
$$;
comment on function switchyard.conclude_jobs(switchyard.job_conclusion[]) is
  'Moves jobs on: back to pending in the live partition, or out of it into the partition of today. The caller holds their row locks and has checked their leases.';

create function switchyard.retry_at(p_attempts integer)
returns timestamptz
language sql
volatile
set search_path = ''
as $$
  select clock_timestamp() + make_interval(secs => (0.5 + random()) * least(
    switchyard.setting_integer('backoff_max_seconds')::double precision,
    switchyard.setting_integer('backoff_base_seconds') * 2::double precision ^ least(p_attempts, 20)))
$$;
comment on function switchyard.retry_at(integer) is
  'When a job that failed p_attempts times before is tried again: exponential, with jitter of half to one and a half.';

create function switchyard.error_class_of(p_sqlstate text)
returns text
language sql
immutable
set search_path = ''
as $$
  select case
    when p_sqlstate = '23503' then 'dependency'
    when p_sqlstate in ('40001', '40P01', '55P03') then 'collision'
    else 'retryable'
  end
$$;
comment on function switchyard.error_class_of(text) is
  'Error class of what a data table raised: a missing parent row is a dependency, a deadlock or serialization failure a collision (no attempt), all else a failed attempt.';

create type switchyard.held_result as (
  position integer,
  job_id bigint,
  symbol text,
  data_type text,
  provider text,
  attempts integer,
  max_attempts integer,
  outcome text,
  rows jsonb,
  vendor_calls integer,
  vendor_bytes bigint,
  error jsonb,
  rows_written integer
);
comment on type switchyard.held_result is
  'One settle result whose lease holds, beside what the queue knows of its job.';

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
     where h.outcome = 'completed'
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
     where r.outcome = 'completed'
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
         where r.data_type = v_data_type and r.outcome = 'completed'
      loop
        v_results[v_result.position].rows_written := coalesce((v_written ->> v_result.symbol)::integer, 0);
      end loop;
    exception when others then
      -- One of these jobs is bad: apply them one by one, so that it alone fails.
      for v_result in
        select r.* from unnest(v_results) as r
         where r.data_type = v_data_type and r.outcome = 'completed'
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
  'Writes the rows of completed results and returns all results: with rows_written, or turned into failed where the rows were refused. Positions must run from 1 without gaps.';

create function switchyard.note_refresh_state(p_results switchyard.held_result[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  insert into switchyard.refresh_state as s (
    symbol, data_type, last_checked_at, last_changed_at, content_hash, empty_until,
    consecutive_failures
  )
  select r.symbol, r.data_type,
         case when r.outcome = 'failed' then '-infinity' else clock_timestamp() end,
         case when r.rows_written > 0 then clock_timestamp() end,
         case when r.outcome = 'completed' then (
           select md5(string_agg((e.item - t.timestamp_column)::text, ',' order by e.place))
             from jsonb_array_elements(r.rows) with ordinality as e (item, place)) end,
         case when r.outcome = 'empty'
              then clock_timestamp() + make_interval(mins => t.empty_recheck_minutes) end,
         case when r.outcome = 'failed' then 1 else 0 end
    from unnest(p_results) as r
    join public.data_type_registry_v2 as t on t.data_type = r.data_type
   where r.outcome in ('completed', 'empty')
      or (r.outcome = 'failed' and r.error ->> 'class' in ('retryable', 'permanent'))
   order by r.data_type, r.symbol
      on conflict (data_type, symbol) do update
     set last_checked_at = greatest(s.last_checked_at, excluded.last_checked_at),
         last_changed_at = coalesce(excluded.last_changed_at, s.last_changed_at),
         content_hash = case when excluded.consecutive_failures > 0 then s.content_hash
                             else excluded.content_hash end,
         empty_until = case when excluded.consecutive_failures > 0 then s.empty_until
                            else excluded.empty_until end,
         consecutive_failures = case when excluded.consecutive_failures > 0
                                     then s.consecutive_failures + 1 else 0 end;
end
$$;
comment on function switchyard.note_refresh_state(switchyard.held_result[]) is
  'Keeps switchyard.refresh_state true after a settle. Releases, holds, collisions and missing parents say nothing about the symbol and are left out.';

create function switchyard.book_usage(p_results switchyard.held_result[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  insert into public.api_data_usage_v2 as u (provider, data_type, hour, calls, failed_calls, bytes)
  select r.provider, r.data_type, date_trunc('hour', clock_timestamp(), 'UTC'),
         sum(r.vendor_calls),
         coalesce(sum(r.vendor_calls) filter (where r.outcome = 'failed'), 0),
         sum(r.vendor_bytes)
    from unnest(p_results) as r
   group by r.provider, r.data_type
  having sum(r.vendor_calls) > 0 or sum(r.vendor_bytes) > 0
   order by r.provider, r.data_type
      on conflict (provider, data_type, hour) do update
     set calls = u.calls + excluded.calls,
         failed_calls = u.failed_calls + excluded.failed_calls,
         bytes = u.bytes + excluded.bytes;

  update public.data_type_registry_v2 as t
     set estimated_data_size_bytes = greatest(1, round(
           0.8 * t.estimated_data_size_bytes + 0.2 * seen.bytes_per_job))
    from (
      -- No single answer moves the estimate far: one that is never granted is never corrected.
      select r.data_type, avg(least(r.vendor_bytes, 10 * known.estimated_data_size_bytes)) as bytes_per_job
        from unnest(p_results) as r
        join public.data_type_registry_v2 as known on known.data_type = r.data_type
       where r.outcome = 'completed'
       group by r.data_type
      having sum(r.vendor_bytes) > 0
    ) as seen
   where t.data_type = seen.data_type
     -- A step too small to matter is not worth a new version of a row that every claim reads.
     and abs(seen.bytes_per_job - t.estimated_data_size_bytes) > 0.05 * t.estimated_data_size_bytes;
end
$$;
comment on function switchyard.book_usage(switchyard.held_result[]) is
  'Adds calls and bytes (of failed calls too) to the hourly usage and moves the size estimates: 0.8 old, 0.2 the mean of this batch.';

create function switchyard.open_breaker(p_provider text, p_reason text)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  update public.api_providers_v2 as p
     set breaker_state = 'open',
         breaker_changed_at = clock_timestamp(),
         updated_at = clock_timestamp()
   where p.provider = p_provider
     and p.breaker_state <> 'open';
  if found then
    perform switchyard.record_event(
      'breaker opened', jsonb_build_object('reason', p_reason), 0, p_provider);
  end if;
end
$$;
comment on function switchyard.open_breaker(text, text) is
  'Stops claims for a provider for breaker_open_seconds; then one job goes out as a probe.';

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
  v_since timestamptz := clock_timestamp()
    - make_interval(secs => switchyard.setting_integer('breaker_window_seconds'));
begin
  -- A loop over the few providers of a batch: each has a breaker of its own. A permanent failure
  -- is an answer: it says something about the job, not about the vendor's health.
  for v_provider, v_failures, v_answered, v_state in
    select h.provider,
           count(*) filter (where h.error ->> 'class' in ('retryable', 'auth')),
           bool_or(h.outcome in ('completed', 'empty') or h.error ->> 'class' = 'permanent'),
           p.breaker_state
      from unnest(p_results) as h
      join public.api_providers_v2 as p on p.provider = h.provider
     group by h.provider, p.breaker_state
     order by h.provider
  loop
    if v_failures > 0 then
      insert into switchyard.failed_attempts as f (provider, bucket, failures)
      values (v_provider, date_trunc('second', clock_timestamp()), v_failures)
          on conflict (provider, bucket) do update set failures = f.failures + excluded.failures;
    end if;

    if v_state = 'half-open' and v_failures > 0 then
      perform switchyard.open_breaker(v_provider, 'the probe failed');
    elsif v_state = 'half-open' and v_answered then
      delete from switchyard.failed_attempts as f where f.provider = v_provider;
      update public.api_providers_v2 as p
         set breaker_state = 'closed',
             breaker_changed_at = clock_timestamp(),
             updated_at = clock_timestamp()
       where p.provider = v_provider;
      perform switchyard.record_event('breaker closed', '{}', 0, v_provider);
    elsif v_state = 'closed' and v_failures > 0 then
      select sum(f.failures) into v_failures
        from switchyard.failed_attempts as f
       where f.provider = v_provider and f.bucket > v_since;
      if v_failures >= switchyard.setting_integer('breaker_least_failures')
         and v_failures >= (switchyard.setting('breaker_failed_share') #>> '{}')::numeric * (
           select coalesce(sum(g.calls), 0)
             from switchyard.call_grants as g
            where g.provider = v_provider and g.bucket > v_since)
      then
        perform switchyard.open_breaker(
          v_provider, format('%s attempts failed in the last window', v_failures));
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
  v_lock_timeout text := current_setting('lock_timeout');
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
  elsif v_class = 'auth' then
    perform switchyard.open_breaker(p_result.provider, v_message);
  else
    select r.depends_on,
           case
             when r.depends_on is null then 'the registry names no depends_on for it'
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
      -- of locks: rather than wait for it in earnest, it is left to the child's next attempt.
      begin
        perform set_config('lock_timeout', '100ms', true);
        perform switchyard.enqueue_jobs(
          array[p_result.symbol], array[v_parent], array[q.priority], q.source)
           from switchyard.api_call_queue_v2_live as q
          where q.id = p_result.job_id;
        perform set_config('lock_timeout', v_lock_timeout, true);
      exception when lock_not_available then
        perform switchyard.record_event(
          'parent locked', jsonb_build_object('symbol', p_result.symbol), 1, p_result.provider, v_parent);
      end;
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
  'What a failure asks for beyond its own job: a hold of the provider after a 429 or a used-up quota; an open breaker after a refused key; the parent type queued after a missing parent row. Returns the result, made permanent when the parent cannot be had and retryable when it has come already.';

create function switchyard.read_settle_results(p_results jsonb)
returns table (
  place bigint,
  job_id bigint,
  lease_token text,
  outcome text,
  rows jsonb,
  calls integer,
  bytes bigint,
  error jsonb,
  problem text
)
language plpgsql
volatile
set search_path = ''
rows 100
as $$
#variable_conflict use_column
begin
  return query
  select read.place,
         case when read.job_id ~ '^[0-9]{1,18}$' then read.job_id::bigint end,
         lower(read.lease_token),
         read.outcome,
         read.rows,
         case when read.problem is null then coalesce(read.calls::integer, 0) end,
         case when read.problem is null then coalesce(read.bytes::bigint, 0) end,
         read.error,
         read.problem
    from (
      select x.*,
        case
          when coalesce(x.job_id !~ '^[0-9]{1,18}$', true) then
            format('job_id is %s, wanted a whole number', coalesce(left(x.job_id, 40), 'missing'))
          when coalesce(length(x.lease_token) <> 36, true) then
            format('lease_token is %s, wanted a uuid', coalesce(left(x.lease_token, 40), 'missing'))
          when coalesce(x.outcome not in ('completed', 'empty', 'failed', 'released'), true) then
            format('outcome is %s, wanted completed, empty, failed or released',
                   coalesce(left(x.outcome, 40), 'missing'))
          when jsonb_typeof(x.rows) <> 'array' then
            format('rows is %s, wanted an array', jsonb_typeof(x.rows))
          when x.outcome = 'completed' and x.rows is null then
            'rows is missing from a completed result'
          when x.calls !~ '^[0-9]{1,6}$' then
            format('calls is %s, wanted a whole number', left(x.calls, 40))
          when x.bytes !~ '^[0-9]{1,12}$' then
            format('bytes is %s, wanted a whole number', left(x.bytes, 40))
          when x.outcome <> 'failed' then null
          when jsonb_typeof(x.error) is distinct from 'object' then
            'error is missing from a failed result'
          when coalesce(x.error ->> 'class' not in
                 ('retryable', 'rate_limited', 'quota', 'auth', 'permanent', 'dependency'), true) then
            format('error.class is %s, wanted retryable, rate_limited, quota, auth, permanent or dependency',
                   coalesce(left(x.error ->> 'class', 40), 'missing'))
          when coalesce(x.error ->> 'message', '') = '' then
            'error.message is missing from a failed result'
          when x.error ->> 'retry_after_seconds' !~ '^[0-9]{1,7}$' then
            format('error.retry_after_seconds is %s, wanted a whole number',
                   left(x.error ->> 'retry_after_seconds', 40))
        end as problem
        from rows from (
          jsonb_to_recordset(p_results) as (
            job_id text, lease_token text, outcome text, rows jsonb, calls text, bytes text, error jsonb)
        ) with ordinality as x (job_id, lease_token, outcome, rows, calls, bytes, error, place)
    ) as read;
end
$$;
comment on function switchyard.read_settle_results(jsonb) is
  'The results of a settle payload as columns; problem says in a sentence what is malformed in one, null when it is well formed. p_results is an array of objects.';

create function public.settle_queue_batch_v2(p_results jsonb)
returns table (job_id bigint, outcome text, rows_written integer, detail text)
language plpgsql
volatile
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
  v_results jsonb := p_results;
  v_held switchyard.held_result[];
  v_conclusions switchyard.job_conclusion[];
  v_result switchyard.held_result;
begin
  if jsonb_typeof(p_results) is distinct from 'array' then
    raise exception 'Cannot settle jobs: the payload is %, wanted an array of results',
      coalesce(jsonb_typeof(p_results), 'null')
      using errcode = 'SY012',
            hint = 'Send [{"job_id": …, "lease_token": …, "outcome": …, "rows": […]}]';
  end if;
  if jsonb_array_length(p_results) > 1000 then
    raise exception 'Cannot settle jobs: % results in one call, wanted at most 1000',
      jsonb_array_length(p_results)
      using errcode = 'SY012', hint = 'Split the results over several calls';
  end if;

  if jsonb_path_exists(p_results, 'strict $[*] ? (@.type() != "object")') then
    return query
      select null::bigint, 'malformed', 0,
             format('a result is not an object but %s', jsonb_typeof(e.item))
        from jsonb_array_elements(p_results) as e (item)
       where jsonb_typeof(e.item) <> 'object';
    v_results := jsonb_path_query_array(p_results, 'strict $[*] ? (@.type() == "object")');
  end if;

  -- Locked in the order of the unique key, as all that lock several jobs do. The clock is the
  -- wall clock: the transaction may have waited for these locks past an expiry.
  with held as materialized (
    select q.id, q.symbol, q.data_type, q.provider, q.attempts, r.max_attempts,
           -- Completed without rows means that the vendor has nothing.
           case when x.outcome = 'completed' and x.rows = '[]' then 'empty' else x.outcome end as outcome,
           coalesce(x.rows, '[]') as rows, x.calls, x.bytes,
           case when x.outcome = 'failed' then x.error end as error, x.place
      from switchyard.read_settle_results(v_results) as x
      join switchyard.api_call_queue_v2_live as q
        on q.id = x.job_id and q.finished_at = 'infinity'
      join public.data_type_registry_v2 as r on r.data_type = q.data_type
     where x.problem is null
       and q.status = 'processing'
       and q.lease_token::text = x.lease_token
       and q.lease_expires_at > clock_timestamp()
     order by q.data_type, q.symbol
       for update of q
  )
  select array_agg((
           h.position, h.id, h.symbol, h.data_type, h.provider, h.attempts,
           h.max_attempts, h.outcome, h.rows, h.calls, h.bytes, h.error, 0
         )::switchyard.held_result order by h.position)
    into v_held
    from (
      select first.*, row_number() over (order by first.id)::integer as position
        from (select distinct on (held.id) held.* from held order by held.id, held.place) as first
    ) as h;

  if coalesce(cardinality(v_held), 0) < jsonb_array_length(v_results) then
    return query
      select x.job_id,
             case when x.problem is null then 'lease_lost' else 'malformed' end,
             0,
             coalesce(x.problem, format(
               'Job %s is not held by lease %s any more; nothing was changed', x.job_id, x.lease_token))
        from (
          select r.*, row_number() over (partition by r.job_id, r.problem is null order by r.place) as nth
            from switchyard.read_settle_results(v_results) as r
        ) as x
       where x.problem is not null
          or x.nth > 1
          or x.job_id <> all (array(select h.job_id from unnest(v_held) as h));
  end if;
  if v_held is null then
    return;
  end if;

  if exists (select 1 from unnest(v_held) as h where h.outcome = 'completed') then
    v_held := switchyard.apply_held_rows(v_held);
  end if;

  -- A loop over the few failures that concern more than their own job.
  for v_result in
    select h.* from unnest(v_held) as h
     where h.error ->> 'class' in ('rate_limited', 'quota', 'auth', 'dependency')
     -- Jobs before providers, as in a claim.
     order by h.error ->> 'class' <> 'dependency', h.provider
  loop
    v_held[v_result.position] := switchyard.answer_failure(v_result);
  end loop;

  select array_agg((
           h.job_id,
           case
             when h.outcome <> 'failed' then h.outcome
             when h.error ->> 'class' = 'permanent' then 'failed'
             when h.error ->> 'class' <> 'retryable' then 'released'
             when h.attempts + 1 >= h.max_attempts then 'failed'
             else 'rescheduled'
           end,
           case
             when h.outcome in ('completed', 'empty') then 'completed'
             when h.outcome = 'released' then 'pending'
             when h.error ->> 'class' = 'permanent' then 'failed'
             when h.error ->> 'class' = 'retryable' and h.attempts + 1 >= h.max_attempts then 'failed'
             else 'pending'
           end,
           case when h.error ->> 'class' in ('retryable', 'permanent') then 1 else 0 end,
           case h.error ->> 'class'
             when 'retryable' then switchyard.retry_at(h.attempts)
             when 'dependency' then clock_timestamp() + interval '2 seconds'
             when 'collision' then clock_timestamp() + (0.1 + random()) * interval '1 second'
           end,
           case when h.error is not null then jsonb_build_object(
             'at', clock_timestamp(), 'class', h.error ->> 'class', 'code', h.error ->> 'code',
             'message', left(h.error ->> 'message', 2000)) end,
           h.rows_written, h.vendor_calls, h.vendor_bytes
         )::switchyard.job_conclusion order by h.position)
    into v_conclusions
    from unnest(v_held) as h;

  perform switchyard.conclude_jobs(v_conclusions);
  perform switchyard.note_refresh_state(v_held);
  perform switchyard.move_breaker(v_held);
  perform switchyard.record_event(
    'settle',
    (select jsonb_object_agg(s.outcome, s.jobs)
       from (select c.outcome, count(*) as jobs from unnest(v_conclusions) as c group by c.outcome) as s),
    cardinality(v_held));
  -- Last, because all settles of an hour add to the same row.
  perform switchyard.book_usage(v_held);

  return query
    select c.job_id, c.outcome, c.rows_written, c.error ->> 'message'
      from unnest(v_conclusions) as c;
end
$$;
comment on function public.settle_queue_batch_v2(jsonb) is
  'Settles up to 1000 claimed jobs in one transaction: writes their rows, finishes or gives back the jobs, books usage. p_results is an array of {job_id, lease_token, outcome: completed | empty | failed | released, rows: […], calls, bytes, error: {class, code, message, retry_after_seconds}}. Returns one row per result: completed, empty, rescheduled, released, failed, lease_lost (nothing changed) or malformed (nothing changed; detail says why). A bad row fails its own job alone. Raises SY012 when the payload is no array or too long. For service_role and the SQL editor.';

revoke all on function
  switchyard.conclude_jobs(switchyard.job_conclusion[]),
  switchyard.retry_at(integer),
  switchyard.error_class_of(text),
  switchyard.apply_held_rows(switchyard.held_result[]),
  switchyard.note_refresh_state(switchyard.held_result[]),
  switchyard.book_usage(switchyard.held_result[]),
  switchyard.answer_failure(switchyard.held_result),
  switchyard.move_breaker(switchyard.held_result[]),
  switchyard.open_breaker(text, text),
  switchyard.read_settle_results(jsonb),
  public.settle_queue_batch_v2(jsonb)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.conclude_jobs(switchyard.job_conclusion[]),
  switchyard.retry_at(integer),
  switchyard.error_class_of(text),
  switchyard.apply_held_rows(switchyard.held_result[]),
  switchyard.note_refresh_state(switchyard.held_result[]),
  switchyard.book_usage(switchyard.held_result[]),
  switchyard.answer_failure(switchyard.held_result),
  switchyard.move_breaker(switchyard.held_result[]),
  switchyard.open_breaker(text, text),
  switchyard.read_settle_results(jsonb),
  public.settle_queue_batch_v2(jsonb)
to service_role;
