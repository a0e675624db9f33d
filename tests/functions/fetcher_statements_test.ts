import assert from "node:assert/strict";
import { fetchSymbols } from "../../supabase/functions/_shared/fetchers/contract.ts";
import {
  createFinancialStatementsFetcher,
  type FinancialStatementsOptions,
} from "../../supabase/functions/_shared/fetchers/financial_statements.ts";
import { balanceSheetExample, cashFlowExample, incomeExample } from "./statement_examples.ts";
import { contextFor, type FakeVendor, vendorErrorOf, without } from "./fetcher_support.ts";

const PATHS = ["income-statement", "balance-sheet-statement", "cash-flow-statement"] as const;
type Path = (typeof PATHS)[number];

const EXAMPLES: Record<Path, Record<string, unknown>> = {
  "income-statement": incomeExample,
  "balance-sheet-statement": balanceSheetExample,
  "cash-flow-statement": cashFlowExample,
};

const LIMIT_REFUSED =
  "Premium Query Parameter: 'Special Parameters : The values for 'limit' must be between 0 and 5 based on your current subscription.";

function fetcherWith(options: Partial<FinancialStatementsOptions> = {}) {
  return createFinancialStatementsFetcher({
    limit: () => 40,
    onFailedStatement: "fail",
    ...options,
  });
}

/** Answers the documented examples, save for the paths given. */
function vendorWith(answers: Partial<Record<Path, () => Response>> = {}): FakeVendor {
  return (path) => {
    const known = path as Path;
    return answers[known]?.() ?? Response.json([EXAMPLES[known]]);
  };
}

function fetchWith(
  answers: Partial<Record<Path, () => Response>>,
  options: Partial<FinancialStatementsOptions> = {},
) {
  return fetchSymbols(fetcherWith(options), ["AAPL"], contextFor(vendorWith(answers)).context);
}

Deno.test("the documented statements make one row with every column", async () => {
  const { context, asked } = contextFor(vendorWith());
  const outcome = await fetchSymbols(fetcherWith(), ["AAPL"], context);
  assert.deepEqual(outcome.rows.get("AAPL"), [{
    symbol: "AAPL",
    date: "2024-09-28",
    period: "FY",
    reported_currency: "USD",
    cik: "0000320193",
    filing_date: "2024-11-01",
    accepted_date: "2024-11-01T06:01:36-04:00",
    fiscal_year: "2024",
    income_statement_payload: incomeExample,
    balance_sheet_payload: balanceSheetExample,
    cash_flow_payload: cashFlowExample,
  }]);
  assert.deepEqual(outcome.warnings, []);
  assert.equal(outcome.calls, 3);
  assert.equal(
    outcome.bytes,
    [incomeExample, balanceSheetExample, cashFlowExample]
      .reduce((total, example) => total + JSON.stringify([example]).length, 0),
  );
  assert.deepEqual(asked.toSorted(), [
    "balance-sheet-statement?symbol=AAPL&limit=40",
    "cash-flow-statement?symbol=AAPL&limit=40",
    "income-statement?symbol=AAPL&limit=40",
  ]);
});

Deno.test("keys that only live answers have are stored too", async () => {
  const live = { ...balanceSheetExample, capitalLeaseObligationsNonCurrent: 7 };
  const outcome = await fetchWith({ "balance-sheet-statement": () => Response.json([live]) });
  assert.deepEqual(outcome.rows.get("AAPL")?.[0]?.balance_sheet_payload, live);
});

for (const path of PATHS) {
  for (const key of Object.keys(EXAMPLES[path])) {
    Deno.test(`a ${path} whose "${key}" is missing, renamed or of another type fails with its name`, async () => {
      const example = EXAMPLES[path];
      const broken = [
        without(example, key),
        { ...without(example, key), [`${key}New`]: 1 },
        { ...example, [key]: { nested: 1 } },
        { ...example, [key]: true },
      ];
      for (const row of broken) {
        const error = await vendorErrorOf(fetchWith({ [path]: () => Response.json([row]) }));
        assert.match(
          error.message,
          new RegExp(`^financial-statements for "AAPL": key "${key}" of \\w+ row 1 is `),
        );
        assert.equal(error.code, "schema_mismatch");
        assert.equal(error.calls, 3);
      }
    });
  }
}

Deno.test("statements are merged by date and period, whatever their order", async () => {
  const older = { date: "2023-09-30", fiscalYear: "2023", acceptedDate: "2023-11-02 18:08:27" };
  const outcome = await fetchWith({
    "income-statement": () => Response.json([incomeExample, { ...incomeExample, ...older }]),
    "cash-flow-statement": () => Response.json([{ ...cashFlowExample, ...older }, cashFlowExample]),
  });
  const rows = outcome.rows.get("AAPL") ?? [];
  assert.deepEqual(rows.map((row) => [row.date, row.fiscal_year, row.accepted_date]), [
    ["2024-09-28", "2024", "2024-11-01T06:01:36-04:00"],
    ["2023-09-30", "2023", "2023-11-02T18:08:27-04:00"],
  ]);
  assert.ok("balance_sheet_payload" in (rows[0] ?? {}));
});

Deno.test("a statement the vendor lacks leaves its column out instead of null", async () => {
  const outcome = await fetchWith({ "balance-sheet-statement": () => Response.json([]) });
  const row = outcome.rows.get("AAPL")?.[0] ?? {};
  assert.ok(!("balance_sheet_payload" in row));
  assert.deepEqual(row.income_statement_payload, incomeExample);
  assert.deepEqual(row.cash_flow_payload, cashFlowExample);
});

Deno.test("an annual row and its fourth quarter are two rows", async () => {
  const outcome = await fetchWith({
    "income-statement": () =>
      Response.json([incomeExample, {
        ...incomeExample,
        period: "Q4",
      }]),
  });
  assert.deepEqual(outcome.rows.get("AAPL")?.map((row) => row.period), ["FY", "Q4"]);
});

Deno.test("a repeated statement is kept once", async () => {
  const outcome = await fetchWith({
    "income-statement": () => Response.json([incomeExample, { ...incomeExample, revenue: 1 }]),
  });
  assert.equal(outcome.rows.get("AAPL")?.length, 1);
  assert.deepEqual(outcome.rows.get("AAPL")?.[0]?.income_statement_payload, incomeExample);
  assert.match(outcome.warnings.join(), /more than one row for 2024-09-28 FY/);
});

Deno.test("three empty arrays mean that the vendor has nothing", async () => {
  const empty = () => Response.json([]);
  const outcome = await fetchWith(Object.fromEntries(PATHS.map((path) => [path, empty])));
  assert.equal(outcome.rows.size, 0);
  assert.equal(outcome.calls, 3);
});

Deno.test("statements of another symbol fail for good", async () => {
  const { context } = contextFor(vendorWith());
  const error = await vendorErrorOf(fetchSymbols(fetcherWith(), ["MSFT"], context));
  assert.equal(error.code, "symbol_mismatch");
});

Deno.test("absent header texts become null and a numeric fiscal year text", async () => {
  const header = {
    acceptedDate: "",
    filingDate: "",
    cik: "",
    reportedCurrency: null,
    fiscalYear: 2024,
  };
  const outcome = await fetchWith(Object.fromEntries(
    PATHS.map((path) => [path, () => Response.json([{ ...EXAMPLES[path], ...header }])]),
  ));
  const row = outcome.rows.get("AAPL")?.[0] ?? {};
  assert.deepEqual(
    [row.accepted_date, row.filing_date, row.cik, row.reported_currency, row.fiscal_year],
    [null, null, null, null, "2024"],
  );
});

for (
  const [key, value] of [
    ["date", "2024-02-30"],
    ["period", "H1"],
    ["acceptedDate", "yesterday"],
    ["acceptedDate", "2024-11-01 25:00:00"],
    ["filingDate", "2024-11"],
  ] as const
) {
  Deno.test(`a statement whose "${key}" is "${value}" is refused`, async () => {
    const error = await vendorErrorOf(fetchWith({
      "income-statement": () => Response.json([{ ...incomeExample, [key]: value }]),
    }));
    assert.ok(error.message.includes(`key "${key}" of income row 1 is the text "${value}"`));
  });
}

Deno.test("for the queue one failed call fails all, with every call and byte counted", async () => {
  const error = await vendorErrorOf(fetchWith({
    "balance-sheet-statement": () => new Response("oops", { status: 503 }),
  }));
  assert.equal(error.errorClass, "retryable");
  assert.equal(error.code, "http_503");
  assert.equal(error.calls, 3);
  assert.equal(
    error.bytes,
    4 + JSON.stringify([incomeExample]).length + JSON.stringify([cashFlowExample]).length,
  );
});

Deno.test("of several errors the one that says most is thrown", async () => {
  const status = (code: number, headers = {}) => () => new Response("x", { status: code, headers });
  const limited = await vendorErrorOf(fetchWith({
    "income-statement": status(503),
    "balance-sheet-statement": status(404),
    "cash-flow-statement": status(429, { "retry-after": "30" }),
  }));
  assert.equal(limited.errorClass, "rate_limited");
  assert.equal(limited.retryAfterSeconds, 30);
  assert.equal(limited.calls, 3);
  const blocked = await vendorErrorOf(fetchWith({
    "income-statement": status(429),
    "cash-flow-statement": status(401),
  }));
  assert.equal(blocked.errorClass, "auth");
});

Deno.test("for the endpoint one failed call leaves the other two", async () => {
  for (
    const broken of [
      () => new Response("oops", { status: 503 }),
      () => Response.json([without(balanceSheetExample, "netDebt")]),
    ]
  ) {
    const outcome = await fetchWith(
      { "balance-sheet-statement": broken },
      { onFailedStatement: "skip" },
    );
    const row = outcome.rows.get("AAPL")?.[0] ?? {};
    assert.ok(!("balance_sheet_payload" in row));
    assert.deepEqual(row.income_statement_payload, incomeExample);
    assert.equal(outcome.calls, 3);
    assert.equal(outcome.warnings.length, 1);
    assert.match(outcome.warnings[0] ?? "", /balance-sheet-statement for "AAPL"/);
  }
});

Deno.test("for the endpoint three failed calls are an error", async () => {
  const broken = () => new Response("oops", { status: 500 });
  const error = await vendorErrorOf(fetchWith(
    Object.fromEntries(PATHS.map((path) => [path, broken])),
    { onFailedStatement: "skip" },
  ));
  assert.equal(error.code, "http_500");
  assert.equal(error.calls, 3);
});

Deno.test("a plan that refuses the limit gets the small one, at one extra call per process", async () => {
  const { context, asked } = contextFor((path, query) =>
    Number(query.get("limit")) > 5
      ? new Response(LIMIT_REFUSED, { status: 402 })
      : Response.json([{ ...EXAMPLES[path as Path], symbol: query.get("symbol") }])
  );
  const fetcher = fetcherWith();
  const outcomes = await Promise.all(
    ["AAPL", "MSFT", "NVDA"].map((symbol) => fetchSymbols(fetcher, [symbol], context)),
  );
  assert.deepEqual(outcomes.map((outcome) => outcome.rows.size), [1, 1, 1]);
  assert.equal(outcomes.reduce((total, outcome) => total + outcome.calls, 0), 10);
  assert.equal(asked.length, 10);
  assert.equal(asked.filter((call) => call.endsWith("limit=40")).length, 1);
});

Deno.test("a plan that refuses even the small limit fails for good", async () => {
  const { context, asked } = contextFor(() => new Response(LIMIT_REFUSED, { status: 402 }));
  const error = await vendorErrorOf(fetchSymbols(fetcherWith(), ["AAPL"], context));
  assert.equal(error.code, "plan_limit");
  assert.equal(error.errorClass, "permanent");
  assert.equal(error.calls, asked.length);
  assert.equal(asked.length, 4);
});

Deno.test("a symbol outside the plan is not asked with another limit", async () => {
  const { context, asked } = contextFor(() =>
    new Response("Premium Query Parameter: 'Special Endpoint : This value set for 'symbol' …", {
      status: 402,
    })
  );
  const error = await vendorErrorOf(fetchSymbols(fetcherWith(), ["AAPL"], context));
  assert.equal(error.code, "plan_parameter");
  assert.equal(asked.length, 3);
});

Deno.test("a wrong limit setting fails the job with its name and without a call", async () => {
  const { context, asked } = contextFor(vendorWith());
  const fetcher = fetcherWith({
    limit: () => {
      throw new Error('Cannot read FMP_STATEMENTS_LIMIT: found "x"');
    },
  });
  const error = await vendorErrorOf(fetchSymbols(fetcher, ["AAPL"], context));
  assert.equal(error.code, "configuration");
  assert.match(error.message, /FMP_STATEMENTS_LIMIT/);
  assert.deepEqual(asked, []);
});

Deno.test("text that Postgres refuses is cleaned inside payloads too", async () => {
  const odd = { ...incomeExample, ["no\0te"]: ["a\0b", { deep: "c\ud800" }], plain: null };
  const outcome = await fetchWith({ "income-statement": () => Response.json([odd]) });
  assert.deepEqual(outcome.rows.get("AAPL")?.[0]?.income_statement_payload, {
    ...incomeExample,
    note: ["ab", { deep: "c\ufffd" }],
    plain: null,
  });
  assert.match(outcome.warnings.join(), /column "income_statement_payload"/);
});

for (const late of PATHS) {
  Deno.test(`where the three filings differ, the latest describes the row: ${late}`, async () => {
    const filed = {
      filingDate: "2025-02-03",
      acceptedDate: "2025-02-03 06:00:00",
      reportedCurrency: "EUR",
    };
    const outcome = await fetchWith({
      [late]: () => Response.json([{ ...EXAMPLES[late], ...filed }]),
    });
    const [row] = outcome.rows.get("AAPL") ?? [];
    assert.deepEqual(
      [row?.filing_date, row?.accepted_date, row?.reported_currency],
      ["2025-02-03", "2025-02-03T06:00:00-05:00", "EUR"],
    );
  });
}

Deno.test("a filing without a time describes the row only where no other does", async () => {
  const undated = { acceptedDate: "", filingDate: "", reportedCurrency: "EUR" };
  for (const one of PATHS) {
    const outcome = await fetchWith({
      [one]: () => Response.json([{ ...EXAMPLES[one], ...undated }]),
    });
    assert.equal(outcome.rows.get("AAPL")?.[0]?.reported_currency, "USD", one);
  }
});
