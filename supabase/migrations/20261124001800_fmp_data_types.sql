-- Registers the vendors and the data types of the legacy system, all in stage legacy: nothing moves.

-- fmp: the smallest plan with a limit per minute. Change the row when the plan is another one.
-- exchangerate-api: an open endpoint without a key, whose limit is not published; one call a day.
insert into public.api_providers_v2 (provider, calls_per_minute, bytes_per_30_days) values
  ('fmp', 300, 20000000000),
  ('exchangerate-api', 10, 100000000);

update switchyard.settings set value = '"supported_symbols"' where name = 'known_symbols_table';

insert into public.data_type_registry_v2 (
  data_type, table_name, symbol_column, timestamp_column, conflict_columns, insert_only_columns,
  source_timestamp_column, staleness_function, condition_function, default_ttl_minutes,
  empty_recheck_minutes, refresh_strategy, priority, provider, fetcher, edge_function_name,
  batch_size, api_calls_per_batch, calls_spread_seconds, estimated_data_size_bytes, depends_on, legacy_cron_jobs
) values
  ('quote', 'live_quote_indicators', 'symbol', 'fetched_at', '{symbol}', '{}',
   'api_timestamp', 'is_data_stale_v2', 'is_exchange_open_v2', 1,
   60, 'hybrid', 500, 'fmp', 'quote', 'fetch-fmp-quote-indicators',
   100, 1, 0, 400, null,
   '{minute-fetch-fmp-quote-indicators,minute-fetch-fmp-exchange-prices-api}'),
  ('exchange-market-status', 'exchange_market_status', null, 'last_fetched_at', '{exchange_code}', '{}',
   null, 'is_data_stale_v2', null, 60,
   60, 'scheduled', 400, 'fmp', 'exchange-market-status', 'fetch-fmp-all-exchange-market-status',
   1, 11, 20, 35000, null,
   '{hourly-fetch-fmp-all-exchange-market-status,daily-fetch-fmp-all-exchange-market-status,daily-fetch-all-exchange-market-status}'),
  ('profile', 'profiles', 'symbol', 'modified_at', '{symbol}', '{display_company_name}',
   null, 'is_profile_stale_v2', null, 60,
   1440, 'hybrid', 300, 'fmp', 'profile', 'fetch-fmp-profiles',
   1, 1, 0, 2000, null,
   '{hourly-fetch-fmp-profiles}'),
  ('available-exchanges', 'available_exchanges', null, 'updated_at', '{exchange}', '{}',
   null, 'is_data_stale_v2', null, 60,
   60, 'scheduled', 250, 'fmp', 'available-exchanges', 'fetch-fmp-available-exchanges',
   1, 1, 0, 10000, null,
   '{hourly-fetch-fmp-available-exchanges}'),
  ('exchange-rates', 'exchange_rates', null, 'last_updated_at', '{base_code,target_code}', '{}',
   'last_updated_at', 'is_data_stale_v2', null, 360,
   60, 'scheduled', 250, 'exchangerate-api', 'exchange-rates', 'fetch-exchange-rates',
   1, 1, 0, 5000, null,
   '{daily-fetch-exchange-rates}'),
  ('ratios-ttm', 'ratios_ttm', 'symbol', 'updated_at', '{symbol}', '{}',
   null, 'is_data_stale_v2', null, 1440,
   10080, 'hybrid', 200, 'fmp', 'ratios-ttm', 'fetch-fmp-ratios-ttm',
   1, 1, 0, 2700, 'profile',
   '{daily-fetch-fmp-ratios-ttm}'),
  ('shares-float', 'shares_float', 'symbol', 'updated_at', '{symbol,date}', '{}',
   null, 'is_data_stale_v2', null, 1440,
   10080, 'hybrid', 200, 'fmp', 'shares-float', 'fetch-fmp-shares-float',
   1, 1, 0, 300, null,
   '{daily-fetch-fmp-shares-float}'),
  ('shares-float-all', 'shares_float', null, 'updated_at', '{symbol,date}', '{}',
   null, 'is_data_stale_v2', null, 1440,
   1440, 'scheduled', 50, 'fmp', 'shares-float-all', 'fetch-fmp-shares-float',
   1, 10, 20, 7500000, null,
   '{}'),
  ('exchange-variants', 'exchange_variants', 'symbol', 'updated_at', '{symbol_variant,exchange_short_name}', '{symbol}',
   null, 'is_data_stale_v2', null, 1440,
   10080, 'hybrid', 150, 'fmp', 'exchange-variants', 'fetch-fmp-exchange-variants',
   1, 1, 0, 6000, 'profile',
   '{daily-fetch-fmp-exchange-variants}'),
  ('financial-statements', 'financial_statements', 'symbol', 'updated_at', '{symbol,date,period}', '{}',
   'accepted_date', 'is_data_stale_v2', null, 43200,
   10080, 'hybrid', 100, 'fmp', 'financial-statements', 'fetch-fmp-financial-statements',
   1, 3, 10, 60000, 'profile',
   '{monthly-fetch-fmp-financial-statements,monthly-fetch-financial-statements}'),
  ('grades-historical', 'grades_historical', 'symbol', 'updated_at', '{symbol,date}', '{}',
   null, 'is_data_stale_v2', null, 43200,
   10080, 'hybrid', 80, 'fmp', 'grades-historical', 'fetch-fmp-grades-historical',
   1, 1, 0, 17500, 'profile',
   '{monthly-fetch-fmp-grades-historical,yearly-fetch-fmp-grades-historical}'),
  ('dividend-history', 'dividend_history', 'symbol', 'updated_at', '{symbol,date}', '{}',
   null, 'is_data_stale_v2', null, 129600,
   10080, 'hybrid', 60, 'fmp', 'dividend-history', 'fetch-fmp-dividend-history',
   1, 1, 0, 18000, 'profile',
   '{quarterly-fetch-fmp-dividend-history}'),
  ('revenue-segmentation', 'revenue_product_segmentation', 'symbol', 'updated_at', '{symbol,fiscal_year,period,date}', '{}',
   null, 'is_data_stale_v2', null, 525600,
   43200, 'hybrid', 40, 'fmp', 'revenue-segmentation', 'fetch-fmp-revenue-segmentation',
   1, 1, 0, 4600, 'profile',
   '{yearly-fetch-fmp-revenue-segmentation}');

-- CLOSED is about the day of last_fetched_at (see is_exchange_open_v2).
update public.data_type_registry_v2 set rewrites_unchanged = true where data_type = 'exchange-market-status';

-- Two listings of one company are sent each other's rows, and the key does not hold the symbol that was
-- asked for (insert_only_columns '{symbol}'): the row stays with the symbol that brought it first, and
-- both keep its values fresh. A symbol without a row of its own counts as empty.

-- One claim of the whole market is ten pages; the next one goes on.
update public.data_type_registry_v2 set covers = 'shares-float' where data_type = 'shares-float-all';

update public.data_type_registry_v2 set processed_column = 'last_processed_at' where data_type = 'financial-statements';

-- Two functions write the rows of live_quote_indicators.
update public.data_type_registry_v2 set legacy_functions = '{fetch-fmp-exchange-prices-api}' where data_type = 'quote';

-- How fetched rows are compared with those of the legacy jobs. Prices move between two calls: volatile
-- columns agree with what legacy had before or after. What a legacy job brings once a day or less is
-- the same for hours, so that half an hour makes it comparable.
update public.data_type_registry_v2 as r
   set shadow_rules = rules.value
  from (values
    -- The source time has seconds; volumes grow within them.
    ('quote', jsonb '{
       "comparable_minutes": 1, "source_lag_seconds": 60,
       "same_moment": ["volume"], "tolerances": {"volume": {"relative": 0.001}},
       "other_moment": {"change_percentage": {"absolute": 5}, "day_change": {"relative": 2}}}'),
    ('profile', jsonb '{
       "comparable_minutes": 5,
       "ignore": ["change"],
       "volatile": ["price", "market_cap", "beta", "change_percentage", "volume", "average_volume", "range"],
       "tolerances": {
         "price": {"relative": 0.02}, "market_cap": {"relative": 0.02}, "change_percentage": {"absolute": 2},
         "volume": {"relative": 0.5}, "average_volume": {"relative": 0.1}, "beta": {"absolute": 0.05}}}'),
    ('exchange-variants', jsonb '{
       "comparable_minutes": 5,
       "ignore": ["changes"],
       "volatile": ["price", "mkt_cap", "beta", "vol_avg", "range", "dcf", "dcf_diff"],
       "tolerances": {
         "price": {"relative": 0.02}, "mkt_cap": {"relative": 0.02}, "vol_avg": {"relative": 0.1},
         "beta": {"absolute": 0.05}, "dcf": {"relative": 0.02}}}'),
    -- The queue asks for the holidays of some exchanges each hour, the endpoint for those of all.
    ('exchange-market-status', jsonb '{
       "comparable_minutes": 2,
       "ignore": ["status_message"],
       "volatile": ["is_market_open", "opening_time_local", "closing_time_local", "current_day_is_holiday",
                    "current_holiday_name", "raw_holidays_json"],
       "known_differences": [
         {"column": "current_day_is_holiday", "legacy": true, "queue": false,
          "reason": "the holidays of this exchange were not asked for this hour"},
         {"column": "current_holiday_name", "queue": null,
          "reason": "the holidays of this exchange were not asked for this hour"}]}'),
    ('available-exchanges', jsonb '{"comparable_minutes": 30}'),
    ('exchange-rates', jsonb '{"source_lag_seconds": 3600}'),
    -- What the price is a part of moves with it.
    ('ratios-ttm', jsonb '{
       "comparable_minutes": 15,
       "volatile": ["debt_to_market_cap_ttm", "dividend_yield_ttm", "enterprise_value_multiple_ttm",
                    "enterprise_value_ttm", "forward_price_to_earnings_growth_ratio_ttm",
                    "price_to_book_ratio_ttm", "price_to_earnings_growth_ratio_ttm",
                    "price_to_earnings_ratio_ttm", "price_to_fair_value_ttm",
                    "price_to_free_cash_flow_ratio_ttm", "price_to_operating_cash_flow_ratio_ttm",
                    "price_to_sales_ratio_ttm"],
       "tolerances": {
         "debt_to_market_cap_ttm": {"relative": 0.02}, "dividend_yield_ttm": {"relative": 0.02},
         "enterprise_value_multiple_ttm": {"relative": 0.02}, "enterprise_value_ttm": {"relative": 0.02},
         "forward_price_to_earnings_growth_ratio_ttm": {"relative": 0.02},
         "price_to_book_ratio_ttm": {"relative": 0.02},
         "price_to_earnings_growth_ratio_ttm": {"relative": 0.02},
         "price_to_earnings_ratio_ttm": {"relative": 0.02}, "price_to_fair_value_ttm": {"relative": 0.02},
         "price_to_free_cash_flow_ratio_ttm": {"relative": 0.02},
         "price_to_operating_cash_flow_ratio_ttm": {"relative": 0.02},
         "price_to_sales_ratio_ttm": {"relative": 0.02}}}'),
    ('shares-float', jsonb '{"comparable_minutes": 15}'),
    ('shares-float-all', jsonb '{"comparable_minutes": 15}'),
    ('financial-statements', jsonb '{"comparable_minutes": 30, "source_lag_seconds": 3600}'),
    ('grades-historical', jsonb '{"comparable_minutes": 30}'),
    ('dividend-history', jsonb '{"comparable_minutes": 30}'),
    ('revenue-segmentation', jsonb '{"comparable_minutes": 30}')
  ) as rules (data_type, value)
 where r.data_type = rules.data_type;
