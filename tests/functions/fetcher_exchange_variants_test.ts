import assert from "node:assert/strict";
import { exchangeVariantsFetcher } from "../../supabase/functions/_shared/fetchers/exchange_variants.ts";
import { variantExample } from "./fetcher_examples.ts";
import { fetchJson, onlyRow, vendorErrorOf } from "./fetcher_support.ts";

const dormantExample = {
  ...variantExample,
  symbol: "AAPL.BA",
  exchange: "Buenos Aires",
  exchangeShortName: "BUE",
  currency: "ARS",
  cik: null,
  price: null,
  range: null,
  changes: null,
  dcfDiff: null,
  mktCap: 0,
  volAvg: 0,
  dcf: 0,
  isActivelyTrading: false,
};

Deno.test("the documented listing fills every column of exchange_variants", async () => {
  const outcome = await fetchJson(exchangeVariantsFetcher, "AAPL", [variantExample]);
  assert.deepEqual(onlyRow(outcome, "AAPL"), {
    symbol: "AAPL",
    symbol_variant: "AAPL",
    exchange_short_name: "NASDAQ",
    price: 262.82,
    beta: 1.086,
    vol_avg: 44645993,
    mkt_cap: 3900351299800,
    last_div: 1.05,
    range: "195.07-316.94",
    changes: 3.24,
    currency: "USD",
    cik: "0000320193",
    isin: "US0378331005",
    cusip: "037833100",
    exchange: "NASDAQ Global Select",
    dcf_diff: 162.74174,
    dcf: 144.59825927349374,
    image: "https://images.financialmodelingprep.com/symbol/AAPL.png",
    ipo_date: "1980-12-12",
    default_image: false,
    is_actively_trading: true,
  });
  assert.deepEqual(outcome.warnings, []);
});

Deno.test("all listings belong to the symbol asked for, in any order", async () => {
  const german = { ...variantExample, symbol: "APC.DE", exchangeShortName: "XETRA" };
  for (
    const answer of [
      [variantExample, german, dormantExample],
      [dormantExample, german, variantExample],
    ]
  ) {
    const outcome = await fetchJson(exchangeVariantsFetcher, "AAPL", answer);
    assert.deepEqual([...outcome.rows.keys()], ["AAPL"]);
    assert.deepEqual(
      outcome.rows.get("AAPL")?.map((row) => [
        row.symbol,
        row.symbol_variant,
        row.exchange_short_name,
      ]),
      [["AAPL", "AAPL", "NASDAQ"], ["AAPL", "AAPL.BA", "BUE"], ["AAPL", "APC.DE", "XETRA"]],
    );
  }
});

Deno.test("a dormant listing is stored with its nulls and zeros", async () => {
  const outcome = await fetchJson(exchangeVariantsFetcher, "AAPL", [
    variantExample,
    dormantExample,
  ]);
  const row = outcome.rows.get("AAPL")?.[1] ?? {};
  assert.deepEqual(
    [row.price, row.range, row.changes, row.dcf_diff, row.mkt_cap, row.vol_avg, row.dcf, row.cik],
    [null, null, null, null, 0, 0, 0, null],
  );
  assert.equal(row.is_actively_trading, false);
});

Deno.test("fractions are cut off in bigint columns only", async () => {
  const row = onlyRow(
    await fetchJson(exchangeVariantsFetcher, "AAPL", [{
      ...variantExample,
      volAvg: 184831.8,
      mktCap: 2706295344000.9995,
      dcf: 1.75,
    }]),
    "AAPL",
  );
  assert.deepEqual([row.vol_avg, row.mkt_cap, row.dcf], [184831, 2706295344000, 1.75]);
});

Deno.test("empty text and N/A count as absent, but not for the code of the exchange", async () => {
  const sparse = { ...variantExample, ipoDate: "", currency: "", isin: "N/A", exchange: "" };
  const row = onlyRow(await fetchJson(exchangeVariantsFetcher, "AAPL", [sparse]), "AAPL");
  assert.deepEqual(
    [row.ipo_date, row.currency, row.isin, row.exchange],
    [null, null, null, null],
  );
  const error = await vendorErrorOf(
    fetchJson(exchangeVariantsFetcher, "AAPL", [{ ...variantExample, exchangeShortName: "" }]),
  );
  assert.equal(
    error.message,
    'exchange-variants for "AAPL": key "exchangeShortName" is empty text; wanted non-empty text',
  );
});

Deno.test("one symbol on two exchanges is two rows, twice on one exchange is one", async () => {
  const outcome = await fetchJson(exchangeVariantsFetcher, "AAPL", [
    variantExample,
    { ...variantExample, exchangeShortName: "AMEX" },
    { ...variantExample, price: null, range: null },
  ]);
  assert.deepEqual(
    outcome.rows.get("AAPL")?.map((row) => [row.exchange_short_name, row.price]),
    [["AMEX", 262.82], ["NASDAQ", 262.82]],
  );
  assert.deepEqual(outcome.warnings, [
    'exchange-variants for "AAPL": more than one row for AAPL NASDAQ; the one with the most values was kept',
  ]);
});
