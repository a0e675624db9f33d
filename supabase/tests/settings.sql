-- What a person changes in the settings either works or says what would.
begin;
select plan(33);

create function pg_temp.set_setting(p_name text, p_value jsonb) returns void language sql as $$
  update switchyard.settings set value = p_value where name = p_name
$$;
create function pg_temp.complaint(p_name text, p_value jsonb) returns text language plpgsql as $$
declare
  v_detail text;
  v_hint text;
begin
  perform pg_temp.set_setting(p_name, p_value);
  return 'none';
exception when sqlstate 'SY017' then
  get stacked diagnostics v_detail = pg_exception_detail, v_hint = pg_exception_hint;
  return concat_ws(' | ', sqlerrm, v_detail, v_hint);
end
$$;

select is_empty(
  $$select name from switchyard.settings
     where name ~ '_(days|seconds|percent|failures|minute|share)$' and lowest is null
        or name !~ '^known_symbols_' and lowest is null$$,
  'every number has a range');
select is_empty(
  $$select name, complaint
      from switchyard.settings
     cross join unnest(array[lowest - 1, highest + 1, 1e30]) as v (value)
     cross join lateral pg_temp.complaint(name, to_jsonb(v.value)) as complaint
     where lowest is not null and complaint !~ '^Cannot set "[a-z_]+" to -?[0-9]+: wanted a (whole )?number from '$$,
  'no number beyond its range is taken');
select is(pg_temp.complaint('usage_retention_days', '1'),
  'Cannot set "usage_retention_days" to 1: wanted a whole number from 31 to 3650'
  ' | Hourly usage is kept for this many days; the byte quota looks back 30 and an hour'
  ' | Choose such a value; see select name, value, lowest, highest from switchyard.settings',
  'the error tells the value, the range, why, and what to do');
select throws_ok($$select pg_temp.set_setting('usage_retention_days', '30')$$, 'SY017', null,
  'usage is kept for as long as the quota looks back');
select throws_ok($$select pg_temp.set_setting('breaker_window_seconds', '99999')$$, 'SY017',
  'Cannot set "breaker_window_seconds" to 99999: wanted a whole number from 10 to 3600',
  'the breaker looks back no longer than attempts are kept');
select throws_ok($$select pg_temp.set_setting('oldest_slots_percent', '101')$$, 'SY017', null, 'a percent ends at 100');
select throws_ok($$select pg_temp.set_setting('breaker_failed_share', '1.01')$$, 'SY017', null, 'a share ends at 1');
select throws_ok($$select pg_temp.set_setting('event_retention_days', '7.5')$$, 'SY017',
  'Cannot set "event_retention_days" to 7.5: wanted a whole number from 1 to 3650', 'half a day is refused');
select throws_ok($$select pg_temp.set_setting('event_retention_days', '"7"')$$, 'SY017', null, 'so is a string');
select throws_ok($$select pg_temp.set_setting('event_retention_days', 'null')$$, 'SY017', null, 'and null');
select throws_ok($$select pg_temp.set_setting('event_retention_days', null)$$, 'SY017',
  'Cannot set "event_retention_days" to SQL null: wanted a whole number from 1 to 3650', '… of either kind');
select lives_ok($$update switchyard.settings set value = to_jsonb(lowest) where lowest is not null$$,
  'the lowest values are taken');
select lives_ok($$update switchyard.settings set value = to_jsonb(highest) where lowest is not null$$,
  'and the highest');
select is(switchyard.setting_integer('usage_retention_days'), 3650, '… and read as numbers');
select lives_ok($$select pg_temp.set_setting('breaker_failed_share', '0.25')$$, 'a share may be a fraction');

select lives_ok(
  $$update switchyard.settings set value = case name when 'backoff_base_seconds' then '5'::jsonb else '900' end
     where name in ('backoff_base_seconds', 'backoff_max_seconds')$$, 'both ends of the backoff change in one UPDATE');
select is(pg_temp.complaint('backoff_max_seconds', '4'),
  'Cannot set "backoff_max_seconds" to 4: backoff_max_seconds (4) would be below backoff_base_seconds (5)'
  ' | No retry waits longer than this | Change the other one first, or both in one UPDATE',
  'the longest backoff is not below the first');
select throws_ok($$select pg_temp.set_setting('backoff_base_seconds', '901')$$, 'SY017', null, 'nor the first above the longest');
select lives_ok($$select pg_temp.set_setting('backoff_max_seconds', '5')$$, 'they may be the same');

select throws_ok($$select pg_temp.set_setting('known_symbols_table', '"public.symbols"')$$, 'SY017',
  'Cannot set "known_symbols_table" to "public.symbols": wanted the JSON value null or a plain identifier as a JSON string, such as "symbol"',
  'a table with its schema is no plain identifier');
select throws_ok($$select pg_temp.set_setting('known_symbols_active_column', '5')$$, 'SY017', null, 'nor is a number');
select throws_ok($$select pg_temp.set_setting('known_symbols_table', null)$$, 'SY017', null, 'nor SQL null');
select throws_ok($$select pg_temp.set_setting('known_symbols_column', 'null')$$, 'SY017', null, 'a column of symbols there must be');
select lives_ok($$update switchyard.settings set value = 'null' where name in ('known_symbols_table', 'known_symbols_active_column')$$,
  'the check of symbols can be turned off');
select lives_ok($$select pg_temp.set_setting('known_symbols_table', '"supported_symbols"')$$, '… and on');

select throws_ok($$delete from switchyard.settings where name = 'event_retention_days'$$, 'SY017',
  'Cannot delete setting "event_retention_days": Switchyard reads it', 'a setting cannot be deleted');
select throws_ok($$update switchyard.settings set name = 'known_table' where name = 'known_symbols_table'$$, 'SY017',
  'Cannot rename setting "known_symbols_table": Switchyard reads it', 'nor renamed');
select throws_ok($$update switchyard.settings set lowest = 1 where name = 'usage_retention_days'$$, 'SY017',
  'Cannot change the range of setting "usage_retention_days": Switchyard reads it', 'nor its range changed');
select throws_ok('truncate switchyard.settings', 'SY017',
  'Cannot truncate switchyard.settings: Switchyard reads them', 'nor all truncated away');
select throws_ok(
  $$insert into switchyard.settings (name, value, description) values ('usage_retention_days', '1', '')
        on conflict (name) do update set value = excluded.value$$, 'SY017', null, 'an upsert is checked as well');

select lives_ok($$insert into switchyard.settings (name, value, description) values ('my_note_days', '{"any": 1}', 'Mine')$$,
  'an unknown setting is harmless');
select lives_ok($$update switchyard.settings set name = 'my_notes' where name = 'my_note_days'$$, '… and may be renamed');
select lives_ok($$delete from switchyard.settings where name = 'my_notes'$$, '… and go');

select * from finish();
rollback;
