-- Adds the canary share and where the rows of a job go. Nothing asks yet.

create function switchyard.symbol_bucket(p_data_type text, p_symbol text)
returns integer
language sql
immutable
set search_path = ''
as $$
  select (('x' || left(md5(p_data_type || ' ' || p_symbol), 8))::bit(32)::bigint % 10000)::integer
$$;
comment on function switchyard.symbol_bucket(text, text) is
  'A number from 0 to 9999 that belongs to a symbol of a data type for ever. A growing canary_percent takes in higher buckets and lets none go.';

create function switchyard.listed_symbols(p_data_type text)
returns text[]
language sql
stable
set search_path = ''
as $$
  select coalesce(array_agg(s.symbol #>> '{}'), '{}'::text[])
    from public.feature_flags as f
   cross join jsonb_array_elements(
     case when jsonb_typeof(f.metadata -> 'symbols') = 'array' then f.metadata -> 'symbols' else '[]' end) as s (symbol)
   where f.flag_name = 'use_queue_for_' || p_data_type
$$;
comment on function switchyard.listed_symbols(text) is
  'Symbols that are in the canary share of a data type whatever their bucket: metadata.symbols of the flag use_queue_for_<data type>.';

create function switchyard.is_in_share(p_data_type text, p_symbol text, p_canary_percent integer)
returns boolean
language sql
stable
set search_path = ''
as $$
  select case when p_symbol = 'GLOBAL' then p_canary_percent > 0
              else switchyard.symbol_bucket(p_data_type, p_symbol) < p_canary_percent * 100 end
         or p_symbol = any (switchyard.listed_symbols(p_data_type))
$$;
comment on function switchyard.is_in_share(text, text, integer) is
  'Whether a symbol is in the canary share of a data type: its bucket is below canary_percent, or the flag use_queue_for_<data type> lists it. A global type is in it as a whole as soon as the share is above 0.';

create function switchyard.share_sql(p_type public.data_type_registry_v2, p_symbol_sql text)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  v_listed text[];
begin
  if p_type.stage <> 'canary' then
    return 'true';
  end if;
  v_listed := switchyard.listed_symbols(p_type.data_type);
  return format(
    '(%s or %s = any (%L::text[]))',
    case when p_type.symbol_column is null then (p_type.canary_percent > 0)::text
         else format('switchyard.symbol_bucket(%L, %s) < %s', p_type.data_type, p_symbol_sql, p_type.canary_percent * 100) end,
    p_symbol_sql, v_listed);
end
$$;
comment on function switchyard.share_sql(public.data_type_registry_v2, text) is
  'SQL condition on an expression for a symbol: whether the queue is to refresh it. As switchyard.is_in_share in stage canary, true in any other; for whole sets of symbols.';

create function switchyard.destination(
  p_stage text,
  p_canary_percent integer,
  p_data_type text,
  p_symbol text,
  p_source text
)
returns text
language sql
stable
set search_path = ''
as $$
  select case
    when p_source = 'manual' or p_stage in ('live', 'retired') then 'table'
    when p_stage = 'shadow' then 'shadow'
    when p_stage = 'canary' then
      case when switchyard.is_in_share(p_data_type, p_symbol, p_canary_percent) then 'table' else 'shadow' end
    else 'discard'
  end
$$;
comment on function switchyard.destination(text, integer, text, text, text) is
  'Where the rows of a settled job go: table (manual jobs; live and retired types; the share of a canary), shadow (compared with what the legacy jobs wrote, and dropped), discard (legacy).';

revoke all on function
  switchyard.symbol_bucket(text, text),
  switchyard.listed_symbols(text),
  switchyard.is_in_share(text, text, integer),
  switchyard.share_sql(public.data_type_registry_v2, text),
  switchyard.destination(text, integer, text, text, text)
from public, anon, authenticated, service_role;
grant execute on function
  switchyard.symbol_bucket(text, text),
  switchyard.listed_symbols(text),
  switchyard.is_in_share(text, text, integer),
  switchyard.destination(text, integer, text, text, text)
to service_role;
