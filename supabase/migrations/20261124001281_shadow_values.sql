-- Adds how two values of a column are compared in shadow.

create function switchyard.differing_part(p_value jsonb, p_other jsonb)
returns jsonb
language sql
immutable
set search_path = ''
as $$
  select case
    when jsonb_typeof(p_value) = 'object' and jsonb_typeof(p_other) = 'object' then (
      select coalesce(jsonb_object_agg(e.key, e.value), '{}')
        from jsonb_each(p_value) as e
       where e.value is distinct from p_other -> e.key)
    else p_value
  end
$$;
comment on function switchyard.differing_part(jsonb, jsonb) is
  'Of two objects the keys of the first whose values differ; any other value whole.';

create function switchyard.is_within(p_tolerance jsonb, p_legacy jsonb, p_queue jsonb)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select coalesce(
    case when jsonb_typeof(p_legacy) = 'number' and jsonb_typeof(p_queue) = 'number'
         then abs(p_legacy::text::numeric - p_queue::text::numeric) <= coalesce(
           (p_tolerance ->> 'absolute')::numeric,
           (p_tolerance ->> 'relative')::numeric
             * greatest(abs(p_legacy::text::numeric), abs(p_queue::text::numeric))) end, false)
$$;
comment on function switchyard.is_within(jsonb, jsonb, jsonb) is
  'Whether two numbers are no further apart than {"absolute": n} or {"relative": n}, a share of the larger one, allows; false for other values.';

create function switchyard.is_known_difference(
  p_rules jsonb,
  p_column text,
  p_legacy jsonb,
  p_queue jsonb
)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select exists (
    select 1
      from jsonb_array_elements(p_rules -> 'known_differences') as k
     where k ->> 'column' = p_column
       and (not k ? 'legacy' or k -> 'legacy' = p_legacy)
       and (not k ? 'queue' or k -> 'queue' = p_queue))
$$;
comment on function switchyard.is_known_difference(jsonb, text, jsonb, jsonb) is
  'Whether two different values of a column are a difference that shadow_rules knows.';

create function switchyard.may_have_passed(p_before jsonb, p_value jsonb, p_after jsonb)
returns boolean
language sql
immutable
set search_path = ''
as $$
  -- A number is a text with one number in it. Texts without any, and other values, are never on their way.
  select coalesce(
    jsonb_typeof(p_value) in ('number', 'string')
    and jsonb_typeof(p_value) = jsonb_typeof(p_before) and jsonb_typeof(p_value) = jsonb_typeof(p_after)
    and told.is_alike
    and (
      select bool_and((v.n[1])::numeric between least((b.n[1])::numeric, (a.n[1])::numeric)
                                            and greatest((b.n[1])::numeric, (a.n[1])::numeric))
        from regexp_matches(p_value #>> '{}', told.number, 'g') with ordinality as v (n, place)
        join regexp_matches(p_before #>> '{}', told.number, 'g') with ordinality as b (n, place) using (place)
        join regexp_matches(p_after #>> '{}', told.number, 'g') with ordinality as a (n, place) using (place)), false)
    from (
      select p.number,
             regexp_replace(p_value #>> '{}', p.number, '#', 'g') = regexp_replace(p_before #>> '{}', p.number, '#', 'g')
             and regexp_replace(p_value #>> '{}', p.number, '#', 'g') = regexp_replace(p_after #>> '{}', p.number, '#', 'g')
               as is_alike
        from (select case jsonb_typeof(p_value)
                       when 'number' then '(^.*$)' else '(\d{1,30}(?:\.\d{1,30})?)' end as number) as p
    ) as told
$$;
comment on function switchyard.may_have_passed(jsonb, jsonb, jsonb) is
  'Whether a column that moves by itself may have had a value on its way from what legacy had before to what it has after: a number lies between the two, and so does each number in a text that is else the same, as "187.5-276.7" between "187.5-276.1" and "187.5-277". False for all other values.';

create function switchyard.count_digits(p_value jsonb)
returns integer
language sql
immutable
set search_path = ''
as $$
  select case when jsonb_typeof(p_value) = 'number'
              then nullif(length(trim(both '0' from regexp_replace(p_value::text, '\D', '', 'g'))), 0) end
$$;
comment on function switchyard.count_digits(jsonb) is
  'Significant digits of a number: 4 for 232.8, 3 for 233 and for 233000; null for 0 and for other values.';

revoke all on function
  switchyard.differing_part(jsonb, jsonb),
  switchyard.is_within(jsonb, jsonb, jsonb),
  switchyard.is_known_difference(jsonb, text, jsonb, jsonb),
  switchyard.may_have_passed(jsonb, jsonb, jsonb),
  switchyard.count_digits(jsonb)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.differing_part(jsonb, jsonb),
  switchyard.is_within(jsonb, jsonb, jsonb),
  switchyard.is_known_difference(jsonb, text, jsonb, jsonb),
  switchyard.may_have_passed(jsonb, jsonb, jsonb),
  switchyard.count_digits(jsonb)
to service_role;
