-- Adds the reading of settle payloads, which come from processors. Nothing calls it yet.

create type switchyard.settle_result as (
  place bigint,
  job_id bigint,
  lease_token uuid,
  outcome text,
  rows jsonb,
  calls integer,
  bytes bigint,
  error jsonb,
  progress jsonb,
  problem text
);
comment on type switchyard.settle_result is
  'One result of a settle payload; problem says in a sentence what is malformed in it, null when it is well formed.';

create function switchyard.read_settle_results(p_results jsonb)
returns switchyard.settle_result[]
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_results switchyard.settle_result[];
  v_all_well boolean;
begin
  -- Most payloads are well formed and report no failure and no part of a job: those are read without
  -- a look at each value, which takes five times as long.
  begin
    select array_agg((x.place, x.job_id, x.lease_token, x.outcome, x.rows, coalesce(x.calls, 0),
                      coalesce(x.bytes, 0), x.error, null, null)::switchyard.settle_result order by x.place),
           bool_and(coalesce(
             x.job_id >= 0 and x.lease_token is not null
             and (x.outcome in ('empty', 'released') or (x.outcome = 'completed' and x.rows is not null))
             and x.progress is null
             and coalesce(jsonb_typeof(x.rows) = 'array', true)
             and coalesce(x.calls between 0 and 999999, true)
             and coalesce(x.bytes between 0 and 999999999, true), false))
      into v_results, v_all_well
      from rows from (
        jsonb_to_recordset(p_results) as (
          job_id bigint, lease_token uuid, outcome text, rows jsonb, calls integer, bytes bigint, error jsonb,
          progress jsonb)
      ) with ordinality as x (job_id, lease_token, outcome, rows, calls, bytes, error, progress, place);
  exception when data_exception then
    -- A value of a wrong type: which one is told below.
    v_all_well := false;
  end;
  if v_all_well then
    return v_results;
  end if;

  return (
    select array_agg((
             r.place,
             case when r.job_id ~ '^[0-9]{1,18}$' then r.job_id::bigint end,
             case when r.problem is null then r.lease_token::uuid end,
             r.outcome, r.rows,
             case when r.problem is null then coalesce(r.calls::integer, 0) end,
             case when r.problem is null then coalesce(r.bytes::bigint, 0) end,
             r.error, case when r.problem is null then r.progress end, r.problem
           )::switchyard.settle_result order by r.place)
      from (
        select x.*,
          case
            when coalesce(x.job_id !~ '^[0-9]{1,18}$', true) then
              format('job_id is %s, wanted a whole number', coalesce(left(x.job_id, 40), 'missing'))
            when coalesce(x.lease_token !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$', true) then
              format('lease_token is %s, wanted a uuid', coalesce(left(x.lease_token, 40), 'missing'))
            when coalesce(x.outcome not in ('completed', 'empty', 'failed', 'released', 'progress'), true) then
              format('outcome is %s, wanted completed, empty, failed, released or progress',
                     coalesce(left(x.outcome, 40), 'missing'))
            when jsonb_typeof(x.rows) <> 'array' then
              format('rows is %s, wanted an array', jsonb_typeof(x.rows))
            when x.outcome in ('completed', 'progress') and x.rows is null then
              format('rows is missing from a %s result', x.outcome)
            when x.outcome = 'progress' and x.progress is null then
              'progress is missing from a progress result'
            when jsonb_typeof(x.progress) <> 'object' then
              format('progress is %s, wanted an object', jsonb_typeof(x.progress))
            when octet_length((x.progress -> 'cursor')::text) > 10000 then
              format('progress.cursor has %s bytes, wanted at most 10000',
                     octet_length((x.progress -> 'cursor')::text))
            when coalesce(x.progress ->> 'lease_seconds', '120') !~ '^[0-9]{1,4}$' then
              format('progress.lease_seconds is %s, wanted a whole number',
                     left(x.progress ->> 'lease_seconds', 40))
            when x.outcome = 'progress'
                 and coalesce(x.progress ->> 'settle_id' !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$', true) then
              format('progress.settle_id is %s, wanted a uuid of this settle',
                     coalesce(left(x.progress ->> 'settle_id', 40), 'missing'))
            when x.calls !~ '^[0-9]{1,6}$' then
              format('calls is %s, wanted a whole number', left(x.calls, 40))
            when x.bytes !~ '^[0-9]{1,9}$' then
              format('bytes is %s, wanted a whole number', left(x.bytes, 40))
            when x.outcome <> 'failed' then null
            when jsonb_typeof(x.error) is distinct from 'object' then
              'error is missing from a failed result'
            when coalesce(x.error ->> 'class' not in
                   ('retryable', 'rate_limited', 'quota', 'auth', 'permanent', 'dependency',
                    'batch_refused'), true) then
              format('error.class is %s, wanted retryable, rate_limited, quota, auth, permanent, dependency or batch_refused',
                     coalesce(left(x.error ->> 'class', 40), 'missing'))
            when coalesce(x.error ->> 'message', '') = '' then
              'error.message is missing from a failed result'
            when x.error ->> 'retry_after_seconds' !~ '^[0-9]{1,7}$' then
              format('error.retry_after_seconds is %s, wanted a whole number',
                     left(x.error ->> 'retry_after_seconds', 40))
          end as problem
          from rows from (
            jsonb_to_recordset(p_results) as (
              job_id text, lease_token text, outcome text, rows jsonb, calls text, bytes text, error jsonb,
              progress jsonb)
          ) with ordinality as x (job_id, lease_token, outcome, rows, calls, bytes, error, progress, place)
      ) as r);
end
$$;
comment on function switchyard.read_settle_results(jsonb) is
  'The results of a settle payload, an array of objects, in its order; malformed ones with their problem.';

revoke all on function switchyard.read_settle_results(jsonb)
from public, anon, authenticated, service_role;
grant execute on function switchyard.read_settle_results(jsonb) to service_role;
