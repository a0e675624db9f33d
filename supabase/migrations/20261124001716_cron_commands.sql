-- Adds what tells from a cron command what it does. Nothing calls it yet.

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
           '(?<!\.)\m(insert|update|delete|merge|truncate|copy|call|refresh|vacuum|analyze|reindex|cluster|create|alter|drop|notify|grant|revoke|comment(?=\s+on\M)|lock|import(?=\s+foreign\M)|execute)\M',
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
      select c.name || '()'
        from call as c
       where coalesce(c.schema_name, 'pg_catalog') = 'pg_catalog'
         and c.name ~ '^(?:setval|nextval|lo_(?:creat|create|export|from_bytea|import|put|truncate|truncate64|unlink)|lowrite|brin_(?:de)?summarize_\w+|gin_clean_pending_list|pg_(?:notify|terminate_backend|cancel_backend|reload_conf|rotate_logfile|promote|switch_wal|create_restore_point|export_snapshot|import_system_collations|log_\w+|logical_\w+|replication_\w+|\w*replication_slot\w*|stat_reset\w*|wal_replay_\w+))$'
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
  'What a cron command calls besides Edge Functions that its URLs spell out: SQL functions that may write (volatile ones that are no extension''s), by their names, functions of cron, pgmq, storage and other schemas of the platform, those of Postgres that do something (pg_notify, setval), and HTTP calls to other addresses.';

revoke all on function
  switchyard.without_comments(text),
  switchyard.function_urls(text),
  switchyard.called_functions(text),
  switchyard.functions_of_types(),
  switchyard.called_known_functions(text),
  switchyard.other_statements(text),
  switchyard.other_calls(text)
from public, anon, authenticated, service_role;
