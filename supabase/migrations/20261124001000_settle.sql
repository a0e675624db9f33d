-- Adds the settle: how processors report what became of claimed jobs. Nothing calls it yet.

create type switchyard.job_conclusion as (
  job_id bigint,
  status text,
  attempts_added integer,
  run_after timestamptz,
  error jsonb,
  rows_written integer,
  vendor_calls integer,
  vendor_bytes bigint
);
comment on type switchyard.job_conclusion is
  'Where a job goes: status completed or failed finishes it, pending gives it back. A null run_after leaves the one it has.';

create function switchyard.conclude_jobs(p_conclusions switchyard.job_conclusion[])
returns void
language sql
volatile
set search_path = ''
as $$
  update switchyard.api_call_queue_v2_live as q
     set status = 'pending',
         lease_token = null,
         lease_expires_at = null,
         attempts = q.attempts + c.attempts_added,
         run_after = coalesce(c.run_after, q.run_after),
         vendor_calls = q.vendor_calls + c.vendor_calls,
         vendor_bytes = q.vendor_bytes + c.vendor_bytes,
         last_error = coalesce(c.error ->> 'message', q.last_error),
         errors = case when c.error is null then q.errors else q.errors || c.error end
    from unnest(p_conclusions) as c
   where q.id = c.job_id
     and c.status = 'pending';

  with finished as (
    delete from switchyard.api_call_queue_v2_live as q
     using unnest(p_conclusions) as c
     where q.id = c.job_id
       and c.status in ('completed', 'failed')
    returning q.*, c.status as final_status, c.attempts_added, c.error as final_error,
              c.rows_written as final_rows, c.vendor_calls as added_calls, c.vendor_bytes as added_bytes
  )
  insert into public.api_call_queue_v2 (
    id, symbol, data_type, source, priority, status, attempts, run_after, claimed_by, claimed_at,
    created_at, finished_at, rows_written, vendor_calls, vendor_bytes, last_error, errors
  )
  select f.id, f.symbol, f.data_type, f.source, f.priority, f.final_status,
         f.attempts + f.attempts_added, f.run_after, f.claimed_by, f.claimed_at, f.created_at,
         clock_timestamp(), f.final_rows, f.vendor_calls + f.added_calls,
         f.vendor_bytes + f.added_bytes,
         case when f.final_status = 'failed' then coalesce(f.final_error ->> 'message', f.last_error)
              else f.last_error end,
         case when f.final_error is null then f.errors else f.errors || f.final_error end
    from finished as f;
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

create function switchyard.settle_problem(p_result jsonb)
returns text
language sql
immutable
set search_path = ''
as $$
  select case
    when jsonb_typeof(p_result) <> 'object' then
      format('a result is not an object but %s', jsonb_typeof(p_result))
    when coalesce(p_result ->> 'job_id' !~ '^[0-9]{1,18}$', true) then
      format('job_id is %s, wanted a whole number', coalesce(left(p_result ->> 'job_id', 40), 'missing'))
    when coalesce(p_result ->> 'lease_token' !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$', true) then
      format('lease_token is %s, wanted a uuid', coalesce(left(p_result ->> 'lease_token', 40), 'missing'))
    when coalesce(p_result ->> 'outcome' not in ('completed', 'empty', 'failed', 'released'), true) then
      format('outcome is %s, wanted completed, empty, failed or released',
             coalesce(left(p_result ->> 'outcome', 40), 'missing'))
    when coalesce(jsonb_typeof(p_result -> 'rows'), 'null') not in ('array', 'null') then
      format('rows is %s, wanted an array', jsonb_typeof(p_result -> 'rows'))
    when p_result ->> 'outcome' = 'completed' and jsonb_typeof(p_result -> 'rows') is distinct from 'array' then
      'rows is missing from a completed result'
    when coalesce(p_result ->> 'calls' !~ '^[0-9]{1,6}$', false) then
      format('calls is %s, wanted a whole number', left(p_result ->> 'calls', 40))
    when coalesce(p_result ->> 'bytes' !~ '^[0-9]{1,12}$', false) then
      format('bytes is %s, wanted a whole number', left(p_result ->> 'bytes', 40))
    when p_result ->> 'outcome' = 'failed' and jsonb_typeof(p_result -> 'error') is distinct from 'object' then
      'error is missing from a failed result'
    when p_result ->> 'outcome' = 'failed' and coalesce(p_result -> 'error' ->> 'class' not in
           ('retryable', 'rate_limited', 'quota', 'auth', 'permanent', 'dependency'), true) then
      format('error.class is %s, wanted retryable, rate_limited, quota, auth, permanent or dependency',
             coalesce(left(p_result -> 'error' ->> 'class', 40), 'missing'))
    when coalesce(p_result -> 'error' ->> 'retry_after_seconds' !~ '^[0-9]{1,7}$', false) then
      format('error.retry_after_seconds is %s, wanted a whole number',
             left(p_result -> 'error' ->> 'retry_after_seconds', 40))
  end
$$;
comment on function switchyard.settle_problem(jsonb) is
  'What is malformed in one settle result, in a sentence; null when it is well formed.';

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
  -- Row shape first: what is refused here never reaches a table.
  select array_agg(
           case when problem.sentence is null then r
                else (r.position, r.job_id, r.symbol, r.data_type, r.provider, r.attempts,
                      r.max_attempts, 'failed', '[]'::jsonb, r.vendor_calls, r.vendor_bytes,
                      jsonb_build_object('class', 'permanent', 'code', 'bad_rows',
                                         'message', problem.sentence),
                      0)::switchyard.held_result
           end order by r.position)
    into v_results
    from unnest(v_results) as r
    left join lateral (
      select switchyard.row_problem(r.data_type, r.symbol, r.rows) as sentence
       where r.outcome = 'completed'
    ) as problem on true;

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
language sql
volatile
set search_path = ''
as $$
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
$$;
comment on function switchyard.note_refresh_state(switchyard.held_result[]) is
  'Keeps switchyard.refresh_state true after a settle. Releases, holds, collisions and missing parents say nothing about the symbol and are left out.';

create function switchyard.book_usage(p_results switchyard.held_result[])
returns void
language sql
volatile
set search_path = ''
as $$
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
      select r.data_type, avg(r.vendor_bytes) as bytes_per_job
        from unnest(p_results) as r
       where r.outcome = 'completed'
       group by r.data_type
      having sum(r.vendor_bytes) > 0
    ) as seen
   where t.data_type = seen.data_type;
$$;
comment on function switchyard.book_usage(switchyard.held_result[]) is
  'Adds calls and bytes (of failed calls too) to the hourly usage and moves the size estimates: 0.8 old, 0.2 the mean of this batch.';

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
    perform switchyard.hold_provider(
      p_result.provider, switchyard.setting_integer('auth_hold_seconds'), v_message);
  else
    select r.depends_on,
           case
             when r.depends_on is null then 'the registry names no depends_on for it'
             when s.empty_until > clock_timestamp()
               then format('the vendor has no %s for it', r.depends_on)
             when s.consecutive_failures >= parent.max_attempts
               then format('its %s failed %s times in a row', r.depends_on, s.consecutive_failures)
           end
      into v_parent, v_hopeless
      from public.data_type_registry_v2 as r
      left join public.data_type_registry_v2 as parent on parent.data_type = r.depends_on
      left join switchyard.refresh_state as s
        on s.data_type = r.depends_on and s.symbol = p_result.symbol
     where r.data_type = p_result.data_type;

    if v_hopeless is not null then
      v_result.error := v_result.error || jsonb_build_object(
        'class', 'permanent', 'message', format('%s; %s', p_result.error ->> 'message', v_hopeless));
    else
      -- The parent ranks with its child, so that it is not left behind.
      perform switchyard.enqueue_jobs(
        array[p_result.symbol], array[v_parent], array[q.priority], q.source)
         from switchyard.api_call_queue_v2_live as q
        where q.id = p_result.job_id;
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
  'What a failure asks for beyond its own job: a hold of the provider after a 429, a refused key or a used-up quota; the parent type queued after a missing parent row. Returns the result, made permanent when the parent cannot be had.';

create function public.settle_queue_batch_v2(p_results jsonb)
returns table (job_id bigint, outcome text, rows_written integer, detail text)
language plpgsql
volatile
set search_path = ''
as $$
#variable_conflict use_column
declare
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

  return query
    select case when e.item ->> 'job_id' ~ '^[0-9]{1,18}$' then (e.item ->> 'job_id')::bigint end,
           'malformed', 0, switchyard.settle_problem(e.item)
      from jsonb_array_elements(p_results) as e (item)
     where switchyard.settle_problem(e.item) is not null;

  -- Locked in the order of their ids, so that two settles cannot deadlock. The clock is the
  -- wall clock: the transaction may have waited for these locks past an expiry.
  with given as materialized (
    select distinct on ((e.item ->> 'job_id')::bigint) (e.item ->> 'job_id')::bigint as job_id, e.item
      from jsonb_array_elements(p_results) with ordinality as e (item, place)
     where switchyard.settle_problem(e.item) is null
     order by (e.item ->> 'job_id')::bigint, e.place
  ),
  locked as materialized (
    select q.*
      from switchyard.api_call_queue_v2_live as q
     where q.id in (select g.job_id from given as g)
     order by q.id
       for update
  )
  select array_agg((
           held.position, held.id, held.symbol, held.data_type, held.provider, held.attempts,
           held.max_attempts, held.outcome, held.rows, held.calls, held.bytes, held.error, 0
         )::switchyard.held_result order by held.position)
    into v_held
    from (
      select row_number() over (order by q.id)::integer as position,
             q.id, q.symbol, q.data_type, r.provider, q.attempts, r.max_attempts,
             -- Completed without rows means that the vendor has nothing.
             case when g.item ->> 'outcome' = 'completed' and g.item -> 'rows' = '[]' then 'empty'
                  else g.item ->> 'outcome' end as outcome,
             case when jsonb_typeof(g.item -> 'rows') = 'array' then g.item -> 'rows' else '[]' end as rows,
             coalesce((g.item ->> 'calls')::integer, 0) as calls,
             coalesce((g.item ->> 'bytes')::bigint, 0) as bytes,
             case when g.item ->> 'outcome' = 'failed' then g.item -> 'error' end as error
        from given as g
        join locked as q on q.id = g.job_id
        join public.data_type_registry_v2 as r on r.data_type = q.data_type
       where q.status = 'processing'
         and q.lease_token = (g.item ->> 'lease_token')::uuid
         and q.lease_expires_at > clock_timestamp()
    ) as held;

  return query
    select lost.job_id, 'lease_lost', 0,
           format('Job %s is not held by lease %s any more; nothing was changed', lost.job_id, lost.token)
      from (
        select (e.item ->> 'job_id')::bigint as job_id, e.item ->> 'lease_token' as token,
               row_number() over (partition by e.item ->> 'job_id' order by e.place) as nth
          from jsonb_array_elements(p_results) with ordinality as e (item, place)
         where switchyard.settle_problem(e.item) is null
      ) as lost
     where lost.nth > 1
        or not exists (select 1 from unnest(v_held) as h where h.job_id = lost.job_id);

  if v_held is null then
    return;
  end if;

  v_held := switchyard.apply_held_rows(v_held);

  -- A loop over the few failures that concern more than their own job.
  for v_result in
    select h.* from unnest(v_held) as h
     where h.error ->> 'class' in ('rate_limited', 'quota', 'auth', 'dependency')
  loop
    v_held[v_result.position] := switchyard.answer_failure(v_result);
  end loop;

  select array_agg((
           h.job_id,
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
           end,
           case when h.error is not null then jsonb_build_object(
             'at', clock_timestamp(), 'class', h.error ->> 'class', 'code', h.error ->> 'code',
             'message', left(h.error ->> 'message', 2000)) end,
           h.rows_written, h.vendor_calls, h.vendor_bytes
         )::switchyard.job_conclusion)
    into v_conclusions
    from unnest(v_held) as h;

  perform switchyard.conclude_jobs(v_conclusions);
  perform switchyard.book_usage(v_held);
  perform switchyard.note_refresh_state(v_held);

  return query
    select h.job_id,
           case when c.status = 'completed' then h.outcome
                when c.status = 'failed' then 'failed'
                when c.attempts_added > 0 then 'rescheduled'
                else 'released' end,
           h.rows_written,
           h.error ->> 'message'
      from unnest(v_held) as h
      join unnest(v_conclusions) as c on c.job_id = h.job_id;

  perform switchyard.record_event(
    'settle',
    (select jsonb_object_agg(s.status, s.jobs)
       from (select c.status, count(*) as jobs from unnest(v_conclusions) as c group by c.status) as s),
    cardinality(v_held));
end
$$;
comment on function public.settle_queue_batch_v2(jsonb) is
  'Settles up to 1000 claimed jobs in one transaction: writes their rows, finishes or gives back the jobs, books usage. p_results is an array of {job_id, lease_token, outcome: completed | empty | failed | released, rows: […], calls, bytes, error: {class, code, message, retry_after_seconds}}. Returns one row per result: completed, empty, rescheduled, released, failed, lease_lost (nothing changed) or malformed (nothing changed; detail says why). A bad row fails its own job alone. Raises SY012 when the payload is no array or too long. For service_role and the SQL editor.';

revoke all on function
  switchyard.conclude_jobs(switchyard.job_conclusion[]),
  switchyard.retry_at(integer),
  switchyard.settle_problem(jsonb),
  switchyard.error_class_of(text),
  switchyard.apply_held_rows(switchyard.held_result[]),
  switchyard.note_refresh_state(switchyard.held_result[]),
  switchyard.book_usage(switchyard.held_result[]),
  switchyard.answer_failure(switchyard.held_result),
  public.settle_queue_batch_v2(jsonb)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.conclude_jobs(switchyard.job_conclusion[]),
  switchyard.retry_at(integer),
  switchyard.settle_problem(jsonb),
  switchyard.error_class_of(text),
  switchyard.apply_held_rows(switchyard.held_result[]),
  switchyard.note_refresh_state(switchyard.held_result[]),
  switchyard.book_usage(switchyard.held_result[]),
  switchyard.answer_failure(switchyard.held_result),
  public.settle_queue_batch_v2(jsonb)
to service_role;
