-- The tables that the legacy functions fill. Run as postgres, once, on a database with the platform
-- and the tables of the Auth service.

create table public.supported_symbols (
  symbol text primary key,
  is_active boolean not null default true,
  added_at timestamptz not null default now(),
  last_processed_at timestamptz
);

create table public.profiles (
  id uuid primary key default gen_random_uuid(),
  symbol text not null unique,
  price double precision,
  market_cap bigint,
  beta double precision,
  last_dividend double precision,
  range text,
  change double precision,
  change_percentage double precision,
  volume bigint,
  average_volume bigint,
  company_name text,
  display_company_name text,
  currency varchar(3),
  cik text,
  isin text,
  cusip text,
  exchange_full_name text,
  exchange text,
  industry text,
  website text,
  description text,
  ceo text,
  sector text,
  country varchar(2),
  full_time_employees bigint,
  phone text,
  address text,
  city text,
  state text,
  zip text,
  image text,
  ipo_date date,
  default_image boolean default false,
  is_etf boolean default false,
  is_actively_trading boolean default true,
  is_adr boolean default false,
  is_fund boolean default false,
  modified_at timestamptz not null default now()
);
create index idx_profiles_modified_at on public.profiles (modified_at desc);

create table public.live_quote_indicators (
  id uuid primary key default gen_random_uuid(),
  symbol text not null unique,
  current_price double precision not null,
  change_percentage double precision,
  day_change double precision,
  volume bigint,
  day_low double precision,
  day_high double precision,
  market_cap bigint,
  day_open double precision,
  previous_close double precision,
  api_timestamp bigint not null,
  sma_50d double precision,
  sma_200d double precision,
  fetched_at timestamptz not null default now(),
  year_high double precision,
  year_low double precision,
  exchange text
);
create index idx_live_quote_indicators_fetched_at on public.live_quote_indicators (fetched_at desc);
create index idx_live_quote_indicators_symbol on public.live_quote_indicators (symbol);

create table public.exchange_market_status (
  exchange_code text primary key,
  name text,
  opening_time_local text,
  closing_time_local text,
  timezone text not null,
  is_market_open boolean default false,
  status_message text,
  current_day_is_holiday boolean default false,
  current_holiday_name text,
  raw_holidays_json jsonb,
  last_fetched_at timestamptz not null default now()
);

create table public.financial_statements (
  symbol text not null references public.profiles (symbol) on delete cascade,
  date date not null,
  period text not null,
  reported_currency text,
  cik text,
  filing_date date,
  accepted_date timestamptz,
  fiscal_year text,
  income_statement_payload jsonb,
  balance_sheet_payload jsonb,
  cash_flow_payload jsonb,
  fetched_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (symbol, date, period)
);
create index idx_financial_statements_symbol_date
  on public.financial_statements (symbol, date desc);
create index idx_financial_statements_updated_at on public.financial_statements (updated_at desc);

create table public.shares_float (
  symbol text not null,
  date date not null,
  free_float double precision,
  float_shares double precision,
  outstanding_shares double precision,
  fetched_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (symbol, date)
);
create index idx_shares_float_symbol_date on public.shares_float (symbol, date desc);
create index idx_shares_float_updated_at on public.shares_float (updated_at desc);

create table public.ratios_ttm (
  symbol text primary key references public.profiles (symbol) on delete cascade,
  gross_profit_margin_ttm double precision,
  ebit_margin_ttm double precision,
  ebitda_margin_ttm double precision,
  operating_profit_margin_ttm double precision,
  pretax_profit_margin_ttm double precision,
  continuous_operations_profit_margin_ttm double precision,
  net_profit_margin_ttm double precision,
  bottom_line_profit_margin_ttm double precision,
  receivables_turnover_ttm double precision,
  payables_turnover_ttm double precision,
  inventory_turnover_ttm double precision,
  fixed_asset_turnover_ttm double precision,
  asset_turnover_ttm double precision,
  current_ratio_ttm double precision,
  quick_ratio_ttm double precision,
  solvency_ratio_ttm double precision,
  cash_ratio_ttm double precision,
  price_to_earnings_ratio_ttm double precision,
  price_to_earnings_growth_ratio_ttm double precision,
  forward_price_to_earnings_growth_ratio_ttm double precision,
  price_to_book_ratio_ttm double precision,
  price_to_sales_ratio_ttm double precision,
  price_to_free_cash_flow_ratio_ttm double precision,
  price_to_operating_cash_flow_ratio_ttm double precision,
  debt_to_assets_ratio_ttm double precision,
  debt_to_equity_ratio_ttm double precision,
  debt_to_capital_ratio_ttm double precision,
  long_term_debt_to_capital_ratio_ttm double precision,
  financial_leverage_ratio_ttm double precision,
  working_capital_turnover_ratio_ttm double precision,
  operating_cash_flow_ratio_ttm double precision,
  operating_cash_flow_sales_ratio_ttm double precision,
  free_cash_flow_operating_cash_flow_ratio_ttm double precision,
  debt_service_coverage_ratio_ttm double precision,
  interest_coverage_ratio_ttm double precision,
  short_term_operating_cash_flow_coverage_ratio_ttm double precision,
  operating_cash_flow_coverage_ratio_ttm double precision,
  capital_expenditure_coverage_ratio_ttm double precision,
  dividend_paid_and_capex_coverage_ratio_ttm double precision,
  dividend_payout_ratio_ttm double precision,
  dividend_yield_ttm double precision,
  enterprise_value_ttm double precision,
  revenue_per_share_ttm double precision,
  net_income_per_share_ttm double precision,
  interest_debt_per_share_ttm double precision,
  cash_per_share_ttm double precision,
  book_value_per_share_ttm double precision,
  tangible_book_value_per_share_ttm double precision,
  shareholders_equity_per_share_ttm double precision,
  operating_cash_flow_per_share_ttm double precision,
  capex_per_share_ttm double precision,
  free_cash_flow_per_share_ttm double precision,
  net_income_per_ebt_ttm double precision,
  ebt_per_ebit_ttm double precision,
  price_to_fair_value_ttm double precision,
  debt_to_market_cap_ttm double precision,
  effective_tax_rate_ttm double precision,
  enterprise_value_multiple_ttm double precision,
  dividend_per_share_ttm double precision,
  fetched_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index idx_ratios_ttm_symbol on public.ratios_ttm (symbol);
create index idx_ratios_ttm_updated_at on public.ratios_ttm (updated_at desc);

create table public.dividend_history (
  symbol text not null references public.profiles (symbol) on delete cascade,
  date date not null,
  record_date date,
  payment_date date,
  declaration_date date,
  adj_dividend double precision,
  dividend double precision,
  yield double precision,
  frequency text,
  fetched_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (symbol, date)
);
create index idx_dividend_history_symbol_date on public.dividend_history (symbol, date desc);
create index idx_dividend_history_updated_at on public.dividend_history (updated_at desc);
create index idx_dividend_history_payment_date on public.dividend_history (payment_date desc);
create index idx_dividend_history_record_date on public.dividend_history (record_date desc);

create table public.revenue_product_segmentation (
  symbol text not null references public.profiles (symbol) on delete cascade,
  fiscal_year integer not null,
  period text not null,
  date date not null,
  reported_currency text,
  data jsonb,
  fetched_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (symbol, fiscal_year, period, date)
);
create index idx_revenue_product_segmentation_symbol
  on public.revenue_product_segmentation (symbol, fiscal_year desc, period, date desc);
create index idx_revenue_product_segmentation_updated_at
  on public.revenue_product_segmentation (updated_at desc);

create table public.grades_historical (
  symbol text not null references public.profiles (symbol) on delete cascade,
  date date not null,
  analyst_ratings_strong_buy integer,
  analyst_ratings_buy integer,
  analyst_ratings_hold integer,
  analyst_ratings_sell integer,
  analyst_ratings_strong_sell integer,
  fetched_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (symbol, date)
);
create index idx_grades_historical_symbol_date on public.grades_historical (symbol, date desc);
create index idx_grades_historical_updated_at on public.grades_historical (updated_at desc);

create table public.exchange_variants (
  symbol text not null references public.profiles (symbol) on delete cascade,
  symbol_variant text not null,
  exchange_short_name text not null,
  price double precision,
  beta double precision,
  vol_avg bigint,
  mkt_cap bigint,
  last_div double precision,
  range text,
  changes double precision,
  currency text,
  cik text,
  isin text,
  cusip text,
  exchange text,
  dcf_diff double precision,
  dcf double precision,
  image text,
  ipo_date text,
  default_image boolean,
  is_actively_trading boolean,
  fetched_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (symbol_variant, exchange_short_name)
);
create index idx_exchange_variants_symbol on public.exchange_variants (symbol);
create index idx_exchange_variants_symbol_variant on public.exchange_variants (symbol_variant);

create table public.available_exchanges (
  exchange text primary key,
  name text,
  country_name text,
  country_code text,
  symbol_suffix text,
  delay text,
  fetched_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table public.exchange_rates (
  base_code text not null,
  target_code text not null,
  rate double precision,
  last_updated_at timestamptz,
  fetched_at timestamptz not null default now(),
  primary key (base_code, target_code)
);

create table public.user_profiles (
  id uuid primary key references auth.users (id) on delete cascade,
  username text unique,
  full_name text,
  avatar_url text,
  updated_at timestamptz default timezone('utc'::text, now()),
  is_profile_complete boolean not null default false,
  constraint username_length check (char_length(username) between 3 and 50)
);
