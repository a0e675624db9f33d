import assert from "node:assert/strict";
import { profileFetcher } from "../../supabase/functions/_shared/fetchers/profile.ts";
import { profileExample } from "./fetcher_examples.ts";
import { fetchJson, onlyRow, vendorErrorOf, without } from "./fetcher_support.ts";

Deno.test("the documented profile fills every column of profiles", async () => {
  const outcome = await fetchJson(profileFetcher, "AAPL", [profileExample]);
  assert.deepEqual(onlyRow(outcome, "AAPL"), {
    symbol: "AAPL",
    price: 262.82,
    market_cap: 3900351299800,
    beta: 1.086,
    last_dividend: 1.05,
    range: "169.21-265.29",
    change: 3.24,
    change_percentage: 1.24817,
    volume: 36725325,
    average_volume: 44645993,
    company_name: "Apple Inc.",
    display_company_name: "Apple Inc.",
    currency: "USD",
    cik: "0000320193",
    isin: "US0378331005",
    cusip: "037833100",
    exchange_full_name: "NASDAQ Global Select",
    exchange: "NASDAQ",
    industry: "Consumer Electronics",
    website: "https://www.apple.com",
    description: profileExample.description,
    ceo: "Timothy D. Cook",
    sector: "Technology",
    country: "US",
    full_time_employees: 164000,
    phone: "(408) 996-1010",
    address: "One Apple Park Way",
    city: "Cupertino",
    state: "CA",
    zip: "95014",
    image: "https://images.financialmodelingprep.com/symbol/AAPL.png",
    ipo_date: "1980-12-12",
    default_image: false,
    is_etf: false,
    is_actively_trading: true,
    is_adr: false,
    is_fund: false,
  });
  assert.deepEqual(outcome.warnings, []);
});

for (const key of Object.keys(profileExample)) {
  Deno.test(`a profile whose "${key}" is missing, renamed or of another type fails with its name`, async () => {
    const rows = [
      without(profileExample, key),
      { ...without(profileExample, key), [`${key}New`]: "x" },
      { ...profileExample, [key]: { nested: 1 } },
      { ...profileExample, [key]: [] },
    ];
    for (const row of rows) {
      const error = await vendorErrorOf(fetchJson(profileFetcher, "AAPL", [row]));
      assert.ok(error.message.startsWith(`profile for "AAPL": key "${key}" is `), error.message);
      assert.equal(error.code, "schema_mismatch");
    }
  });
}

Deno.test("every value but the symbol may be null", async () => {
  const shell = Object.fromEntries(Object.keys(profileExample).map((key) => [key, null]));
  const row = onlyRow(
    await fetchJson(profileFetcher, "SHEL", [{ ...shell, symbol: "SHEL" }]),
    "SHEL",
  );
  for (const [column, value] of Object.entries(row)) {
    assert.equal(value, column === "symbol" ? "SHEL" : null, column);
  }
  const error = await vendorErrorOf(fetchJson(profileFetcher, "AAPL", [shell]));
  assert.equal(
    error.message,
    'profile for "AAPL": key "symbol" is null; wanted non-empty text',
  );
});

Deno.test("empty text and N/A count as absent", async () => {
  const row = onlyRow(
    await fetchJson(profileFetcher, "AAPL", [{
      ...profileExample,
      ipoDate: "",
      ceo: "",
      industry: "N/A",
      fullTimeEmployees: "",
    }]),
    "AAPL",
  );
  assert.equal(row.ipo_date, null);
  assert.equal(row.ceo, null);
  assert.equal(row.industry, null);
  assert.equal(row.full_time_employees, null);
});

Deno.test("employees are read from numeric text and from numbers, nothing else", async () => {
  const readable = [
    ["12", 12],
    ["12.9", 12],
    [12, 12],
    [12.9, 12],
    ["164,000", 164_000],
    ["1,234,567.8", 1_234_567],
  ] as const;
  for (const [sent, stored] of readable) {
    const row = { ...profileExample, fullTimeEmployees: sent };
    const outcome = await fetchJson(profileFetcher, "AAPL", [row]);
    assert.equal(onlyRow(outcome, "AAPL").full_time_employees, stored);
  }
  for (
    const sent of ["many", "1,00", "1.000,5", "12,34,567", ",100", "1e5", "99999999999999999999"]
  ) {
    const row = { ...profileExample, fullTimeEmployees: sent };
    const error = await vendorErrorOf(fetchJson(profileFetcher, "AAPL", [row]));
    assert.match(error.message, /key "fullTimeEmployees" is the text ".+"; wanted numeric text/);
  }
});

Deno.test("fractions of volumes and market cap are cut off", async () => {
  const row = onlyRow(
    await fetchJson(profileFetcher, "AAPL", [{
      ...profileExample,
      volume: 10.75,
      averageVolume: 20.5,
      marketCap: 30.9995,
    }]),
    "AAPL",
  );
  assert.deepEqual([row.volume, row.average_volume, row.market_cap], [10, 20, 30]);
});

Deno.test("a currency or country longer than its column is stored as null with a warning", async () => {
  const outcome = await fetchJson(profileFetcher, "AAPL", [
    { ...profileExample, currency: "USDT", country: "USA" },
  ]);
  const row = onlyRow(outcome, "AAPL");
  assert.equal(row.currency, null);
  assert.equal(row.country, null);
  assert.deepEqual(outcome.warnings, [
    'profile for "AAPL": key "currency" is "USDT", longer than the 3 characters of its column; stored as null',
    'profile for "AAPL": key "country" is "USA", longer than the 2 characters of its column; stored as null',
  ]);
});

Deno.test("pence and identifiers keep their spelling", async () => {
  const row = onlyRow(
    await fetchJson(profileFetcher, "AAPL", [{ ...profileExample, currency: "GBp" }]),
    "AAPL",
  );
  assert.equal(row.currency, "GBp");
  assert.equal(row.cik, "0000320193");
});

Deno.test("an impossible first trading day is refused", async () => {
  for (const ipoDate of ["1980-02-30", "12/12/1980", "1980-13-01"]) {
    const error = await vendorErrorOf(
      fetchJson(profileFetcher, "AAPL", [{ ...profileExample, ipoDate }]),
    );
    assert.ok(
      error.message.startsWith(`profile for "AAPL": key "ipoDate" is the text "${ipoDate}"`),
    );
  }
});

Deno.test("an unknown symbol has no profile", async () => {
  assert.equal((await fetchJson(profileFetcher, "NOPE", [])).rows.size, 0);
});

Deno.test("a profile of another symbol fails for good", async () => {
  const error = await vendorErrorOf(fetchJson(profileFetcher, "MSFT", [profileExample]));
  assert.equal(error.code, "symbol_mismatch");
  assert.equal(error.errorClass, "permanent");
});
