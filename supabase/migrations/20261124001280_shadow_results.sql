-- Adds what is kept of fetched rows that were compared with those of the legacy jobs. Nothing writes it yet.

create table switchyard.shadow_results (
  id bigint generated always as identity primary key,
  data_type text not null,
  symbol text not null,
  fetched_at timestamptz not null,
  settled_at timestamptz not null default clock_timestamp(),
  compared_at timestamptz,
  verdict text not null default 'waiting',
  reason text,
  rows_compared integer not null default 0,
  columns_compared integer not null default 0,
  difference_count integer not null default 0,
  differences jsonb not null default '[]',
  digits jsonb not null default '{}',
  is_part boolean not null default false,
  rows jsonb,
  legacy_seen_at timestamptz,
  constraint shadow_verdict_is_known check (verdict in ('match', 'mismatch', 'inconclusive', 'waiting')),
  constraint only_waiting_results_keep_rows check ((rows is not null) = (verdict = 'waiting')),
  constraint differences_are_an_array check (jsonb_typeof(differences) = 'array')
);
comment on table switchyard.shadow_results is
  'One row per comparison of fetched rows with what the legacy jobs wrote for the same symbol. Bounded by shadow_results_per_type and shadow_retention_days.';
comment on column switchyard.shadow_results.fetched_at is
  'When the job was claimed: the vendor was asked between then and settled_at.';
comment on column switchyard.shadow_results.verdict is
  'match: all that could be compared agrees. mismatch: something differs that time does not explain. waiting: it differs, and is looked at again when the legacy jobs have refreshed the symbol. inconclusive: nothing could be said.';
comment on column switchyard.shadow_results.differences is
  'At most 20, the deciding ones first: {key, column, kind, legacy, queue, decides}. kind: different, dropped (fetched rows lack the column), older, newer and overtaken (by their source times), missing and extra (rows), refused (by the table).';
comment on column switchyard.shadow_results.digits is
  'By column, of the numbers that differ and are excused: in how many rows they have fewer significant digits than in legacy (coarser) or more (finer), and one of the coarser ones (key, legacy, queue). Empty while waiting.';
comment on column switchyard.shadow_results.is_part is
  'The rows are not all of the symbol''s: a part of a long answer, or a random choice of shadow_rows_per_result. Then nothing is missing or extra.';
comment on column switchyard.shadow_results.rows is
  'The fetched rows, while waiting.';
comment on column switchyard.shadow_results.legacy_seen_at is
  'Newest refresh of the symbol that the last look saw.';

create index shadow_results_symbol_idx on switchyard.shadow_results (data_type, symbol, fetched_at);

create index shadow_results_waiting_idx on switchyard.shadow_results (data_type, id) where verdict = 'waiting';

create index shadow_results_mismatch_idx on switchyard.shadow_results (data_type, id) where verdict = 'mismatch';

create function switchyard.shadow_excerpt(p_value jsonb)
returns jsonb
language sql
immutable
set search_path = ''
as $$
  -- With a digest, so that two long values can still be told apart.
  select case when length(p_value::text) <= 300 then p_value
              else to_jsonb(left(p_value::text, 250) || '… (md5 ' || md5(p_value::text) || ')') end
$$;
comment on function switchyard.shadow_excerpt(jsonb) is
  'A value as it is kept beside the other one: as it is up to 300 characters, else its beginning and its digest.';

create function switchyard.prune_shadow()
returns bigint
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_removed bigint;
begin
  delete from switchyard.shadow_results as r
   where r.fetched_at < clock_timestamp() - make_interval(days => switchyard.setting_integer('shadow_retention_days'))
      or r.id in (
        select ranked.id
          from (
            -- Mismatches go last: without them a rate would look better than it was.
            select w.id, row_number() over (
                     partition by w.data_type order by w.verdict = 'mismatch' desc, w.id desc) as place
              from switchyard.shadow_results as w
             where w.data_type in (
               select full_type.data_type
                 from switchyard.shadow_results as full_type
                group by full_type.data_type
               having count(*) > switchyard.setting_integer('shadow_results_per_type'))
          ) as ranked
         where ranked.place > switchyard.setting_integer('shadow_results_per_type'));
  get diagnostics v_removed = row_count;
  return v_removed;
end
$$;
comment on function switchyard.prune_shadow() is
  'Deletes shadow results past shadow_retention_days, and of each data type those beyond shadow_results_per_type, mismatches last. Returns rows removed.';

alter table switchyard.shadow_results enable row level security;
revoke all on table switchyard.shadow_results from public, anon, authenticated, service_role;
grant select, insert, update on table switchyard.shadow_results to service_role;

revoke all on function
  switchyard.shadow_excerpt(jsonb),
  switchyard.prune_shadow()
from public, anon, authenticated, service_role;
grant execute on function switchyard.shadow_excerpt(jsonb)
to service_role;
