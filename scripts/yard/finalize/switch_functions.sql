do $switch$
declare
  v_relations constant text[] := {{relations}};
  v_routines constant text[] := {{routines}};
  v_types constant text[] := {{types}};
  v_seeded constant text[] := {{seeded}};
  v_texts constant text := {{texts}};

  v_search_path constant text := current_setting('search_path');
  v_own oid[];
  v_part record;
  v_name text;
  v_definition text;
  v_old_text text;
  v_new_text text;
begin
  if to_regclass('switchyard.old_names') is null then
    raise exception 'Cannot switch to the new Edge Functions: the names have not been changed yet'
      using errcode = 'undefined_table', hint = 'Push the migration of yard finalize first';
  end if;
  perform switchyard.lock_migration();
  perform set_config('search_path', '', true);
{{> find_own}}
{{> rewrite_texts}}
{{> rewrite_values}}
  for v_part in
    select j.jobid, j.command, own.job_name, own.command as own_command
      from cron.job as j
      join switchyard.cron_jobs as own on own.job_name = j.jobname::text
     where j.username = current_user and j.command ~ v_texts
  loop
    perform cron.alter_job(
      job_id := v_part.jobid, command := regexp_replace(v_part.command, v_texts, '\1\2', 'g'));
    update switchyard.cron_jobs as own
       set command = regexp_replace(own.command, v_texts, '\1\2', 'g')
     where own.job_name = v_part.job_name;
  end loop;
  insert into switchyard.old_names (kind, old_name, new_name)
  values ('switched at', '', clock_timestamp());
  drop table pg_temp.finalize_names;
  perform set_config('search_path', v_search_path, true);
end
$switch$;
