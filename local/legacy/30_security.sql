-- Row security and privileges of the legacy tables. Run as postgres.
-- The grants are written out: the tables are older than the newer default privileges, and keep
-- what they had.

alter table public.supported_symbols enable row level security;
alter table public.profiles enable row level security;
alter table public.live_quote_indicators enable row level security;
alter table public.exchange_market_status enable row level security;
alter table public.financial_statements enable row level security;
alter table public.shares_float enable row level security;
alter table public.ratios_ttm enable row level security;
alter table public.dividend_history enable row level security;
alter table public.revenue_product_segmentation enable row level security;
alter table public.grades_historical enable row level security;
alter table public.exchange_variants enable row level security;
alter table public.available_exchanges enable row level security;
alter table public.exchange_rates enable row level security;
alter table public.user_profiles enable row level security;

grant all on
  public.supported_symbols,
  public.profiles,
  public.live_quote_indicators,
  public.exchange_market_status,
  public.financial_statements,
  public.shares_float,
  public.ratios_ttm,
  public.dividend_history,
  public.revenue_product_segmentation,
  public.grades_historical,
  public.exchange_variants,
  public.available_exchanges,
  public.exchange_rates,
  public.user_profiles
to anon, authenticated, service_role;

create policy "Anyone can read" on public.profiles
  for select using (true);
create policy "Anyone can read" on public.live_quote_indicators
  for select using (true);
create policy "Anyone can read" on public.exchange_market_status
  for select using (true);
create policy "Anyone can read" on public.financial_statements
  for select using (true);
create policy "Anyone can read" on public.shares_float
  for select using (true);
create policy "Anyone can read" on public.ratios_ttm
  for select using (true);
create policy "Anyone can read" on public.dividend_history
  for select using (true);
create policy "Anyone can read" on public.revenue_product_segmentation
  for select using (true);
create policy "Anyone can read" on public.grades_historical
  for select using (true);
create policy "Anyone can read" on public.exchange_variants
  for select using (true);

create policy "Active symbols can be read" on public.supported_symbols
  for select to anon, authenticated using (is_active);

create policy "Users can read their own profile" on public.user_profiles
  for select to authenticated using ((select auth.uid()) = id);
create policy "Users can change their own profile" on public.user_profiles
  for update to authenticated using ((select auth.uid()) = id) with check ((select auth.uid()) = id);

create policy "The service role can write" on public.supported_symbols
  for all to service_role using (true) with check (true);
create policy "The service role can write" on public.profiles
  for all to service_role using (true) with check (true);
create policy "The service role can write" on public.live_quote_indicators
  for all to service_role using (true) with check (true);
create policy "The service role can write" on public.exchange_market_status
  for all to service_role using (true) with check (true);
create policy "The service role can write" on public.financial_statements
  for all to service_role using (true) with check (true);
create policy "The service role can write" on public.shares_float
  for all to service_role using (true) with check (true);
create policy "The service role can write" on public.ratios_ttm
  for all to service_role using (true) with check (true);
create policy "The service role can write" on public.dividend_history
  for all to service_role using (true) with check (true);
create policy "The service role can write" on public.revenue_product_segmentation
  for all to service_role using (true) with check (true);
create policy "The service role can write" on public.grades_historical
  for all to service_role using (true) with check (true);
create policy "The service role can write" on public.exchange_variants
  for all to service_role using (true) with check (true);
create policy "The service role can write" on public.available_exchanges
  for all to service_role using (true) with check (true);
create policy "The service role can write" on public.exchange_rates
  for all to service_role using (true) with check (true);
create policy "The service role can write" on public.user_profiles
  for all to service_role using (true) with check (true);
