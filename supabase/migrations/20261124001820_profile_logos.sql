-- Adds the memory of files that were to be copied to Storage. Nothing asks yet; where there is no
-- Storage service, nothing is ever copied.

create table switchyard.file_attempts (
  bucket text not null,
  name text not null,
  tried_at timestamptz not null,
  primary key (bucket, name)
);
comment on table switchyard.file_attempts is
  'When a file was last to be copied to a bucket, so that one that cannot be had costs one attempt a day.';

create function public.take_missing_files_v2(p_bucket text, p_names text[], p_most integer default 20)
returns setof text
language plpgsql
volatile
set search_path = ''
as $$
begin
  if to_regclass('storage.objects') is null then
    return;
  end if;
  -- Dynamic, because the tables of the service may come later than this function, or never.
  return query execute
    $sql$
      with missing as (
        select distinct n.name
          from unnest($2) as n (name)
         where exists (select 1 from storage.buckets as b where b.id = $1)
           and not exists (select 1 from storage.objects as o where o.bucket_id = $1 and o.name = n.name)
           and not exists (
             select 1 from switchyard.file_attempts as a
              where a.bucket = $1 and a.name = n.name and a.tried_at > clock_timestamp() - interval '1 day')
         order by n.name
         limit $3
      )
      insert into switchyard.file_attempts as a (bucket, name, tried_at)
      select $1, m.name, clock_timestamp() from missing as m order by m.name
          on conflict (bucket, name) do update set tried_at = excluded.tried_at
       where a.tried_at <= excluded.tried_at - interval '1 day'
      returning a.name
    $sql$
    using p_bucket, p_names, least(greatest(coalesce(p_most, 20), 1), 100);
end
$$;
comment on function public.take_missing_files_v2(text, text[], integer) is
  'Which of these files a bucket lacks and the caller is to copy now, at most p_most (1 to 100): each is given out once a day, to one caller. None where the bucket does not exist. For service_role.';

alter table switchyard.file_attempts enable row level security;
revoke all on table switchyard.file_attempts from public, anon, authenticated, service_role;
grant select, insert, update on table switchyard.file_attempts to service_role;
revoke all on function public.take_missing_files_v2(text, text[], integer)
  from public, anon, authenticated, service_role;
grant execute on function public.take_missing_files_v2(text, text[], integer) to service_role;
