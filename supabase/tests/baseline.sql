-- The world before, recorded.
begin;
select plan(18);

create temp table recorded as select * from public.record_baseline_v2('before');
select is((select value from switchyard.settings where name = 'freshness_sampling'), '1'::jsonb, 'a recording starts the sampling of freshness');
select is((select count(*) from recorded where kind = 'job' and subject not like '%-v2'), 13::bigint, 'the cron jobs are recorded');
select is((select count(*) from recorded where kind = 'job' and subject like '%-v2'), 0::bigint, '… without Switchyard''s own');
select is((select value ->> 'schedule' from recorded where subject = 'hourly-fetch-fmp-profiles'), '0 * * * *', '… with their schedule');
select is((select value -> 'functions' from recorded where subject = 'hourly-fetch-fmp-profiles'), '["fetch-fmp-profiles"]', '… and the functions that they call');
select is((select count(*) from recorded where value::text ~ 'net.http_post'), 0::bigint, '… but not their command, which may hold a key');
select is((select value ->> 'command_md5' from recorded where subject = 'hourly-fetch-fmp-profiles'),
  (select md5(command) from cron.job where jobname = 'hourly-fetch-fmp-profiles'), '… of which a digest is kept');
select is((select (value ->> 'rows')::bigint from recorded where kind = 'rows' and subject = 'supported_symbols'), (select count(*) from public.supported_symbols), 'rows are counted');
select is((select count(*) from recorded where kind = 'rows'), 13::bigint, '… of each table once');
select is((select count(*) from recorded where kind = 'freshness'), (select count(*) from public.data_type_registry_v2), 'the freshness of each type is recorded');
select is((select count(*) from switchyard.baseline where notes = 'before'), (select count(*) from recorded), 'all is kept, with the notes');
insert into public.data_type_registry_v2 (data_type, table_name, symbol_column, timestamp_column, conflict_columns, default_ttl_minutes, provider, fetcher, estimated_data_size_bytes)
values ('no-table', 'no_table', 'symbol', 'refreshed_at', '{symbol}', 60, 'fmp', 'none', 1);
create temp table again as select * from public.record_baseline_v2();
select is((select count(*) from again where value ? 'problem'), 2::bigint, 'what cannot be read has its problem told');
select is((select count(*) from again), (select count(*) + 2 from recorded), '… and the rest is recorded');
select is((select count(distinct recorded_at) from switchyard.baseline), 2::bigint, 'recordings are kept beside each other');

-- What gates compare with.
delete from switchyard.baseline;
select is((select samples from switchyard.baseline_freshness('profile')), 0, 'without samples there is nothing to compare with');
insert into switchyard.freshness_samples (data_type, sampled_at, stage, symbols_known, left_out, rows, stale_rows, very_stale_rows, p50_age_seconds, p95_age_seconds, max_age_seconds, duration_ms)
select 'profile', now() - make_interval(mins => n), case when n > 100 then 'live' else 'legacy' end, 10, 0, 5, 5, 0, n, n * 10, n * 20, 1 from generate_series(1, 200) as n;
select results_eq($$select p95_age_seconds, max_age_seconds, share_without_rows, samples from switchyard.baseline_freshness('profile')$$,
  $$values (950::float8, 1900::float8, 0.5::float8, 100)$$, 'the baseline is almost the worst of the samples under the legacy jobs');
insert into switchyard.baseline (kind, subject, value) select 'freshness', 'profile', to_jsonb(f) from switchyard.freshness_samples as f where f.data_type = 'profile' and f.p50_age_seconds = 100;
delete from switchyard.freshness_samples;
select results_eq($$select p95_age_seconds, samples from switchyard.baseline_freshness('profile')$$, $$values (1000::float8, 1)$$, 'recordings stay when the samples are gone');
select ok((select since <= clock_timestamp() from switchyard.baseline_freshness('profile')), '… with their time');

select * from finish();
rollback;
