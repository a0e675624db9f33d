-- The two legacy SQL functions. Run as postgres.

-- security definer: the legacy function of the profiles job calls it over REST.
create function public.upsert_profile(profile_data jsonb) returns void
language sql volatile security definer set search_path = '' as $$
  insert into public.profiles (
    symbol, price, market_cap, beta, last_dividend, range, change, change_percentage, volume,
    average_volume, company_name, display_company_name, currency, cik, isin, cusip,
    exchange_full_name, exchange, industry, website, description, ceo, sector, country,
    full_time_employees, phone, address, city, state, zip, image, ipo_date, default_image,
    is_etf, is_actively_trading, is_adr, is_fund
  )
  select
    p.symbol, p.price, p.market_cap, p.beta, p.last_dividend, p.range, p.change,
    p.change_percentage, p.volume, p.average_volume, p.company_name, p.company_name, p.currency,
    p.cik, p.isin, p.cusip, p.exchange_full_name, p.exchange, p.industry, p.website,
    p.description, p.ceo, p.sector, p.country, p.full_time_employees, p.phone, p.address, p.city,
    p.state, p.zip, p.image, p.ipo_date, p.default_image, p.is_etf, p.is_actively_trading,
    p.is_adr, p.is_fund
  from jsonb_populate_record(null::public.profiles, profile_data) as p
  on conflict (symbol) do update
  set
    price = excluded.price,
    market_cap = excluded.market_cap,
    beta = excluded.beta,
    last_dividend = excluded.last_dividend,
    range = excluded.range,
    change = excluded.change,
    change_percentage = excluded.change_percentage,
    volume = excluded.volume,
    average_volume = excluded.average_volume,
    company_name = excluded.company_name,
    currency = excluded.currency,
    cik = excluded.cik,
    isin = excluded.isin,
    cusip = excluded.cusip,
    exchange_full_name = excluded.exchange_full_name,
    exchange = excluded.exchange,
    industry = excluded.industry,
    website = excluded.website,
    description = excluded.description,
    ceo = excluded.ceo,
    sector = excluded.sector,
    country = excluded.country,
    full_time_employees = excluded.full_time_employees,
    phone = excluded.phone,
    address = excluded.address,
    city = excluded.city,
    state = excluded.state,
    zip = excluded.zip,
    image = excluded.image,
    ipo_date = excluded.ipo_date,
    default_image = excluded.default_image,
    is_etf = excluded.is_etf,
    is_actively_trading = excluded.is_actively_trading,
    is_adr = excluded.is_adr,
    is_fund = excluded.is_fund,
    modified_at = now()
$$;

-- security definer: the webhook calls it as anon.
create function public.handle_user_created_webhook(payload jsonb) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  v_user jsonb := payload -> 'record';
begin
  if v_user ->> 'id' is null then
    return jsonb_build_object('success', false, 'error', 'No user id in the payload');
  end if;
  insert into public.user_profiles (id, full_name, avatar_url)
  values (
    (v_user ->> 'id')::uuid,
    v_user -> 'raw_user_meta_data' ->> 'full_name',
    v_user -> 'raw_user_meta_data' ->> 'avatar_url'
  )
  on conflict (id) do nothing;
  return jsonb_build_object('success', true, 'user_id', v_user ->> 'id');
end
$$;

grant execute on function
  public.upsert_profile(jsonb), public.handle_user_created_webhook(jsonb)
to anon, authenticated, service_role;
