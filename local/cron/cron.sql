-- Stand-in for the extension pg_cron 1.6: its tables, functions, messages and privileges.
-- local/cron/scheduler.ts runs the jobs. Run as supabase_admin, after local/platform, on a server
-- without pg_cron (see real.sql for one with it). Safe to run again.

create schema if not exists cron;
create sequence if not exists cron.jobid_seq;
create sequence if not exists cron.runid_seq;

create table if not exists cron.job (
  jobid bigint primary key default nextval('cron.jobid_seq'),
  schedule text not null,
  command text not null,
  nodename text not null default 'localhost',
  nodeport integer not null default inet_server_port(),
  database text not null default current_database(),
  username text not null default current_user,
  active boolean not null default true,
  jobname text,
  constraint jobname_username_uniq unique (jobname, username)
);

create table if not exists cron.job_run_details (
  jobid bigint,
  runid bigint primary key default nextval('cron.runid_seq'),
  job_pid integer,
  database text,
  username text,
  command text,
  status text,
  return_message text,
  start_time timestamptz,
  end_time timestamptz
);

alter table cron.job enable row level security;
alter table cron.job_run_details enable row level security;
drop policy if exists cron_job_policy on cron.job;
create policy cron_job_policy on cron.job using (username = current_user);
drop policy if exists cron_job_run_details_policy on cron.job_run_details;
create policy cron_job_run_details_policy on cron.job_run_details using (username = current_user);

-- Schedules. Follows the parser of Vixie cron, with what it lets through: text behind a complete
-- element, and more than five fields. The same rules are in local/cron/schedule.ts.

create or replace function cron._field_is_valid(
  p_field text, p_low integer, p_high integer, p_names text[] default '{}',
  p_last_day boolean default false
) returns boolean
language plpgsql immutable set search_path = '' as $$
declare
  v_rest text := p_field;
  v_element text[];
  v_bounds integer[];
begin
  -- A list is read element by element: the rest may only be judged once its start is known.
  loop
    if p_last_day and left(v_rest, 1) = '$' then
      v_rest := substr(v_rest, 2);
    else
      -- 1 whole, 2 star, 3 first, 4 dash and last, 5 last, 6 slash and step, 7 step
      v_element := regexp_match(
        v_rest, '^((?:(\*)|([0-9A-Za-z]+)(-([0-9A-Za-z]*))?)(/([0-9A-Za-z]*))?)'
      );
      if v_element is null then
        return false;
      end if;
      if v_element[2] is null then
        v_bounds := array[
          cron._field_number(v_element[3], p_low, p_names),
          case
            when v_element[4] is null then cron._field_number(v_element[3], p_low, p_names)
            else cron._field_number(v_element[5], p_low, p_names)
          end
        ];
        if array_position(v_bounds, null) is not null
          or v_bounds[1] not between p_low and p_high
          or v_bounds[2] not between p_low and p_high
          or (v_element[4] is null and v_element[6] is not null) then
          return false;
        end if;
      end if;
      if v_element[6] is not null
        and coalesce(cron._field_number(v_element[7], 0, '{}'), 0) <= 0 then
        return false;
      end if;
      v_rest := substr(v_rest, length(v_element[1]) + 1);
    end if;
    if left(v_rest, 1) <> ',' then
      return true;
    end if;
    v_rest := substr(v_rest, 2);
  end loop;
end
$$;

create or replace function cron._field_number(p_text text, p_low integer, p_names text[])
returns integer
language sql immutable set search_path = '' as $$
  select coalesce(
    array_position(p_names, lower(p_text)) - 1 + p_low,
    case when p_text ~ '^[0-9]{1,9}$' then p_text::integer end
  )
$$;

create or replace function cron._schedule_is_valid(p_schedule text) returns boolean
language plpgsql immutable set search_path = '' as $$
declare
  -- Comment lines before the schedule are skipped as well.
  v_text text := regexp_replace(p_schedule, '^([ \t\n]|#[^\n]*\n)+', '');
  v_fields text[];
begin
  if lower(v_text) ~ '^\+?[0-9]+\s*(second|seconds\s*)$' then
    return coalesce(
      substring(v_text from '^\+?0*([0-9]{1,2})[^0-9]')::integer between 1 and 59, false
    );
  end if;
  if length(p_schedule) >= 1000 then
    return false;
  end if;
  if left(v_text, 1) = '@' then
    return substring(v_text from '^@([^ \t\n]*)') in (
      'reboot', 'restart', 'yearly', 'annually', 'monthly', 'weekly', 'daily', 'midnight', 'hourly'
    );
  end if;
  v_fields := regexp_split_to_array(split_part(v_text, E'\n', 1), '[ \t]+');
  return cardinality(v_fields) >= 5
    and cron._field_is_valid(v_fields[1], 0, 59)
    and cron._field_is_valid(v_fields[2], 0, 23)
    and cron._field_is_valid(v_fields[3], 1, 31, '{}', true)
    and cron._field_is_valid(
      v_fields[4], 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}'
    )
    and cron._field_is_valid(v_fields[5], 0, 7, '{sun,mon,tue,wed,thu,fri,sat}');
end
$$;

-- Calls. The C functions of pg_cron know their caller and write as the owner. A security definer
-- function in SQL does not know its caller, so the public functions run as the caller and insert
-- into a view: the default of its column username is evaluated as the caller, who has no privilege
-- to name another, and its trigger runs as the owner.

create or replace view cron._call as
select
  null::text as operation,
  null::text as caller,
  null::bigint as job_id,
  null::text as job_name,
  null::text as schedule,
  null::text as command,
  null::text as database,
  null::text as username,
  null::boolean as active
where false;
alter view cron._call alter column caller set default current_user;

-- security definer: see above.
create or replace function cron._answer_call() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_is_superuser boolean := (select r.rolsuper from pg_catalog.pg_roles as r where r.rolname = new.caller);
  v_job cron.job;
begin
  if new.operation in ('alter_job', 'schedule_in_database')
    and not pg_catalog.has_function_privilege(new.caller, (
      select p.oid from pg_catalog.pg_proc as p
      where p.pronamespace = 'cron'::regnamespace and p.proname = new.operation
    ), 'execute') then
    raise insufficient_privilege using message = 'permission denied for function ' || new.operation;
  end if;

  if new.operation = 'unschedule' then
    select j.* into v_job
    from cron.job as j
    where case
      when new.job_id is not null then j.jobid = new.job_id
      else j.jobname = new.job_name and j.username = new.caller
    end;
    if v_job.jobid is null then
      raise internal_error using message = 'could not find valid entry for job '
        || coalesce(new.job_id::text, pg_catalog.format('''%s''', new.job_name));
    end if;
    if lower(v_job.username) <> lower(new.caller)
      and not pg_catalog.has_table_privilege(new.caller, 'cron.job', 'delete') then
      raise insufficient_privilege using message = 'permission denied for table job';
    end if;
    delete from cron.job as j where j.jobid = v_job.jobid;
    return new;
  end if;

  if new.schedule is not null and not cron._schedule_is_valid(new.schedule) then
    raise invalid_parameter_value using
      message = 'invalid schedule: ' || new.schedule,
      hint = 'Use cron format (e.g. 5 4 * * *), or interval format ''[1-59] seconds''';
  end if;
  if new.username is not null then
    if not v_is_superuser then
      raise internal_error using message = case
        when new.operation = 'alter_job' then 'must be superuser to alter username'
        else 'must be superuser to create a job for another role'
      end;
    end if;
    if not exists (select from pg_catalog.pg_roles as r where r.rolname = new.username) then
      raise internal_error using
        message = pg_catalog.format('role "%s" does not exist', new.username);
    end if;
    if not (select r.rolcanlogin from pg_catalog.pg_roles as r where r.rolname = new.username) then
      raise internal_error using
        message = pg_catalog.format('role "%s" can not log in', new.username),
        detail = 'Jobs may only be run by roles that have the LOGIN attribute.';
    end if;
  end if;
  if new.database is not null
    and not exists (select from pg_catalog.pg_database as d where d.datname = new.database) then
    raise exception using
      errcode = '3D000',
      message = pg_catalog.format('database "%s" does not exist', new.database);
  end if;
  if (new.operation <> 'alter_job' or new.database is not null)
    and not pg_catalog.has_database_privilege(
      coalesce(new.username, new.caller), coalesce(new.database, current_database()), 'connect'
    ) then
    raise internal_error using message = pg_catalog.format(
      'User %s does not have CONNECT privilege on %s',
      coalesce(new.username, new.caller), coalesce(new.database, current_database())
    );
  end if;

  if new.operation = 'alter_job' then
    if num_nonnulls(new.schedule, new.command, new.database, new.username, new.active) = 0 then
      raise internal_error using
        message = 'no updates specified',
        hint = 'You must specify at least one job attribute to change when calling alter_job';
    end if;
    update cron.job as j
    set
      schedule = coalesce(new.schedule, j.schedule),
      command = coalesce(new.command, j.command),
      database = coalesce(new.database, j.database),
      username = coalesce(new.username, j.username),
      active = coalesce(new.active, j.active)
    where j.jobid = new.job_id and (v_is_superuser or j.username = new.caller);
    if not found then
      raise internal_error using message = pg_catalog.format(
        'Job %s does not exist or you don''t own it', new.job_id
      );
    end if;
    return new;
  end if;

  -- active is set on insert only: scheduling a paused job again leaves it paused.
  insert into cron.job as j (schedule, command, nodename, nodeport, database, username, active, jobname)
  values (
    new.schedule, new.command, 'localhost', current_setting('port')::integer,
    coalesce(new.database, current_database()), coalesce(new.username, new.caller),
    coalesce(new.active, true), new.job_name
  )
  on conflict on constraint jobname_username_uniq do update
    set schedule = excluded.schedule, command = excluded.command, database = excluded.database
  returning j.jobid into new.job_id;
  return new;
end
$$;

drop trigger if exists answer_call on cron._call;
create trigger answer_call instead of insert on cron._call
  for each row execute function cron._answer_call();

create or replace function cron.schedule(schedule text, command text) returns bigint
language sql volatile strict set search_path = '' as $$
  insert into cron._call (operation, schedule, command) values ('schedule', $1, $2)
  returning job_id
$$;

create or replace function cron.schedule(job_name text, schedule text, command text) returns bigint
language plpgsql volatile set search_path = '' as $$
begin
  perform cron._require_arguments(job_name, schedule, command);
  return cron._schedule_named('schedule', job_name, schedule, command, null, null, null);
end
$$;

create or replace function cron.schedule_in_database(
  job_name text, schedule text, command text, database text, username text default null,
  active boolean default true
) returns bigint
language plpgsql volatile set search_path = '' as $$
begin
  perform cron._require_arguments(job_name, schedule, command);
  return cron._schedule_named(
    'schedule_in_database', job_name, schedule, command, database, username, active
  );
end
$$;

create or replace function cron._require_arguments(p_job_name text, p_schedule text, p_command text)
returns void
language plpgsql immutable set search_path = '' as $$
begin
  if num_nulls(p_job_name, p_schedule, p_command) > 0 then
    raise internal_error using message = case
      when p_job_name is null then 'job_name'
      when p_schedule is null then 'schedule'
      else 'command'
    end || ' can not be NULL';
  end if;
end
$$;

create or replace function cron._schedule_named(
  p_operation text, p_job_name text, p_schedule text, p_command text, p_database text,
  p_username text, p_active boolean
) returns bigint
language sql volatile set search_path = '' as $$
  insert into cron._call (operation, job_name, schedule, command, database, username, active)
  values (p_operation, p_job_name, p_schedule, p_command, p_database, p_username, p_active)
  returning job_id
$$;

create or replace function cron.alter_job(
  job_id bigint, schedule text default null, command text default null,
  database text default null, username text default null, active boolean default null
) returns void
language plpgsql volatile set search_path = '' as $$
begin
  if job_id is null then
    raise internal_error using message = 'job_id can not be NULL';
  end if;
  insert into cron._call (operation, job_id, schedule, command, database, username, active)
  values ('alter_job', $1, $2, $3, $4, $5, $6);
end
$$;

create or replace function cron.unschedule(job_id bigint) returns boolean
language sql volatile strict set search_path = '' as $$
  insert into cron._call (operation, job_id) values ('unschedule', $1) returning true
$$;

create or replace function cron.unschedule(job_name text) returns boolean
language sql volatile strict set search_path = '' as $$
  insert into cron._call (operation, job_name) values ('unschedule', $1) returning true
$$;

comment on function cron.schedule(text, text) is 'schedule a pg_cron job';
comment on function cron.schedule(text, text, text) is 'schedule a pg_cron job';
comment on function cron.schedule_in_database(text, text, text, text, text, boolean) is
  'schedule a pg_cron job';
comment on function cron.alter_job(bigint, text, text, text, text, boolean) is
  'Alter the job identified by job_id. Any option left as NULL will not be modified.';
comment on function cron.unschedule(bigint) is 'unschedule a pg_cron job';
comment on function cron.unschedule(text) is 'unschedule a pg_cron job';

-- Privileges: those of the extension to everyone, those of the platform to postgres.
grant select on cron.job to public;
grant select, delete on cron.job_run_details to public;
grant select on sequence cron.jobid_seq, cron.runid_seq to public;
grant insert (operation, job_id, job_name, schedule, command, database, username, active),
  select (job_id) on cron._call to public;
revoke all on function cron.alter_job(bigint, text, text, text, text, boolean) from public;
revoke all on function cron.schedule_in_database(text, text, text, text, text, boolean) from public;

grant usage on schema cron to postgres with grant option;
grant execute on all functions in schema cron to postgres with grant option;
grant all on cron.job_run_details to postgres with grant option;
grant select on cron.job to postgres with grant option;
