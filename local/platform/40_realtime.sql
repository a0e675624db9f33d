-- Tables and publication of the Realtime service. Run as supabase_admin. Safe to run again.

do $$
begin
  if not exists (select from pg_publication where pubname = 'supabase_realtime') then
    create publication supabase_realtime;
  end if;
end
$$;
-- Migrations run as postgres and add tables to it.
alter publication supabase_realtime owner to postgres;

create schema if not exists realtime;
grant usage on schema realtime to postgres, anon, authenticated, service_role;
grant all on schema realtime to supabase_realtime_admin;

do $$
begin
  if to_regtype('realtime.equality_op') is null then
    create type realtime.equality_op as enum (
      'eq', 'neq', 'lt', 'lte', 'gt', 'gte', 'in'
    );
  end if;
  if to_regtype('realtime.action') is null then
    create type realtime.action as enum ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'ERROR');
  end if;
  -- Platforms before 2026 lack the fourth attribute; readers name the attributes they use.
  if to_regtype('realtime.user_defined_filter') is null then
    create type realtime.user_defined_filter as (
      column_name text,
      op realtime.equality_op,
      value text,
      negate boolean
    );
  end if;
end
$$;

create or replace function realtime.to_regrole(role_name text) returns regrole
language sql immutable as $$ select role_name::regrole $$;

create table if not exists realtime.subscription (
  id bigint generated always as identity,
  subscription_id uuid not null,
  entity regclass not null,
  filters realtime.user_defined_filter[] not null default '{}',
  claims jsonb not null,
  claims_role regrole not null generated always as (realtime.to_regrole(claims ->> 'role')) stored,
  created_at timestamp without time zone not null default timezone('utc', now()),
  action_filter text default '*' check (action_filter in ('*', 'INSERT', 'UPDATE', 'DELETE')),
  selected_columns text[],
  constraint pk_subscription primary key (id)
);
create unique index if not exists subscription_subscription_id_entity_filters_key
  on realtime.subscription (subscription_id, entity, filters);
create index if not exists ix_realtime_subscription_entity on realtime.subscription (entity);

alter table realtime.subscription owner to supabase_realtime_admin;
grant all on realtime.subscription to postgres;
grant select on realtime.subscription to anon, authenticated, service_role;

create table if not exists realtime.messages (
  topic text not null,
  extension text not null,
  payload jsonb,
  event text,
  private boolean default false,
  updated_at timestamp without time zone not null default now(),
  inserted_at timestamp without time zone not null default now(),
  id uuid not null default gen_random_uuid(),
  binary_payload bytea,
  constraint messages_pkey primary key (id, inserted_at)
) partition by range (inserted_at);
create index if not exists messages_inserted_at_topic_index
  on realtime.messages (inserted_at desc, topic)
  where extension = 'broadcast' and private is true;

alter table realtime.messages owner to supabase_realtime_admin;
alter table realtime.messages enable row level security;
grant all on realtime.messages to postgres;
grant select, insert, update on realtime.messages to anon, authenticated, service_role;

create or replace function realtime.ensure_message_partitions(p_today date) returns void
language plpgsql set search_path = '' as $$
declare
  v_day date;
begin
  -- Yesterday to three days ahead, as the service keeps them. One partition is one statement.
  for v_day in select generate_series(p_today - 1, p_today + 3, interval '1 day')::date loop
    execute format(
      'create table if not exists realtime.%I partition of realtime.messages for values from (%L) to (%L)',
      'messages_' || to_char(v_day, 'YYYY_MM_DD'), v_day, v_day + 1
    );
    execute format(
      'alter table realtime.%I owner to supabase_realtime_admin',
      'messages_' || to_char(v_day, 'YYYY_MM_DD')
    );
  end loop;
end
$$;
comment on function realtime.ensure_message_partitions(date) is
  'Makes the daily partitions of realtime.messages from the day before to three days after. Stands in for a task of the Realtime service.';
revoke all on function realtime.ensure_message_partitions(date) from public;

select realtime.ensure_message_partitions((now() at time zone 'utc')::date);
