-- Adds what finds the legacy cron jobs. Nothing calls it yet.

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
  -- Functions of the project alone say what a job is for: many jobs notify, or take the next number.
  v_calls text[] := array(
    select c.name
      from unnest(switchyard.other_calls(p_save.command)) as c (name)
     where c.name ~ '\.' and c.name !~ '^(cron|graphql|pgmq|realtime|storage|vault)\.');
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

revoke all on table switchyard.legacy_jobs from public, anon, authenticated, service_role;

revoke all on function
  switchyard.restored_name(text, text),
  switchyard.is_listed(text, text[]),
  switchyard.types_served_by(text, text),
  switchyard.other_work_of(text, text),
  switchyard.does_work_of(text, text, text, switchyard.saved_cron_jobs)
from public, anon, authenticated, service_role;
