-- Adds how far jobs have got whose rows come in parts. Nothing calls it yet.

create table switchyard.job_progress (
  data_type text not null,
  symbol text not null,
  job_id bigint not null,
  cursor jsonb not null,
  parts integer not null,
  settle_id uuid not null,
  noted_at timestamptz not null,
  primary key (data_type, symbol),
  constraint parts_are_counted_from_one check (parts > 0)
) with (fillfactor = 50);
comment on table switchyard.job_progress is
  'How far the latest job of a (data type, symbol) has got whose rows come in parts: later claims of the same job go on from there. The row goes when the job is completed.';
comment on column switchyard.job_progress.cursor is
  'Where the next part begins, in the words of the fetcher.';
comment on column switchyard.job_progress.settle_id is
  'Of the latest part, chosen by the processor: the same one again is a settle whose answer was lost.';

create function switchyard.drop_repeated_parts(
  p_results switchyard.settle_result[],
  p_held switchyard.held_result[]
)
returns switchyard.held_result[]
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_held switchyard.held_result[] := p_held;
  v_position integer;
begin
  -- A loop over hardly any: an answer must have been lost.
  for v_position in
    select h.position
      from unnest(p_held) as h
      join switchyard.job_progress as j
        on j.data_type = h.data_type and j.symbol = h.symbol and j.job_id = h.job_id
     where h.outcome = 'progress'
       and exists (
         select 1
           from unnest(p_results) as x
          where x.job_id = h.job_id and x.problem is null
            and (x.progress ->> 'settle_id')::uuid = j.settle_id)
  loop
    v_held[v_position].destination := 'discard';
    v_held[v_position].vendor_calls := 0;
    v_held[v_position].vendor_bytes := 0;
  end loop;
  return v_held;
end
$$;
comment on function switchyard.drop_repeated_parts(switchyard.settle_result[], switchyard.held_result[]) is
  'The held results, those of parts that were settled before without rows to write or calls to book.';

create function switchyard.note_progress(
  p_results switchyard.settle_result[],
  p_held switchyard.held_result[]
)
returns void
language plpgsql
volatile
set search_path = ''
set enable_seqscan = off
as $$
begin
  with part as materialized (
    -- As in hold_jobs, the first result under the lease counts.
    select distinct on (h.job_id)
           h.job_id, h.data_type, h.symbol, h.rows_written, h.vendor_calls, h.vendor_bytes,
           coalesce(x.progress -> 'cursor', 'null') as cursor,
           coalesce((x.progress ->> 'lease_seconds')::integer, 120) as lease_seconds,
           (x.progress ->> 'settle_id')::uuid as settle_id
      from unnest(p_held) as h
      join switchyard.api_call_queue_v2_live as q on q.id = h.job_id and q.finished_at = 'infinity'
      join unnest(p_results) as x
        on x.job_id = q.id and x.lease_token = q.lease_token and x.problem is null
     where h.outcome = 'progress'
     order by h.job_id, x.place
  ),
  kept as (
    update switchyard.api_call_queue_v2_live as q
       set lease_expires_at = greatest(
             q.lease_expires_at, clock_timestamp() + make_interval(secs => p.lease_seconds)),
           rows_written = coalesce(q.rows_written, 0) + p.rows_written,
           vendor_calls = q.vendor_calls + p.vendor_calls,
           vendor_bytes = q.vendor_bytes + p.vendor_bytes
      from part as p
     where q.id = p.job_id and q.finished_at = 'infinity'
  )
  insert into switchyard.job_progress as j (data_type, symbol, job_id, cursor, parts, settle_id, noted_at)
  select p.data_type, p.symbol, p.job_id, p.cursor, 1, p.settle_id, clock_timestamp()
    from part as p
   order by p.data_type, p.symbol
      on conflict (data_type, symbol) do update
     set job_id = excluded.job_id,
         cursor = excluded.cursor,
         parts = case
           when j.settle_id = excluded.settle_id then j.parts
           when j.job_id = excluded.job_id then j.parts + 1
           else 1
         end,
         settle_id = excluded.settle_id,
         noted_at = excluded.noted_at;

  delete from switchyard.job_progress as j
   using unnest(p_held) as h
   where h.outcome in ('completed', 'empty') and j.data_type = h.data_type and j.symbol = h.symbol;
end
$$;
comment on function switchyard.note_progress(switchyard.settle_result[], switchyard.held_result[]) is
  'For the parts of a settle: makes the leases last lease_seconds (120 where none are given) from now, adds up rows, calls and bytes, and keeps the cursor; forgets that of completed jobs.';

create function public.job_progress_v2(p_job_id bigint, p_lease_token uuid)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select j.cursor
      from switchyard.api_call_queue_v2_live as q
      join switchyard.job_progress as j
        on j.data_type = q.data_type and j.symbol = q.symbol and j.job_id = q.id
     where q.id = p_job_id and q.finished_at = 'infinity' and q.lease_token = p_lease_token
  );
end
$$;
comment on function public.job_progress_v2(bigint, uuid) is
  'Where the next part of a claimed job begins, as its last progress said; null at the beginning, and for a job that this lease does not hold. For service_role and the SQL editor.';

alter table switchyard.job_progress enable row level security;
revoke all on table switchyard.job_progress from public, anon, authenticated, service_role;
grant select, insert, update, delete on table switchyard.job_progress to service_role;

revoke all on function
  switchyard.drop_repeated_parts(switchyard.settle_result[], switchyard.held_result[]),
  switchyard.note_progress(switchyard.settle_result[], switchyard.held_result[]),
  public.job_progress_v2(bigint, uuid)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.drop_repeated_parts(switchyard.settle_result[], switchyard.held_result[]),
  switchyard.note_progress(switchyard.settle_result[], switchyard.held_result[]),
  public.job_progress_v2(bigint, uuid)
to service_role;
