-- Each gate: when it holds and when not, with the numbers that it saw.
begin;
select plan(95);

-- A few seconds are none: a slow machine takes them.
create function pg_temp.gate(p_gate text, p_to_stage text default 'live', p_data_type text default 'profile')
returns text language sql as $$
  select case when g.holds then 'holds: ' else 'does not hold: ' end
         || regexp_replace(g.found, '\m[1-9] s\M', '0 s') || ' / ' || g.wanted
    from switchyard.check_gates(p_data_type, p_to_stage) as g where g.gate = p_gate
$$;
-- Through the queue; p_ago as if it had been then.
create function pg_temp.finish(p_count integer, p_status text default 'completed', p_source text default 'scheduled',
  p_ago interval default '0', p_code text default 'test') returns void language plpgsql as $$
declare
  v_since timestamptz := clock_timestamp();
begin
  perform switchyard.enqueue_jobs(
    array_agg('GA-' || n), array_agg('profile'::text), array_agg(case p_source when 'manual' then 9000 else 0 end), p_source)
    from generate_series(1, p_count) as n;
  perform switchyard.conclude_jobs(array_agg((
      q.id, p_status, p_status, 0, null, case when p_status = 'failed' then jsonb_build_object('code', p_code) end, 0, 0, 0)::switchyard.job_conclusion))
    from switchyard.api_call_queue_v2_live as q where q.data_type = 'profile';
  update switchyard.job_outcomes set finished_at = finished_at - p_ago where finished_at > v_since;
end $$;
create function pg_temp.settings(p_settings jsonb) returns void language sql as $$
  update public.data_type_registry_v2 set gate_settings = p_settings where data_type = 'profile'
$$;
create function pg_temp.since(p_ago interval) returns void language sql as $$
  select set_config('switchyard.moves_stage', 'profile', true);
  update public.data_type_registry_v2 set stage_entered_at = clock_timestamp() - p_ago where data_type = 'profile';
  update switchyard.migration_events set occurred_at = occurred_at - interval '30 days' where kind = 'flags';
  select set_config('switchyard.moves_stage', '', true)
$$;
create function pg_temp.sample(p_max double precision, p_p95 double precision, p_stage text default 'canary', p_ago interval default '0')
returns void language sql as $$
  insert into switchyard.freshness_samples (
    data_type, sampled_at, stage, symbols_known, left_out, rows, stale_rows, very_stale_rows, p95_age_seconds, max_age_seconds, duration_ms)
  values ('profile', clock_timestamp() - p_ago, p_stage, 10, 0, 10, 0, 0, p_p95, p_max, 1)
$$;

select is(switchyard.in_words(45) || ', ' || switchyard.in_words(5400) || ', ' || switchyard.in_words(11400)
            || ', ' || switchyard.in_words(86400) || ', ' || switchyard.in_words(187200) || ', ' || switchyard.in_words(172800),
  '45 s, 90 min, 3 h 10 min, 24 h, 2 d 4 h, 2 d', 'times are told as people say them');
select is(switchyard.percent(0.98214), '98.2 %', '… and shares');
select results_eq(
  $$select stage, switchyard.gates_for(stage) from unnest(array['legacy', 'shadow', 'retired']) with ordinality as s (stage, n) order by n$$,
  $$values ('legacy', '{}'::text[]), ('shadow', array['registry', 'legacy_jobs']),
           ('retired', array['registry', 'flags', 'stage', 'legacy_jobs', 'soak_time', 'sample', 'error_rate', 'empty_rate', 'freshness', 'queue_depth', 'alerts'])$$,
  'each stage has its gates');

-- registry
select is(pg_temp.gate('registry'), 'holds: no problem / no problem', 'registry holds without a problem');
update public.data_type_registry_v2 set table_name = 'no_such_table' where data_type = 'profile';
select matches(pg_temp.gate('registry'), '^does not hold: Table public.no_such_table does not exist', '… and not with one');
update public.data_type_registry_v2 set table_name = 'profiles' where data_type = 'profile';

-- flags
select is(pg_temp.gate('flags'),
  'does not hold: use_queue_system off, use_new_staleness_check off / both on, its cron jobs active, claims open', 'flags wants both on');
update public.feature_flags set enabled = true where flag_name in ('use_queue_system', 'use_new_staleness_check');
select is(pg_temp.gate('flags'),
  'holds: use_queue_system on, use_new_staleness_check on / both on, its cron jobs active, claims open', '… and holds then');
select cron.alter_job(jobid, active := false) from cron.job where jobname = 'check-stale-data-v2';
select matches(pg_temp.gate('flags'), '^does not hold: .*, cron job "check-stale-data-v2" is not active', '… unless a cron job does not run');
select cron.alter_job(jobid, active := true, command := 'select 1') from cron.job where jobname = 'check-stale-data-v2';
select matches(pg_temp.gate('flags'), '^does not hold: .*, cron job "check-stale-data-v2" was changed', '… or does something else');
select switchyard.set_stage('quote', 'live');
select results_eq($$select bool_and(active) from switchyard.legacy_jobs where 'quote' = any (data_types)$$, 'values (true)',
  '… and then the legacy jobs of a type that goes live go on');
select switchyard.set_stage('quote', 'legacy');
select switchyard.schedule_cron_jobs();
select is(pg_temp.gate('flags'),
  'holds: use_queue_system on, use_new_staleness_check on / both on, its cron jobs active, claims open', '… until all are scheduled anew');

select public.pause_data_type_v2('profile');
select matches(pg_temp.gate('flags'), '^does not hold: .*, the data type is paused', '… nor while the data type is paused');
select public.pause_data_type_v2('profile', false);
select switchyard.hold_provider('fmp', 60, 'test');
select matches(pg_temp.gate('flags'), '^does not hold: .*, on hold until .*: test', '… nor while the vendor refuses');
update public.api_providers_v2 set hold_until = null;

-- stage, legacy_jobs
select is(pg_temp.gate('stage'), 'does not hold: legacy / canary', 'stage wants the one before');
select switchyard.set_stage('profile', 'canary');
select is(pg_temp.gate('stage'), 'holds: canary / canary', '… and holds there');
select is(pg_temp.gate('legacy_jobs'), 'holds: "hourly-fetch-fmp-profiles" / each belongs to postgres, and does nothing else',
  'legacy_jobs tells the jobs');
select is(pg_temp.gate('legacy_jobs', 'live', 'shares-float-all'),
  'holds: "daily-fetch-fmp-shares-float" (shared with shares-float) / each belongs to postgres, and does nothing else',
  '… and what they are shared with');
select cron.alter_job(jobid, command := 'select 1') from cron.job where jobname = 'daily-fetch-fmp-shares-float';
update public.data_type_registry_v2 set legacy_cron_jobs = '{daily-fetch-fmp-shares-float}' where data_type = 'shares-float';
select is(pg_temp.gate('legacy_jobs', 'shadow', 'shares-float'),
  'holds: "daily-fetch-fmp-shares-float" (by its name alone: calls none of fetch-fmp-shares-float) / one that the registry names is there, or it names none',
  '… and which of them are legacy jobs by their names alone');

-- soak_time
select is(pg_temp.gate('soak_time'), 'does not hold: 0 s / 24 h', 'soak_time counts from the entry');
select pg_temp.since('23 hours 59 minutes');
select is(pg_temp.gate('soak_time'), 'does not hold: 23 h 59 min / 24 h', '… to the minute');
select pg_temp.since('24 hours');
select is(pg_temp.gate('soak_time'), 'holds: 24 h / 24 h', '… and holds');
update public.feature_flags set enabled = false where flag_name = 'use_queue_system';
update public.feature_flags set enabled = true where flag_name = 'use_queue_system';
select is(pg_temp.gate('soak_time'), 'does not hold: 0 s since the queue was switched / 24 h', 'what passed before the queue was switched on does not count');
select pg_temp.since('-3 hours');
select is(pg_temp.gate('soak_time'), 'does not hold: 0 s / 24 h', 'a clock that was set back makes it short, never negative');
select pg_temp.settings('{"soak_hours": 0}');
select is(pg_temp.gate('soak_time'), 'holds: 0 s / 0 s', 'a type may have its own');
select pg_temp.since('1 hour');

-- sample: in canary one completed job for each symbol of the share.
update public.supported_symbols set is_active = false;
insert into public.supported_symbols (symbol) select 'GA-' || n from generate_series(1, 400) as n;
update public.data_type_registry_v2 set canary_percent = 100 where data_type = 'profile';
select is(pg_temp.gate('sample'), 'does not hold: 0 completed jobs / 100 completed jobs', 'sample wants a hundred');
update public.data_type_registry_v2 set canary_percent = 0 where data_type = 'profile';
select is(pg_temp.gate('sample'), 'does not hold: 0 completed jobs / 5 completed jobs', '… of no share five, which never come');
update public.data_type_registry_v2 set canary_percent = 5 where data_type = 'profile';
select matches(pg_temp.gate('sample'), '^does not hold: 0 completed jobs / ([6-9]|[1-3][0-9]) completed jobs$', '… of a small share one of each symbol');
update public.data_type_registry_v2 set canary_percent = 100 where data_type = 'profile';
select pg_temp.finish(60);
select pg_temp.finish(60, 'completed', 'manual');
select pg_temp.finish(60, 'completed', 'scheduled', '2 hours');
select is(pg_temp.gate('sample'), 'does not hold: 60 completed jobs / 100 completed jobs', 'neither manual jobs count nor those of an earlier stage');
select pg_temp.finish(60);
select is(pg_temp.gate('sample'), 'holds: 100 completed jobs / 100 completed jobs', 'enough is enough');
create temp table outcomes as select * from switchyard.job_outcomes;
delete from switchyard.job_outcomes;
select is(pg_temp.gate('sample'), 'does not hold: 0 completed jobs / 100 completed jobs', 'outcomes are forgotten after some days');
insert into switchyard.refresh_state (symbol, data_type, last_checked_at) select 'GA-' || n, 'profile', clock_timestamp() from generate_series(1, 100) as n;
select is(pg_temp.gate('sample'), 'holds: 100 completed jobs / 100 completed jobs', '… unless as many symbols were refreshed in this stage, whose jobs are forgotten');
select is((select switchyard.refreshed_symbols('profile', clock_timestamp() - interval '1 hour', 50)), 50, '… counted no further than need be');
delete from switchyard.refresh_state;
insert into switchyard.job_outcomes select * from outcomes;
select is((select switchyard.share_symbols(r, 1000) from public.data_type_registry_v2 as r where data_type = 'profile'), 400,
  'the share is counted over the known symbols');
select is(pg_temp.gate('sample', 'live', 'exchange-rates'), 'does not hold: 0 completed jobs / 5 completed jobs', 'a global type wants five');
update public.data_type_registry_v2 set gate_settings = '{"least_sample": 20, "least_sample_global": 3}' where data_type = 'exchange-rates';
select is(pg_temp.gate('sample', 'live', 'exchange-rates'), 'does not hold: 0 completed jobs / 3 completed jobs', '… or what it says of its own');
update public.data_type_registry_v2 set gate_settings = '{"least_sample": 4}' where data_type = 'exchange-rates';
select is(pg_temp.gate('sample', 'live', 'exchange-rates'), 'does not hold: 0 completed jobs / 4 completed jobs', '… in either word');
update public.data_type_registry_v2 set default_ttl_minutes = 1440, gate_settings = '{}' where data_type = 'exchange-rates';
select is(pg_temp.gate('sample', 'live', 'exchange-rates'), 'does not hold: 0 completed jobs / 5 completed jobs', 'of a daily type there are as many while outcomes are kept');
update public.data_type_registry_v2 set default_ttl_minutes = 4320 where data_type = 'exchange-rates';
select is(pg_temp.gate('sample', 'live', 'exchange-rates'), 'does not hold: 0 completed jobs / 1 completed jobs', 'of one that is refreshed every third day there are not');
update public.data_type_registry_v2 set default_ttl_minutes = 360 where data_type = 'exchange-rates';

-- error_rate
select is(pg_temp.gate('error_rate'), 'holds: 0.0 % (0 of 120 jobs) / at most 2.0 %', 'error_rate counts finished jobs of this stage');
select pg_temp.finish(2, 'failed');
select pg_temp.finish(50, 'failed', 'scheduled', '0', 'cancelled');
select is(pg_temp.gate('error_rate'), 'holds: 1.6 % (2 of 122 jobs) / at most 2.0 %', 'cancelled ones are no failures');
select pg_temp.finish(1, 'failed');
select is(pg_temp.gate('error_rate'), 'does not hold: 2.4 % (3 of 123 jobs) / at most 2.0 %', '… and too many are too many');
select pg_temp.settings('{"soak_hours": 0, "error_rate": 0.05}');
select is(pg_temp.gate('error_rate'), 'holds: 2.4 % (3 of 123 jobs) / at most 5.0 %', 'a type may allow more');
select is(pg_temp.gate('error_rate', 'live', 'quote'), 'holds: no finished job / at most 2.0 %', 'no job is no failure: sample is for that');
select results_eq($$select finished, failed from switchyard.recent_outcomes('profile', clock_timestamp() - interval '10 hours')$$,
  'values (183, 3)', 'recent_outcomes counts since any time');

-- freshness
select is(pg_temp.gate('freshness'), 'does not hold: no sample in the last 5 minutes / oldest at most 2 h, no baseline was recorded',
  'freshness wants a sample');
select pg_temp.sample(1, 1, 'canary', '-1 hour');
select matches(pg_temp.gate('freshness'), '^does not hold: no sample in the last 5 minutes', '… not one from before the clock was set back');
select pg_temp.sample(7300, 3000, 'canary', '1 minute');
select is(pg_temp.gate('freshness'),
  'does not hold: oldest 2 h 1 min, 95 % within 50 min / oldest at most 2 h, no baseline was recorded', 'no symbol may be older than two TTLs');
select pg_temp.sample(7100, 3000);
select is(pg_temp.gate('freshness'),
  'holds: oldest 118 min, 95 % within 50 min / oldest at most 2 h, no baseline was recorded', 'the latest sample counts');
select pg_temp.sample(4000, 4000, 'legacy', '2 days');
select is(pg_temp.gate('freshness'), 'holds: oldest 118 min, 95 % within 50 min / oldest at most 2 h, 95 % within 83 min',
  '… and is compared with the baseline, with slack');
select pg_temp.sample(7100, 5100);
select is(pg_temp.gate('freshness'), 'does not hold: oldest 118 min, 95 % within 85 min / oldest at most 2 h, 95 % within 83 min',
  'worse than the baseline is too old');
select pg_temp.settings('{"soak_hours": 0, "baseline_slack": 2, "most_age_ttls": 1}');
select is(pg_temp.gate('freshness'), 'does not hold: oldest 118 min, 95 % within 85 min / oldest at most 60 min, 95 % within 2 h 13 min',
  'a type may have its own measure');
select pg_temp.settings('{"soak_hours": 0, "baseline_slack": 2}');

update switchyard.freshness_samples set rows = 7, very_stale_rows = 1 where data_type = 'profile' and stage = 'canary';
select is(pg_temp.gate('freshness'),
  'does not hold: oldest 118 min, 95 % within 85 min, 1 of unknown age, 3 of 10 symbols without rows / oldest at most 2 h, 95 % within 2 h 13 min, at most 2.0 % without rows',
  'nor may symbols lack their rows, or their rows a time');
update switchyard.freshness_samples set rows = 7, very_stale_rows = 0 where data_type = 'profile';
select is(pg_temp.gate('freshness'),
  'holds: oldest 118 min, 95 % within 85 min, 3 of 10 symbols without rows / oldest at most 2 h, 95 % within 2 h 13 min, at most 30.0 % without rows',
  '… unless they lacked them under the legacy jobs too');
update switchyard.freshness_samples set rows = 0, max_age_seconds = null, p95_age_seconds = null where data_type = 'profile';
select is(pg_temp.gate('freshness'),
  'does not hold: 10 of 10 symbols without rows / oldest at most 2 h, no age in the baseline, at most 100.0 % without rows',
  '… but where nothing has rows nothing is fresh');
update switchyard.freshness_samples set left_out = 10 where data_type = 'profile';
select is(pg_temp.gate('freshness'), 'does not hold: no row that counts / oldest at most 2 h, no baseline was recorded', 'nor where no row counts');
update public.data_type_registry_v2 set condition_function = 'is_exchange_open_v2' where data_type = 'profile';
select is(pg_temp.gate('freshness'), 'holds: no row that counts / oldest at most 2 h, no baseline was recorded', '… unless they are left out because their exchange is closed');
update public.data_type_registry_v2 set condition_function = null where data_type = 'profile';
update switchyard.freshness_samples set symbols_known = 0, left_out = 0 where data_type = 'profile';
select is(pg_temp.gate('freshness'), 'holds: no row that counts / oldest at most 2 h, no baseline was recorded', '… or nobody looks at any');

-- empty_rate
delete from switchyard.freshness_samples;
select is(pg_temp.gate('empty_rate'), 'does not hold: no sample in the last 5 minutes / at most 10.0 %', 'empty_rate wants a sample');
select is((select l.sampled_at from public.data_type_registry_v2 as r cross join lateral switchyard.latest_sample(r) as l where r.data_type = 'profile'),
  null, '… of now');
select pg_temp.sample(1, 1);
select is(pg_temp.gate('empty_rate'), 'holds: 0.0 % (0 of 10 symbols) / at most 10.0 %', '… and holds while the vendor has something for all');
update switchyard.freshness_samples set emptied = 1;
select is(pg_temp.gate('empty_rate'), 'holds: 10.0 % (1 of 10 symbols) / at most 10.0 %', '… or for most');
update switchyard.freshness_samples set emptied = 2;
select is(pg_temp.gate('empty_rate'), 'does not hold: 20.0 % (2 of 10 symbols) / at most 10.0 %', '… and not for many');
update switchyard.freshness_samples set emptied = 0, rows = 0, left_out = 10;
select is(pg_temp.gate('empty_rate'), 'holds: no row that counts / at most 10.0 %', '… where no row counts freshness tells');

-- queue_depth, quota, alerts
select is(pg_temp.gate('queue_depth'), 'holds: 0 due jobs / at most 1000 due jobs', 'queue_depth holds while nothing is due');
select pg_temp.settings('{"soak_hours": 0, "baseline_slack": 2, "error_rate": 0.05, "most_pending": 2}');
insert into public.api_call_queue_v2 (symbol, data_type) select 'GA-' || n, 'profile' from generate_series(1, 3) as n;
select is(pg_temp.gate('queue_depth'), 'does not hold: more than 2 due jobs / at most 2 due jobs', '… and not while too many are');
update public.api_call_queue_v2 set delayed = true, run_after = clock_timestamp() + interval '1 hour' where symbol = 'GA-1' and finished_at = 'infinity';
select is(pg_temp.gate('queue_depth'), 'holds: 2 due jobs / at most 2 due jobs', 'what is not due does not count');
select is(pg_temp.gate('quota'), 'holds: 0.0 % of the bytes of 30 days used / at most 90.0 %', 'quota holds with room left');
insert into public.api_data_usage_v2 (provider, data_type, hour, calls, bytes)
select 'fmp', 'profile', date_trunc('hour', now(), 'UTC'), 1, 18000000000;
select is(pg_temp.gate('quota'), 'does not hold: 94.7 % of the bytes of 30 days used / at most 90.0 %', '… and not without');
update public.api_providers_v2 set bytes_per_30_days = null where provider = 'fmp';
select is(pg_temp.gate('quota'), 'does not hold: the quota of "fmp" is unknown / at most 90.0 %', 'an unknown quota is none');
update public.api_providers_v2 set bytes_per_30_days = 20000000000 where provider = 'fmp';
delete from public.api_data_usage_v2;
create temp table opened as select switchyard.open_alert('test', 'critical', 'profile', 'something is on fire') as id;
select is(switchyard.open_alert('test', 'critical', 'profile', 'still on fire'), (select id from opened), 'the same cause opens no second alert');
select matches(pg_temp.gate('alerts'), '^does not hold: \d+: still on fire / no open critical alert$', 'alerts does not hold while a critical one is open');
select is(pg_temp.gate('alerts', 'live', 'quote'), 'holds: no open critical alert / no open critical alert', '… of another type it does');
select is(public.resolve_alert_v2(id, 'put out'), true, 'an alert is resolved') from opened;
select is(public.resolve_alert_v2(id), false, '… once') from opened;
select throws_ok('select public.resolve_alert_v2(0)', 'SY016',
  'Cannot resolve alert 0: there is none, wanted the id of an open alert', 'an alert that there is not is not resolved');
select results_eq($$select note, resolved_at is not null from switchyard.alerts$$, $$values ('put out', true)$$, '… with a note');
select is(pg_temp.gate('alerts'), 'holds: no open critical alert / no open critical alert', '… and no longer in the way');
select switchyard.open_alert('test', 'warning', 'profile', 'smoke');
select is(pg_temp.gate('alerts'), 'holds: no open critical alert / no open critical alert', 'a warning is not either');

-- match_rate
select switchyard.set_stage('profile', 'shadow');
update public.data_type_registry_v2 set fetcher = 'edge-function', edge_function_name = 'fetch-fmp-profiles' where data_type = 'profile';
select is(pg_temp.gate('match_rate', 'canary') || ', ' || pg_temp.gate('sample', 'canary'),
  (select string_agg('holds: nothing to compare: its Edge Function writes the rows itself / nothing', ', ') from generate_series(1, 2)),
  'where the queue calls the legacy function itself there is nothing to compare');
update public.data_type_registry_v2 set fetcher = 'profile' where data_type = 'profile';
select is(pg_temp.gate('match_rate', 'canary') || ', ' || pg_temp.gate('sample', 'canary'),
  'does not hold: no comparison / 99.5 %, does not hold: 0 comparisons / 100 comparisons', 'without comparisons nothing matches');
insert into switchyard.shadow_results (data_type, symbol, fetched_at, compared_at, verdict)
select 'profile', 'GA-' || n, clock_timestamp(), clock_timestamp(), case when n = 200 then 'mismatch' when n > 200 then 'inconclusive' else 'match' end
  from generate_series(1, 250) as n;
select is(pg_temp.gate('match_rate', 'canary') || ', ' || pg_temp.gate('sample', 'canary'),
  'holds: 99.5 % (199 of 200), 50 inconclusive beside them / 99.5 %, 5.0 % of all conclusive, holds: 200 comparisons / 100 comparisons',
  'verdicts count, inconclusive ones do not');
insert into switchyard.shadow_results (data_type, symbol, fetched_at, compared_at, verdict)
select 'profile', 'GB-' || n, clock_timestamp(), clock_timestamp(), 'inconclusive' from generate_series(1, 3750) as n;
select is(pg_temp.gate('match_rate', 'canary'),
  'holds: 99.5 % (199 of 200), 3800 inconclusive beside them / 99.5 %, 5.0 % of all conclusive', '… as long as enough say something');
insert into switchyard.shadow_results (data_type, symbol, fetched_at, compared_at, verdict)
values ('profile', 'GB-0', clock_timestamp(), clock_timestamp(), 'inconclusive');
select matches(pg_temp.gate('match_rate', 'canary'), '^does not hold: 99.5 % \(199 of 200\), 3801 inconclusive', '… one more is one too many');
select pg_temp.settings(gate_settings || '{"conclusive_rate": 0.01}') from public.data_type_registry_v2 where data_type = 'profile';
select matches(pg_temp.gate('match_rate', 'canary'), '^holds: ', '… unless a type may have more');

-- As people ask.
select results_eq(
  $$select gate, holds, hint is null from public.migration_gates_v2('profile') order by gate$$,
  $$values ('alerts', true, true), ('error_rate', true, true), ('flags', true, true), ('match_rate', true, true), ('queue_depth', true, true),
           ('quota', true, true), ('registry', true, true), ('sample', true, true), ('soak_time', true, true), ('stage', true, true)$$,
  'migration_gates_v2 looks at those before the next stage');
select results_eq(
  $$select to_stage, holds, numbers ->> 'matches' from switchyard.gate_verdicts where gate = 'match_rate'$$,
  $$values ('canary', true, '199')$$, '… and keeps what it saw');
select public.migration_gates_v2('profile');
select is((select count(*) from switchyard.gate_verdicts where gate = 'match_rate'), 1::bigint, '… once a minute');
select switchyard.open_alert('test', 'critical', null, 'all is on fire');
select public.migration_gates_v2('profile');
select results_eq($$select holds from switchyard.gate_verdicts where gate = 'alerts' order by id$$, 'values (true), (false)',
  '… unless a verdict changes');
select is((select count(*) from public.migration_gates_v2('profile', 'live')), 12::bigint, 'or before another');
select throws_ok($$select * from public.migration_gates_v2('profile', 'legacy')$$, 'SY023', null, 'there is no gate before legacy');

-- sample before retired: symbols, not jobs.
select switchyard.set_stage('profile', 'canary');
select switchyard.set_stage('profile', 'live');
select is(pg_temp.gate('sample', 'retired'), 'does not hold: 0 symbols refreshed by the queue / 100 symbols', 'before retired the queue has to have refreshed symbols');
insert into switchyard.refresh_state (symbol, data_type, last_checked_at, empty_until)
select 'GA-' || n, 'profile', clock_timestamp(), case when n = 100 then now() + interval '1 day' end from generate_series(1, 100) as n;
delete from switchyard.refresh_state where symbol = 'GA-1';
select is(pg_temp.gate('sample', 'retired'), 'does not hold: 99 symbols refreshed by the queue / 100 symbols', '… a hundred of them');
insert into switchyard.refresh_state (symbol, data_type, last_checked_at) values ('GA-1', 'profile', clock_timestamp());
select is(pg_temp.gate('sample', 'retired'), 'holds: 100 symbols refreshed by the queue / 100 symbols', '… and then it holds, also when the vendor has nothing for some');
update switchyard.migration_events set occurred_at = clock_timestamp() + interval '1 hour' where data_type = 'profile' and to_stage = 'canary';
select matches(pg_temp.gate('sample', 'retired'), '^does not hold: 0 symbols', '… what was refreshed before the canary does not count');
select switchyard.set_stage('exchange-rates', 'live');
select is(pg_temp.gate('sample', 'retired', 'exchange-rates'), 'does not hold: 0 symbols refreshed by the queue / 1 symbols', 'of a global type one');


select * from finish();
rollback;
