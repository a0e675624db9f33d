-- The bucket for company logos, where the Storage service has made its tables. Run as postgres.

do $$
begin
  if to_regclass('storage.buckets') is not null then
    insert into storage.buckets (id, name, public)
    values ('profile-images', 'profile-images', true)
    on conflict (id) do nothing;
  end if;
end
$$;
