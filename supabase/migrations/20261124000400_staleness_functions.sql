-- Adds the two functions that decide what is stale. Reads nothing, changes nothing.

create function public.is_data_stale_v2(p_last_refreshed_at timestamptz, p_ttl_minutes integer)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  if p_ttl_minutes is null or p_ttl_minutes <= 0 then
    raise exception 'Cannot tell whether data is stale: TTL is %, wanted a positive number of minutes',
      coalesce(p_ttl_minutes::text, 'null')
      using errcode = 'SY006',
            hint = 'Pass data_type_registry_v2.default_ttl_minutes of the data type';
  end if;
  return p_last_refreshed_at is null
      or p_last_refreshed_at < now() - make_interval(mins => p_ttl_minutes);
end
$$;
comment on function public.is_data_stale_v2(timestamptz, integer) is
  'Whether data refreshed at p_last_refreshed_at is older than p_ttl_minutes; true for null (never refreshed). Raises SY006 for a null or non-positive TTL. For service_role and the SQL editor.';

create function public.is_profile_stale_v2(p_modified_at timestamptz, p_ttl_minutes integer)
returns boolean
language sql
stable
set search_path = ''
as $$
  select public.is_data_stale_v2(p_modified_at, p_ttl_minutes)
$$;
comment on function public.is_profile_stale_v2(timestamptz, integer) is
  'is_data_stale_v2 over profiles.modified_at, the column of that table that moves on every refresh. Raises SY006 for a null or non-positive TTL. For service_role and the SQL editor.';

revoke all on function
  public.is_data_stale_v2(timestamptz, integer),
  public.is_profile_stale_v2(timestamptz, integer)
from public, anon, authenticated, service_role;
grant execute on function
  public.is_data_stale_v2(timestamptz, integer),
  public.is_profile_stale_v2(timestamptz, integer)
to service_role;
