import assert from "node:assert/strict";
import { applyLegacyBaseline } from "../../local/platform/apply.ts";
import { makeLegacyProject, withFolder, withPlatform } from "./projects.ts";
import { discover, type Guessed, yardJson } from "./yard.ts";

/** Function → table, symbol, timestamp and conflict columns, as the legacy system really has them. */
const TRUTH: Record<string, [string, string | null, string, string]> = {
  "fetch-fmp-quote-indicators": ["live_quote_indicators", "symbol", "fetched_at", "symbol"],
  "fetch-fmp-exchange-prices-api": ["live_quote_indicators", "symbol", "fetched_at", "symbol"],
  "fetch-fmp-all-exchange-market-status": [
    "exchange_market_status",
    null,
    "last_fetched_at",
    "exchange_code",
  ],
  "fetch-fmp-profiles": ["profiles", "symbol", "modified_at", "symbol"],
  "fetch-fmp-available-exchanges": ["available_exchanges", null, "updated_at", "exchange"],
  "fetch-exchange-rates": ["exchange_rates", null, "last_updated_at", "base_code,target_code"],
  "fetch-fmp-ratios-ttm": ["ratios_ttm", "symbol", "updated_at", "symbol"],
  "fetch-fmp-shares-float": ["shares_float", "symbol", "updated_at", "symbol,date"],
  "fetch-fmp-exchange-variants": [
    "exchange_variants",
    "symbol",
    "updated_at",
    "symbol_variant,exchange_short_name",
  ],
  "fetch-fmp-financial-statements": [
    "financial_statements",
    "symbol",
    "updated_at",
    "symbol,date,period",
  ],
  "fetch-fmp-grades-historical": ["grades_historical", "symbol", "updated_at", "symbol,date"],
  "fetch-fmp-dividend-history": ["dividend_history", "symbol", "updated_at", "symbol,date"],
  "fetch-fmp-revenue-segmentation": [
    "revenue_product_segmentation",
    "symbol",
    "updated_at",
    "symbol,fiscal_year,period,date",
  ],
};

function isRight(guess: Guessed): boolean {
  const found = [
    guess.table.value,
    guess.symbolColumn.value,
    guess.timestampColumn.value,
    guess.conflictColumns.value.join(),
  ];
  return found.join("|") === TRUTH[guess.functionName]!.join("|");
}

Deno.test("from the bare catalog of the legacy system 12 of 13 guesses are right, the other one is doubted", () =>
  withFolder((folder) =>
    withPlatform(async ({ url, sql }) => {
      await applyLegacyBaseline(url);
      const { proposals } = await yardJson(["discover", "--db-url", url], { cwd: folder });
      assert.equal(proposals.length, 13);
      const wrong = proposals.filter((guess: Guessed) => !isRight(guess));
      assert.deepEqual(
        wrong.map(({ functionName, confidence }: Guessed) => [functionName, confidence]),
        [["fetch-fmp-exchange-prices-api", "low"]],
      );
      const ttl = (name: string) =>
        proposals.find((guess: Guessed) => guess.functionName === name).ttlMinutes.value;
      assert.deepEqual(
        ["quote-indicators", "profiles", "ratios-ttm", "financial-statements", "dividend-history"]
          .map((name) => ttl(`fetch-fmp-${name}`)),
        [1, 60, 1_440, 43_200, 129_600],
      );
      const parents = proposals.filter((guess: { dependsOn: string }) =>
        guess.dependsOn === "profiles"
      );
      assert.ok(parents.length >= 6);

      // Rows that move tell the two writers of live_quote_indicators from the daily tables.
      await sql`insert into public.profiles (symbol) values ('AAPL')`;
      await sql`insert into public.live_quote_indicators (symbol, current_price, api_timestamp)
                values ('AAPL', 1, 1)`;
      await sql`insert into public.exchange_variants (symbol, symbol_variant, exchange_short_name, fetched_at, updated_at)
                values ('AAPL', 'AAPL', 'NASDAQ', now() - interval '20 hours', now() - interval '20 hours')`;
      const moved = await yardJson(["discover", "--db-url", url], { cwd: folder });
      const prices = moved.proposals.find((guess: Guessed) =>
        guess.functionName === "fetch-fmp-exchange-prices-api"
      );
      assert.notEqual(prices?.table.value, "exchange_variants");
    })
  ));

Deno.test("with the functions' code at hand all 13 guesses are right", () =>
  withFolder((folder) =>
    withPlatform(async ({ url }) => {
      await makeLegacyProject(folder);
      await applyLegacyBaseline(url);
      const { proposals } = await discover(folder, url);
      assert.deepEqual(proposals.filter(isRight).length, 13);
      const prices = proposals.find((guess: Guessed) =>
        guess.functionName === "fetch-fmp-exchange-prices-api"
      );
      assert.match(prices.table.reasons[0], /its code writes to it/);
      assert.match(prices.notes.join(), /fetch-fmp-quote-indicators seems to write the same table/);
    })
  ));
