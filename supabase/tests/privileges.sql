-- Asks the catalog and then becomes each role: nothing of the queue may be read, written,
-- truncated or called by anon and authenticated, save the staleness check by authenticated.
begin;
select plan(17);

create temp view own_relations as
  select c.oid, c.oid::regclass::text as name, c.relkind, c.relrowsecurity
    from pg_class as c
   where c.relkind in ('r', 'p', 'v', 'S')
     and (c.relnamespace = 'switchyard'::regnamespace
          or c.oid::regclass::text in (
            'feature_flags', 'data_type_registry_v2', 'api_call_queue_v2', 'api_data_usage_v2',
            'api_providers_v2', 'active_subscriptions_v2', 'registry_problems_v2', 'migration_status_v2'));
create temp view own_functions as
  select p.oid, p.oid::regprocedure::text as name, p.prosecdef, p.proconfig
    from pg_proc as p
   where p.pronamespace = 'switchyard'::regnamespace
      or (p.pronamespace = 'public'::regnamespace
          and (p.proname ~ '_v2$' or p.proname ~ '^is_feature_enabled'));

select ok((select count(*) from own_relations) > 25, 'the relations were found');
select ok((select count(*) from own_functions) > 40, 'the functions were found');
select is_empty($$select name from own_relations where relkind in ('r', 'p') and not relrowsecurity$$,
  'every table has row security on');
select is_empty(
  $$select r.name, role, privilege
      from own_relations as r
     cross join unnest(array['anon', 'authenticated']) as role
     cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) as privilege
     where r.relkind <> 'S'
       and has_table_privilege(role, r.oid, privilege)
       and not (r.name = 'switchyard.refresh_requests' and role = 'authenticated' and privilege in ('select', 'insert'))$$,
  'anon and authenticated hold no privilege on any table or view but the door of the staleness check');
select is_empty(
  $$select r.name, role from own_relations as r cross join unnest(array['anon', 'authenticated']) as role
     where r.relkind = 'S' and has_sequence_privilege(role, r.oid, 'usage, select, update')$$,
  'nor on any sequence');
select results_eq(
  $$select f.name, role from own_functions as f cross join unnest(array['anon', 'authenticated']) as role
     where has_function_privilege(role, f.oid, 'execute')$$,
  $$values ('check_and_queue_stale_batch_v2(text,text[],integer)', 'authenticated')$$,
  'authenticated may call the staleness check, and nobody else anything');
select is_empty(
  $$select name from own_functions where not coalesce(proconfig::text like '%search_path=%', false)$$,
  'every function has a fixed search_path');
select is_empty(
  $$select r.name, privilege from own_relations as r
     cross join unnest(array['truncate', 'references', 'trigger']) as privilege
     where r.relkind in ('r', 'p') and has_table_privilege('service_role', r.oid, privilege)$$,
  'not even service_role may truncate anything');

set local role anon;
select throws_ok('select * from public.api_call_queue_v2', '42501', null, 'anon cannot read the queue');
select throws_ok($$insert into public.api_call_queue_v2 (symbol, data_type) values ('X', 'quote')$$, '42501', null, 'anon cannot add a job');
select throws_ok('truncate public.api_call_queue_v2', '42501', null, 'anon cannot truncate it');
select throws_ok($$select public.check_and_queue_stale_batch_v2('X', array['quote'])$$, '42501', null, 'anon cannot ask for a check');
select throws_ok('select * from switchyard.settings', '42501', null, 'anon cannot read the settings');
set local role authenticated;
select throws_ok('update public.feature_flags set enabled = true', '42501', null, 'authenticated cannot toggle a flag');
select throws_ok('select * from public.get_queue_batch_v2(1, null, true)', '42501', null, 'authenticated cannot claim');
select throws_ok($$select public.queue_refresh_if_not_exists_v2('X', 'quote')$$, '42501', null, 'authenticated cannot queue by hand');
set local role service_role;
select lives_ok('select * from public.get_queue_batch_v2(1, null, true)', 'service_role can claim');

select * from finish();
rollback;
