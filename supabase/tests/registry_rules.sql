-- What gate_settings, shadow_rules and legacy_functions of a data type may hold.
begin;
select plan(32);

create function pg_temp.complaint(p_column text, p_value text) returns text language plpgsql as $$
begin
  execute format('update public.data_type_registry_v2 set %I = $1::%s where data_type = ''profile''', p_column,
                 case when p_column = 'legacy_functions' then 'text[]' else 'jsonb' end) using p_value;
  return 'none';
exception when sqlstate 'SY005' then
  return replace(sqlerrm, 'Cannot change data type "profile": ', '');
end $$;

select is(pg_temp.complaint('gate_settings',
  '{"soak_hours": 1, "least_sample": 10, "match_rate": 0.9, "error_rate": 0.1, "most_age_ttls": 3.5, "baseline_slack": 2, "most_pending": 5, "quota_headroom": 0.2, "auto_rollback": false, "breach_minutes": 10, "breach_least_failures": 3}'),
  'none', 'every gate setting has its place');
select is((select switchyard.gate_setting(r, 'most_age_ttls') from public.data_type_registry_v2 as r where data_type = 'profile'), 3.5, '… and is read');
select is((select switchyard.gate_setting(r, 'auto_rollback') from public.data_type_registry_v2 as r where data_type = 'profile'), 0::numeric, '… also a boolean');
select is((select switchyard.gate_setting(r, 'match_rate') from public.data_type_registry_v2 as r where data_type = 'quote'), 0.995, 'what a type has not is the default');
select is(pg_temp.complaint('gate_settings', '{"soak_minutes": 1}'), 'gate_settings has the unknown key "soak_minutes"', 'an unknown key is refused');
select is(pg_temp.complaint('gate_settings', '{"match_rate": 99.5}'), 'gate_settings has match_rate = 99.5, wanted a number from 0 to 1', 'a number out of range is refused');
select is(pg_temp.complaint('gate_settings', '{"match_rate": "0.9"}'), 'gate_settings has match_rate = "0.9", wanted a number from 0 to 1', 'a string is refused');
select is(pg_temp.complaint('gate_settings', '{"match_rate": true}'), 'gate_settings has match_rate = true, wanted a number from 0 to 1', 'a boolean too, where a number is wanted');
select is(pg_temp.complaint('gate_settings', '{"match_rate": null}'), 'gate_settings has match_rate = null, wanted a number from 0 to 1', 'and null');

select is(pg_temp.complaint('shadow_rules', '{}'), 'none', 'no rules are rules');
select is(pg_temp.complaint('shadow_rules',
  '{"ignore": ["image"], "tolerances": {"price": {"absolute": 0.01}, "market_cap": {"relative": 0.001}}, "known_differences": [{"column": "cik", "legacy": "", "queue": null, "reason": "empty is null"}, {"column": "x", "queue": 1, "reason": "one side"}], "comparable_minutes": 10, "source_lag_seconds": 60, "sample_percent": 50}'),
  'none', 'all of them together too');
select is(pg_temp.complaint('shadow_rules', '{"ignored": []}'), 'shadow_rules has the unknown key "ignored"', 'an unknown key is refused');
select is(pg_temp.complaint('shadow_rules', '{"ignore": "image"}'), 'shadow_rules.ignore is not an array of column names', 'ignore is a list');
select is(pg_temp.complaint('shadow_rules', '{"ignore": [1]}'), 'shadow_rules.ignore is not an array of column names', '… of names');
select matches(pg_temp.complaint('shadow_rules', '{"tolerances": []}'), '^shadow_rules.tolerances is not', 'tolerances are by column');
select matches(pg_temp.complaint('shadow_rules', '{"tolerances": {"price": 0.01}}'), '^shadow_rules.tolerances is not', '… absolute or relative');
select matches(pg_temp.complaint('shadow_rules', '{"tolerances": {"price": {"absolute": 1, "relative": 1}}}'), '^shadow_rules.tolerances is not', '… not both');
select matches(pg_temp.complaint('shadow_rules', '{"tolerances": {"price": {}}}'), '^shadow_rules.tolerances is not', '… nor none');
select matches(pg_temp.complaint('shadow_rules', '{"tolerances": {"price": {"absolute": -1}}}'), '^shadow_rules.tolerances is not', '… nor less than nothing');
select matches(pg_temp.complaint('shadow_rules', '{"tolerances": {"price": {"absolute": "1"}}}'), '^shadow_rules.tolerances is not', '… nor a string');
select matches(pg_temp.complaint('shadow_rules', '{"known_differences": {}}'), '^shadow_rules.known_differences is not', 'known differences are a list');
select matches(pg_temp.complaint('shadow_rules', '{"known_differences": [1]}'), '^shadow_rules.known_differences is not', '… of objects');
select matches(pg_temp.complaint('shadow_rules', '{"known_differences": [{"column": "x", "legacy": 1}]}'), '^shadow_rules.known_differences is not', '… with a reason');
select matches(pg_temp.complaint('shadow_rules', '{"known_differences": [{"column": "x", "reason": "y"}]}'), '^shadow_rules.known_differences is not', '… and at least one side');
select matches(pg_temp.complaint('shadow_rules', '{"known_differences": [{"column": "x", "legacy": 1, "reason": "y", "since": 1}]}'), '^shadow_rules.known_differences is not', '… and nothing else');
select is(pg_temp.complaint('shadow_rules', '{"comparable_minutes": -1}'), 'shadow_rules.comparable_minutes is -1, wanted a number from 0 to 525600', 'times are not negative');
select is(pg_temp.complaint('shadow_rules', '{"source_lag_seconds": "60"}'), 'shadow_rules.source_lag_seconds is "60", wanted a number from 0 to 31536000', '… and numbers');
select is(pg_temp.complaint('shadow_rules', '{"sample_percent": 101}'), 'shadow_rules.sample_percent is 101, wanted a number from 0 to 100', 'a percentage ends at 100');
select is(switchyard.gate_settings_problem('{}'), null, 'no settings are no problem');

select is(pg_temp.complaint('legacy_functions', '{fetch-a,fetch_b2}'), 'none', 'functions are named alone');
select is(pg_temp.complaint('legacy_functions', '{/functions/v1/fetch-a}'),
  'legacy_functions "/functions/v1/fetch-a" is not the name of an Edge Function', '… not by their URL');
select isnt(pg_temp.complaint('legacy_functions', '{null}'), 'none', '… and have one');

select * from finish();
rollback;
