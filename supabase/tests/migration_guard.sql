-- The guard: what breaks a gate in canary and live goes back by itself.
begin;
select plan(56);

create function pg_temp.finish(p_data_type text, p_count integer, p_status text, p_ago interval default '0') returns void language sql as $$
  insert into switchyard.job_outcomes (data_type, finished_at, completed, failed)
  select p_data_type, clock_timestamp() - p_ago, (p_status = 'completed')::integer, (p_status = 'failed')::integer
    from generate_series(1, p_count)
$$;
create function pg_temp.sample(p_data_type text, p_very_stale integer, p_ago interval) returns void language sql as $$
  insert into switchyard.freshness_samples (
    data_type, sampled_at, stage, symbols_known, left_out, rows, stale_rows, very_stale_rows, p95_age_seconds, max_age_seconds, duration_ms)
  values (p_data_type, clock_timestamp() - p_ago, 'live', 110, 10, 100, p_very_stale, p_very_stale, 1, 1, 1)
$$;
create function pg_temp.stage(p_data_type text) returns text language sql as $$
  select stage from public.data_type_registry_v2 where data_type = p_data_type
$$;
create function pg_temp.guard() returns text language sql as $$
  select string_agg(concat_ws(' ', data_type, action), ', ') from public.guard_migrations_v2()
$$;
create function pg_temp.entered(p_data_type text, p_at timestamptz) returns void language sql as $$
  select set_config('switchyard.moves_stage', p_data_type, true);
  update public.data_type_registry_v2 set stage_entered_at = p_at where data_type = p_data_type;
  select set_config('switchyard.moves_stage', '', true)
$$;
-- As if they had been there for long.
create function pg_temp.put(p_data_type text, p_stage text) returns void language sql as $$
  select switchyard.set_stage(p_data_type, p_stage);
  select pg_temp.entered(p_data_type, now() - interval '3 days')
$$;
update public.feature_flags set enabled = true where flag_name in ('use_queue_system', 'use_new_staleness_check');

select is(pg_temp.guard(), null, 'with all in legacy there is nothing to guard');
select pg_temp.put('profile', 'live');
select pg_temp.put('quote', 'canary');
select pg_temp.put('ratios-ttm', 'shadow');
select is(pg_temp.guard(), null, 'nor while all is well');

-- The error rate.
select pg_temp.finish('profile', 96, 'completed');
select pg_temp.finish('profile', 4, 'failed');
select is(pg_temp.guard(), null, 'four failures are no breach, whatever their share');
select pg_temp.finish('profile', 1, 'failed', '1 hour');
select is(pg_temp.guard(), null, '… an hour ago neither');
select pg_temp.finish('profile', 200, 'completed');
select pg_temp.finish('profile', 1, 'failed');
select is(pg_temp.guard(), null, 'five of three hundred are within the rate');
select pg_temp.finish('profile', 2, 'failed');
select is(pg_temp.guard(), 'profile rolled back from live: error_rate: 2.3 % (7 of 303 jobs), wanted at most 2.0 %',
  'seven are a breach: the type goes back');
select is(pg_temp.stage('profile'), 'legacy', '… is in legacy');
select results_eq($$select active from switchyard.legacy_jobs where 'profile' = any (data_types)$$, 'values (true)', '… with its legacy job running');
select results_eq(
  $$select automatic, forced, reason from switchyard.migration_events where data_type = 'profile' order by id desc limit 1$$,
  $$values (true, false, 'error_rate: 2.3 % (7 of 303 jobs), wanted at most 2.0 %')$$, '… and the event says that nobody did it');
select results_eq(
  $$select rule, severity, message from switchyard.alerts where resolved_at is null$$,
  $$values ('automatic_rollback', 'critical', '"profile" was rolled back from live: error_rate: 2.3 % (7 of 303 jobs), wanted at most 2.0 %. It stays in legacy until somebody has looked and run select resolve_alert_v2(<id>)')$$,
  '… and a critical alert is open');
select results_eq(
  $$select v.gate, v.holds, v.found, v.wanted, v.numbers
      from switchyard.gate_verdicts as v
      join switchyard.migration_events as e on e.id = v.migration_event_id
     where e.data_type = 'profile' and e.automatic and v.to_stage = 'legacy'$$,
  $$values ('error_rate', false, '2.3 % (7 of 303 jobs)', 'at most 2.0 %',
            '{"failed": 7, "finished": 303, "minutes": 5, "most": 0.02}'::jsonb)$$, '… and the verdict, with its numbers');
select results_eq($$select g.holds from switchyard.check_gates('profile', 'canary') as g where g.gate = 'alerts'$$, 'values (false)',
  '… which keeps it from coming back before somebody has looked');
select is(pg_temp.guard(), null, 'a second look does nothing');

-- A type that is refreshed seldom: its last jobs, as long as it still fails.
select pg_temp.put('exchange-rates', 'live');
select pg_temp.finish('exchange-rates', 4, 'failed', '5 hours');
select pg_temp.finish('exchange-rates', 10, 'completed', '6 hours');
select is(pg_temp.guard(), null, 'old failures alone are no breach');
select pg_temp.finish('exchange-rates', 1, 'failed');
select matches(pg_temp.guard(), '^exchange-rates rolled back from live: error_rate: 33.3 % \(5 of 15 jobs\)', 'one more today is');

-- What failed before the type came to its stage.
select pg_temp.finish('quote', 30, 'failed', '4 days');
select is(pg_temp.guard(), null, 'failures of an earlier stage do not count');

-- Freshness.
select pg_temp.sample('quote', 50, '30 seconds');
select pg_temp.sample('quote', 50, '90 seconds');
select pg_temp.sample('quote', 50, '150 seconds');
select is(pg_temp.guard(), null, 'three stale samples are not yet five minutes');
select pg_temp.sample('quote', 2, '210 seconds');
select is(pg_temp.guard(), null, 'four with one that is well are no breach');
delete from switchyard.freshness_samples where very_stale_rows = 2;
select pg_temp.sample('quote', 3, '215 seconds');
-- From before the clock was set back.
select pg_temp.sample('quote', 0, '-1 hour');
update public.data_type_registry_v2 set paused = true where data_type = 'quote';
select is(pg_temp.guard(), null, 'a type that somebody has paused is no breach');
update public.data_type_registry_v2 set paused = false where data_type = 'quote';
update public.api_providers_v2 set paused = true where provider = 'fmp';
select is(pg_temp.guard(), null, '… nor one whose provider is');
update public.api_providers_v2 set paused = false where provider = 'fmp';
update switchyard.freshness_samples set very_stale_rows = 51 where very_stale_rows = 3;
select is(pg_temp.guard(), null, '… nor one that is catching up');
update switchyard.freshness_samples set very_stale_rows = 3 where very_stale_rows = 51;
select is(pg_temp.guard(), 'quote rolled back from canary: freshness: 50 of 100 symbols older than 2 TTLs for 5 min, wanted at most 2.0 %',
  'four of five are: one may be missing');
select is(pg_temp.stage('quote'), 'legacy', '… and a canary goes back too');

-- Only an alert.
select pg_temp.put('shares-float', 'live');
update public.data_type_registry_v2 set gate_settings = '{"auto_rollback": false, "error_rate": 0}' where data_type = 'shares-float';
select pg_temp.finish('shares-float', 6, 'failed');
select is(pg_temp.guard(), 'shares-float alert: error_rate: 100.0 % (6 of 6 jobs), wanted at most 0.0 %', 'with auto_rollback off it tells alone');
select is(pg_temp.stage('shares-float'), 'live', '… and leaves the type where it is');
select is((select count(*) from switchyard.alerts where rule = 'breach' and resolved_at is null), 1::bigint, '… with an alert');
select isnt(pg_temp.guard(), null, '… and again');
select is((select count(*) from switchyard.alerts where rule = 'breach'), 1::bigint, '… which opens no second one');
create function pg_temp.breaches() returns bigint language sql as $$
  select count(*) from switchyard.gate_verdicts where data_type = 'shares-float' and to_stage = 'legacy'
$$;
select is(pg_temp.breaches(), 1::bigint, '… and keeps one verdict');
update switchyard.gate_verdicts set checked_at = checked_at - interval '2 minutes' where data_type = 'shares-float';
select isnt(pg_temp.guard(), null, '… however long it lasts');
select is(pg_temp.breaches(), 1::bigint, '… one for each alert');
select public.resolve_alert_v2((select id from switchyard.alerts where rule = 'breach'), 'seen');
select isnt(pg_temp.guard(), null, 'after somebody has resolved it');
select is(pg_temp.breaches(), 2::bigint, '… the next one keeps its own');

-- Verdicts.
select ok(exists (select 1 from switchyard.gate_verdicts where data_type = 'ratios-ttm' and to_stage = 'canary' and migration_event_id is null),
  'the verdicts of types on their way are kept');
select pg_temp.guard();
create temp table verdicts as select count(*) as number from switchyard.gate_verdicts;
select public.guard_migrations_v2();
select is((select count(*) from switchyard.gate_verdicts), (select number from verdicts), '… when they change, and only then');

-- Faults and left-overs.
select pg_temp.entered('ratios-ttm', now() + interval '10 years');
select is(pg_temp.guard(), 'shares-float alert: error_rate: 100.0 % (6 of 6 jobs), wanted at most 0.0 %', 'a clock far ahead breaks nothing');
insert into public.api_call_queue_v2 (symbol, data_type, source, priority)
values ('MG-1', 'profile', 'demand', 1000), ('MG-2', 'profile', 'manual', 9000), ('MG-1', 'shares-float', 'demand', 1000);
select matches(pg_temp.guard(), 'profile 1 jobs cancelled: the type is in stage legacy', 'jobs that came late for a type in legacy are cancelled');
select results_eq(
  $$select data_type, symbol from public.api_call_queue_v2 where symbol ~ '^MG-' and finished_at = 'infinity' order by 1, 2$$,
  $$values ('profile', 'MG-2'), ('shares-float', 'MG-1')$$, '… not those of a person, and not of other types');
select is(switchyard.cancel_pending_jobs('profile', true), 1, 'cancel_pending_jobs takes those too when asked');

-- Somebody has switched a v2 cron job off by hand.
update public.data_type_registry_v2 set gate_settings = '{}' where data_type = 'shares-float';
delete from switchyard.job_outcomes;
delete from public.api_call_queue_v2;
select pg_temp.put('profile', 'live');
select cron.alter_job(jobid, active := false) from cron.job where jobname = 'invoke-queue-processor-v2';
select is(pg_temp.guard(), 'legacy jobs run again, because the queue does not: 1', 'without the processor the legacy jobs take over');
select results_eq($$select active from switchyard.legacy_jobs where 'profile' = any (data_types)$$, 'values (true)', '… which run again');
select is((select count(*) from switchyard.alerts where rule = 'queue_rests' and data_type is null and resolved_at is null), 1::bigint,
  '… with a critical alert of the whole system');
select is(pg_temp.guard(), null, '… once');
select cron.alter_job(jobid, active := true) from cron.job where jobname = 'invoke-queue-processor-v2';
update public.feature_flags set enabled = false where flag_name = 'use_queue_system';
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select results_eq($$select active from switchyard.legacy_jobs where 'profile' = any (data_types)$$, 'values (false)',
  '… until the queue is switched on anew');

-- Or the job of the guard itself, which the freshness sample then misses.
select is(switchyard.report_resting_jobs(), null, 'all cron jobs run');
select is((select count(*) from switchyard.alerts where rule = 'cron_job_rests' and resolved_at is null), 0::bigint,
  'what the missing processor had opened is resolved');
select cron.alter_job(jobid, active := false) from cron.job where jobname = 'guard-migrations-v2';
select count(*) from public.sample_freshness_v2();
select results_eq(
  $$select severity, message from switchyard.alerts where rule = 'cron_job_rests' and resolved_at is null$$,
  $$values ('warning', 'Cron jobs do not run as they should though the queue is switched on: "guard-migrations-v2" is not active; run select switchyard.schedule_cron_jobs()')$$,
  'a guard that does not run is told by the freshness sample');
update switchyard.settings set value = '1' where name = 'freshness_sampling';
update public.feature_flags set enabled = false where flag_name = 'use_new_staleness_check';
select is(switchyard.report_resting_jobs(), null, 'with a flag off they rest on purpose, while freshness may still be sampled');
select is((select count(*) from switchyard.alerts where rule = 'cron_job_rests' and resolved_at is null), 0::bigint, '… and nothing is left open');
update public.feature_flags set enabled = true where flag_name = 'use_new_staleness_check';
select is(pg_temp.guard(), null, 'the guard runs again');
select is((select count(*) from switchyard.alerts where rule = 'cron_job_rests' and resolved_at is null), 0::bigint, '… and the alert is resolved');

-- A statement timeout, which no handler of others catches.
update switchyard.settings set value = '0' where name = 'freshness_sampling';
delete from switchyard.alerts;
select pg_temp.put('shares-float', 'live');
select pg_temp.finish('profile', 10, 'failed'), pg_temp.finish('shares-float', 10, 'failed');
create function pg_temp.wait_long() returns trigger language plpgsql as $$begin perform pg_sleep(100); return new; end$$;
create trigger wait_long before update of stage on public.data_type_registry_v2
  for each row when (old.data_type = 'profile') execute function pg_temp.wait_long();
create temp table done (data_type text, action text);
set local statement_timeout = '10s';
insert into done select data_type, action from public.guard_migrations_v2();
set local statement_timeout = 0;
drop trigger wait_long on public.data_type_registry_v2;
select is((select action from done where data_type = 'profile'), 'failed: canceling statement due to statement timeout', 'a rollback that takes too long is given up');
select matches((select message from switchyard.alerts where rule = 'rollback_failed' and severity = 'critical' and data_type = 'profile' and resolved_at is null),
  '^"profile" breaks a gate \(error_rate: .*\) and could not be rolled back: canceling statement due to statement timeout$', '… with a critical alert');
select is(pg_temp.stage('shares-float'), 'legacy', '… and the next type goes back all the same');
select matches(pg_temp.guard(), '^profile rolled back from live', '… as this one does a minute later');
select is((select count(*) from switchyard.alerts where rule = 'rollback_failed' and resolved_at is null), 0::bigint, '… which closes the alert');

select * from finish();
rollback;
