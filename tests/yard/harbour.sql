-- An invented project that has nothing to do with finance: weather at harbours, and scores.

create table public.stations (
  code text primary key,
  name text not null,
  is_active boolean not null default true
);
create table public.station_readings (
  station_code text not null references public.stations (code),
  observed_at timestamptz not null,
  temperature numeric,
  wind numeric,
  inserted_at timestamptz not null default now(),
  refreshed_at timestamptz not null default now(),
  primary key (station_code, observed_at)
);
create table public.tide_forecast (
  station_code text not null references public.stations (code),
  day date not null,
  height numeric,
  updated timestamptz not null default now(),
  primary key (station_code, day)
);

-- A key that the database makes beside the natural one, and a trigger of its own.
create table public.league_standings (
  id uuid primary key default gen_random_uuid(),
  league text not null,
  season integer not null,
  team text not null,
  points integer,
  created_at timestamptz not null default now(),
  changed timestamptz not null default now(),
  unique (league, season, team)
);
create function public.touch_changed() returns trigger language plpgsql set search_path = '' as $$
begin
  new.changed = now();
  return new;
end
$$;
create trigger touch before update on public.league_standings
  for each row execute function public.touch_changed();

create table public.teams (id integer primary key, name text not null, is_active boolean);
create table public.rosters (
  team_id integer not null references public.teams (id),
  player text not null,
  updated_at timestamptz not null default now(),
  primary key (team_id, player)
);

create table public."MatchScores" ("matchId" text primary key, score text, updated_at timestamptz);
create table public.fuel_prices (
  port text not null, grade text not null, price numeric, updated_at timestamptz default now(),
  primary key (port, grade)
);
create table public.ticket_prices (
  route text primary key, price numeric, updated_at timestamptz default now()
);
create table public.moon_phases (day date primary key, phase text, updated_at timestamp default now());
create table public.moon_phase_details (
  day date references public.moon_phases, place text, lit numeric, updated_at timestamptz, primary key (day, place)
);
create schema sports;
create table sports.injuries (player text primary key, note text, updated_at timestamptz);

insert into public.stations (code, name)
select 'H' || n, 'Harbour ' || n from generate_series(1, 20) as n;
insert into public.station_readings (station_code, observed_at, temperature, inserted_at, refreshed_at)
select s.code, now() - make_interval(hours => n), n, now() - interval '3 days', now() - interval '4 minutes'
  from public.stations as s cross join generate_series(1, 5) as n;
insert into public.league_standings (league, season, team, points, created_at)
values ('north', 2026, 'Gulls', 3, now() - interval '40 days');

create function public.call_edge_function(name text) returns bigint language sql set search_path = '' as $$
  select net.http_post('https://harbour.supabase.co/functions/v1/' || name)
$$;

select cron.schedule('readings', '*/10 * * * *', $job$
  -- instead of /functions/v1/old-readings
  SELECT NET.HTTP_POST(url := 'https://harbour.supabase.co/functions/v1/pull-station-readings', body := '{}'::jsonb);
$job$);
select cron.schedule('tides of the day', '15 3 * * *',
  $job$select net.http_get(url:='https://harbour.supabase.co/functions/v1/Get_tide')$job$);
select cron.schedule('tide', '30 4 * * *',
  $job$select net.http_get(url:='https://harbour.supabase.co/functions/v1/get_tide_forecast?days=7')$job$);
select cron.schedule('tide-again', '30 16 * * *',
  $job$delete from public.tide_forecast where day < now() - interval '1 year';
  select net.http_get(url:='https://harbour.supabase.co/functions/v1/get_tide_forecast?days=1')$job$);
select cron.schedule('standings', '*/15 12-22 * * 6,0', $job$select public.call_edge_function('refresh-league-standings');$job$);
select cron.schedule('0 5 * * 1', $job$select "net"."http_post"('https://harbour.supabase.co/functions/v1/rosters')$job$);
select cron.schedule('scores', '* * * * *',
  $job$select net.http_post('https://harbour.supabase.co/functions/v1/sync-match-scores')$job$);
select cron.schedule('prices', '0 * * * *',
  $job$select net.http_post('https://harbour.supabase.co/functions/v1/update-prices')$job$);
select cron.schedule('moon', '0 0 * * *',
  $job$select net.http_post('https://harbour.supabase.co/functions/v1/moon-phases')$job$);
select cron.schedule('injuries', '0 6 * * *',
  $job$select net.http_post('https://harbour.functions.supabase.co/fetch-injuries')$job$);
select cron.schedule('digest', '0 7 * * 1',
  $job$select net.http_post('https://harbour.supabase.co/functions/v1/send-weekly-digest')$job$);
select cron.schedule('built', '0 8 * * *',
  $job$select net.http_post('https://harbour.supabase.co/functions/v1/' || current_setting('app.fn'))$job$);
select cron.schedule('ping', '0 9 * * *', $job$select net.http_get('https://hc.example.org/ping')$job$);
select cron.schedule('tidy', '0 10 * * *', $job$delete from public.tide_forecast where day < now() - interval '1 year'$job$);
