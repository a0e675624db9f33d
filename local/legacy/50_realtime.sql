-- Tables whose row changes clients may subscribe to. Run as postgres.

alter publication supabase_realtime add table
  public.profiles,
  public.live_quote_indicators,
  public.exchange_market_status,
  public.financial_statements,
  public.shares_float,
  public.ratios_ttm,
  public.dividend_history,
  public.revenue_product_segmentation,
  public.grades_historical,
  public.exchange_variants;
