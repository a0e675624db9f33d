import assert from "node:assert/strict";
import { withLegacySystem } from "./legacy_system.ts";

const PER_SYMBOL = [
  "dividend_history",
  "exchange_variants",
  "financial_statements",
  "grades_historical",
  "live_quote_indicators",
  "profiles",
  "ratios_ttm",
  "revenue_product_segmentation",
  "shares_float",
];

const JOBS: [name: string, schedule: string, endpoint: string, header: string, hasBody: boolean][] =
  [
    [
      "minute-fetch-fmp-quote-indicators",
      "* * * * *",
      "fetch-fmp-quote-indicators",
      "Content-type",
      false,
    ],
    [
      "minute-fetch-fmp-exchange-prices-api",
      "* * * * *",
      "fetch-fmp-exchange-prices-api",
      "Content-type",
      false,
    ],
    [
      "hourly-fetch-fmp-all-exchange-market-status",
      "0 * * * *",
      "fetch-fmp-all-exchange-market-status",
      "Content-Type",
      false,
    ],
    ["hourly-fetch-fmp-profiles", "0 * * * *", "fetch-fmp-profiles", "Content-Type", true],
    [
      "hourly-fetch-fmp-available-exchanges",
      "0 * * * *",
      "fetch-fmp-available-exchanges",
      "Content-Type",
      true,
    ],
    ["daily-fetch-exchange-rates", "0 1 * * *", "fetch-exchange-rates", "Content-Type", false],
    ["daily-fetch-fmp-ratios-ttm", "0 2 * * *", "fetch-fmp-ratios-ttm", "Content-Type", true],
    ["daily-fetch-fmp-shares-float", "0 3 * * *", "fetch-fmp-shares-float", "Content-Type", true],
    [
      "daily-fetch-fmp-exchange-variants",
      "0 4 * * *",
      "fetch-fmp-exchange-variants",
      "Content-Type",
      true,
    ],
    [
      "monthly-fetch-fmp-financial-statements",
      "0 0 1 * *",
      "fetch-fmp-financial-statements",
      "Content-Type",
      true,
    ],
    [
      "monthly-fetch-fmp-grades-historical",
      "0 0 2 * *",
      "fetch-fmp-grades-historical",
      "Content-Type",
      true,
    ],
    [
      "quarterly-fetch-fmp-dividend-history",
      "0 0 1 1,4,7,10 *",
      "fetch-fmp-dividend-history",
      "Content-Type",
      true,
    ],
    [
      "yearly-fetch-fmp-revenue-segmentation",
      "0 1 1 1 *",
      "fetch-fmp-revenue-segmentation",
      "Content-Type",
      true,
    ],
  ];

Deno.test("The legacy system", async (t) => {
  await withLegacySystem("none", async ({ admin, sql, as }) => {
    await t.step(
      "without default privileges new tables are closed, functions are not",
      async () => {
        await sql`create table public.fresh (id bigserial)`;
        await sql`create function public.fresh_function() returns int language sql as 'select 1'`;
        for (const role of ["anon", "authenticated", "service_role"]) {
          await assert.rejects(() => as(role, "select * from public.fresh"), { code: "42501" });
        }
        const [row] = await as("anon", "select public.fresh_function() as n");
        assert.equal(row?.n, 1);
      },
    );

    await t.step("row security is on for every table", async () => {
      const rows = await sql`
        select relname from pg_class
        where relnamespace = 'public'::regnamespace and relkind = 'r' and relname <> 'fresh'
          and not relrowsecurity
      `;
      assert.deepEqual([...rows], []);
    });

    await sql`
      insert into public.supported_symbols (symbol, is_active) values ('AAPL', true), ('OLD', false)
    `;
    await sql`select public.upsert_profile('{"symbol": "AAPL", "company_name": "Apple Inc."}')`;

    await t.step("everyone reads the data, nobody but the service role writes it", async () => {
      for (const table of [...PER_SYMBOL, "exchange_market_status"]) {
        await as("anon", `select * from public.${table}`);
        assert.deepEqual(await as("anon", `delete from public.${table} returning *`), [], table);
      }
      assert.equal((await as("anon", "select from public.profiles")).length, 1);
      await assert.rejects(
        () => as("authenticated", "insert into public.profiles (symbol) values ('X')"),
        { code: "42501" },
      );
      const written = await as(
        "service_role",
        "insert into public.profiles (symbol) values ('X') returning symbol",
      );
      assert.equal(written.length, 1);
    });

    await t.step("visitors see active symbols only", async () => {
      for (const role of ["anon", "authenticated"]) {
        const rows = await as(role, "select symbol from public.supported_symbols");
        assert.deepEqual(rows.map(({ symbol }) => symbol), ["AAPL"]);
      }
      assert.equal((await as("service_role", "select from public.supported_symbols")).length, 2);
    });

    await t.step("TRUNCATE is not stopped by row security", async () => {
      await as("anon", "truncate public.exchange_rates");
    });

    await t.step("a user sees and changes the own profile only", async () => {
      const mine = crypto.randomUUID();
      const theirs = crypto.randomUUID();
      await admin`insert into auth.users (id, email) values (${mine}, 'a@x'), (${theirs}, 'b@x')`;
      const answers = await Promise.all([mine, theirs].map(async (id) => {
        const payload = { record: { id, raw_user_meta_data: { full_name: "N" } } };
        const [row] = await sql`
          select public.handle_user_created_webhook(${sql.json(payload)}) as answer
        `;
        return row?.answer;
      }));
      assert.deepEqual(answers.map(({ success }) => success), [true, true]);
      const seen = await as("authenticated", "select id from public.user_profiles", mine);
      assert.deepEqual(seen.map(({ id }) => id), [mine]);
      const changed = await as(
        "authenticated",
        "update public.user_profiles set username = 'abc' returning id",
        mine,
      );
      assert.deepEqual(changed.map(({ id }) => id), [mine]);
      assert.deepEqual(await as("anon", "select id from public.user_profiles"), []);
      await assert.rejects(
        () => as("authenticated", "update public.user_profiles set username = 'ab'", mine),
        { code: "23514" },
      );
      await admin`delete from auth.users where id = ${theirs}`;
      assert.equal((await sql`select from public.user_profiles`).length, 1);
    });

    await t.step("the webhook is answered when anon calls it twice", async () => {
      const id = crypto.randomUUID();
      await admin`insert into auth.users (id, email) values (${id}, 'c@x')`;
      const call = `public.handle_user_created_webhook('{"record": {"id": "${id}"}}')`;
      const [row] = await as("anon", `select ${call} as first, ${call} as second`);
      assert.deepEqual(row?.first, { success: true, user_id: id });
      assert.deepEqual(row?.second, row?.first);
    });

    await t.step("upsert_profile sets the display name at the insert only", async () => {
      await sql`update public.profiles set display_company_name = 'Apple' where symbol = 'AAPL'`;
      await as("anon", `select public.upsert_profile('{"symbol": "AAPL"}')`);
      await sql`
        select public.upsert_profile('{"symbol": "AAPL", "company_name": "Apple Corp", "price": 2}')
      `;
      await sql`select public.upsert_profile('{"symbol": "MSFT", "company_name": "Microsoft"}')`;
      const rows = await sql`
        select symbol, company_name, display_company_name, price from public.profiles order by 1
      `;
      assert.deepEqual(rows.map((row) => ({ ...row })), [
        {
          symbol: "AAPL",
          company_name: "Apple Corp",
          display_company_name: "Apple",
          price: 2,
        },
        {
          symbol: "MSFT",
          company_name: "Microsoft",
          display_company_name: "Microsoft",
          price: null,
        },
      ]);
    });

    await t.step("an update moves the time of the last change, not the first fetch", async () => {
      const stamp = "2026-01-01T00:00:00Z";
      await sql`
        insert into public.ratios_ttm (symbol, fetched_at, updated_at)
        values ('AAPL', ${stamp}, ${stamp})
      `;
      const [row] = await sql`
        update public.ratios_ttm set dividend_yield_ttm = 1
        returning fetched_at = ${stamp} as kept, updated_at > ${stamp}::timestamptz as moved
      `;
      assert.deepEqual({ ...row }, { kept: true, moved: true });
      const triggers = await sql`
        select tgrelid::regclass::text as table, encode(tgargs, 'escape') as column
        from pg_trigger join pg_proc on pg_proc.oid = tgfoid
        where proname = 'moddatetime' order by 1
      `;
      assert.deepEqual(triggers.map((row) => row.table), [
        "available_exchanges",
        "dividend_history",
        "exchange_variants",
        "financial_statements",
        "grades_historical",
        "profiles",
        "ratios_ttm",
        "revenue_product_segmentation",
        "shares_float",
        "user_profiles",
      ]);
    });

    await t.step("no row for a symbol without a profile, and none when it goes", async () => {
      await assert.rejects(
        () => sql`insert into public.dividend_history (symbol, date) values ('NOPE', now())`,
        { code: "23503" },
      );
      await sql`insert into public.shares_float (symbol, date) values ('NOPE', now())`;
      await sql`insert into public.dividend_history (symbol, date) values ('MSFT', now())`;
      await sql`delete from public.profiles where symbol = 'MSFT'`;
      assert.equal((await sql`select from public.dividend_history`).length, 0);
    });

    await t.step("the publication has the ten tables that clients watch", async () => {
      const rows = await sql`
        select tablename from pg_publication_tables where pubname = 'supabase_realtime' order by 1
      `;
      assert.deepEqual(
        rows.map(({ tablename }) => tablename),
        [...PER_SYMBOL, "exchange_market_status"].sort(),
      );
    });

    await t.step("there is a bucket for logos", async () => {
      const [row] = await sql`select name, public from storage.buckets`;
      assert.deepEqual({ ...row }, { name: "profile-images", public: true });
    });

    await t.step("thirteen jobs of postgres are active", async () => {
      const rows = await sql`
        select jobname, schedule from cron.job where active and username = 'postgres' order by jobid
      `;
      assert.deepEqual(
        rows.map(({ jobname, schedule }) => [jobname, schedule]),
        JOBS.map(([name, schedule]) => [name, schedule]),
      );
    });

    await t.step("each job's command queues its call with the two secrets", async () => {
      await sql`select vault.create_secret('https://x.example', 'project_url')`;
      await sql`select vault.create_secret('the-key', 'anon_key')`;
      for (const [name, , endpoint, header, hasBody] of JOBS) {
        const [job] = await sql`select command from cron.job where jobname = ${name}`;
        const rows = await sql.unsafe(job?.command);
        assert.deepEqual(Object.keys(rows[0] ?? {}), ["request_id"], name);
        const [request] = await sql`
          delete from net.http_request_queue where id = ${rows[0]?.request_id}
          returning method, url, headers, convert_from(body, 'UTF8') as body, timeout_milliseconds
        `;
        assert.deepEqual({ ...request }, {
          method: "POST",
          url: `https://x.example/functions/v1/${endpoint}`,
          headers: { [header]: "application/json", Authorization: "Bearer the-key" },
          body: "{}",
          timeout_milliseconds: 5000,
        }, name);
        assert.equal(/\bbody\s*:=/.test(job?.command), hasBody, name);
      }
    });

    await t.step(
      "the commands differ in letter case and in the white space around them",
      async () => {
        const rows = await sql`select command from cron.job`;
        const commands = rows.map(({ command }) => String(command));
        assert.ok(new Set(commands.map((c) => /select/i.exec(c)?.[0])).size > 1);
        assert.ok(new Set(commands.map((c) => /^\s*/.exec(c)?.[0])).size > 1);
        assert.ok(new Set(commands.map((c) => /\s*$/.exec(c)?.[0])).size > 1);
      },
    );
  });
});
