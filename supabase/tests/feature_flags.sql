begin;
select plan(26);

select results_eq(
  $$select flag_name, enabled from public.feature_flags order by flag_name collate "C"$$,
  $$select flag_name, false
      from (select 'use_queue_for_' || r.data_type from public.data_type_registry_v2 as r
            union all values ('use_new_staleness_check'), ('use_presence_tracking'), ('use_queue_system')) as f (flag_name)
     order by flag_name collate "C"$$,
  'after install there are three flags and one for each data type, and all are off');

select is(public.is_feature_enabled('use_queue_system'), false, 'is_feature_enabled reads a flag');

select throws_ok(
  $$select public.is_feature_enabled('use_magic')$$, 'SY003',
  'Cannot read feature flag "use_magic": no such flag', 'an unknown flag is an error, not false');

select results_eq(
  $$select active from cron.job as c join switchyard.cron_jobs as j on j.job_name = c.jobname$$,
  $$select false from switchyard.cron_jobs$$,
  'the cron jobs of Switchyard are scheduled but inactive');

update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select results_eq(
  $$select active from cron.job as c join switchyard.cron_jobs as j on j.job_name = c.jobname$$,
  $$select true from switchyard.cron_jobs$$,
  'turning use_queue_system on makes them active');

select results_eq(
  $$select enabled_before, enabled_after, changed_by from switchyard.flag_changes
     where flag_name = 'use_queue_system' order by id desc limit 1$$,
  $$values (false, true, 'postgres')$$,
  'the change is written down with who made it');

update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select is(
  (select count(*) from switchyard.flag_changes where flag_name = 'use_queue_system'), 2::bigint,
  'setting a flag to what it is writes nothing down');

update public.feature_flags set enabled = false where flag_name = 'use_queue_system';
select results_eq(
  $$select active from cron.job as c join switchyard.cron_jobs as j on j.job_name = c.jobname$$,
  $$select false from switchyard.cron_jobs$$,
  'turning it off makes them inactive again');

select is(switchyard.set_cron_jobs_active(false), 0, 'making inactive jobs inactive changes none');
select is(switchyard.schedule_cron_jobs(), 9, 'scheduling them again is harmless');
select results_eq(
  $$select count(*), bool_or(active) from cron.job as c join switchyard.cron_jobs as j on j.job_name = c.jobname$$,
  $$values (9::bigint, false)$$,
  '… and leaves nine inactive jobs');

update switchyard.cron_jobs set scheduled_at = null where job_name = 'compact-queue-v2';
select cron.schedule('compact-queue-v2', '0 0 * * *', 'select 1');
select throws_ok($$select switchyard.schedule_cron_jobs()$$, 'SY027',
  'Cannot schedule the cron jobs of Switchyard: their names are taken',
  'a job of somebody else that has the name of one is not overwritten');
select is((select command from cron.job where jobname = 'compact-queue-v2'), 'select 1', '… and stays as it was');
select cron.unschedule('compact-queue-v2');
select is(switchyard.schedule_cron_jobs(), 9, 'once the name is free they can be scheduled');

select throws_ok(
  $$delete from public.feature_flags where flag_name = 'use_queue_system'$$, 'SY003', null,
  'use_queue_system cannot be deleted');
select throws_ok(
  $$delete from public.feature_flags where flag_name = 'use_new_staleness_check'$$, 'SY003', null,
  'nor can the other flags that Switchyard reads');
select throws_ok(
  $$update public.feature_flags set flag_name = 'renamed' where flag_name = 'use_queue_system'$$, 'SY003',
  'Cannot rename feature flag "use_queue_system": Switchyard reads it', 'nor renamed');
insert into public.feature_flags (flag_name) values ('use_my_own');
select throws_ok($$update public.feature_flags set flag_name = 'use_queue_for_nope' where flag_name = 'use_my_own'$$, 'SY003',
  'Cannot make feature flag "use_queue_for_nope": it comes with the row of its data type, and off', 'nor may one be renamed to that of no data type');
update public.feature_flags set metadata = metadata || '{"symbols": ["AAPL"]}' where flag_name = 'use_queue_for_grades-historical';
update public.data_type_registry_v2 set data_type = 'grades' where data_type = 'grades-historical';
select results_eq($$select flag_name, metadata from public.feature_flags where flag_name ~ 'grades'$$,
  $$values ('use_queue_for_grades', '{"about": "The queue alone refreshes grades; its legacy jobs rest", "symbols": ["AAPL"]}'::jsonb)$$,
  'the flag of a data type that is renamed goes with it, with what stands in it');
update public.feature_flags set metadata = '{"about": "ask Ann"}' where flag_name = 'use_queue_for_grades';
update public.data_type_registry_v2 set data_type = 'grades-historical' where data_type = 'grades';
select is((select metadata from public.feature_flags where flag_name = 'use_queue_for_grades-historical'), '{"about": "ask Ann"}', '… in whose words ever');
grant select, insert, update, delete on public.feature_flags to service_role;
set local role service_role;
select lives_ok($$insert into public.feature_flags (flag_name) values ('use_theirs')$$, 'a role that was granted rights may make flags');
select lives_ok($$update public.feature_flags set enabled = true, flag_name = 'use_theirs_2' where flag_name = 'use_theirs'$$, '… change them');
select lives_ok($$delete from public.feature_flags where flag_name = 'use_theirs_2'$$, '… and remove them');
reset role;
revoke select, insert, update, delete on public.feature_flags from service_role;
grant select on public.feature_flags to service_role;
update public.feature_flags set flag_name = 'use_mine' where flag_name = 'use_my_own';
delete from public.feature_flags where flag_name = 'use_mine';
select results_eq(
  $$select enabled_before, enabled_after from switchyard.flag_changes where flag_name in ('use_my_own', 'use_mine') order by id$$,
  $$values (null, false), (false, false), (false, null)$$, 'other flags may come and go, which is written down');
select throws_ok('truncate public.feature_flags', 'SY003', null, 'nor all truncated away');

select cron.unschedule('invoke-queue-processor-v2');
select throws_ok(
  $$update public.feature_flags set enabled = true where flag_name = 'use_queue_system'$$, 'SY015',
  'Cannot turn use_queue_system on: cron job "invoke-queue-processor-v2" is not scheduled by postgres',
  'the flag does not go on while a cron job is missing');

select * from finish();
rollback;
