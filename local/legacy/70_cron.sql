-- The thirteen legacy cron jobs. Run as postgres. The commands differ in letter case and white space
-- as those of a grown installation do: whoever looks for them must not compare texts.

select cron.schedule('minute-fetch-fmp-quote-indicators', '* * * * *', $job$
  SELECT net.http_post(
    url := (SELECT decrypted_secret FROM vault.decrypted_secrets WHERE name = 'project_url') || '/functions/v1/fetch-fmp-quote-indicators',
    headers := jsonb_build_object(
      'Content-type', 'application/json',
      'Authorization', 'Bearer ' || (SELECT decrypted_secret FROM vault.decrypted_secrets WHERE name = 'anon_key')
    )
  ) AS request_id;
  $job$);

select cron.schedule('minute-fetch-fmp-exchange-prices-api', '* * * * *', $job$
    select
      net.http_post(
          url:= (select decrypted_secret from vault.decrypted_secrets where name = 'project_url') || '/functions/v1/fetch-fmp-exchange-prices-api',
          headers:=jsonb_build_object(
            'Content-type', 'application/json',
            'Authorization', 'Bearer ' || (select decrypted_secret from vault.decrypted_secrets where name = 'anon_key')
          )
      ) as request_id;
    $job$);

select cron.schedule('hourly-fetch-fmp-all-exchange-market-status', '0 * * * *', $job$SELECT net.http_post(
  url := (
    SELECT decrypted_secret
    FROM vault.decrypted_secrets
    WHERE name = 'project_url'
  ) || '/functions/v1/fetch-fmp-all-exchange-market-status',
  headers := jsonb_build_object(
    'Content-Type', 'application/json',
    'Authorization', 'Bearer ' || (
      SELECT decrypted_secret
      FROM vault.decrypted_secrets
      WHERE name = 'anon_key'
    )
  )
) AS request_id$job$);

select cron.schedule('hourly-fetch-fmp-profiles', '0 * * * *', $job$

  Select net.http_post(
    url:=(Select decrypted_secret From vault.decrypted_secrets Where name='project_url')||'/functions/v1/fetch-fmp-profiles',
    headers:=jsonb_build_object('Content-Type','application/json','Authorization','Bearer '||(Select decrypted_secret From vault.decrypted_secrets Where name='anon_key')),
    body:='{}'::jsonb
  ) As request_id;

$job$);

select cron.schedule('hourly-fetch-fmp-available-exchanges', '0 * * * *', $job$
  SELECT net.http_post(
    url := (SELECT decrypted_secret FROM vault.decrypted_secrets WHERE name = 'project_url') || '/functions/v1/fetch-fmp-available-exchanges',
    headers := jsonb_build_object(
      'Content-Type', 'application/json',
      'Authorization', 'Bearer ' || (SELECT decrypted_secret FROM vault.decrypted_secrets WHERE name = 'anon_key')
    ),
    body := '{}'::jsonb
  ) AS request_id;
  $job$);

select cron.schedule('daily-fetch-exchange-rates', '0 1 * * *', $job$
    select
      net.http_post(
          url:= (select decrypted_secret from vault.decrypted_secrets where name = 'project_url') || '/functions/v1/fetch-exchange-rates',
          headers:=jsonb_build_object(
            'Content-Type', 'application/json',
            'Authorization', 'Bearer ' || (select decrypted_secret from vault.decrypted_secrets where name = 'anon_key')
          )
      ) as request_id;
    $job$);

select cron.schedule('daily-fetch-fmp-ratios-ttm', '0 2 * * *', $job$SELECT net.http_post(
  url := (
    SELECT decrypted_secret
    FROM vault.decrypted_secrets
    WHERE name = 'project_url'
  ) || '/functions/v1/fetch-fmp-ratios-ttm',
  headers := jsonb_build_object(
    'Content-Type', 'application/json',
    'Authorization', 'Bearer ' || (
      SELECT decrypted_secret
      FROM vault.decrypted_secrets
      WHERE name = 'anon_key'
    )
  ),
  body := '{}'::jsonb
) AS request_id$job$);

select cron.schedule('daily-fetch-fmp-shares-float', '0 3 * * *', $job$

  Select net.http_post(
    url:=(Select decrypted_secret From vault.decrypted_secrets Where name='project_url')||'/functions/v1/fetch-fmp-shares-float',
    headers:=jsonb_build_object('Content-Type','application/json','Authorization','Bearer '||(Select decrypted_secret From vault.decrypted_secrets Where name='anon_key')),
    body:='{}'::jsonb
  ) As request_id;

$job$);

select cron.schedule('daily-fetch-fmp-exchange-variants', '0 4 * * *', $job$
  SELECT net.http_post(
    url := (SELECT decrypted_secret FROM vault.decrypted_secrets WHERE name = 'project_url') || '/functions/v1/fetch-fmp-exchange-variants',
    headers := jsonb_build_object(
      'Content-Type', 'application/json',
      'Authorization', 'Bearer ' || (SELECT decrypted_secret FROM vault.decrypted_secrets WHERE name = 'anon_key')
    ),
    body := '{}'::jsonb
  ) AS request_id;
  $job$);

select cron.schedule('monthly-fetch-fmp-financial-statements', '0 0 1 * *', $job$
    select
      net.http_post(
          url:= (select decrypted_secret from vault.decrypted_secrets where name = 'project_url') || '/functions/v1/fetch-fmp-financial-statements',
          headers:=jsonb_build_object(
            'Content-Type', 'application/json',
            'Authorization', 'Bearer ' || (select decrypted_secret from vault.decrypted_secrets where name = 'anon_key')
          ),
          body:='{}'::jsonb
      ) as request_id;
    $job$);

select cron.schedule('monthly-fetch-fmp-grades-historical', '0 0 2 * *', $job$SELECT net.http_post(
  url := (
    SELECT decrypted_secret
    FROM vault.decrypted_secrets
    WHERE name = 'project_url'
  ) || '/functions/v1/fetch-fmp-grades-historical',
  headers := jsonb_build_object(
    'Content-Type', 'application/json',
    'Authorization', 'Bearer ' || (
      SELECT decrypted_secret
      FROM vault.decrypted_secrets
      WHERE name = 'anon_key'
    )
  ),
  body := '{}'::jsonb
) AS request_id$job$);

select cron.schedule('quarterly-fetch-fmp-dividend-history', '0 0 1 1,4,7,10 *', $job$

  Select net.http_post(
    url:=(Select decrypted_secret From vault.decrypted_secrets Where name='project_url')||'/functions/v1/fetch-fmp-dividend-history',
    headers:=jsonb_build_object('Content-Type','application/json','Authorization','Bearer '||(Select decrypted_secret From vault.decrypted_secrets Where name='anon_key')),
    body:='{}'::jsonb
  ) As request_id;

$job$);

select cron.schedule('yearly-fetch-fmp-revenue-segmentation', '0 1 1 1 *', $job$
  SELECT net.http_post(
    url := (SELECT decrypted_secret FROM vault.decrypted_secrets WHERE name = 'project_url') || '/functions/v1/fetch-fmp-revenue-segmentation',
    headers := jsonb_build_object(
      'Content-Type', 'application/json',
      'Authorization', 'Bearer ' || (SELECT decrypted_secret FROM vault.decrypted_secrets WHERE name = 'anon_key')
    ),
    body := '{}'::jsonb
  ) AS request_id;
  $job$);
