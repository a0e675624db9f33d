-- How a data type moves, and how not.
begin;
select plan(48);

create function pg_temp.stage(p_data_type text default 'profile') returns text language sql as $$
  select r.stage || case when f.enabled then ' on' else ' off' end
    from public.data_type_registry_v2 as r
    join public.feature_flags as f on f.flag_name = 'use_queue_for_' || r.data_type
   where r.data_type = p_data_type
$$;

-- Not by an UPDATE.
select throws_ok($$update public.data_type_registry_v2 set stage = 'live' where data_type = 'profile'$$, 'SY023',
  'Cannot change the stage of "profile" from legacy to live with an UPDATE: its legacy jobs and flag would not follow',
  'an UPDATE moves nothing');
select lives_ok($$update public.data_type_registry_v2 set stage = stage$$, 'one that changes nothing is none');
select throws_ok($$update public.data_type_registry_v2 set stage_entered_at = stage_entered_at - interval '1 day' where data_type = 'profile'$$, 'SY023',
  'Cannot change stage_entered_at of "profile": the soak time counts from it', 'nor is the soak time shortened by one');
select throws_ok('truncate public.data_type_registry_v2 cascade', 'SY023', null, 'the registry cannot be truncated');

-- Gates and force.
select throws_ok($$select * from public.advance_migration_v2('horoscope')$$, 'SY008', null, 'an unknown type does not move');
select throws_ok($$select switchyard.set_stage('horoscope', 'live')$$, 'SY008', null, '… from inside neither');
select throws_ok($$select * from public.advance_migration_v2('profile', 'finished')$$, 'SY023',
  'Cannot move "profile" from legacy to "finished": wanted shadow', 'nor to an unknown stage');
create function pg_temp.hint(p_stage text) returns text language plpgsql as $$
declare
  v_hint text;
begin
  perform public.advance_migration_v2('profile', p_stage);
  return 'moved';
exception when others then
  get stacked diagnostics v_hint = pg_exception_hint;
  return v_hint;
end $$;
select is(pg_temp.hint('finished'), 'Leave the stage out for the next one', '… and the hint is no way back');
select results_eq(
  $$select data_type, from_stage, to_stage, moved, overridden, missing, hint from public.advance_migration_v2('profile')$$,
  $$values ('profile', 'legacy', 'shadow', true, '{}'::text[], '{}'::text[], null::text)$$, 'without a stage it moves to the next');
select is(pg_temp.stage(), 'shadow off', '… and is there');
select results_eq(
  $$select from_stage, to_stage, moved, overridden, missing from public.advance_migration_v2('profile', 'shadow')$$,
  $$values ('shadow', 'shadow', false, '{}'::text[], '{}'::text[])$$, 'to where it is it moves again, and nothing changes');
select throws_ok($$select * from public.advance_migration_v2('profile', 'legacy')$$, 'SY023',
  'Cannot move "profile" from shadow to "legacy": wanted canary', 'the way back is another one');
select results_eq(
  $$select from_stage, to_stage, moved, overridden, missing, hint from public.advance_migration_v2('profile')$$,
  $$values ('shadow', 'canary', false, '{}'::text[],
      array['flags: use_queue_system off, use_new_staleness_check off, wanted both on, its cron jobs active, claims open',
            'soak_time: 0 s, wanted 24 h', 'sample: 0 comparisons, wanted 100 comparisons',
            'match_rate: no comparison, wanted 99.5 %'],
      'See select * from migration_gates_v2(''profile'', ''canary'')')$$,
  'gates that do not hold keep it, and are told with what was found, what is wanted, and where to look');
select results_eq(
  $$select from_stage, to_stage, forced, changed_by, detail -> 'missing' ->> 1, jsonb_array_length(detail -> 'gates')
      from switchyard.migration_events where kind = 'refusal' order by id desc limit 1$$,
  $$values ('shadow', 'canary', false, 'postgres', 'soak_time: 0 s, wanted 24 h', 10)$$, '… which is written down with who asked');
select results_eq(
  $$select v.gate, v.holds, v.numbers ->> 'wanted_seconds' from switchyard.gate_verdicts as v
      join switchyard.migration_events as e on e.id = v.migration_event_id
     where e.kind = 'refusal' and v.gate in ('soak_time', 'quota') order by v.gate$$,
  $$values ('quota', true, null), ('soak_time', false, '86400')$$, '… beside the verdicts of all gates and their numbers');
select is(pg_temp.stage(), 'shadow off', '… and it stays');
select throws_ok($$select * from public.advance_migration_v2('profile', p_force := true)$$, 'SY025',
  'Cannot force "profile" to canary: no reason was given', 'force wants a reason');
select throws_ok($$select * from public.advance_migration_v2('profile', null, true, '  ')$$, 'SY025', null, '… that says something');
select results_eq(
  $$select to_stage, moved, overridden from public.advance_migration_v2('profile', null, true, 'rehearsal')$$,
  $$values ('canary', true, array['flags', 'soak_time', 'sample', 'match_rate'])$$, 'with one it moves, and tells what it overrode');
select results_eq(
  $$select from_stage, to_stage, forced, automatic, reason, changed_by, detail -> 'overridden' ->> 1
      from switchyard.migration_events where kind = 'stage' order by id desc limit 1$$,
  $$values ('shadow', 'canary', true, false, 'rehearsal', 'postgres', 'soak_time')$$, '… which is written down with who and why');
select results_eq(
  $$select v.gate, v.holds from switchyard.gate_verdicts as v
      join switchyard.migration_events as e on e.id = v.migration_event_id
     where e.kind = 'stage' and e.to_stage = 'canary' and v.gate in ('soak_time', 'quota') order by v.gate$$,
  $$values ('quota', true), ('soak_time', false)$$, '… beside the verdicts of all gates');
select is((select canary_percent from public.data_type_registry_v2 where data_type = 'profile'), 5,
  'canary begins with a share');
select is((select jsonb_array_length(detail -> 'gates') from switchyard.migration_events order by id desc limit 1), 10,
  'the event holds the gates too');
update public.data_type_registry_v2 set table_name = 'no_such_table' where data_type = 'profile';
select results_eq(
  $$select moved, overridden, cardinality(missing), missing[1] ~ '^registry: ', hint
      from public.advance_migration_v2('profile', null, true, 'I insist')$$,
  $$values (false, '{}'::text[], 1, true, 'The gate registry cannot be forced; see select * from registry_problems_v2')$$,
  'a broken registry row cannot be forced: nobody would refresh it');
update public.data_type_registry_v2 set table_name = 'profiles' where data_type = 'profile';
select results_eq(
  $$select to_stage from public.advance_migration_v2('profile', 'retired', true, 'rehearsal')$$, $$values ('retired')$$,
  'force may leave a stage out');
select is(pg_temp.stage(), 'retired on', 'the flag is on in live and retired');
select results_eq($$select to_stage, overridden from public.advance_migration_v2('profile')$$,
  $$values ('retired', '{}'::text[])$$, 'after retired nothing comes');

-- The way back.
select results_eq($$select data_type, from_stage from public.rollback_migration_v2('profile', 'done')$$,
  $$values ('profile', 'retired')$$, 'from everywhere it goes back to legacy');
select is(pg_temp.stage(), 'legacy off', '… and its flag is off');
select results_eq($$select from_stage, cancelled_jobs, legacy_jobs from public.rollback_migration_v2('profile')$$,
  $$values ('legacy', 0, '[]'::jsonb)$$, 'twice does no harm');
select is((select count(*) from switchyard.migration_events where to_stage = 'legacy'), 1::bigint, '… and is no event');
select is((select canary_percent from public.data_type_registry_v2 where data_type = 'profile'), 5, 'the share stays for the next time');
select throws_ok($$select * from public.rollback_migration_v2('horoscope')$$, 'SY008', null, 'an unknown type has no way back');

-- The row and its flag.
insert into public.data_type_registry_v2
select (jsonb_populate_record(r, '{"data_type": "copy-of-it", "legacy_cron_jobs": [], "edge_function_name": null}')).*
  from public.data_type_registry_v2 as r where r.data_type = 'profile';
select is(pg_temp.stage('copy-of-it'), 'legacy off', 'a new data type has its flag, off');
select throws_ok($$delete from public.feature_flags where flag_name = 'use_queue_for_copy-of-it'$$, 'SY003', null,
  'the flag cannot go alone');
select throws_ok($$update public.feature_flags set flag_name = 'x' where flag_name = 'use_queue_for_copy-of-it'$$, 'SY003', null,
  '… nor get another name');
select throws_ok($$insert into public.feature_flags (flag_name) values ('use_queue_for_horoscope')$$, 'SY003',
  'Cannot make feature flag "use_queue_for_horoscope": it comes with the row of its data type, and off',
  'there is no flag without its data type');
update public.data_type_registry_v2 set data_type = 'renamed' where data_type = 'copy-of-it';
select is(pg_temp.stage('renamed'), 'legacy off', 'the flag follows a renaming');
select is_empty($$select 1 from public.feature_flags where flag_name = 'use_queue_for_copy-of-it'$$, '… and the old one is gone');
select switchyard.set_stage('renamed', 'canary');
select throws_ok($$delete from public.data_type_registry_v2 where data_type = 'renamed'$$, 'SY023',
  'Cannot remove data type "renamed": it is in stage canary', 'from canary on it cannot be removed');
select throws_ok($$update public.data_type_registry_v2 set data_type = 'x' where data_type = 'renamed'$$, 'SY023', null, '… nor renamed');
select switchyard.set_stage('renamed', 'legacy');
select lives_ok($$delete from public.data_type_registry_v2 where data_type = 'renamed'$$, 'in legacy it can');
select is_empty($$select 1 from public.feature_flags where flag_name = 'use_queue_for_renamed'$$, '… and its flag goes with it');

select is(switchyard.next_stage('legacy') || switchyard.next_stage('canary'), 'shadowlive', 'next_stage names the stage after');
select is(switchyard.next_stage('retired'), null, '… and none after the last');
select is(switchyard.stage_rank('legacy') < switchyard.stage_rank('retired'), true, 'stages have an order');
select is(switchyard.is_served_by_queue('profile'), false, 'in legacy the queue serves no type');
select lives_ok('select switchyard.lock_migration()', 'the lock may be taken twice');

select * from finish();
rollback;
