begin;
select plan(8);

insert into storage.objects (bucket_id, name) values ('profile-images', 'MF-1.png');
set local role service_role;
select results_eq(
  $$select public.take_missing_files_v2('profile-images', array['MF-2.png', 'MF-1.png', 'MF-3.png', 'MF-2.png'])$$,
  $$values ('MF-2.png'), ('MF-3.png')$$, 'files that the bucket lacks are handed out, each once');
select is_empty($$select public.take_missing_files_v2('profile-images', array['MF-2.png', 'MF-3.png'])$$,
  'and not again on the same day');
select is((select count(*) from public.take_missing_files_v2('profile-images', array['MF-4.png', 'MF-5.png'], 1)), 1::bigint, 'no more than asked for');
select is((select count(*) from public.take_missing_files_v2('profile-images', array['MF-4.png', 'MF-5.png'], 0)), 1::bigint, 'at least one');
select is_empty($$select public.take_missing_files_v2('no-such-bucket', array['MF-6.png'])$$, 'none without the bucket');
select is_empty($$select public.take_missing_files_v2('profile-images', null)$$, 'none of none');
reset role;
update switchyard.file_attempts set tried_at = now() - interval '25 hours' where name = 'MF-3.png';
select results_eq($$select public.take_missing_files_v2('profile-images', array['MF-2.png', 'MF-3.png'])$$,
  $$values ('MF-3.png')$$, 'on the next day it may be tried again');
set local role authenticated;
select throws_ok($$select public.take_missing_files_v2('profile-images', array['MF-7.png'])$$, '42501', null, 'users may not ask');

select * from finish();
rollback;
