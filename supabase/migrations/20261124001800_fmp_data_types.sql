-- Registers the vendor and the data types of the legacy system, all in stage legacy: nothing moves.

-- The smallest plan with a limit per minute. Change the row when the plan is another one.
insert into public.api_providers_v2 (provider, calls_per_minute, bytes_per_30_days) values
  ('fmp', 300, 20000000000);

insert into public.data_type_registry_v2 (
  data_type, table_name, symbol_column, timestamp_column, conflict_columns, insert_only_columns,
  source_timestamp_column, staleness_function, default_ttl_minutes, empty_recheck_minutes,
  refresh_strategy, priority, provider, fetcher, edge_function_name, batch_size,
  api_calls_per_batch, estimated_data_size_bytes, depends_on, legacy_cron_jobs
) values
  ('quote', 'live_quote_indicators', 'symbol', 'fetched_at', '{symbol}', '{}',
   'api_timestamp', 'is_data_stale_v2', 1, 60,
   'on-demand', 500, 'fmp', 'quote', 'fetch-fmp-quote-indicators', 1,
   1, 500, null,
   '{minute-fetch-fmp-quote-indicators,minute-fetch-fmp-exchange-prices-api}'),
  ('profile', 'profiles', 'symbol', 'modified_at', '{symbol}', '{display_company_name}',
   null, 'is_profile_stale_v2', 60, 1440,
   'hybrid', 300, 'fmp', 'profile', 'fetch-fmp-profiles', 1,
   1, 2000, null,
   '{hourly-fetch-fmp-profiles}'),
  ('financial-statements', 'financial_statements', 'symbol', 'updated_at', '{symbol,date,period}', '{}',
   'accepted_date', 'is_data_stale_v2', 43200, 10080,
   'hybrid', 100, 'fmp', 'financial-statements', 'fetch-fmp-financial-statements', 1,
   3, 60000, 'profile',
   '{monthly-fetch-fmp-financial-statements,monthly-fetch-financial-statements}');
