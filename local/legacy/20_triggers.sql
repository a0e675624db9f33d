-- The triggers that move the time of the last change. Run as postgres.

create trigger handle_modified_at before update on public.profiles
  for each row execute function extensions.moddatetime(modified_at);

create trigger handle_updated_at before update on public.financial_statements
  for each row execute function extensions.moddatetime(updated_at);

create trigger handle_updated_at before update on public.shares_float
  for each row execute function extensions.moddatetime(updated_at);

create trigger handle_updated_at before update on public.ratios_ttm
  for each row execute function extensions.moddatetime(updated_at);

create trigger handle_updated_at before update on public.dividend_history
  for each row execute function extensions.moddatetime(updated_at);

create trigger handle_updated_at before update on public.revenue_product_segmentation
  for each row execute function extensions.moddatetime(updated_at);

create trigger handle_updated_at before update on public.grades_historical
  for each row execute function extensions.moddatetime(updated_at);

create trigger handle_updated_at before update on public.exchange_variants
  for each row execute function extensions.moddatetime(updated_at);

create trigger handle_updated_at before update on public.available_exchanges
  for each row execute function extensions.moddatetime(updated_at);

create trigger handle_updated_at before update on public.user_profiles
  for each row execute function extensions.moddatetime(updated_at);
