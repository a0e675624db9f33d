-- Stand-in for the extension pg_net 0.20: the same tables, functions and privileges.
-- local/net/worker.ts sends the requests. Run as supabase_admin, after local/platform. Safe to run
-- again.

create schema if not exists net;

do $$
begin
  if to_regtype('net.http_method') is null then
    create domain net.http_method as text
      check (value ilike 'get' or value ilike 'post' or value ilike 'delete');
  end if;
  if to_regtype('net.request_status') is null then
    create type net.request_status as enum ('PENDING', 'SUCCESS', 'ERROR');
  end if;
  if to_regtype('net.http_response') is null then
    create type net.http_response as (status_code integer, headers jsonb, body text);
  end if;
  if to_regtype('net.http_response_result') is null then
    create type net.http_response_result as (
      status net.request_status, message text, response net.http_response
    );
  end if;
end
$$;

create unlogged table if not exists net.http_request_queue (
  id bigserial,
  method net.http_method not null,
  url text not null,
  headers jsonb,
  body bytea,
  timeout_milliseconds integer not null
);

create unlogged table if not exists net._http_response (
  id bigint,
  status_code integer,
  content_type text,
  headers jsonb,
  content text,
  timed_out boolean,
  error_msg text,
  created timestamptz not null default now()
);
create index if not exists _http_response_created_idx on net._http_response (created);

create or replace function net._urlencode_string(string varchar) returns text
language sql immutable strict set search_path = '' as $$
  select coalesce(
    string_agg(
      case
        when chr(get_byte(b.bytes, i)) ~ '^[A-Za-z0-9._~-]$' and get_byte(b.bytes, i) < 128
          then chr(get_byte(b.bytes, i))
        else '%' || upper(lpad(to_hex(get_byte(b.bytes, i)), 2, '0'))
      end,
      '' order by i
    ),
    ''
  )
  from (select convert_to(string, 'UTF8') as bytes) as b,
    generate_series(0, length(b.bytes) - 1) as i
$$;

create or replace function net._encode_url_with_params_array(url text, params_array text[])
returns text
language sql immutable strict set search_path = '' as $$
  select case
    when cardinality(params_array) = 0 then url
    else url || case when url like '%?%' then '&' else '?' end
      || array_to_string(params_array, '&')
  end
$$;

-- The notification is delivered at commit and once per transaction, as the worker is woken by
-- pg_net. A row inserted by hand wakes nobody.
create or replace function net.wake() returns void
language sql volatile set search_path = '' as $$ select pg_notify('pg_net_wake', '') $$;

create or replace function net.worker_restart() returns boolean
language sql volatile set search_path = '' as $$ select net.wake(); select true $$;

create or replace function net.check_worker_is_up() returns void
language plpgsql stable set search_path = '' as $$
begin
  if not exists (
    select from pg_stat_activity as a where a.application_name = 'pg_net worker'
  ) then
    raise exception using
      message = 'the pg_net background worker is not up',
      detail = 'the pg_net background worker is down due to an internal error and cannot process requests',
      hint = 'make sure that you didn''t modify any of pg_net internal tables';
  end if;
end
$$;

create or replace function net.wait_until_running() returns void
language plpgsql volatile set search_path = '' as $$
begin
  while not exists (
    select from pg_stat_activity as a where a.application_name = 'pg_net worker'
  ) loop
    perform pg_sleep(0.05);
    perform pg_stat_clear_snapshot();
  end loop;
end
$$;
comment on function net.wait_until_running() is 'waits until the worker is running';

create or replace function net._encode_params(p_params jsonb) returns text[]
language sql immutable set search_path = '' as $$
  select coalesce(
    array_agg(net._urlencode_string(key) || '=' || net._urlencode_string(value)), '{}'
  )
  from jsonb_each_text(p_params)
$$;

create or replace function net.http_get(
  url text, params jsonb default '{}', headers jsonb default '{}',
  timeout_milliseconds integer default 5000
) returns bigint
language plpgsql volatile strict parallel safe set search_path = '' as $$
declare
  v_id bigint;
begin
  insert into net.http_request_queue (method, url, headers, timeout_milliseconds)
  values ('GET', net._encode_url_with_params_array($1, net._encode_params($2)), $3, $4)
  returning id into v_id;
  perform net.wake();
  return v_id;
end
$$;

create or replace function net.http_post(
  url text, body jsonb default '{}', params jsonb default '{}',
  headers jsonb default '{"Content-Type": "application/json"}',
  timeout_milliseconds integer default 5000
) returns bigint
language plpgsql volatile parallel safe set search_path = '' as $$
declare
  v_id bigint;
  v_content_type text := (
    select header.value
    from jsonb_each_text(coalesce($4, '{}')) as header
    where lower(header.key) = 'content-type'
    limit 1
  );
begin
  if v_content_type <> 'application/json' then
    raise exception 'Content-Type header must be "application/json"';
  end if;
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values (
    'POST',
    net._encode_url_with_params_array($1, net._encode_params($3)),
    case when v_content_type is null then $4 || '{"Content-Type": "application/json"}' else $4 end,
    convert_to($2::text, 'UTF8'),
    $5
  )
  returning id into v_id;
  perform net.wake();
  return v_id;
end
$$;

create or replace function net.http_delete(
  url text, params jsonb default '{}', headers jsonb default '{}',
  timeout_milliseconds integer default 5000, body jsonb default null
) returns bigint
language plpgsql volatile parallel safe set search_path = '' as $$
declare
  v_id bigint;
begin
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values (
    'DELETE', net._encode_url_with_params_array($1, net._encode_params($2)), $3,
    convert_to($5::text, 'UTF8'), $4
  )
  returning id into v_id;
  perform net.wake();
  return v_id;
end
$$;

create or replace function net._await_response(request_id bigint) returns boolean
language plpgsql volatile strict parallel safe set search_path = '' as $$
begin
  while not exists (select from net._http_response as r where r.id = request_id) loop
    perform pg_sleep(0.05);
  end loop;
  return true;
end
$$;

create or replace function net._http_collect_response(request_id bigint, async boolean default true)
returns net.http_response_result
language plpgsql volatile strict parallel safe set search_path = '' as $$
declare
  v_response net._http_response;
begin
  if not async then
    perform net._await_response(request_id);
  end if;
  select r.* into v_response from net._http_response as r where r.id = request_id;
  if v_response.id is null then
    return ('ERROR', 'request matching request_id not found', null)::net.http_response_result;
  end if;
  if v_response.error_msg is not null then
    return ('ERROR', v_response.error_msg, null)::net.http_response_result;
  end if;
  return (
    'SUCCESS', 'ok',
    (v_response.status_code, v_response.headers, v_response.content)::net.http_response
  )::net.http_response_result;
end
$$;

create or replace function net.http_collect_response(request_id bigint, async boolean default true)
returns net.http_response_result
language plpgsql volatile strict parallel safe set search_path = '' as $$
begin
  raise notice 'The net.http_collect_response function is deprecated.';
  return net._http_collect_response(request_id, async);
end
$$;

-- As in the extension: everyone may do everything with both tables, so the schema must never be
-- among those that the REST interface exposes.
grant usage on schema net to postgres, anon, authenticated, service_role;
grant all on net.http_request_queue, net._http_response to public;
grant all on sequence net.http_request_queue_id_seq to public;
