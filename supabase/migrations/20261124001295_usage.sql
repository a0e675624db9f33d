-- Adds the books of calls and bytes. Nothing calls it yet.

create function switchyard.book_usage(p_results switchyard.held_result[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  -- Calls beyond the grant (an Edge Function may make as many as it likes) count from now on.
  insert into switchyard.call_grants as g (provider, bucket, calls, bytes, in_flight_until)
  select over.provider, date_bin('100 milliseconds', clock_timestamp(), 'epoch'), sum(over.calls), 0,
         clock_timestamp()
    from (
      select r.provider, r.vendor_calls - t.api_calls_per_batch as calls
        from unnest(p_results) as r
        join public.data_type_registry_v2 as t on t.data_type = r.data_type
       where r.vendor_calls > t.api_calls_per_batch
    ) as over
   group by over.provider
   order by over.provider
      on conflict (provider, bucket) do update set calls = g.calls + excluded.calls;

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

  -- A registry row that is locked, by another settle or by a person who moves the type, is left for the
  -- next settle: whoever waits for it here holds the rows of its jobs.
  with seen as materialized (
    -- No single answer moves the estimate far: one that is never granted is never corrected.
    select r.data_type, avg(least(r.vendor_bytes, 10 * known.estimated_data_size_bytes)) as bytes_per_job
      from unnest(p_results) as r
      join public.data_type_registry_v2 as known on known.data_type = r.data_type
     where r.outcome = 'completed'
     group by r.data_type
    having sum(r.vendor_bytes) > 0
  ),
  free as materialized (
    select t.data_type
      from public.data_type_registry_v2 as t
     where t.data_type in (
       select s.data_type
         from seen as s
        -- A step too small to matter is not worth a new version of a row that every claim reads.
        where abs(s.bytes_per_job - t.estimated_data_size_bytes) > 0.05 * t.estimated_data_size_bytes)
       for no key update skip locked
  )
  update public.data_type_registry_v2 as t
     set estimated_data_size_bytes = greatest(1, round(
           0.8 * t.estimated_data_size_bytes + 0.2 * seen.bytes_per_job))
    from seen
    join free on free.data_type = seen.data_type
   where t.data_type = seen.data_type;

  -- The vendor's plan takes one symbol per call.
  if exists (select 1 from unnest(p_results) as r where r.error ->> 'class' = 'batch_refused') then
    with free as materialized (
      select t.data_type
        from public.data_type_registry_v2 as t
       where t.batch_size > 1
         and t.data_type in (
           select r.data_type from unnest(p_results) as r where r.error ->> 'class' = 'batch_refused')
         for no key update skip locked
    )
    update public.data_type_registry_v2 as t
       set batch_size = 1
      from free
     where t.data_type = free.data_type;
  end if;
end
$$;
comment on function switchyard.book_usage(switchyard.held_result[]) is
  'Adds calls and bytes (of failed calls too) to the hourly usage, calls beyond their grant to the ledger, moves the size estimates (0.8 old, 0.2 the mean of this batch) and ends the grouping of a type whose plan takes single symbols. Of a registry row that is locked the last two are left for the next settle.';

revoke all on function switchyard.book_usage(switchyard.held_result[])
from public, anon, authenticated, service_role;
grant execute on function switchyard.book_usage(switchyard.held_result[])
to service_role;
