-- Adds what finds the legacy cron jobs and keeps what they were. Nothing calls it yet.

create table switchyard.cron_jobs (
  job_name text primary key,
  schedule text not null,
  command text not null,
  refreshes boolean not null,
  records boolean not null,
  scheduled_at timestamptz
);
comment on table switchyard.cron_jobs is
  'The cron jobs that Switchyard owns. The flag use_queue_system makes exactly these active or inactive; they are never legacy jobs.';
comment on column switchyard.cron_jobs.refreshes is
  'Whether data types are refreshed by it: while one of these is not active, the queue serves no data type, and no legacy job is paused.';

comment on column switchyard.cron_jobs.records is
  'Whether it is active too while the setting freshness_sampling is 1, whatever the flags say: it takes samples, or deletes old ones.';
comment on column switchyard.cron_jobs.scheduled_at is
  'When switchyard.schedule_cron_jobs() scheduled it last; null: never, so that a job of this name is somebody else''s.';

create table switchyard.saved_cron_jobs (
  id bigint generated always as identity primary key,
  job_id bigint not null,
  job_name text,
  schedule text not null,
  command text not null,
  database text not null,
  username text not null,
  node_name text not null,
  node_port integer not null,
  found_active boolean not null,
  is_scheduled boolean not null default true,
  data_types text[] not null,
  newest_job_id bigint not null,
  original_job_id bigint not null,
  restored_job_id bigint,
  saved_at timestamptz not null default clock_timestamp(),
  released_at timestamptz,
  outcome text,
  constraint released_saves_have_an_outcome check ((released_at is null) = (outcome is null))
);
comment on table switchyard.saved_cron_jobs is
  'Legacy cron jobs as they were right before Switchyard paused or unscheduled them. Kept after they were brought back.';
comment on column switchyard.saved_cron_jobs.found_active is
  'Whether the job was active then. One that somebody had paused stays paused when it is brought back.';
comment on column switchyard.saved_cron_jobs.is_scheduled is
  'False when Switchyard unscheduled the job, because its data types are retired.';
comment on column switchyard.saved_cron_jobs.data_types is
  'Data types that the job served then.';
comment on column switchyard.saved_cron_jobs.newest_job_id is
  'Largest id in cron.job then: a job with a larger one was made later, in place of this one perhaps.';
comment on column switchyard.saved_cron_jobs.original_job_id is
  'Id under which the job was first saved: pg_cron gives it a new one each time that it is scheduled anew.';
comment on column switchyard.saved_cron_jobs.restored_job_id is
  'Id under which it was scheduled anew when it was brought back; null when it was still there, or replaced.';
comment on column switchyard.saved_cron_jobs.released_at is
  'When the job was brought back, or found to need no bringing back; null while Switchyard holds it.';

create function switchyard.keep_cron_rows()
returns trigger
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_held text;
begin
  if tg_op = 'UPDATE' then
    raise exception 'Cannot change whether cron job "%" refreshes data types', old.job_name
      using errcode = 'SY028',
            hint = 'The queue runs while all that refresh do; set schedule alone, and run select switchyard.schedule_cron_jobs()';
  end if;
  if tg_table_name = 'cron_jobs' then
    raise exception 'Cannot delete cron jobs of Switchyard from their list%',
      case when tg_op = 'DELETE' then format(': "%s"', old.job_name) else '' end
      using errcode = 'SY028',
            hint = 'What the list lacks is taken to run; switch use_queue_system off, or set another schedule and run select switchyard.schedule_cron_jobs()';
  end if;
  select string_agg(coalesce('"' || s.job_name || '"', 'job ' || s.job_id), ', ' order by s.id) into v_held
    from switchyard.saved_cron_jobs as s
   where s.released_at is null
     and (tg_op = 'TRUNCATE' or s.id = old.id);
  if v_held is not null then
    raise exception 'Cannot delete what is saved of legacy cron jobs that are held: %', v_held
      using errcode = 'SY028',
            hint = 'It is the way back of their data types; roll these back first: select * from rollback_migration_v2(…)';
  end if;
  return old;
end
$$;
comment on function switchyard.keep_cron_rows() is
  'Trigger: the saved definition of a legacy job stays while Switchyard holds the job, and the list of the cron jobs of Switchyard, all of which have to run for the queue to run, keeps its rows (SY028).';

create trigger keep_saved_job
  before delete on switchyard.saved_cron_jobs
  for each row execute function switchyard.keep_cron_rows();

create trigger keep_all_saved_jobs
  before truncate on switchyard.saved_cron_jobs
  for each statement execute function switchyard.keep_cron_rows();

create trigger keep_cron_job
  before delete on switchyard.cron_jobs
  for each row execute function switchyard.keep_cron_rows();

create trigger keep_refreshing_cron_job
  before update of refreshes on switchyard.cron_jobs
  for each row
  when (old.refreshes <> new.refreshes)
  execute function switchyard.keep_cron_rows();

create trigger keep_all_cron_jobs
  before truncate on switchyard.cron_jobs
  for each statement execute function switchyard.keep_cron_rows();

create unique index a_job_is_held_once on switchyard.saved_cron_jobs (job_id) where released_at is null;

create function switchyard.original_job_id(p_job_id bigint)
returns bigint
language sql
stable
set search_path = ''
as $$
  select coalesce(
    (select s.original_job_id from switchyard.saved_cron_jobs as s
      where s.job_id = p_job_id and s.released_at is null),
    (select s.original_job_id from switchyard.saved_cron_jobs as s
      where s.restored_job_id = p_job_id
      order by s.id desc
      limit 1),
    p_job_id)
$$;
comment on function switchyard.original_job_id(bigint) is
  'The id that a cron job had before Switchyard first scheduled it anew; its own id when it never did.';

create function switchyard.owner()
returns text
language sql
stable
set search_path = ''
as $$
  select pg_catalog.pg_get_userbyid(n.nspowner)::text from pg_catalog.pg_namespace as n where n.nspname = 'switchyard'
$$;
comment on function switchyard.owner() is
  'The role that installed Switchyard, as whom it changes cron jobs; only their owner may change them.';

create function switchyard.cron_job_problems()
returns table (job_name text, refreshes boolean, problem text)
language plpgsql
stable
set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
    select own.job_name, own.refreshes,
           format('"%s" %s', own.job_name, case
             when j.jobid is null then coalesce(
               (select format('belongs to role %s', o.username)
                  from cron.job as o where o.jobname::text = own.job_name order by o.jobid limit 1), 'is not there')
             when (j.schedule, j.command, j.database) is distinct from
                  (own.schedule, own.command, current_database()::text) then 'was changed'
             else 'is not active' end)
      from switchyard.cron_jobs as own
      left join cron.job as j on j.jobname::text = own.job_name and j.username = switchyard.owner()
     where j.jobid is null
        or not j.active
        or (j.schedule, j.command, j.database) is distinct from
           (own.schedule, own.command, current_database()::text)
     order by own.job_name;
end
$$;
comment on function switchyard.cron_job_problems() is
  'Cron jobs of Switchyard that do not do their work: not there, of another role, with another schedule, command or database than in switchyard.cron_jobs, or not active. None while the queue runs.';

create function switchyard.without_comments(p_command text)
returns text
language sql
immutable
set search_path = ''
as $$
  -- Texts and quoted names come first, as they may look like comments.
  select regexp_replace(
    p_command, $re$('(?:[^']|'')*'|"[^"]*")|--[^\n]*|/\*(?:[^*]|\*+[^*/])*\*+/$re$, '\1 ', 'g')
$$;
comment on function switchyard.without_comments(text) is
  'A cron command without its comments.';

create function switchyard.function_urls(p_command text)
returns setof text
language sql
immutable
set search_path = ''
as $$
  -- The path segment as a URL spells it, so that "fetch-a" is not found in "fetch-a-b"; two texts with
  -- || between them are one.
  select f.found[1]
    from regexp_matches(
           regexp_replace(switchyard.without_comments(p_command), $re$'\s*\|\|\s*'$re$, '', 'g'),
           '(?:/functions/v1|\.functions\.supabase\.(?:co|in|net))/([A-Za-z0-9._~%-]+)', 'g') as f (found)
$$;
comment on function switchyard.function_urls(text) is
  'The Edge Function of each URL that a cron command spells out.';

create function switchyard.called_functions(p_command text)
returns text[]
language sql
immutable
set search_path = ''
as $$
  select coalesce(array_agg(distinct u.name), '{}'::text[]) from switchyard.function_urls(p_command) as u (name)
$$;
comment on function switchyard.called_functions(text) is
  'Names of the Edge Functions that a cron command calls, as far as their URLs are spelled out in it.';

create function switchyard.functions_of_types()
returns table (data_type text, function_name text)
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
    select r.data_type, r.edge_function_name
      from public.data_type_registry_v2 as r
     where r.edge_function_name is not null
    union
    select r.data_type, f.name
      from public.data_type_registry_v2 as r
     cross join unnest(r.legacy_functions) as f (name);
end
$$;
comment on function switchyard.functions_of_types() is
  'Which Edge Functions refresh which data types.';

create function switchyard.restored_name(p_job_name text, p_number text)
returns text
language sql
immutable
set search_path = ''
as $$
  -- pg_cron 1.4 keeps 63 bytes of a name.
  select left(base.name, (
           select max(n)
             from generate_series(0, length(base.name)) as n
            where octet_length(left(base.name, n) || suffix.text) <= 63)) || suffix.text
    from (select regexp_replace(p_job_name, '(-restored-\d+)+$', '') as name) as base
   cross join (select '-restored-' || p_number as text) as suffix
$$;
comment on function switchyard.restored_name(text, text) is
  'Name of a legacy job that is scheduled anew beside one of its name: with -restored- and a number, of at most 63 bytes.';

create function switchyard.is_listed(p_job_name text, p_listed text[])
returns boolean
language sql
immutable
set search_path = ''
as $$
  select p_job_name = any (p_listed) or exists (
    select 1
      from regexp_matches(p_job_name, '-restored-(\d+)$') as restored (number)
     cross join unnest(p_listed) as l (name)
     where p_job_name = switchyard.restored_name(l.name, restored.number[1]))
$$;
comment on function switchyard.is_listed(text, text[]) is
  'Whether legacy_cron_jobs names a cron job: by its name, or by that of which it has its restored name.';

create function switchyard.types_served_by(p_job_name text, p_command text)
returns text[]
language plpgsql
stable
set search_path = ''
as $$
begin
  return coalesce((
    select array_agg(served.data_type order by served.data_type)
      from (
        select r.data_type
          from public.data_type_registry_v2 as r
         where switchyard.is_listed(p_job_name, r.legacy_cron_jobs)
        union
        select f.data_type
          from switchyard.functions_of_types() as f
         where f.function_name = any (switchyard.called_functions(p_command))
      ) as served), '{}'::text[]);
end
$$;
comment on function switchyard.types_served_by(text, text) is
  'Data types whose legacy job a cron job is: those that list its name, and those whose Edge Function its command calls.';

create function switchyard.called_known_functions(p_command text)
returns text[]
language plpgsql
stable
set search_path = ''
as $$
begin
  return array(
    select distinct f.function_name
      from switchyard.functions_of_types() as f
     where f.function_name = any (switchyard.called_functions(p_command))
     order by f.function_name);
end
$$;
comment on function switchyard.called_known_functions(text) is
  'Of the Edge Functions that a cron command calls those that refresh a data type.';

create function switchyard.other_statements(p_command text)
returns text[]
language sql
immutable
set search_path = ''
as $$
  -- Words in texts and quoted names say nothing; in dollar quotes they do: those hold code.
  select coalesce(array_agg(distinct upper(f.found[1])), '{}'::text[])
    from regexp_matches(
           regexp_replace(
             switchyard.without_comments(p_command),
             $re$'(?:[^']|'')*'|"[^"]*"|\mfor\s+(?:no\s+key\s+)?update\M$re$, ' ', 'gi'),
           '\m(insert|update|delete|merge|truncate|copy|call|refresh|vacuum|analyze|reindex|cluster|create|alter|drop|notify)\M',
           'gi') as f (found)
$$;
comment on function switchyard.other_statements(text) is
  'Statements of a cron command that do more than read and call, by their first words in capitals: DELETE, VACUUM. SQL functions that it calls are in switchyard.other_calls.';

create function switchyard.other_calls(p_command text)
returns text[]
language sql
stable
set search_path = ''
as $$
  with code as (
    select regexp_replace(switchyard.without_comments(p_command), $re$'(?:[^']|'')*'$re$, ' ', 'g') as text
  ),
  call as (
    -- With the schema that may stand before the name.
    select distinct lower(f.found[1]) as schema_name, lower(f.found[2]) as name
      from code
     cross join regexp_matches(code.text, '(?:"?(\w+)"?\s*\.\s*)?"?(\w+)"?\s*\(', 'g') as f (found)
  )
  select coalesce(array_agg(found.name order by found.name), '{}'::text[])
    from (
      select 'an HTTP call' as name
       where (select count(*)
                from code
               cross join regexp_matches(code.text, '\mhttp(?:_(?:post|get|put|patch|delete))?"?\s*\(', 'gi'))
             > (select count(*) from switchyard.function_urls(p_command))
      union
      select format('%I.%I()', n.nspname, p.proname)
        from call as c
        join pg_catalog.pg_proc as p on p.proname = c.name and p.provolatile = 'v'
        join pg_catalog.pg_namespace as n on n.oid = p.pronamespace and n.nspname = coalesce(c.schema_name, n.nspname)
       where n.nspname !~ '^(pg_|cron$|net$|vault$|extensions$|graphql|pgmq$|auth$|storage$|realtime$|supabase_)'
         and not exists (
           select 1
             from pg_catalog.pg_depend as d
            where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
      union
      -- Of the platform's own functions most that stand in a cron command do something, and none lies in the
      -- search path; those of auth and some of storage and realtime only tell.
      select format('%I.%I()', c.schema_name, c.name)
        from call as c
       where c.schema_name in ('cron', 'graphql', 'pgmq', 'realtime', 'storage', 'vault')
         and c.schema_name || '.' || c.name not in (
           'realtime.topic', 'storage.extension', 'storage.filename', 'storage.foldername')
    ) as found
$$;
comment on function switchyard.other_calls(text) is
  'What a cron command calls besides Edge Functions that its URLs spell out: SQL functions that may write (volatile ones that are no extension''s), by their names, functions of cron, pgmq, storage and other schemas of the platform, and HTTP calls to other addresses.';

create function switchyard.other_work_of(p_job_name text, p_command text)
returns text[]
language plpgsql
stable
set search_path = ''
as $$
declare
  v_called text[] := switchyard.called_functions(p_command);
  v_known text[] := switchyard.called_known_functions(p_command);
begin
  -- Who lists a job by its name has looked at it. One that calls no known function is a legacy job by
  -- its name alone.
  return array(select c.name from unnest(v_called) as c (name) where cardinality(v_known) > 0 and c.name <> all (v_known))
      || case when exists (
                select 1
                  from public.data_type_registry_v2 as r
                 where switchyard.is_listed(p_job_name, r.legacy_cron_jobs))
              then '{}'::text[]
              else switchyard.other_statements(p_command) || switchyard.other_calls(p_command) end;
end
$$;
comment on function switchyard.other_work_of(text, text) is
  'What a legacy job does besides refreshing data types: Edge Functions that no data type names, and, unless legacy_cron_jobs lists the job, other statements and calls. Such a job is never paused, because somebody may need the rest of it.';

create function switchyard.does_work_of(
  p_job_name text,
  p_command text,
  p_database text,
  p_save switchyard.saved_cron_jobs
)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  v_known text[] := switchyard.called_known_functions(p_save.command);
  v_calls text[] := switchyard.other_calls(p_save.command);
  v_types text[] := switchyard.types_served_by(p_save.job_name, p_save.command);
begin
  if p_database <> p_save.database then
    return false;
  end if;
  if p_command = p_save.command and p_job_name is not distinct from p_save.job_name then
    return true;
  end if;
  if v_types = '{}' then
    v_types := p_save.data_types;
  end if;
  if v_known <> '{}' then
    return switchyard.called_functions(p_command) @> v_known
       and switchyard.types_served_by(p_job_name, p_command) @> v_types;
  end if;
  -- A legacy job by its name alone: it does the same when it calls the same SQL functions, or when what it
  -- calls now is known to refresh the same types.
  return switchyard.types_served_by(null, p_command) @> v_types
      or (switchyard.types_served_by(p_job_name, p_command) @> v_types
          and (regexp_replace(switchyard.without_comments(p_command), '\s+', '', 'g')
                 = regexp_replace(switchyard.without_comments(p_save.command), '\s+', '', 'g')
               or (v_calls <> '{}' and switchyard.other_calls(p_command) @> v_calls)));
end
$$;
comment on function switchyard.does_work_of(text, text, text, switchyard.saved_cron_jobs) is
  'Whether a cron job (name, command, database) refreshes all that a saved one refreshed: it calls the same Edge Functions, or SQL functions, and serves the same data types. Its name alone says nothing.';

create view switchyard.legacy_jobs
with (security_invoker = true)
as
  select j.jobid as job_id, j.jobname::text as job_name, j.schedule, j.command, j.database, j.username,
         j.active, t.data_types, switchyard.other_work_of(j.jobname::text, j.command) as other_work,
         s.id as save_id, s.found_active
    from cron.job as j
   cross join lateral (select switchyard.types_served_by(j.jobname::text, j.command) as data_types) as t
    left join switchyard.saved_cron_jobs as s on s.job_id = j.jobid and s.released_at is null
   where cardinality(t.data_types) > 0
     and not exists (
       select 1
         from switchyard.cron_jobs as own
        where own.job_name = j.jobname::text and j.username = switchyard.owner());
comment on view switchyard.legacy_jobs is
  'The legacy cron jobs that are there now, with the data types that each serves. save_id: Switchyard holds it paused. For the SQL editor.';

alter table switchyard.cron_jobs enable row level security;
alter table switchyard.saved_cron_jobs enable row level security;
revoke all on table switchyard.cron_jobs, switchyard.saved_cron_jobs, switchyard.legacy_jobs
  from public, anon, authenticated, service_role;

revoke all on function
  switchyard.keep_cron_rows(),
  switchyard.original_job_id(bigint),
  switchyard.owner(),
  switchyard.cron_job_problems(),
  switchyard.without_comments(text),
  switchyard.function_urls(text),
  switchyard.called_functions(text),
  switchyard.functions_of_types(),
  switchyard.restored_name(text, text),
  switchyard.is_listed(text, text[]),
  switchyard.types_served_by(text, text),
  switchyard.called_known_functions(text),
  switchyard.does_work_of(text, text, text, switchyard.saved_cron_jobs),
  switchyard.other_statements(text),
  switchyard.other_calls(text),
  switchyard.other_work_of(text, text)
from public, anon, authenticated, service_role;
